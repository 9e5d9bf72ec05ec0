"""The text format's corners."""

from __future__ import annotations

from scowl_edge.web.exposition import CHUNK_SAMPLES, Family, label_set, number


def test_label_values_are_escaped() -> None:
    assert label_set([("device", 'a"b\\c\nd'), ("unit", "W")]) == r'{device="a\"b\\c\nd",unit="W"}'


def test_no_labels_no_braces() -> None:
    assert label_set([]) == ""


def test_numbers_read_back_the_same() -> None:
    assert number(0.1 + 0.2) == "0.30000000000000004"
    assert number(-3) == "-3"
    assert number(float("inf")) == "+Inf"
    assert number(float("-inf")) == "-Inf"
    assert number(float("nan")) == "NaN"


def test_head_once_over_many_chunks() -> None:
    family = Family("scowl_test_watts", "gauge", "A line\nbreak and a \\.")
    chunks = list(family.chunks((label_set([("n", str(n))]), n) for n in range(2 * CHUNK_SAMPLES + 1)))
    text = b"".join(chunks).decode()
    assert len(chunks) == 3
    assert text.count("# HELP ") == text.count("# TYPE ") == 1
    assert text.startswith("# HELP scowl_test_watts A line\\nbreak and a \\\\.\n# TYPE scowl_test_watts gauge\n")
    assert text.endswith(f'\nscowl_test_watts{{n="{2 * CHUNK_SAMPLES}"}} {2 * CHUNK_SAMPLES}\n')


def test_family_without_samples_is_absent() -> None:
    assert list(Family("scowl_test_watts", "gauge", "None.").chunks([])) == []
