"""The proxy itself: each request goes to the device, each reply comes back, as the faults that are on want it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from simulators.faults import Fault, FaultKind
from simulators.proxy.active import ActiveFaults
from simulators.proxy.address import Address, AddressError, parse, refuse_foreign
from simulators.proxy.passage import Passage
from simulators.proxy.upstream import SharedLine, Upstream
from simulators.wire.ends import End, SerialLine, Session, TcpListener
from simulators.wire.frames import Frame, Framing
from simulators.wire.mischief import Mischief
from simulators.wire.record import Answered, Record

LOG_SIZE = 20_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame, or bytes that are none, as it passed."""

    number: int
    """From 1."""
    mono_ms: float
    """By the monotonic clock of this machine."""
    way: str
    """`request` from a client, `forwarded` to the device, `answer` from the device, `sent` to a client."""
    connection: int
    """Number of the client's connection, from 1."""
    unit: int
    """-1: no frame."""
    transaction: int
    data: bytes
    """PDU of a frame; bytes as they are on the wire of what was `sent` and of what is no frame."""


class FaultProxy:
    """Stands before one device. Use it as an asynchronous context, within one event loop."""

    def __init__(
        self,
        listen: str,
        to: str,
        framing: str = Framing.TCP,
        *,
        to_framing: str | None = None,
        seed: int = 1,
        anywhere: bool = False,
        name: str = "proxy",
    ) -> None:
        """Plans it.

        Args:
            listen: HOST:PORT (port 0 takes any free one), or pty:PATH for a serial line made at that path.
            to: HOST:PORT, or pty:PATH of a serial port that is there.
            framing: `tcp`, `rtu`, or `none` for streams that cannot be looked into, such as TLS and OPC-UA.
            to_framing: How the device speaks, if otherwise: `tcp` behind `rtu`, or the other way round.
            seed: Of all that happens by chance.
            anywhere: Listen also where others than this machine can reach it.
            name: Of the link, in the log of answers.

        Raises:
            AddressError: an address cannot be understood, or is not loopback.
        """
        self.listen = parse(listen)
        self.to = parse(to)
        if not anywhere:
            refuse_foreign(self.listen)
        self.framing = Framing(framing)
        self.to_framing = Framing(to_framing) if to_framing is not None else self.framing
        if (self.framing is Framing.NONE) != (self.to_framing is Framing.NONE):
            raise AddressError("a stream that is not looked into cannot be turned into frames; give one framing")
        if self.framing is Framing.TCP and self.listen.path is not None:
            raise AddressError(f"{listen} is a serial line: give framing rtu")
        if self.to_framing is Framing.TCP and self.to.path is not None:
            raise AddressError(f"{to} is a serial line: give framing rtu, or to_framing rtu")
        self.name = name
        self.faults = ActiveFaults(self.framing, time.monotonic)
        self.answers = Record()
        """What the device really answered to reads."""
        self.draw = random.Random(seed)
        self._seen: deque[Seen] = deque(maxlen=LOG_SIZE)
        self._count = 0
        self._connections = 0
        self._passages: dict[int, Passage] = {}
        self._shared: Mischief | None = None
        self._held_stuck: dict[tuple[int, bytes], bytes] = {}
        self._listener: TcpListener | None = None
        self._line: SerialLine | None = None
        self._upstream_line: SharedLine | None = None
        self._second: asyncio.Task[None] | None = None
        self._closed = False

    # Python API

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.listen.port

    @property
    def injected(self) -> Counter[str]:
        """How often each kind of fault has struck, by kind."""
        return self.faults.injected

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """Connections that are open."""
        return len(self._passages)

    def inject(self, kind: str, *, for_s: float | None = None, every_s: float = 1.0, **parameters: Any) -> Fault:
        """Begins a fault. Parameters are the fields of `simulators.faults.Fault`.

        Args:
            kind: Name of a fault, such as `late`.
            for_s: It ends by itself after this time.
            every_s: Period of a second master.
            **parameters: Such as `ms`, `unit`, `address`, `probability`, `times`, `only`.

        Raises:
            FaultError: there is no such fault here, or a parameter is faulty.
        """
        fault = self.faults.add(kind, for_s=for_s, every_s=every_s, **parameters)
        if fault.kind is FaultKind.SECOND_MASTER:
            self._end_second_master()
            self._second = asyncio.create_task(self._write_again_and_again(fault))
        return fault

    def clear(self, kind: str | None = None, *, unit: int | None = None) -> None:
        """Ends all faults, or those of a kind or a unit; what they held back is gone. Counters stay."""
        for fault in self.faults.clear(kind, unit):
            if fault.kind is FaultKind.SECOND_MASTER:
                self._end_second_master()
            elif fault.kind is FaultKind.STUCK:
                self._held_stuck.clear()
            elif fault.kind in (FaultKind.SHIFTED, FaultKind.TRUNCATE, FaultKind.LATE):
                for passage in self._passages.values():
                    passage.mischief.forget()

    def cut(self, *, reset: bool = True) -> None:
        """Ends every connection at once; on a serial line, unplugs the port for a while."""
        if self._listener is not None:
            self._listener.cut(reset=reset)
        if self._line is not None:
            self._line.unplug()

    def log(self, since: int = 0) -> list[Seen]:
        """Frames both ways with a number after this one, as far as the ring goes back."""
        return [seen for seen in self._seen if seen.number > since]

    def answered(self, since: int = 0) -> list[Answered]:
        """What the device really answered to reads, whatever became of it on the way."""
        return [each for each in self.answers.since(since) if isinstance(each, Answered)]

    async def start(self) -> None:
        """Listens.

        Raises:
            OSError: the address is taken, or the serial port of `to` is not there.
            EndError: the serial port of `listen` cannot be made.
        """
        if self.to.path is not None:
            self._upstream_line = SharedLine(self.to.path, self.to_framing)
            self._upstream_line.open()
        if self.listen.path is not None:
            self._line = SerialLine(self.listen.path, self._accept)
            self._line.plug()
            return
        self._listener = TcpListener(self._accept)
        port = await self._listener.start(self.listen.host, self.listen.port)
        self.listen = Address(self.listen.host, port)

    async def close(self) -> None:
        """Ends every connection and stops listening."""
        self._closed = True
        self._end_second_master()
        if self._listener is not None:
            await self._listener.close()
        if self._line is not None:
            self._line.close()
        for passage in list(self._passages.values()):
            passage.lost()
        if self._upstream_line is not None:
            self._upstream_line.close()

    # What its passages ask of it

    @property
    def keeps_clients(self) -> bool:
        """Whether a client stays although the device hangs up, as on a serial line."""
        return self._line is not None

    def note(self, way: str, connection: int, what: Frame | bytes) -> None:
        """Logs what passes."""
        self._count += 1
        unit, transaction, data = (what.unit, what.transaction, what.pdu) if isinstance(what, Frame) else (-1, 0, what)
        self._seen.append(Seen(self._count, time.monotonic_ns() / 1e6, way, connection, unit, transaction, data))

    def stuck_reply(self, request: Frame) -> Frame | None:
        """The remembered reply to a read, while a fault wants it so."""
        data = self._held_stuck.get((request.unit, request.pdu))
        return None if data is None else Frame(request.unit, data, request.transaction)

    def remember(self, request: Frame, reply: Frame) -> None:
        """Keeps a reply for as long as readings are stuck."""
        self._held_stuck.setdefault((request.unit, request.pdu), reply.pdu)

    def newest_end(self) -> End | None:
        """Where bytes of a serial line go whose connection is gone: to whoever is connected to it now."""
        return next((each.end for each in reversed(self._passages.values())), None)

    def ended(self, connection: int) -> None:
        """A connection is over."""
        self._passages.pop(connection, None)

    def new_upstream(self, received: Callable[[Frame | bytes], None], lost: Callable[[], None]) -> Upstream:
        """A way to the device for one passage."""
        if self._upstream_line is not None:
            return self._upstream_line.share(received)
        return Upstream(self.to, self.to_framing, received, lost)

    # Inside

    def _accept(self, end: End) -> Session:
        self._connections += 1
        if self.framing is Framing.RTU:
            # A serial line stays what it is whoever connects to it, and remembers what it owes.
            self._shared = self._shared or Mischief(self.framing, self.draw, self.faults)
            mischief = self._shared
        else:
            mischief = Mischief(self.framing, self.draw, self.faults)
        passage = Passage(self, self._connections, end, mischief)
        self._passages[self._connections] = passage
        return passage

    def _end_second_master(self) -> None:
        if self._second is not None:
            self._second.cancel()
            self._second = None

    async def _write_again_and_again(self, fault: Fault) -> None:
        """Writes one register, through a connection of its own where that is possible."""
        unit, address = fault.unit or 0, fault.address or 0
        value = int(fault.value) & 0xFFFF
        transaction = 0

        def nothing(*_: object) -> None:
            """Nobody waits for what comes."""

        upstream = self.new_upstream(nothing, nothing)
        try:
            while True:
                await asyncio.sleep(fault.every_ms / 1000)
                if fault not in self.faults.now():
                    return
                transaction = transaction + 1 & 0xFFFF
                pdu = bytes((6,)) + address.to_bytes(2) + value.to_bytes(2)
                upstream.send(Frame(unit, pdu, transaction))
                self.faults.count(fault)
                self.faults.strike(fault)
        finally:
            upstream.close()
