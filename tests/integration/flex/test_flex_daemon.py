"""A daemon among peers that do not behave: each is bounded and told, and what is refused changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from scowl_edge.clocks import wall_ms
from scowl_edge.daemon import Daemon
from scowl_edge.drivers.flex import FRAME_MAX_BYTES, frame
from scowl_edge.model.exchange import Ack, AckStatus, Code, OfferWithdraw, Running, State, WithdrawReason
from scowl_edge.model.flexibility import OfferSet, OverrideScope
from tests.integration.flex.flex_house import Peer, held, provider_of, refused, register, running, times_told, url
from tests.integration.flex.flex_nodes import CEM, DSRSP, Region, raw_socket, read, told, until

OTHER = "cem:house-2"


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("daemon"))


def state(number: int, value: Running = Running.IDLE) -> State:
    return State(esa_id=f"esa-{number:08d}", value=value, override=OverrideScope.NONE)


async def test_what_is_refused_changes_nothing(region: Region, tmp_path: Path) -> None:
    async with (
        running(region.tls(DSRSP), tmp_path) as daemon,
        raw_socket(url(daemon), region.tls(CEM)) as one_socket,
        raw_socket(url(daemon), region.tls(OTHER), node=OTHER) as other_socket,
    ):
        one, other = Peer(one_socket), Peer(other_socket, OTHER)
        first, ack = await one.tell(register(1))
        assert ack.status is AckStatus.OK
        assert (await other.tell(register(2)))[1].status is AckStatus.OK
        await until(lambda: len(provider_of(daemon).mirrors) == 2, "both known")
        before = held(daemon)
        withdraw = OfferWithdraw(esa_id="esa-00000002", offer_ids=(told(0).id,), reason=WithdrawReason.FAULT)
        offers = told(0, body=OfferSet(esa_id="esa-00000001", rev=1, offers=()))
        for message, code in (
            (replace(told(1, body=state(1)), id=first.id), Code.DUPLICATE_ID),
            (told(1, dst="dsrsp:elsewhere"), Code.UNKNOWN_ESA),
            (told(1, body=withdraw), Code.UNKNOWN_ESA),
            (told(1, body=register(2)), Code.UNKNOWN_ESA),
            (told(9), Code.UNKNOWN_ESA),
            (replace(offers, ts_ms=wall_ms() + 60_000), Code.CLOCK_SKEW),
            (replace(told(1), ts_ms=wall_ms() - 3 * 86_400_000), Code.EXPIRED),
            (replace(told(1), ts_ms=wall_ms() + 3 * 86_400_000), Code.CLOCK_SKEW),
        ):
            answer = await one.say(message)
            assert answer.code is code, f"{message}: {answer}"
        assert refused(daemon) == 3, "what reached the core"
        assert held(daemon) == before
        # A frame that is too long ends the link; the other one does not notice.
        await one.socket.send_str("x" * (FRAME_MAX_BYTES + 1))
        _, told_why = await read(one.socket)
        assert isinstance(told_why.body, Ack) and told_why.body.code is Code.SCHEMA
        assert (await one.socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await until(lambda: not provider_of(daemon).up[CEM], "the link is down")
        assert (await other.tell(state(2, Running.RUNNING)))[1].status is AckStatus.OK
        assert daemon.core.memory.situation.failed_steps == 0


@pytest.mark.parametrize("noted", [True, False])
async def test_recorded_frames_count_once_after_a_reconnect_and_after_a_restart(
    region: Region, tmp_path: Path, noted: bool
) -> None:
    recorded = [told(1, body=register(1)), told(1, body=state(1)), told(1, body=state(1, Running.RUNNING))]
    foreign = told(7)
    ids = [m.id for m in recorded]
    for start in range(3):
        async with running(region.tls(DSRSP), tmp_path) as daemon:
            for connection in range(2):
                async with raw_socket(url(daemon), region.tls(CEM)) as socket:
                    peer = Peer(socket)
                    for message in recorded:
                        answer = await peer.say(message)
                        assert answer.status is AckStatus.OK, f"start {start}, connection {connection}: {answer}"
                    # What was refused is refused again, before and after.
                    assert (await peer.say(foreign)).code is Code.UNKNOWN_ESA
                await until(lambda d=daemon: not provider_of(d).up.get(CEM), "down")  # type: ignore[misc]
            if noted:
                # Nothing of it lies behind the snapshot: only the notes of what was answered know it.
                await daemon.settled()
                daemon.loop.turn.snapshot()
    counted = times_told(tmp_path)
    assert [counted[i] for i in ids] == [1, 1, 1]
    assert counted[foreign.id] == 1, "a refusal is told again, not found again"


async def test_a_flood_on_one_link_leaves_the_others_alone(region: Region, tmp_path: Path) -> None:
    async with (
        running(region.tls(DSRSP), tmp_path) as daemon,
        raw_socket(url(daemon), region.tls(CEM)) as flooding,
        raw_socket(url(daemon), region.tls(OTHER), node=OTHER) as other_socket,
    ):
        other = Peer(other_socket, OTHER)
        await other.tell(register(2))
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for seq in range(2, 30_000):
                await flooding.send_str(frame(told(1), seq).decode())
                sent += 1

        task = asyncio.create_task(flood())
        codes: set[Code | None] = set()

        async def drain() -> None:
            async for raw in flooding:
                if raw.type is aiohttp.WSMsgType.TEXT:
                    codes.add(_code(raw.data))

        drained = asyncio.create_task(drain())
        await until(lambda: sent > 500, "the flood has begun")
        for _ in range(5):
            assert (await other.tell(state(2)))[1].status is AckStatus.OK
        troubles = daemon.flex_troubles
        assert troubles is not None and troubles.happened["unadmitted"] == 0
        await until(lambda: slowed(daemon), "slowed, and that shows")
        assert codes <= {None, Code.UNKNOWN_ESA, Code.RATE, Code.BUSY}
        assert daemon.inbox.refused_messages == 0
        assert "esa-00000001" not in provider_of(daemon).mirrors
        assert daemon.core.memory.situation.failed_steps == 0
        task.cancel()
        drained.cancel()
        await asyncio.gather(task, drained, return_exceptions=True)


def slowed(daemon: Daemon) -> int:
    troubles = daemon.flex_troubles
    assert troubles is not None
    return troubles.happened["slowed"] + troubles.refused.get("RATE", 0)


def _code(data: str) -> Code | None:
    from scowl_edge.drivers.flex.envelope import parse

    body = parse(data)[1].body
    return body.code if isinstance(body, Ack) else None


async def test_a_silent_manager_is_down_and_its_offers_are_gone(region: Region, tmp_path: Path) -> None:
    async with (
        running(region.tls(DSRSP), tmp_path, rate=60) as daemon,
        raw_socket(url(daemon), region.tls(CEM)) as socket,
    ):
        peer = Peer(socket)
        message = replace(told(1, body=register(1)), ts_ms=daemon.clock.utc_ms())
        assert (await peer.say(message)).status is AckStatus.OK
        await until(lambda: provider_of(daemon).up.get(CEM) is True, "up")
        # Two minutes of the daemon's clock, in which the socket stays open and nothing is said.
        await until(lambda: provider_of(daemon).up[CEM] is False, "down")
        mirror = provider_of(daemon).mirrors["esa-00000001"]
        assert mirror.lost and mirror.offer_set is None
        view = daemon.region()
        assert view is not None and view.flex is not None
        assert [(peer.node, peer.up) for peer in view.flex.peers] == [(CEM, False)], "and everybody can see it"
