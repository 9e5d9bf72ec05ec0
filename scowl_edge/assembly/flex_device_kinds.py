"""Kinds of values that devices of flexibility have: a programme, a time of the day."""

from __future__ import annotations

import re
from typing import Any

from scowl_edge.assembly.kinds import Kind, Text, Wrong, found
from scowl_edge.model.quantity import POWER, TIME, QuantityError

_MOST_STEPS = 48


class Programme(Kind):
    """What a machine takes, one stretch after the other."""

    label = "list of TIME at POWER"
    bounds = f"1 to {_MOST_STEPS} stretches of whole seconds, each with some power"

    def accept(self, value: Any) -> tuple[tuple[int, int], ...]:
        if not isinstance(value, list) or not 0 < len(value) <= _MOST_STEPS:
            raise Wrong(f"is {found(value)}", "write a list, e.g. [20 min at 2 kW, 40 min at 200 W]")
        return tuple(_stretch(part) for part in value)

    def show(self, value: Any) -> str:
        return "[" + ", ".join(f"{seconds} s at {power_w} W" for seconds, power_w in value) + "]"

    def json(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "pattern": r"^.+ at .+$"}, "minItems": 1}


def _stretch(part: Any) -> tuple[int, int]:
    todo = "write each stretch as TIME at POWER, e.g. 20 min at 2 kW"
    halves = part.split(" at ") if isinstance(part, str) else []
    if len(halves) != 2:
        raise Wrong(f"holds {found(part)}", todo)
    try:
        length_ms, power_w = TIME(halves[0]), POWER(halves[1])
    except QuantityError as error:
        raise Wrong(f'holds "{part}": {error.what}', error.todo) from None
    if length_ms < 1_000 or length_ms % 1_000 or length_ms > 86_400_000 or power_w < 1:
        raise Wrong(f'holds "{part}"', "a stretch lasts whole seconds, a day at most, and takes some power")
    return length_ms // 1_000, power_w


_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")

TIME_OF_DAY = Text("time of the day", form=_OF_DAY.pattern, said='HH:MM in UTC, in quotes, e.g. "06:30"')


def of_day_ms(text: str) -> int:
    """Milliseconds after midnight of a time that was checked."""
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000
