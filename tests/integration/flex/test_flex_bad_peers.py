"""Peers that do not behave: each is bounded, told, and changes nothing for the others."""

from __future__ import annotations

import asyncio
import socket as sockets
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import aiohttp
import orjson
import pytest

from scowl_edge.drivers.flex import FRAME_MAX_BYTES, frame
from scowl_edge.drivers.flex.link_tls import client_context
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.drivers.flex.session_intake import Rate
from scowl_edge.drivers.flex.session_outbox import MANY
from scowl_edge.model.exchange import Ack, AckStatus, Cancel, Code, Hello, NodeRole
from tests.integration.flex.flex_nodes import (
    CEM,
    DSRSP,
    Daemon,
    Region,
    ack_of,
    manager,
    numbers,
    provider,
    raw_socket,
    read,
    told,
    until,
)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("bad"))


def padded(size: int) -> str:
    """A valid frame of exactly so many bytes."""
    raw = orjson.loads(frame(told(1), 2))
    raw["pad"] = ""
    raw["pad"] = "x" * (size - len(orjson.dumps(raw)))
    data = orjson.dumps(raw)
    assert len(data) == size
    return data.decode()


async def test_a_foreign_name_closes_the_link(region: Region) -> None:
    there = Daemon()
    async with (
        provider(region.tls(DSRSP), there) as listener,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        message = told(1, src="cem:house-9")
        await socket.send_str(frame(message, 2).decode())
        ack = await ack_of(socket, message.id)
        assert (ack.status, ack.code) == (AckStatus.PERMANENT_ERROR, Code.AUTH_FAILED)
        closing = await socket.receive()
        assert closing.type is aiohttp.WSMsgType.CLOSE and closing.data == 1008
        assert "cem:house-9" in closing.extra and there.messages == []


async def test_the_longest_frame_and_one_byte_more(region: Region) -> None:
    there = Daemon()
    async with (
        provider(region.tls(DSRSP), there) as listener,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        longest = padded(FRAME_MAX_BYTES)
        await socket.send_str(longest)
        assert (await ack_of(socket, orjson.loads(longest)["id"])).status is AckStatus.OK
        await socket.send_str(padded(FRAME_MAX_BYTES + 1))
        _, answer = await read(socket)
        assert isinstance(answer.body, Ack) and answer.body.code is Code.SCHEMA
        assert "longer than 1048576" in answer.body.detail
        closing = await socket.receive()
        assert closing.type is aiohttp.WSMsgType.CLOSE and closing.data == 1009
        assert len(there.messages) == 1
        await until(lambda: there.state is LinkState.DOWN, "down")


async def test_a_far_too_long_frame_and_a_binary_one(region: Region) -> None:
    there = Daemon()
    async with provider(region.tls(DSRSP), there) as listener:
        for data, code in (("x" * (2 * FRAME_MAX_BYTES), 1009), (b"{}", 1003)):
            async with raw_socket(listener.url, region.tls(CEM)) as socket:
                await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))
                while (closing := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert closing.data == code
        assert there.messages == []


async def test_rubbish_is_answered_and_changes_nothing(region: Region) -> None:
    there = Daemon()
    async with (
        provider(region.tls(DSRSP), there) as listener,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        good = orjson.loads(frame(told(1), 2))
        for text, code in (
            ("not JSON", Code.BAD_JSON),
            ("[" * 100_000, Code.BAD_JSON),
            (orjson.dumps({**good, "type": "hallo"}).decode(), Code.UNSUPPORTED),
            (orjson.dumps({**good, "body": {}}).decode(), Code.SCHEMA),
        ):
            await socket.send_str(text)
            _, answer = await read(socket)
            assert isinstance(answer.body, Ack) and answer.body.code is code
        assert there.messages == [] and there.state is LinkState.UP
        await socket.send_str(orjson.dumps({**good, "seq": 6}).decode())
        assert (await ack_of(socket, good["id"])).status is AckStatus.OK
        assert listener.link(CEM).session.gaps_total == 0


async def test_a_used_id_and_a_wrong_clock(region: Region) -> None:
    there = Daemon()
    async with (
        provider(region.tls(DSRSP), there) as listener,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        first, other = orjson.loads(frame(told(1), 2)), orjson.loads(frame(told(2), 3))
        for seq, raw, code in ((2, first, None), (3, first, None), (4, {**other, "id": first["id"]}, "DUPLICATE_ID")):
            await socket.send_str(orjson.dumps({**raw, "seq": seq}).decode())
            ack = await ack_of(socket, first["id"])
            assert ack.code == code
        cancel = told(0, body=Cancel(select_id=first["id"], esa_id="esa-00000001"))
        ahead = {**orjson.loads(frame(cancel, 5)), "ts": "2093-01-01T00:00:00Z"}
        await socket.send_str(orjson.dumps(ahead).decode())
        assert (await ack_of(socket, cancel.id)).code is Code.CLOCK_SKEW
        assert numbers(there) == [1]


async def test_a_flood_is_slowed_and_others_go_on(region: Region) -> None:
    here, there = Daemon(), Daemon()
    async with (
        provider(region.tls(DSRSP), there, rate=Rate(per_s=20, burst=40)) as listener,
        manager(listener.url, region.tls("cem:house-2"), here, node="cem:house-2") as dialer,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        await until(lambda: here.state is LinkState.UP, "the other is up")
        flood = asyncio.create_task(_flood(socket))
        try:
            await until(lambda: listener.link(CEM).session.slowed_total >= 3, "slowed")
            message = told(5, src="cem:house-2")
            dialer.link.send(message)
            await until(lambda: message.id in here.answers, "the other is served")
            began = asyncio.get_running_loop().time()
            taken = len(there.messages)
            slowed = listener.link(CEM).session.slowed_total
            await until(lambda: listener.link(CEM).session.slowed_total >= slowed + 10, "still slowed")
            passed_s = asyncio.get_running_loop().time() - began
            # Twenty a second, and what the bucket holds at most.
            assert len(there.messages) - taken <= 20 * passed_s + 41
        finally:
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
            # No closing in order: what was written would be read first, slowly.
            _transport(socket).abort()


def _transport(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    assert socket._conn is not None and socket._conn.transport is not None
    return socket._conn.transport


async def _flood(socket: aiohttp.ClientWebSocketResponse) -> None:
    for seq in range(2, 1_000_000):
        await socket.send_str(frame(told(seq), seq).decode())


async def test_a_peer_that_reads_nothing_is_bounded(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scowl_edge.drivers.flex.link_socket.STALL_S", 0.3)
    there = Daemon()
    async with (
        provider(region.tls(DSRSP), there, rate=Rate(per_s=50_000, burst=50_000)) as listener,
        raw_socket(listener.url, region.tls(CEM)) as socket,
    ):
        raw = socket.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
        for one in listener._connections:
            assert one._transport is not None
            one._transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4_096)
        _transport(socket).pause_reading()  # type: ignore[attr-defined]
        faults = [listener.send(CEM, told(number, src=DSRSP, dst=CEM)) for number in range(MANY.most + 9)]
        assert faults[: MANY.most] == [""] * MANY.most
        assert all("messages wait already" in fault for fault in faults[MANY.most :])
        # Its own messages are answered, and it takes no answer: it is cut off at last.
        await _until_cut(socket)
        await until(lambda: listener.connections == 0, "nothing is left open")
        assert "took nothing" in there.causes or "takes no answers" in there.causes


async def _until_cut(socket: aiohttp.ClientWebSocketResponse) -> None:
    try:
        for seq in range(2, 1_000_000):
            await socket.send_str(frame(told(seq), seq).decode())
    except (ConnectionError, aiohttp.ClientError):
        return
    raise AssertionError("never cut")


async def test_https_tells_problems(region: Region) -> None:
    there = Daemon()
    connector = aiohttp.TCPConnector(ssl=client_context(region.tls(CEM)))
    async with (
        provider(region.tls(DSRSP), there) as listener,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        url = listener.url + "/flex/v1/messages"

        async def post(data: bytes | str) -> tuple[int, dict[str, object]]:
            async with http.post(url, data=BytesIO(data.encode() if isinstance(data, str) else data)) as answer:
                text = await answer.read()
                assert answer.status < 400 or answer.content_type == "application/problem+json"
                return answer.status, orjson.loads(text) if text else {}

        first = told(1)
        assert (await post(frame(first, 1)))[1]["code"] == "BUSY"
        async with http.get(url) as answer:
            assert answer.status == 409
        status, ack = await post(frame(told(0, body=Hello(versions=("1.0",), role=NodeRole.CEM)), 1))
        assert status == 200 and ack["type"] == "hello_ack"
        status, ack = await post(frame(first, 2))
        assert (status, ack["type"], ack["corr"]) == (200, "ack", first.id)
        for data, wanted, code in (
            (b"{", 400, "BAD_JSON"),
            (padded(FRAME_MAX_BYTES + 100_000), 413, "SCHEMA"),
            (frame(told(2), 3).replace(b'"state"', b'"stat"'), 422, "UNSUPPORTED"),
        ):
            status, told_back = await post(data)
            assert (status, told_back["code"], told_back["status"]) == (wanted, code, wanted)
        async with http.get(url, params={"after": "-1"}) as answer:
            assert answer.status == 422
        back = told(4, src=DSRSP, dst=CEM)
        listener.send(CEM, back)
        for _ in range(2):
            # Until it is said to be there, a frame is given again.
            async with http.get(url, params={"after": "0"}) as answer:
                frames = [one for one in await answer.json() if one["type"] == "state"]
            assert [one["id"] for one in frames] == [back.id]
        assert (await post(frame(told(9, src="cem:house-9"), 4)))[0] == 401
        assert numbers(there) == [1]


async def test_a_flood_over_https_is_refused(region: Region) -> None:
    there = Daemon()
    connector = aiohttp.TCPConnector(ssl=client_context(region.tls(CEM)))
    async with (
        provider(region.tls(DSRSP), there, rate=Rate(per_s=1, burst=5)) as listener,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        statuses = []
        for seq in range(1, 12):
            body = Hello(versions=("1.0",), role=NodeRole.CEM) if seq == 1 else None
            async with http.post(listener.url + "/flex/v1/messages", data=frame(told(seq, body=body), seq)) as answer:
                statuses.append(answer.status)
                assert answer.status != 429 or int(answer.headers["Retry-After"]) >= 1
        assert statuses[:5] == [200] * 5 and 429 in statuses
        assert len(there.messages) == statuses.count(200) - 1


async def test_too_many_connections_of_one_peer(region: Region, tmp_path: Path) -> None:
    there = Daemon()
    context = client_context(region.tls(CEM))
    async with provider(region.tls(DSRSP), there) as listener:
        port = int(listener.url.rsplit(":", 1)[1])
        held = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(4)]
        await until(lambda: listener.connections == 4, "four are open")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        assert listener.connections == 4 and listener.refused_total == 1
        for _, one in [*held, (reader, writer)]:
            one.close()
        await until(lambda: listener.connections == 0, "closed")
