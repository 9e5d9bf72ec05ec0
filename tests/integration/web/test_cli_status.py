"""`scowl-edge status` as a process against a real server."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiohttp import web

from scowl_edge.web import TokenSource
from scowl_edge.web.words import RUNGS
from tests.integration.web.cabinet import TOKEN, Site, State, device, flexible, population, region_view, serving_site

COMMAND = (sys.executable, "-m", "scowl_edge.cli")


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("options", [["--once"], []])
async def test_once(site: Site, options: list[str]) -> None:
    code, out, err = await run("status", site.url, *options)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0].strip() == "cabinet-17"
    wind = next(line for line in lines if "curtailed" in line)
    assert wind.split()[:6] == ["wind-1", "generator", "curtailed", "-1.25", "MW", "bad"]
    assert "limit 1.25 MW: holding" in wind
    assert any("device-down:<b>&" in line and "no reply within 500 ms" in line for line in lines)


async def test_a_proxy_of_the_environment_is_not_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    code, _, err = await run("status", site.url, "--once")
    assert (code, err) == (0, "")


async def test_control_sequences_do_not_reach_the_terminal(site: Site) -> None:
    site.state.view = region_view(devices=(device("\x1b[2Jwind [red]1[/red]", "generator"),))
    _, out, _ = await run("status", site.url, "--once")
    assert "\x1b" not in out
    assert "\N{REPLACEMENT CHARACTER}[2Jwind [red]1[/red]" in out


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        # Bound but not listening: nobody else can take the port, and it refuses.
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code, out, err = await run("status", url, "--once")
    assert (code, out) == (1, "")
    assert err.startswith(f"no daemon answers at {url}: Connection refused; start one with")
    assert "Traceback" not in err


async def test_before_the_first_step(site: Site) -> None:
    site.state.view = None
    code, _, err = await run("status", site.url)
    assert code == 1
    assert "503: The region did not do its first step yet" in err


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"site": 1}'])
async def test_something_else_answers(body: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    code, _, err = await run("status", f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()
    assert code == 1
    assert "is not a scowl-edge of this version" in err


async def test_an_address_that_is_none() -> None:
    code, _, err = await run("status", "localhost:8080")
    assert code == 1
    assert "is not the address of a daemon" in err


async def test_live_in_a_terminal(site: Site) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "status", site.url, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen, arrived = bytearray(), asyncio.Event()

    def take() -> None:
        try:
            seen.extend(os.read(ours, 65_536))
        except OSError:
            # The other end closed: Linux says EIO.
            asyncio.get_running_loop().remove_reader(ours)
        arrived.set()

    async def until(text: bytes) -> None:
        async with asyncio.timeout(60):
            while text not in seen:
                arrived.clear()
                await arrived.wait()

    asyncio.get_running_loop().add_reader(ours, take)
    try:
        await until(b"curtailed")
        site.state.view = region_view(site="cabinet-18", rung="raise-continuous")
        await until(b"cabinet-18")
        site.state.view = None
        await until(b"As it was before")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 90) == 0
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_where_reading_needs_a_token(state: State, tmp_path: Path) -> None:
    token = tmp_path / "viewer"
    token.write_text(TOKEN + "\n")
    async with serving_site(state, token, viewer=TokenSource("viewer", token, None)) as closed:
        code, out, err = await run("status", closed.url)
        assert (code, out) == (1, "")
        assert "was answered 401" in err and "--token-file FILE" in err
        code, out, err = await run("status", closed.url, "--token-file", str(token))
        assert (code, err) == (0, "")
        assert "wind-1" in out
        code, _, err = await run("status", closed.url, "--token-file", str(tmp_path / "none"))
        assert code == 1
        assert "cannot be read" in err and "Traceback" not in err


async def test_who_gave_way_and_the_ladder(site: Site) -> None:
    site.state.view = region_view(rung="restore-shed", devices=(device("home-1", "consumer", state="shed"),))
    _, out, _ = await run("status", site.url)
    assert f"2. {RUNGS['restore-shed']} ◀ now" in out
    assert out.count("◀ now") == 1
    assert out.index("Shed or cut off") < out.index("home-1") < out.index("Trees")


async def test_flexibility_where_a_site_has_a_part_in_it(site: Site) -> None:
    _, out, _ = await run("status", site.url)
    assert "Flexibility" not in out
    flexible(site.state)
    code, out, err = await run("status", site.url)
    assert (code, err) == (0, "")
    told = out.partition("Flexibility")[2].partition("Ratings")[0]
    for words in ("3 kW of 3.6 kW (83 %)", "a change of -4 kW", "runs", "effective", "delivers less than promised"):
        assert words in told, (words, told)
    drawn = told.partition("and 30 min on")[2].splitlines()
    assert [line.rstrip() for line in drawn if "W |" in line] == [
        "3600 W |##", "   0 W |--", "7200 W |#", "   0 W |--"
    ]  # fmt: skip


async def test_a_population_in_a_few_lines(site: Site) -> None:
    _, out, _ = await run("status", site.url)
    assert "Population" not in out
    site.state.view = region_view(populations=(population(),))
    code, out, err = await run("status", site.url)
    assert (code, err) == (0, "")
    assert "town/3" not in out, "hundreds of trees are not listed"
    told = out.partition("Population town")[2].partition("Ratings")[0]
    assert len(told.strip().splitlines()) <= 8, told
    for words in (
        "1.95 MW (97.50 %)",
        "the fullest, 3, carries 901 kW of 900 kW",
        "3: served 1,103, starved 37, not served 50 kW",
        "feeder-1: 990 kW of 1 MW (99 %); connection: 1.95 MW of 3 MW (65 %)",
        "served over bound: 99.995 %",
        "test-margin 10 %",
        "clamped 1,005",
    ):
        assert words in told, (words, told)
