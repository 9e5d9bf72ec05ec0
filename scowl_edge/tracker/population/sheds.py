"""Demand response by block: who is asked to shed, what was granted, until when, and how it comes back.

One row a block and one a big feed (`row`), never one a consumer. A request is answered by a grant of all, part or none;
until then it counts for nothing, and unanswered it is in doubt. Least important class first, then the cheapest, then
who was asked least often; the last one is asked for just what is missing. Class 0 is never asked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import BLOCK, CLASSES, NO_TREE, PROTECTED, Census, Columns, Layout

FREE, ASKED, GRANTED, DOUBT, RESTING = range(5)
"""States. Doubt: asked, and no answer came; it may have shed or not."""
COSTS = 64
"""Levels of cost, 0 the cheapest."""
_OFTEN = 4
_AGES = 64
_PPM = 1_000_000
WAITING, HELD, UNSURE, LISTED, GIVEN, REFUSED = range(6)
"""Places in `totals`: quanta asked and not answered yet; granted; in doubt; entries of `changed`; grants and refusals
since the start."""


class Sheds(NamedTuple):
    """What is asked of whom, one row a block, then one a big feed; powers in quanta; arrays change in place."""

    state: NDArray[np.uint8]
    klass: NDArray[np.uint8]
    zone: NDArray[np.uint16]
    deferrable_ppm: NDArray[np.int32]
    """Share of the demand that can be shed."""
    cost: NDArray[np.uint8]
    """Of a quantum shed for an hour, in levels below COSTS."""
    longest_ms: NDArray[np.int32]
    """A shed ends at the latest after so long; held by the device too."""
    rest_ms: NDArray[np.int32]
    """From the end of a shed to the next request."""
    most_a_day: NDArray[np.uint8]
    """0 = any number."""
    rebound_ppm: NDArray[np.int32]
    """What comes back beyond what was shed, of it."""
    asked: NDArray[np.int64]
    granted: NDArray[np.int64]
    since_ms: NDArray[np.int64]
    """When it was asked."""
    until_ms: NDArray[np.int64]
    """End of the shed, then of the rest."""
    times: NDArray[np.uint8]
    """Sheds on `day`."""
    day: NDArray[np.int32]
    totals: NDArray[np.int64]
    changed: NDArray[np.int32]
    """Rows that were asked, or released, since `forget_requests`: `totals[LISTED]` of them."""
    noted: NDArray[np.uint8]


def lay_out_sheds(
    columns: Columns,
    census: Census | None = None,
    layout: Layout | None = None,
    *,
    deferrable_ppm: int = 0,
    longest_ms: int = 900_000,
    rest_ms: int = 1_800_000,
    most_a_day: int = 4,
    rebound_ppm: int = 250_000,
) -> Sheds:
    """Rows for the blocks and feeds of columns, nobody asked.

    With a census and its layout, the share that can be shed is the mean of a row's members by demand; else it is
    `deferrable_ppm` for all.
    """
    blocks, feeds = len(columns.block_tree), len(columns.big_tree)
    rows = blocks + feeds
    share = np.full(rows, deferrable_ppm, np.int64)
    if census is not None and layout is not None:
        taken = layout.consumer >= 0
        who = np.maximum(layout.consumer, 0)
        size = np.where(taken, np.maximum(0, census.nominal[who]), 0) if len(census) else np.zeros(len(who), np.int64)
        part = size * census.deferrable_ppm[who] if len(census) else size
        if blocks:
            whole = np.add.reduceat(size, columns.block_start[:-1])
            share[:blocks] = np.add.reduceat(part, columns.block_start[:-1]) // np.maximum(1, whole)
        share[blocks:] = census.deferrable_ppm[columns.big_owner]
    return Sheds(
        state=np.zeros(rows, np.uint8),
        klass=np.concatenate((columns.block_class, columns.big_class)),
        zone=np.concatenate((columns.block_zone, columns.big_zone)),
        deferrable_ppm=share.astype(np.int32),
        cost=np.zeros(rows, np.uint8),
        longest_ms=np.full(rows, longest_ms, np.int32),
        rest_ms=np.full(rows, rest_ms, np.int32),
        most_a_day=np.full(rows, most_a_day, np.uint8),
        rebound_ppm=np.full(rows, rebound_ppm, np.int32),
        asked=np.zeros(rows, np.int64),
        granted=np.zeros(rows, np.int64),
        since_ms=np.zeros(rows, np.int64),
        until_ms=np.zeros(rows, np.int64),
        times=np.zeros(rows, np.uint8),
        day=np.full(rows, -1, np.int32),
        totals=np.zeros(6, np.int64),
        changed=np.zeros(rows, np.int32),
        noted=np.zeros(rows, np.uint8),
    )


def row(sheds: Sheds, columns: Columns, kind: int, number: int) -> int:
    """The row of a block or a big feed."""
    return number if kind == BLOCK else len(columns.block_tree) + number


@kernel
def forget_requests(sheds: Sheds) -> None:
    """Begins a new list: those in `changed` have been told."""
    for k in range(sheds.totals[LISTED]):
        sheds.noted[sheds.changed[k]] = 0
    sheds.totals[LISTED] = 0


@kernel
def offers(
    sheds: Sheds, columns: Columns, zone_from: int, zone_to: int, now_ms: int, day: int, cells: NDArray[np.int32]
) -> NDArray[np.int64]:
    """int64[rows]: what each could be asked for now; `cells` gets its place in the order, class by class."""
    states, classes, shares, costs, zones = sheds.state, sheds.klass, sheds.deferrable_ppm, sheds.cost, sheds.zone
    until, days, times, most = sheds.until_ms, sheds.day, sheds.times, sheds.most_a_day
    served, big_demand, big_tree = columns.block_served, columns.big_demand, columns.big_tree
    blocks = len(served)
    out = np.zeros(len(states), np.int64)
    for r in range(len(states)):
        klass, state = int(classes[r]), int(states[r])
        if klass == PROTECTED or (state != FREE and (state != RESTING or now_ms < until[r])):
            continue
        if zones[r] < zone_from or zones[r] >= zone_to:
            continue
        so_far = int(times[r]) if days[r] == day else 0
        if most[r] != 0 and so_far >= most[r]:
            continue
        if r < blocks:
            demand = served[r]
        else:
            demand = int(big_demand[r - blocks]) if big_tree[r - blocks] != NO_TREE else 0
        if demand > 0 and shares[r] > 0:
            out[r] = demand * int(shares[r]) // _PPM
            important_last = CLASSES - 1 - klass
            cells[r] = (important_last * COSTS + min(int(costs[r]), COSTS - 1)) * _OFTEN + min(so_far, _OFTEN - 1)
    return out


@kernel
def ask(sheds: Sheds, columns: Columns, zone_from: int, zone_to: int, need: int, now_ms: int, day: int) -> int:
    """Asks for `need` quanta in a range of zones, or for all there are; quanta asked."""
    if need <= 0:
        return 0
    cells = np.zeros(len(sheds.state), np.int32)
    sizes = offers(sheds, columns, zone_from, zone_to, now_ms, day, cells)
    sums = np.zeros(CLASSES * COSTS * _OFTEN, np.int64)
    for r in range(len(sizes)):
        sums[cells[r]] += sizes[r]
    left, last = need, 0
    while last < len(sums) and sums[last] <= left:
        left -= sums[last]
        last += 1
    asked, listed = 0, int(sheds.totals[LISTED])
    states, amounts, since, until = sheds.state, sheds.asked, sheds.since_ms, sheds.until_ms
    granted, longest, noted, changed = sheds.granted, sheds.longest_ms, sheds.noted, sheds.changed
    times, days = sheds.times, sheds.day
    for r in range(len(sizes)):
        size = sizes[r]
        if size == 0 or cells[r] > last:
            continue
        if cells[r] == last:
            size = min(size, left)
            if size == 0:
                continue
            left -= size
        states[r] = ASKED
        amounts[r] = size
        granted[r] = 0
        since[r] = now_ms
        # Ends are spread over the last quarter, so that the loads do not come back together.
        spread = int(longest[r]) // 4
        until[r] = now_ms + int(longest[r]) - (spread * (r * 40_503 & 0xFFFF) >> 16)
        times[r] = min(int(times[r]) + 1, 255) if days[r] == day else 1
        days[r] = day
        asked += size
        if noted[r] == 0:
            noted[r] = 1
            changed[listed] = r
            listed += 1
    sheds.totals[LISTED] = listed
    sheds.totals[WAITING] += asked
    return asked


@kernel
def answer(sheds: Sheds, rows: NDArray[np.int32], grants: NDArray[np.int64], now_ms: int) -> int:
    """Takes what rows grant, each at most what it was asked for; quanta that count from now on.

    A late answer counts as well, but for one whose time is over; a refusal is no shed, yet the row is given its rest.
    """
    states, asked, granted, until, times = sheds.state, sheds.asked, sheds.granted, sheds.until_ms, sheds.times
    counts = 0
    for k in range(len(rows)):
        r = int(rows[k])
        state = int(states[r])
        if state not in (ASKED, DOUBT):
            continue
        sheds.totals[WAITING if state == ASKED else UNSURE] -= asked[r]
        given = min(grants[k], asked[r]) if now_ms < until[r] else 0
        if given > 0:
            states[r] = GRANTED
            granted[r] = given
            counts += given
            sheds.totals[GIVEN] += 1
        else:
            states[r] = RESTING
            until[r] = now_ms + int(sheds.rest_ms[r])
            if grants[k] <= 0:
                times[r] = max(0, int(times[r]) - 1)
            sheds.totals[REFUSED] += 1
    sheds.totals[HELD] += counts
    return counts


@kernel
def _end(sheds: Sheds, rows: NDArray[np.int32], now_ms: int) -> None:
    """Ends sheds, granted, asked or in doubt, lets the rows rest and notes that they have to be told."""
    states, asked, granted, until, rest = sheds.state, sheds.asked, sheds.granted, sheds.until_ms, sheds.rest_ms
    noted, changed, listed = sheds.noted, sheds.changed, int(sheds.totals[LISTED])
    for k in range(len(rows)):
        r = int(rows[k])
        if states[r] == GRANTED:
            sheds.totals[HELD] -= granted[r]
        else:
            sheds.totals[UNSURE if states[r] == DOUBT else WAITING] -= asked[r]
        states[r] = RESTING
        until[r] = now_ms + int(rest[r])
        if noted[r] == 0:
            noted[r] = 1
            changed[listed] = r
            listed += 1
    sheds.totals[LISTED] = listed


@kernel
def pass_time(sheds: Sheds, now_ms: int, answer_ms: int) -> int:
    """Lets time pass: what has lasted long enough ends, what was not answered within `answer_ms` is in doubt; quanta
    that have ended."""
    states, until, since, asked, granted = sheds.state, sheds.until_ms, sheds.since_ms, sheds.asked, sheds.granted
    over, count, ended = np.empty(len(states), np.int32), 0, 0
    for r in range(len(states)):
        state = int(states[r])
        if state in (FREE, RESTING):
            continue
        if now_ms >= until[r]:
            ended += granted[r] if state == GRANTED else 0
            over[count] = r
            count += 1
        elif state == ASKED and now_ms - since[r] >= answer_ms:
            states[r] = DOUBT
            sheds.totals[WAITING] -= asked[r]
            sheds.totals[UNSURE] += asked[r]
    _end(sheds, over[:count], now_ms)
    return ended


@kernel
def restore(sheds: Sheds, spare: int, now_ms: int) -> int:
    """Ends sheds as far as `spare` quanta allow, their rebound included: most important first, then oldest; quanta that
    may come back. One in doubt counts as if it had shed all that it was asked for."""
    if spare <= 0:
        return 0
    states, classes, since = sheds.state, sheds.klass, sheds.since_ms
    rise = np.zeros(len(states), np.int64)
    cells = np.zeros(len(states), np.int32)
    sums = np.zeros(CLASSES * _AGES, np.int64)
    for r in range(len(states)):
        if states[r] == GRANTED or states[r] == DOUBT:
            power = sheds.granted[r] if states[r] == GRANTED else sheds.asked[r]
            rise[r] = power + power * int(sheds.rebound_ppm[r]) // _PPM
            minutes = min(max(0, now_ms - since[r]) // 60_000, _AGES - 1)
            cells[r] = int(classes[r]) * _AGES + _AGES - 1 - minutes
            sums[cells[r]] += rise[r]
    left, last = spare, 0
    while last < len(sums) and sums[last] <= left:
        left -= sums[last]
        last += 1
    over, count, given, first, first_cell = np.empty(len(states), np.int32), 0, 0, -1, len(sums)
    for r in range(len(states)):
        if rise[r] == 0:
            continue
        if cells[r] < last or (cells[r] == last and rise[r] <= left):
            left -= rise[r] if cells[r] == last else 0
            given += rise[r]
            over[count] = r
            count += 1
        elif rise[r] <= spare and cells[r] < first_cell:
            first, first_cell = r, int(cells[r])
    if count == 0 and first >= 0:
        # One too large for what is spare must not keep the others waiting.
        over[0] = first
        count, given = 1, rise[first]
    _end(sheds, over[:count], now_ms)
    return given


@kernel
def recount(sheds: Sheds) -> tuple[int, int, int]:
    """(waiting, held, unsure) from the rows: what `totals` has to equal."""
    waiting, held, unsure = 0, 0, 0
    for r in range(len(sheds.state)):
        if sheds.state[r] == ASKED:
            waiting += sheds.asked[r]
        elif sheds.state[r] == GRANTED:
            held += sheds.granted[r]
        elif sheds.state[r] == DOUBT:
            unsure += sheds.asked[r]
    return waiting, held, unsure
