"""What the tracker must count everybody at, from the messages that its steps were given and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Batch, BatchKind

_KEPT_STEPS = 64
_TOLD = (BatchKind.DEMAND, BatchKind.FEED, BatchKind.OUTPUT)
UNCERTAIN_STEPS = 10
"""After a hole in the journal: until no message from before it can still arrive."""


@dataclass(slots=True, eq=False)
class Told:
    """The latest of everybody. Powers in quanta."""

    value: NDArray[np.int64]
    """[places]"""
    output: NDArray[np.int64]
    """[trees]"""
    output_ms: NDArray[np.int64]
    """[trees] When it was told, in the world's time; -1 never."""
    last: dict[int, int] = field(default_factory=dict)
    """Sender -> sequence."""

    def copy(self) -> Told:
        """The same in arrays of its own."""
        return Told(self.value.copy(), self.output.copy(), self.output_ms.copy(), dict(self.last))


class Witness:
    """Keeps what was told, and forgets what a restart forgot."""

    def __init__(
        self, nominal: NDArray[np.int64], nameplate: NDArray[np.int64], rated: NDArray[np.int64], slots: int
    ) -> None:
        """Columns with one entry a place in quanta (slots, then big feeds; 0 = nobody), and one a plant."""
        self.nameplate, self.rated = nameplate, rated
        self._slots = slots
        self.told = Told(nominal.copy(), np.zeros(len(rated), np.int64), np.full(len(rated), -1, np.int64))
        self._base = self.told.copy()
        self._since: list[tuple[int, int, tuple[Batch, ...]]] = []
        self._uncertain = 0

    @property
    def certain(self) -> bool:
        """Whether it knows what the tracker was told."""
        return self._uncertain == 0

    def take(self, step: int, now_ms: int, batches: Sequence[Batch]) -> None:
        """A step was given these messages."""
        told = tuple(b for b in batches if b.kind in _TOLD)
        self._since.append((step, now_ms, told))
        self._apply(self.told, now_ms, told)
        self._uncertain = max(0, self._uncertain - 1)
        if len(self._since) > _KEPT_STEPS:
            _, at_ms, oldest = self._since.pop(0)
            self._apply(self._base, at_ms, oldest)

    def restarted(self, step: int, *, whole: bool) -> None:
        """The tracker knows all steps up to this one; not `whole`: nobody knows which of them."""
        if not whole:
            self._uncertain = UNCERTAIN_STEPS
        elif self.certain:
            self._since = [entry for entry in self._since if entry[0] <= step]
            self.told = self._base.copy()
            for _, at_ms, batches in self._since:
                self._apply(self.told, at_ms, batches)

    def believe(self, counted: NDArray[np.int64], safe_output: NDArray[np.int64]) -> None:
        """Takes over what the tracker counts: for as long as nobody knows what it was told."""
        self.told.value = counted.copy()
        self.told.output = np.maximum(self.told.output, safe_output)
        self._base = self.told.copy()
        self._since.clear()

    def _apply(self, told: Told, now_ms: int, batches: Sequence[Batch]) -> None:
        for batch in batches:
            if batch.sequence <= told.last.get(batch.sender, 0):
                continue
            rows = batch.rows()
            if rows is None:
                continue
            told.last[batch.sender] = batch.sequence
            if batch.kind is BatchKind.OUTPUT:
                tree, value = rows["tree"].astype(np.int64), rows["value"]
                sound = (tree < len(self.rated)) & (value >= 0)
                tree = tree[sound]
                told.output[tree] = np.minimum(value[sound], self.rated[tree])
                told.output_ms[tree] = now_ms
                continue
            slot = batch.kind is BatchKind.DEMAND
            place = rows["slot" if slot else "feed"].astype(np.int64)
            there = place < (self._slots if slot else len(told.value) - self._slots)
            place = place[there] + (0 if slot else self._slots)
            plate = self.nameplate[place]
            value = np.clip(rows["value"][there].astype(np.int64), -plate, plate)
            told.value[place[plate > 0]] = value[plate > 0]
