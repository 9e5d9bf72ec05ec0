"""The Modbus columns of the fault matrix, as data: what is done to the device, what must be seen, what is said of it.

The tests assert what stands here, and docs/faults.md is written from it. Times are those of the peer's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from scowl_edge.model.signal import Cause
from simulators.faults import FaultKind

COLUMNS = {"tcp": "Modbus TCP", "rtu-tcp": "RTU over TCP", "rtu": "RTU serial", "tls": "Modbus TLS"}
"""Links, as ids of tests and as people call them."""
FRAMED, SERIAL = ("tcp", "tls"), ("rtu-tcp", "rtu")


class Course(StrEnum):
    """What is expected of the points while a fault is on."""

    GOOD = "good"
    """Values keep coming."""
    BAD = "bad"
    """All points are bad."""
    WRITTEN = "written"
    """A register is written that does not do as it should; what it shows is good."""
    STUCK = "stuck"
    """One measured value does not change any more."""
    JUMPS = "jumps"
    """One value is far off, once."""
    SCALED = "scaled"
    """A value and its scale factor change together."""
    EXPIRED = "expired"
    """The device's certificate is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One thing that is done to the device."""

    kind: FaultKind
    keys: dict[str, Any] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    """Causes that may be seen; where the course is bad, all points have one of the first `certain` in the end."""
    certain: int = 1
    counted: str = ""
    """Result of requests that must have been counted."""
    injected: int = 3
    """How often it must have struck before it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: all of its strikes, one after the other."""

    course: Course
    strikes: tuple[Strike, ...]
    done: str
    """What the daemon does, for people."""
    polls: int = 2
    """Recovery: the poll after the end of the fault by which everything is good again at the latest."""
    shared: bool = False
    """Whether it is shown on a link with a healthy unit as well."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All causes that may be seen."""
        return tuple(dict.fromkeys(cause for strike in self.strikes for cause in strike.causes))


def _good(kind: FaultKind, done: str, *causes: Cause, **keys: Any) -> Cell:
    return Cell(course=Course.GOOD, strikes=(Strike(kind=kind, keys=keys, causes=causes),), done=done)


def _bad(kind: FaultKind, done: str, *causes: Cause, counted: str, shared: bool = False, **keys: Any) -> Cell:
    strike = Strike(kind=kind, keys=keys, causes=causes, certain=len(causes), counted=counted)
    return Cell(course=Course.BAD, strikes=(strike,), done=done, shared=shared)


def _written(kind: FaultKind, done: str, **keys: Any) -> Cell:
    return Cell(course=Course.WRITTEN, strikes=(Strike(kind=kind, keys=keys),), done=done)


_TIMEOUT, _DOWN, _REPLY = Cause.TIMEOUT, Cause.LINK_DOWN, Cause.BAD_REPLY
_REFUSED, _UNPROVEN = Cause.EXCEPTION, Cause.UNPROVEN
_CHECKED = (
    "before the unit is asked again, a check shows that it owes no reply; if that is unanswered too, the unit is left "
    "alone for `late`"
)
_AGAINST = "the read-back differs: written again, three times at most, then left alone with the alarm `contested`"

_ALL: dict[str, Cell] = {
    "delay": _good(FaultKind.DELAY, "waited for, up to `timeout`", ms=150),
    "jitter": _good(FaultKind.JITTER, "waited for, up to `timeout`", ms=300),
    "byte-wise": _good(FaultKind.BYTEWISE, "put together; a value only when the reply is whole"),
    "pace": _good(FaultKind.PACE, "waited for, up to `timeout`", baud=9600),
    "busy": _bad(
        FaultKind.BUSY, "a refusal is an answer: asked at the usual pace", _REFUSED, counted="exception", shared=True
    ),
    "gateway": _bad(
        FaultKind.GATEWAY,
        "the gateway answered, the unit did not: it counts as silent",
        _REFUSED,
        counted="exception",
        shared=True,
    ),
    "ack-not-applied": _written(FaultKind.ACK_NOT_APPLIED, _AGAINST),
    "echo-without-effect": _written(
        FaultKind.ECHO_WITHOUT_EFFECT,
        "the read-back agrees, the measured power does not: `no_effect`; not written again, left alone for `retry`",
    ),
    "revert": _written(FaultKind.RESET_AFTER, _AGAINST, ms=1_000),
    "second-master": _written(FaultKind.SECOND_MASTER, _AGAINST, signal="limit", value=9_000.0, every_ms=400),
    "moving-scale-factor": Cell(
        course=Course.SCALED,
        strikes=(Strike(kind=FaultKind.MOVING_SCALE, injected=6),),
        done="value and factor come in one reply, so the physical value stays right",
    ),
    "stuck": Cell(
        course=Course.STUCK,
        strikes=(Strike(kind=FaultKind.STUCK, causes=(Cause.STUCK,)),),
        done="uncertain after `stuck_after`; the value stays",
    ),
    "jumping": Cell(
        course=Course.JUMPS,
        strikes=(
            Strike(
                kind=FaultKind.JUMPING,
                keys={"times": 1, "value": 1_000_000.0, "signal": "power"},
                causes=(Cause.IMPLAUSIBLE,),
                injected=1,
            ),
        ),
        done="what moved faster than `max_change` is not believed unless the next reading goes on from there",
    ),
}
"""The same on every link."""

