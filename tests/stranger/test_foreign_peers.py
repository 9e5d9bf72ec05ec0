"""Our driver against servers that others wrote, clean and through a proxy that does harm: no wrong value, ever.

The ways to one server run side by side on the same registers, which change all the time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from foreign_links import LATE_MS, Way, libmodbus, node, pymodbus
from foreign_truth import COIL, LAYOUT, REQUESTS, WRITTEN, Judge, Truth, Writer, now_ms, value_of
from modbus_site import RealClock, point
from text_peer import TextPeer

from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.signal import Cause
from simulators.proxy import FaultProxy

Foreign = tuple[TextPeer, list[Way]]
STREAM: tuple[tuple[str, dict[str, Any]], ...] = (
    ("delay", {"ms": 70, "times": 4}),
    ("loss", {"times": 3}),
    ("reset", {"at": "reply", "keep": 5, "times": 2}),
    ("duplicate", {"ms": 20, "times": 4}),
    ("truncate", {"keep": 6, "times": 2}),
    ("bytewise", {"ms": 1, "times": 4}),
    ("garbage", {"times": 2}),
)
"""What can be done to any stream: faults, and how long."""
FRAMES: tuple[tuple[str, dict[str, Any]], ...] = (
    *STREAM,
    ("late", {"ms": 160, "times": 2}),
    ("shifted", {"times": 4}),
    ("lost-answer", {"times": 2}),
)
RECOVERY_S = 60.0
PATIENT_MS = 450
ABSENT = COIL + 1


@pytest.fixture(scope="module", params=["libmodbus", "node", "pymodbus"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """Each server with all ways to it, started once."""
    if request.param == "node":
        made = node()
    elif request.param == "pymodbus":
        made = pymodbus(tmp_path_factory.mktemp("pki"))
    else:
        made = libmodbus(request.getfixturevalue("peer_program"), tmp_path_factory.mktemp("line"))
    with made as (peer, ways):
        yield peer, ways


@asynccontextmanager
async def running(link: ModbusLink, judge: Judge) -> AsyncIterator[ModbusDriver]:
    """The driver, as long as the block."""
    driver = ModbusDriver(link, RealClock())
    task = asyncio.create_task(driver.run(judge))
    try:
        yield driver
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


@asynccontextmanager
async def changing(truth: Truth) -> AsyncIterator[None]:
    """Values change as long as the block."""
    truth.renew()
    task = asyncio.create_task(truth.keep_changing())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


def patient(way: Way, link: ModbusLink) -> ModbusLink:
    """The link with a time-out that a busy machine does not reach; on a serial line it is waited for now and then."""
    return replace(link, timeout_ms=PATIENT_MS if way.framing == "rtu" else 20_000)


async def clean(way: Way, number: int, truth: Truth) -> Writer:
    """Reads and writes; nothing goes wrong. On a serial line, units that know no check leave us in doubt now and then,
    and above all when another write of the same register was just answered: then it takes another."""
    judge = Judge(truth)
    tries = 3 if way.framing == "rtu" else 1
    async with running(patient(way, way.link(way.to, number)), judge) as driver:
        await judge.until(lambda: judge.fresh_since(0))
        before, judge.causes = Counter(judge.counts), set()
        writer = Writer(truth.peer, number, driver, judge)
        for value in (-70_000, 123_456):
            for again in range(tries):
                if await writer.write(value + again) is OutcomeKind.ACKNOWLEDGED:
                    break
                since_ms = now_ms() + PATIENT_MS + LATE_MS
                await judge.until(lambda since_ms=since_ms: judge.fresh_since(since_ms))
            for _ in range(4):
                since_ms = now_ms()
                await judge.until(lambda since_ms=since_ms: judge.fresh_since(since_ms))
        counts, causes = Counter(judge.counts) - before, set(judge.causes)
    assert writer.acknowledged == 2, (way.name, judge.outcomes)
    assert judge.wrong() == [], way.name
    assert judge.judged() >= 8 * WRITTEN and counts["ok"] >= 8 * REQUESTS + 4, (way.name, counts)
    doubts = {"unproven", "timeout", "stray"} if way.framing == "rtu" else set()
    assert set(counts) <= {"ok"} | doubts, (way.name, counts)
    assert doubts or causes == {Cause.NONE}, (way.name, causes)
    return writer


async def test_reads_and_writes_agree_with_the_servers_own_registers(foreign: Foreign) -> None:
    peer, ways = foreign
    truth, writes = Truth(peer), peer.writes()
    async with changing(truth):
        writers = await asyncio.gather(*(clean(way, number, truth) for number, way in enumerate(ways)))
    assert 4 * len(ways) <= peer.writes() - writes <= sum(writer.sent for writer in writers)
    assert len(truth.set_ms) > 5
    assert len({value_of(place, 7) for place in range(WRITTEN) if LAYOUT[place][2] != "bool"}) == WRITTEN - 4


async def harmed(way: Way, number: int, truth: Truth) -> Writer:
    """Every fault in turn: it strikes, it ends, and the link comes back by itself."""
    judge = Judge(truth)
    listen = "127.0.0.1:0" if not way.to.startswith("pty:") else f"{way.to}-through-faults"
    async with FaultProxy(listen, way.to, way.framing, name=way.name) as proxy:
        through = f"127.0.0.1:{proxy.port}" if proxy.port else listen
        async with running(way.link(through, number), judge) as driver:
            writer = Writer(truth.peer, number, driver, judge)
            await judge.until(lambda: judge.fresh_since(0))
            for kind, parameters in STREAM if way.framing == "none" else FRAMES:
                story, before, judged = f"{way.name}: {kind}", proxy.injected[kind], judge.judged()
                proxy.inject(kind, **parameters)
                await writer.write(len(story) * 1000 + writer.sent)
                # Shifted replies are none of ours once the driver no longer asks, so the count may stop short.
                await judge.until(lambda kind=kind, before=before: proxy.injected[kind] > before, RECOVERY_S)
                proxy.clear()
                since_ms = now_ms()
                try:
                    await judge.until(lambda since_ms=since_ms: judge.fresh_since(since_ms), RECOVERY_S)
                except AssertionError as late:
                    raise AssertionError(f"{story}: no recovery; {late}") from None
                assert judge.judged() > judged, story
            # A busy machine may be too late for one.
            last = [await writer.write(number + 1 + again) for again in range(3)]
            assert OutcomeKind.ACKNOWLEDGED in last, way.name
    assert judge.wrong() == [], way.name
    return writer


async def test_no_wrong_value_gets_through_a_line_that_does_harm(foreign: Foreign) -> None:
    peer, ways = foreign
    truth, writes = Truth(peer), peer.writes()
    async with changing(truth):
        writers = await asyncio.gather(*(harmed(way, number, truth) for number, way in enumerate(ways)))
    done = peer.writes() - writes
    assert sum(2 * writer.acknowledged for writer in writers) <= done <= sum(writer.sent for writer in writers)


async def refused(way: Way, peer: TextPeer) -> None:
    """Reads and writes that the server cannot carry out, between others that it can."""
    judge = Judge(truth := Truth(peer))
    truth.renew()
    link = patient(way, way.link(way.to, 9))
    (whole,) = link.devices
    absent = (
        point("no register", 60_000, "uint16"),
        point("no coil", 60_000, "bool", table=Table.COIL, access="r"),
    )
    both = replace(link, devices=(replace(whole, points=(*whole.points, *absent)),))
    async with running(both, judge) as driver:
        await judge.until(lambda: judge.fresh_since(0) and {ABSENT, ABSENT + 1} <= judge.last.keys())
        assert await Writer(peer, 9, driver, judge).write(5) is OutcomeKind.ACKNOWLEDGED, way.name
        count = len(judge.outcomes)
        write = PointWrite(ABSENT, 5)
        driver.write(WriteRequest(command=CommandId(1, 9, 9), writes=(write,), valid_until_ms=now_ms() + 60_000))
        await judge.until(lambda: len(judge.outcomes) > count)
        outcome, causes = judge.outcomes[count], {judge.last[place][2] for place in (ABSENT, ABSENT + 1)}
    assert judge.wrong() == [], way.name
    assert ABSENT not in judge.good and ABSENT + 1 not in judge.good, way.name
    assert outcome.kind is OutcomeKind.REJECTED and "exception 2" in outcome.detail, (way.name, outcome)
    assert causes == {Cause.BAD_REPLY if way.name.startswith("jsmodbus") else Cause.EXCEPTION}, way.name


async def test_what_a_server_refuses_is_told_and_its_other_points_live_on(foreign: Foreign) -> None:
    """Registers that are not there: libmodbus, modbus-serial and pymodbus answer reads with exception 2, jsmodbus with
    fewer registers than were asked for; on a serial line that is no frame at all, so it is left out there."""
    peer, ways = foreign
    for way in ways:
        if way.name != "jsmodbus RTU over TCP":
            await refused(way, peer)
