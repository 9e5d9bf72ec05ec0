"""The live stream over real sockets: what it says, to how many, and who is dropped."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from scowl_edge.web import LiveFeed, TokenSource, live
from tests.integration.web.cabinet import TOKEN, Site, State, device, region_view, serving_site
from tests.integration.web.contract import must_fit

LIVE = "/api/v1/live"
TICK_S = 0.05
LISTS = ("trees", "devices", "ratings", "alarms", "decisions")


async def until(reached: Callable[[], object], what: str, within_s: float = 60.0) -> None:
    """Waits for something that happens by itself."""
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110 - what is looked at tells nobody when it changes
            await asyncio.sleep(0.01)
    assert reached(), what


async def states(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Data of the `state` events of a stream, one after the other."""
    async for event in events(answer):
        if event:
            assert (event["event"], set(event)) == ("state", {"id", "event", "data"})
            yield json.loads(event["data"])


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Events of a stream by the rules of its format, a comment as an empty one."""
    lines: list[str] = []
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text:
            lines.append(text)
            continue
        yield dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        lines = []


@asynccontextmanager
async def looking(site: Site, path: str = LIVE, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A viewer's stream."""
    # Whole messages are longer than a line commonly is.
    async with site.http.get(site.url + path, headers=headers, read_bufsize=2**22, max_line_size=2**22) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        yield answer


@pytest.fixture
async def feed(state: State) -> LiveFeed:
    """The feed of the `watched` site."""
    return LiveFeed(state, stall_s=0.5, tick_s=TICK_S)


@pytest.fixture
async def watched(state: State, feed: LiveFeed, tmp_path: Path) -> AsyncIterator[Site]:
    """A site whose feed a test can look at."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    async with serving_site(state, token_file, operator=TokenSource("token", token_file, None), feed=feed) as site:
        yield site


@pytest.mark.parametrize("coding", ["gzip", "identity", "deflate, gzip;q=0"])
async def test_a_message_is_what_the_other_endpoints_say(watched: Site, coding: str) -> None:
    document = await watched.json("/api/v1/openapi.json")
    async with looking(watched, **{"Accept-Encoding": coding}) as answer:
        assert (answer.headers.get("Content-Encoding") == "gzip") is (coding == "gzip")
        stream = states(answer)
        first = await anext(stream)
        must_fit(document, "LiveOut", first)
        assert first["region"] == await watched.json("/api/v1/region")
        for name in LISTS:
            assert first[name] == (await watched.json(f"/api/v1/{name}"))[name], name
        assert first["events"] == (await watched.json("/api/v1/events"))["events"]
        watched.state.step(rung="starve", devices=(device("hall-a", "consumer", state="starved"),))
        second = await anext(stream)
        assert (second["region"]["step"], second["region"]["rung"]) == (43, "starve")
        assert [entry["state"] for entry in second["devices"]] == ["starved"]


async def test_several_messages_share_one_compressed_stream(watched: Site) -> None:
    """What a browser does: one inflater over all bytes as they come."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(watched.url + LIVE, headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        text = b""
        for n in range(3):
            while text.count(b"\n\n") <= n:
                text += inflater.decompress(await answer.content.readany())
            watched.state.step()
    steps = [json.loads(part.split(b"data: ")[1])["region"]["step"] for part in text.split(b"\n\n") if part]
    assert steps == [42, 43, 44]


async def test_an_unchanged_step_is_not_said_twice_and_silence_is_filled(state: State) -> None:
    feed = LiveFeed(state, keep_alive_s=0.2, tick_s=TICK_S)
    async with serving_site(state, feed=feed) as site, looking(site) as answer:
        stream = events(answer)
        assert (await anext(stream))["id"] == "42"
        assert await anext(stream) == {}
        assert await anext(stream) == {}
        state.step()
        while not (event := await anext(stream)):
            pass
        assert event["id"] == "43"


