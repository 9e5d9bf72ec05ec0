"""The best course of a small fleet, known only afterwards: an exact dynamic program over a recorded day.

What a dispatch decided while it happened is held against it: how often it switched, and what it cost. A state is, for
every plant, how many steps it has been off, starting or on (counted up to its minimum time); there are few enough of
them for three or four plants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.dispatch import HOUR_MS, MINUTE_MS, Plants, advance_plants, goal
from scowl_edge.tracker.population.escalation import Means, climb, descend, pledged

_MOST_STATES = 200_000


class Weights(NamedTuple):
    """What is worse than what; the products with a day's sums must stay below 2^62."""

    unserved: int
    """A quantum that is missing for a step."""
    spilled: int
    """A quantum that plants at their minimum give too much, for a step."""
    switching: int
    cost: int
    """One unit of money."""


FEWEST = Weights(10_000_000, 1_000_000, 100_000, 0)
"""Switch as rarely as can be while everything is served and nothing spilled."""
CHEAPEST = Weights(10_000_000, 1_000_000, 0, 1)
"""Whatever costs least, served and not spilled likewise."""


@dataclass(frozen=True, slots=True)
class Course:
    """What plants do over a day."""

    online: NDArray[np.uint8]
    """[steps, plants] 1 = gives power."""
    switchings: int
    """Orders on or off."""
    unserved: int
    """Quanta x steps."""
    spilled: int
    cost: int


