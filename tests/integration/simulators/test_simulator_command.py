"""The subcommand as a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest
from simulated_region import REGION


async def launch(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scowl_edge.cli", "simulator", *arguments, stdout=PIPE, stderr=PIPE
    )


async def free_ports(count: int) -> list[int]:
    servers = [await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0) for _ in range(count)]
    ports = [int(server.sockets[0].getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
        await server.wait_closed()
    return ports


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_it_tells_where_it_listens_and_ends_when_asked(tmp_path: Path, ending: signal.Signals) -> None:
    ports = await free_ports(2)
    text = REGION
    for port in ports:
        text = text.replace("host: 127.0.0.1}", f"host: 127.0.0.1, port: {port}}}", 1)
    file = tmp_path / "site.yaml"
    file.write_text(text)
    process = await launch(str(file), "--clock-rate", "50", "--control", "127.0.0.1:0")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(3)]
        assert lines[0].startswith(f"plc: Modbus TCP on 127.0.0.1:{ports[0]}, unit 3 = wind-1, unit 4 = chp-1")
        assert lines[1] == f"other: Modbus TCP on 127.0.0.1:{ports[1]}, unit 1 = grid-meter"
        found = re.fullmatch(r"control: (http://127\.0\.0\.1:\d+)", lines[2])
        assert found is not None
        async with aiohttp.ClientSession() as session, session.get(found[1] + "/clock") as response:
            assert (await response.json())["rate"] == 50
        process.send_signal(ending)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
            assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_faulty_file_is_told_with_places(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(REGION.replace("model: charger", "model: carger"))
    process = await launch(str(file))
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 2
    assert out == b""
    assert re.match(rf"{re.escape(str(file))}:\d+:\d+: there is no model carger; known are: wind", err.decode())


async def test_an_address_elsewhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(REGION.replace("host: 127.0.0.1}", "host: 192.0.2.1}", 1))
    process = await launch(str(file))
    _, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 1
    assert "link plc is at 192.0.2.1, which is not this machine" in err.decode()
