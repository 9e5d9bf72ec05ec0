"""What misbehaves on the wire ends as bad quality on its own points, is counted, and is never a value.

Recovery from the faults of the matrix, and what is delivered oddly but honestly: see integration/faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from faulty_server import FaultyServer, truth
from modbus_site import Recorder, device, link, point

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality

Start = Callable[[ModbusLink], Awaitable[tuple[ModbusDriver, Recorder]]]

HEALTHY, BAD = 1, 2
ADDRESSES = (0, 1, 200, 201)
"""Two blocks a unit, so that a reply to the wrong request would show."""


def unit(name: str, number: int, first: int, poll_ms: int = 50) -> object:
    return device(name, number, *(point(f"p{a}", a) for a in ADDRESSES), first=first, poll_ms=poll_ms)


def shared(port: int) -> ModbusLink:
    """Points 0 to 3 are of the healthy unit, 10 to 13 of the bad one."""
    return link(port, unit("healthy", HEALTHY, 0), unit("bad", BAD, 10))  # type: ignore[arg-type]


def no_wrong_value(sink: Recorder, first: int, number: int) -> None:
    for place, address in enumerate(ADDRESSES):
        assert set(sink.good.get(first + place, [])) <= {float(truth(number, address))}


FAULTS = {
    "silence": (Cause.TIMEOUT, "timeout"),
    "garbage": (Cause.BAD_REPLY, "bad_reply"),
    "truncated": (Cause.TIMEOUT, "timeout"),
    "wrong unit": (Cause.BAD_REPLY, "bad_reply"),
    "wrong transaction": (Cause.TIMEOUT, "stray"),
    "wrong function": (Cause.BAD_REPLY, "bad_reply"),
    "short": (Cause.BAD_REPLY, "bad_reply"),
    "lying count": (Cause.BAD_REPLY, "bad_reply"),
    "empty": (Cause.BAD_REPLY, "bad_reply"),
    "late": (Cause.TIMEOUT, "stray"),
    "exception": (Cause.EXCEPTION, "exception"),
    "reset": (Cause.LINK_DOWN, "link_down"),
    "close": (Cause.LINK_DOWN, "link_down"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_bad_unit_is_nothing_more_than_bad_quality_on_its_own_points(
    fault: str, server: FaultyServer, start: Start
) -> None:
    cause, counted = FAULTS[fault]
    server.delay_s = 0.17
    other = FaultyServer()
    await other.start()
    _, sink = await start(shared(server.port))
    _, elsewhere = await start(link(other.port, unit("far", 1, 0)))  # type: ignore[arg-type]
    await sink.until(lambda: all(sink.last.get(p, (0, 2, 0))[1] == Quality.GOOD for p in (0, 1, 2, 3, 10, 11, 12, 13)))

    server.faults[BAD] = fault
    polls, vain, far = server.requests_to(HEALTHY), server.requests_to(BAD), other.requests_to(1)
    await sink.until(lambda: all(sink.last[p][1:] == (Quality.BAD, cause) for p in (10, 11, 12, 13)))
    await sink.until(lambda: sink.counts[counted] and server.requests_to(HEALTHY) >= polls + 20)
    # Counted, not timed: on the link the bad unit gets no more turns than the healthy one, each a time-out long at
    # most; and the other link, with as many polls due, is not held up.
    healthy = server.requests_to(HEALTHY) - polls
    assert server.requests_to(BAD) - vain <= healthy + 2
    assert other.requests_to(1) - far >= healthy // 2
    assert server.injected > 0
    assert all(sink.last[p][1] == Quality.GOOD for p in (0, 1, 2, 3))
    no_wrong_value(sink, 0, HEALTHY)
    no_wrong_value(sink, 10, BAD)
    no_wrong_value(elsewhere, 0, 1)
    assert sink.flips("") == [True], "the link itself was never down"
    assert sink.flips("healthy") == [True]
    assert sink.flips("bad") == ([True] if fault == "exception" else [True, False])
    await other.stop()


@pytest.mark.parametrize("fault", ["garbage", "wrong function", "short", "lying count", "empty", "close"])
async def test_a_unit_with_its_own_link_recovers_within_two_polls(
    fault: str, server: FaultyServer, start: Start
) -> None:
    server.delay_s = 0.17
    _, sink = await start(link(server.port, unit("bad", BAD, 10, 100)))  # type: ignore[arg-type]
    server.faults[BAD] = fault
    await sink.until(lambda: server.injected >= 3 and sink.last[10][1] == Quality.BAD)
    server.faults[BAD] = "ok"
    healed = len(sink.readings)
    await sink.until(lambda: all(sink.last[p][1] == Quality.GOOD for p in (10, 11, 12, 13)))
    # What was under way, then at most two polls of two blocks; a link counted as down is one block more.
    assert sum(1 for reading in sink.readings[healed:] if reading.quality.any()) <= 5
    no_wrong_value(sink, 10, BAD)
    assert sink.flips("bad")[-1] is True


async def test_a_storm_of_faults_publishes_no_wrong_value(server: FaultyServer, start: Start) -> None:
    server.faults = dict.fromkeys((1, 2), "any")
    server.delay_s = 0.03
    plants = [
        link(server.port, unit("one", 1, 0, 5), name="a", timeout_ms=25, reconnect_ms=250),  # type: ignore[arg-type]
        link(server.port, unit("two", 2, 10, 5), name="b", timeout_ms=25, reconnect_ms=250),  # type: ignore[arg-type]
    ]
    sinks = [(await start(plant))[1] for plant in plants]
    await sinks[0].until(lambda: server.injected >= 100 and all(sum(s.counts.values()) > 100 for s in sinks), 30)
    for sink, number in zip(sinks, (1, 2), strict=True):
        no_wrong_value(sink, 10 * (number - 1), number)
        assert len(sink.good[10 * (number - 1)]) > 20
        assert {"ok", "timeout", "exception", "bad_reply", "link_down", "stray"} == set(sink.counts)


async def test_a_gateway_that_gets_no_answer_makes_the_unit_silent_not_refusing(
    server: FaultyServer, start: Start
) -> None:
    server.faults[BAD], server.exception = "exception", 11
    _, sink = await start(shared(server.port))
    await sink.until(lambda: sink.flips("bad") == [False] and sink.flips("healthy") == [True])
    assert sink.last[10][1:] == (Quality.BAD, Cause.EXCEPTION)
    (down,) = [event for event in sink.events if isinstance(event, LinkChanged) and event.device == "bad"]
    assert "exception 11" in down.cause and "unit 2" in down.cause


async def test_a_link_that_goes_down_says_so_once_and_comes_back(server: FaultyServer, start: Start) -> None:
    _, sink = await start(shared(server.port))
    await sink.until(lambda: len(sink.good.get(13, [])) > 2)
    await server.stop()
    await sink.until(lambda: all(sink.last[p][1:] == (Quality.BAD, Cause.LINK_DOWN) for p in (0, 3, 10, 13)))
    await asyncio.sleep(0.5)  # several attempts to connect go by: none of them may be told again
    assert sink.flips("") == sink.flips("healthy") == sink.flips("bad") == [True, False]
    await server.start()
    await sink.until(lambda: all(sink.last[p][1] == Quality.GOOD for p in (0, 3, 10, 13)))
    assert sink.flips("") == sink.flips("healthy") == sink.flips("bad") == [True, False, True]


async def test_a_device_that_is_not_there_is_down_from_the_start(server: FaultyServer, start: Start) -> None:
    await server.stop()
    _, sink = await start(shared(server.port))
    await sink.until(lambda: sink.flips("") == [False])
    assert sink.flips("bad") == [False]
    assert sink.last[10][1:] == (Quality.BAD, Cause.LINK_DOWN)
    (first, *_) = sink.events
    assert isinstance(first, LinkChanged) and f"port {server.port}" in first.cause
    await server.start()
    server.faults[BAD] = "silence"
    await sink.until(lambda: sink.last.get(0, (0, 2))[1] == Quality.GOOD and sink.last[10][2] == Cause.TIMEOUT)
    assert sink.flips("bad") == [False]


async def test_a_server_that_accepts_and_hangs_up_is_a_link_that_is_down(start: Start) -> None:
    hung_up = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung_up
        hung_up += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        _, sink = await start(shared(server.sockets[0].getsockname()[1]))
        await sink.until(lambda: False in sink.flips(""))
        assert sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN)
        before = hung_up
        await asyncio.sleep(0.5)
        assert hung_up - before <= 5, "attempts are spaced out"


async def test_a_half_open_connection_is_opened_anew(server: FaultyServer, start: Start) -> None:
    """A middle box has forgotten the connection: packets vanish, and only a new connection helps."""
    relays: set[asyncio.StreamWriter] = set()
    dead: set[asyncio.StreamWriter] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(writer)
        behind_reader, behind = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            while request := await reader.read(300):
                if writer in dead:
                    continue
                behind.write(request)
                writer.write(await behind_reader.read(300))
        finally:
            behind.close()
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as box:
        _, sink = await start(shared(box.sockets[0].getsockname()[1]))
        await sink.until(lambda: len(sink.good.get(13, [])) > 2)
        dead |= relays
        await sink.until(lambda: sink.last[0][1] == Quality.BAD and sink.last[10][1] == Quality.BAD)
        await sink.until(lambda: sink.last[0][1] == Quality.GOOD)
        await sink.until(lambda: sink.last[10][1] == Quality.GOOD)
        assert sink.flips("") == [True]
        assert len(relays) > 1
