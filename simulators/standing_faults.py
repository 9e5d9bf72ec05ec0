"""The faults of a plant's devices: which are on, how they show in replies, and how often each has struck."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from simulators.faults import HEALTHY, ON_THE_WAY, Fault, FaultKind, Response

_JUMP = 1_000_000.0
"""Height of a jump that nobody has given: far off in any unit."""
_REFUSING = (FaultKind.REFUSAL, FaultKind.EXCEPTION, FaultKind.BUSY, FaultKind.GATEWAY)


class StandingFaults:
    """Faults by device index and kind: one of each kind at a time."""

    def __init__(self, seed: int = 1) -> None:
        self.by_device: dict[int, dict[FaultKind, Fault]] = {}
        self.injected: Counter[tuple[str, FaultKind]] = Counter()
        """How often each has struck since the start, by name of the device and kind."""
        self._struck: Counter[tuple[str, FaultKind]] = Counter()
        self._scale_shift: dict[int, int] = {}
        self._draw = random.Random(seed)

    def __bool__(self) -> bool:
        return bool(self.by_device)

    def begin(self, index: int, name: str, fault: Fault) -> Fault:
        """Begins a fault of a device; one of the same kind is replaced. The fault as it stands."""
        standing = replace(fault, device=name)
        self._struck.pop((name, fault.kind), None)
        self.by_device.setdefault(index, {})[fault.kind] = standing
        return standing

    def end(self, index: int, kind: FaultKind) -> bool:
        """Ends a fault; whether there was one."""
        kinds = self.by_device.get(index, {})
        if kind is FaultKind.MOVING_SCALE:
            self._scale_shift.pop(index, None)
        ended = kinds.pop(kind, None) is not None
        if not kinds:
            self.by_device.pop(index, None)
        return ended

    def of(self, index: int) -> dict[FaultKind, Fault]:
        """The faults of a device by kind."""
        return self.by_device.get(index, {})

    def refuses(self, index: int) -> bool:
        """Whether every write is refused. What strikes by chance only is decided on the way, request by request."""
        faults = self.by_device.get(index)
        if not faults:
            return False
        found = (faults[kind] for kind in _REFUSING if kind in faults)
        return any(fault.probability >= 1 and not fault.times and fault.only != "reads" for fault in found)

    def response(self, index: int) -> Response:
        """How a device answers at present."""
        faults = self.by_device.get(index)
        if not faults:
            return HEALTHY
        delay = faults.get(FaultKind.DELAY)
        refusal = faults.get(FaultKind.REFUSAL)
        codes = (faults[kind].exception_code for kind in _REFUSING[1:] if kind in faults)
        return Response(
            silent=FaultKind.SILENCE in faults,
            lost_answer=FaultKind.LOST_ANSWER in faults,
            delay_ms=delay.time_ms if delay else 0,
            exception=next(codes, 0),
            refusal=refusal.code if refusal else 0,
            on_the_way=tuple(fault for kind, fault in faults.items() if kind in ON_THE_WAY),
        )

    def strikes(self, fault: Fault, *, writing: bool) -> bool:
        """Whether a fault takes hold of a request to its device; one that did so often enough ends."""
        if fault.only and (fault.only == "writes") is not writing:
            return False
        if fault.probability < 1 and self._draw.random() >= fault.probability:
            return False
        self.count(fault)
        return True

    def coin(self) -> bool:
        """Heads or tails."""
        return self._draw.random() < 0.5

    def share(self) -> float:
        """A share by chance, from 0 to 1."""
        return self._draw.random()

    def count(self, fault: Fault) -> None:
        """Notes that a fault has changed what happens."""
        self.injected[fault.device, fault.kind] += 1

    def used_up(self, fault: Fault) -> bool:
        """Notes that a fault takes hold; whether it has done so often enough."""
        self._struck[fault.device, fault.kind] += 1
        return 0 < fault.times <= self._struck[fault.device, fault.kind]

    # What shows in values

    def move_scale(self, index: int) -> None:
        """Called before each request: a device with moving scale factors takes others now."""
        moving = self.of(index).get(FaultKind.MOVING_SCALE)
        if moving is not None:
            self._scale_shift[index] = 0 if self._scale_shift.get(index) else round(moving.value) or 1
            self.count(moving)

    def scale_shift(self, index: int) -> int:
        """How much higher a device's scale factors are at present than they should be."""
        return self._scale_shift.get(index, 0)

    def clock_shift_ms(self, index: int) -> int:
        """How far the device's own clock is ahead."""
        jump = self.of(index).get(FaultKind.CLOCK_JUMP)
        if jump is None:
            return 0
        self.count(jump)
        return jump.time_ms

    def disturbance(self, index: int, name: str) -> float:
        """What is wrong with one reading, in its base unit. Readings that are stuck are counted on the way."""
        faults = self.of(index)
        if stuck := faults.get(FaultKind.STUCK):
            self.count(stuck)
        jumping = faults.get(FaultKind.JUMPING)
        if jumping is None or jumping.signal not in ("", name) or self._draw.random() >= jumping.probability:
            return 0.0
        self._take_effect(index, jumping)
        return jumping.value or _JUMP

    def only_acknowledges(self, index: int) -> bool:
        """Whether a write that comes now is acknowledged and not applied."""
        fault = self.of(index).get(FaultKind.ACK_NOT_APPLIED)
        if fault is None or self._draw.random() >= fault.probability:
            return False
        self._take_effect(index, fault)
        return True

    def _take_effect(self, index: int, fault: Fault) -> None:
        self.count(fault)
        if self.used_up(fault):
            self.end(index, fault.kind)
