"""Links over real sockets with mutual TLS: what goes well, and what may go wrong between two nodes of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from scowl_edge.clocks import boottime_ms, wall_ms
from scowl_edge.drivers.flex.link_tls import FlexTls, client_context, server_context
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.drivers.flex.session_timing import Now
from scowl_edge.model.exchange import AckStatus
from tests.integration.flex.flex_nodes import (
    CEM,
    DSRSP,
    QUICK,
    Daemon,
    Region,
    foreign,
    manager,
    numbers,
    provider,
    raw_socket,
    told,
    until,
)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("region"))


async def test_messages_go_both_ways_and_are_acknowledged_once_stored(region: Region) -> None:
    here, there = Daemon(), Daemon()
    there.stores = False
    async with (
        provider(region.tls(DSRSP), there) as listener,
        manager(listener.url, region.tls(CEM), here) as dialer,
    ):
        await until(lambda: here.state is there.state is LinkState.UP, "up")
        assert listener.connections == 1 and not dialer.over_https
        messages = [told(number) for number in range(100)]
        for message in messages:
            assert dialer.link.send(message) == ""
        # A window of them is under way, and none is acknowledged before it is stored.
        await until(lambda: len(there.messages) == 32, "a window")
        assert here.answers == {}
        there.stores = True
        for message in list(there.messages):
            there.store(CEM, message.id)
        await until(lambda: len(here.answers) == 100, "acknowledged")
        assert numbers(there) == list(range(100))
        assert {ack.status for ack, _ in here.answers.values() if ack is not None} == {AckStatus.OK}
        back = told(7, src=DSRSP, dst=CEM)
        assert listener.send(CEM, back) == ""
        await until(lambda: back.id in there.answers, "back")
        assert numbers(here) == [7] and here.resyncs == ["a new session"]


async def test_a_listener_that_restarts_loses_and_doubles_nothing(region: Region) -> None:
    here, tls, total = Daemon(), region.tls(DSRSP), 60
    first, second = Daemon(), Daemon()
    async with provider(tls, first) as listener:
        port = int(listener.url.rsplit(":", 1)[1])
        async with manager(listener.url, region.tls(CEM), here) as dialer:
            await until(lambda: here.state is LinkState.UP, "up")
            for number in range(total // 2):
                dialer.link.send(told(number))
            await until(lambda: len(first.messages) >= 5, "mid-flow")
            await listener.close()
            await until(lambda: here.state is LinkState.DOWN, "down")
            for number in range(total // 2, total):
                dialer.link.send(told(number))
            async with provider(tls, second, port=port) as again:
                again.link(CEM).session.remember(first.known, 0, Now(boottime_ms(), wall_ms(), True))
                await until(lambda: len(here.answers) == total, "all acknowledged")
    assert numbers(first) + numbers(second) == list(range(total))


async def test_https_when_no_websocket_comes_about(region: Region) -> None:
    here, there = Daemon(), Daemon()
    async with provider(region.tls(DSRSP), there) as listener:
        async with manager(listener.url, region.tls(CEM), here) as dialer:
            dialer._no_upgrade = 3
            await until(lambda: here.state is there.state is LinkState.UP, "up over HTTPS")
            assert dialer.over_https
            for number in range(20):
                dialer.link.send(told(number))
                listener.send(CEM, told(number, src=DSRSP, dst=CEM))
            await until(lambda: len(here.answers) == len(there.answers) == 20, "acknowledged")
            assert numbers(here) == numbers(there) == list(range(20))
            assert here.resyncs == there.resyncs == ["a new session"]
        await until(lambda: listener.connections == 0, "closed")


async def test_a_proxy_that_makes_no_websocket(region: Region) -> None:
    """One that a site trusts with its certificate, and that knows only requests and answers."""
    here, there = Daemon(), Daemon()
    mine, front = region.tls(CEM), region.tls(DSRSP)
    async with (
        provider(region.tls(DSRSP), there) as listener,
        plain_proxy(listener.url, mine, front) as (url, upgrades),
        manager(url, mine, here) as dialer,
    ):
        await until(lambda: here.state is LinkState.UP, "up")
        assert dialer.over_https and len(upgrades) == 3
        message = told(1)
        dialer.link.send(message)
        await until(lambda: message.id in here.answers, "acknowledged")
        assert numbers(there) == [1]


@asynccontextmanager
async def plain_proxy(target: str, mine: FlexTls, front: FlexTls) -> AsyncIterator[tuple[str, list[str]]]:
    """Hands requests on in the name of one node, and answers an upgrade as if it were none."""
    upgrades: list[str] = []
    connector = aiohttp.TCPConnector(ssl=client_context(mine))

    async with aiohttp.ClientSession(connector=connector) as http:

        async def handle(request: web.Request) -> web.Response:
            if "Upgrade" in request.headers:
                upgrades.append(request.path)
                return web.Response(status=502)
            async with http.request(request.method, target + request.path_qs, data=await request.read()) as answer:
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=answer.content_type or None
                )

        app = web.Application(client_max_size=2 << 20)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(front))
        await site.start()
        try:
            yield f"https://127.0.0.1:{runner.addresses[0][1]}", upgrades
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("case", ["foreign issuer", "expired", "no node id", "wrong pin"])
async def test_who_is_not_admitted(region: Region, tmp_path: Path, case: str) -> None:
    here, there = Daemon(), Daemon()
    right = region.tls(DSRSP)
    mine = region.tls(CEM)
    pins = {}
    if case == "foreign issuer":
        mine = replace(foreign(tmp_path, CEM), ca=right.ca)
    elif case == "expired":
        mine = region.tls("cem:old", expired=True)
    elif case == "no node id":
        mine = region.tls("somebody")
    else:
        pins = {CEM: "00" * 32}
    async with (
        provider(right, there, pins=pins) as listener,
        manager(listener.url, mine, here) as dialer,
    ):
        await until(lambda: here.changes, "told")
        assert here.state is LinkState.DOWN and there.changes == []
        assert dialer.link.session.state is LinkState.DOWN
        if case in ("no node id", "wrong pin"):
            assert "does not admit this node (401)" in here.causes
            assert listener.refused_total >= 1
        await until(lambda: listener.connections == 0, "nothing is left open")


@pytest.mark.parametrize("case", ["foreign issuer", "another node", "wrong pin"])
async def test_a_listener_that_is_not_the_right_one_hears_nothing(region: Region, tmp_path: Path, case: str) -> None:
    here, there = Daemon(), Daemon()
    tls = foreign(tmp_path, DSRSP) if case == "foreign issuer" else region.tls(DSRSP)
    mine = region.tls(CEM)
    tls = replace(tls, ca=mine.ca)
    peer, pin = ("dsrsp:other" if case == "another node" else DSRSP), ("11" * 32 if case == "wrong pin" else "")
    async with provider(tls, there) as listener, manager(listener.url, mine, here, peer=peer, pin=pin):
        await until(lambda: here.changes, "told")
        said = {"foreign issuer": "certificate verify failed", "another node": "not dsrsp:other", "wrong pin": "pinned"}
        assert said[case] in here.causes
        assert there.changes == [] and there.messages == []


async def test_a_revoked_certificate_ends_its_link_and_only_others_come_back(region: Region, tmp_path: Path) -> None:
    site = Region(tmp_path)
    listed = tmp_path / "revoked.pem"
    site.issuer.revoke([], listed)
    tls = replace(site.tls(DSRSP), revoked=listed)
    good, bad, there = Daemon(), Daemon(), Daemon()
    mine, other = site.tls(CEM), site.tls("cem:house-2")
    async with (
        provider(tls, there) as listener,
        manager(listener.url, mine, good),
        manager(listener.url, other, bad, node="cem:house-2"),
    ):
        await until(lambda: good.state is bad.state is LinkState.UP, "both up")
        site.issuer.revoke([other.certificate], listed)
        await listener.refresh()
        await until(lambda: bad.state is LinkState.DOWN, "revoked")
        await until(lambda: [one.state for one in good.changes].count(LinkState.UP) == 2, "the good one is back")
        await until(lambda: len(bad.changes) >= 3, "and the other is told why it is not")
        assert bad.state is LinkState.DOWN
        assert "certificates changed" in bad.causes


async def test_a_pin_that_changes_ends_one_link_alone(region: Region) -> None:
    good, bad, there = Daemon(), Daemon(), Daemon()
    async with (
        provider(region.tls(DSRSP), there) as listener,
        manager(listener.url, region.tls(CEM), good),
        manager(listener.url, region.tls("cem:house-2"), bad, node="cem:house-2"),
    ):
        await until(lambda: good.state is bad.state is LinkState.UP, "both up")
        listener.pin({"cem:house-2": "22" * 32})
        await until(lambda: bad.state is LinkState.DOWN, "closed")
        assert good.state is LinkState.UP and len(good.changes) == 1


async def test_a_silent_peer_is_stale_and_then_lost(region: Region) -> None:
    there = Daemon()
    timers = replace(QUICK, heartbeat_s=5, loss_ms=300, ping_s=3_600)
    async with provider(region.tls(DSRSP), there, timers=timers) as listener:
        async with raw_socket(listener.url, region.tls(CEM)) as socket:
            await until(lambda: there.state is LinkState.DOWN and there.changes, "lost")
            assert "link_lost: silent for 300 ms" in there.causes
            while not socket.closed:
                await socket.receive()
            assert socket.close_code == 1001
        await until(lambda: listener.connections == 0, "closed")
