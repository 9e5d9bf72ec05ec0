"""A whole link in virtual time: our driver on one end of a wire that does its worst, devices that know the truth on the
other.

Every register holds a number that nobody can mistake: which address, and which request it was read for. So a value that
was published says by itself whether it answers the request that it was published for.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import struct
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from scowl_edge.devices.declaration import LinkKind, ModbusLink
from scowl_edge.drivers.errors import LinkLost
from scowl_edge.drivers.modbus.mbap import MbapWire
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.rtu_wire import RtuWire
from scowl_edge.drivers.modbus.wire import Wire


class _NoWait(selectors.SelectSelector):
    """Waits for nothing: lets the loop's time pass instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again")
            self._loop.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when there is nothing to do."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        super().__init__(_NoWait(self))

    def time(self) -> float:
        return self.now_s


class VirtualClock:
    """The loop's time as the driver reads it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def mono_ms(self) -> int:
        return int(self._loop.now_s * 1000 + 1e-6)

    def utc_ms(self) -> int:
        return self.mono_ms()

    def utc_ok(self) -> bool:
        return True


def run_virtual(main: Callable[[VirtualLoop], Any]) -> Any:
    """Runs a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def _shifted_out(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


_REMAINDERS = [_shifted_out(byte) for byte in range(256)]


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, bit by bit as the standard draws it, eight at a time."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _REMAINDERS[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


class Line(asyncio.Transport):
    """One connection: takes what the driver writes, and brings what the plant sends."""

    def __init__(self, plant: Plant) -> None:
        super().__init__()
        self._plant = plant
        self.protocol: asyncio.Protocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._plant.take(bytes(data))

    def abort(self) -> None:
        if self._plant.line is self:
            self._plant.hung_up()

    close = abort


FAULTS = (
    "delay", "late", "very late", "lost", "duplicate", "late duplicate", "wrong unit", "wrong function", "shifted",
    "held", "exception", "busy", "truncated", "cut and filled", "bytewise", "garbage", "burst", "reset", "wrong id",
)  # fmt: skip


class Plant:
    """Units that answer in order, and a line between that draws a fault for every so many requests."""

    def __init__(self, loop: VirtualLoop, link: ModbusLink, *, seed: int, share: float, reply_s: float = 0.004) -> None:
        self.line: Line | None = None
        self.injected: Counter[str] = Counter()
        self.served = 0
        """Requests that were answered or failed on purpose; the number goes into the registers."""
        self.answered: dict[int, tuple[int, float]] = {}
        """By number: unit, and when it was asked."""
        self._loop = loop
        self._link = link
        self._rtu = link.kind in (LinkKind.RTU, LinkKind.RTU_TCP)
        self._noise = random.Random(seed)
        self._share = share
        self._reply_s = reply_s
        self._timeout_s = link.timeout_ms / 1000
        self._late_s = link.late_reply_ms / 1000
        self._busy_until_s: dict[int, float] = {}
        self._previous: dict[int, tuple[bytes, float, bytes]] = {}
        self._held: dict[int, tuple[bytes, float]] = {}
        self._behind: dict[int, deque[tuple[bytes, float]]] = {}
        self._asked: dict[int, bytes] = {}
        self._shifts: dict[int, int] = {}
        self._out_s = 0.0
        self.log: deque[str] = deque(maxlen=60)
        """What happened last, for a failure."""

    # -- the driver's side

    async def open_wire(
        self,
        link: ModbusLink,
        *,
        rate: float,
        on_stray: Callable[[], None],
        on_lost: Callable[[], None],
        on_bad: Callable[[], None] | None = None,
        owed: OwedReplies | None = None,
    ) -> Wire:
        await asyncio.sleep(0.001)
        if self._noise.random() < self._share / 10:
            self.injected["refused"] += 1
            raise LinkLost("connection refused", sent=False)
        wire: MbapWire | RtuWire
        if self._rtu:
            assert owed is not None
            wire = RtuWire(link, owed, rate=rate, on_stray=on_stray, on_bad=on_bad or (lambda: None), on_lost=on_lost)
        else:
            wire = MbapWire(on_stray, on_lost)
        self.line = Line(self)
        self.line.protocol = wire
        wire.connection_made(self.line)
        return wire

    def hung_up(self) -> None:
        """The connection is gone; what a TCP device still had to say goes with it."""
        self.line = None
        if not self._rtu:
            self._held.clear()
            self._previous.clear()
            self._behind.clear()

    # -- the devices' side

    def take(self, data: bytes) -> None:
        """One request, as it left: wires write whole frames."""
        if self._rtu:
            unit, pdu, head = data[0], data[1:-2], b""
        else:
            unit, pdu, head = data[6], data[7:], data[:2]
        reply = self._answer(unit, pdu)
        fault = self._noise.choice(FAULTS) if self._noise.random() < self._share else ""
        self._asked[unit] = pdu
        self._deliver(unit, pdu, head, reply, fault)

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        """What the device says: each register pair is the number of this request and the pair's address."""
        if pdu[0] == 8:
            return pdu
        if pdu[0] == 7:
            return bytes((7, 0x2A))
        if pdu[0] == 11:
            return bytes((11, 0, 0)) + (self.served & 0xFFFF).to_bytes(2)
        if pdu[0] not in (3, 4):
            return bytes((pdu[0] | 0x80, 1))
        _, address, count = struct.unpack(">BHH", pdu)
        self.served += 1
        self.answered[self.served & 0xFFFFF] = unit, self._loop.now_s
        if len(self.answered) > 4096:
            for number in list(self.answered)[:2048]:
                del self.answered[number]
        registers = []
        for register in range(address, address + count):
            # An even register and the odd one after it are one 32-bit number: 20 bits of serial, 12 of address.
            number = (self.served & 0xFFFFF) << 12 | (register // 2 & 0xFFF)
            registers.append(number >> 16 if register % 2 == 0 else number & 0xFFFF)
        return bytes((pdu[0], 2 * count)) + struct.pack(f">{count}H", *registers)

    def _frame(self, unit: int, pdu: bytes, head: bytes) -> bytes:
        if self._rtu:
            return bytes((unit,)) + pdu + crc(bytes((unit,)) + pdu)
        return head + struct.pack(">HHB", 0, len(pdu) + 1, unit) + pdu

    def _deliver(self, unit: int, pdu: bytes, head: bytes, reply: bytes, fault: str) -> None:
        noise, now_s = self._noise, self._loop.now_s
        if fault == "wrong id" and self._rtu:
            fault = "wrong unit"
        if fault:
            self.injected[fault] += 1
        self.log.append(f"{now_s:.4f} asked {unit} {pdu.hex(' ')} serial {self.served} {fault}")
        good = self._frame(unit, reply, head)
        # A unit answers in order: nothing of it overtakes what it sent before.
        at_s = max(now_s + self._reply_s * (0.5 + noise.random()), self._busy_until_s.get(unit, 0.0) + 1e-5)
        if fault == "delay":
            at_s += noise.random() * self._timeout_s
        elif fault == "late":
            at_s = max(at_s, now_s + self._timeout_s * (1 + 2 * noise.random()))
        elif fault == "very late":
            at_s = max(at_s, now_s + self._timeout_s + self._late_s * noise.random() * 0.95)
        held, held_until_s = self._held.pop(unit, (b"", 0.0))
        if fault != "held":
            self._busy_until_s[unit] = at_s
        if held and at_s < held_until_s:
            self._send(at_s - 1e-4, held)
        if unit in self._behind and fault != "reset":
            self._say_behind(unit, at_s, good)
            return
        match fault:
            case "lost":
                return
            case "duplicate":
                self._send(at_s, good)
                self._send(at_s + 0.001, good)
            case "late duplicate":
                self._send(at_s, good)
                at_s += noise.random() * self._late_s * 0.9
                self._busy_until_s[unit] = at_s
                self._send(at_s, good, repeats=(unit, pdu))
            case "wrong unit":
                self._send(at_s, self._frame(unit + 100, reply, head))
            case "wrong function":
                self._send(at_s, self._frame(unit, bytes((reply[0] ^ 1,)) + reply[1:], head))
            case "wrong id":
                other = int.from_bytes(head) + noise.randint(1, 0xFFFE) & 0xFFFF
                self._send(at_s, self._frame(unit, reply, other.to_bytes(2)))
            case "shifted":
                # It says the last thing again, and from then on is one answer behind for a few requests. It says
                # nothing first if the last thing was too long ago, or was the answer to this very question: from a unit
                # that repeats itself just then, only a canary protects.
                self._behind[unit] = deque([(good, now_s)])
                self._shifts[unit] = noise.randint(2, 6)
                last, said_s, question = self._previous.get(unit, (b"", 0.0, b""))
                if last and question != pdu and at_s - said_s < self._timeout_s + self._late_s:
                    self._send(at_s, last)
            case "held":
                # Said right before the answer to this unit's next request, unless that comes later than replies can.
                self._held[unit] = good, now_s + self._timeout_s + self._late_s
            case "exception":
                self._send(at_s, self._frame(unit, bytes((pdu[0] | 0x80, 2)), head))
            case "busy":
                self._send(at_s, self._frame(unit, bytes((pdu[0] | 0x80, 6)), head))
            case "truncated":
                self._send(at_s, good[: noise.randrange(1, len(good))])
            case "cut and filled":
                cut = noise.randrange(1, len(good))
                self._send(at_s, good[:cut])
                self._send(at_s + self._timeout_s * 1.5 * noise.random(), good[cut:])
            case "bytewise":
                for place in range(len(good)):
                    self._send(at_s + place * 0.0005, good[place : place + 1])
                self._busy_until_s[unit] = at_s + len(good) * 0.0005
            case "garbage":
                self._send(at_s, bytes(noise.randrange(256) for _ in range(noise.randint(1, 40))))
            case "burst":
                # A burst of up to 16 bits, which a CRC-16 always shows; over TCP it hits the head, which no CRC guards.
                span = len(good) if self._rtu else 7
                place = noise.randrange(span - 1)
                flipped = int.from_bytes(good[place : place + 2]) ^ noise.randint(1, 0xFFFF)
                self._send(at_s, good[:place] + flipped.to_bytes(2) + good[place + 2 :])
            case "reset":
                self._loop.call_soon(self._cut)
            case _:
                self._send(at_s, good)
        if fault in ("", "delay", "late", "very late", "duplicate", "late duplicate", "bytewise"):
            self._previous[unit] = good, now_s, pdu
        elif fault in ("exception", "busy"):
            self._previous.pop(unit, None)

    def _say_behind(self, unit: int, at_s: float, good: bytes) -> None:
        """One answer late: this request gets that of the one before; after a few all that is left is said."""
        waiting = self._behind[unit]
        waiting.append((good, self._loop.now_s))
        self._shifts[unit] -= 1
        while at_s - waiting[0][1] > self._timeout_s + self._late_s:
            # Later than replies can come: it is lost.
            waiting.popleft()
        for place in range(1 if self._shifts[unit] > 0 and len(waiting) > 1 else len(waiting)):
            self._send(at_s + place * 0.001, waiting.popleft()[0])
        if not waiting:
            del self._behind[unit]
            self._busy_until_s[unit] = at_s + 0.002

    def _send(self, at_s: float, data: bytes, repeats: tuple[int, bytes] | None = None) -> None:
        # One wire: what is said later arrives later.
        at_s = self._out_s = max(at_s, self._out_s + 1e-6) if not self._rtu else at_s
        line = self.line
        self._loop.call_at(at_s, self._arrive, line, data, repeats)

    def _arrive(self, line: Line | None, data: bytes, repeats: tuple[int, bytes] | None) -> None:
        if repeats is not None and self._rtu and self._asked.get(repeats[0]) == repeats[1]:
            # Once more in answer to the very same question: see `shifted`.
            return
        # A converter hands late bytes of its line to whoever is connected by then; a TCP device cannot.
        target = self.line if self._rtu else line
        self.log.append(f"{self._loop.now_s:.4f} heard {data.hex(' ')} {'' if target else 'by nobody'}")
        if target is not None and target is self.line and target.protocol is not None:
            target.protocol.data_received(data)

    def _cut(self) -> None:
        line = self.line
        self.hung_up()
        if line is not None and line.protocol is not None:
            line.protocol.connection_lost(ConnectionResetError("reset by peer"))
