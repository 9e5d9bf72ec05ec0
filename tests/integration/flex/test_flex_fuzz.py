"""What nobody wrote on purpose: mutated frames of every type, random bytes, requests drawn from the OpenAPI document.

Each refusal names a code and the path of the field, and nothing that the daemon holds is other than before it; there is
no server error, no step that raises and no traceback.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from scowl_edge.daemon import Daemon
from scowl_edge.drivers.flex import FRAME_MAX_BYTES, frame, http_side
from scowl_edge.drivers.flex.examples import EXAMPLES
from scowl_edge.drivers.flex.fields import time_text
from scowl_edge.drivers.flex.link_tls import client_context
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.journal.replay import first_difference
from scowl_edge.model.exchange import AckStatus, Code, Hello, NodeRole
from tests.integration.flex.flex_house import Peer, provider_of, register, running, url
from tests.integration.flex.flex_nodes import CEM, DSRSP, Region, raw_socket, told, until

PROGRAM = Path(sys.executable).with_name("schemathesis")
DOCUMENT = Path(__file__).parents[3] / "docs" / "flex" / "scowl-flex-1.openapi.json"
WORTHLESS: tuple[Any, ...] = (
    None, -1, 0, 2**63, 10**400, 1.5, "", "x" * 3_000, [], {}, True, "2093-01-01T00:00:00Z", "\u0000", [[[]]],
    {"a": {"b": []}},
)  # fmt: skip
FRAMES = 700
RATE = 30
"""So much faster runs the daemon's clock: what a peer may send is used up so much later."""
SILENT = ("ack", "heartbeat", "hello_ack")
"""Nobody answers these."""
PATH = re.compile(r"(v|id|ts|seq|src|dst|corr|type|body)\b[\w.\[\]-]*: |is no JSON object")
NO_FIELD = (Code.BAD_JSON, Code.UNKNOWN_ESA, Code.UNSUPPORTED, Code.RATE, Code.BUSY)
"""Codes that may be of a message as a whole."""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("fuzz"))


def held(daemon: Daemon) -> Any:
    """All that flexibility holds, but for what is declared to count: messages, refusals, who is connected, clocks."""
    assert daemon.core.flexible is not None
    talks = orjson.loads(daemon.core.flexible.section())
    for name in ("chain", "refused", "lost_mono_ms"):
        del talks[name]
    for name in ("numbered", "up", "clock", "check_due_mono_ms"):
        if talks["provider"] is not None:
            del talks["provider"][name]
    return talks


