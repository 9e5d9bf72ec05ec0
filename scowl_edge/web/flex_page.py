"""Flexibility on the page: a section, filled in once here, then kept up to date by `static/flexibility.js`."""

from __future__ import annotations

from html import escape
from typing import Any

from scowl_edge.web.markup import table_inside, terms
from scowl_edge.web.tables import FLEX, FLEX_TABLES

TITLE = "Flexibility"


def section(data: dict[str, Any] | None) -> str:
    """The section; hidden where the site has no part in flexibility, or nothing is known yet."""
    inside = []
    for table in FLEX_TABLES:
        rows = data[table.list_name] if data is not None else []
        title = f"flex-{table.name}-title"
        held = "".join(table_inside(table, rows, title))
        inside.append(
            f'<div data-list="{table.name}"><h3 id="{title}" tabindex="-1">{escape(table.title)}</h3>{held}</div>'
        )
    return (
        f'<section id="flex"{"" if data is not None else " hidden"} aria-labelledby="flex-title">'
        f'<h2 id="flex-title" tabindex="-1">{TITLE}</h2>'
        f"{terms(FLEX, data['flex'] if data is not None else None, kind='figures')}"
        f"{''.join(inside)}</section>\n"
    )
