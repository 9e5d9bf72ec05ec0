"""Every type and order, read and written, against a libmodbus server's own truth; mbpoll looks on.

The configuration beside this file was written from docs/configuration.md alone.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from libmodbus_peer import Mbpoll, Peer
from modbus_site import RealClock, Recorder

from scowl_edge.assembly import load
from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusPoint
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality

PLANT = Path(__file__).with_name("peer.yaml")
RANGES = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**53), 2**53),
    "uint64": (0, 2**53),
}
"""64 bit: as far as a double is exact."""
FLOATS = {"float32": (1.5, -3.4028234663852886e38, 1e-30), "float64": (-1.25, 1.7976931348623157e308, 4.9e-300)}


@dataclass
class Stranger:
    """Our driver on the configuration, and the points by (device, name)."""

    driver: ModbusDriver
    sink: Recorder
    points: dict[tuple[str, str], tuple[int, ModbusPoint]]

    def value(self, device: str, name: str) -> tuple[float, Quality, Cause]:
        return self.sink.last.get(self.points[device, name][0], (math.nan, Quality.BAD, Cause.NEVER_READ))

    async def write(self, device: str, *writes: tuple[str, float]) -> tuple[OutcomeKind, str]:
        """One command; returns its outcome."""
        number = len(self.sink.outcomes)
        self.driver.write(
            WriteRequest(
                command=CommandId(1, 1, number),
                writes=tuple(PointWrite(self.points[device, name][0], value) for name, value in writes),
                valid_until_ms=RealClock().mono_ms() + 5_000,
            )
        )
        await self.sink.until(lambda: len(self.sink.outcomes) > number)
        return self.sink.outcomes[number].kind, self.sink.outcomes[number].detail


@pytest.fixture
async def stranger(peer: Peer, tmp_path: Path) -> AsyncIterator[Stranger]:
    plant = tmp_path / "peer.yaml"
    plant.write_text(PLANT.read_text().replace("PORT,", f"{peer.port},"))
    (link,) = load(plant).links
    driver, sink = ModbusDriver(link, RealClock()), Recorder()
    points = {
        (device.name, point.name): (device.first_point + place, point)
        for device in link.devices
        for place, point in enumerate(device.points)
    }
    task = asyncio.create_task(driver.run(sink))
    yield Stranger(driver, sink, points)
    for _ in range(500):  # the test may have been over before the first answer
        if sink.counts:
            break
        await asyncio.sleep(0.01)
    # Looked at before the end: the answer to a request that was given up by it is a stray one, rightly.
    counted = set(sink.counts)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    unheard = [event for event in sink.events if isinstance(event, LinkChanged) and not event.up]
    assert not unheard
    assert counted == {"ok"}


def numbers(table: str, stranger: Stranger) -> list[tuple[str, int, ModbusPoint]]:
    """(name, index, point) of the numbers of a register table, one a type and order."""
    return [
        (name, index, point)
        for (device, name), (index, point) in stranger.points.items()
        if device == table and point.type not in ("string", "bits")
    ]


def draw(point: ModbusPoint, turn: int, noise: random.Random) -> float:
    """The ends of the type's range first, then anything in it."""
    if point.type in FLOATS:
        edge = FLOATS[point.type][turn] if turn < 3 else noise.uniform(-1e6, 1e6)
        return struct.unpack("<f", struct.pack("<f", edge))[0] if point.type == "float32" else edge
    low, high = RANGES[point.type]
    return (low, high, min(12345, high))[turn] if turn < 3 else noise.randint(low, high)


def on_wire(point: ModbusPoint, value: float) -> bytes:
    """What must lie on the wire, for mbpoll's eyes."""
    size = point.registers * 2
    if point.type in FLOATS:
        plain = struct.pack(">f" if size == 4 else ">d", value)
    else:
        plain = int(value).to_bytes(size, "big", signed=point.type.startswith("int"))
    if len(point.order) == 8:
        return bytes(plain["ABCDEFGH".index(letter)] for letter in point.order)
    words = [plain[at : at + 2] for at in range(0, size, 2)]
    words = words[::-1] if point.order in ("CDAB", "DCBA") else words
    return b"".join(word[::-1] if point.order in ("BADC", "DCBA") else word for word in words)


