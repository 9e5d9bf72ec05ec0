"""One population, step by step: what came in, what each tree may carry, who has to change hands, what is told of it.

It owns its columns. A step is a function of the state, the time and the batches alone; the work of one step is bounded,
and what is left over is taken up by the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import require_compiled
from scowl_edge.model.batch import Batch
from scowl_edge.model.codec import encode
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import Population as Declared
from scowl_edge.model.view import PopulationView
from scowl_edge.tracker.population import census, packing, standing
from scowl_edge.tracker.population.columns import Log, lay_out

FIXED_MARGIN = declare("margin-fixed", "{:fraction} of each plant's output is kept free, as configured")
Changes = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
"""(kind, number, tree) of all that changed hands."""


class Population:
    """A declared population with its state."""

    def __init__(self, declared: Declared) -> None:
        """Draws and lays it out.

        Raises:
            NotCompiled: too many consumers for uncompiled kernels.
        """
        require_compiled(declared.consumers)
        self.declared = declared
        people = census.draw(declared.consumers, declared.seed, zones=declared.feeders, quantum_w=declared.quantum_w)
        self.columns, self.layout = lay_out(people, declared.trees)
        self.decisions: list[tuple[str, int, Reason]] = []
        self.wake_at = 1 << 62
        self._rows = np.zeros(len(self.columns.block_tree), np.int64)
        self._log = Log.empty(1024)

    @property
    def conservation_error_w(self) -> int:
        return 0

    def step(self, now_ms: int, batches: Sequence[Batch], *, deciding: bool, advisory: bool) -> Changes | None:
        return None

    def shift_times(self, by_ms: int) -> None:
        pass

    def snapshot(self) -> bytes:
        return packing.pack({})

    def restore(self, data: bytes) -> None:
        packing.unpack(data)

    def digest(self) -> str:
        return f"{standing.fingerprint(self.columns, self._rows):016x}"

    def section(self) -> bytes:
        return encode({"blocks": self._rows})

    def view(self) -> PopulationView:
        raise NotImplementedError
