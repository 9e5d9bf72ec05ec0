"""How values of the API are said to people. `static/words.js` says the same; a browser test holds the two together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scowl_edge.model.reason import watts

POWER_VERBS = ("setpoint", "limit", "shed", "failsafe")
"""Verbs whose values are watts."""

USES_TOLD = 4
"""Of what flows through a rating, the largest so many are named."""

RUNGS = {
    "balanced": "in balance",
    "lift-curtailment": "let held-back wind and sun produce",
    "stop-storing": "stores stop charging",
    "raise-continuous": "engines produce more",
    "discharge-storage": "stores discharge",
    "start-fixed": "fixed blocks come on",
    "activate-offers": "appliances are asked for what they offer",
    "shed": "asked to give up load",
    "starve": "cut off, least important first",
    "feed-starving": "who was cut off is fed again",
    "restore-shed": "load that gave way comes back",
    "end-offers": "appliances go on as they intended",
    "stop-discharge": "stores stop discharging",
    "lower-continuous": "engines produce less",
    "stop-fixed": "fixed blocks go off",
    "relax-limit": "limits are relaxed",
    "fill-storage": "stores are filled",
    "curtail": "wind and sun are held back",
    "protect-storage": "an empty store is kept alive",
    "sleep": "an empty store sleeps",
    # The same and more, of populations.
    "restore-sheds": "load that gave way comes back",
    "stop-plants": "plants go off",
    "wake-and-fill": "stores wake and are filled",
    "feed": "who was cut off is fed again",
    "plants-lost": "plants went dark",
    # Decisions beside the ladder.
    "shed-failed": "a shed did not come",
    "shed-expired": "a shed came to its end",
    "blackout": "a tree went dark",
    "order": "a person's order",
    "granted": "gives up load",
    "refused": "refuses to give up load",
    "in-doubt": "has not answered",
    "withdrawn": "takes its load back early",
    "released": "its shed is over",
    "flex": "runs what was selected",
    "flex-taken": "what was selected gave way to the region",
}
"""Names of rungs -> what people read."""

WORDS = {
    "out-of-service": "out of service",
    # Kinds of events.
    "alarm-raised": "alarm",
    "alarm-cleared": "alarm over",
    "alarm-acknowledged": "alarm acknowledged",
    "alarm-shelved": "alarm shelved",
    "alarm-unshelved": "alarm unshelved",
    "link-up": "link up",
    "link-down": "link down",
    "device-up": "device answers",
    "device-down": "device silent",
    "order-ended": "order over",
    "boot": "daemon started",
    "stop": "daemon stopped",
    "journal-gap": "gap in the journal",
    "step-failed": "step failed",
    "batches-refused": "reports refused",
    # What becomes of a command.
    "timed_out": "timed out",
    "no_effect": "no effect",
    "in_doubt": "in doubt",
    # Flexibility: where appliances, selections and limits stand, and why they ended.
    "UNREGISTERED": "unknown",
    "AUTHENTICATING": "being checked",
    "REGISTERED": "registered",
    "INITIALISING": "being set up",
    "NORMAL": "in service",
    "OPTED_OUT": "opted out",
    "SUSPENDED": "faulty",
    "DETACHED": "not heard",
    "DEREGISTERED": "gone",
    "PENDING": "asked",
    "ACCEPTED": "accepted",
    "SCHEDULED": "scheduled",
    "ACTIVE": "runs",
    "INTERRUPTED": "paused",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
    "OVERRIDDEN": "overridden",
    "ABORTED": "aborted",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
    "WITHDRAWN": "withdrawn",
    "NOTHING": "nothing",
    "PLEDGED": "pledged",
    "EFFECTIVE": "effective",
    "ROUTINE": "routine",
    "RESPONSE": "response",
    "INIT": "fail-safe, never told",
    "UNLIMITED": "unlimited",
    "LIMITED": "limited",
    "FAILSAFE": "fail-safe",
    "AUTONOMOUS": "left alone",
    "OFFLINE": "offline",
    "IDLE": "idle",
    "RUNNING": "runs",
    "PAUSED": "pauses",
    "FAULT": "faulty",
    "EVSE": "charge point",
    "SPACE_HEATING": "heating",
    "WATER_HEATING": "hot water",
    "COOLING": "cooling",
    "BATTERY": "battery",
    "COLD": "cold store",
    "WET": "washing",
    "OTHER": "other",
    "flex": "flexibility",
}
"""Other names that programs use -> what people read; any further name is its own word."""

Row = Mapping[str, Any]


def word(name: Any) -> str:
    """A name as people read it."""
    return WORDS.get(str(name), str(name))


def time_of(value: str) -> str:
    """2026-03-01T12:00:00.250Z -> 2026-03-01 12:00:00."""
    return value[:19].replace("T", " ")


def volt_amperes(value_va: int) -> str:
    """Like `watts`."""
    return watts(value_va).replace("W", "VA")


def percent(part: float, whole: float) -> str:
    """`part` of `whole`, rounded half up as JavaScript rounds; more than nothing of nothing is too much."""
    if whole <= 0:
        return "0 %" if part <= 0 else "over"
    return f"{int(100 * part / whole + 0.5)} %"


def worst_phase(row: Row) -> tuple[int, int, str]:
    """(load, limit, direction) in VA of the phase that is nearest to its limit; limit -1 where nothing limits."""
    sides = [(load, row["import_va"], "import") for load in row["load_va"]]
    sides += [(-load, row["export_va"], "export") for load in row["load_va"]]
    limited = [side for side in sides if side[1] >= 0 and side[0] >= 0]
    if not limited:
        return max(abs(load) for load in row["load_va"]), -1, ""
    return max(limited, key=lambda side: side[0] / side[1] if side[1] else float(side[0] > 0))


def share(kind: str, row: Row) -> float | None:
    """How full the bar of a cell is, 0 to 1 and above; None for kinds without a bar."""
    if kind == "tree-load":
        load, safe = row["load_w"], row["safe_w"]
    elif kind == "feeder-load":
        load, safe = row["load_w"], row["limit_w"]
    elif kind == "worst-phase":
        load, safe, _ = worst_phase(row)
    else:
        return None
    return 0.0 if load <= 0 or safe < 0 else load / safe if safe else 2.0


def actuator_value(verb: str, value: int | None) -> str:
    """A target or a read-back of an actuator."""
    if value is None:
        return "–"
    if verb == "connect":
        return "on" if value else "off"
    if verb == "failsafe_timeout":
        return f"{value / 1000:g} s"
    return watts(value) if verb in POWER_VERBS else str(value)


def _actuator(actuator: Row) -> str:
    shown = actuator_value(actuator["verb"], actuator["target"])
    withheld = actuator.get("withheld")
    why = f" ({withheld['text']})" if withheld else ""
    return f"{actuator['verb']} {shown}: {word(actuator['state'])}{why}"


def _mode(value: str, row: Row) -> str:
    parts = [word(value)]
    if row.get("mode_why"):
        parts.append(f"by {row['mode_who']}: {row['mode_why']}")
    if row.get("mode_until"):
        parts.append(f"until {time_of(row['mode_until'])}")
    veto = row.get("veto") or {}
    if veto.get("active"):
        parts.append(f"veto by {veto['by']}: {veto['why']}")
    return ", ".join(parts)


def _starved(value: Row, row: Row) -> str:
    count = value.get("starved", 0) + value.get("choked", 0)
    return f"{count} ({watts(row['unserved_w'])})" if count or row["unserved_w"] else "0"


def _worst(value: str | None, row: Row) -> str:
    count = sum(row["alarms"].values())
    return f"{value} ({count})" if value else "none"


def _data(value: str | None, row: Row) -> str:
    if row["up"] is None:
        return "not tried yet"
    if not row["up"]:
        return f"no answer: {row['down_cause']}" if row.get("down_cause") else "no answer"
    return value or "answers"


def _handling(value: Row | None, row: Row) -> str:
    shelved = row.get("shelved")
    parts = [] if value is None else [f"acknowledged by {value['by']}: {value['why']}"]
    if shelved:
        parts.append(f"shelved by {shelved['by']} until {time_of(shelved['until'])}: {shelved['why']}")
    return "; ".join(parts) or "new"


def _tree_load(load_w: int, row: Row) -> str:
    return f"{watts(load_w)} of {watts(row['safe_w'])} ({percent(load_w, row['safe_w'])})"


def _worst_phase(_: Any, row: Row) -> str:
    load, limit, direction = worst_phase(row)
    if limit < 0:
        return f"{volt_amperes(load)}, no limit"
    return f"{volt_amperes(load)} of {volt_amperes(limit)} {direction} ({percent(load, limit)})"


def _limits(_: Any, row: Row) -> str:
    sides = (("in", row["import_va"]), ("out", row["export_va"]))
    return ", ".join(f"{volt_amperes(limit)} {side}" for side, limit in sides if limit >= 0) or "none"


def _uses(value: list[Row] | None, _: Row) -> str:
    uses = value or []
    told = [f"{use['device']} {watts(use['net_w'])}" for use in uses[:USES_TOLD]]
    more = [f"{len(uses) - USES_TOLD} more"] if len(uses) > USES_TOLD else []
    return ", ".join(told + more) or "–"


def _served(served_w: int, row: Row) -> str:
    if row["wanted_w"] <= 0:
        return watts(served_w)
    # Rounded down: only what is whole is called so.
    return f"{watts(served_w)} ({served_w * 10_000 // row['wanted_w'] / 100:.2f} %)"


def _population(consumers: int, row: Row) -> str:
    kernels = "compiled" if row["compiled"] else "plain Python"
    return f"{consumers:,}, {row['kind']}, {kernels}"


def _counts(value: Row, _: Row) -> str:
    return ", ".join(f"{word(why)} {count:,}" for why, count in value.items() if count) or "none"


def _delivered(delivered_w: int, row: Row) -> str:
    promised_w = row["promised_w"]
    # What is promised to be fed back is below nothing, as what is delivered of it.
    sign = -1 if promised_w < 0 else 1
    return f"{watts(delivered_w)} of {watts(promised_w)} ({percent(sign * delivered_w, sign * promised_w)})"


KINDS: dict[str, Callable[[Any, Row], str]] = {
    "text": lambda value, _: str(value),
    "word": lambda value, _: word(value),
    "rung": lambda value, _: RUNGS.get(value, str(value)),
    "watts": lambda value, _: watts(value),
    "time": lambda value, _: time_of(value),
    "seconds": lambda value, _: f"{value:.1f} s",
    "age": lambda value, _: f"{int(value + 0.5)} s",
    "reason": lambda value, _: str(value["text"]),
    "list": lambda value, _: ", ".join(map(str, value)),
    "left-alone": lambda value, _: "stays as left" if value else "falls back",
    "actuators": lambda value, _: "; ".join(_actuator(a) for a in value if a["target"] is not None) or "–",
    "device": lambda value, _: str(value),
    "phases": lambda value, _: ", ".join(map(volt_amperes, value)),
    "mode": _mode,
    "starved": _starved,
    "tree-load": _tree_load,
    "feeder-load": lambda load_w, row: (
        f"{watts(load_w)} of {watts(row['limit_w'])} ({percent(load_w, row['limit_w'])})"
    ),
    "count": lambda value, _: f"{value:,}",
    "class": lambda value, _: f"{value} (protected)" if value == 0 else str(value),
    "served": _served,
    "population": _population,
    "counts": _counts,
    "limits": _limits,
    "delivered": _delivered,
    "ppm": lambda value, _: f"{value // 10_000} %",
}
"""Kinds that say a dash for what is not known."""

KINDS_THAT_KNOW_NOTHING_TOO: dict[str, Callable[[Any, Row], str]] = {
    "worst": _worst,
    "data": _data,
    "handling": _handling,
    "worst-phase": _worst_phase,
    "uses": _uses,
    "tree-state": lambda value, row: "without power" if value else "fed" if row["fresh"] else "not measured freshly",
    "plant-state": lambda value, row: (
        ("in service" if value else "out of service") + ("" if row["fresh"] else ", not measured freshly")
    ),
    "meter": lambda value, row: ("measured" if row["metered"] else "summed up") + ("" if value else ", not fresh"),
}
"""Kinds that have a word for it."""


def text_of(kind: str, value: Any, row: Row) -> str:
    """A value of an API object in words."""
    special = KINDS_THAT_KNOW_NOTHING_TOO.get(kind)
    if special is not None:
        return special(value, row)
    if value is None or value == "" or value == []:
        return "–"
    return KINDS[kind](value, row)
