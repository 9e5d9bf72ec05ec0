"""What can be made to go wrong at a device: declared here, applied by the plant (physics) and the server (replies)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """Ways to fail; the first six show in replies only, the others in registers and physics."""

    SILENCE = "silence"
    """Requests are not answered and have no effect."""
    LOST_ANSWER = "lost-answer"
    """Writes take effect, but their answer never arrives."""
    DELAY = "delay"
    """Answers come `ms` late."""
    REFUSAL = "refusal"
    """Writes are refused with exception `code` (default 4; 6 = busy, 11 = gateway)."""
    EXCEPTION = "exception"
    """Every request is answered with exception `code` (default 4)."""
    ACK_NOT_APPLIED = "ack-not-applied"
    """Writes are acknowledged, the register keeps its value."""
    ECHO_WITHOUT_EFFECT = "echo-without-effect"
    """Registers change and read back; the machine goes on as before."""
    STUCK = "stuck"
    """Every reading stays what it was when the fault began; writes still work."""
    SECOND_MASTER = "second-master"
    """Somebody else writes `value` to `signal` every `every_ms`."""
    RESET_AFTER = "reset-after"
    """What is written returns to its former value after `ms`."""


class ServerAction(StrEnum):
    """What can be done to an OPC-UA server as a whole, beside the faults of its devices."""

    KICK = "kick"
    """Every session ends; the connections stay open."""
    CUT = "cut"
    """Every connection is cut; sessions live on for as long as the standard wants."""
    FORGET_SUBSCRIPTIONS = "forget-subscriptions"
    """Every subscription is deleted; the sessions stay."""
    STOP = "stop"
    """Nobody listens any more."""
    START = "start"
    """It listens again, with everything that a restart forgets forgotten."""
    SHIFT_NAMESPACES = "shift-namespaces"
    """It restarts, and all of its namespaces have moved up by one."""
    EXPIRE_CERTIFICATE = "expire-certificate"
    """It restarts with a certificate that ended yesterday."""
    RENEW_CERTIFICATE = "renew-certificate"
    """It restarts with its valid certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one device."""

    kind: FaultKind
    ms: int = 0
    """Delay of answers, or time until a written value returns."""
    code: int = 4
    """Modbus exception code."""
    signal: str = ""
    """Signal that the second master writes."""
    value: float = 0.0
    """Its value, in the signal's base unit."""
    every_ms: int = 1000
    """Its period."""
    until_ms: int | None = None
    """Plant time at which the fault ends by itself; None: until cleared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """How a device answers at present."""

    silent: bool = False
    lost_answer: bool = False
    delay_ms: int = 0
    exception: int = 0
    """Code for every request, 0 = none."""
    refusal: int = 0
    """Code for writes, 0 = none."""


HEALTHY = Response()


@dataclass(frozen=True, slots=True)
class AcceptedWrite:
    """One write that a device acknowledged."""

    at_ms: int
    """Plant time."""
    device: str
    signal: str
    value: float
    """Base unit of the signal."""
    source: str
    """`daemon` or `second-master`."""
    applied: bool = True
    """False under `ack-not-applied`."""
