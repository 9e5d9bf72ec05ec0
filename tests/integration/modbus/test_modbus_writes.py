"""A command: sent once, in order, never behind its time, and with exactly one outcome whatever happens."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable

import pytest
from faulty_server import FaultyServer, truth
from modbus_site import RealClock, Recorder, device, link, point

from scowl_edge.contracts import JournalFull, PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.command import CommandId, OutcomeKind, WriteClass

Start = Callable[[ModbusLink], Awaitable[tuple[ModbusDriver, Recorder]]]

POINTS = (
    point("limit", 0, "uint16", scale=0.1, to_base=0.01),
    point("power", 2, "float32", order="CDAB", to_base=1000.0),
    point("flag", 5, "bits", bit=3),
    point("coil", 7, "bool", table=Table.COIL),
    point("stored", 8, "int16", write_class=WriteClass.STORED),
    point("pulse", 9, "bool", table=Table.COIL, write_class=WriteClass.PULSE),
    point("meter", 10, "uint16", access="r"),
    point("scaled", 20, "int16", scale_factor="sf"),
    point("sf", 21, "int16", access="r"),
)
LIMIT, POWER, FLAG, COIL, STORED, PULSE, METER, SCALED, SF = range(9)


def plant(port: int, **changes: object) -> ModbusLink:
    return link(port, device("dev", 1, *POINTS, poll_ms=10_000), device("twin", 2, *POINTS, first=50), **changes)


def command(n: int, *writes: tuple[int, float], within_ms: int = 60_000) -> WriteRequest:
    return WriteRequest(
        command=CommandId(1, 1, n),
        writes=tuple(PointWrite(p, value) for p, value in writes),
        valid_until_ms=RealClock().mono_ms() + within_ms,
    )


async def outcome(sink: Recorder, n: int) -> tuple[OutcomeKind, str]:
    """The one outcome of a command."""
    await sink.until(lambda: any(o.command.n == n for o in sink.outcomes))
    (only,) = [o for o in sink.outcomes if o.command.n == n]
    return only.kind, only.detail


def writes_in(server: FaultyServer, unit: int = 1) -> list[bytes]:
    return [pdu for number, pdu in server.log if number == unit and pdu[0] in (5, 6, 16, 22)]


async def test_each_kind_of_point_arrives_as_the_server_holds_it(server: FaultyServer, start: Start) -> None:
    server.registers[1, 21] = 0xFFFE
    driver, sink = await start(plant(server.port))
    wanted = [(LIMIT, 0.505), (POWER, 12_500.0), (FLAG, 1.0), (COIL, 1.0), (STORED, -7.0), (PULSE, 1.0), (SCALED, 1.25)]
    for n, write in enumerate(wanted):
        driver.write(command(n, write))
    for n in range(len(wanted)):
        assert await outcome(sink, n) == (OutcomeKind.ACKNOWLEDGED, "")
    assert server.registers[1, 0] == 505
    high, low = struct.unpack(">HH", struct.pack(">f", 12.5))
    assert (server.registers[1, 2], server.registers[1, 3]) == (low, high)
    assert server.registers[1, 5] == truth(1, 5) | 1 << 3
    assert server.coils == {(1, 7): True, (1, 9): True}
    assert server.registers[1, 8] == 0x10000 - 7
    assert server.registers[1, 20] == 125
    assert [pdu[0] for pdu in writes_in(server)] == [6, 16, 22, 5, 6, 5, 6]
    driver.read([LIMIT, POWER], by_ms=0)
    await sink.until(lambda: sink.last[LIMIT][0] == pytest.approx(0.505) and sink.last[POWER][0] == 12_500)


async def test_function_codes_that_a_device_does_not_know_have_a_second_way(server: FaultyServer, start: Start) -> None:
    server.unknown_functions = {6, 22}
    driver, sink = await start(plant(server.port))
    for n, write in enumerate([(LIMIT, 0.1), (FLAG, 1.0), (FLAG, 0.0), (STORED, 5.0)]):
        driver.write(command(n, write))
    for n in range(4):
        assert (await outcome(sink, n))[0] is OutcomeKind.ACKNOWLEDGED
    assert server.registers[1, 0] == 100
    assert server.registers[1, 5] == truth(1, 5) & ~(1 << 3)
    assert server.registers[1, 8] == 5
    assert [pdu[0] for pdu in writes_in(server)] == [6, 16, 22, 16, 16, 16], "each unknown code is tried once"


async def test_a_multi_point_command_goes_out_in_order_with_nothing_between(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: len(sink.good.get(50 + METER, [])) > 3)
    driver.read([METER], by_ms=0)
    driver.write(command(1, (LIMIT, 0.2), (STORED, 3.0), (POWER, 1000.0)))
    assert await outcome(sink, 1) == (OutcomeKind.ACKNOWLEDGED, "")
    functions = [(unit, pdu[0], int.from_bytes(pdu[1:3])) for unit, pdu in server.log]
    at = functions.index((1, 6, 0))
    assert functions[at : at + 3] == [(1, 6, 0), (1, 6, 8), (1, 16, 2)]


async def test_a_refusal_stops_the_command_and_says_why(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: METER in sink.last)
    server.unknown_functions = {16}
    driver.write(command(1, (LIMIT, 0.2), (POWER, 1000.0), (STORED, 3.0)))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.REJECTED
    assert "write 2 holding registers at 2 of unit 1" in detail
    assert "exception 1" in detail and "1 of 3 writes were taken" in detail
    assert [pdu[0] for pdu in writes_in(server)] == [6, 16]
    assert sink.flips("dev") == [True], "a refusal is an answer"


@pytest.mark.parametrize("fault", ["silence", "wrong unit", "garbage", "short", "reset", "wrong transaction"])
async def test_without_a_sure_answer_it_is_timed_out_and_never_sent_again(
    fault: str, server: FaultyServer, start: Start
) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: METER in sink.last)
    server.faults[1] = fault
    driver.write(command(1, (PULSE, 1.0)))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.TIMED_OUT
    assert "may or may not have been applied" in detail
    server.faults[1] = "ok"
    seen = len(sink.good.get(50 + METER, []))
    await sink.until(lambda: len(sink.good.get(50 + METER, [])) > seen + 5)
    assert len(writes_in(server)) == 1
    assert len(sink.outcomes) == 1


async def test_a_gateway_without_answer_leaves_it_open_but_a_missing_path_does_not(
    server: FaultyServer, start: Start
) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: METER in sink.last)
    for n, (code, kind) in enumerate(
        [
            (11, OutcomeKind.TIMED_OUT),
            (10, OutcomeKind.REJECTED),
            (6, OutcomeKind.REJECTED),
            (5, OutcomeKind.ACKNOWLEDGED),
        ]
    ):
        server.faults[1], server.exception = "exception", code
        driver.write(command(n, (LIMIT, 0.1)))
        assert (await outcome(sink, n))[0] is kind


@pytest.mark.parametrize(
    ("write", "words"),
    [
        ((LIMIT, 66.0), "can hold"),
        ((METER, 1.0), "read-only"),
        ((COIL, 0.5), "0 or 1"),
        ((999, 1.0), "not on link plc"),
    ],
)
async def test_what_cannot_be_said_is_withheld_and_touches_nothing(
    write: tuple[int, float], words: str, server: FaultyServer, start: Start
) -> None:
    driver, sink = await start(plant(server.port))
    driver.write(command(1, (STORED, 3.0), write))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.WITHHELD and words in detail
    assert writes_in(server) == []


async def test_an_unknown_scale_factor_withholds(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))
    server.faults[1] = "silence"
    driver.write(command(1, (SCALED, 1.0)))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.WITHHELD and "no reply" in detail
    assert writes_in(server) == []


async def test_a_read_only_link_writes_nothing(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port, read_only=True))
    driver.write(command(1, (LIMIT, 0.1)))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.WITHHELD and "read_only" in detail
    assert writes_in(server) == []


async def test_a_command_whose_time_is_over_is_withheld(server: FaultyServer, start: Start) -> None:
    server.faults[1] = "silence"
    driver, sink = await start(plant(server.port))
    driver.write(command(0, (LIMIT, 0.1)))
    driver.write(command(1, (LIMIT, 0.2), within_ms=60))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.WITHHELD and "over" in detail
    assert (await outcome(sink, 0))[0] is OutcomeKind.TIMED_OUT
    assert len(writes_in(server)) == 1


async def test_a_link_that_is_down_withholds_at_once(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: METER in sink.last)
    await server.stop()
    await sink.until(lambda: sink.flips("") == [True, False])
    began = time.monotonic()
    driver.write(command(1, (LIMIT, 0.1), within_ms=60_000))
    kind, detail = await outcome(sink, 1)
    assert kind is OutcomeKind.WITHHELD and "link plc is down" in detail
    assert time.monotonic() - began < 1


async def test_a_command_given_before_the_link_is_there_waits_for_the_first_word_of_it(start: Start) -> None:
    driver, sink = ModbusDriver(plant(1), RealClock()), Recorder()
    driver.write(command(1, (LIMIT, 0.1)))
    task = asyncio.create_task(driver.run(sink))
    assert (await outcome(sink, 1))[0] is OutcomeKind.WITHHELD
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    driver.write(command(2, (LIMIT, 0.1)))
    assert (await outcome(sink, 2))[0] is OutcomeKind.WITHHELD, "even after its end every command has an outcome"


async def test_cancelling_leaves_each_command_with_one_outcome(server: FaultyServer) -> None:
    server.faults[1] = "silence"
    driver, sink = ModbusDriver(plant(server.port, timeout_ms=5_000), RealClock()), Recorder()
    task = asyncio.create_task(driver.run(sink))
    driver.write(command(1, (LIMIT, 0.1)))
    driver.write(command(2, (LIMIT, 0.2)))
    await sink.until(lambda: writes_in(server))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {o.command.n: o.kind for o in sink.outcomes} == {1: OutcomeKind.TIMED_OUT, 2: OutcomeKind.WITHHELD}
    assert len(sink.outcomes) == 2


async def test_the_journal_is_asked_before_a_stored_register_or_a_pulse_and_only_then(
    server: FaultyServer, start: Start
) -> None:
    driver, sink = await start(plant(server.port))
    asked: list[tuple[int, int]] = []

    async def before_send(identity: CommandId) -> None:
        asked.append((identity.n, len(writes_in(server))))
        if identity.n == 3:
            raise JournalFull("the disk does not answer")

    driver.before_send = before_send
    for n, write in enumerate([(LIMIT, 0.1), (STORED, 1.0), (PULSE, 1.0), (STORED, 2.0)]):
        driver.write(command(n, write))
    kinds = [(await outcome(sink, n))[0] for n in range(4)]
    assert kinds == [OutcomeKind.ACKNOWLEDGED] * 3 + [OutcomeKind.WITHHELD]
    assert asked == [(1, 1), (2, 2), (3, 3)]
    assert server.registers[1, 8] == 1


async def test_a_journal_too_slow_for_the_command_withholds_it(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))

    async def before_send(_: CommandId) -> None:
        await asyncio.sleep(0.2)

    driver.before_send = before_send
    await sink.until(lambda: METER in sink.last)
    driver.write(command(1, (STORED, 1.0), within_ms=100))
    assert (await outcome(sink, 1))[0] is OutcomeKind.WITHHELD
    assert writes_in(server) == []


async def test_reads_that_are_asked_for_do_not_wait_for_the_next_poll(server: FaultyServer, start: Start) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: METER in sink.last)
    server.registers[1, 10] = 4242
    began = time.monotonic()
    driver.read([METER, 999], by_ms=0)
    await sink.until(lambda: sink.last[METER][0] == 4242)
    assert time.monotonic() - began < 2, "its poll is every ten seconds"