@pytest.mark.parametrize("table", ["holding", "input"])
async def test_every_type_and_order_is_read_as_the_server_means_it(table: str, peer: Peer, stranger: Stranger) -> None:
    noise = random.Random(3)
    points = numbers(table, stranger)
    assert len({(point.type, point.order) for _, _, point in points}) == 5 * 4 + 3 * 9
    for turn in range(5):
        truth = {}
        for _, index, point in points:
            truth[index] = draw(point, turn, noise)
            peer.put(table, point.type, point.order, point.address, truth[index])
        await stranger.sink.until(
            lambda want=truth: (
                {p: stranger.sink.last.get(p) for p in want}
                == {p: (float(value), Quality.GOOD, Cause.NONE) for p, value in want.items()}
            )
        )


async def test_every_type_and_order_is_written_as_the_server_means_it(
    peer: Peer, stranger: Stranger, mbpoll: Mbpoll
) -> None:
    noise = random.Random(4)
    points = numbers("holding", stranger)
    for turn in range(4):
        written = {name: draw(point, turn, noise) for name, _, point in points}
        before = peer.writes()
        assert await stranger.write("holding", *written.items()) == (OutcomeKind.ACKNOWLEDGED, "")
        assert peer.writes() - before == len(points)
        for name, _, point in points:
            held = peer.get("holding", point.type, point.order, point.address)
            assert held == written[name], name
        first = min(point.address for _, _, point in points)
        last = max(point.address + point.registers for _, _, point in points)
        seen = b"".join(mbpoll.registers("holding", at, min(60, last - at)) for at in range(first, last, 60))
        for name, _, point in points:
            at = (point.address - first) * 2
            assert seen[at : at + point.registers * 2] == on_wire(point, written[name]), name
        await stranger.sink.until(
            lambda want=written: all(stranger.value("holding", name)[0] == want[name] for name in want)
        )


async def test_mbpoll_reads_what_we_write_in_its_own_types(stranger: Stranger, mbpoll: Mbpoll) -> None:
    wanted = [("int32_ABCD", -123_456), ("int32_CDAB", 654_321), ("float32_ABCD", 12.5), ("float32_CDAB", -0.75)]
    assert (await stranger.write("holding", *wanted))[0] is OutcomeKind.ACKNOWLEDGED
    for name, value in wanted:
        point = stranger.points["holding", name][1]
        kind = "4:float" if point.type == "float32" else "4:int"
        options = ("-B",) if point.order == "ABCD" else ()
        (seen,) = mbpoll.read(kind, point.address, 1, *options)
        assert float(seen) == value


async def test_we_read_what_mbpoll_writes(stranger: Stranger, mbpoll: Mbpoll) -> None:
    at = {name: stranger.points["holding", name][1].address for name in ("uint16_ABCD", "float32_ABCD", "int32_CDAB")}
    mbpoll.write("4", at["uint16_ABCD"], 54321)
    mbpoll.write("4:float", at["float32_ABCD"], -2.5, options=("-B",))
    mbpoll.write("4:int", at["int32_CDAB"], -77)
    mbpoll.write("0", 33, 1)
    await stranger.sink.until(
        lambda: (
            [
                stranger.value(*key)[0]
                for key in (
                    ("holding", "uint16_ABCD"),
                    ("holding", "float32_ABCD"),
                    ("holding", "int32_CDAB"),
                    ("bits", "coil_33"),
                )
            ]
            == [54321, -2.5, -77, 1]
        )
    )


