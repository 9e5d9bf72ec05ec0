"""Effects: all that a step may ask of the world, and the plan that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Assign, Batch, Seated
from scowl_edge.model.command import Command
from scowl_edge.model.event import Event
from scowl_edge.model.tick import Tick


@dataclass(frozen=True, slots=True)
class Write:
    """Carry out a command; its `Outcome` comes back as an event."""

    command: Command


@dataclass(frozen=True, slots=True)
class Read:
    """Read these signals out of turn; the reading comes back like any other."""

    signals: tuple[int, ...]
    """Indices into the region's signals."""
    by_ms: int
    """Monotonic: wanted by then."""


Effect = Write | Read | Assign | Seated


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """All that one step sees. Array fields have the same length: the signals that changed since the last step."""

    tick: Tick
    signals: NDArray[np.int32]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    received_ms: NDArray[np.int64]
    events: tuple[Event, ...]
    batches: tuple[Batch, ...] = ()
    """What the peers of populations told, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one step decided."""

    step: int
    effects: tuple[Effect, ...]
    wake_at_ms: int
    """Monotonic: step again at the latest then."""
    digests: tuple[tuple[str, str], ...]
    """(section of the state, 16 hex digits) after the step; replay compares them."""
    final: bool
    """True once a stop is settled: the loop may end."""