async def test_every_says_how_often(watched: Site) -> None:
    async with looking(watched, f"{LIVE}?every=60") as slow, looking(watched) as quick:
        seldom, often = states(slow), states(quick)
        assert (await anext(seldom))["region"]["step"] == 42
        for step in range(42, 45):
            assert (await anext(often))["region"]["step"] == step
            watched.state.step()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10 * TICK_S):
                await anext(seldom)
    for wrong in ("0.5", "61", "nan", "often"):
        refused = await watched.json(f"{LIVE}?every={wrong}", 400)
        assert refused["errors"][0]["field"] == "every"


async def test_nothing_is_said_that_a_crash_could_undo(watched: Site) -> None:
    async with looking(watched) as answer:
        stream = states(answer)
        await anext(stream)
        watched.state.durable.clear()
        watched.state.step()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10 * TICK_S):
                await anext(stream)
        watched.state.durable.set()


async def test_before_the_first_step_the_stream_waits(watched: Site) -> None:
    watched.state.view = None
    async with looking(watched) as answer:
        await until(lambda: answer.status == 200, "opened")
        watched.state.step()
        assert (await anext(states(answer)))["region"]["step"] == 1


async def test_only_so_many_viewers(state: State) -> None:
    feed = LiveFeed(state, most=2, tick_s=TICK_S)
    async with serving_site(state, feed=feed) as site:
        async with looking(site) as one, looking(site) as two:
            await anext(states(one))
            await anext(states(two))
            assert feed.viewers == 2
            refused = await site.ask("GET", LIVE, 503)
            assert refused.headers["Retry-After"] == "10"
            assert "2 viewers" in refused.body["detail"]
        await until(lambda: feed.viewers == 0, "those who left are gone")
        assert feed.dropped_total == 0
        async with looking(site) as again:
            assert (await anext(states(again)))["region"]["step"] == 42


async def test_a_viewer_that_takes_nothing_is_dropped_and_others_see_all(watched: Site, feed: LiveFeed) -> None:
    many = tuple(device(f"device-{n}", "consumer") for n in range(1_000))
    watched.state.view = region_view(devices=many)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stalled, ("127.0.0.1", int(watched.url.rpartition(":")[2])))
        await loop.sock_sendall(stalled, f"GET {LIVE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        async with looking(watched) as answer:
            stream = states(answer)
            seen = 0
            while feed.dropped_total == 0:
                state = await anext(stream)
                assert len(state["devices"]) == 1_000
                seen += 1
                assert seen < 200, "the stalled viewer is still there"
                watched.state.step(devices=many)
            assert feed.viewers == 1
            assert (await anext(stream))["region"]["step"] >= 43
        with pytest.raises(ConnectionError):
            while await loop.sock_recv(stalled, 65_536):
                pass
            raise ConnectionResetError("ended in order")


async def test_a_token_that_is_taken_back_ends_the_stream(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_AGAIN_S", 0.0)
    viewer = tmp_path / "viewer"
    viewer.write_text("look")
    async with (
        serving_site(state, viewer=TokenSource("viewer", viewer, None)) as site,
        looking(site, Authorization="Bearer look") as answer,
    ):
        stream = states(answer)
        await anext(stream)
        viewer.write_text("another")
        state.step()
        with pytest.raises((StopAsyncIteration, aiohttp.ClientPayloadError)):
            while True:
                await anext(stream)


async def test_the_end_of_the_daemon_ends_all_streams(state: State) -> None:
    feed = LiveFeed(state)
    async with serving_site(state, feed=feed) as site:
        answer = await site.http.get(site.url + LIVE)
        await answer.content.readline()
        closing = asyncio.get_running_loop().time()
    assert feed.viewers == 0
    assert asyncio.get_running_loop().time() - closing < 10
    answer.close()


def test_on_uvloop() -> None:
    """The daemon's loop where it is installed: buffers and connections are its own."""

    async def story() -> None:
        state = State(view=region_view())
        feed = LiveFeed(state, stall_s=0.5, tick_s=TICK_S)
        async with serving_site(state, feed=feed) as site:
            await test_a_viewer_that_takes_nothing_is_dropped_and_others_see_all(site, feed)
        await test_only_so_many_viewers(State(view=region_view()))
        await test_the_end_of_the_daemon_ends_all_streams(State(view=region_view()))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
