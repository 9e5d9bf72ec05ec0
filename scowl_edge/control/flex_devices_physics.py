"""What the site's own devices are like now, as their adapters see it: from signals, and from what was watched so far.

A device whose state nobody knows offers nothing. Values that cannot be (a level above full, a room at 500 °C) are cut
to what can, or count as not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scowl_edge.dsr.adapters import (
    Adapter,
    Battery,
    BatteryState,
    Charger,
    ChargerState,
    Solar,
    SolarState,
    Thermal,
    ThermalState,
    Washer,
    WasherState,
)
from scowl_edge.dsr.adapters.store import after
from scowl_edge.model.flexibility import UNSET, WHOLE_PPM, EsaType
from scowl_edge.model.part import BatteryPart, ChargerPart, DeviceKind, DevicePart, SolarPart, ThermalPart, WasherPart
from scowl_edge.model.profile import flat
from scowl_edge.model.site import NONE
from scowl_edge.tracker import Observation

DAY_MS = 86_400_000
WH_J = 3_600
COLDEST_MILLI, HOTTEST_MILLI = -100_000, 200_000
"""A sensor that tells anything else is broken."""
RUNS_FROM_PPM = 20_000
"""Of its nameplate: a machine that takes less than this stands still."""

STARTING_MS = 60_000
"""A machine that starts as soon as it is loaded is stopped again, unless it goes on for so long."""


@dataclass(slots=True, kw_only=True)
class Watched:
    """What cannot be read of a device and is reckoned from step to step. Times are UTC in ms."""

    present: bool = False
    """A vehicle stands there, a job is loaded."""
    since_ms: int = UNSET
    """Since when it does."""
    level_j: int = 0
    """Of a vehicle that does not tell it."""
    progress_ms: int = 0
    """Of a programme."""


def adapter_of(part: DevicePart) -> Adapter[Any]:
    """The physics of a device."""
    match part.physics:
        case BatteryPart() as p:
            return Battery(
                esa_id=part.esa_id,
                capacity_wh=p.capacity_wh,
                charge_w=p.charge_w,
                discharge_w=p.discharge_w,
                floor_wh=p.capacity_wh * p.floor_ppm // WHOLE_PPM,
                ceiling_wh=p.capacity_wh * p.ceiling_ppm // WHOLE_PPM,
                efficiency_ppm=p.efficiency_ppm,
            )
        case SolarPart() as p:
            return Solar(esa_id=part.esa_id, rated_w=p.rated_w)
        case ChargerPart() as p:
            return Charger(
                esa_id=part.esa_id,
                capacity_wh=p.capacity_wh,
                phases=p.phases,
                voltage_v=p.voltage_v,
                current_min_a=p.current_min_a,
                current_max_a=p.current_max_a,
                efficiency_ppm=p.efficiency_ppm,
                export_w=p.export_w,
                export_consent=p.export_w > 0,
                floor_wh=p.capacity_wh * p.floor_ppm // WHOLE_PPM,
            )
        case ThermalPart() as p:
            return Thermal(
                esa_id=part.esa_id,
                esa_type=EsaType.SPACE_HEATING if part.kind is DeviceKind.HEAT_PUMP else EsaType.COLD,
                rated_w=p.rated_w,
                gain_ppm=p.gain_ppm,
                capacity_j_per_k=p.capacity_j_per_k,
                loss_mw_per_k=p.loss_mw_per_k,
                low_milli=p.low_milli,
                high_milli=p.high_milli,
                preferred_milli=p.preferred_milli,
            )
        case WasherPart() as p:
            return Washer(esa_id=part.esa_id, programme=p.programme, max_pause_s=p.max_pause_s)


def watch(
    part: DevicePart, watched: Watched, seen: Observation, power_w: int | None, dur_ms: int, wall_ms: int
) -> None:
    """Goes on reckoning: who came or left, what went into a vehicle, how far a programme is.

    Args:
        part: The device.
        watched: What is reckoned; changed.
        seen: This step's view.
        power_w: Mean power since the last call; None: not known.
        dur_ms: Time since then.
        wall_ms: UTC.
    """
    match part.physics:
        case ChargerPart() as p:
            came = _turned(watched, seen, p.present, wall_ms)
            # Where nobody tells who is there, the vehicle was away when it meant to be.
            away = p.present == NONE and next_ms(p.leave_ms, wall_ms - dur_ms) <= wall_ms
            if came or away:
                watched.level_j = p.capacity_wh * WH_J * p.arrival_ppm // WHOLE_PPM
            if watched.present and power_w is not None:
                level_j = after(watched.level_j, power_w, dur_ms, p.efficiency_ppm)
                watched.level_j = max(0, min(p.capacity_wh * WH_J, level_j))
        case WasherPart() as p:
            if _turned(watched, seen, p.loaded, wall_ms):
                watched.progress_ms = 0
            least_w = max(1, max(w for _, w in p.programme) * RUNS_FROM_PPM // WHOLE_PPM)
            begun = watched.progress_ms > 0 or wall_ms - watched.since_ms >= STARTING_MS
            if watched.present and begun and power_w is not None and power_w >= least_w:
                length_ms = 1_000 * sum(seconds for seconds, _ in p.programme)
                watched.progress_ms = min(length_ms, watched.progress_ms + dur_ms)
        case _:
            pass


def _turned(watched: Watched, seen: Observation, signal: int, wall_ms: int) -> bool:
    """Whether somebody has just come; one of whom nothing is known any more stays as he was."""
    if signal != NONE and not seen.known(signal):
        return False
    here = signal == NONE or seen.value(signal, 0) != 0
    came = here and not watched.present
    if here is not watched.present:
        watched.present, watched.since_ms = here, wall_ms
    return came


def state_of(part: DevicePart, watched: Watched, seen: Observation, wall_ms: int) -> Any:
    """The state as the adapter takes it; None if nobody knows it."""
    match part.physics:
        case BatteryPart() as p:
            return BatteryState(level_j=_level_j(seen, p.soc, p.capacity_wh)) if seen.known(p.soc) else None
        case SolarPart() as p:
            return _sun(part, p, seen, wall_ms)
        case ChargerPart() as p:
            return _vehicle(p, watched, seen, wall_ms)
        case ThermalPart() as p:
            return _zone(p, seen, wall_ms)
        case WasherPart() as p:
            if not seen.known(p.loaded):
                return None
            since_ms = wall_ms if watched.since_ms == UNSET else watched.since_ms
            return WasherState(
                loaded=watched.present,
                begin_ms=since_ms + p.wait_ms,
                end_latest_ms=next_ms(p.done_by_ms, since_ms),
                progress_ms=watched.progress_ms,
            )


def holds_back(part: DevicePart, watched: Watched, wall_ms: int) -> bool:
    """Whether a loaded machine still waits for somebody who selects a better start."""
    p = part.physics
    return (
        isinstance(p, WasherPart)
        and watched.present
        and watched.progress_ms == 0
        and wall_ms < watched.since_ms + p.wait_ms
    )


def next_ms(of_day_ms: int, after_ms: int) -> int:
    """The next time that a clock in UTC shows so much after midnight, later than `after_ms`."""
    at_ms = after_ms - after_ms % DAY_MS + of_day_ms
    return at_ms if at_ms > after_ms else at_ms + DAY_MS


def _level_j(seen: Observation, soc: int, capacity_wh: int) -> int:
    return capacity_wh * WH_J * max(0, min(WHOLE_PPM, seen.value(soc, 0))) // WHOLE_PPM


def _sun(part: DevicePart, p: SolarPart, seen: Observation, wall_ms: int) -> SolarState | None:
    if seen.known(p.available):
        given_w = seen.value(p.available, 0)
    elif seen.known(part.power):
        given_w = -seen.value(part.power, 0)
    else:
        return None
    return SolarState(available=flat(wall_ms, p.ahead_ms, -max(0, min(p.rated_w, given_w))))


def _vehicle(p: ChargerPart, watched: Watched, seen: Observation, wall_ms: int) -> ChargerState | None:
    if p.present != NONE and not seen.known(p.present):
        return None
    if p.soc != NONE and not seen.known(p.soc):
        return None
    leaves_ms = next_ms(p.leave_ms, wall_ms)
    level_j = watched.level_j if p.soc == NONE else _level_j(seen, p.soc, p.capacity_wh)
    return ChargerState(
        level_j=level_j,
        target_wh=p.capacity_wh * p.target_ppm // WHOLE_PPM,
        arrival_ms=min(wall_ms, watched.since_ms) if watched.present else leaves_ms,
        departure_ms=leaves_ms,
    )


def _zone(p: ThermalPart, seen: Observation, wall_ms: int) -> ThermalState | None:
    temp_milli = _degrees(seen, p.temperature)
    ambient_milli = p.ambient_milli if p.ambient == NONE else _degrees(seen, p.ambient)
    if temp_milli is None or ambient_milli is None:
        return None
    return ThermalState(temp_micro=1_000 * temp_milli, ambient_milli=(ambient_milli,), forecast_ms=wall_ms)


def _degrees(seen: Observation, signal: int) -> int | None:
    milli = seen.value(signal, 0)
    return milli if seen.known(signal) and COLDEST_MILLI <= milli <= HOTTEST_MILLI else None
