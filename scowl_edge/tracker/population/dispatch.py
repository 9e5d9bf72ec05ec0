"""Plants: which go up or down, which start or stop; by effect per cost, within ramps and minimum times, looking ahead.

There are hundreds of plants, not millions: these are array expressions that need no compilation. A need has two sides:
what is missing within the ride-through (*soon*) and when everything ordered has arrived (*final*). A forecast, where
there is one, is int64[minutes]: what will be missing in this minute and in each coming one if nothing more is ordered
(negative: spare).

Against flapping: nothing is stopped that the forecast needs again before it could be back; without a forecast, only
what has been dispensable for so long that standing by has cost as much as a start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.census import Fleet, Plant

CONTINUOUS, FIXED, STOCHASTIC = range(3)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_EVER = 1 << 60


class Relief(NamedTuple):
    """Quanta that something gives: within the ride-through, and in the end."""

    soon: int
    final: int


class Plants(NamedTuple):
    """All plants of a region, one row each, powers in quanta (magnitudes); arrays change in place."""

    kind: NDArray[np.uint8]
    rated: NDArray[np.int64]
    minimum: NDArray[np.int64]
    """Stable minimum; the rating of a fixed block, 0 for what follows the weather."""
    ramp: NDArray[np.int64]
    """Quanta a second; 0 = at once."""
    start_ms: NDArray[np.int64]
    """From the order to the stable minimum."""
    min_up_ms: NDArray[np.int64]
    min_down_ms: NDArray[np.int64]
    cost: NDArray[np.int64]
    """Of a quantum for an hour, in any unit of money."""
    idle_cost: NDArray[np.int64]
    """Of being online for an hour, whatever it gives."""
    start_cost: NDArray[np.int64]
    able: NDArray[np.uint8]
    """1 = may be commanded."""
    on: NDArray[np.uint8]
    """1 = online, or ordered to be."""
    output: NDArray[np.int64]
    """Measured."""
    target: NDArray[np.int64]
    """Ordered; for what follows the weather, its limit."""
    potential: NDArray[np.int64]
    """What the weather allows; the rating for the others."""
    ready_at_ms: NDArray[np.int64]
    """When a start is over."""
    switched_at_ms: NDArray[np.int64]
    """When it was last ordered on or off; far in the past at first."""
    dispensable_ms: NDArray[np.int64]
    """Since when the others could have done without it; -1 = they could not."""
    leaving: NDArray[np.uint8]
    """1 = goes off as soon as the others have taken over."""
    switchings: NDArray[np.int64]
    """How often it was ordered on or off."""


def lay_out_plants(
    kind: NDArray[np.uint8],
    rated: NDArray[np.int64],
    *,
    minimum_ppm: int = 300_000,
    ramp_ppm_min: int = 100_000,
    start_ms: int = 300_000,
    min_up_ms: int = 900_000,
    min_down_ms: int = 600_000,
) -> Plants:
    """Plants that stand still (what follows the weather is online); single ones may be changed afterwards.

    Args:
        kind: uint8[plants], CONTINUOUS, FIXED or STOCHASTIC.
        rated: int64[plants], quanta.
        minimum_ppm: stable minimum of continuous plants, of their rating.
        ramp_ppm_min: of the rating in a minute, of continuous plants; the others change at once.
        start_ms: of continuous and fixed plants.
        min_up_ms: likewise.
        min_down_ms: likewise.
    """
    n = len(kind)
    weather, continuous = kind == STOCHASTIC, kind == CONTINUOUS

    def unless_weather(value: int) -> NDArray[np.int64]:
        return np.where(weather, 0, value).astype(np.int64)

    zero = np.zeros(n, np.int64)
    return Plants(
        kind=kind.astype(np.uint8),
        rated=rated.astype(np.int64),
        minimum=np.where(continuous, rated * minimum_ppm // 1_000_000, np.where(weather, 0, rated)).astype(np.int64),
        ramp=np.where(continuous, np.maximum(1, rated * ramp_ppm_min // 60_000_000), 0).astype(np.int64),
        start_ms=unless_weather(start_ms),
        min_up_ms=unless_weather(min_up_ms),
        min_down_ms=unless_weather(min_down_ms),
        cost=zero.copy(),
        idle_cost=zero.copy(),
        start_cost=zero.copy(),
        able=np.ones(n, np.uint8),
        on=weather.astype(np.uint8),
        output=zero.copy(),
        target=np.where(weather, rated, 0).astype(np.int64),
        potential=np.where(weather, 0, rated).astype(np.int64),
        ready_at_ms=zero.copy(),
        switched_at_ms=np.full(n, -_EVER, np.int64),
        dispensable_ms=np.full(n, -1, np.int64),
        leaving=np.zeros(n, np.uint8),
        switchings=zero.copy(),
    )


def plants_of(fleet: Fleet) -> Plants:
    """The plants of a drawn fleet: wind and sun follow the weather."""
    kinds = np.full(len(Plant), STOCHASTIC, np.uint8)
    kinds[Plant.FIXED] = FIXED
    kinds[Plant.CONTINUOUS] = CONTINUOUS
    return lay_out_plants(kinds[fleet.plant], fleet.rated)


def goal(plants: Plants) -> NDArray[np.int64]:
    """int64[plants]: what each gives when all orders have been carried out."""
    return np.asarray(np.minimum(plants.target, plants.potential) * plants.on, np.int64)


def arrival(plants: Plants, target: NDArray[np.int64], now_ms: int, horizon_ms: int) -> NDArray[np.int64]:
    """int64[plants]: what each gives at the end of a horizon if it is online and sent towards `target` now."""
    left_ms = now_ms + horizon_ms - np.maximum(plants.ready_at_ms, now_ms)
    # A plant comes online at its stable minimum and ramps from there.
    least = np.minimum(plants.minimum, target)
    base = np.where(plants.output < least, least, plants.output)
    step = np.where(plants.ramp == 0, _EVER, plants.ramp * np.maximum(left_ms, 0) // 1000)
    reached = base + np.clip(target - base, -step, step)
    return np.asarray(np.where(left_ms >= 0, reached, plants.output), np.int64)


def under_way(plants: Plants, now_ms: int, horizon_ms: int) -> Relief:
    """What orders that have been given will still add to the present output; counted once, here."""
    ends = goal(plants)
    soon = arrival(plants, ends, now_ms, horizon_ms) - plants.output
    return Relief(int(soon.sum()), int((ends - plants.output).sum()))


def advance_plants(plants: Plants, dt_ms: int, now_ms: int) -> None:
    """Lets so much time pass up to `now_ms` for plants that obey: for simulations, or between two readings."""
    plants.output[:] = arrival(plants, goal(plants), now_ms - dt_ms, dt_ms)
    plants.output[(plants.on == 0) & (plants.output < plants.minimum)] = 0


def _merit(plants: Plants) -> NDArray[np.int64]:
    """Order in which plants are loaded: the cheapest at full load first, then the larger ones."""
    per_quantum = plants.cost * 1_000 + plants.idle_cost * 1_000 // np.maximum(plants.rated, 1)
    return np.asarray(np.lexsort((np.arange(len(plants.rated)), -plants.rated, per_quantum)), np.int64)


def _poured(amount: int, room: NDArray[np.int64]) -> NDArray[np.int64]:
    """`amount` dealt out to `room` in order, each as much as fits."""
    before = np.cumsum(room) - room
    return np.asarray(np.clip(amount - before, 0, room), np.int64)


def _raise(plants: Plants, which: NDArray[np.bool_], need: Relief, now_ms: int, horizon_ms: int) -> Relief:
    """Raises online plants in the order of merit; a fast one bridges what slower ones do not bring in time."""
    order = _merit(plants)
    ends = goal(plants)[order]
    top = np.minimum(plants.rated, plants.potential)
    room = np.where(which[order], np.maximum(0, top[order] - ends), 0)
    already = arrival(plants, goal(plants), now_ms, horizon_ms)[order]
    fast = np.clip(arrival(plants, top, now_ms, horizon_ms)[order] - already, 0, room)
    more = _poured(max(0, need.final), room)
    in_time = _gained(plants, order, ends + more, already, now_ms, horizon_ms, fast)
    bridge = _poured(max(0, need.soon - int(in_time.sum())), fast - in_time)
    # One that is on its way down has to be sent to where it is to arrive, not only so much above where it was to end.
    more = np.where(bridge > 0, np.clip(already + in_time + bridge - ends, more, room), more)
    plants.target[order] = np.where(more > 0, ends + more, plants.target[order])
    return Relief(int((in_time + bridge).sum()), int(more.sum()))


def _gained(
    plants: Plants,
    order: NDArray[np.int64],
    target: NDArray[np.int64],
    already: NDArray[np.int64],
    now_ms: int,
    horizon_ms: int,
    most: NDArray[np.int64],
) -> NDArray[np.int64]:
    """What each gives more than `already` at the end of a horizon if it is sent to its target; all in `order`."""
    sent = goal(plants)
    sent[order] = target
    return np.asarray(np.clip(arrival(plants, sent, now_ms, horizon_ms)[order] - already, 0, most), np.int64)


def lift_curtailment(plants: Plants, need: Relief, now_ms: int, horizon_ms: int) -> Relief:
    """Lets curtailed weather-driven plants give what they could; one that gives all of it is free again."""
    which = (plants.kind == STOCHASTIC) & (plants.able == 1) & (plants.target < plants.potential)
    given = _raise(plants, which, need, now_ms, horizon_ms)
    free = which & (plants.target >= plants.potential)
    plants.target[free] = plants.rated[free]
    return given


def raise_continuous(plants: Plants, need: Relief, now_ms: int, horizon_ms: int) -> Relief:
    """Raises continuous plants that are online, the cheapest first."""
    if need.final > 0:
        # What was about to leave is wanted after all.
        plants.leaving[:] = 0
    which = (plants.kind == CONTINUOUS) & (plants.able == 1) & (plants.on == 1)
    return _raise(plants, which, need, now_ms, horizon_ms)


def room_up(plants: Plants) -> int:
    """Quanta that continuous plants online could still be raised by."""
    which = (plants.kind == CONTINUOUS) & (plants.able == 1) & (plants.on == 1)
    return int((plants.rated - plants.target)[which].sum())


def _startable(plants: Plants, kind: int, now_ms: int) -> NDArray[np.bool_]:
    rested = now_ms - plants.switched_at_ms >= plants.min_down_ms
    return np.asarray((plants.kind == kind) & (plants.able == 1) & (plants.on == 0) & (plants.output == 0) & rested)


def start(
    plants: Plants, kind: int, need: Relief, now_ms: int, horizon_ms: int, forecast: NDArray[np.int64] | None = None
) -> Relief:
    """Starts plants of a kind until the need is met: the least cost for what is covered, then the best fitting.

    With a forecast, none is started for a need that will be over when it comes.
    """
    soon, final = 0, 0
    candidates = _startable(plants, kind, now_ms)
    while candidates.any() and (final < need.final or soon < need.soon):
        fast = candidates & (plants.start_ms <= horizon_ms)
        useful = fast if final >= need.final else candidates
        if forecast is not None and len(forecast):
            useful = useful & ((plants.start_ms <= horizon_ms) | _needed_later(plants, forecast, final))
        if not useful.any():
            break
        wanted = max(need.final - final, need.soon - soon)
        p = _best_fitting(plants, useful, wanted)
        target = int(plants.rated[p])
        if kind == CONTINUOUS:
            target = min(target, max(int(plants.minimum[p]), wanted))
        switch(plants, p, True, now_ms)
        plants.target[p] = target
        final += target
        soon += int(arrival(plants, plants.target, now_ms, horizon_ms)[p])
        candidates[p] = False
    return Relief(soon, final)


def _needed_later(plants: Plants, forecast: NDArray[np.int64], ordered: int) -> NDArray[np.bool_]:
    """Whether something is still missing once each plant has come, or later in the forecast."""
    still = np.maximum.accumulate(forecast[::-1])[::-1]
    at = np.minimum(plants.start_ms // MINUTE_MS, len(forecast) - 1)
    return np.asarray(still[at] > ordered)


def _best_fitting(plants: Plants, which: NDArray[np.bool_], wanted: int) -> int:
    """Of those that cover all, the one that costs least, then the smallest: one start instead of two. If none does, the
    one with the least cost for what it gives, then the largest."""
    at = np.flatnonzero(which)
    rated = plants.rated[at]
    used = np.minimum(np.maximum(wanted, plants.minimum[at]), rated)
    hours_ms = np.maximum(plants.min_up_ms[at], HOUR_MS)
    money = plants.start_cost[at] + (plants.idle_cost[at] + plants.cost[at] * used) * hours_ms // HOUR_MS
    covers = rated >= wanted
    worth = np.where(covers, money, money * 1_000 // np.maximum(1, rated))
    return int(at[np.lexsort((at, np.where(covers, rated, -rated), worth, ~covers))[0]])


def start_ahead(plants: Plants, forecast: NDArray[np.int64], now_ms: int) -> Relief:
    """Starts what the forecast needs and what would come too late if it were started a minute later."""
    room, final = room_up(plants), 0
    for minute in range(len(forecast)):
        lack = int(forecast[minute]) - room - final
        if lack <= 0:
            continue
        startable = _startable(plants, CONTINUOUS, now_ms) | _startable(plants, FIXED, now_ms)
        may_wait = startable & (plants.start_ms + MINUTE_MS <= minute * MINUTE_MS)
        due = startable & ~may_wait & _needed_later(plants, forecast, room + final)
        lack -= int(plants.rated[may_wait].sum())
        while lack > 0 and due.any():
            # One that covers what is still to come is better than another start then.
            p = _best_fitting(plants, due, max(lack, int(forecast.max()) - room - final))
            switch(plants, p, True, now_ms)
            lack -= int(plants.rated[p])
            final += int(plants.rated[p])
            due[p] = False
    return Relief(0, final)


def switch(plants: Plants, p: int, on: bool, now_ms: int) -> None:
    """Orders one plant on or off and keeps the times."""
    plants.on[p] = on
    plants.switched_at_ms[p] = now_ms
    plants.ready_at_ms[p] = now_ms + int(plants.start_ms[p]) if on else now_ms
    plants.target[p] = plants.minimum[p] if on else 0
    plants.dispensable_ms[p] = -1
    plants.leaving[p] = 0
    plants.switchings[p] += 1


def lower_continuous(plants: Plants, spare: int) -> int:
    """Lowers continuous plants that are online towards their minimum, the dearest first; quanta given back."""
    which = (plants.kind == CONTINUOUS) & (plants.able == 1) & (plants.on == 1)
    order = _merit(plants)[::-1]
    room = np.where(which[order], np.maximum(0, plants.target - plants.minimum)[order], 0)
    less = _poured(max(0, spare), room)
    plants.target[order] -= less
    return int(less.sum())


def watch(plants: Plants, spare: int, now_ms: int) -> None:
    """Keeps for each plant since when the others could have done without it; `spare` is negative when short."""
    running = (plants.kind != STOCHASTIC) & (plants.able == 1) & (plants.on == 1) & (plants.ready_at_ms <= now_ms)
    room = np.where(running & (plants.kind == CONTINUOUS), plants.rated - plants.target, 0)
    dispensable = running & (spare + int(room.sum()) - room >= plants.target)
    since = np.where(plants.dispensable_ms < 0, now_ms, plants.dispensable_ms)
    plants.dispensable_ms[:] = np.where(dispensable, since, -1)


def reserved(plants: Plants) -> int:
    """Quanta that others give already in the place of plants that are about to leave."""
    return int(plants.target[(plants.leaving == 1) & (plants.on == 1)].sum())


def stop(
    plants: Plants,
    spare: int,
    present: int,
    now_ms: int,
    forecast: NDArray[np.int64] | None = None,
    *,
    hastens: bool = True,
) -> int:
    """Stops what the others can do without, the dearest first; quanta that go (or are about to).

    A plant leaves in two steps: the others are raised by what it gives, and when that has come it goes off.

    Args:
        plants: of the region, watched (`watch`).
        spare: quanta that are left over when all orders are carried out.
        present: quanta that are left over now, by measurement.
        now_ms: time.
        forecast: what will be missing.
        hastens: whether a plant that the forecast does not need goes without having been dispensable for a while.
    """
    gone = 0
    for p in np.flatnonzero((plants.leaving == 1) & (plants.on == 1)).tolist():
        if plants.output[p] <= present and plants.target[p] <= spare - gone:
            gone += int(plants.target[p])
            present -= int(plants.output[p])
            switch(plants, p, False, now_ms)
    given_up = gone + reserved(plants)
    continuous = (plants.kind == CONTINUOUS) & (plants.able == 1) & (plants.on == 1) & (plants.leaving == 0)
    ripe = now_ms - plants.switched_at_ms - plants.start_ms >= plants.min_up_ms
    for p in _merit(plants)[::-1].tolist():
        if plants.dispensable_ms[p] < 0 or plants.leaving[p] or not ripe[p]:
            continue
        target = int(plants.target[p])
        others = continuous.copy()
        others[p] = False
        room = int((plants.rated - plants.target)[others].sum())
        missing = max(0, target - (spare - given_up))
        if missing > room or not _worth_stopping(plants, p, room, now_ms, forecast, given_up, hastens):
            continue
        if missing > 0:
            _raise(plants, others, Relief(0, missing), now_ms, 0)
            spare += missing
        given_up += target
        continuous = others
        if plants.output[p] <= present:
            present -= int(plants.output[p])
            switch(plants, p, False, now_ms)
        else:
            plants.leaving[p] = 1
    return given_up


def _worth_stopping(
    plants: Plants,
    p: int,
    room: int,
    now_ms: int,
    forecast: NDArray[np.int64] | None,
    given_up: int,
    hastens: bool,
) -> bool:
    """Whether a plant that is dispensable now should go: by the forecast for as long as it could not be back; beyond
    what the forecast sees, by how long it has been so."""
    needed_ms = int(plants.start_ms[p]) + int(plants.min_down_ms[p])
    idle, dear = int(plants.idle_cost[p]), int(plants.start_cost[p])
    # Standing by for so long costs as much as a start: whoever waits that long never pays more than twice the least.
    patience_ms = max(needed_ms, dear * HOUR_MS // idle if idle > 0 else needed_ms)
    seen_ms = 0
    if forecast is not None and len(forecast):
        minutes = min(len(forecast), -(-patience_ms // MINUTE_MS)) if hastens else len(forecast)
        worst = int(forecast[:minutes].max())
        if worst + given_up + int(plants.target[p]) > room:
            return False
        seen_ms = minutes * MINUTE_MS if hastens else 0
    return now_ms - int(plants.dispensable_ms[p]) + seen_ms >= patience_ms


def curtail(plants: Plants, excess: int) -> int:
    """Limits weather-driven plants, each in proportion to what it gives; quanta taken."""
    which = (plants.kind == STOCHASTIC) & (plants.able == 1)
    given = np.where(which, goal(plants), 0)
    total = int(given.sum())
    cut = min(max(0, excess), total)
    if cut == 0:
        return 0
    # Running sums rounded alike: the parts add up to the whole.
    upto = np.cumsum(given)
    share = _share(upto, cut, total) - _share(upto - given, cut, total)
    less = np.minimum(share, given)
    plants.target[which] = np.where(less > 0, given - less, plants.target)[which]
    return int(less.sum())


def _share(part: NDArray[np.int64], cut: int, total: int) -> NDArray[np.int64]:
    """part x cut / total, rounded down, without leaving 64 bits: in two digits of 20 bits."""
    whole, rest = part // total * cut, part % total
    high, low = cut >> 20, cut & 0xFFFFF
    # rest < total < 2^41, so that no product leaves 63 bits.
    top = rest * high
    return np.asarray(whole + (top // total << 20) + ((top % total << 20) + rest * low) // total, np.int64)
