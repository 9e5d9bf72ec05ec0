"""YAML with places: values, positions, traps, aliases, merges, recovery."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.config import ConfigError, parse, read_file


def faults(text: str) -> list[str]:
    return [str(fault) for fault in parse(text, "f").faults]


def test_plain_values() -> None:
    document = parse(
        'a: 1\nb: -2.5\nc: true\nd: null\ne:\nf: "010"\n'
        "g: 0x1F\nh: 0o17\ni: 5 kW\nj: 1e3\nk: 'yes'\nl: 10 %\nm: .5\n",
        "f",
    )
    assert document.faults == ()
    assert document.data == {
        "a": 1, "b": -2.5, "c": True, "d": None, "e": None, "f": "010", "g": 31, "h": 15, "i": "5 kW", "j": 1000.0,
        "k": "yes", "l": "10 %", "m": 0.5,
    }  # fmt: skip


def test_addresses_dates_and_versions_stay_text() -> None:
    document = parse("a: 127.0.0.1:8080\nb: 2026-11-20\nc: 1.2.3\ne: 10-20\nf: 12:345\n", "f")
    assert document.faults == ()
    assert list(document.data.values()) == ["127.0.0.1:8080", "2026-11-20", "1.2.3", "10-20", "12:345"]


def test_positions_of_keys_and_values() -> None:
    document = parse("site: {id: a}\nlinks:\n  plc:\n    port: [1, 22]\n", "f")
    assert document.position(("site", "id")) == (1, 12)
    assert document.key_position(("site", "id")) == (1, 8)
    assert document.position(("links", "plc")) == (4, 5)
    assert document.key_position(("links", "plc", "port")) == (4, 5)
    assert document.position(("links", "plc", "port", 1)) == (4, 15)
    assert document.position(("links", "plc", "absent")) == (4, 5)
    assert str(document.fault(("site", "id"), "what", "todo")) == "f:1:12: what; todo"


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Yes", "NO", "On", "OFF"])
def test_old_truth_values_are_faults_as_values_and_text_in_quotes(word: str) -> None:
    assert len(faults(f"a: {word}")) == 1
    assert faults(f'a: "{word}"') == []


@pytest.mark.parametrize("word", ["yes", "no", "off", "On", "true", "17", "1.5", "~", "0x10"])
def test_keys_that_are_no_text_are_faults(word: str) -> None:
    assert len(faults(f"{word}: a")) == 1
    assert faults(f'"{word}": a') == []


def test_on_is_a_key() -> None:
    document = parse("on: feeder", "f")
    assert (document.data, document.faults) == ({"on": "feeder"}, ())


@pytest.mark.parametrize(
    "number", ["010", "-007", "0123", "1:30", "1:30:15.5", "1_000", "0b11", ".nan", ".inf", "-.INF"]
)
def test_numbers_that_readers_disagree_about(number: str) -> None:
    assert len(faults(f"a: {number}")) == 1
    assert faults(f'a: "{number}"') == []


def test_alias_and_merge() -> None:
    document = parse(
        "base: &base {poll: 1 s, unit: 1}\nmore: &more {unit: 2, mode: auto}\n"
        "one: *base\ntwo:\n  <<: *base\n  unit: 5\nthree: {<<: [*base, *more], unit: 7}\nfour: {'<<': text}\n",
        "f",
    )
    assert document.faults == ()
    assert document.data["one"] == {"poll": "1 s", "unit": 1}
    assert document.data["two"] == {"poll": "1 s", "unit": 5}
    assert document.data["three"] == {"poll": "1 s", "unit": 7, "mode": "auto"}
    assert document.data["four"] == {"<<": "text"}
    assert document.position(("two", "poll")) == (1, 20)
    assert document.position(("two", "unit")) == (6, 9)


def test_merge_into_nested_merge() -> None:
    document = parse("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n", "f")
    assert document.data["c"] == {"z": 3, "y": 2, "x": 1}


def test_an_alias_of_itself_is_a_fault_and_ends() -> None:
    assert len(faults("a: &a [*a]")) == 1
    assert len(faults("a: &a {<<: *a, b: 1}")) == 1


def test_an_explosion_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any("aliases make more than" in fault for fault in faults("\n".join(lines)))


def test_a_syntax_error_hides_only_its_own_entry() -> None:
    document = parse("a: {x: 1}\nb:\n  one: {x: 1\n  two: {y: 2}\nc: [1\nd: 010\n", "f")
    assert [fault.line for fault in document.faults] == [3, 5, 6]
    assert document.broken == {"b", "c"}
    assert document.data == {"a": {"x": 1}, "b": {"two": {"y": 2}}, "d": "010"}


def test_an_anchor_lost_with_a_broken_part_is_no_second_fault() -> None:
    document = parse("a: &a {x: 1\nb: *a\nc: 1\n", "f")
    assert [fault.line for fault in document.faults] == [1]


def test_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"site: {id: a}\nx: \xff\n")
    with pytest.raises(ConfigError) as caught:
        read_file(str(path))
    (fault,) = caught.value.faults
    assert (fault.line, fault.column) == (2, 4)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_file(str(tmp_path / "none.yaml"))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xef\xbb\xbfsite: 1\n")
    assert parse(read_file(str(path)), "f").data == {"site": 1}


@given(st.text(max_size=200))
def test_any_text_ends_in_a_document(text: str) -> None:
    document = parse(text, "f")
    lines = text.count("\n") + 1
    for fault in document.faults:
        assert fault.line >= 1 and fault.column >= 1
        assert fault.line <= lines + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abcdefgh kW%:#-{}[],*&!", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), VALUES, max_size=5))
def test_what_yaml_writes_is_read_back(value: dict[str, object]) -> None:
    document = parse(yaml.safe_dump(value), "f")
    assert document.faults == ()
    assert (document.data or {}) == value


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: {b: 1 c: 2}", (1, 11), "a comma or } is missing"),
        ("a: [1,\n", (1, 7), "ends within brackets"),
        ('a: "x\nb: 1\n', (1, 4), "never closed"),
        ('a: "\\q"', (1, 5), "backslash"),
        ("a: b\n  c: d\n", (2, 4), "a colon is not possible here"),
        ("a:\n  b: 1\n c: 2\n", (3, 2), "does not fit"),
        ("a:\n  - 1\n  b: 2\n", (3, 3), "does not fit"),
        ("a: @x", (1, 4), "cannot start with @"),
        ("a: *x", (1, 4), "anchor that does not exist"),
        ("a: *", (1, 5), "without a name"),
        ("a:\n\tb: 1\n", (2, 1), "a tab"),
        ("a:1\nb: 2\n", (1, 3), "a space lacks"),
        ("a: \x01", (1, 4), "control characters"),
    ],
)
def test_syntax_in_words(text: str, place: tuple[int, int], words: str) -> None:
    fault = parse(text, "f").faults[0]
    assert words in fault.what
    assert (fault.line, fault.column) == place
