"""Effects: all that a step may ask of the world, and the plan that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Assign, Batch, Seated
from scowl_edge.model.command import Command
from scowl_edge.model.event import Event
from scowl_edge.model.exchange import Message
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Tell a peer something. An acknowledgement is one too: it leaves when what it acknowledges is durable."""

    link: str
    """The peer's name in the configuration, or its node id where it came by itself."""
    message: Message
    safety: bool = False
    """May go although the journal is late: it only lowers an exceedance, or leads back to what is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Work for a worker; its `Answer` comes back as an event. What it works on is fetched from the core."""

    job: str
    revision: int
    """Of what it works on; a later one of the same job takes its place."""
    by_ms: int
    """Monotonic: of no use after that."""


Effect = Write | Read | Assign | Seated | Send | Ask


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
