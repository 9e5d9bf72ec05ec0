"""`/`: one plain live page. The tables are declared here; the server fills them once, the page's script each second.

Both read the JSON of `/api/v1`, by the keys that stand in the table's heads, so that the page works without a script.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import orjson
from aiohttp import web

from scowl_edge.model.reason import watts
from scowl_edge.model.view import RegionView
from scowl_edge.web import present
from scowl_edge.web.published import Published

_POWER_VERBS = ("setpoint", "limit", "shed")
"""Verbs whose values are watts; page.html knows the same."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or one entry of the balance."""

    title: str
    key: str
    kind: str = "text"
    """text, watts, time, flag (yes or no), up, reason, list, actuators, seconds."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table over one list of the API."""

    name: str
    """Key of the list, and last part of its path."""
    title: str
    columns: tuple[Column, ...]
    empty: str
    tones: tuple[tuple[str, Any, str], ...] = ()
    """(key, value, tone bad or warn): colours a row, first match wins."""


BALANCE = (
    Column("Mode", "mode"),
    Column("Ladder", "rung"),
    Column("Generation", "generation_w", "watts"),
    Column("Demand", "demand_w", "watts"),
    Column("Served", "served_w", "watts"),
    Column("Deferred", "deferred_w", "watts"),
    Column("Shed", "shed_w", "watts"),
    Column("Unserved", "unserved_w", "watts"),
    Column("Grid, + import", "grid_net_w", "watts"),
    Column("Unmetered", "unmetered_w", "watts"),
    Column("Head-room", "headroom_w", "watts"),
    Column("Worst alarm", "worst_alarm"),
    Column("Oldest data", "oldest_data_s", "seconds"),
    Column("Step", "step"),
    Column("Time", "time", "time"),
)

TABLES = (
    Table(
        "alarms",
        "Alarms",
        (
            Column("Priority", "priority"),
            Column("Since", "since", "time"),
            Column("Alarm", "key"),
            Column("Cause", "cause", "reason"),
        ),
        "No alarm stands.",
        (("priority", "critical", "bad"), ("priority", "high", "bad"), ("priority", "medium", "warn")),
    ),
    Table(
        "trees",
        "Trees",
        (
            Column("Tree", "name"),
            Column("Bus", "bus"),
            Column("Load", "load_w", "watts"),
            Column("Safe load", "safe_w", "watts"),
            Column("Output", "output_w", "watts"),
            Column("Over-assigned", "over_assigned_w", "watts"),
            Column("Blackout", "blackout", "flag"),
            Column("Members", "members", "list"),
        ),
        "There is no tree.",
        (("blackout", True, "bad"), ("fresh", False, "warn")),
    ),
    Table(
        "devices",
        "Devices",
        (
            Column("Device", "name"),
            Column("Kind", "kind"),
            Column("Answers", "up", "up"),
            Column("State", "state"),
            Column("Mode", "mode"),
            Column("Power, + consumed", "power_w", "watts"),
            Column("Tree", "tree"),
            Column("Why", "why", "reason"),
            Column("Commands", "actuators", "actuators"),
        ),
        "There is no device.",
        (("up", False, "bad"), ("state", "choked", "bad"), ("state", "starved", "bad"), ("state", "shed", "warn")),
    ),
    Table(
        "ratings",
        "Ratings",
        (
            Column("Rating", "name"),
            Column("Kind", "kind"),
            Column("Within", "within"),
            Column("Load a, b, c (VA)", "load_va", "list"),
            Column("Import (VA)", "import_va"),
            Column("Export (VA)", "export_va"),
            Column("Head-room", "headroom_w", "watts"),
            Column("Unmetered", "unmetered_w", "watts"),
            Column("Fresh", "fresh", "flag"),
        ),
        "There is no rating.",
        (("fresh", False, "warn"),),
    ),
    Table(
        "decisions",
        "Last decisions",
        (
            Column("Time", "time", "time"),
            Column("Rung", "rung"),
            Column("Device", "device"),
            Column("Power", "amount_w", "watts"),
            Column("Reason", "reason", "reason"),
        ),
        "Nothing was decided yet.",
    ),
)


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
        f"{escape(_cell(entry, region))}</dd></div>"
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
    tone = next((tone for key, value, tone in table.tones if row[key] == value), "")
    cells = "".join(
        f'<{"th scope=row" if n == 0 else "td"} data-kind="{column.kind}">{escape(_cell(column, row))}'
        f"</{'th' if n == 0 else 'td'}>"
        for n, column in enumerate(table.columns)
    )
    return f'<tr data-tone="{tone}">{cells}</tr>'


def _cell(column: Column, row: dict[str, Any] | None) -> str:
    """One value in words; a dash for what is not known. page.html's `cell` does the same."""
    value = None if row is None else row[column.key]
    if column.kind == "up":
        return "not tried yet" if value is None else "yes" if value else "no"
    if value is None or value == "" or value == []:
        return "–"
    match column.kind:
        case "watts":
            return watts(value)
        case "time":
            return str(value[:19].replace("T", " ")) + " UTC"
        case "flag":
            return "yes" if value else "no"
        case "seconds":
            return f"{value:.1f} s"
        case "reason":
            return str(value["text"])
        case "list":
            return ", ".join(map(str, value))
        case "actuators":
            return "; ".join(map(_actuator, value))
        case _:
            return str(value)


def _actuator(actuator: dict[str, Any]) -> str:
    target = actuator["target"]
    if target is None:
        return f"{actuator['verb']}: {actuator['state']}"
    shown = watts(target) if actuator["verb"] in _POWER_VERBS else str(target)
    return f"{actuator['verb']} {shown}: {actuator['state']}"
