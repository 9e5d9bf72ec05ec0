"""What the ledger knows of one actuator: where its last command stands, what was written, read back and counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.model.command import CommandId
from scowl_edge.model.reason import Reason, declare

UNTOUCHED = declare("untouched", "nobody has asked for anything")
NOTHING_ASKED = Reason(UNTOUCHED)


class Stage(StrEnum):
    """Where a command stands."""

    IDLE = "idle"
    INTENDED = "intended"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    EFFECTIVE = "effective"
    HOLDING = "holding"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    NO_EFFECT = "no_effect"
    REVERTED = "reverted"
    CONTESTED = "contested"
    IN_DOUBT = "in_doubt"


STANDING = (Stage.CONFIRMED, Stage.EFFECTIVE, Stage.HOLDING, Stage.NO_EFFECT)
"""The register was read back as it should be."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """The ledger's line for one actuator. Times are monotonic ms, -1 = never."""

    stage: Stage = Stage.IDLE
    target: int | None = None
    klass: int = 0
    reason: Reason = NOTHING_ASKED
    safety: bool = False
    lasts_ms: int = 0
    written: int | None = None
    """Value of the last command that left, or that was found already in force."""
    written_at: int = -1
    """Latest time at which the last command may have reached the device."""
    command: CommandId | None = None
    """Last command; its outcome is awaited while `outstanding`."""
    outstanding: bool = False
    sent_at: int = -1
    settled_at: int = -1
    """From then on read-backs count."""
    read_at: int = -1
    agreed: int = 0
    """Read-backs in a row that agree."""
    agreed_at: int = -1
    """Receive time of the last read-back looked at."""
    confirmed: int | None = None
    """For a shed: what is granted."""
    effect_by_at: int = -1
    asserts: int = 0
    """How often somebody else's value was written over since there was last peace for the time of `retry`."""
    asserted_at: int = -1
    closed_until_at: int = -1
    """Not commanded before, after a refusal or a lack of effect."""
    retry_at: int = -1
    found: int | None = None
    """Value at the first take-over."""
    day: int = -1
    writes_today: int = 0
    writes_total: int = 0
    """Since the journal began. Both count what may have reached the device."""
    jumped: bool = False
    """The last write did not wait for the least interval."""
    kept_back: Reason | None = None
    """Why what is wanted is not written now; None where nothing is in its way."""
    withheld: int = 0
    """Times in a row that a driver would not send it."""

    def carry(self, old: Entry) -> None:
        """Takes over what stays true of a register under another configuration."""
        self.found, self.day, self.writes_today, self.writes_total = (
            old.found,
            old.day,
            old.writes_today,
            old.writes_total,
        )
        self.written_at, self.jumped = old.written_at, old.jumped
