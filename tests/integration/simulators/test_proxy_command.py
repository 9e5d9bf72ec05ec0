"""The proxy as a process of its own, and its control port."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from proxied_region import READ_LIMIT, Client, tcp
from simulated_region import REGION, Start
from typer.testing import CliRunner

from scowl_edge.cli import main
from simulators.proxy import FaultProxy
from simulators.proxy.control import ProxyControl

LIMIT = bytes((3, 2, 0, 100))


class Control:
    """A client of a control port, and of the proxy."""

    def __init__(self, session: aiohttp.ClientSession, base: str, client: Client) -> None:
        self._session = session
        self._base = base
        self.client = client

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self._session.request(method, self._base + path, json=body) as response:
            answer = await response.json()
            assert response.status == status, answer
            return answer


@pytest.fixture
async def control(start: Start) -> AsyncIterator[Control]:
    simulator = await start(REGION)
    async with FaultProxy("127.0.0.1:0", f"127.0.0.1:{simulator.ports['plc']}", name="plc") as proxy:
        port = ProxyControl(proxy)
        base = f"http://127.0.0.1:{await port.start('127.0.0.1', 0)}"
        client = await Client.of(proxy.port)
        async with aiohttp.ClientSession() as session:
            yield Control(session, base, client)
        client.close()
        await port.close()


async def test_faults_their_counters_and_the_logs(control: Control) -> None:
    client = control.client
    assert await client.ask(tcp(1, 3, READ_LIMIT), 11) == tcp(1, 3, LIMIT)
    await control.ask("POST", "/faults", {"kind": "wrong_unit", "unit": 3}, 201)
    await control.ask("POST", "/faults", {"kind": "delay", "ms": 1}, 201)
    assert await client.ask(tcp(2, 3, READ_LIMIT), 11) == tcp(2, 4, LIMIT)
    listed = await control.ask("GET", "/faults")
    assert [(row["kind"], row["injected"]) for row in listed["3"]] == [("wrong-unit", 1)]
    assert listed["all"][0]["ms"] == 1
    assert await control.ask("GET", "/injected") == {"wrong-unit": 1, "delay": 1}
    (answer,) = await control.ask("GET", "/log?since=1")
    wanted = {"number": 2, "link": "plc", "unit": 3, "table": "holding", "address": 110, "count": 1, "values": [100]}
    assert {key: answer[key] for key in wanted} == wanted
    assert abs(answer["utc_ms"] - (await control.ask("GET", "/log"))[0]["utc_ms"]) < 60_000
    frames = await control.ask("GET", "/frames")
    assert [frame["way"] for frame in frames] == ["request", "forwarded", "answer", "sent"] * 2
    assert frames[-1]["data"] == tcp(2, 4, LIMIT).hex()
    assert list(await control.ask("DELETE", "/faults/3?kind=wrong-unit")) == ["all"]
    assert await control.ask("DELETE", "/faults") == {}
    assert (await control.ask("GET", "/proxy"))["open"] == 1
    await control.ask("POST", "/cut")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(1), 60)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/faults", {"kind": "gremlins"}, 400, "there is no fault 'gremlins' at a proxy; known are: ack-not"),
        ("POST", "/faults", {"kind": "moving-scale"}, 400, "there is no fault 'moving-scale' at a proxy"),
        ("POST", "/faults", {"kind": "delay", "device": "wind-1"}, 400, "knows neither devices nor links"),
        ("POST", "/faults", {"kind": "second-master", "signal": "limit"}, 400, "knows no signals"),
        ("POST", "/faults", {"kind": "second-master", "unit": 3}, 400, "give unit, address and value"),
        ("POST", "/faults", {"kind": "delay", "probability": 2}, 400, "less than or equal to 1"),
        ("POST", "/faults", {"kind": "delay", "ms": -1}, 400, "give 0 or more"),
        ("POST", "/faults", {"kind": "truncate", "rest": "later"}, 400, "rest"),
        ("DELETE", "/faults/x", None, 404, "there is no unit 'x'"),
        ("GET", "/log?since=x", None, 400, "write the number"),
        ("GET", "/weather", None, 404, "there are GET /faults"),
    ],
)
async def test_errors_are_json_in_words(
    control: Control, method: str, path: str, body: Any, status: int, words: str
) -> None:
    assert words in (await control.ask(method, path, body, status))["error"]


async def test_it_runs_until_it_is_ended(start: Start) -> None:
    simulator = await start(REGION)
    to = f"127.0.0.1:{simulator.ports['plc']}"
    arguments = ["proxy", "--listen", "127.0.0.1:0", "--to", to, "--control", "127.0.0.1:0", "--fault", "busy,unit=3"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scowl_edge.cli", "simulator", *arguments, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(2)]
        found = re.fullmatch(rf"proxy: 127\.0\.0\.1:(\d+) \(tcp\) to {re.escape(to)} \(tcp\)", lines[0])
        assert found is not None
        assert re.fullmatch(r"control: http://127\.0\.0\.1:\d+", lines[1])
        client = await Client.of(int(found[1]))
        assert await client.ask(tcp(1, 3, READ_LIMIT), 9) == tcp(1, 3, bytes((0x83, 6)))
        client.close()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
            assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0:0", "--to", "127.0.0.1:1"], "0.0.0.0:0 is no loopback address"),
        (["--listen", "127.0.0.1", "--to", "127.0.0.1:1"], "'127.0.0.1' is no address"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--framing", "ascii"], "--framing is 'ascii'"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--fault", "delay,300"], "'300' is no key=value"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--fault", "delay,mss=3"], "known keys are"),
        (["--listen", "127.0.0.1:0", "--to", "pty:/nowhere/tty"], "is the port free, and the serial port there?"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--framing", "none", "--fault", "busy"], "needs frames"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--framing", "rtu", "--fault", "wrong-id"], "wrong-unit"),
    ],
)
def test_what_cannot_be_is_told_in_words(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["simulator", "proxy", *arguments])
    assert result.exit_code == 1
    assert words in result.output
