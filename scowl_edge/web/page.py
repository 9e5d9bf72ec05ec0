"""`/`: one plain live page. The server fills its tables once, the page's script each second.

Both read the JSON of `/api/v1`, by the keys that stand in the tables' heads, so that the page works without a script.
"""

from __future__ import annotations

import secrets
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import orjson
from aiohttp import web

from scowl_edge.model.view import RegionView
from scowl_edge.web import present
from scowl_edge.web.published import Published
from scowl_edge.web.tables import BALANCE, TABLES, Table, cell, tone


class Page:
    """Serves the page with its first state filled in."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._template = Template(files("scowl_edge.web").joinpath("page.html").read_text(encoding="utf-8"))

    async def serve(self, request: web.Request) -> web.Response:
        """The page; nothing in it comes from elsewhere, and only its own script runs."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        view = self._published.region()
        text = self._template.substitute(
            nonce=nonce,
            site=escape(view.site if view is not None else "scowl-edge"),
            status="As of the last step." if view is not None else "Starting: the first step is not done yet.",
            body=render(view, present.oldest_data_s(self._published)),
        )
        return web.Response(
            text=text, content_type="text/html", charset="utf-8", headers={"Content-Security-Policy": policy}
        )


def render(view: RegionView | None, oldest_data_s: float | None) -> str:
    """The balance and the tables as HTML; empty ones before the first step."""
    data: dict[str, Any] = {}
    if view is not None:
        data = _as_json(
            {
                "region": present.region(view, oldest_data_s),
                "alarms": present.alarms(view.alarms),
                "trees": [present.tree(tree) for tree in view.trees],
                "devices": [present.device(device) for device in view.devices],
                "ratings": [present.rating(rating) for rating in view.ratings],
                "decisions": [present.decision(decision) for decision in view.decisions],
            }
        )
    region = data.get("region")
    entries = "".join(
        f'<div><dt>{escape(entry.title)}</dt><dd data-key="{entry.key}" data-kind="{entry.kind}">'
        f"{escape(cell(entry, region))}</dd></div>"
        for entry in BALANCE
    )
    return f'<dl id="balance">{entries}</dl>\n' + "\n".join(_table(table, data.get(table.name, [])) for table in TABLES)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """What the API would send: the page's cells are made from the same keys as its script's."""
    loaded: dict[str, Any] = orjson.loads(orjson.dumps(value))
    return loaded


def _table(table: Table, rows: list[dict[str, Any]]) -> str:
    heads = "".join(
        f'<th scope="col" data-key="{column.key}" data-kind="{column.kind}">{escape(column.title)}</th>'
        for column in table.columns
    )
    lines = "".join(_row(table, row) for row in rows)
    tones = escape(orjson.dumps(table.tones).decode())
    hidden = " hidden" if rows else ""
    return (
        f'<section aria-labelledby="{table.name}-title"><h2 id="{table.name}-title">{escape(table.title)}</h2>'
        f'<p class="empty"{hidden}>{escape(table.empty)}</p>'
        f'<div class="scroll" tabindex="0" role="group" aria-labelledby="{table.name}-title">'
        f'<table data-list="{table.name}" data-tones="{tones}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def _row(table: Table, row: dict[str, Any]) -> str:
    cells = "".join(
        f'<{"th scope=row" if n == 0 else "td"} data-kind="{column.kind}">{escape(cell(column, row))}'
        f"</{'th' if n == 0 else 'td'}>"
        for n, column in enumerate(table.columns)
    )
    return f'<tr data-tone="{tone(table, row)}">{cells}</tr>'
