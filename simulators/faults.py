"""What can be made to go wrong at a device: declared here, applied by the plant (physics) and the server (replies)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """Ways to fail. Some lie in the device, some on the way to it."""

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
    JUMPING = "jumping"
    """Readings are now and then `value` higher than the truth."""
    MOVING_SCALE = "moving-scale"
    """Scale factors change with each request, raw values with them; the physical value stays."""
    CLOCK_JUMP = "clock-jump"
    """The device's own clock is `ms` ahead (negative: behind), and its time stamps with it."""

    JITTER = "jitter"
    """Answers come late by chance, up to `ms`."""
    LOSS = "loss"
    """A request never arrives, or its answer is lost: by chance the one or the other."""
    HALF_OPEN = "half-open"
    """Connections on which something is asked stay open, but nothing is ever answered on them again."""
    RESET = "reset"
    """The connection is reset; by `at` before the request is carried out, or after `keep` bytes of its answer."""
    TRUNCATE = "truncate"
    """Answers are cut after `keep` bytes; the rest never comes, or (`rest`) before the next answer."""
    BYTEWISE = "bytewise"
    """Answers come byte by byte, `ms` apart."""
    DUPLICATE = "duplicate"
    """Answers come twice, the second time `ms` later."""
    LATE = "late"
    """Answers are held for `ms`, or for `hold` further requests; others overtake them."""
    SHIFTED = "shifted"
    """Each request gets the answer to the one before it; the first gets none."""
    WRONG_ID = "wrong-id"
    """Answers carry another transaction id."""
    WRONG_UNIT = "wrong-unit"
    """Answers come in the name of the next unit."""
    GARBAGE = "garbage"
    """Serial: a few bits of an answer are flipped, its check sum does not fit. TCP: bytes that are no frame."""
    BUSY = "busy"
    """Every request is answered with exception 6 and not carried out."""
    GATEWAY = "gateway"
    """Every request is answered with exception 10 or 11 (`code`) and not carried out."""
    PACE = "pace"
    """Bytes are spaced as on a serial line of `baud`, in both directions."""


ON_THE_WAY = frozenset(
    {
        FaultKind.DELAY,
        FaultKind.JITTER,
        FaultKind.LOSS,
        FaultKind.HALF_OPEN,
        FaultKind.RESET,
        FaultKind.TRUNCATE,
        FaultKind.BYTEWISE,
        FaultKind.DUPLICATE,
        FaultKind.LATE,
        FaultKind.SHIFTED,
        FaultKind.WRONG_ID,
        FaultKind.WRONG_UNIT,
        FaultKind.GARBAGE,
        FaultKind.BUSY,
        FaultKind.GATEWAY,
        FaultKind.SILENCE,
        FaultKind.LOST_ANSWER,
        FaultKind.REFUSAL,
        FaultKind.EXCEPTION,
    }
)
"""Faults that need no device behind them: frames are enough."""

ON_MODBUS = frozenset(FaultKind) - {FaultKind.CLOCK_JUMP}
"""Faults of devices behind Modbus, which knows no time stamps."""
ON_OPCUA = frozenset(FaultKind) - {
    FaultKind.RESET,
    FaultKind.TRUNCATE,
    FaultKind.BYTEWISE,
    FaultKind.DUPLICATE,
    FaultKind.SHIFTED,
    FaultKind.WRONG_ID,
    FaultKind.WRONG_UNIT,
    FaultKind.GARBAGE,
    FaultKind.PACE,
    FaultKind.MOVING_SCALE,
}
"""Faults of devices behind OPC-UA; those of its stream are a proxy's, and whole servers have actions."""

DEFAULT_MS = {
    FaultKind.DELAY: 300,
    FaultKind.JITTER: 200,
    FaultKind.BYTEWISE: 1,
    FaultKind.LATE: 1000,
    FaultKind.RESET_AFTER: 5000,
    FaultKind.CLOCK_JUMP: 3_600_000,
}
"""`ms` where it is not given."""


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
    """One fault, of one device or on the way to it."""

    kind: FaultKind
    device: str = ""
    """Whose it is; set when it begins at a device of a plant."""
    ms: int = 0
    """A time; what of, depends on the kind. 0: the kind's own, see `DEFAULT_MS`."""
    code: int = 4
    """Modbus exception code."""
    signal: str = ""
    """Signal that the second master writes; or the only one that jumps."""
    value: float = 0.0
    """Its value, or the height of its jumps, in the signal's base unit; for a proxy the word that is written."""
    every_ms: int = 1000
    """Period of a second master."""
    until_ms: int | None = None
    """Time at which the fault ends by itself; None: until cleared."""
    probability: float = 1.0
    """Share of the requests that it strikes."""
    times: int = 0
    """It ends when it has struck so often; 0: it does not."""
    only: str = ""
    """`reads` or `writes`: strikes no others."""
    unit: int | None = None
    """For a proxy: strikes only this unit."""
    address: int | None = None
    """For a proxy: strikes only requests that begin here; where the second master writes."""
    keep: int = -1
    """Bytes of the answer that come before it is cut or the connection reset; -1: half of it."""
    rest: str = "never"
    """`never` or `next`: when the rest of a cut answer comes."""
    hold: int = 0
    """A late answer comes after so many further requests, instead of after `ms`."""
    at: str = "request"
    """`request` or `reply`: when the connection is reset."""
    renumber: bool = False
    """A shifted answer gets the transaction id of the request that it does not belong to."""
    baud: int = 9600
    """Pace of a line with 11 bits a byte."""

    @property
    def exception_code(self) -> int:
        """Code of the exception reply that it makes; 0 for a kind that makes none."""
        if self.kind is FaultKind.BUSY:
            return 6
        if self.kind is FaultKind.GATEWAY:
            return self.code if self.code in (10, 11) else 11
        return self.code if self.kind in (FaultKind.EXCEPTION, FaultKind.REFUSAL) else 0

    @property
    def time_ms(self) -> int:
        """`ms`, or what the kind has instead."""
        return self.ms or DEFAULT_MS.get(self.kind, 0)


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
    on_the_way: tuple[Fault, ...] = ()
    """All faults that strike requests and replies, the above included."""


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
