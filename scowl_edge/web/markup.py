"""Lists of terms and tables as HTML, from the declarations that the scripts use too; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from scowl_edge.web.tables import Column, Table, cell, tone

_ROWS_AT_ONCE = 100
"""Rendered between two breaths of the event loop."""


def terms(columns: tuple[Column, ...], row: dict[str, Any] | None, *, name: str = "", kind: str = "") -> str:
    """Entries with their values of one row, as a list of terms; `name` is its id, and its class if no `kind` is."""
    entries = "".join(
        f'<div data-entry="{entry.key}"><dt>{escape(entry.title)}</dt>'
        f'<dd data-key="{entry.key}" data-kind="{entry.kind}">{escape(cell(entry, row))}</dd></div>'
        for entry in columns
    )
    own = f' id="{name}"' if name else ""
    return f'<dl{own} class="{kind or name}">{entries}</dl>'


def table_inside(table: Table, rows: list[dict[str, Any]], title: str) -> Iterator[str]:
    """A table and what stands in its place while it has no row; `title` is the id of its heading."""
    heads = "".join(
        f'<th scope="col" data-kind="{column.kind}">{escape(column.title)}</th>' for column in table.columns
    )
    yield (
        f'<p class="empty"{" hidden" if rows else ""}>{escape(table.empty)}</p>'
        f'<div class="scroll" tabindex="0" role="group" aria-labelledby="{title}"{"" if rows else " hidden"}>'
        f'<table data-table="{table.name}"><caption>{escape(table.caption or table.title)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>"
    )
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        yield "".join(_row(table, row) for row in rows[begin : begin + _ROWS_AT_ONCE])
    yield "</tbody></table></div>"


def _row(table: Table, row: dict[str, Any]) -> str:
    cells = "".join(_cell(n, column, cell(column, row)) for n, column in enumerate(table.columns))
    key = f' data-row="{escape(str(row[table.row_key]))}"' if table.row_key else ""
    return f'<tr{key} data-tone="{tone(table, row)}">{cells}</tr>'


def _cell(n: int, column: Column, text: str) -> str:
    none = " data-none" if text == "–" else ""
    attributes = f'data-kind="{column.kind}" data-title="{escape(column.title)}"{none}'
    return f"<td {attributes}>{escape(text)}</td>" if n else f"<th scope=row {attributes}>{escape(text)}</th>"
