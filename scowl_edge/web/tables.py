"""What the page and `scowl-edge status` show: entries and tables over the JSON of `/api/v1`, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scowl_edge.model.reason import watts

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


def tone(table: Table, row: Mapping[str, Any]) -> str:
    """bad, warn or nothing."""
    return next((name for key, value, name in table.tones if row[key] == value), "")


def cell(column: Column, row: Mapping[str, Any] | None) -> str:
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
