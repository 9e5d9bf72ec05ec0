"""One link in several sessions: shared out, opened one after the other, and each on its own when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua_peer import Plant, plant
from opcua_site import SITE, Running, device, link, point, running

from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.errors import LinkLost
from scowl_edge.drivers.opcua.conversation import Conversation
from scowl_edge.drivers.opcua.parts import share_out
from scowl_edge.drivers.opcua.places import Stock
from scowl_edge.model.command import OutcomeKind
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality

NAMES = ("A", "B", "C")


def three(endpoint: str, **changes: Any) -> OpcuaLink:
    """Three devices of one point each, in a session each."""
    devices = [device(name, point(name, f"{SITE}s={name}"), first=n) for n, name in enumerate(NAMES)]
    return link(endpoint, *devices, session_items=1, **changes)


def never_bad(it: Running, points: set[int]) -> bool:
    """Whether nothing but good values ever came of these."""
    return not any(
        points & set(reading.points[reading.quality == Quality.BAD].tolist())
        for reading in it.sink.readings
        if reading.received_ms
    )


async def all_three(it: Running, it_there: Plant) -> None:
    """Every session is open and brings its item."""
    await it.sink.until(lambda: len(it_there.connections()) == 3 and len(it_there.items()) >= 3)
    for n in range(3):
        await it.sink.until(lambda n=n: it.good(n) is not None)  # type: ignore[misc]


async def follow(it: Running, it_there: Plant, value: float) -> None:
    """A change of each item is seen."""
    for n, name in enumerate(NAMES):
        await it_there.put(name, value + n)
    for n in range(3):
        await it.sees(n, value + n)


async def test_seven_thousand_items_come_in_three_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    most: dict[str, int] = {"read": 0, "monitored": 0}
    read, monitor = InternalSession.read, InternalSession.create_monitored_items

    async def counted_read(self: InternalSession, params: ua.ReadParameters) -> Any:
        if self.external:
            most["read"] = max(most["read"], len(params.NodesToRead))
        return await read(self, params)

    async def counted_monitor(self: InternalSession, params: ua.CreateMonitoredItemsParameters) -> Any:
        most["monitored"] = max(most["monitored"], len(params.ItemsToCreate))
        return await monitor(self, params)

    monkeypatch.setattr(InternalSession, "read", counted_read)
    monkeypatch.setattr(InternalSession, "create_monitored_items", counted_monitor)
    async with plant() as it_there:
        it_there.add_many(f"M{n}" for n in range(7_000))
        for limit, number in (("read", 11705), ("monitored", 11714)):
            node = it_there.server.get_node(ua.NodeId(number))
            await node.write_value(ua.Variant(200 if limit == "read" else 220, ua.VariantType.UInt32))
        devices = [
            device(
                f"d{first}",
                *(point(f"p{n}", f"{SITE}s=M{n}", fresh_for_ms=60_000, access="r") for n in range(first, first + 100)),
                first=first,
                poll_ms=500,
            )
            for first in range(0, 7_000, 100)
        ]
        async with running(link(it_there.endpoint, *devices, timeout_ms=5_000)) as it:
            await it.sink.until(lambda: len(it.sink.last) == 7_000 and len(it_there.items()) == 3, 60)
            await it.sink.until(lambda: it_there.items() == [3_000, 3_000, 1_000], 60)
            # The last session's values come after its items.
            await it.sink.until(lambda: all(it.good(n) is not None for n in range(7_000)), 60)
            assert [it.good(n) for n in range(7_000)] == list(range(7_000))
            assert (most["read"], most["monitored"]) == (200, 220)
            for n in (0, 3_500, 6_999):
                await it_there.put(f"M{n}", n + 0.5)
                await it.sees(n, n + 0.5)
            it.sink.readings.clear()
            it_there.connections()[1].transport.abort()
            await it_there.put("M4000", -1.0)
            await it.sees(4_000, -1.0)
            # This server keeps the items of a connection that was cut, for whoever comes back for them.
            await it.sink.until(lambda: it_there.items()[3:] == [3_000], 60)
            assert never_bad(it, set(range(3_000)) | set(range(6_000, 7_000)))
            assert it.sink.flips("") == it.sink.flips("d0") == it.sink.flips("d6900") == [True]


def test_a_device_stays_in_one_session_where_it_fits() -> None:
    sizes = (4, 4, 2, 7, 1, 25)
    devices = [
        device(f"d{n}", *(point(f"p{k}", f"{SITE}s={n}/{k}") for k in range(size)), first=sum(sizes[:n]))
        for n, size in enumerate(sizes)
    ]
    devices.append(device("w", point("w", f"{SITE}s=w", access="w"), first=sum(sizes)))
    stock = Stock.of(devices)
    assert share_out(stock.places, 0) == 1
    assert {place.part for place in stock.places} == {0}
    count = share_out(stock.places, 10)
    parts = [{place.part for place in stock.places if place.device == n} for n in range(7)]
    assert parts == [{0}, {0}, {0}, {1}, {1}, {2, 3, 4}, {0}]
    sizes_of = np.bincount([place.part for place in stock.places if place.is_read], minlength=count)
    assert count == 5 and sizes_of.tolist() == [10, 8, 10, 10, 5]


def _kick(it_there: Plant, number: int) -> Any:
    """Ends a session at the server, and leaves its connection."""
    return it_there.connections()[number].processor.session.close_session()  # type: ignore[union-attr]


async def _reset(it_there: Plant, number: int) -> None:
    it_there.connections()[number].transport.abort()


@pytest.mark.parametrize("end", [_kick, _reset], ids=["session", "connection"])
async def test_one_that_ends_is_opened_anew_alone(end: Callable[[Plant, int], Any]) -> None:
    async with plant() as it_there:
        it_there.add_many(NAMES)
        for number in range(3):
            await one_ends(it_there, end, number)


async def one_ends(it_there: Plant, end: Callable[[Plant, int], Any], number: int) -> None:
    """Ends one session; the others are not touched."""
    async with running(three(it_there.endpoint)) as it:
        await all_three(it, it_there)
        await follow(it, it_there, 10.0)
        others = [each for n, each in enumerate(it_there.connections()) if n != number]
        await end(it_there, number)
        await follow(it, it_there, 20.0)
        await all_three(it, it_there)
        assert set(others) < set(it_there.connections())
        assert never_bad(it, {0, 1, 2} - {number})
        assert it.sink.flips("") == [True]
        for n in range(3):
            assert (await it.command((n, 30.0 + n))).kind is OutcomeKind.ACKNOWLEDGED
            await it.sees(n, 30.0 + n)


async def test_one_that_cannot_be_had_is_the_trouble_of_its_own_points(monkeypatch: pytest.MonkeyPatch) -> None:
    create, full = InternalServer.create_session, False

    def limited(self: InternalServer, *args: Any, **options: Any) -> InternalSession:
        if full and options.get("external"):
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        return create(self, *args, **options)

    monkeypatch.setattr(InternalServer, "create_session", limited)
    async with plant() as it_there:
        it_there.add_many(NAMES)
        async with running(three(it_there.endpoint)) as it:
            await all_three(it, it_there)
            full = True
            await _kick(it_there, 0)
            await it.sink.until(lambda: "BadTooManySessions" in it.driver.faults.get(0, ""))
            assert "its session cannot be opened" in it.driver.faults[0]
            assert it.sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN)
            await it.sink.until(lambda: it.sink.flips("A") == [True, False])
            (down,) = [e for e in it.sink.events if isinstance(e, LinkChanged) and e.device and not e.up]
            assert "BadTooManySessions" in down.cause
            for n in (1, 2):
                await it_there.put(NAMES[n], 5.0)
                await it.sees(n, 5.0)
            # Commands go through another session.
            assert (await it.command((0, 77.0))).kind is OutcomeKind.ACKNOWLEDGED
            assert await it_there.value("A") == 77.0
            full = False
            await it.sees(0, 77.0)
            await it.sink.until(lambda: it.sink.flips("A") == [True, False, True])
            assert 0 not in it.driver.faults
            assert never_bad(it, {1, 2})
            assert it.sink.flips("") == [True] and it.sink.flips("B") == it.sink.flips("C") == [True]


async def test_the_link_is_down_only_when_all_are() -> None:
    async with plant() as it_there:
        it_there.add_many(NAMES)
        async with running(three(it_there.endpoint)) as it:
            await all_three(it, it_there)
            await it_there.server.stop()
            await it.sink.until(lambda: it.sink.flips("") == [True, False])
            assert {it.sink.last[n][1:] for n in range(3)} == {(Quality.BAD, Cause.LINK_DOWN)}
            assert all(it.sink.flips(name) == [True, False] for name in NAMES)
        await it_there.server.start()


async def test_an_attempt_that_forgets_its_cancellation_does_not_hold_up_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `asyncio.wait_for` of Python 3.11 does where the connection fails in the very moment of the cancellation."""
    tried, usual = asyncio.Event(), Conversation.open
    held = False

    async def forgetful(*given: Any, **options: Any) -> Conversation:
        if not held or options["first"]:
            return await usual(*given, **options)
        tried.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise LinkLost("connection reset", sent=False) from None
        raise AssertionError

    monkeypatch.setattr(Conversation, "open", forgetful)
    async with plant() as it_there:
        it_there.add_many(NAMES)
        async with running(three(it_there.endpoint)) as it:
            await all_three(it, it_there)
            held = True
            await _kick(it_there, 2)
            await tried.wait()
            await it_there.server.stop()
            await it.sink.until(lambda: it.sink.flips("") == [True, False])
        await it_there.server.start()


async def test_one_without_sessions_of_its_own_polls_in_one() -> None:
    async with plant() as it_there:
        it_there.add_many(NAMES)
        async with running(three(it_there.endpoint, subscribe=False)) as it:
            await follow(it, it_there, 3.0)
            assert len(it_there.connections()) == 1
