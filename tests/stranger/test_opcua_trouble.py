"""What a server and a network do to a session, against node-opcua: recovered from, and bad quality meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from machine import MachineWatch
from modbus_site import RealClock
from opcua_peer import Peer
from opcua_proxy import black_hole
from opcua_site import SITE, Running, device, link, point, running

from scowl_edge.clocks import RateClock
from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.model.command import OutcomeKind
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality


@pytest.fixture
def peer(opcua_server: Peer) -> Iterator[Peer]:
    opcua_server.reset()
    yield opcua_server
    opcua_server.limit(maxNodesPerRead=0, maxMonitoredItemsPerCall=0)


def plain(endpoint: str, **changes: object) -> OpcuaLink:
    points = [point("double", f"{SITE}s=Double"), point("byte", f"{SITE}s=Byte")]
    return link(endpoint, device("d", *points), **changes)


def notified(it: Running, point: int) -> list[float]:
    """Values of a point that came by subscription."""
    return [
        float(reading.values[list(reading.points).index(point)])
        for reading in it.sink.readings
        if not reading.requested_ms and point in reading.points
    ]


HURRIED = {"timeout_ms": 250, "connect_timeout_ms": 600, "reconnect_ms": 200}
"""Where time-outs are waited for."""


async def follows(it: Running, peer: Peer, value: float, *, by_subscription: bool = True) -> None:
    """A change at the server is seen, and brought by subscription."""
    peer.put("Double", value)
    await it.sees(0, value)
    if by_subscription:
        await it.sink.until(lambda: value in notified(it, 0))


async def test_news_come_by_subscription_and_silence_is_confirmed_by_few_reads(peer: Peer) -> None:
    async with running(plain(peer.endpoint)) as it:
        await follows(it, peer, 1.25)
        for _ in range(20):
            it.sink.readings.clear()
            before, missed, began_ms = it.sink.counts["ok"], it.driver.missed_polls, RealClock().mono_ms()
            with MachineWatch() as machine:
                await it.sink.until(lambda since=began_ms: RealClock().mono_ms() - since > 1_500)  # type: ignore[misc]
            if machine.stood_still_s < 0.1:
                break
        # Nothing changed, yet nothing grew older than half of its `fresh_for` of a second and a poll.
        times = [began_ms, *(reading.received_ms for reading in it.sink.readings if 0 in reading.points)]
        assert max(later - earlier for earlier, later in pairwise([*times, began_ms + 1_500])) < 1_000
        confirmed = len([reading for reading in it.sink.readings if reading.requested_ms])
        assert 1 <= confirmed <= 8 < 1_500 / 100
        assert it.sink.counts["ok"] - before <= 15
        assert it.driver.missed_polls - missed <= 1


async def test_a_session_that_is_kicked_comes_back_by_itself(peer: Peer) -> None:
    async with running(plain(peer.endpoint)) as it:
        await follows(it, peer, 1.0)
        before = peer.state()["sessions"]
        for value in (2.0, 3.0):
            peer.kick()
            await it.sink.until(lambda: peer.state()["open"] == 1)
            await follows(it, peer, value)
        assert peer.state()["sessions"] == before + 2
        assert (await it.command((1, 7.0))).kind is OutcomeKind.ACKNOWLEDGED
        assert it.sink.flips("") == [True]
    assert peer.has_no_session()


async def test_a_server_that_ends_every_session_is_not_stormed(peer: Peer) -> None:
    async with running(plain(peer.endpoint, timeout_ms=5_000), clock=RateClock(5, RealClock()), rate=5.0) as it:
        await it.sees(0, -2.25)
        before, began_ms = peer.state()["sessions"], RealClock().mono_ms()
        peer.hostile(True)
        peer.kick()
        try:
            await it.sink.until(lambda: RealClock().mono_ms() - began_ms > 3_000)
            # Each lives for 0.2 s: at once again would be 15. In the end there is one in 5 s of the fast clock.
            await it.sink.until(lambda: peer.state()["sessions"] - before >= 2)
            opened, took_ms = peer.state()["sessions"] - before, RealClock().mono_ms() - began_ms
            assert opened <= 8 + (took_ms - 3_000) / 1_000
        finally:
            peer.hostile(False)
        await follows(it, peer, 1.0)


async def test_subscriptions_that_the_server_ends_are_made_anew(peer: Peer) -> None:
    async with running(plain(peer.endpoint)) as it:
        await follows(it, peer, 1.0)
        sessions = peer.state()["sessions"]
        peer.drop_subscriptions()
        await follows(it, peer, 2.0)
        assert peer.state()["sessions"] == sessions
        assert all(quality == Quality.GOOD for _, quality, _ in it.sink.last.values())


async def test_a_subscription_that_lives_but_brings_no_news_is_found_out(peer: Peer) -> None:
    async with running(plain(peer.endpoint, timeout_ms=1_500)) as it:
        await follows(it, peer, 1.0)
        sessions = peer.state()["sessions"]
        peer.mute()
        # Reads bring what it does not, so nothing is stale; and as they differ from its news, it is replaced.
        await follows(it, peer, 2.0, by_subscription=False)
        await it.sink.until(lambda: 2.0 in notified(it, 0))
        await follows(it, peer, 3.0)
        assert peer.state()["sessions"] == sessions


async def test_operation_limits_are_kept_and_halved_where_they_were_not_said(peer: Peer) -> None:
    many = [point(f"m{n}", f"{SITE}s=Many/{n}") for n in range(60)]
    for subscribe in (True, False):
        peer.limit(maxNodesPerRead=7, maxMonitoredItemsPerCall=9)
        async with running(link(peer.endpoint, device("d", *many), subscribe=subscribe)) as it:
            await it.sink.until(lambda: [it.good(n) for n in range(60)] == list(range(60)))
            assert it.sink.counts["exception"] == 0
            # Now the server takes less than it said when the session began.
            peer.limit(maxNodesPerRead=3)
            it.driver.read(range(60), 0)
            await it.sink.until(lambda: it.sink.counts["exception"])
            for n in (0, 59):
                peer.put(f"Many/{n}", n + 0.5)
                await it.sees(n, n + 0.5)
                peer.put(f"Many/{n}", n)
            await it.sees(59, 59)
            assert it.sink.flips("d") == [True]


async def test_a_server_that_restarts_with_shifted_namespaces_is_found_again() -> None:
    peer = Peer()
    try:
        async with running(plain(peer.endpoint)) as it:
            await follows(it, peer, 1.0)
            peer.kill()
            await it.sink.until(lambda: it.sink.flips("") == [True, False])
            assert it.sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN)
            withheld = await it.command((1, 3.0))
            assert withheld.kind is OutcomeKind.WITHHELD and "link scada is down" in withheld.detail
            peer.options["shift"] = 3
            peer.start()
            await it.sees(0, -2.25)
            await follows(it, peer, 9.0)
            assert (await it.command((1, 9.0))).kind is OutcomeKind.ACKNOWLEDGED
            assert peer.value("Byte") == 9
            assert it.sink.flips("") == it.sink.flips("d") == [True, False, True]
    finally:
        peer.close()


async def test_a_black_hole_is_noticed_and_left_and_no_other_link_feels_it(peer: Peer) -> None:
    async with black_hole(peer.port) as hole:
        far = plain(f"opc.tcp://127.0.0.1:{hole.port}/site", name="far", **HURRIED)
        near = plain(peer.endpoint, name="near", subscribe=False)
        async with running(far) as it, running(near) as other:
            await follows(it, peer, 1.0)
            hole.swallow()
            polls = len(other.sink.readings)
            unsure = await it.command((1, 55.0))
            assert unsure.kind is OutcomeKind.TIMED_OUT and "may or may not have been applied" in unsure.detail
            await it.sink.until(lambda: it.sink.flips("") == [True, False])
            (_, down) = [e for e in it.sink.events if isinstance(e, LinkChanged) and not e.device]
            assert "no answer within" in down.cause
            await other.sink.until(lambda: len(other.sink.readings) >= polls + 10)
            assert all(quality == Quality.GOOD for _, quality, _ in other.sink.last.values())
            assert other.sink.flips("") == [True]
            assert it.sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN)
            hole.heal()
            await it.sink.until(lambda: it.sink.flips("") == [True, False, True])
            await follows(it, peer, 2.0)
            await it.sink.until(lambda: it.sink.flips("d") == [True, False, True])


async def test_a_server_whose_event_loop_stands_still(peer: Peer) -> None:
    async with running(plain(peer.endpoint, **HURRIED)) as it:
        await follows(it, peer, 1.0)
        peer.freeze()
        try:
            await it.sink.until(lambda: it.sink.last[0][1:] == (Quality.BAD, Cause.TIMEOUT))
            assert (await it.command((1, 55.0))).kind in (OutcomeKind.TIMED_OUT, OutcomeKind.WITHHELD)
            await it.sink.until(lambda: it.sink.flips("") == [True, False])
        finally:
            peer.thaw()
        await it.sink.until(lambda: it.sink.flips("") == [True, False, True])
        await follows(it, peer, 2.0)


async def test_an_address_that_the_server_gives_for_itself_is_not_used() -> None:
    peer = Peer(hostname="plant-server.invalid")
    try:
        async with running(plain(peer.endpoint)) as it:
            await follows(it, peer, 4.0)
    finally:
        peer.close()


async def test_time_may_run_faster(peer: Peer) -> None:
    site = plain(peer.endpoint, timeout_ms=5_000, connect_timeout_ms=15_000)
    fast = link(peer.endpoint, device("d", *site.devices[0].points, poll_ms=1_000), timeout_ms=5_000)
    async with running(fast, clock=RateClock(10, RealClock()), rate=10.0) as it:
        await follows(it, peer, 6.0)
        assert it.sink.flips("") == [True]


async def test_items_in_three_sessions_come_back_when_all_are_kicked(peer: Peer) -> None:
    many = [point(f"m{n}", f"{SITE}s=Many/{n}", access="r") for n in range(60)]
    site = link(peer.endpoint, device("d", *many), session_items=25)
    async with running(site) as it:
        await it.sink.until(lambda: peer.state()["open"] == 3)
        await it.sink.until(lambda: [it.good(n) for n in range(60)] == list(range(60)))
        before = peer.state()["sessions"]
        peer.kick()
        await it.sink.until(lambda: peer.state()["sessions"] >= before + 3 and peer.state()["open"] == 3)
        for n in (0, 30, 59):
            peer.put(f"Many/{n}", n + 0.5)
            await it.sees(n, n + 0.5)
            await it.sink.until(lambda n=n: n + 0.5 in notified(it, n))  # type: ignore[misc]
            peer.put(f"Many/{n}", n)
        assert it.sink.flips("") == [True]
    assert peer.has_no_session(or_lapsed=True)
