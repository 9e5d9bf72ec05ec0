"""Watches every step of one population and holds it against the laws, with what the messages said and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Seated
from scowl_edge.model.effect import Inputs, Plan
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population.columns import NO_TREE, PROTECTED, Columns
from scowl_edge.tracker.population.population import Population
from simulators.world import glance
from simulators.world.joining import Identity
from simulators.world.laws import Law, LawBook, Places, Sight, check_churn, check_columns, hold_columns, overloaded
from simulators.world.peers import NAMEPLATE, Peers
from simulators.world.witness import Witness

DOUBT_MS = 240_000
"""How long the tracker may hold a plant for silent that was heard, after a clock's step: until it is heard again."""
ON_ITS_WAY_MS = 60_000
"""In quiet times: until an assignment has arrived everywhere."""


class Watch:
    """Keeps what the laws compare a step with."""

    def __init__(
        self,
        declared: Declared,
        book: LawBook,
        columns: Columns,
        rated: NDArray[np.int64],
        members: dict[Identity, tuple[int, int]],
    ) -> None:
        """`columns` as drawn, before the first step; `rated` is int64[trees], quanta; `members` as in `Joining`."""
        self.declared, self.book = declared, book
        nominal = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
        most = np.concatenate([np.full(len(columns.demand), 2**15 - 1), np.full(len(columns.big_demand), 2**31 - 1)])
        nameplate = np.minimum(NAMEPLATE * np.abs(nominal), most)
        self.witness = Witness(nominal, nameplate, rated, len(columns.demand), members)
        self.step = 0
        """The last one seen."""
        self.went = 0
        self.least = 0
        """Departures from trees that had to let go, and the fewest that would have done."""
        self.starved_steps = 0
        """Consumers starved, summed over steps."""
        self._before: Sight | None = None
        self._places: Places | None = None
        self._doubted_ms: NDArray[np.int64] = np.zeros(len(rated), np.int64)
        """[trees] When the tracker last knew what the plant gives, in the world's time."""
        self._changed_ms: NDArray[np.int64] = np.zeros(len(nominal), np.int64)
        """[places] When each changed hands last, in the world's time."""

    def counts(self) -> Counter[str]:
        """Figures for the report."""
        return Counter(
            {
                "departures from trees that had to let go": self.went,
                "departures that would have done": self.least,
                "consumers starved, summed over steps": self.starved_steps,
            }
        )

    def restarted(self, step: int, *, whole: bool) -> None:
        """The tracker started again and knows the steps up to this one, `whole` or with holes."""
        self.witness.restarted(step, whole=whole)
        self._before = None

    def stepped(self, population: Population, inputs: Inputs, plan: Plan, now_ms: int) -> None:
        """One step was done, and nothing of it has left yet. `now_ms` is the world's time."""
        columns: Columns = population.columns
        step = self.step = plan.step
        if self._places is None or len(self._places.zone) != len(columns.demand) + len(columns.big_demand):
            self._places = Places.of(columns)
        now = Sight.blank(columns, self._places)
        found = glance.look(columns, now.tree, now.demand, now.load)
        if found.doubts & glance.COLUMNS:
            check_columns(self.book, step, columns, now)
        else:
            hold_columns(self.book, columns)
        self._check_safe(columns, now, step, doubt=bool(found.doubts & glance.SAFE))
        self._check_protected(columns, now, step, doubt=bool(found.doubts & glance.STARVED_PROTECTED))
        seats = [effect for effect in plan.effects if isinstance(effect, Seated)]
        wrong = self.witness.take(step, now_ms, inputs.batches, seats)
        self.book.hold(Law.ONE_IDENTITY, step, not wrong, wrong)
        if self.witness.certain:
            self._check_told(population, now, step, now_ms)
        else:
            self._believe(population, now)
        if self._before is not None:
            kept, members = np.empty_like(now.load), np.empty_like(now.load)
            glance.compare(self._before.tree, now.tree, now.demand, kept, members, self._changed_ms, now_ms)
            self._check_stale(columns, now, kept, step, now_ms)
            # Elsewhere nobody has to go.
            if (((kept > columns.tree_safe) | (columns.tree_alive == 0)) & (members > 0)).any():
                went, least = check_churn(self.book, step, columns, self._before, now)
                self.went, self.least = self.went + went, self.least + least
        self.starved_steps += found.starved
        self._before = now

    def _believe(self, population: Population, now: Sight) -> None:
        """After a hole in the journal nobody but the tracker knows what it was told."""
        assert population.intake is not None
        people, told, slots = population.intake.people, self.witness.told, len(population.columns.demand)
        told.value = now.demand.copy()
        told.nameplate = np.concatenate([people.edge.nameplate, people.edge.big_nameplate]).astype(np.int64)
        told.output = np.maximum(told.output, population.intake.output)
        roster, seated = people.roster, np.flatnonzero(people.living.nominal)
        told.members = {
            (int(h), int(w)): (int(p), 1) for p, (h, w) in zip(seated, roster.slot_identity[seated], strict=True)
        }
        for feed in np.flatnonzero(roster.feed_run):
            high, low = roster.feed_identity[feed].tolist()
            told.members[high, low] = (slots + int(feed), int(roster.feed_run[feed]))
        # One more than a sender's number, and 0 for nobody; large newcomers there are none.
        told.brought = {
            identity: int(roster.slot_sender[place]) - 1
            for identity, (place, _) in told.members.items()
            if place < slots and roster.slot_sender[place]
        }
        told.asked.clear()
        self.witness.rebase()

    def _check_told(self, population: Population, now: Sight, step: int, now_ms: int) -> None:
        told, columns = self.witness.told, population.columns
        places = len(told.value)
        counted = now.demand[:places]
        above_plate = np.abs(counted) > told.nameplate
        text = f"{above_plate.sum()} places, the first is {above_plate.argmax()}" if above_plate.any() else ""
        self.book.hold(Law.NAMEPLATE, step, not text, text)
        differing = np.flatnonzero(told.value != counted)
        text = ", ".join(f"place {p} counts {counted[p]}, told {told.value[p]}" for p in differing[:3])
        self.book.hold(Law.LATEST, step, not len(differing), f"{len(differing)} differ: {text}")
        usable = told.output * (1_000_000 - self.declared.margin_ppm) // 1_000_000
        # A silent plant keeps whom it has, whatever they draw; after a clock's step the tracker may doubt for a while.
        self._doubted_ms[population.fresh] = now_ms
        doubted = ~population.fresh & (now_ms - self._doubted_ms <= DOUBT_MS)
        above = np.flatnonzero((columns.tree_safe > usable) & ~self._silent(now_ms) & ~doubted)
        text = ", ".join(f"tree {t}: {columns.tree_safe[t]} of an output of {told.output[t]}" for t in above[:3])
        self.book.hold(Law.MARGIN, step, not len(above), text)

    def _silent(self, now_ms: int) -> NDArray[np.bool_]:
        told = self.witness.told
        return (told.output_ms < 0) | (now_ms - told.output_ms > self.declared.fresh_ms)

    def _check_stale(self, columns: Columns, now: Sight, kept: NDArray[np.int64], step: int, now_ms: int) -> None:
        silent = np.flatnonzero(self._silent(now_ms))
        if not len(silent):
            self.book.checks[Law.STALE.name] += 1
            return
        # A silent plant may exchange members, but carries no more than those it had would draw now.
        more = silent[now.load[silent] > np.maximum(0, kept[silent])]
        if len(more):
            known = np.setdiff1d(np.flatnonzero(columns.tree_alive), silent)
            more = np.array([t for t in more if not self._homeless(columns, now, int(t), known)], np.int64)
        text = ", ".join(f"tree {t} carries {now.load[t]}, those it had draw {kept[t]}" for t in more[:3])
        self.book.hold(Law.STALE, step, not len(more), text)

    def _homeless(self, columns: Columns, now: Sight, tree: int, known: NDArray[np.int64]) -> bool:
        """Whether only class 0 came to a tree, and no plant that is heard of can carry it beside its own class 0.

        Class 0 is not cut off, and somebody has to feed it.
        """
        assert self._before is not None
        came = (now.tree == tree) & (self._before.tree != tree) & (now.demand > 0)
        protected = now.places.klass == PROTECTED
        if not came.any() or not protected[came].all():
            return False
        held = protected & (now.demand > 0)
        room = [int(columns.tree_safe[t]) - int(now.demand[held & (now.tree == t)].sum()) for t in known]
        return not room or max(room) < int(now.demand[came].min())

    def _check_safe(self, columns: Columns, now: Sight, step: int, *, doubt: bool) -> None:
        over = overloaded(columns, now).tolist() if doubt else []
        text = ", ".join(f"tree {t} carries {now.load[t]} of {columns.tree_safe[t]}" for t in over[:3])
        self.book.hold(Law.SAFE, step, not over, text)

    def _check_protected(self, columns: Columns, now: Sight, step: int, *, doubt: bool) -> None:
        if not doubt:
            self.book.checks[Law.PROTECTED.name] += 1
            return
        starved = (now.tree == NO_TREE) & (now.places.klass == PROTECTED) & (now.demand > 0)
        fed = bool((columns.tree_alive != 0).any())
        self.book.hold(Law.PROTECTED, step, not starved.any() or not fed, f"{starved.sum()} of class 0 are in no tree")

    def starving(self, population: Population) -> bool:
        """Whether somebody starves though supply suffices."""
        columns = population.columns
        now = Sight.of(columns, self._places)
        supply = int(columns.tree_safe[columns.tree_alive != 0].sum())
        enough = supply * 98 >= int(now.demand.sum()) * 100
        return enough and bool(((now.tree == NO_TREE) & (now.demand > 0)).any())

    def settled(self, population: Population, peers: Peers, now_ms: int) -> None:
        """All has been quiet for long: CONVERGED. What changed hands just now may still be on its way."""
        now = Sight.of(population.columns)
        starved = (now.tree == NO_TREE) & (now.demand > 0)
        text = f"{starved.sum()} starve, {now.demand.sum()} of {population.columns.tree_safe.sum()} are wanted"
        self.book.hold(Law.CONVERGED, self.step, not self.starving(population), text)
        other = peers.present & (now.demand != 0) & (peers.held != now.tree)
        other &= now_ms - self._changed_ms > ON_ITS_WAY_MS
        self.book.hold(
            Law.CONVERGED, self.step, not other.any(), f"{other.sum()} peers hold another tree than the plan says"
        )
