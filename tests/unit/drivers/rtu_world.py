"""Units on one line in virtual time, and one master that asks them one request after the other.

A unit answers in order. Its replies may be late, lost, doubled, chopped, refused, and noise may come between; each
holds a number that no other has, so that it is known which request a value answers. Frames are built here, with a check
sum computed bit by bit.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from scowl_edge.devices.declaration import Canary, LinkKind, ModbusDevice, ModbusLink, Table
from scowl_edge.drivers.errors import DriverError, Refused
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.rtu_line import RtuLine

TIMEOUT_S, LATE_S = 0.5, 2.0
CANARY = Canary(table=Table.INPUT, address=9, equals=0x5375)


def crc(data: bytes) -> bytes:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return bytes((register & 0xFF, register >> 8))


def framed(body: bytes) -> bytes:
    return body + crc(body)


def line_link(*units: int, canary: Canary | None = None) -> ModbusLink:
    """A link whose time-outs are those of this file."""
    return ModbusLink(
        name="line",
        host="127.0.0.1",
        port=1,
        timeout_ms=int(TIMEOUT_S * 1000),
        connect_timeout_ms=1000,
        reconnect_ms=1000,
        max_gap=0,
        max_read=125,
        pause_ms=0,
        read_only=False,
        devices=tuple(
            ModbusDevice(name=f"u{unit}", unit=unit, poll_ms=1000, points=(), first_point=0, canary=canary)
            for unit in units
        ),
        kind=LinkKind.RTU_TCP,
        late_ms=int(LATE_S * 1000),
    )


@dataclass
class Faults:
    """How likely each is, for each reply."""

    late: float = 0.0
    lost: float = 0.0
    refused: float = 0.0
    noise: float = 0.0
    chopped: float = 0.0
    doubled: float = 0.0
    checks: str = "echo"
    echoes: bool = False
    numbered: bool = True
    """Replies hold a number of their own; else what depends on the address alone."""


@dataclass
class World:
    """Runs until all requests are answered one way or another."""

    seed: int
    faults: Faults
    canary: Canary | None = None
    now_s: float = 100.0
    asked: int = 0
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    strays: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.link = line_link(1, 2, canary=self.canary)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = self.number = 0
        self.unit_free_s = {1: 0.0, 2: 0.0}
        self.line_free_s = 0.0
        self.truth: dict[int, set[bytes]] = {}
        """Serial number of a request -> the PDUs that its unit answered; more than one where it was asked again."""
        owed = OwedReplies(self.link, rate=1.0)
        owed.opened(self.now_s)
        self.line = RtuLine(
            owed,
            gap_s=0.0,
            resync_s=0.05,
            nonce=self.random.randrange(65536),
            send=self.on_line,
            unread=lambda: False,
            on_stray=self._stray,
            on_bad=lambda: None,
            on_broken=lambda: None,
        )

    def _stray(self) -> None:
        self.strays += 1

    def at(self, when_s: float, do: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.events, (when_s, self.serial, do))

    # -- the units

    def on_line(self, data: bytes) -> None:
        """A request leaves the master."""
        assert crc(data[:-2]) == data[-2:]
        if self.faults.echoes:
            self.emit(self.now_s, data)
        unit, request, mine = data[0], data[1:-2], self.asked
        chance, faults = self.random.random, self.faults
        reply = self.reply_of(request)
        if reply is None:
            return
        if request[0] in (3, 6, 16):
            assert request[0] == 3 or mine not in self.truth, "a write was sent twice"
            self.truth.setdefault(mine, set()).add(reply)
        # In order: none leaves before the one that was asked for earlier. What is late is late by its bound at most.
        latest_s = self.now_s + TIMEOUT_S + LATE_S - 0.2
        ready_s = max(self.now_s + self.random.uniform(0.001, 0.05), self.unit_free_s[unit])
        if chance() < faults.late:
            ready_s = max(ready_s, self.now_s + self.random.uniform(0.0, TIMEOUT_S + LATE_S - 0.2))
        ready_s = min(max(ready_s, self.unit_free_s[unit]), max(latest_s, self.unit_free_s[unit]))
        self.unit_free_s[unit] = ready_s
        if ready_s > latest_s or chance() < faults.lost:
            return
        frame = framed(data[:1] + reply)
        self.at(ready_s, lambda: self.emit(self.now_s, frame))
        if chance() < faults.doubled:
            again_s = ready_s + self.random.choice((0.0, 0.0005, 0.003, 0.02, 0.3, 1.0))
            self.at(again_s, lambda: self.emit(self.now_s, frame))

    def reply_of(self, request: bytes) -> bytes | None:
        function = request[0]
        if function in (7, 8, 11):
            if self.faults.checks == "ignore":
                return None
            if self.faults.checks == "refuse":
                return bytes((function | 0x80, 1))
            return request if function == 8 else bytes((function, 0, 0, 0, 0)[: 2 if function == 7 else 5])
        if function == 4:
            return bytes((4, 2)) + CANARY.equals.to_bytes(2)
        if self.random.random() < self.faults.refused:
            return bytes((function | 0x80, self.random.choice((2, 4, 6))))
        if function == 6:
            return request
        if function == 16:
            return request[:5]
        count = int.from_bytes(request[3:5])
        if self.faults.numbered:
            self.number += 1
            content = self.number.to_bytes(2) * count
        else:
            content = (int.from_bytes(request[1:3]) * 7 + 1).to_bytes(2) * count
        return bytes((function, 2 * count)) + content

    def emit(self, when_s: float, frame: bytes) -> None:
        """One frame goes onto the line, after what is on it already."""
        pieces = [frame]
        if self.random.random() < self.faults.noise:
            pieces.insert(self.random.choice((0, 1)), self.random.randbytes(self.random.randrange(1, 6)))
        if self.random.random() < self.faults.chopped:
            data = b"".join(pieces)
            cuts = sorted(self.random.sample(range(len(data)), min(3, len(data))))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
        at_s = max(when_s, self.line_free_s)
        for piece in pieces:
            self.at(at_s, lambda piece=piece: self.line.received(self.now_s, piece))  # type: ignore[misc]
            at_s += self.random.choice((0.0, 0.001, 0.01))
        self.line_free_s = at_s

    # -- the master

    def run(self, requests: int) -> None:
        """Asks so often and waits for each."""
        for _ in range(requests):
            self.ask()
            if self.random.random() < 0.3:
                self.advance(self.now_s + self.random.choice((0.001, 0.02, 0.4, 1.0, 3.0)))

    def ask(self) -> None:
        unit = self.random.choice((1, 1, 1, 2))
        # Where replies come twice nothing is asked for twice: nothing could tell such replies apart.
        address = self.asked if self.faults.doubled else self.random.randrange(16)
        count = self.random.choice((1, 1, 1, 2))
        write = self.random.random() < 0.15
        request = bytes((3, 0, address, 0, count))
        if write:
            content = self.random.randbytes(2)
            request = self.random.choice((bytes((6, 0, address)), bytes((16, 0, address, 0, 1, 2)))) + content
        self.asked += 1
        mine, results = self.asked, []
        began_s = self.now_s
        self.line.start(self.now_s, unit, request, TIMEOUT_S, results.append)
        assert not results
        while not results:
            self.step()
        self.longest_s = max(self.longest_s, self.now_s - began_s)
        self.judge(mine, framed(bytes((unit,)) + request), results[0])

    def judge(self, mine: int, frame: bytes, result: bytes | DriverError) -> None:
        truth = self.truth.get(mine, set())
        if isinstance(result, DriverError):
            self.errors[result.result] = self.errors.get(result.result, 0) + 1
            if not isinstance(result, Refused):
                return
            reply = bytes((frame[1] | 0x80, result.code))
        else:
            self.answered += 1
            reply = result
        if reply not in truth:
            answered = " or ".join(sorted(pdu.hex() for pdu in truth)) or "nothing"
            self.wrong.append(f"request {mine} ({frame.hex()}) got {reply.hex()}, but {answered} was answered")

    def advance(self, until_s: float) -> None:
        while (self.events and self.events[0][0] <= until_s) or self.line.wake_s <= until_s:
            self.step()
        self.now_s = max(self.now_s, until_s)

    def step(self) -> None:
        """The next thing that happens."""
        if self.events and self.events[0][0] <= self.line.wake_s:
            when_s, _, do = heapq.heappop(self.events)
            self.now_s = max(self.now_s, when_s)
            do()
        else:
            assert self.line.wake_s < float("inf"), "the line waits for nothing"
            self.now_s = max(self.now_s, self.line.wake_s)
            self.line.wake(self.now_s)
