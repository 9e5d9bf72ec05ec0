"""Keys of the roles that a device can have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from scowl_edge.assembly.kinds import Choice, Flag, Measure, Named, Whole
from scowl_edge.assembly.section import Delay, Magnitude, Positive, Section, Share, key
from scowl_edge.model.quantity import ENERGY, FRACTION, POWER, RAMP, TIME, Quantity


class Failsafe(Section):
    """What the device falls back to by itself when nobody writes to it any more; set in the device, declared here."""

    limit: Magnitude | None = key(None, "Most power it then draws or produces.", "20 kW", shown="none")
    setpoint: Annotated[int, Measure(POWER)] | None = key(
        None, "Power it then goes to; of stores + charges, - discharges.", "0 W", shown="none"
    )
    timeout: Positive = key(..., "The device's own time-out towards it.", "60 s")


class RoleSection(Section):
    """What all roles know."""

    signals: dict[str, Annotated[str, Named("a point")]] | None = key(
        None,
        "Which point is which signal of the role.",
        "{power: p_total, limit: p_max}",
        shown="every point that is named like a signal of the role",
    )
    on: Annotated[str, Named("a rating")] | None = key(
        None, "Rating that the device hangs below.", "feeder-b", shown="none"
    )
    bus: Annotated[str, Named("a bus")] | None = key(None, "Bus it is on.", "main", shown="the first bus")
    phases: Annotated[str, Choice(("abc", "a", "b", "c", "ab", "bc", "ac"))] | None = key(
        None, "Phases it is connected to.", "a", shown="abc; a below a rating of one phase"
    )


class PowerRole(RoleSection):
    """What all roles but a meter know."""

    rated: Annotated[int, Measure(POWER, low="1 W")] = key(..., "Rated power.", "60 kW")
    power_factor: Annotated[int, Measure(FRACTION, low="10 %", high="100 %")] = key(
        FRACTION("90 %"), "Worst power factor.", "95 %"
    )
    settle: Delay = key(
        TIME("2 s"), "From the acknowledgement of a write until its effect can be judged (after the ramp).", "5 s"
    )
    tolerance: Annotated[Quantity, Measure(FRACTION, POWER, low="0 W")] = key(
        Quantity(FRACTION("5 %"), FRACTION, "%"),
        "How far measured power may be off its target: a share of `rated`, or a power; never less than 50 W.",
        "5 %",
    )
    hold_polls: Annotated[int, Whole(1, 100)] = key(2, "Polls that must agree before a write counts as holding.", "2")
    ramp: Annotated[int, Measure(RAMP, low="1 W/s")] | None = key(
        None, "How fast its power changes.", "5 kW/s", shown="at once"
    )
    failsafe: Failsafe | None = key(
        None, "What the device falls back to by itself.", "{limit: 20 kW, timeout: 60 s}", shown="it stays as left"
    )
    on_stop: Annotated[str, Choice(("hold", "release"))] = key(
        "hold",
        "What it is left with when the daemon stops: `hold` = its last target, `release` = the value found at the "
        "first take-over.",
        "release",
    )
    heartbeat: Positive | None = key(
        None, "Write the target again at least this often (devices that forget).", "30 s", shown="never"
    )
    daily_budget: Annotated[int, Whole(0)] | None = key(
        None, "Most writes a day to each of its registers; 0 = no limit.", "20", shown="20 for stored registers, else 0"
    )


class GeneratorRole(PowerRole):
    """A generator. Its `power` is negative while it produces (a raw positive reading needs `scale: -1`)."""

    kind: Annotated[str, Choice(("generator",))] = key(..., "The role: `generator`.", "generator")
    dispatch: Annotated[str, Choice(("stochastic", "fixed", "continuous"))] = key(
        ...,
        "`stochastic`: follows the weather, can be curtailed. `fixed`: its rated block or nothing. `continuous`: 0, or "
        "anything from `minimum` to `rated`.",
        "stochastic",
    )
    minimum: Magnitude = key(POWER("0 W"), "Least stable power of a continuous generator.", "30 kW")
    start_time: Delay = key(TIME("0 s"), "From the order to start until it delivers.", "90 s")
    min_up: Delay = key(TIME("0 s"), "Least time that it runs.", "15 min")
    min_down: Delay = key(TIME("0 s"), "Least time that it rests.", "10 min")
    tree: Annotated[int, Whole(1, 65535)] | None = key(
        None,
        "Number that is written to `supply` of the consumers it feeds.",
        "1",
        shown="its place among the file's generators and stores, from 1",
    )


class ConsumerRole(PowerRole):
    """A consumer: a building, a home, a charger, a heat pump."""

    kind: Annotated[str, Choice(("consumer",))] = key(..., "The role: `consumer`.", "consumer")
    deferrable: Magnitude = key(POWER("0 W"), "Part of its load that can wait.", "40 kW")
    demand_responsive: Magnitude = key(
        POWER("0 W"), "Part of the deferrable load that it gives up when asked; at most `deferrable`.", "25 kW"
    )
    klass: Annotated[int, Whole(0, 7)] = key(
        2, "0 = protected, never shed or cut by software; the larger, the less important.", "2", alias="class"
    )
    interruptible: Annotated[bool, Flag()] | None = key(
        None, "Whether software may shed it or cut it off.", "true", shown="true with `demand_responsive`, else false"
    )
    deferral: Positive = key(TIME("15 min"), "Longest shed.", "30 min")
    rest: Delay = key(TIME("0 s"), "Least time between two sheds.", "1 h")
    times_a_day: Annotated[int, Whole(0)] = key(0, "Most sheds a day; 0 = no limit.", "4")
    rebound: Annotated[int, Measure(FRACTION, low="0 %", high="1000 %")] = key(
        FRACTION("0 %"), "Extra draw after a shed, as a share of the power given up.", "20 %"
    )


class Modes(Section):
    """Register values of a store's modes."""

    idle: Annotated[int, Whole(0, 65535)] = key(1, "Neither charging nor discharging.", "1")
    charging: Annotated[int, Whole(0, 65535)] = key(2, "Charging.", "2")
    discharging: Annotated[int, Whole(0, 65535)] = key(3, "Discharging.", "3")
    sleeping: Annotated[int, Whole(0, 65535)] = key(0, "Switched off or sleeping.", "0")


