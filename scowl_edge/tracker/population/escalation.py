"""The ladder at scale: in which order stores, plants and sheds give, and in which they get back.

A rung counts towards the ride-through only with what arrives in it; a later rung may bridge the rest, and is released
first. What is left at the end is for the starve cut. The work of a call is bounded: a pass over the stores for each cut
that has something to take, one over the blocks, a few over the plants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.reason import Reason, declare
from scowl_edge.tracker.population import dispatch, storage_cuts
from scowl_edge.tracker.population import sheds as requests
from scowl_edge.tracker.population.columns import Columns
from scowl_edge.tracker.population.dispatch import CONTINUOUS, FIXED, Plants, Relief
from scowl_edge.tracker.population.sheds import HELD, UNSURE, WAITING, Sheds
from scowl_edge.tracker.population.stores import Stores

SHORT = declare("rung-short", "{:W} short: gives {:W} within the ride-through, {:W} in the end")
ASKING = declare("rung-asked", "{:W} short and nothing else arrives in time: asked to shed {:W}")
AHEAD = declare("rung-ahead", "{:W} will be short in the next minutes: starts {:W}, which takes as long")
SPARE = declare("rung-spare", "{:W} to spare: {:W} less")
TOO_MUCH = declare("rung-too-much", "{:W} too much: {:W} less")


class Rung(StrEnum):
    """The steps of the ladder, up and down."""

    LIFT_CURTAILMENT = "lift-curtailment"
    STOP_STORING = "stop-storing"
    RAISE_CONTINUOUS = "raise-continuous"
    DISCHARGE = "discharge-storage"
    START_FIXED = "start-fixed"
    SHED = "shed"
    RESTORE_SHEDS = "restore-sheds"
    STOP_DISCHARGE = "stop-discharge"
    LOWER_CONTINUOUS = "lower-continuous"
    STOP_PLANTS = "stop-plants"
    FILL = "wake-and-fill"
    CURTAIL = "curtail"


DESIGN = (
    Rung.LIFT_CURTAILMENT,
    Rung.STOP_STORING,
    Rung.RAISE_CONTINUOUS,
    Rung.DISCHARGE,
    Rung.START_FIXED,
    Rung.SHED,
)
SEED = (Rung.RAISE_CONTINUOUS, Rung.STOP_STORING, Rung.DISCHARGE, Rung.START_FIXED, Rung.SHED)
"""The seed's order: continuous plants follow by themselves, then storage stops storing or turns generator, then fixed
ones come online, shedding is last; it curtails nothing."""
PRESETS = {"design": DESIGN, "seed": SEED}


@dataclass(slots=True, eq=False)
class Means:
    """What a region can use; what it does not have is None."""

    quantum_w: int
    stores: Stores | None = None
    plants: Plants | None = None
    sheds: Sheds | None = None
    columns: Columns | None = None
    """Whose load is shed."""
    ride_through_ms: int = 2_000
    dead_band: int = 0
    """Quanta; less than this to spare gives nothing back."""
    safe_ppm: int = 1_000_000
    """Of what sources give more, what trees may carry more; who sheds is asked for load."""
    spared: int = 0
    """Quanta of load in a deficit that are a wish: nobody gives up load for them."""
    shed_band: int = 0
    """Quanta of load; for less than this beyond the wish nobody is asked."""
    certain: bool = True
    """Whether a forecast leaves out no chance. One that does starts plants earlier and keeps them on; it stops none
    earlier and spares no start."""
    ends_sheds: bool = True
    """Whether `descend` ends sheds; else the caller does."""
    order: tuple[Rung, ...] = DESIGN


@dataclass(frozen=True, slots=True)
class Given:
    """What one rung gave, in quanta; going down, what it gave back."""

    rung: Rung
    soon: int
    final: int
    why: Reason
    promised: int = 0
    """Quanta that count for nothing yet: asked for, or started for later."""


@dataclass(slots=True)
class Course:
    """What one call decided."""

    soon: int
    """Still missing within the ride-through (going down: still to spare, or too much), quanta."""
    final: int
    """The same in the end."""
    given: list[Given] = field(default_factory=list)
    asked: int = 0
    """Quanta that were asked of sheds, now or before, and have not been answered: they count for nothing yet."""

    @property
    def missing(self) -> int:
        """What is left for the starve cut: nothing else brings it in time."""
        return max(0, self.soon, self.final)


def pledged(means: Means, now_ms: int) -> Relief:
    """What was ordered before and has yet to arrive. Short now, less this = short soon and in the end."""
    relief = Relief(0, 0)
    if means.plants is not None:
        relief = dispatch.under_way(means.plants, now_ms, means.ride_through_ms)
    if means.stores is not None:
        relief = Relief(relief.soon, relief.final + storage_cuts.promised(means.stores))
    return relief


def climb(
    means: Means,
    deficit_soon: int,
    deficit_final: int,
    now_ms: int,
    *,
    forecast: NDArray[np.int64] | None = None,
    zones: tuple[int, int] = (0, 1 << 30),
    day: int = 0,
    evident: bool = True,
    covered: int = 0,
) -> Course:
    """Works through the rungs until nothing is missing or nothing is left.

    Args:
        means: of the region.
        deficit_soon: quanta that will be missing at the end of the ride-through, all pledges counted.
        deficit_final: quanta that will be missing when all pledges have arrived.
        now_ms: time.
        forecast: int64[minutes], what will be missing then if nothing more is ordered.
        zones: range of zones whose load may be shed.
        day: number of the day, for sheds' times a day.
        evident: whether the shortage rests on fresh measurements; only then is anybody asked to shed.
        covered: quanta that sheds hold now, which are counted in `deficit_final` besides: lower rungs are to take over,
            and nobody is asked for them again.
    """
    course = Course(deficit_soon, deficit_final)
    if means.plants is not None:
        dispatch.watch(means.plants, -deficit_final, now_ms)
    for rung in means.order:
        if course.missing == 0:
            break
        if rung is Rung.SHED:
            if evident:
                _shed(means, course, now_ms, zones, day, covered)
            continue
        ahead = None if forecast is None or not means.certain else forecast - (deficit_final - course.final)
        wanted = course.missing
        relief = _UP[rung](means, Relief(course.soon, course.final), now_ms, ahead)
        course.soon -= relief.soon
        course.final -= relief.final
        if relief.soon or relief.final:
            numbers = (wanted * means.quantum_w, relief.soon * means.quantum_w, relief.final * means.quantum_w)
            course.given.append(Given(rung, relief.soon, relief.final, Reason(SHORT, numbers)))
    if forecast is not None:
        _start_ahead(means, course, forecast - (deficit_final - course.final), now_ms)
    return course


def _start_ahead(means: Means, course: Course, ahead: NDArray[np.int64], now_ms: int) -> None:
    if means.plants is None:
        return
    later = dispatch.start_ahead(means.plants, ahead, now_ms).final
    if later:
        why = Reason(AHEAD, (int(ahead.max()) * means.quantum_w, later * means.quantum_w))
        course.given.append(Given(Rung.START_FIXED, 0, 0, why, later))


def _lift(means: Means, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    if means.plants is None:
        return Relief(0, 0)
    return dispatch.lift_curtailment(means.plants, need, now_ms, means.ride_through_ms)


def _stop_storing(means: Means, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    if means.stores is None:
        return Relief(0, 0)
    given = storage_cuts.stop_storing(means.stores, max(need.soon, need.final), now_ms)
    return Relief(given, given)


def _raise(means: Means, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    if means.plants is None:
        return Relief(0, 0)
    up = dispatch.raise_continuous(means.plants, need, now_ms, means.ride_through_ms)
    left = Relief(need.soon - up.soon, need.final - up.final)
    more = _start(means, CONTINUOUS, left, now_ms, None if ahead is None else ahead - up.final)
    return Relief(up.soon + more.soon, up.final + more.final)


def _start(means: Means, kind: int, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    if means.plants is None or (need.soon <= 0 and need.final <= 0):
        return Relief(0, 0)
    return dispatch.start(means.plants, kind, need, now_ms, means.ride_through_ms, ahead)


def _start_fixed(means: Means, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    return _start(means, FIXED, need, now_ms, ahead)


def _discharge(means: Means, need: Relief, now_ms: int, ahead: NDArray[np.int64] | None) -> Relief:
    if means.stores is None:
        return Relief(0, 0)
    ready = storage_cuts.discharge_ready(means.stores, max(need.soon, need.final), now_ms)
    later = storage_cuts.discharge_later(means.stores, need.final - ready, now_ms)
    return Relief(ready, ready + later)


_UP: dict[Rung, Callable[[Means, Relief, int, NDArray[np.int64] | None], Relief]] = {
    Rung.LIFT_CURTAILMENT: _lift,
    Rung.STOP_STORING: _stop_storing,
    Rung.RAISE_CONTINUOUS: _raise,
    Rung.DISCHARGE: _discharge,
    Rung.START_FIXED: _start_fixed,
}


def _shed(means: Means, course: Course, now_ms: int, zones: tuple[int, int], day: int, covered: int) -> None:
    """Asks for what is missing beyond what has been asked for; it counts only when it has been granted."""
    if means.sheds is None or means.columns is None:
        return
    missing = max(0, course.soon, course.final - covered)
    need = missing * means.safe_ppm // 1_000_000 - means.spared - int(means.sheds.totals[WAITING])
    if need > means.shed_band:
        asked = int(requests.ask(means.sheds, means.columns, zones[0], zones[1], need, now_ms, day))
        if asked:
            numbers = (need * means.quantum_w, asked * means.quantum_w)
            course.given.append(Given(Rung.SHED, 0, 0, Reason(ASKING, numbers), asked))
    course.asked = int(means.sheds.totals[WAITING])


def descend(
    means: Means,
    surplus_soon: int,
    surplus_final: int,
    now_ms: int,
    *,
    starving: int = 0,
    reserve: int = 0,
    too_much: int = 0,
    forecast: NDArray[np.int64] | None = None,
) -> Course:
    """Gives back: sheds end, then what bridges, then what costs; at last stores fill. What is too much goes at once.

    Nothing works less while anybody starves or sheds: their demand comes first.

    Args:
        means: of the region.
        surplus_soon: quanta to spare at the end of the ride-through, all pledges counted.
        surplus_final: quanta to spare when all pledges have arrived.
        now_ms: time.
        starving: quanta that those without supply wait for; kept free for them.
        reserve: quanta that are kept for the regular load before a store may fill.
        too_much: quanta that nobody can take (an export limit, an island): these have to go.
        forecast: int64[minutes], what will be missing then (negative: to spare) if nothing more is ordered.
    """
    course = Course(surplus_soon, surplus_final)
    _descend(means, course, now_ms, starving, reserve, too_much, forecast)
    if forecast is not None:
        _start_ahead(means, course, forecast + (surplus_final - course.final), now_ms)
    return course


def _descend(
    means: Means,
    course: Course,
    now_ms: int,
    starving: int,
    reserve: int,
    too_much: int,
    forecast: NDArray[np.int64] | None,
) -> None:
    surplus_final = course.final
    if means.plants is not None:
        dispatch.watch(means.plants, surplus_final, now_ms)
    if too_much > 0:
        _cure(means, course, too_much, now_ms)
    # What is under way may not be given away before it is there, nor what is about to go.
    spare = min(course.soon, course.final) - means.dead_band - starving
    if spare <= 0:
        return
    if means.sheds is not None:
        back = int(requests.restore(means.sheds, spare, now_ms)) if means.ends_sheds else 0
        _note(means, course, Rung.RESTORE_SHEDS, back, spare, SPARE)
        if means.sheds.totals[HELD] > 0 or means.sheds.totals[UNSURE] > 0 or means.sheds.totals[WAITING] > 0:
            return
        spare -= back
    if starving > 0:
        return
    if means.stores is not None:
        back = storage_cuts.stop_discharge(means.stores, spare, now_ms)
        _note(means, course, Rung.STOP_DISCHARGE, back, spare, SPARE)
        if storage_cuts.promised(means.stores) or storage_cuts.bridging(means.stores):
            # What the stores cannot give back yet is not the plants' to take, or they would bridge for ever.
            return
        spare -= back
    if means.plants is not None:
        spare -= _less_work(means, course, spare, surplus_final - course.final, now_ms, forecast)
    if means.stores is not None and spare > reserve:
        taken = storage_cuts.wake_and_fill(means.stores, spare - reserve, now_ms)
        _note(means, course, Rung.FILL, taken, spare, SPARE)


def _less_work(
    means: Means, course: Course, spare: int, back: int, now_ms: int, forecast: NDArray[np.int64] | None
) -> int:
    """Plants work less, by cost; those that are not needed for long enough stop. Quanta given back or spoken for."""
    plants = means.plants
    if plants is None:
        return 0
    lowered = dispatch.lower_continuous(plants, spare - dispatch.reserved(plants))
    _note(means, course, Rung.LOWER_CONTINUOUS, lowered, spare, SPARE)
    ahead = None if forecast is None else forecast + back + lowered
    held = dispatch.reserved(plants)
    stopped = dispatch.stop(plants, spare - lowered, spare - lowered, now_ms, ahead, hastens=means.certain)
    gone = stopped - dispatch.reserved(plants)
    if gone > 0:
        _note(means, course, Rung.STOP_PLANTS, gone, spare, SPARE)
    return lowered + max(held, stopped)


def _cure(means: Means, course: Course, too_much: int, now_ms: int) -> None:
    """Takes away what nobody can use, in the order of the ladder, at once and without a dead band."""
    left = too_much
    if means.stores is not None:
        back = storage_cuts.cut_discharge(means.stores, left, now_ms)
        _note(means, course, Rung.STOP_DISCHARGE, back, left, TOO_MUCH)
        left -= back
    if means.plants is not None and left > 0:
        back = dispatch.lower_continuous(means.plants, left)
        _note(means, course, Rung.LOWER_CONTINUOUS, back, left, TOO_MUCH)
        left -= back
    if means.stores is not None and left > 0:
        taken = storage_cuts.absorb(means.stores, left, now_ms)
        _note(means, course, Rung.FILL, taken, left, TOO_MUCH)
        left -= taken
    if means.plants is not None and left > 0:
        back = dispatch.curtail(means.plants, left)
        _note(means, course, Rung.CURTAIL, back, left, TOO_MUCH)


def _note(means: Means, course: Course, rung: Rung, back: int, spare: int, code: str) -> None:
    if back > 0:
        course.soon -= back
        course.final -= back
        course.given.append(Given(rung, back, back, Reason(code, (spare * means.quantum_w, back * means.quantum_w))))
