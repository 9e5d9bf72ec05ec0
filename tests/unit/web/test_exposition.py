"""The text format's corners."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from scowl_edge.web.exposition import CHUNK_ROWS, CHUNK_SAMPLES, Column, Family, label_set, number, numbers

FAMILY = Family("scowl_test_watts", "gauge", "A line\nbreak and a \\.")


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
    chunks = list(FAMILY.chunks((label_set([("n", str(n))]), n) for n in range(2 * CHUNK_SAMPLES + 1)))
    text = b"".join(chunks).decode()
    assert len(chunks) == 3
    assert text.count("# HELP ") == text.count("# TYPE ") == 1
    assert text.startswith("# HELP scowl_test_watts A line\\nbreak and a \\\\.\n# TYPE scowl_test_watts gauge\n")
    assert text.endswith(f'\nscowl_test_watts{{n="{2 * CHUNK_SAMPLES}"}} {2 * CHUNK_SAMPLES}\n')


def test_family_without_samples_is_absent() -> None:
    assert list(FAMILY.chunks([])) == []


@settings(deadline=None)
@given(st.lists(st.floats(width=64), max_size=50))
def test_bulk_numbers_are_the_numbers_one_by_one(values: list[float]) -> None:
    back = [float(text) for text in numbers(np.array(values, np.float64))]
    assert all(math.isnan(b) if math.isnan(v) else b == v for b, v in zip(back, values, strict=True))
    special = [t for t, v in zip(numbers(np.array(values, np.float64)), values, strict=True) if not math.isfinite(v)]
    assert special == [number(v).encode() for v in values if not math.isfinite(v)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(allow_nan=False), st.booleans()), max_size=40))
def test_a_column_writes_what_a_family_writes(rows: list[tuple[float, bool]]) -> None:
    # Neighbours share their first label; some have no other, and one none at all.
    pairs = [[("group", f"{n // 3}}}"), ("n", f'{n}"\\\n')][: 1 + (n % 5 > 0)] if n else [] for n in range(len(rows))]
    sets = [label_set(one) for one in pairs]
    values = np.array([value for value, _ in rows], np.float64)
    shown = np.array([show for _, show in rows], np.bool_)
    column = b"".join(Column(FAMILY, pairs).chunks(values, shown)).decode()
    plain = b"".join(FAMILY.chunks((sets[n], value) for n, (value, show) in enumerate(rows) if show)).decode()
    # Both are the shortest form that reads back the same, but not letter by letter.
    assert [_parted(line) for line in column.splitlines()] == [_parted(line) for line in plain.splitlines()]


def test_a_column_of_many_chunks_loses_nothing() -> None:
    count = 2 * CHUNK_ROWS + 7
    column = Column(FAMILY, [[("n", str(n))] for n in range(count)])
    shown = np.ones(count, np.bool_)
    shown[:CHUNK_ROWS] = False
    shown[CHUNK_ROWS + 3] = False
    chunks = list(column.chunks(np.arange(count, dtype=np.float64), shown))
    assert len(chunks) == 2
    seen = _read(b"".join(chunks).decode())
    assert list(seen.values()) == [float(n) for n in range(count) if shown[n]]
    assert all(labels == f"{value:g}" for labels, value in seen.items())


def test_a_column_with_nothing_to_show_is_absent() -> None:
    assert list(Column(FAMILY, [[]]).chunks(np.zeros(1), np.zeros(1, np.bool_))) == []
    assert list(Column(FAMILY, []).chunks(np.zeros(0))) == []


def _parted(line: str) -> tuple[str, object]:
    """A line without its value, and the value."""
    before, _, value = line.rpartition(" ")
    return (line, None) if line.startswith("#") else (before, float(value))


def _read(text: str) -> dict[str, float]:
    """Label n -> value, as the library's parser reads it."""
    return {s.labels["n"]: s.value for family in text_string_to_metric_families(text) for s in family.samples}
