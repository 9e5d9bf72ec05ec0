"""Cells of a file that people open in spreadsheets."""

from __future__ import annotations

import csv
from io import StringIO

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.web.csv_text import text_of

cells = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12))


@given(st.lists(st.lists(cells, min_size=2, max_size=4), max_size=5))
def test_what_is_written_is_read_and_no_text_is_a_formula(rows: list[list[str | int | float | None]]) -> None:
    read = list(csv.reader(StringIO(text_of(rows).decode(), newline=""), strict=True))
    assert len(read) == len(rows)
    for written, found in zip(rows, read, strict=True):
        for cell, text in zip(written, found, strict=True):
            if isinstance(cell, str):
                assert text.removeprefix("'") == cell.removeprefix("'")
                assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))
            else:
                assert text == ("" if cell is None else str(cell))
