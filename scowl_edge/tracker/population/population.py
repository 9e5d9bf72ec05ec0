"""One population, step by step: what came in, what each tree may carry, who has to change hands, what is told of it.

It owns its columns. A step is a function of the state, the time and the batches alone; the work of one step is bounded,
and what is left over is taken up by the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import require_compiled
from scowl_edge.model.batch import Batch
from scowl_edge.model.codec import encode
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import PPM, PeerKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.model.tick import Late
from scowl_edge.model.view import PopulationView
from scowl_edge.tracker.population import assign, census, fill, noise, packing, repair, standing, telling
from scowl_edge.tracker.population.columns import (
    BIG,
    BLOCK,
    MIXED,
    NO_TREE,
    SLOT,
    Census,
    Columns,
    Layout,
    Log,
    lay_out,
)
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.intake import REFUSALS, Intake

STARVED = declare("population-starved", "{} consumers go without: {:W} is wanted, the plants may carry {:W}")
FED = declare("population-fed", "{} consumers are fed again")
LOST = declare("population-plants-lost", "{} plants went dark; {} consumers were moved")

REPAIR_BUDGET = 100_000
"""Most consumers that one step moves out of trees that are over: the rest waits for the next."""
Changes = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
"""(kind, number, tree) of all that changed hands: arrays of one length."""


def laid_out(declared: Declared) -> tuple[Columns, Layout, Census]:
    """The columns of a declared population: drawn from its seed, its tree of ratings with limits."""
    people = census.draw(declared.consumers, declared.seed, zones=declared.feeders, quantum_w=declared.quantum_w)
    parents = None
    if declared.feeders > 1:
        parents, leaf = census.nested_zones(declared.feeders)
        people = replace(people, zone=leaf[people.zone])
    columns, layout = lay_out(people, declared.trees, zone_parent=parents)
    if declared.feeder_limit_ppm and declared.feeders > 1:
        below = np.bincount(people.zone, people.nominal, len(columns.zone_limit)).astype(np.int64)
        for zone in range(len(below) - 1, 0, -1):
            below[columns.zone_parent[zone]] += below[zone]
        leaves = columns.zone_end == np.arange(1, len(below) + 1)
        spare = np.where(leaves, declared.feeder_limit_ppm - PPM, (declared.feeder_limit_ppm - PPM) // 2)
        columns.zone_limit[:] = np.maximum(1, below) * (PPM + spare) // PPM
    return columns, layout, people


class Population:
    """A declared population with its state. `step` mutates; `snapshot` and `restore` are exact inverses."""

    def __init__(self, declared: Declared) -> None:
        """Draws it and lays it out; nobody is in any tree.

        Raises:
            NotCompiled: too many consumers for uncompiled kernels.
        """
        require_compiled(declared.consumers)
        self.declared = declared
        self.columns, layout, people = laid_out(declared)
        usable = max(1, int(people.nominal.sum())) * declared.supply_ppm // PPM
        self.fleet = census.draw_fleet(declared.trees, usable, declared.seed)
        simulated = declared.kind is PeerKind.SIMULATED
        self.living = noise.populate(people, layout, self.columns) if simulated else None
        self.intake = None if simulated else Intake(declared, self.columns, self.fleet.rated)
        self.history = History.empty(self.columns)
        self.learnt = repair.Learnt.empty()
        self.output: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        """[trees] quanta, of each plant."""
        self.decisions: list[tuple[str, int, Reason]] = []
        """(rung, W, reason) of the last step."""
        self.wake_at = 0
        """Monotonic ms at which the next step is due."""
        self.repaired = repair.Repaired(0, 0, 0, 0)
        self.standing = standing.look(self.columns)
        self.fresh: NDArray[np.bool_] = np.ones(declared.trees, np.bool_)
        """[trees] Whose output is known to be so."""
        self._begun = False
        """Whether anybody was ever in a tree."""
        self._rows = np.zeros(len(self.columns.block_tree), np.int64)
        self._log = Log.empty(len(self.columns.block_tree) + len(self.columns.big_tree) + 65_536)

    # -- a step ------------------------------------------------------------------------------------------------------

    def step(
        self,
        now_ms: int,
        batches: Sequence[Batch],
        *,
        deciding: bool,
        advisory: bool,
        late: Late = Late.ON_TIME,
    ) -> Changes | None:
        """Takes in what came, and decides.

        Args:
            now_ms: monotonic.
            batches: what the peers of this population told, in order.
            deciding: False: what is assigned stays so.
            advisory: what is decided is told, and not done.
            late: what is left out of this step because it comes late.

        Returns:
            What is to be told to the peers of a reported population.
        """
        log, columns = self._log, self.columns
        log.totals[:] = 0
        self.decisions.clear()
        if self.living is not None:
            self._live(now_ms, self.living)
        elif self.intake is not None and self.intake.take(columns, batches, now_ms):
            assign.sum_blocks(columns)
            assign.sum_trees(columns)
        dark = self._judge_plants(now_ms)
        if deciding:
            kept = self._kept() if advisory else None
            self._decide()
            self._explain(dark)
            if kept is not None:
                self._put_back(kept)
        self.standing = standing.look(columns)
        return None if self.intake is None else self._told(now_ms, self.intake)

    def _live(self, now_ms: int, living: noise.Living) -> None:
        """Everybody's demand and every plant's output, one tick on."""
        if now_ms < self.wake_at:
            return
        tick = now_ms // self.declared.period_ms
        self.wake_at = (tick + 1) * self.declared.period_ms
        noise.advance(self.columns, living, self.declared.seed, tick)
        assign.sum_trees(self.columns)
        self.output[:] = self.fleet.rated

    def _judge_plants(self, now_ms: int) -> int:
        """What each tree may carry now; how many plants have just gone dark."""
        columns, declared, intake = self.columns, self.declared, self.intake
        if intake is not None:
            self.output[:] = intake.output
            self.wake_at = now_ms + declared.fresh_ms
        safe = self.output * (PPM - declared.margin_ppm) // PPM
        was_alive = columns.tree_alive.astype(np.bool_)
        alive = self.output > 0
        if intake is not None:
            fresh = self.fresh = intake.fresh_plants(now_ms)
            # What is not known does no harm: it keeps whom it has, whatever they draw, and takes nobody.
            alive = np.where(fresh, alive, was_alive)
            held_back = np.maximum(columns.tree_load, safe - intake.reserve(columns, now_ms))
            safe = np.where(fresh, np.minimum(safe, held_back), columns.tree_load)
        columns.tree_alive[:] = alive
        columns.tree_safe[:] = np.where(alive, safe, 0)
        return int(np.count_nonzero(was_alive & ~alive))

    def _decide(self) -> None:
        columns, log = self.columns, self._log
        if not self._begun:
            if not columns.tree_alive.any():
                return
            self._begun = True
            fill.rebuild(columns, log, self.history)
            log.totals[0] = len(log.kind) + 1
            return
        self.repaired = repair.repair(columns, log, self.history, self.learnt, REPAIR_BUDGET)

    def _explain(self, dark: int) -> None:
        _, moved, starved, fed = self._log.totals.tolist()
        quantum = self.declared.quantum_w
        if dark:
            self.decisions.append(("plants lost", 0, Reason(LOST, (dark, moved))))
        if starved:
            wanted = int(self.columns.block_sum.sum()) + int(self.columns.big_demand.sum())
            reason = Reason(STARVED, (starved, wanted * quantum, int(self.columns.tree_safe.sum()) * quantum))
            self.decisions.append(("starve", 0, reason))
        if fed and not starved:
            self.decisions.append(("feed", 0, Reason(FED, (fed,))))

    def _told(self, now_ms: int, intake: Intake) -> Changes | None:
        """What the peers have to hear: what changed, and what nobody has confirmed."""
        columns, log = self.columns, self._log
        count = int(log.totals[0])
        if count > len(log.kind):
            changes = everything(columns)
        elif count:
            changes = latest(columns, log.kind[:count], log.number[:count].astype(np.int64))
        else:
            again = intake.unconfirmed(columns, now_ms)
            if again is None:
                return None
            changes = again
        intake.note_sent(columns, changes[0], changes[1], now_ms)
        return changes

    def _kept(self) -> tuple[NDArray[np.generic], ...]:
        """What a decision changes, to be put back."""
        return (*(c.copy() for c in _decided(self.columns)), self.columns.tree[_mixed_slots(self.columns)].copy())

    def _put_back(self, kept: tuple[NDArray[np.generic], ...]) -> None:
        for column, before in zip(_decided(self.columns), kept, strict=False):
            column[:] = before
        self.columns.tree[_mixed_slots(self.columns)] = kept[-1]
        self._begun = bool((self.columns.block_tree != NO_TREE).any())
        self._log.totals[0] = 0

    # -- what others may see -----------------------------------------------------------------------------------------

    @property
    def conservation_error_w(self) -> int:
        """What blocks, trees and the account by class disagree by."""
        now = self.standing
        error = int(self.columns.tree_load.sum()) - int(now.served.sum())
        return error * self.declared.quantum_w

    def score(self) -> tuple[tuple[str, int], ...]:
        """How good the present assignment is beside what is possible."""
        return (("mixed_blocks", self.standing.mixed),)

    def view(self) -> PopulationView:
        """For people."""
        intake = self.intake
        refused = tuple(zip(REFUSALS, intake.refused.tolist(), strict=True)) if intake is not None else ()
        return telling.view(
            self.declared,
            self.columns,
            self.standing,
            self.fleet,
            self.output,
            self.fresh,
            self.score(),
            refused,
        )

    def digest(self) -> str:
        """Of who is in which tree, what each block draws and what each plant gives."""
        number = standing.fingerprint(self.columns, self._rows)
        return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def section(self) -> bytes:
        """What a replay compares row by row."""
        columns = self.columns
        self.digest()
        return encode(
            {
                "block_tree": columns.block_tree.tolist(),
                "block_sum": columns.block_sum.tolist(),
                "block": self._rows.tolist(),
                "big_tree": columns.big_tree.tolist(),
                "big_demand": columns.big_demand.tolist(),
                "tree_load": columns.tree_load.tolist(),
                "tree_safe": columns.tree_safe.tolist(),
                "output": self.output.tolist(),
            }
        )

    # -- state -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All that `step` may change, as bytes."""
        columns, mixed = self.columns, _mixed_slots(self.columns)
        arrays: dict[str, NDArray[np.generic]] = dict(zip(_STATE, _state(columns), strict=True))
        arrays |= {"mixed_tree": columns.tree[mixed], "output": self.output, "learnt": self.learnt.numbers}
        if self.living is not None:
            arrays |= {"deviation": self.living.deviation, "big_deviation": self.living.big_deviation}
        if self.intake is not None:
            arrays |= {f"intake {name}": a for name, a in self.intake.arrays().items()}
        # Few were ever starved: only those are written.
        slots, feeds = np.flatnonzero(self.history.slot_times), np.flatnonzero(self.history.feed_times)
        arrays |= {"starved_slots": slots, "starved_feeds": feeds, "history": self.history.totals}
        arrays |= {name: getattr(self.history, name)[slots] for name in _OF_SLOTS}
        arrays |= {name: getattr(self.history, name)[feeds] for name in _OF_FEEDS}
        arrays["numbers"] = np.asarray([self.wake_at, self._begun, *self.repaired], np.int64)
        return packing.pack(arrays)

    def restore(self, data: bytes) -> None:
        """The inverse of `snapshot`. Raises TornArrays where the bytes are not of this population."""
        arrays = packing.unpack(data)
        columns = self.columns
        try:
            for name, column in zip(_STATE, _state(columns), strict=True):
                column[:] = arrays[name].reshape(column.shape)
            columns.tree[_mixed_slots(columns)] = arrays["mixed_tree"]
            self.output[:] = arrays["output"]
            self.learnt.numbers[:] = arrays["learnt"]
            if self.living is not None:
                self.living.deviation[:] = arrays["deviation"]
                self.living.big_deviation[:] = arrays["big_deviation"]
            if self.intake is not None:
                told = {n.removeprefix("intake "): a for n, a in arrays.items() if n.startswith("intake ")}
                self.intake.restore(told)
            self.history = History.empty(columns)
            self.history.totals[:] = arrays["history"]
            for name in _OF_SLOTS:
                getattr(self.history, name)[arrays["starved_slots"]] = arrays[name]
            for name in _OF_FEEDS:
                getattr(self.history, name)[arrays["starved_feeds"]] = arrays[name]
            wake_at, begun, *repaired = arrays["numbers"].tolist()
        except (KeyError, ValueError) as error:
            raise packing.TornArrays(
                f"the snapshot is of another population than {self.declared.name}: {error}"
            ) from None
        self.wake_at, self._begun = wake_at, bool(begun)
        self.repaired = repair.Repaired(*repaired)
        assign.sum_trees(columns)
        self.standing = standing.look(columns)

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time, after a restart on another clock base."""
        self.wake_at = max(0, self.wake_at + by_ms)
        if self.intake is not None:
            self.intake.shift_times(by_ms)


_STATE = (
    "demand",
    "block_tree",
    "block_sum",
    "big_demand",
    "big_tree",
    "tree_safe",
    "tree_alive",
    "zone_limit",
    "eligible",
)

_OF_SLOTS = ("slot_times", "slot_since", "slot_total")
_OF_FEEDS = ("feed_times", "feed_since", "feed_total")


def _state(columns: Columns) -> tuple[NDArray[np.generic], ...]:
    return tuple(getattr(columns, name) for name in _STATE)


def _decided(columns: Columns) -> tuple[NDArray[np.generic], ...]:
    return columns.block_tree, columns.block_served, columns.big_tree, columns.tree_load, columns.zone_load


def _mixed_slots(columns: Columns) -> NDArray[np.int64]:
    """Slots of all mixed blocks."""
    blocks = np.flatnonzero(columns.block_tree == MIXED)
    if not len(blocks):
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(columns.block_start[b], columns.block_start[b + 1]) for b in blocks.tolist()])


def latest(columns: Columns, kind: NDArray[np.uint8], number: NDArray[np.int64]) -> Changes:
    """Entries of a log, each once and with the tree it is in now; a block that is mixed now goes slot by slot."""
    blocks = np.unique(number[kind == BLOCK])
    mixed = blocks[columns.block_tree[blocks] == MIXED]
    plain = blocks[columns.block_tree[blocks] != MIXED]
    slots = [number[kind == SLOT]]
    slots += [np.arange(columns.block_start[b], columns.block_start[b + 1]) for b in mixed.tolist()]
    slot = np.unique(np.concatenate(slots))
    # A slot whose block is plain again goes with its block.
    of = columns.row_block[slot // 16]
    plain = np.unique(np.concatenate([plain, of[columns.block_tree[of] != MIXED]]))
    slot = slot[(columns.block_tree[of] == MIXED) & (columns.demand[slot] != 0)]
    big = np.unique(number[kind == BIG])
    return _changes(columns, plain, slot, big)


def everything(columns: Columns) -> Changes:
    """The whole assignment."""
    plain = np.flatnonzero(columns.block_tree != MIXED)
    slot = _mixed_slots(columns)
    return _changes(columns, plain, slot[columns.demand[slot] != 0], np.arange(len(columns.big_tree)))


def _changes(columns: Columns, plain: NDArray[np.int64], slot: NDArray[np.int64], big: NDArray[np.int64]) -> Changes:
    kind = np.repeat(np.asarray([BLOCK, SLOT, BIG], np.uint8), [len(plain), len(slot), len(big)])
    tree = np.concatenate([columns.block_tree[plain], columns.tree[slot], columns.big_tree[big]])
    return kind, np.concatenate([plain, slot, big]).astype(np.int64), tree.astype(np.int64)
