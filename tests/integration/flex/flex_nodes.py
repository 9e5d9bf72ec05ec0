"""A provider that listens and managers that dial, on real sockets, with certificates by an issuer of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import aiohttp

from scowl_edge.clocks import boottime_ms, wall_ms
from scowl_edge.drivers.flex.delivery import FlexLinkChanged
from scowl_edge.drivers.flex.dialer import FlexDialer
from scowl_edge.drivers.flex.envelope import Envelope, frame, parse
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.link_tls import FlexTls, client_context
from scowl_edge.drivers.flex.listener import FlexListener
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.drivers.flex.session_intake import Rate
from scowl_edge.drivers.flex.session_seen import OK
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.issuing import Issuer
from scowl_edge.model.exchange import Ack, Answered, Body, Heartbeat, Hello, Message, NodeRole, Running, State
from scowl_edge.model.flexibility import OverrideScope

DSRSP, CEM = "dsrsp:grid", "cem:house-1"
DEADLINE_S = 60.0
QUICK = Timers(back_off_ms=20, back_off_most_ms=200)


class TrustedClock:
    """The machine's clocks; all nodes of a test share them, so they agree whether a time service runs or not."""

    def mono_ms(self) -> int:
        return boottime_ms()

    def utc_ms(self) -> int:
        return wall_ms()

    def utc_ok(self) -> bool:
        return True


class Daemon:
    """Takes what links tell; says "stored" at once, or when it is told to."""

    def __init__(self) -> None:
        self.stores = True
        self.messages: list[Message] = []
        self.known: list[Answered] = []
        self.beats = 0
        self.answers: dict[str, tuple[Ack | None, str]] = {}
        self.changes: list[FlexLinkChanged] = []
        self.resyncs: list[str] = []
        self.find: Callable[[str], Link] | None = None

    def message(self, link: str, message: Message) -> None:
        if isinstance(message.body, Heartbeat):
            self.beats += 1
            return
        self.messages.append(message)
        if self.stores:
            asyncio.get_running_loop().call_soon(self.store, link, message.id)

    def store(self, link: str, message_id: str) -> None:
        assert self.find is not None
        if (known := self.find(link).session.known_as(message_id, OK)) is not None:
            self.known.append(known)
        self.find(link).stored(message_id)

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        assert message_id not in self.answers
        self.answers[message_id] = (ack, cause)

    def link_changed(self, changed: FlexLinkChanged) -> None:
        self.changes.append(changed)

    def resync(self, link: str, cause: str) -> None:
        self.resyncs.append(cause)

    @property
    def state(self) -> LinkState:
        """Of the link that changed last."""
        return self.changes[-1].state if self.changes else LinkState.DOWN

    @property
    def causes(self) -> str:
        """All causes told, in one text."""
        return "\n".join(one.cause for one in self.changes)


class Region:
    """An issuer and who has certificates by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "pki" / "ca.pem"
        self.issuer = Issuer(self.ca, folder / "pki" / "ca.key")
        if not self.ca.exists():
            self.issuer.create("test")

    def tls(self, node: str, *, expired: bool = False) -> FlexTls:
        stem = self.ca.parent / node.replace(":", "-")
        made = FlexTls(ca=self.ca, certificate=stem.with_suffix(".pem"), key=stem.with_suffix(".key"))
        self.issuer.issue(node, ("127.0.0.1",), made.certificate, made.key, node=node, days=30, expired=expired)
        return made


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Waits for something, but not for ever."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"did not come about: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def provider(
    tls: FlexTls,
    daemon: Daemon,
    *,
    port: int = 0,
    timers: Timers = QUICK,
    rate: Rate | None = None,
    pins: dict[str, str] | None = None,
) -> AsyncIterator[FlexListener]:
    """A listener on loopback."""
    listener = FlexListener(
        DSRSP,
        NodeRole.DSRSP,
        tls,
        daemon,
        TrustedClock(),
        seed=time.monotonic_ns(),
        timers=timers,
        rate=rate,
        pins=pins,
    )
    daemon.find = listener.link
    await listener.start("127.0.0.1", port)
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def manager(
    url: str, tls: FlexTls, daemon: Daemon, *, node: str = CEM, timers: Timers = QUICK, peer: str = DSRSP, pin: str = ""
) -> AsyncIterator[FlexDialer]:
    """A dialer, kept going."""
    dialer = FlexDialer(
        "grid",
        node,
        NodeRole.CEM,
        peer,
        url,
        tls,
        daemon,
        TrustedClock(),
        seed=time.monotonic_ns(),
        timers=timers,
        pin=pin,
    )
    daemon.find = lambda _: dialer.link
    task = asyncio.create_task(dialer.run())
    try:
        yield dialer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def told(number: int, *, src: str = CEM, dst: str = DSRSP, body: Body | None = None) -> Message:
    """A message with a new id."""
    given = body or State(esa_id=f"esa-{number:08d}", value=Running.IDLE, override=OverrideScope.NONE)
    return Message(id=str(uuid4()), ts_ms=wall_ms(), src=src, dst=dst, body=given)


def numbers(daemon: Daemon) -> list[int]:
    """Of `told`, in the order of arrival."""
    return [int(one.body.esa_id[4:]) for one in daemon.messages if isinstance(one.body, State)]


@asynccontextmanager
async def raw_socket(
    url: str, tls: FlexTls, *, greet: bool = True, node: str = CEM
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A peer that writes what it likes."""
    connector = aiohttp.TCPConnector(ssl=client_context(tls))
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(url + "/flex/v1/ws", max_msg_size=0) as socket,
    ):
        if greet:
            hello = Hello(versions=("1.0",), role=NodeRole.CEM)
            await socket.send_str(frame(told(0, src=node, body=hello), 1).decode())
            envelope, _ = await read(socket)
            assert envelope.type == "hello_ack"
        yield socket


async def read(socket: aiohttp.ClientWebSocketResponse) -> tuple[Envelope, Message]:
    """The next frame."""
    return parse(await asyncio.wait_for(socket.receive_str(), DEADLINE_S))


async def ack_of(socket: aiohttp.ClientWebSocketResponse, message_id: str) -> Ack:
    """The acknowledgement of a message; other frames are skipped."""
    while True:
        _, message = await read(socket)
        if isinstance(message.body, Ack) and message.corr == message_id:
            return message.body


def foreign(folder: Path, node: str) -> FlexTls:
    """A certificate by an issuer that nobody knows, with the right issuer's file to look peers up in."""
    return Region(folder).tls(node)
