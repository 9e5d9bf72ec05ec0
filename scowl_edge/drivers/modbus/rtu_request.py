"""One request on an RTU line, and how far it is."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from scowl_edge.devices.declaration import Canary
from scowl_edge.drivers.modbus.wire import Done


class Phase(Enum):
    """What a request waits for."""

    BARRED = "barred"
    BEFORE = "check before"
    ASK = "ask"
    AFTER = "check after"


class Check(NamedTuple):
    """A request whose reply cannot be that of another."""

    pdu: bytes
    canary: Canary | None = None


class Request:
    """One request and how far it is."""

    __slots__ = (
        "asked_again",
        "candidate",
        "check",
        "conflict",
        "deadline_s",
        "done",
        "echo_due",
        "full_wait",
        "heard",
        "over_s",
        "pdu",
        "phase",
        "quiet_by_s",
        "sent",
        "spoiled",
        "suspect",
        "timeout_s",
        "unit",
    )

    def __init__(self, unit: int, pdu: bytes, timeout_s: float, done: Done) -> None:
        self.unit = unit
        self.pdu = pdu
        self.timeout_s = timeout_s
        self.done = done
        self.phase = Phase.ASK
        self.check: Check | None = None
        self.sent = b""
        """Frame that is out in this phase; empty while the line is not quiet yet."""
        self.echo_due = False
        self.deadline_s = self.over_s = self.quiet_by_s = 0.0
        self.full_wait = True
        """Whether this phase may wait for the whole time-out."""
        self.candidate: bytes | None = None
        self.asked_again = False
        """Its reply was another's as well, so it was asked once more."""
        self.conflict = False
        """Something else came that could be the reply."""
        self.spoiled = False
        """Bytes that are no frame came since it was sent."""
        self.suspect = False
        """Its reply may be one that came before."""
        self.heard = ""
        """What came instead of the reply, in words."""
