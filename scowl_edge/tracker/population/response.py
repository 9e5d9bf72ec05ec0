"""Members that are asked to shed: what they answer and when, what they really leave out, and what comes back after it.

One row a block and one a big feed, like the requests (`sheds.py`). It is a law of the seed: most grant all, some a part
or nothing, now and then one answers late or never, and of those half shed all the same. A shed leaves the demand of
those members that are served, in proportion, and ends at its time even if nobody ends it. Afterwards the row draws more
than usual, for as long as it was shed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population import chance, sheds
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns
from scowl_edge.tracker.population.sheds import ASKED, GRANTED, LISTED, Sheds

_PPM = 1_000_000
_SILENT, _LATE, _REFUSES, _PARTLY = 20, 40, 90, 240
"""Of a thousand requests: below the first nobody answers, below the second late, and so on; the others grant all."""
_LATE_TICKS = 15
NEVER = 1 << 62
"""A time at which nobody answers."""
_LOT, _PART, _DELAY = 61, 62, 63
"""Purposes of draws."""
ANSWER_MS = 10_000
"""Longest wait for an answer; then the row is in doubt."""
SHED, REBOUND = range(2)
"""Rows of `moved`."""


class Response(NamedTuple):
    """What members of each row do; powers in quanta, arrays change in place."""

    answer_at_ms: NDArray[np.int64]
    """When they answer; far in the future where nobody will."""
    answer: NDArray[np.int64]
    """What they will grant."""
    acting: NDArray[np.int64]
    """What they leave out, or would if they drew as much."""
    since_ms: NDArray[np.int64]
    until_ms: NDArray[np.int64]
    """When they end it by themselves."""
    rebound: NDArray[np.int64]
    """What they draw beyond the usual after a shed."""
    rebound_until_ms: NDArray[np.int64]
    moved: NDArray[np.int64]
    """[2, CLASSES] What is left out now, and what is drawn beyond the usual."""
    answered: NDArray[np.int64]
    """[3] In the last tick: quanta granted, rows that granted, rows that refused."""


def at_rest(rows: int) -> Response:
    """Nobody was asked."""
    none = np.zeros(rows, np.int64)
    return Response(
        answer_at_ms=np.full(rows, NEVER, np.int64),
        answer=none.copy(),
        acting=none.copy(),
        since_ms=none.copy(),
        until_ms=none.copy(),
        rebound=none.copy(),
        rebound_until_ms=none.copy(),
        moved=np.zeros((2, CLASSES), np.int64),
        answered=np.zeros(3, np.int64),
    )


def live(response: Response, asked: Sheds, columns: Columns, seed: int, tick: int, period_ms: int, now_ms: int) -> None:
    """One tick: requests arrive, answers come, sheds end; then demand and the sums of blocks are what is left.

    Args:
        response: changed in place.
        asked: the requests, changed in place.
        columns: demand without any shed; trees and zones are to be summed again after it.
        seed: of the population.
        tick: number of the step.
        period_ms: time between two ticks; the fastest answer takes one.
        now_ms: time.
    """
    sheds.pass_time(asked, now_ms, max(ANSWER_MS, 4 * period_ms))
    listed = asked.changed[: int(asked.totals[LISTED])].astype(np.int64)
    _hear(response, asked, listed, seed, tick, period_ms)
    sheds.forget_requests(asked)
    _end(response, asked, now_ms)
    _answer(response, asked, now_ms)
    change = np.where(response.since_ms <= now_ms, -response.acting, 0) + response.rebound
    rows = np.flatnonzero(change)
    response.moved[:] = 0
    if len(rows):
        bend(columns, rows, change[rows], asked.deferrable_ppm[rows], response.moved)


def _hear(response: Response, asked: Sheds, listed: NDArray[np.int64], seed: int, tick: int, period_ms: int) -> None:
    """Takes in what rows were told: a request, or the end of one."""
    over = listed[asked.state[listed] != ASKED]
    response.until_ms[over] = 0
    response.answer_at_ms[over] = NEVER
    rows = listed[asked.state[listed] == ASKED]
    if not len(rows):
        return
    numbers = rows.astype(np.uint64)
    lot = chance.below(1_000, chance.derived(seed, _LOT, tick), 0, numbers)
    part = 250_000 + chance.below(500_000, chance.derived(seed, _PART, tick), 0, numbers)
    slow = chance.below(100, chance.derived(seed, _DELAY, tick), 0, numbers)
    amount = asked.asked[rows]
    granted = np.where(lot < _PARTLY, amount * part // _PPM, amount)
    granted[(lot >= _LATE) & (lot < _REFUSES)] = 0
    ticks = np.where(lot < _LATE, _LATE_TICKS, 1 + (slow >= 80) + (slow >= 95))
    response.answer[rows] = granted
    response.answer_at_ms[rows] = np.where(lot < _SILENT, NEVER, asked.since_ms[rows] + ticks * period_ms)
    # Of the silent, those of whom nobody hears may have heard us.
    response.acting[rows] = np.where((lot < _SILENT) & (lot % 2 == 0), amount, 0)
    response.since_ms[rows] = asked.since_ms[rows] + period_ms
    response.until_ms[rows] = asked.until_ms[rows]
    response.rebound[rows] = 0


def _end(response: Response, asked: Sheds, now_ms: int) -> None:
    """Ends what has lasted long enough, or was ended; what was left out comes back in part."""
    over = np.flatnonzero((response.acting > 0) & (now_ms >= response.until_ms))
    lasted = np.maximum(0, now_ms - response.since_ms[over])
    response.rebound[over] = np.where(lasted > 0, response.acting[over] * asked.rebound_ppm[over] // _PPM, 0)
    response.rebound_until_ms[over] = now_ms + lasted
    response.acting[over] = 0
    response.rebound[(response.rebound > 0) & (now_ms >= response.rebound_until_ms)] = 0


def _answer(response: Response, asked: Sheds, now_ms: int) -> None:
    """Answers that are due reach the tracker; who granted something leaves it out from now on."""
    response.answered[:] = 0
    due = np.flatnonzero(response.answer_at_ms <= now_ms)
    if not len(due):
        return
    response.answer_at_ms[due] = NEVER
    held = int(sheds.answer(asked, due.astype(np.int32), response.answer[due], now_ms))
    granted = due[asked.state[due] == GRANTED]
    response.acting[granted] = asked.granted[granted]
    response.since_ms[granted] = now_ms
    response.answered[:] = held, len(granted), len(due) - len(granted)


@kernel
def bend(
    columns: Columns,
    rows: NDArray[np.int64],
    change: NDArray[np.int64],
    share_ppm: NDArray[np.int32],
    moved: NDArray[np.int64],
) -> None:
    """Changes the demand of rows by so much, each member's in proportion to its own; who is starved or gives stays.

    What is taken is at most a share of what is drawn, what is added at most as much again; it is exact to a quantum.

    Args:
        columns: demand and sums of blocks are changed.
        rows: blocks, then feeds from the count of blocks on.
        change: quanta each, + more, - less.
        share_ppm: most that may be taken.
        moved: int64[2, classes], what was taken and what was added is counted here.
    """
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    blocks = len(block_tree)
    for k in range(len(rows)):
        r, want = int(rows[k]), int(change[k])
        if r >= blocks:
            feed = r - blocks
            each = int(columns.big_demand[feed])
            if int(columns.big_tree[feed]) == NO_TREE or each <= 0:
                continue
            got = max(want, 0 - each * int(share_ppm[k]) // 1_000_000) if want < 0 else min(want, each)
            got = min(got, 2_147_483_647 - each)
            columns.big_demand[feed] = each + got
            klass = int(columns.big_class[feed])
        else:
            low, high, of = int(block_start[r]), int(block_start[r + 1]), int(block_tree[r])
            if of == NO_TREE:
                continue
            drawn = 0
            for slot in range(low, high):
                each = int(demand[slot])
                if each > 0 and (of != MIXED or int(tree[slot]) != NO_TREE):
                    drawn += each
            if drawn <= 0:
                continue
            most = drawn * int(share_ppm[k]) // 1_000_000 if want < 0 else drawn
            size = min(abs(0 + want), most)
            # What is left of one member's part goes over to the next one's.
            factor, carried, got = (size << 20) // drawn, (1 << 20) - 1, 0
            for slot in range(low, high):
                each = int(demand[slot])
                if each > 0 and (of != MIXED or int(tree[slot]) != NO_TREE):
                    carried += each * factor
                    part = carried >> 20
                    carried &= (1 << 20) - 1
                    part = min(part, each) if want < 0 else min(part, 32_767 - each)
                    got += part
                    demand[slot] = each - part if want < 0 else each + part
            got = 0 - got if want < 0 else got
            columns.block_sum[r] += got
            klass = int(columns.block_class[r])
        if got < 0:
            moved[0, klass] -= got
        else:
            moved[1, klass] += got
