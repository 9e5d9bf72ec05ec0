"""What the peers of a reported population tell: demand, output, what they hold, who joins and leaves.

The latest message of a sender counts, and none older. A value beyond what may be true is clamped to the nameplate or
refused, and counted. What is stale never starves anybody: a plant that says nothing keeps whom it has and takes nobody,
and a consumer that says nothing has its nominal demand kept free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Batch, BatchKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import chance, noise, reports, roster, seating
from scowl_edge.tracker.population.admission import Admission
from scowl_edge.tracker.population.columns import (
    CLASSES,
    Census,
    Columns,
    Layout,
)
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.holding import Holding

WAITING_JOINS, JOINS_A_STEP = 65_536, 2_000
PARTINGS_A_STEP = 10_000
"""Most members who leave or change in one step; the others have to come again."""
MOST_SENDERS = 65_536
"""Whoever counts the messages of more would let made-up senders fill the memory."""
SPARE_FEEDS = 32
_NOISE_PPM = 300_000
"""How much the demand of a newcomer is taken to scatter."""
REFUSALS = (
    "torn",
    "older",
    "nobody-there",
    "no-such-plant",
    "clamped",
    "below-nothing",
    "turned-away",
    "taken",
    "no-room",
    "out-of-range",
    "too-many-senders",
    "not-yours",
)
"""Why rows were refused; `clamped` ones count, at their nameplate."""
_BEFORE_S = 1 << 24
_HIGH, _LOW = 61, 62
"""Purposes of the draws of the first members' identities."""
_OUTCOMES = {
    roster.Outcome.TAKEN: "taken",
    roster.Outcome.UNKNOWN: "nobody-there",
    roster.Outcome.NO_ROOM: "no-room",
    roster.Outcome.REFUSED: "out-of-range",
    roster.Outcome.NOT_YOURS: "not-yours",
}

AnyArray = NDArray[np.generic]


class Seats(NamedTuple):
    """Who was let in, left or changed in one step, and who was not, as in `Seated`."""

    high: NDArray[np.int64]
    low: NDArray[np.int64]
    place: NDArray[np.int64]
    outcome: NDArray[np.uint8]


def identities(seed: int, consumers: int) -> NDArray[np.int64]:
    """int64[consumers, 2]: the identities of those who are there from the start."""
    numbers = np.arange(consumers, dtype=np.uint64)
    halves = [chance.hashed(seed, purpose, numbers).view(np.int64) for purpose in (_HIGH, _LOW)]
    return np.stack(halves, axis=1)


