"""What nobody wrote on purpose: mutated frames, random bytes, and requests drawn from the OpenAPI document.

No server error, no step that raises, and nothing of it changes what the daemon holds.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from scowl_edge.drivers.flex import frame
from scowl_edge.drivers.flex.examples import EXAMPLES
from scowl_edge.drivers.flex.link_tls import client_context
from scowl_edge.model.exchange import AckStatus
from tests.integration.flex.flex_house import Peer, held, provider_of, register, running, url
from tests.integration.flex.flex_nodes import CEM, DSRSP, Region, raw_socket, told, until

PROGRAM = Path(sys.executable).with_name("schemathesis")
DOCUMENT = Path(__file__).parents[3] / "docs" / "flex" / "scowl-flex-1.openapi.json"
WORTHLESS: tuple[Any, ...] = (None, -1, 2**63, 1.5, "", "x" * 3_000, [], {}, True, "2093-01-01T00:00:00Z", "\u0000")
FRAMES = 1_500


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("fuzz"))


def mutated(dice: random.Random, raw: Any) -> Any:
    """One value somewhere in it replaced, taken out or doubled."""
    if isinstance(raw, dict) and raw and dice.random() < 0.9:
        key = dice.choice(sorted(raw))
        if dice.random() < 0.15:
            return {k: v for k, v in raw.items() if k != key}
        return {**raw, key: mutated(dice, raw[key])}
    if isinstance(raw, list) and raw and dice.random() < 0.8:
        at = dice.randrange(len(raw))
        return [*raw[:at], mutated(dice, raw[at]), *raw[at:]]
    return dice.choice(WORTHLESS)


def bytes_of(dice: random.Random, seq: int, kinds: list[dict[str, Any]]) -> str | bytes:
    """A frame that is nearly right, or nothing like one. None of them is of an appliance that is known."""
    raw = {**dice.choice(kinds), "seq": seq, "id": told(0).id, "src": CEM, "dst": DSRSP}
    drawn = dice.random()
    if drawn < 0.7:
        return orjson.dumps(mutated(dice, raw), option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    data = bytearray(orjson.dumps(raw))
    if drawn < 0.9:
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(32, 127)
        return data.decode("ascii", "replace")
    if drawn < 0.98:
        return data[: dice.randrange(len(data))].decode("utf-8", "ignore")
    return dice.randbytes(dice.randrange(200))


async def test_frames_that_nobody_meant(region: Region, tmp_path: Path) -> None:
    dice = random.Random(11)
    # No message that means something by itself for a manager or for an appliance that is known.
    kinds = [orjson.loads(frame(m, 1)) for n, m in EXAMPLES.items() if n not in ("register", "hello")]
    async with running(region.tls(DSRSP), tmp_path) as daemon:
        async with raw_socket(url(daemon), region.tls(CEM)) as socket:
            assert (await Peer(socket).tell(register(1)))[1].status is AckStatus.OK
        await until(lambda: provider_of(daemon).up.get(CEM) is False, "down again")
        before, sent = held(daemon), 0
        with capture_logs() as log:
            while sent < FRAMES:
                async with raw_socket(url(daemon), region.tls(CEM)) as socket:
                    reader = asyncio.create_task(drained(socket))
                    for seq in range(2, 200):
                        if socket.closed or reader.done() or sent == FRAMES:
                            break
                        data = bytes_of(dice, seq, kinds)
                        await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))
                        sent += 1
                    reader.cancel()
                    await asyncio.gather(reader, return_exceptions=True)
        async with raw_socket(url(daemon), region.tls(CEM)) as socket:
            assert (await Peer(socket).say(told(9))).code is not None, "it still answers"
        await until(lambda: provider_of(daemon).up.get(CEM) is False, "down again")
        assert held(daemon) == before
        assert daemon.core.memory.situation.failed_steps == 0, daemon.core.memory.situation.failure
        assert not [entry for entry in log if entry["log_level"] in ("error", "critical")]


async def drained(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Reads until the other side closes."""
    async for _ in socket:
        pass


@pytest.mark.skipif(not PROGRAM.exists(), reason="no schemathesis; pip install '.[test]'")
async def test_schemathesis_finds_no_server_error(region: Region, tmp_path: Path) -> None:
    # Nobody of whom the document's examples are: greeted, a GET would wait for half a minute.
    tls = region.tls("cem:fuzz")
    async with running(region.tls(DSRSP), tmp_path) as daemon:
        before = held_or_nothing(daemon)
        with capture_logs() as log:
            async with asyncio.timeout(120):
                process = await asyncio.create_subprocess_exec(
                    *(PROGRAM, "run", str(DOCUMENT), "--url", url(daemon)),
                    *("--request-cert", str(tls.certificate), "--request-cert-key", str(tls.key)),
                    *("--tls-verify", str(tls.ca), "--checks", "not_a_server_error,status_code_conformance"),
                    *("--phases", "examples,fuzzing", "--max-examples", "20", "--seed", "3"),
                    *("--warnings", "off", "--no-color", "--generation-database", "none"),
                    cwd=tmp_path,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        assert held_or_nothing(daemon) == before
        assert daemon.core.memory.situation.failed_steps == 0, daemon.core.memory.situation.failure
        assert not [entry for entry in log if entry["log_level"] in ("error", "critical")]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context(tls))) as http:
            got = await http.get(url(daemon) + "/flex/v1/messages?after=x")
            assert got.status == 422 and (await got.json(content_type=None))["code"] == "SCHEMA"


def held_or_nothing(daemon: Any) -> bytes:
    return held(daemon) if daemon.core.flexible.talks.provider is not None else b""
