"""The faults that are on at a proxy, and how often each has struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from scowl_edge.model.errors import ScowlError
from simulators.faults import ON_THE_WAY, Fault, FaultKind
from simulators.wire.frames import Framing

BY_ITSELF = frozenset({FaultKind.ACK_NOT_APPLIED, FaultKind.STUCK, FaultKind.SECOND_MASTER, FaultKind.PACE})
"""What a proxy does beside the faults of frames."""
KINDS = ON_THE_WAY | BY_ITSELF
"""Every fault that a proxy knows."""
OF_BYTES = frozenset(
    {
        FaultKind.SILENCE,
        FaultKind.DELAY,
        FaultKind.JITTER,
        FaultKind.LOSS,
        FaultKind.HALF_OPEN,
        FaultKind.RESET,
        FaultKind.TRUNCATE,
        FaultKind.BYTEWISE,
        FaultKind.DUPLICATE,
        FaultKind.GARBAGE,
        FaultKind.PACE,
    }
)
"""What can be done to a stream that cannot be looked into."""
_PARAMETERS = {field.name for field in fields(Fault)} - {"kind", "device", "signal", "until_ms", "every_ms"}
_WORDS = {"rest": ("never", "next"), "at": ("request", "reply"), "only": ("", "reads", "writes")}


class FaultError(ScowlError):
    """A fault that there is not, or not here."""


@dataclass(slots=True, eq=False)
class Active:
    """One fault that is on."""

    fault: Fault
    struck: int = 0
    injected: int = 0
    until_s: float | None = None


class ActiveFaults:
    """The faults of one proxy. Times in seconds of the clock that it is given."""

    def __init__(self, framing: Framing, now_s: Callable[[], float]) -> None:
        self._framing = framing
        self._now_s = now_s
        self._active: list[Active] = []
        self.injected: Counter[str] = Counter()
        """How often each kind has struck since the start, by kind."""

    def add(self, kind: str, *, for_s: float | None = None, every_s: float = 1.0, **parameters: Any) -> Fault:
        """Begins a fault; one of the same kind for the same unit is replaced.

        Raises:
            FaultError: there is no such kind, it makes no sense here, or a parameter is faulty.
        """
        fault = self._fault(kind, every_s, parameters)
        self.clear(fault.kind, fault.unit, exactly=True)
        self._active.append(Active(fault, until_s=None if for_s is None else self._now_s() + for_s))
        return fault

    def clear(self, kind: str | None = None, unit: int | None = None, *, exactly: bool = False) -> list[Fault]:
        """Ends all faults, or those of a kind and a unit; which ones."""
        ended = [
            each
            for each in self._active
            if (kind is None or each.fault.kind == kind) and ((unit is None and not exactly) or each.fault.unit == unit)
        ]
        self._active = [each for each in self._active if each not in ended]
        return [each.fault for each in ended]

    def now(self) -> list[Fault]:
        """The faults that are on."""
        if any(each.until_s is not None for each in self._active):
            now_s = self._now_s()
            self._active = [each for each in self._active if each.until_s is None or now_s < each.until_s]
        return [each.fault for each in self._active]

    def described(self) -> list[tuple[Fault, int]]:
        """The faults that are on, each with how often it has struck."""
        self.now()
        return [(each.fault, each.injected) for each in self._active]

    def find(self, kind: FaultKind) -> Fault | None:
        """The latest fault of a kind that is on."""
        return next((fault for fault in reversed(self.now()) if fault.kind is kind), None)

    def strike(self, fault: Fault) -> None:
        """Notes that a fault takes hold; one that did so often enough ends."""
        for each in self._active:
            if each.fault is fault:
                each.struck += 1
                if fault.times and each.struck >= fault.times:
                    self._active.remove(each)
                return

    def count(self, fault: Fault) -> None:
        """Notes that a fault has changed what happens."""
        self.injected[fault.kind.value] += 1
        for each in self._active:
            if each.fault is fault:
                each.injected += 1

    def _fault(self, kind: str, every_s: float, parameters: dict[str, Any]) -> Fault:
        known = next((each for each in KINDS if each == kind.replace("_", "-")), None)
        if known is None:
            raise FaultError(f"there is no fault {kind!r} at a proxy; known are: {', '.join(sorted(KINDS))}")
        if self._framing is Framing.NONE and known not in OF_BYTES:
            raise FaultError(
                f"fault {kind} needs frames, but this stream is not looked into (framing none); "
                f"possible are: {', '.join(sorted(OF_BYTES))}"
            )
        if self._framing is Framing.RTU and known is FaultKind.WRONG_ID:
            raise FaultError("frames of a serial line have no transaction id, so it cannot be wrong; take wrong-unit")
        unknown = sorted(parameters.keys() - _PARAMETERS)
        if unknown:
            raise FaultError(
                f"fault {kind} has no {', '.join(unknown)}; known are: {', '.join(sorted(_PARAMETERS))}, for_s, every_s"
            )
        fault = Fault(kind=known, every_ms=max(1, round(every_s * 1000)), **parameters)
        if known is FaultKind.SECOND_MASTER and (fault.unit is None or fault.address is None):
            raise FaultError("fault second-master needs to know where it writes; give unit, address and value")
        for name, allowed in _WORDS.items():
            given = getattr(fault, name)
            if given not in allowed:
                raise FaultError(f"fault {kind}: {name} is {given!r}; write {' or '.join(filter(None, allowed))}")
        return fault