class Intake:
    """The border of one reported population; its columns have spare room, so that no step has to copy them."""

    def __init__(
        self, declared: Declared, columns: Columns, layout: Layout, census: Census, rated: NDArray[np.int64]
    ) -> None:
        """`rated` is int64[trees], quanta. Nothing was told yet; demand stands at its nominal values."""
        living = noise.populate(census, layout, columns)
        edge = reports.border(columns, *noise.nameplates(living), 0)
        people = roster.enrol(columns, living, edge, layout, identities(declared.seed, declared.consumers))
        keys = np.unique(columns.block_zone.astype(np.int64) * CLASSES + columns.block_class)
        self.people = people.grown(keys, SPARE_FEEDS, 0)
        self.columns = self.people.columns
        self.declared = declared
        self.rated = rated
        self.admission = Admission(WAITING_JOINS, JOINS_A_STEP)
        self.output: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        self.output_at: NDArray[np.int64] = np.full(declared.trees, -1, np.int64)
        self.output_clamped: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        """[trees] How often each plant said that it gives more than it is rated for."""
        self.holding = Holding(self.columns)
        self.senders: dict[int, int] = {}
        """Sender -> sequence of its last message."""
        self.refused: NDArray[np.int64] = np.zeros(len(REFUSALS), np.int64)

    # -- in ----------------------------------------------------------------------------------------------------------

    def take(self, batches: Sequence[Batch], history: History, now_ms: int) -> Seats | None:
        """Takes what came, in order, and lets in as many newcomers as a step may; all sums stay exact.

        Returns:
            The answers: of those who left or changed, in order, then of newcomers; None where there are none.
        """
        answers: list[Seats] = []
        for batch in batches:
            rows = batch.rows()
            if rows is None:
                self._refuse("torn")
                continue
            if batch.sequence <= self.senders.get(batch.sender, 0):
                self._refuse("older", max(1, len(rows)))
                continue
            if batch.sender not in self.senders and len(self.senders) >= MOST_SENDERS:
                self._refuse("too-many-senders", max(1, len(rows)))
                continue
            self.senders[batch.sender] = batch.sequence
            if batch.kind in (BatchKind.LEAVE, BatchKind.CHANGE):
                room = PARTINGS_A_STEP - sum(len(seats.place) for seats in answers)
                self._refuse("turned-away", max(0, len(rows) - room))
                part = self._leave if batch.kind is BatchKind.LEAVE else self._change
                answers.append(part(rows[:room], roster.sender_key(batch.sender), history))
            else:
                self._take(batch, rows, now_ms)
        if self.admission.waiting:
            answers.append(self._admit())
        return Seats(*map(np.concatenate, zip(*answers, strict=True))) if any(len(a.place) for a in answers) else None

    def _take(self, batch: Batch, rows: NDArray[np.void], now_ms: int) -> None:
        kind = batch.kind
        if kind is BatchKind.DEMAND:
            slot = rows["slot"].astype(np.int64)
            # The upper half of the numbers means feeds to `reports`; here it is nobody.
            self._demand(np.where(slot < reports.FEED, slot, -1), rows["value"], now_ms)
        elif kind is BatchKind.FEED:
            self._demand(rows["feed"].astype(np.int64) + reports.FEED, rows["value"], now_ms)
        elif kind is BatchKind.OUTPUT:
            self._output(rows["tree"].astype(np.int64), rows["value"].astype(np.int64), now_ms)
        elif kind is BatchKind.HELD:
            self._refuse("nobody-there", self.holding.confirm(rows))
        elif kind is BatchKind.JOIN:
            self._join(rows, batch.sender)

    def _refuse(self, why: str, count: int = 1) -> None:
        self.refused[REFUSALS.index(why)] += count

    def _demand(self, places: NDArray[np.integer], values: NDArray[np.integer], now_ms: int) -> None:
        pairs, unfit = reports.as_pairs(places, values)
        tally = reports.apply(self.columns, self.people.edge, pairs, _seconds(now_ms))
        self._refuse("nobody-there", tally.refused + unfit)
        self._refuse("clamped", tally.clamped)

    def _output(self, tree: NDArray[np.int64], value: NDArray[np.int64], now_ms: int) -> None:
        there = (tree >= 0) & (tree < len(self.output))
        self._refuse("no-such-plant", len(tree) - int(np.count_nonzero(there)))
        tree, value = tree[there], value[there]
        sound = value >= 0
        self._refuse("below-nothing", len(value) - int(np.count_nonzero(sound)))
        tree, value = tree[sound], value[sound]
        above = tree[value > self.rated[tree]]
        self._refuse("clamped", len(above))
        np.add.at(self.output_clamped, above, 1)
        self.output[tree] = np.minimum(value, self.rated[tree])
        self.output_at[tree] = now_ms

    def _join(self, rows: NDArray[np.void], sender: int) -> None:
        # Who finds no room in the queue need not be looked at.
        count = min(len(rows), self.admission.room)
        rows, beyond = rows[:count], len(rows) - count
        self.admission.offer(_members(rows, roster.sender_key(sender)))
        self._refuse("turned-away", beyond)

    def _admit(self) -> Seats:
        new, outcome, place = self.admission.admit(self.people)
        self.holding.nothing_at(place, self._places(place)[1])
        outcome[outcome == roster.Outcome.AGAIN] = roster.Outcome.DONE
        return self._answer(new.identity, place, outcome)

    def _leave(self, rows: NDArray[np.void], sender: int, history: History) -> Seats:
        """Whom this sender (as in `Newcomers`) brought goes, from its place or from the queue."""
        identity = _identity(rows)
        waited = self.admission.withdraw(identity, sender)
        place, theirs, outcome = self._spoken_for(identity, sender)
        places = self._places(place)
        left = self.people.leave(identity[theirs]) == roster.Outcome.DONE
        outcome[theirs] = np.where(left, roster.Outcome.LEFT, roster.Outcome.UNKNOWN)
        outcome[waited] = roster.Outcome.LEFT
        _forget_history(history, places, theirs)
        return self._answer(identity, np.full(len(place), -1, np.int64), outcome)

    def _change(self, rows: NDArray[np.void], sender: int, history: History) -> Seats:
        """Whom this sender (as in `Newcomers`) brought is from now on as it says, there or at another place."""
        identity = _identity(rows)
        before, theirs, outcome = self._spoken_for(identity, sender)
        places = self._places(before)
        place = np.full(len(before), -1, np.int64)
        outcome[theirs], place[theirs] = self.people.change(_members(rows[theirs], sender))
        moved = (place != -1) & (place != before)
        _forget_history(history, places, moved)
        self.holding.nothing_at(place[moved], self._places(place)[1][moved])
        self.people.bind(place[place != -1], sender)
        return self._answer(identity, place, outcome)

    def _spoken_for(
        self, identity: NDArray[np.int64], sender: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint8]]:
        """(place, whether this sender may speak for who is there, what to answer where it may not) of each."""
        place = self.people.find(identity)
        theirs = self.people.brought_by(place, sender)
        nobody = place == seating.NOBODY
        outcome = np.where(nobody, roster.Outcome.UNKNOWN, roster.Outcome.NOT_YOURS).astype(np.uint8)
        return place, theirs, outcome

    def _answer(self, identity: NDArray[np.int64], place: NDArray[np.int64], outcome: NDArray[np.uint8]) -> Seats:
        """The answers to some, counted where they are refusals."""
        for kind, why in _OUTCOMES.items():
            self._refuse(why, int(np.count_nonzero(outcome == kind)))
        return Seats(identity[:, 0].copy(), identity[:, 1].copy(), place, outcome)

    def _places(self, place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(place, feeds of the run that begins there) of each."""
        feeds = np.zeros(len(place), np.int64)
        big = place < seating.NOBODY
        feeds[big] = self.people.roster.feed_run[-2 - place[big]]
        return place, feeds

    # -- what counts -------------------------------------------------------------------------------------------------

    def fresh_plants(self, now_ms: int) -> NDArray[np.bool_]:
        """bool[trees]: whose output was told a short time ago."""
        return np.asarray((self.output_at >= 0) & (now_ms - self.output_at <= self.declared.fresh_ms), np.bool_)

    def reserve(self, now_ms: int) -> NDArray[np.int64]:
        """int64[trees], quanta that are kept free for consumers that have said nothing for too long."""
        kept = np.zeros(len(self.columns.tree_load), np.int64)
        living, hold_s = self.people.living, (self.declared.fresh_ms + self.declared.hold_ms) // 1000
        reports.stale_load(
            self.columns, self.people.edge, living.nominal, living.big_nominal, _seconds(now_ms), hold_s, kept
        )
        return kept

    def forget_ages(self) -> None:
        """How long ago anybody was heard is not known: not lately."""
        self.output_at[:] = -1
        for heard in (self.people.edge.received_s, self.people.edge.big_received_s):
            heard[:] = np.minimum(heard, 1)

    # -- state -------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, AnyArray]:
        """Everything that changes beside the demand and the assignment, by name."""
        arrays = self._fixed()
        arrays["senders"] = np.asarray(sorted(self.senders), np.int64)
        arrays["sequences"] = np.asarray([self.senders[s] for s in sorted(self.senders)], np.uint64)
        arrays |= {f"waiting {name}": array for name, array in self.admission.queued()._asdict().items()}
        return arrays

    def restore(self, arrays: dict[str, AnyArray]) -> None:
        """The inverse of `arrays`."""
        for name, array in self._fixed().items():
            array[...] = arrays[name].reshape(array.shape)
        self.senders = dict(zip(arrays["senders"].tolist(), arrays["sequences"].tolist(), strict=True))
        self.admission = Admission(WAITING_JOINS, JOINS_A_STEP)
        queued = {name: arrays[f"waiting {name}"] for name in seating.Newcomers._fields}
        queued["identity"] = queued["identity"].reshape(-1, 2)
        self.admission.offer(seating.Newcomers(**queued))  # type: ignore[arg-type]

    def _fixed(self) -> dict[str, AnyArray]:
        """Arrays whose length never changes."""
        people, columns = self.people, self.columns
        arrays: dict[str, AnyArray] = {
            name: getattr(self, name) for name in ("output", "output_at", "output_clamped", "refused")
        }
        arrays |= self.holding.arrays()
        arrays |= {name: getattr(columns, name) for name in _MEMBERSHIP}
        for name, part in (("living", people.living), ("edge", people.edge), ("roster", people.roster)):
            arrays |= {f"{name} {field}": array for field, array in part._asdict().items()}
        return arrays

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time; -1 stays never."""
        for times in (self.output_at, self.holding.sent_at):
            shifted = times + by_ms
            # What was before the new clock began is too long ago to count.
            times[:] = np.where((times >= 0) & (shifted >= 0), shifted, -1)
        edge = self.people.edge
        for heard in (edge.received_s, edge.big_received_s):
            heard[:] = np.where(heard > 0, np.maximum(1, heard.astype(np.int64) + by_ms // 1000), 0)


_MEMBERSHIP = ("block_members", "block_variance", "big_zone", "big_class", "big_owner", "big_variance")


def _identity(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """int64[n, 2] of rows that have both halves."""
    return np.stack([rows["high"].view(np.int64), rows["low"].view(np.int64)], axis=1)


def _members(rows: NDArray[np.void], sender: int) -> seating.Newcomers:
    """Rows of a join or a change; `sender` as in `Newcomers`."""
    count = len(rows)
    noise_ppm, kind = np.full(count, _NOISE_PPM), np.zeros(count, np.uint8)
    new = roster.newcomers(_identity(rows), rows["zone"], rows["klass"], rows["nominal"], noise_ppm, kind)
    return new._replace(sender=np.full(count, sender, np.uint32))


def _forget_history(
    history: History, places: tuple[NDArray[np.int64], NDArray[np.int64]], which: NDArray[np.bool_]
) -> None:
    """Who comes to these places has never starved."""
    place, run = (column[which] for column in places)
    for column in (history.slot_times, history.slot_since, history.slot_total):
        column[place[place >= 0]] = 0
    big = place < seating.NOBODY
    for first, count in zip((-2 - place[big]).tolist(), run[big].tolist(), strict=True):
        for column in (history.feed_times, history.feed_since, history.feed_total):
            column[first : first + count] = 0


def _seconds(now_ms: int) -> int:
    """Monotonic seconds as `reports` counts them; 0 is never, and there is room for times before a clock began."""
    return now_ms // 1000 + _BEFORE_S