_FRAMED: dict[str, Cell] = {
    "loss": _bad(FaultKind.LOSS, "given up after `timeout`", _TIMEOUT, counted="timeout", shared=True),
    "truncation": Cell(
        course=Course.BAD,
        strikes=(
            Strike(kind=FaultKind.TRUNCATE, causes=(_TIMEOUT, _DOWN), certain=2, counted="timeout"),
            Strike(
                kind=FaultKind.TRUNCATE,
                keys={"rest": "next"},
                causes=(_TIMEOUT, _DOWN),
                certain=2,
                counted="timeout",
            ),
        ),
        done="given up after `timeout`; the stream can no longer be cut, so the connection is opened anew",
    ),
    "duplicate": _good(FaultKind.DUPLICATE, "the second carries a number that nobody waits for: dropped, counted"),
    "late": _bad(
        FaultKind.LATE,
        "comes with the number of a request that was given up: dropped, counted",
        _TIMEOUT,
        counted="stray",
        ms=650,
    ),
    "shifted": _bad(
        FaultKind.SHIFTED,
        "each reply carries the number of an earlier request: dropped, counted",
        _TIMEOUT,
        counted="stray",
    ),
    "wrong-id": Cell(
        course=Course.BAD,
        strikes=(
            Strike(kind=FaultKind.WRONG_ID, causes=(_TIMEOUT,), counted="stray"),
            Strike(kind=FaultKind.WRONG_UNIT, causes=(_REPLY,), counted="bad_reply"),
        ),
        done="another number: dropped, counted; another unit: a bad reply",
    ),
}
_SERIAL: dict[str, Cell] = {
    "loss": _bad(
        FaultKind.LOSS, f"given up after `timeout`; {_CHECKED}", _TIMEOUT, _UNPROVEN, counted="timeout", shared=True
    ),
    "truncation": Cell(
        course=Course.BAD,
        strikes=(
            Strike(kind=FaultKind.TRUNCATE, causes=(_TIMEOUT, _REPLY, _UNPROVEN), certain=3, counted="timeout"),
            Strike(
                kind=FaultKind.TRUNCATE,
                keys={"rest": "next"},
                causes=(_TIMEOUT, _REPLY, _UNPROVEN),
                certain=3,
            ),
        ),
        done=f"the check sum is missing: dropped after silence on the line; {_CHECKED}",
    ),
    "duplicate": _good(
        FaultKind.DUPLICATE,
        "a unit that repeats itself is doubted for `late`: a check follows each reply",
        Cause.UNPROVEN,
        ms=20,
    ),
    "late": _bad(
        FaultKind.LATE,
        f"dropped, counted; {_CHECKED}",
        _TIMEOUT,
        _UNPROVEN,
        counted="stray",
        ms=650,
    ),
    "shifted": _bad(
        FaultKind.SHIFTED,
        "the check is not answered as it should be, so no reply of the unit is believed",
        _TIMEOUT,
        _UNPROVEN,
        _REPLY,
        counted="stray",
    ),
    "wrong-id": _bad(
        FaultKind.WRONG_UNIT,
        f"serial frames carry no number, but a unit: another's is dropped, counted; {_CHECKED}",
        _TIMEOUT,
        _UNPROVEN,
        counted="stray",
    ),
}


def _reset(*causes: Cause) -> Cell:
    return Cell(
        course=Course.BAD,
        strikes=(Strike(kind=FaultKind.RESET, causes=causes, counted="link_down"),),
        done="opened anew, after two vain attempts with growing pauses of at most `reconnect`",
    )


def _half_open(*causes: Cause) -> Cell:
    strike = Strike(
        kind=FaultKind.HALF_OPEN,
        keys={"times": 1},
        causes=causes,
        certain=len(causes),
        counted="timeout",
        injected=1,
    )
    done = "three requests in a row without an answer: the connection is opened anew; that alone ends this fault"
    return Cell(course=Course.BAD, strikes=(strike,), done=done, polls=3)


_FRAMED |= {"reset": _reset(_DOWN), "half-open": _half_open(_TIMEOUT)}
_SERIAL |= {"reset": _reset(_DOWN, _TIMEOUT, _UNPROVEN), "half-open": _half_open(_TIMEOUT, _UNPROVEN)}
EMPTY: dict[tuple[str, str], str] = {
    ("half-open", "rtu"): "a serial port has no connection that could be half open; a silent line is the row `loss`",
    **{("certificate-expiry", column): "the link has no certificates" for column in COLUMNS if column != "tls"},
    **{
        ("clock-jump", column): "Modbus carries no time stamps: a value's age is counted from its arrival"
        for column in COLUMNS
    },
}
"""Cells without a test, and why."""
_EXPIRED = Cell(
    course=Course.EXPIRED,
    strikes=(Strike(kind=FaultKind.SILENCE, causes=(_DOWN,)),),
    done="the link is down, the event says that the certificate has expired; asked again ever more seldom",
)
CELLS: dict[tuple[str, str], Cell] = {
    (fault, column): cell
    for column in COLUMNS
    for fault, cell in {
        **_ALL,
        **(_FRAMED if column in FRAMED else _SERIAL),
        **({"certificate-expiry": _EXPIRED} if column == "tls" else {}),
    }.items()
    if (fault, column) not in EMPTY
}
"""By fault and column."""