class Fuzzer:
    """A manager that says anything, and asks after each frame whether the daemon is still there."""

    def __init__(self, daemon: Daemon, region: Region, seed: int) -> None:
        self.daemon, self.region = daemon, region
        self.dice = random.Random(seed)
        assert daemon.flex is not None and daemon.flex.listener is not None
        self.link = daemon.flex.listener.link(CEM)
        self.gaps = 0
        self.seq = 1
        self.recent: list[bytes] = []
        self.codes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    # What is sent.

    def valid(self, name: str) -> dict[str, Any]:
        """An example, as this peer may say it now."""
        raw: dict[str, Any] = orjson.loads(frame(EXAMPLES[name], 1))
        if name == "report":
            # What is older than a week is let go as time passes.
            quarter_ms = self.daemon.clock.utc_ms() // 900_000 * 900_000
            raw["body"]["start"] = time_text(quarter_ms - 3_600_000)
        return {**raw, **self.envelope()}

    def envelope(self) -> dict[str, Any]:
        self.seq += 1
        return {
            "seq": self.seq, "id": str(uuid4()), "src": CEM, "dst": DSRSP, "ts": time_text(self.daemon.clock.utc_ms())
        }  # fmt: skip

    def mutated(self, raw: Any) -> Any:
        """One value somewhere in it replaced, taken out or doubled."""
        dice = self.dice
        if isinstance(raw, dict) and raw and dice.random() < 0.9:
            key = dice.choice(sorted(raw))
            if dice.random() < 0.15:
                return {k: v for k, v in raw.items() if k != key}
            return {**raw, key: self.mutated(raw[key])}
        if isinstance(raw, list) and raw and dice.random() < 0.8:
            at = dice.randrange(len(raw))
            return [*raw[:at], self.mutated(raw[at]), *raw[at:]]
        return dice.choice(WORTHLESS)

    def next(self) -> tuple[str, bytes | str]:
        """What to call it, and the frame: text, or bytes for a binary one."""
        dice = self.dice
        name = dice.choice(sorted(EXAMPLES))
        raw = self.valid(name)
        if dice.random() < 0.1:
            # Every message in between used its number.
            name = dice.choice(("register", "hello", "offer_set"))
            raw = {**self.valid(name), "seq": raw["seq"]}
            self.seq -= 1
        kind = dice.choice(
            ["body"] * 6 + ["envelope", "envelope", "characters", "truncated", "random", "json", "deep", "twice"]
            + ["unknown", "replayed", "gap", "old", "skew", "id", "valid", "valid", "name"]
        )  # fmt: skip
        if kind == "body":
            return f"{kind} of {name}", dumped({**raw, "body": self.mutated(raw["body"])})
        if kind == "envelope":
            return kind, dumped(self.mutated(raw))
        if kind == "characters":
            data = bytearray(dumped(raw))
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(32, 127)
            return kind, bytes(data)
        if kind == "truncated":
            data = bytearray(dumped(raw))
            return kind, bytes(data[: dice.randrange(len(data))])
        if kind == "random":
            return kind, dice.randbytes(dice.randrange(1, 200)).decode("latin-1").encode()
        if kind == "json":
            return kind, dumped(dice.choice(WORTHLESS[:-1]))
        if kind == "deep":
            return kind, dumped(raw)[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
        if kind == "twice":
            return kind, dumped(raw).replace(b'"esa_id":', b'"esa_id":"esa-00000009","esa_id":', 1)
        if kind == "unknown":
            return kind, dumped({**raw, "body": {**raw["body"], "nobody": 1}, "knows": [2]})
        if kind == "replayed" and self.recent:
            return kind, dice.choice(self.recent)
        if kind == "gap":
            self.seq += dice.randrange(2, 2_000)
            return kind, dumped({**raw, "seq": self.seq})
        if kind == "old":
            return kind, dumped({**raw, "seq": dice.randrange(0, self.seq)})
        if kind == "skew":
            off_ms = dice.choice((-1, 1)) * dice.choice((6_000 * RATE, 3 * 86_400_000, 10**12))
            return kind, dumped({**raw, "ts": time_text(max(0, self.daemon.clock.utc_ms() + off_ms))})
        if kind == "id" and self.recent:
            with suppress(ValueError):
                other = orjson.loads(dice.choice(self.recent))
                if isinstance(other, dict) and "id" in other:
                    return kind, dumped({**raw, "id": other["id"]})
        if kind == "name":
            return kind, dumped({**raw, dice.choice(("src", "dst")): "cem:somebody-else"})
        return f"valid {name}", dumped(raw)

    # How it is received.

    async def play(self, frames: int) -> None:
        """So many frames, over as many connections as that takes."""
        while sum(self.kinds.values()) < frames:
            async with raw_socket(url(self.daemon), self.region.tls(CEM)) as socket:
                self.seq = 1
                # A link that comes up changes what is held; the first frame is none.
                before = await self.judge(socket, "nothing", b"null", None)
                while sum(self.kinds.values()) < frames and not socket.closed:
                    what, data = self.next()
                    self.kinds[what.split(" ")[0]] += 1
                    before = await self.judge(socket, what, data, before)
            await until(lambda: self.link.session.state is LinkState.DOWN, "down")

    async def judge(self, socket: aiohttp.ClientWebSocketResponse, what: str, data: bytes | str, before: Any) -> Any:
        """Sends a frame and a probe behind it; what came back for the frame must fit with what changed."""
        text = data.decode("utf-8", "surrogatepass") if isinstance(data, bytes) else data
        with suppress(ConnectionError):
            await socket.send_str(text)
        probe = told(9)
        raw = {**orjson.loads(frame(probe, 1)), **self.envelope(), "id": probe.id}
        with suppress(ConnectionError):
            await socket.send_str(dumped(raw).decode())
        acks, greeted, closed = [], False, False
        while True:
            message = await asyncio.wait_for(socket.receive(), 60)
            if message.type is not aiohttp.WSMsgType.TEXT:
                # Closed: no probe came back, but what was said before it still counts.
                closed = True
                assert message.data in (1001, 1003, 1007, 1008, 1009), f"{what}: closed with {message.data}"
                break
            got = orjson.loads(message.data)
            greeted = greeted or got["type"] == "hello_ack"
            if got["type"] != "ack":
                continue
            if got.get("corr") == probe.id:
                break
            acks.append(got)
        await self.daemon.settled()
        after = held(self.daemon)
        refused = [a["body"] for a in acks if a["body"]["status"] != "OK"]
        for body in refused:
            code = Code(body["code"])
            self.codes[code] += 1
            assert body["status"] == code.status, body
            assert PATH.match(body.get("detail", "")) or code in NO_FIELD, f"{what}: {body}"
        gaps, self.gaps = self.gaps, self.link.session.gaps_total
        if before is None or greeted or self.gaps > gaps or closed:
            # Whoever asks for a resync, lost frames or its link, has to tell its offers anew.
            return after
        if len(acks) == len(refused):
            assert after == before, f"{what} changed {first_difference(before, after)}: {text[:2_000]}"
        else:
            self.taken[what.split(" ")[-1]] += 1
        if isinstance(data, bytes) and acks:
            self.recent = [*self.recent[-40:], data]
        return after


def quiet(log: Sequence[Mapping[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    """No error was logged, by us or by whoever serves HTTP, and no traceback.

    That the disk of a busy machine was late once is no doing of a message.
    """
    errors = [entry for entry in log if entry["log_level"] in ("error", "critical")]
    assert not [entry for entry in errors if entry["event"] != "journal_late"]
    assert not [record for record in caplog.records if record.exc_info or record.levelname in ("ERROR", "CRITICAL")]


def dumped(raw: Any) -> bytes:
    try:
        return orjson.dumps(raw)
    except TypeError:
        # Numbers beyond 64 bits.
        return json.dumps(raw).encode()


async def test_frames_that_nobody_meant(region: Region, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(region.tls(DSRSP), tmp_path, rate=RATE) as daemon:
        # An appliance that is known, so that most of it is about something.
        fuzzer = Fuzzer(daemon, region, seed=11)
        with capture_logs() as log:
            async with raw_socket(url(daemon), region.tls(CEM)) as socket:
                for name in ("register", "init_done", "offer_set", "state"):
                    await socket.send_str(dumped(fuzzer.valid(name)).decode())
                await until(lambda: provider_of_or_none(daemon) and provider_of(daemon).mirrors, "known")
            await fuzzer.play(FRAMES)
        assert daemon.core.memory.situation.failed_steps == 0, daemon.core.memory.situation.failure
        quiet(log, caplog)
        wanted = {
            Code.BAD_JSON, Code.SCHEMA, Code.UNSUPPORTED, Code.UNKNOWN_ESA, Code.DUPLICATE_ID, Code.CLOCK_SKEW,
            Code.EXPIRED, Code.AUTH_FAILED,
        }  # fmt: skip
        assert wanted <= set(fuzzer.codes), fuzzer.codes
        assert len(fuzzer.kinds) >= 16 and len(fuzzer.taken) >= 8, (fuzzer.kinds, fuzzer.taken)
        # All of it shows.
        troubles = daemon.flex_troubles
        assert troubles is not None
        assert {"BAD_JSON", "SCHEMA", "DUPLICATE_ID", "CLOCK_SKEW", "EXPIRED", "AUTH_FAILED"} <= set(troubles.refused)
        assert all(troubles.happened[what] for what in ("repeated", "again", "gap"))


def provider_of_or_none(daemon: Daemon) -> Any:
    return daemon.core.flexible and daemon.core.flexible.talks.provider


async def test_frames_that_are_no_frames(region: Region, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What ends a connection by itself, with the code that says why; the next one is as good as the first."""
    async with running(region.tls(DSRSP), tmp_path) as daemon:
        with capture_logs() as log:
            for data, code, kind in (
                (b"x" * (FRAME_MAX_BYTES + 1), 1009, aiohttp.WSMsgType.TEXT),
                (b"x" * (3 * FRAME_MAX_BYTES), 1009, aiohttp.WSMsgType.TEXT),
                (b"{}", 1003, aiohttp.WSMsgType.BINARY),
            ):
                async with raw_socket(url(daemon), region.tls(CEM)) as socket:
                    await socket.send_frame(data, kind)
                    codes = []
                    while (got := await asyncio.wait_for(socket.receive(), 60)).type is aiohttp.WSMsgType.TEXT:
                        codes += [m["body"].get("code") for m in [orjson.loads(got.data)] if m["type"] == "ack"]
                    assert got.data == code, (data[:20], codes, got)
                assert not provider_of(daemon).mirrors
            async with raw_socket(url(daemon), region.tls(CEM)) as socket:
                # Text that is none is answered, and the link goes on.
                await socket.send_frame(b'{"v": "\xff\xfe"}', aiohttp.WSMsgType.TEXT)
                assert (await ack_of_none(socket))["code"] == "BAD_JSON"
                assert (await Peer(socket).tell(register(1)))[1].status is AckStatus.OK
        quiet(log, caplog)
        assert daemon.core.memory.situation.failed_steps == 0
        assert daemon.flex_troubles is not None and daemon.flex_troubles.refused["SCHEMA"] == 3


async def ack_of_none(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The answer to a frame that had no id."""
    while True:
        got = orjson.loads(await asyncio.wait_for(socket.receive_str(), 60))
        if got["type"] == "ack":
            return got["body"]


@asynccontextmanager
async def greeted(daemon: Daemon, region: Region, node: str) -> AsyncIterator[None]:
    """A session over HTTPS; what is said against its name ends it, and then it is begun anew."""
    ended = asyncio.Event()

    async def keep() -> None:
        connector = aiohttp.TCPConnector(ssl=client_context(region.tls(node)))
        async with aiohttp.ClientSession(connector=connector) as http:
            while not ended.is_set():
                listener = daemon.flex and daemon.flex.listener
                assert listener
                if listener.link(node).session.state is LinkState.DOWN:
                    hello = frame(told(0, src=node, body=Hello(versions=("1.0",), role=NodeRole.CEM)), 1)
                    async with http.post(url(daemon) + "/flex/v1/messages", data=hello) as answer:
                        assert answer.status == 200, await answer.text()
                await asyncio.sleep(0.02)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        ended.set()
        await task


def narrowed(tmp_path: Path, node: str) -> Path:
    """The document, but that most messages are of the right peer, for the right one."""
    document = orjson.loads(DOCUMENT.read_bytes())
    for schema in document["components"]["schemas"].values():
        properties = schema.get("properties", {})
        if {"src", "dst", "seq"} <= set(properties):
            properties["src"] = {"enum": [node]}
            properties["dst"] = {"enum": [DSRSP, DSRSP, "esa:00000001"]}
            properties["seq"] = {"type": "integer", "minimum": 2, "maximum": 2**40}
    path = tmp_path / "narrowed.json"
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.mark.skipif(not PROGRAM.exists(), reason="no schemathesis; pip install '.[test]'")
@pytest.mark.parametrize("mode", ["positive", "negative"])
async def test_schemathesis_with_a_session(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    # Frames with an old number are not answered; nobody is here to wait for that.
    monkeypatch.setattr(http_side, "POLL_S", 0.05)
    monkeypatch.setattr(http_side, "ANSWER_S", 0.5)
    node = "cem:house-12"
    tls = region.tls(node)
    async with running(region.tls(DSRSP), tmp_path, rate=RATE) as daemon:
        before = held(daemon)
        with capture_logs() as log:
            async with greeted(daemon, region, node), asyncio.timeout(240):
                process = await asyncio.create_subprocess_exec(
                    *(PROGRAM, "run", str(narrowed(tmp_path, node)), "--url", url(daemon), "--mode", mode),
                    *("--request-cert", str(tls.certificate), "--request-cert-key", str(tls.key)),
                    *("--tls-verify", str(tls.ca), "--checks", "not_a_server_error,status_code_conformance"),
                    *("--phases", "examples,fuzzing", "--max-examples", "60", "--seed", "3"),
                    *("--warnings", "off", "--no-color", "--generation-database", "none"),
                    cwd=tmp_path,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        assert daemon.core.memory.situation.failed_steps == 0, daemon.core.memory.situation.failure
        quiet(log, caplog)
        if mode == "negative":
            after = held(daemon)
            if before["provider"] is None:
                assert after["provider"] is None or not after["provider"]["mirrors"]
            else:
                assert after == before
