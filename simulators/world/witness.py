"""What the tracker must count everybody at, from the messages that its steps were given and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import ROWS, Batch, BatchKind, Seated
from simulators.world.joining import Identity
from simulators.world.peers import NAMEPLATE

_BASE_EVERY, _BASES = 16, 6
"""Steps between two copies of all that was told, and how many are kept: as far back as a restart may forget."""
_DONE, _TAKEN, _UNKNOWN, _LEFT, _NOT_YOURS = 0, 1, 2, 6, 7
UNCERTAIN_STEPS = 10
"""After a hole in the journal: until no message from before it can still arrive."""


_Step = tuple[int, int, tuple[Batch, ...], tuple[Seated, ...]]
"""(step, the world's time, what it was given, whom it seated)"""


@dataclass(slots=True, eq=False)
class Told:
    """The latest of everybody. Powers in quanta."""

    value: NDArray[np.int64]
    """[places]"""
    nameplate: NDArray[np.int64]
    """[places] 0 = nobody has it."""
    output: NDArray[np.int64]
    """[trees]"""
    output_ms: NDArray[np.int64]
    """[trees] When it was told, in the world's time; -1 never."""
    members: dict[Identity, tuple[int, int]]
    """Identity -> (first place, places)."""
    last: dict[int, int] = field(default_factory=dict)
    """Sender -> sequence."""
    asked: dict[Identity, list[tuple[int, int]]] = field(default_factory=dict)
    """(mean demand, sender) of those who asked for a place and were not answered yet, in order."""
    brought: dict[Identity, int] = field(default_factory=dict)
    """Senders that brought members; those who were there from the start were brought by nobody."""

    def copy(self) -> Told:
        """The same in arrays of its own."""
        return Told(
            self.value.copy(),
            self.nameplate.copy(),
            self.output.copy(),
            self.output_ms.copy(),
            dict(self.members),
            dict(self.last),
            {identity: list(asked) for identity, asked in self.asked.items()},
            dict(self.brought),
        )


class Witness:
    """Keeps what was told, and forgets what a restart forgot."""

    def __init__(
        self,
        nominal: NDArray[np.int64],
        nameplate: NDArray[np.int64],
        rated: NDArray[np.int64],
        slots: int,
        members: dict[Identity, tuple[int, int]],
    ) -> None:
        """Columns with one entry a place in quanta (slots, then big feeds), and one a plant."""
        self.rated = rated
        self._slots = slots
        never = np.full(len(rated), -1, np.int64)
        self.told = Told(nominal.copy(), nameplate.copy(), np.zeros(len(rated), np.int64), never, dict(members))
        self._bases = [(-1, self.told.copy())]
        """(step, all that was told up to it), the oldest first."""
        self._since: list[_Step] = []
        """What was told after the oldest."""
        self._uncertain = 0

    @property
    def certain(self) -> bool:
        """Whether it knows what the tracker was told."""
        return self._uncertain == 0

    def take(self, step: int, now_ms: int, batches: Sequence[Batch], seats: Sequence[Seated] = ()) -> str:
        """A step was given these messages, and seated newcomers so; what is wrong with their places."""
        entry = (step, now_ms, tuple(b for b in batches if b.kind is not BatchKind.HELD), tuple(seats))
        self._since.append(entry)
        wrong = self._apply(self.told, entry)
        self._uncertain = max(0, self._uncertain - 1)
        if step % _BASE_EVERY == 0:
            self._bases.append((step, self.told.copy()))
            if len(self._bases) > _BASES:
                self._bases.pop(0)
                self._since = [entry for entry in self._since if entry[0] > self._bases[0][0]]
        return wrong if self.certain else ""

    def restarted(self, step: int, *, whole: bool) -> None:
        """The tracker knows all steps up to this one; not `whole`: nobody knows which of them."""
        if not whole:
            self._uncertain = UNCERTAIN_STEPS
        elif self.certain and self._since and self._since[-1][0] > step:
            self._since = [entry for entry in self._since if entry[0] <= step]
            self._bases[1:] = [base for base in self._bases[1:] if base[0] <= step]
            known, told = self._bases[-1]
            self.told = told.copy()
            for entry in self._since:
                if entry[0] > known:
                    self._apply(self.told, entry)

    def rebase(self) -> None:
        """What is in `told` now was put there by somebody who knows; what was before is forgotten."""
        self._bases = [(-1, self.told.copy())]
        self._since.clear()

    def _apply(self, told: Told, entry: _Step) -> str:
        _, now_ms, batches, seats = entry
        # All demands of a step are taken at once: the last of a place stands.
        demands: dict[BatchKind, list[bytes]] = {BatchKind.DEMAND: [], BatchKind.FEED: []}
        goers: list[tuple[Identity, int]] = []
        """What has to be answered to those who leave."""
        for batch in batches:
            if batch.sequence <= told.last.get(batch.sender, 0):
                continue
            if len(batch.data) % ROWS[batch.kind].itemsize:
                continue
            told.last[batch.sender] = batch.sequence
            if batch.kind in demands:
                demands[batch.kind].append(batch.data)
                continue
            rows = np.frombuffer(batch.data, ROWS[batch.kind])
            if batch.kind is BatchKind.OUTPUT:
                tree, value = rows["tree"].astype(np.int64), rows["value"]
                sound = (tree < len(self.rated)) & (value >= 0)
                tree = tree[sound]
                told.output[tree] = np.minimum(value[sound], self.rated[tree])
                told.output_ms[tree] = now_ms
            elif batch.kind is BatchKind.JOIN:
                for row, nominal in zip(_identities(rows), rows["nominal"].tolist(), strict=True):
                    told.asked.setdefault(row, []).append((nominal, batch.sender))
            elif batch.kind is BatchKind.LEAVE:
                self._demands(told, demands)
                goers += [(row, _leave(told, row, batch.sender)) for row in _identities(rows)]
        self._demands(told, demands)
        wrong = ""
        for seated in seats:
            halves = zip(seated.high.tolist(), seated.low.tolist(), strict=True)
            for identity, place, outcome in zip(halves, seated.place.tolist(), seated.outcome.tolist(), strict=True):
                if goers:
                    # Those who leave are answered before newcomers.
                    if (identity, outcome) != goers[0]:
                        wrong = f"{identity} was answered {outcome}; {goers[0][0]} leaves, and it is {goers[0][1]}"
                    goers.pop(0)
                    continue
                asked = told.asked.get(identity, [])
                nominal, sender = asked.pop(0) if asked else (0, -1)
                if not asked:
                    told.asked.pop(identity, None)
                known = identity in told.members
                plate = min(NAMEPLATE * abs(nominal), 2**15 - 1)
                if outcome == _DONE and told.members.get(identity) == (place, 1):
                    # The answer to a question that was asked again: who asks as somebody else is no member.
                    if nominal and told.nameplate[place] != plate:
                        wrong = f"{identity} asked for {nominal} and was given the place {place} of a member"
                    continue
                if outcome == _DONE and (known or not nominal or told.nameplate[place]):
                    wrong = f"{identity} was given place {place}; member {known}, asked for {nominal}"
                elif outcome == _TAKEN and not known:
                    wrong = f"{identity} was refused, and is no member"
                if outcome == _DONE:
                    told.members[identity] = (place, 1)
                    told.brought[identity] = sender
                    told.value[place], told.nameplate[place] = nominal, plate
        return f"{goers[0][0]} left, and was not answered" if goers else wrong

    def _demands(self, told: Told, demands: dict[BatchKind, list[bytes]]) -> None:
        """Takes the rows in their order, and empties the lists."""
        for kind, first, count in (
            (BatchKind.DEMAND, 0, self._slots),
            (BatchKind.FEED, self._slots, len(told.value) - self._slots),
        ):
            if not demands[kind]:
                continue
            rows = np.frombuffer(b"".join(demands[kind]), ROWS[kind])
            demands[kind].clear()
            number, value = (rows[name].astype(np.int64) for name in ROWS[kind].names or ())
            there = number < count
            if not there.all():
                number, value = number[there], value[there]
            number += first
            plate = told.nameplate[number]
            held = np.minimum(np.maximum(value, -plate), plate)
            # Nobody's place has a nameplate of 0, and counts for nothing as it did.
            told.value[number] = held


def _leave(told: Told, identity: Identity, sender: int) -> int:
    """Somebody goes if this sender brought it; what it has to be answered."""
    asked = told.asked.get(identity, [])
    waits = [one for one in asked if one[1] != sender]
    waited = len(waits) < len(asked)
    if waits:
        told.asked[identity] = waits
    else:
        told.asked.pop(identity, None)
    if identity not in told.members:
        return _LEFT if waited else _UNKNOWN
    if told.brought.get(identity, sender) != sender:
        return _LEFT if waited else _NOT_YOURS
    told.brought.pop(identity, None)
    first, count = told.members.pop(identity)
    told.value[first : first + count] = told.nameplate[first : first + count] = 0
    return _LEFT


def _identities(rows: NDArray[np.void]) -> list[Identity]:
    return list(zip(rows["high"].view(np.int64).tolist(), rows["low"].view(np.int64).tolist(), strict=True))