class StorageRole(PowerRole):
    """A store. Its `power` is positive while it charges, negative while it discharges; so is its `setpoint`."""

    kind: Annotated[str, Choice(("storage",))] = key(..., "The role: `storage`.", "storage")
    capacity: Annotated[int, Measure(ENERGY, low="1 Wh")] = key(..., "Energy from empty to full.", "100 kWh")
    charge: Magnitude | None = key(None, "Most power it charges with.", "50 kW", shown="`rated`")
    discharge: Magnitude | None = key(None, "Most power it discharges with.", "50 kW", shown="`rated`")
    floor: Share = key(FRACTION("10 %"), "State of charge below which it does not discharge.", "10 %")
    ceiling: Share = key(FRACTION("95 %"), "State of charge above which it does not charge.", "95 %")
    wake: Share | None = key(
        None, "After it fell asleep at the floor it discharges again above this.", "15 %", shown="`floor` + 5 %"
    )
    protection: Share = key(FRACTION("5 %"), "Below this it trickle-charges, whatever the region wants.", "5 %")
    trickle: Annotated[Quantity, Measure(FRACTION, POWER, low="0 W")] = key(
        Quantity(FRACTION("2 %"), FRACTION, "%"), "Power of that charge: a share of `rated`, or a power.", "500 W"
    )
    dead_time: Delay = key(TIME("0 s"), "Pause between charging and discharging.", "5 s")
    modes: Modes = key(
        Modes(), "Numbers that `mode` reads and writes.", "{idle: 1, charging: 2, discharging: 3, sleeping: 0}"
    )
    tree: Annotated[int, Whole(1, 65535)] | None = key(
        None,
        "Number that is written to `supply` of the consumers it feeds.",
        "4",
        shown="its place among the file's generators and stores, from 1",
    )


class MeterRole(RoleSection):
    """A meter of a rating. Its `power` is + into the place it measures (import), - out of it."""

    kind: Annotated[str, Choice(("meter", "feeder", "grid"))] = key(
        ..., "The role: `meter`; `feeder` and `grid` mean the same.", "meter"
    )


ROLES: dict[str, type[RoleSection]] = {
    "generator": GeneratorRole,
    "consumer": ConsumerRole,
    "storage": StorageRole,
    "meter": MeterRole,
    "feeder": MeterRole,
    "grid": MeterRole,
}


def role_tag(value: Any) -> str | None:
    """Which role a mapping stands for, None if its `kind` is missing or unknown."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if not isinstance(kind, str) or kind not in ROLES:
        return None
    return "meter" if kind in ("feeder", "grid") else kind


Role = Annotated[
    Annotated[GeneratorRole, Tag("generator")]
    | Annotated[ConsumerRole, Tag("consumer")]
    | Annotated[StorageRole, Tag("storage")]
    | Annotated[MeterRole, Tag("meter")],
    Discriminator(role_tag),
]