async def test_bits_coils_and_words(peer: Peer, stranger: Stranger, mbpoll: Mbpoll) -> None:
    word = stranger.points["holding", "word"][1].address
    peer.put("holding", "uint16", "ABCD", word, 0b0100_0001_0000_0001)
    peer.put("coil", "bool", "ABCD", 7, 1)
    peer.put("discrete", "bool", "ABCD", 15, 1)
    await stranger.sink.until(lambda: stranger.value("holding", "word")[0] == 0x4101)
    names = ("word_bit_0", "word_bit_7", "word_bit_8", "word_bit_15")
    assert [stranger.value("holding", name)[0] for name in names] == [1, 0, 1, 0]
    await stranger.sink.until(
        lambda: (
            [stranger.value("bits", f"coil_{n}")[0] for n in (0, 1, 7, 8, 15)] == [0, 0, 1, 0, 0]
            and [stranger.value("bits", f"discrete_{n}")[0] for n in (0, 1, 7, 8, 15)] == [0, 0, 0, 0, 1]
        )
    )
    writes = [("word_bit_15", 1.0), ("word_bit_0", 0.0), ("word_bit_7", 1.0)]
    assert await stranger.write("holding", *writes) == (OutcomeKind.ACKNOWLEDGED, "")
    assert peer.get("holding", "uint16", "ABCD", word) == 0b1100_0001_1000_0000
    assert await stranger.write("bits", ("coil_0", 1.0), ("coil_7", 0.0), ("coil_15", 1.0)) == (
        OutcomeKind.ACKNOWLEDGED,
        "",
    )
    assert [peer.get("coil", "bool", "ABCD", n) for n in (0, 1, 7, 8, 15)] == [1, 0, 0, 0, 1]
    assert mbpoll.read("0", 0, 16) == ["1", *["0"] * 14, "1"]


async def test_strings_are_texts_beside_the_numbers(peer: Peer, stranger: Stranger) -> None:
    index, point = stranger.points["input", "text"]
    peer.put("input", "string", "ABCD", point.address, "SE-7 rev.2")
    await stranger.sink.until(lambda: stranger.driver.texts.get(index) == "SE-7 rev.2")
    value, quality, _ = stranger.sink.last[index]
    assert math.isnan(value) and quality is Quality.UNCERTAIN


async def test_units_scales_and_what_is_not_available(peer: Peer, stranger: Stranger) -> None:
    peer.put("input", "int16", "ABCD", 1000, 1234)
    peer.put("input", "int16", "ABCD", 1002, -1)
    peer.put("input", "uint16", "ABCD", 1010, 655)
    await stranger.sink.until(lambda: stranger.value("meter", "power") == (-1234.0, Quality.GOOD, Cause.NONE))
    assert stranger.value("meter", "temperature") == (pytest.approx(25.5), Quality.GOOD, Cause.NONE)
    for raw, factor, cause in ((-32768, -1, Cause.SENTINEL), (5, -32768, Cause.SENTINEL), (5, 99, Cause.IMPLAUSIBLE)):
        peer.put("input", "int16", "ABCD", 1000, raw)
        peer.put("input", "int16", "ABCD", 1002, factor)
        await stranger.sink.until(lambda want=cause: stranger.value("meter", "power")[1:] == (Quality.BAD, want))
        peer.put("input", "int16", "ABCD", 1000, 1)
        peer.put("input", "int16", "ABCD", 1002, 2)
        await stranger.sink.until(lambda: stranger.value("meter", "power")[0] == -1000)
    peer.put("input", "uint16", "ABCD", 1010, 1301)
    await stranger.sink.until(lambda: stranger.value("meter", "temperature")[1:] == (Quality.BAD, Cause.IMPLAUSIBLE))

    assert await stranger.write("meter", ("limit", 0.5), ("setpoint", -1500.0), ("start", 1.0)) == (
        OutcomeKind.ACKNOWLEDGED,
        "",
    )
    assert peer.get("holding", "uint16", "ABCD", 1000) == 500
    assert peer.get("holding", "int32", "CDAB", 1001) == -1500
    assert peer.get("coil", "bool", "ABCD", 100) == 1
    before = peer.writes()
    kind, why = await stranger.write("meter", ("limit", 1.001))
    assert kind is OutcomeKind.WITHHELD and "high" in why
    assert peer.writes() == before


async def test_a_refusal_of_the_server_is_told(stranger: Stranger) -> None:
    kind, why = await stranger.write("meter", ("nowhere", 1.0))
    assert kind is OutcomeKind.REJECTED
    assert "exception 2" in why and "5000" in why
    stranger.sink.counts.pop("exception")
