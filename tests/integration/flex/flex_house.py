"""A provider's whole daemon on real sockets, for peers that write what they like."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import aiohttp

import scowl_edge.daemon
from scowl_edge.assembly import assemble
from scowl_edge.clocks import SystemClock
from scowl_edge.daemon import Daemon
from scowl_edge.drivers.flex.envelope import frame
from scowl_edge.drivers.flex.link_tls import FlexTls
from scowl_edge.dsr.provider import Provider
from scowl_edge.journal.file import read_records
from scowl_edge.journal.records import INPUTS, read_inputs
from scowl_edge.metrics import Metrics
from scowl_edge.model.codec import encode
from scowl_edge.model.event import Told
from scowl_edge.model.exchange import Ack, Body, Message, Register
from scowl_edge.model.flexibility import Control, EsaType, Mode
from tests.integration.flex.flex_nodes import CEM, DSRSP, ack_of, told, until


def config(tls: FlexTls, folder: Path) -> str:
    return f"""
site: {{id: grid}}
region: {{mode: auto}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: {folder / "grid.db"}}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: {tls.certificate}}}, key: {{file: {tls.key}}}, authority: {{file: {tls.ca}}}}}
  provider: {{node: "{DSRSP}", failsafe: {{import: 4.2 kW, export: 0 W}}}}
"""


@asynccontextmanager
async def running(tls: FlexTls, folder: Path, *, rate: int = 1) -> AsyncIterator[Daemon]:
    """It ends as by a crash: nothing is told to anybody."""
    # The machine's clock counts as synchronised here, whether a time service runs or not.
    with patch.object(scowl_edge.daemon, "SystemClock", lambda trust: SystemClock(trust=True)):
        daemon = Daemon(assemble(config(tls, folder), "grid.yaml"), clock_rate=rate)
    task = asyncio.create_task(daemon.run(Metrics(daemon)))
    try:
        await until(lambda: task.done() or (daemon.flex is not None and daemon.flex.url), "listening")
        assert not task.done(), task.exception()
        yield daemon
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        daemon.journal.close()


def url(daemon: Daemon) -> str:
    assert daemon.flex is not None
    return daemon.flex.url


def provider_of(daemon: Daemon) -> Provider:
    assert daemon.core.flexible is not None and daemon.core.flexible.talks.provider is not None
    return daemon.core.flexible.talks.provider


def refused(daemon: Daemon) -> int:
    """By the core."""
    assert daemon.core.flexible is not None
    return sum(daemon.core.flexible.talks.refused.values())


def held(daemon: Daemon) -> bytes:
    """All that a provider holds of its appliances; not how many messages it wrote, and not who is connected."""
    p = provider_of(daemon)
    return encode([p.mirrors, p.cems, p.portfolio, p.sites, p.site_states, p.goal, p.goals, p.resting_mono_ms])


def times_told(folder: Path) -> Counter[str]:
    """Message -> how often the journal has it."""
    found: Counter[str] = Counter()
    for record in read_records(folder / "grid.db"):
        if record.kind == INPUTS:
            found.update(e.message.id for e in read_inputs(record).events if isinstance(e, Told))
    return found


def register(number: int) -> Register:
    return Register(
        esa_id=f"esa-{number:08d}",
        esa_type=EsaType.EVSE,
        p_max_w=7_000,
        p_min_w=0,
        modes=(Mode.ROUTINE,),
        controls=(Control.PROFILE,),
        consent_ref="consent",
        cert_fp="0" * 64,
    )


class Peer:
    """A manager on a socket: numbers its frames."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, node: str = CEM) -> None:
        self.socket, self.node, self.seq = socket, node, 1

    async def say(self, message: Message) -> Ack:
        """The answer to a message; it is sent as it is, with the next number."""
        self.seq += 1
        await self.socket.send_str(frame(message, self.seq).decode())
        return await ack_of(self.socket, message.id)

    async def tell(self, body: Body) -> tuple[Message, Ack]:
        message = told(0, src=self.node, body=body)
        return message, await self.say(message)
