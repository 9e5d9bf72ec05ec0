"""Keys of a device of the site that takes part in flexibility itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from scowl_edge.assembly.flex_device_kinds import TIME_OF_DAY, Programme
from scowl_edge.assembly.kinds import Choice, Flag, Measure, Named, Text
from scowl_edge.assembly.section import Delay, Magnitude, Section, Share, duration, key
from scowl_edge.model.part import DeviceKind
from scowl_edge.model.quantity import CURRENT, ENERGY, FRACTION, POWER, TEMPERATURE, TIME

SERVICES = ("all", "routine", "response", "none")
_THERMAL = ("signals", "gain", "heat_capacity", "loss", "low", "high", "preferred", "ambient")
OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "battery": ("efficiency",),
    "solar": ("ahead",),
    "charger": (
        "signals", "efficiency", "capacity", "target", "leave", "arrival", "current_min", "discharge", "floor",
    ),
    "heat_pump": _THERMAL,
    "cold_store": _THERMAL,
    "washer": ("signals", "programme", "done_by", "wait", "pause"),
}  # fmt: skip
"""By kind: keys beside those that all have."""
COMMON_KEYS = ("kind", "id", "failsafe", "services", "random_offset", "consent")

_Energy = Annotated[int, Measure(ENERGY, low="1 Wh")]
_Degrees = Annotated[int, Measure(TEMPERATURE, low="-90 degC", high="190 degC")]


class FlexDeviceFailsafe(Section):
    """What a device keeps to while nobody who may set limits is heard."""

    import_: Magnitude = key(..., "Most that it draws.", "3 kW", alias="import")
    export: Magnitude = key(POWER("0 W"), "Most that it feeds back.", "0 W")


class FlexDevice(Section):
    """A device of this site that takes part itself. What its role says of it is not said again; which keys it may have
    depends on its `kind`."""

    kind: Annotated[str, Choice([kind.value for kind in DeviceKind])] = key(
        ...,
        "`battery` (a store with `setpoint` and `soc`), `solar` (a generator with `limit`), `charger` (a consumer with "
        "`limit`, or a store with `setpoint`), `heat_pump`, `cold_store`, `washer` (consumers with `limit` or "
        "`connect`).",
        "battery",
    )
    id: (
        Annotated[str, Text("id", form=r"[A-Za-z0-9._:-]{8,64}", said="8 to 64 letters, digits, `.`, `_`, `:` and `-`")]
        | None
    ) = key(None, "Its id as an appliance.", "house-4.battery", shown="HOUSE.NAME, of `node` cem:HOUSE")
    signals: dict[str, Annotated[str, Named("a point")]] | None = key(
        None,
        "Which of its points tells what its role does not: `soc` and `present` (0 = nobody is plugged in) of a "
        "charger, `temperature` and `ambient` of a heat pump or cold store, `loaded` (0 = no job) of a washer.",
        "{soc: ev_soc, present: plugged}",
        shown="every point that is named like one of them",
    )
    failsafe: FlexDeviceFailsafe | None = key(
        None,
        "What it keeps to when it hears nobody.",
        "{import: 3 kW}",
        shown="that of the manager, as far as it can draw or feed back so much",
    )
    services: Annotated[str, Choice(SERVICES)] = key(
        "all", "What its owner lets it be used for: `routine`, `response`, `all` or `none`.", "routine"
    )
    random_offset: Annotated[int, duration("0 s", "1800 s")] | None = key(
        None, "Longest delay that is drawn for its routine starts.", "0 s", shown="that of the manager"
    )
    consent: Annotated[str, Text("reference", form=r"[^\x00-\x1f\x7f]{1,128}", said="1 to 128 characters")] = key(
        "owner of the site", "Where it is written that its owner agreed.", "contract 4711"
    )
    efficiency: Annotated[int, Measure(FRACTION, low="50 %", high="100 %")] | None = key(
        None, "Of charging, and of discharging.", "95 %", shown="95 %; of a charger 93 %"
    )
    ahead: Annotated[int, duration("15 min", "24 h")] = key(
        TIME("1 h"), "How long the sun is taken to give what it gives now (solar).", "1 h"
    )
    capacity: _Energy | None = key(
        None, "Of the vehicle's battery (charger).", "60 kWh", shown="that of the role, if it is a store"
    )
    target: Share = key(FRACTION("80 %"), "Level that is wanted when the vehicle leaves (charger).", "80 %")
    leave: Annotated[str, TIME_OF_DAY] = key("06:30", "When it leaves, in UTC (charger).", '"06:30"')
    arrival: Share = key(
        FRACTION("20 %"), "Level that is assumed of one that has just come and does not tell it (charger).", "20 %"
    )
    current_min: Annotated[int, Measure(CURRENT, low="1 A", high="1 kA")] = key(
        CURRENT("6 A"), "Least current in each phase that it charges with (charger).", "6 A"
    )
    discharge: Annotated[bool, Flag()] = key(
        False, "Whether the vehicle's owner agreed that it discharges (charger that is a store).", "true"
    )
    floor: Share = key(FRACTION("20 %"), "Level below which the vehicle is never discharged (charger).", "20 %")
    gain: Annotated[int, Measure(FRACTION, low="10 %", high="2000 %")] | None = key(
        None,
        "Heat that is moved for each W (heat_pump: its COP, cold_store: its EER).",
        "320 %",
        shown="320 %; of a cold store 200 %",
    )
    heat_capacity: _Energy | None = key(
        None,
        "Heat that warms what is kept by one degree (heat_pump, cold_store: required).",
        "7 kWh",
        shown="none",
    )
    loss: Annotated[int, Measure(POWER, low="1 W")] | None = key(
        None,
        "Heat that is lost for each degree between inside and outside (heat_pump, cold_store: required).",
        "180 W",
        shown="none",
    )
    low: _Degrees | None = key(None, "Coldest that is accepted.", "19.5 degC", shown="19.5 degC; cold store -22 degC")
    high: _Degrees | None = key(None, "Warmest that is accepted.", "22.5 degC", shown="22.5 degC; cold store -17 degC")
    preferred: _Degrees | None = key(None, "What it is kept at by itself.", "21 degC", shown="midway")
    ambient: _Degrees | None = key(
        None, "Of the surroundings, where no point tells it.", "8 degC", shown="8 degC; around a cold store 20 degC"
    )
    programme: Annotated[tuple[tuple[int, int], ...], Programme()] | None = key(
        None,
        "What the machine takes, one stretch after the other (washer: required).",
        "[20 min at 2 kW, 40 min at 200 W]",
        shown="none",
    )
    done_by: Annotated[str, TIME_OF_DAY] = key("17:00", "When a job is to be done, in UTC (washer).", '"17:00"')
    wait: Annotated[int, duration("0 s", "24 h")] = key(
        TIME("15 min"), "How long a loaded machine waits for a selection before it begins by itself (washer).", "15 min"
    )
    pause: Delay = key(TIME("0 s"), "Longest pause that its job bears (washer).", "10 min")
