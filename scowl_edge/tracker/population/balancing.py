"""Who is in which tree, step by step: rebuilt once, then repaired, given back, exchanged, walked to a better whole.

The work of one step is bounded; what is left over is taken up by the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.site import PPM
from scowl_edge.model.site import Population as Declared
from scowl_edge.model.tick import Late
from scowl_edge.tracker.population import fairness, fill, protect, refeed, repair, walk
from scowl_edge.tracker.population.changes import mixed_slots
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.standing import Standing, look

REFEED_AFTER_MS = 5_000
"""So long after the last cut the starving are fed again, if there is room."""
REFEED_STEP_PPM = 20_000
"""Of the supply, that is given back in one step at most."""
ROTATION_S = 900
"""In a lasting shortage, who starved so long is relieved by an equal who starved less often."""
ROTATE_EVERY, ROTATED_AT_ONCE = 10, 200
"""Steps between two looks at whose turn is over; most who change places then."""
LOOK_EVERY = 60
"""Steps between two looks at whether a rebuild is worth walking to."""
WALK_STEPS = 600
UNEVEN_PPM, MIXED_PPM = 150_000, 100_000
"""What makes it worth: this difference in how trees are used, or this share of mixed blocks."""
REPAIR_BUDGET = 100_000
"""Most consumers that one step moves out of trees that are over: the rest waits for the next."""
_OF_SLOTS = ("slot_times", "slot_since", "slot_total")
_OF_FEEDS = ("feed_times", "feed_since", "feed_total")


def seconds(now_ms: int) -> int:
    """Monotonic seconds as the history counts them: 0 is never."""
    return now_ms // 1000 + 1


def above_limits(columns: Columns) -> int:
    """Quanta by which zones are above their limits, all together."""
    over = np.where(columns.zone_limit >= 0, columns.zone_load - columns.zone_limit, 0)
    return int(np.maximum(0, over).sum())


def _decided(columns: Columns) -> tuple[NDArray[np.generic], ...]:
    return columns.block_tree, columns.block_served, columns.big_tree, columns.tree_load, columns.zone_load


class Balancing:
    """Decides who changes hands. It holds what one step leaves to the next, and changes the columns."""

    def __init__(self, declared: Declared, columns: Columns) -> None:
        """Nobody was ever in a tree."""
        self.declared, self.columns = declared, columns
        self.history = History.empty(columns)
        self.learnt = repair.Learnt.empty()
        self.repaired = repair.Repaired(0, 0, 0, 0)
        self.log = Log.empty(len(columns.block_tree) + len(columns.big_tree) + 65_536)
        """What changed hands in this step."""
        self.begun = False
        """Whether anybody was ever in a tree."""
        self._target: Columns | None = None
        """A better whole, towards which a few move in each step."""
        self._left_to_walk = 0
        self._steps = 0
        self._starved_at = -1
        """When somebody was starved last."""

    def decide(self, now_ms: int, late: Late, now: Standing, fresh: NDArray[np.bool_]) -> None:
        """What balances is done first and always; what gives back, and what is only for the better, as time allows.

        Args:
            now_ms: monotonic.
            late: what is left out.
            now: how everybody stands.
            fresh: bool[trees], whose output is known to be so: only those take somebody in.
        """
        columns, log = self.columns, self.log
        self._steps += 1
        if not self.begun:
            if not columns.tree_alive.any():
                return
            self.begun = True
            fill.rebuild(columns, log, self.history)
            # More than the log holds: everybody is told, and everybody's history is looked at.
            log.totals[0] = len(log.kind) + 1
            now = look(columns)
            self.repaired = repair.Repaired(0, 0, above_limits(columns), 0)
            if self._feed_protected(now, fresh):
                self.repaired = repair.repair(columns, log, self.history, self.learnt, REPAIR_BUDGET)
        else:
            self._feed_protected(now, fresh)
            self.repaired = repair.repair(columns, log, self.history, self.learnt, REPAIR_BUDGET)
        if log.totals[2]:
            self._starved_at = now_ms
        if late < Late.VERY_LATE:
            self._give_back(now_ms)
        if late < Late.LATE:
            self._walk(now)

    def _feed_protected(self, now: Standing, fresh: NDArray[np.bool_]) -> bool:
        """Whether class 0 was in no tree and others have to make way for it now."""
        if not now.starved[PROTECTED]:
            return False
        return bool(protect.feed_protected(self.columns, self.log, fresh.astype(np.uint8)))

    def _give_back(self, now_ms: int) -> None:
        columns, log, history = self.columns, self.log, self.history
        if not history.totals[0] and not self._some_outside():
            return
        if self._starved_at < 0 or now_ms - self._starved_at >= REFEED_AFTER_MS:
            supply = int(columns.tree_safe.sum())
            region_band = supply * self.declared.dead_band_ppm // PPM
            band = region_band // max(1, int(columns.tree_alive.sum()))
            refeed.refeed(columns, log, history, region_band, band, max(1, supply * REFEED_STEP_PPM // PPM))
        if self._steps % ROTATE_EVERY == 0:
            fairness.rotate(columns, log, history, seconds(now_ms), ROTATION_S, ROTATED_AT_ONCE)

    def _some_outside(self) -> bool:
        return bool((self.columns.block_tree >= MIXED).any() or (self.columns.big_tree == NO_TREE).any())

    def _walk(self, now: Standing) -> None:
        columns, log = self.columns, self.log
        if self._target is None:
            if self._steps % LOOK_EVERY or log.totals[2] or now.starved.any() or not self._is_worth_a_rebuild(now):
                return
            self._target = fill.blank(columns)
            fill.rebuild(self._target, Log.empty(len(log.kind)), self.history)
            self._left_to_walk = WALK_STEPS
        left = walk.walk(columns, self._target, log, max(1, self.declared.move_budget))
        self._left_to_walk -= 1
        if left == 0 or self._left_to_walk <= 0:
            self._target = None

    def _is_worth_a_rebuild(self, now: Standing) -> bool:
        """Whether trees are loaded unevenly, or too many blocks are in several trees."""
        columns = self.columns
        alive = (columns.tree_alive != 0) & (columns.tree_safe > 0)
        if int(np.count_nonzero(alive)) < 2:
            return False
        used = columns.tree_load[alive] * PPM // columns.tree_safe[alive]
        uneven = int(used.max()) - int(used.min()) > UNEVEN_PPM
        return uneven or now.mixed * PPM > len(columns.block_tree) * MIXED_PPM

    def kept(self) -> tuple[NDArray[np.generic], ...]:
        """What a decision changes, to be put back."""
        return (*(c.copy() for c in _decided(self.columns)), self.columns.tree[mixed_slots(self.columns)].copy())

    def put_back(self, kept: tuple[NDArray[np.generic], ...]) -> None:
        """Undoes what was decided since `kept`."""
        for column, before in zip(_decided(self.columns), kept, strict=False):
            column[:] = before
        self.columns.tree[mixed_slots(self.columns)] = kept[-1]
        self.begun = bool((self.columns.block_tree != NO_TREE).any())
        self.log.totals[0] = 0

    # -- state -------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that `decide` may change beside the columns, by name."""
        history = self.history
        # Few were ever starved: only those are written.
        slots, feeds = np.flatnonzero(history.slot_times), np.flatnonzero(history.feed_times)
        arrays: dict[str, NDArray[np.generic]] = {"learnt": self.learnt.numbers}
        arrays |= {"starved_slots": slots, "starved_feeds": feeds, "history": history.totals}
        arrays |= {name: getattr(history, name)[slots] for name in _OF_SLOTS}
        arrays |= {name: getattr(history, name)[feeds] for name in _OF_FEEDS}
        if (target := self._target) is not None:
            wanted = target.tree[mixed_slots(target)]
            arrays |= {"target_block": target.block_tree, "target_big": target.big_tree, "target_slot": wanted}
        numbers = [int(self.begun), self._left_to_walk, self._steps, self._starved_at, *self.repaired]
        arrays["balancing"] = np.asarray(numbers, np.int64)
        return arrays

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """The inverse of `arrays`; the columns are restored already.

        Raises:
            KeyError, ValueError: the arrays are of another population.
        """
        self.learnt.numbers[:] = arrays["learnt"]
        self.history = History.empty(self.columns)
        self.history.totals[:] = arrays["history"]
        for name in _OF_SLOTS:
            getattr(self.history, name)[arrays["starved_slots"]] = arrays[name]
        for name in _OF_FEEDS:
            getattr(self.history, name)[arrays["starved_feeds"]] = arrays[name]
        self._target = None
        if "target_block" in arrays:
            self._target = target = fill.blank(self.columns)
            target.block_tree[:], target.big_tree[:] = arrays["target_block"], arrays["target_big"]
            target.tree[mixed_slots(target)] = arrays["target_slot"]
        begun, self._left_to_walk, self._steps, self._starved_at, *left = arrays["balancing"].tolist()
        self.begun, self.repaired = bool(begun), repair.Repaired(*left)

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time, after a restart on another clock base."""
        if self._starved_at >= 0:
            self._starved_at = max(0, self._starved_at + by_ms)
        for since in (self.history.slot_since, self.history.feed_since):
            starving = np.flatnonzero(since)
            since[starving] = np.maximum(1, since[starving].astype(np.int64) + by_ms // 1000)
