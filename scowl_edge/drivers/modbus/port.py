"""Modbus as the bus sees it: jobs and writes become exchanges, and replies become readings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Clock, PointWrite
from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, Table
from scowl_edge.drivers.bus import Ended
from scowl_edge.drivers.errors import DriverError, LinkLost, Refused, Unsendable
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.encoding import Coil, Encoded, RegisterBit, Registers, encode
from scowl_edge.drivers.modbus.endpoint import Opener, open_wire
from scowl_edge.drivers.modbus.layout import Block, exponents_of
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.places import PointPlaces
from scowl_edge.drivers.modbus.planner import Poll, Span, plan_device
from scowl_edge.drivers.modbus.torn import Bracket
from scowl_edge.drivers.modbus.wire import Done, Wire, exchange
from scowl_edge.drivers.plausible import Judge
from scowl_edge.model.signal import Reading


class Transaction:
    """Blocks of one unit that are read one after the other with nothing between."""

    __slots__ = ("blocks", "bracket", "cost", "judges", "points", "poll_ms", "unit")

    def __init__(self, device: ModbusDevice, poll: Poll) -> None:
        self.unit = device.unit
        self.poll_ms = poll.period_ms
        self.blocks = tuple(Block(span, device.points, device.first_point) for span in poll.spans)
        self.bracket = Bracket.of(poll.spans, device.points, device.first_point)
        first = device.first_point
        judges = [Judge.of([device.points[i - first] for i in b.points.tolist()], b.points) for b in self.blocks]
        self.judges = tuple(judges) if any(judges) else ()
        """Of each block, None where no point of it needs one."""
        self.points: NDArray[np.int32] = (
            self.blocks[0].points
            if len(self.blocks) == 1
            else np.unique(np.concatenate([block.points for block in self.blocks]))
        )
        self.cost = sum(block.reply_bytes + 16 for block in self.blocks)
        """Bytes on the wire, about."""


def transactions(link: ModbusLink) -> tuple[Transaction, ...]:
    """Everything that a link polls, compiled.

    Raises:
        LayoutError: a point that cannot be read as declared.
    """
    return tuple(Transaction(device, poll) for device in link.devices for poll in plan_device(device, link))


def unit_timeouts_ms(link: ModbusLink) -> dict[int, int]:
    """Longest wait for a reply, by unit: the longest that any of its devices asks for."""
    timeouts: dict[int, int] = {}
    for device in link.devices:
        timeouts[device.unit] = max(timeouts.get(device.unit, 0), device.timeout_ms or link.timeout_ms)
    return timeouts


@dataclass(frozen=True, slots=True)
class Prepared:
    """One write, ready to leave."""

    unit: int
    encoded: Encoded


class _Errand:
    """One transaction, and how far it is. It is made once and used for each poll."""

    __slots__ = (
        "_blocks",
        "_bracket",
        "_done",
        "_exponents",
        "_judges",
        "_place",
        "_port",
        "_readings",
        "_requested_ms",
        "_take",
        "_unit",
    )

    def __init__(self, port: ModbusPort, transaction: Transaction) -> None:
        self._port = port
        self._unit = transaction.unit
        self._blocks = transaction.blocks
        self._bracket = transaction.bracket
        self._judges = transaction.judges
        self._place = 0
        self._readings: list[Reading] = []
        self._exponents: dict[int, float] | None = None
        self._requested_ms = 0
        self._done: Ended | None = None
        self._take: Done = self._on_reply
        """The same bound method each time: one is not made for each request."""

    def begin(self, done: Ended) -> None:
        self._done = done
        self._place, self._readings, self._exponents = 0, [], None
        self._ask()

    def _ask(self) -> None:
        port = self._port
        self._requested_ms = port.now()
        port.start(self._unit, self._blocks[self._place].request, self._take)

    def _on_reply(self, reply: bytes | DriverError) -> None:
        port, block = self._port, self._blocks[self._place]
        done = self._done
        assert done is not None
        try:
            if isinstance(reply, DriverError):
                raise reply
            data = pdu.payload(reply, block.reply_bytes)
        except DriverError as error:
            port.blame(error, self._unit, block.request)
            done(error)
            return
        try:
            port.count("ok")
            reading = block.decode(data, self._requested_ms, port.now(), exponents=self._exponents, texts=port.texts)
            self._readings.append(reading)
            self._place += 1
            if self._place < len(self._blocks):
                self._exponents = {**(self._exponents or {}), **exponents_of(reading)}
                self._ask()
                return
            readings = self._readings if self._bracket is None and not self._judges else self._judged()
        except Exception as defect:  # noqa: BLE001 - the bus ends its task with it
            done(defect)
            return
        done(readings)

    def _judged(self) -> list[Reading]:
        """The readings as they may be published."""
        readings = self._readings if self._bracket is None else self._bracket.check(self._readings)
        if not self._judges:
            return readings
        return [
            reading if judge is None else judge.look(reading)
            for judge, reading in zip(self._judges, readings, strict=True)
        ]


class ModbusPort:
    """One connection or serial line with its units."""

    def __init__(
        self,
        link: ModbusLink,
        jobs: Sequence[Transaction],
        clock: Clock,
        *,
        rate: float,
        opener: Opener = open_wire,
    ) -> None:
        """Takes what it reads; `opener` opens the wire."""
        self.texts: dict[int, str] = {}
        """Last text of each string point, by index."""
        self._link = link
        self._opener = opener
        self._errands = [_Errand(self, job) for job in jobs]
        self.now = clock.mono_ms
        self._rate = rate
        self._places = PointPlaces(link)
        self._owed = OwedReplies(link, rate=rate) if link.is_serial else None
        self._wire: Wire | None = None
        self._timeout_s = {unit: ms / 1000 / rate for unit, ms in unit_timeouts_ms(link).items()}
        self.count: Callable[[str], None] = lambda _result: None
        self._no_single: set[int] = set()
        """Units that do not know FC 6."""
        self._no_mask: set[int] = set()
        """Units that do not know FC 22."""

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return self._wire is not None and self._wire.is_open

    async def open(self, count: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Connects; see `Port.open`."""
        self.close()
        self.count = count
        self._wire = await self._opener(
            self._link,
            rate=self._rate,
            on_stray=lambda: count("stray"),
            on_lost=lost,
            on_bad=lambda: count("stray"),
            owed=self._owed,
        )

    def close(self) -> None:
        """Disconnects at once."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def begin(self, job: int, done: Ended) -> None:
        """Reads all blocks of a transaction; see `Port.begin`."""
        self._errands[job].begin(done)

    def start(self, unit: int, request: bytes, done: Done) -> None:
        """Sends one request; a link that is not open fails it like one that breaks."""
        if self._wire is None:
            asyncio.get_running_loop().call_soon(done, LinkLost("the connection is closed", sent=False))
            return
        try:
            self._wire.start(unit, request, self._timeout_s[unit], done)
        except LinkLost as error:
            asyncio.get_running_loop().call_soon(done, error)

    def blame(self, error: DriverError, unit: int, request: bytes) -> None:
        """Counts a failed request, and says in words what it was."""
        error.what = f"{pdu.describe(unit, request)} (link {self._link.name})"
        self.count(error.result)

    async def _read_block(self, unit: int, block: Block) -> bytes:
        return await self._ask(unit, block.request, lambda reply: pdu.payload(reply, block.reply_bytes))

    async def _ask(self, unit: int, request: bytes, accept: Callable[[bytes], bytes]) -> bytes:
        """One exchange: counted, its reply checked, its failure said in words."""
        if self._wire is None:
            raise LinkLost("the connection is closed", sent=False, what=pdu.describe(unit, request))
        try:
            data = accept(await exchange(self._wire, unit, request, self._timeout_s[unit]))
        except DriverError as error:
            self.blame(error, unit, request)
            raise
        self.count("ok")
        return data

    async def forward(self, unit: int, request: bytes, accept: Callable[[bytes], bytes]) -> bytes:
        """One exchange for somebody who is no part of the site; its reply as it came.

        Raises:
            DriverError: what went wrong, Refused with the device's own exception among it.
        """
        return await self._ask(unit, request, accept)

    async def prepare(self, write: PointWrite) -> Prepared:
        """Encodes one write; reads the point's scale factor first where it has one."""
        device, point = self._places.find(write.point)
        exponent = None
        if point.scale_factor:
            exponent = await self._exponent(device, point.scale_factor)
        return Prepared(device.unit, encode(point, write.value, exponent))

    async def _exponent(self, device: ModbusDevice, name: str) -> float:
        place = next(place for place, point in enumerate(device.points) if point.name == name)
        factor = device.points[place]
        block = Block(Span(factor.table, factor.address, factor.registers, (0,)), (factor,), device.first_point + place)
        requested_ms = self.now()
        reading = block.decode(await self._read_block(device.unit, block), requested_ms, self.now())
        if reading.quality[0]:
            raise Unsendable(f"scale factor {name} of device {device.name} is not available just now")
        return float(reading.values[0])

    async def send(self, prepared: Prepared) -> None:
        """Sends one write. Another function code is tried only where the device says it does not know the first."""
        encoded, unit = prepared.encoded, prepared.unit
        try:
            if isinstance(encoded, Coil):
                await self._tell(unit, pdu.write_coil(encoded.address, encoded.on))
            elif isinstance(encoded, RegisterBit):
                await self._send_bit(unit, encoded)
            else:
                await self._send_registers(unit, encoded)
        except Refused as refused:
            if not refused.taken:
                raise

    async def _tell(self, unit: int, request: bytes) -> None:
        def accept(reply: bytes) -> bytes:
            pdu.acknowledged(request, reply)
            return reply

        await self._ask(unit, request, accept)

    async def _send_registers(self, unit: int, encoded: Registers) -> None:
        if len(encoded.data) == 2 and unit not in self._no_single:
            try:
                await self._tell(unit, pdu.write_register(encoded.address, encoded.data))
                return
            except Refused as refused:
                if refused.code != pdu.ILLEGAL_FUNCTION:
                    raise
                self._no_single.add(unit)
        await self._tell(unit, pdu.write_registers(encoded.address, encoded.data))

    async def _send_bit(self, unit: int, encoded: RegisterBit) -> None:
        """FC 22; else read, change, write: then another master's change between the two would be lost."""
        if unit not in self._no_mask:
            try:
                await self._tell(unit, pdu.mask_register(encoded.address, encoded.bit, encoded.on))
                return
            except Refused as refused:
                if refused.code != pdu.ILLEGAL_FUNCTION:
                    raise
                self._no_mask.add(unit)
        request = pdu.read_request(Table.HOLDING, encoded.address, 1)
        register = int.from_bytes(await self._ask(unit, request, lambda reply: pdu.payload(reply, 2)))
        bit = 1 << encoded.bit
        changed = register | bit if encoded.on else register & ~bit
        await self._send_registers(unit, Registers(encoded.address, changed.to_bytes(2)))