def best_course(plants: Plants, demand: NDArray[np.int64], step_ms: int, weights: Weights) -> Course:
    """The best that the plants, as they stand now, could have done.

    Args:
        plants: at most a handful, none that follows the weather; ramps are taken as at once.
        demand: int64[steps], quanta.
        step_ms: length of a step; times of the plants are rounded up to whole ones.
        weights: what counts.

    Raises:
        ValueError: more states than can be looked at.
    """
    n = len(plants.rated)
    steps = len(demand)
    down = np.maximum(1, -(-plants.min_down_ms // step_ms))
    starting = -(-plants.start_ms // step_ms)
    up = np.maximum(1, -(-plants.min_up_ms // step_ms))
    sizes = down + starting + up
    total = 1
    for size in sizes.tolist():
        total *= size
    if total > _MOST_STATES:
        raise ValueError(
            f"{total:,} states of {n} plants: take longer steps or fewer plants (at most {_MOST_STATES:,})"
        )
    running = _running_cost(plants, demand, step_ms, weights)
    value = np.zeros(total, np.int64)
    choice = np.zeros((steps, total), np.uint8)
    starts = plants.start_cost.astype(np.int64) * weights.cost + weights.switching
    for t in range(steps - 1, -1, -1):
        value = _step_back(down, starting, up, running[t], starts, weights.switching, value, choice[t])
    state = np.where(plants.on == 1, sizes - 1, down - 1)
    return _walk(plants, demand, step_ms, down, starting, up, state, choice)


def _running_cost(plants: Plants, demand: NDArray[np.int64], step_ms: int, weights: Weights) -> NDArray[np.int64]:
    """int64[steps, 2^plants]: what a step is worth with each set of plants online."""
    out = np.zeros((len(demand), 1 << len(plants.rated)), np.int64)
    for mask in range(out.shape[1]):
        online = np.array([mask >> p & 1 for p in range(len(plants.rated))], np.bool_)
        unserved, spilled, money = step_of(plants, online, demand, step_ms)
        out[:, mask] = unserved * weights.unserved + spilled * weights.spilled + money * weights.cost
    return out


def step_of(
    plants: Plants, online: NDArray[np.bool_], demand: NDArray[np.int64], step_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(unserved, spilled, cost) of each step's demand, int64[steps], with these plants online and loaded by merit."""
    top, bottom = int(plants.rated[online].sum()), int(plants.minimum[online].sum())
    rest = np.clip(demand, bottom, top) - bottom
    money = np.full(len(demand), int((plants.idle_cost + plants.cost * plants.minimum)[online].sum()), np.int64)
    for p in np.lexsort((-plants.rated, plants.cost)):
        if online[p]:
            part = np.minimum(rest, plants.rated[p] - plants.minimum[p])
            money += part * plants.cost[p]
            rest = rest - part
    return np.maximum(0, demand - top), np.maximum(0, bottom - demand), money * step_ms // HOUR_MS


@kernel
def _step_back(
    down: NDArray[np.int64],
    starting: NDArray[np.int64],
    up: NDArray[np.int64],
    running: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: int,
    later: NDArray[np.int64],
    choice: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Value of every state one step earlier; `choice` gets the plants to switch, one bit each."""
    n = len(down)
    value = np.empty(len(later), np.int64)
    state = np.zeros(n, np.int64)
    for s in range(len(later)):
        rest = s
        for p in range(n):
            size = down[p] + starting[p] + up[p]
            state[p] = rest % size
            rest //= size
        best, best_switch = 1 << 62, 0
        for switch in range(1 << n):
            worth, allowed, mask, index, factor = 0, True, 0, 0, 1
            for p in range(n):
                size = down[p] + starting[p] + up[p]
                at, turned = state[p], switch >> p & 1
                if at == down[p] - 1:
                    at += turned
                    worth += starts[p] if turned else 0
                elif at == size - 1:
                    at = 0 if turned else at
                    worth += stops if turned else 0
                elif turned:
                    allowed = False
                else:
                    at += 1
                if at >= down[p] + starting[p]:
                    mask |= 1 << p
                index += at * factor
                factor *= size
            if not allowed:
                continue
            worth += running[mask] + later[index]
            if worth < best:
                best, best_switch = worth, switch
        value[s] = best
        choice[s] = best_switch
    return value


def _walk(
    plants: Plants,
    demand: NDArray[np.int64],
    step_ms: int,
    down: NDArray[np.int64],
    starting: NDArray[np.int64],
    up: NDArray[np.int64],
    state: NDArray[np.int64],
    choice: NDArray[np.uint8],
) -> Course:
    """Follows the choices from a state through the day."""
    sizes = down + starting + up
    factors = np.concatenate((np.ones(1, np.int64), np.cumprod(sizes)[:-1]))
    online = np.zeros((len(demand), len(down)), np.uint8)
    switchings, unserved, spilled, cost = 0, 0, 0, 0
    for t in range(len(demand)):
        turned = choice[t][int((state * factors).sum())] >> np.arange(len(down)) & 1
        off_rest, on_rest = state == down - 1, state == sizes - 1
        cost += int(plants.start_cost[off_rest & (turned == 1)].sum())
        switchings += int(turned.sum())
        moving = np.where(off_rest, state + turned, np.where(on_rest, np.where(turned == 1, 0, state), state + 1))
        state = moving
        online[t] = state >= down + starting
        missing, over, money = step_of(plants, online[t] == 1, demand[t : t + 1], step_ms)
        unserved, spilled, cost = unserved + int(missing[0]), spilled + int(over[0]), cost + int(money[0])
    return Course(online, switchings, unserved, spilled, cost)


def as_it_happens(plants: Plants, demand: NDArray[np.int64], look_minutes: int = 0) -> Course:
    """Lets the ladder dispatch plants minute by minute, each with the next minutes' demand as its forecast.

    Args:
        plants: none that follows the weather; they are changed.
        demand: int64[minutes], quanta; minute m's is known at its beginning.
        look_minutes: how far the forecast reaches; 0 = there is none.
    """
    means = Means(quantum_w=1, plants=plants)
    online = np.zeros((len(demand), len(plants.rated)), np.uint8)
    switchings, unserved, spilled, cost = int(plants.switchings.sum()), 0, 0, 0
    starts = plants.start_cost.copy()
    for minute in range(len(demand)):
        now_ms = minute * MINUTE_MS
        short = int(demand[minute]) - int(plants.output.sum())
        arriving = pledged(means, now_ms)
        ahead = demand[minute : minute + look_minutes] - int(goal(plants).sum()) if look_minutes else None
        before = plants.on.copy()
        if short > arriving.soon or short > arriving.final:
            climb(means, short - arriving.soon, short - arriving.final, now_ms, forecast=ahead)
        else:
            descend(means, arriving.soon - short, arriving.final - short, now_ms, forecast=ahead)
        cost += int(starts[(before == 0) & (plants.on == 1)].sum())
        advance_plants(plants, MINUTE_MS, now_ms + MINUTE_MS)
        online[minute] = plants.output > 0
        given = int(plants.output.sum())
        unserved += max(0, int(demand[minute]) - given)
        spilled += max(0, given - int(demand[minute]))
        cost += int((plants.idle_cost * online[minute] + plants.cost * plants.output).sum()) * MINUTE_MS // HOUR_MS
    return Course(online, int(plants.switchings.sum()) - switchings, unserved, spilled, cost)


def verdict(plants: Plants, demand: NDArray[np.int64], *, step_minutes: int = 10, look_minutes: tuple[int, ...]) -> str:
    """A table for people: switchings an hour and cost of the ladder, without and with forecasts, beside the best that
    could have been done knowing the whole day. `plants` is left as it was."""
    whole = len(demand) // step_minutes * step_minutes
    worst = demand[:whole].reshape(-1, step_minutes).max(axis=1)
    step_ms = step_minutes * MINUTE_MS
    rows = [
        ("fewest switchings in hindsight", best_course(plants, worst, step_ms, FEWEST), step_minutes),
        ("least cost in hindsight", best_course(plants, worst, step_ms, CHEAPEST), step_minutes),
    ]
    for look in look_minutes:
        copy = Plants._make(column.copy() for column in plants)
        name = f"ladder, {look} min ahead" if look else "ladder, no forecast"
        rows.append((name, as_it_happens(copy, demand, look), 1))
    total = max(1, int(demand.sum()))
    lines = [f"{'':32}{'switchings':>12}{'an hour':>10}{'cost':>14}{'unserved':>12}{'spilled':>12}"]
    for name, course, minutes in rows:
        milli = course.switchings * 60_000 // max(1, len(demand))
        parts = [f"{amount * minutes * 1_000_000 // total} ppm" for amount in (course.unserved, course.spilled)]
        hourly = f"{milli // 1000}.{milli % 1000:03}"
        lines.append(f"{name:32}{course.switchings:>12}{hourly:>10}{course.cost:>14,}{parts[0]:>12}{parts[1]:>12}")
    return "\n".join(lines)
