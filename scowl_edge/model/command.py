"""Commands to actuators, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from scowl_edge.model.reason import Reason


class Verb(StrEnum):
    """What an actuator does. Values are W unless said otherwise."""

    SETPOINT = "setpoint"
    """Generator: magnitude to produce. Storage: + charge, - discharge."""
    LIMIT = "limit"
    """Most magnitude that may be produced or consumed."""
    CONNECT = "connect"
    """1 connected or online, 0 not."""
    SHED = "shed"
    """Power to give up until the expiry; the device grants all, part or none. 0 ends it."""
    SUPPLY = "supply"
    """Number of the tree that feeds a simulated consumer on a separate bus; 0 none."""
    MODE = "mode"
    """Storage: number of the mode, see the role's `modes`."""
    FAILSAFE = "failsafe"
    """Value that the device falls back to by itself: set in the device, and kept so."""
    FAILSAFE_TIMEOUT = "failsafe_timeout"
    """Time after which it does so, in ms: set in the device, and kept so."""
    HEARTBEAT = "heartbeat"
    """A number that changes, which keeps the device from falling back."""


GUARDS = (Verb.FAILSAFE, Verb.FAILSAFE_TIMEOUT)
"""What must stand in a device before it is commanded for the first time."""


class WriteClass(StrEnum):
    """How often a register bears a write."""

    VOLATILE = "volatile"
    """Kept in RAM: may be re-asserted."""
    STORED = "stored"
    """Kept in EEPROM or flash: written on change only, within a daily budget."""
    PULSE = "pulse"
    """Each write is an action (a coil that starts something): never repeated unseen."""


class CommandId(NamedTuple):
    """Unique for the life of a journal."""

    boot: int
    step: int
    n: int

    def __str__(self) -> str:
        return f"{self.boot}.{self.step}.{self.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An absolute target for one actuator."""

    id: CommandId
    actuator: int
    """Index into the region's actuators."""
    verb: Verb
    value: int
    """In the actuator's quantum (W, 0/1, number)."""
    lasts_ms: int
    """For SHED: how long the device keeps it by itself; 0 where it has no meaning."""
    valid_until_ms: int
    """Monotonic: not sent after this."""
    safety: bool
    """Only lowers an exceedance or returns to fail-safe: leaves even when the journal is late."""
    reason: Reason


class OutcomeKind(StrEnum):
    """What a driver can know of a command's fate."""

    ACKNOWLEDGED = "acknowledged"
    """The device answered that it took the write."""
    REJECTED = "rejected"
    """The device answered with a refusal."""
    TIMED_OUT = "timed_out"
    """Sent, no answer: may or may not have been applied."""
    WITHHELD = "withheld"
    """Never sent: link down, no longer valid, read-only."""
    UNKNOWN = "unknown"
    """A crash lay between sending and answer."""
