"""What people order of flexibility at a running daemon: carried out, and repeated bit for bit from its journal."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiohttp
from black_box import COMMAND, START_S, TOKEN, Http, Running, free_ports, wait_for

from scowl_edge.drivers.flex import frame
from scowl_edge.drivers.flex.envelope import parse
from scowl_edge.drivers.flex.link_tls import FlexTls, client_context
from scowl_edge.issuing import Issuer
from scowl_edge.journal.file import read_records
from scowl_edge.journal.records import INPUTS, read_inputs
from scowl_edge.model.event import FlexAim, FlexCancel, FlexLimit, FlexOverride, FlexSelect
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Cancel,
    Heartbeat,
    Hello,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Message,
    NodeRole,
    Override,
    Register,
    Select,
    SelectStatus,
    State,
)
from scowl_edge.model.exchange import (
    Running as Value,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    LimitState,
    Mode,
    Offer,
    OfferSet,
    OverrideScope,
    Profile,
    ProfileKind,
    SelectionState,
)

ESA, NODE, CEM = "esa-00000001", "esa:esa-00000001", "cem:house"
RATE = 2
"""A clock that runs ahead counts as right, whether a time service runs on this machine or not."""
CONFIG = """
site: {{id: house}}
region: {{mode: auto}}
http: {{listen: 127.0.0.1:{http}, token: {{file: token}}}}
journal: {{path: house.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:{flex}
  tls: {{certificate: {{file: house.pem}}, key: {{file: house.key}}, authority: {{file: authority.pem}}}}
  manager: {{node: "cem:house", provider: "dsrsp:house", failsafe: {{import: 4.2 kW, export: 0 W}}, appliances: 2}}
  provider: {{node: "dsrsp:house", failsafe: {{import: 4.2 kW, export: 0 W}}}}
"""


class Appliance:
    """Says yes to whatever it is asked, and remembers it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seq = 0
        self.began_s, self.began_ms = time.monotonic(), 0
        self.heard: list[Body] = []
        self.unanswered: set[str] = set()

    def now_ms(self) -> int:
        """The daemon's UTC."""
        return self.began_ms + int(RATE * 1_000 * (time.monotonic() - self.began_s))

    async def say(self, body: Body, corr: str = "") -> None:
        self.seq += 1
        ts_ms = self.now_ms() or int(time.time() * 1_000)
        message = Message(id=str(uuid4()), ts_ms=ts_ms, src=NODE, dst=CEM, body=body, corr=corr)
        if not isinstance(body, Ack | Heartbeat | Hello):
            self.unanswered.add(message.id)
        await self.socket.send_str(frame(message, self.seq).decode())

    async def greet(self) -> None:
        await self.say(Hello(versions=("1.0",), role=NodeRole.ESA))
        _, message = parse(await self.socket.receive_str())
        self.began_s, self.began_ms = time.monotonic(), message.ts_ms

    async def until(self, kind: type[Body], count: int = 1) -> None:
        """Answers what comes until so many of a kind came, and all of its own is acknowledged."""
        async with asyncio.timeout(START_S):
            while sum(isinstance(b, kind) for b in self.heard) < count or self.unanswered:
                _, message = parse(await self.socket.receive_str())
                await self._take(message)

    async def _take(self, message: Message) -> None:
        body = message.body
        if isinstance(body, Ack):
            assert body.status is AckStatus.OK, body
            self.unanswered.discard(message.corr)
            return
        if isinstance(body, Heartbeat):
            return
        self.heard.append(body)
        await self.say(Ack(status=AckStatus.OK), message.id)
        for answer in answers(body):
            await self.say(answer, message.id)


def answers(body: Body) -> list[Body]:
    if isinstance(body, Init):
        return [InitDone(esa_id=ESA)]
    if isinstance(body, Select):
        states = (SelectionState.ACCEPTED, SelectionState.SCHEDULED)
        return [SelectStatus(select_id=body.select_id, esa_id=ESA, state=s, applied_offset_s=0) for s in states]
    if isinstance(body, Cancel):
        return [SelectStatus(select_id=body.select_id, esa_id=ESA, state=SelectionState.CANCELLED)]
    if isinstance(body, Limit):
        return [LimitStatus(limit_id=body.limit_id, esa_id=ESA, applied=True, p_now_w=0)]
    if isinstance(body, Override):
        return [body, State(esa_id=ESA, value=Value.IDLE, override=body.scope)]
    return []


def offers(now_ms: int) -> OfferSet:
    element = Element(dur_s=3_600, p_nom_w=2_000, p_min_w=2_000, p_max_w=2_000)
    profile = Profile(profile_id=str(uuid4()), kind=ProfileKind.IO, elements=(element,))
    offer = Offer(
        offer_id=str(uuid4()), valid_from_ms=now_ms - 1_000, valid_until_ms=now_ms + 3_600_000,
        start_earliest_ms=now_ms + 3_600_000, start_latest_ms=now_ms + 8 * 3_600_000, min_notice_s=60,
        modes=(Mode.ROUTINE, Mode.RESPONSE), default_profile_id=profile.profile_id, profiles=(profile,),
    )  # fmt: skip
    return OfferSet(esa_id=ESA, rev=1, offers=(offer,))


async def order(http: Http, what: str, **asked: object) -> None:
    body = {"who": "ada", "why": "a test", **asked}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status, _, answer = await asyncio.to_thread(http.ask, f"/api/v1/flex/{what}", body, headers)
    assert status == 202, (what, status, answer)


async def test_orders_are_carried_out_and_the_journal_repeats_them(tmp_path: Path) -> None:
    http_port, flex_port = free_ports(2)
    (tmp_path / "house.yaml").write_text(CONFIG.format(http=http_port, flex=flex_port))
    (tmp_path / "token").write_text(TOKEN + "\n")
    issuer = Issuer(tmp_path / "authority.pem", tmp_path / "authority.key")
    issuer.create("orders")
    for node, name in ((CEM, "house"), (NODE, "esa")):
        issuer.issue(node, ("127.0.0.1",), tmp_path / f"{name}.pem", tmp_path / f"{name}.key", node=node)
    daemon = Running(["run", "house.yaml", "--clock-rate", str(RATE)], tmp_path / "log", cwd=tmp_path)
    http = Http(f"http://127.0.0.1:{http_port}")
    try:
        await asyncio.to_thread(wait_for, lambda: answers_ready(http, daemon), START_S, "the daemon is ready")
        await asyncio.to_thread(wait_for, lambda: listens(flex_port), START_S, "it listens for appliances")
        await negotiate(http, f"https://127.0.0.1:{flex_port}", tmp_path)
    finally:
        http.close()
        daemon.close()
    ordered = [
        type(event)
        for record in read_records(tmp_path / "house.db")
        if record.kind == INPUTS
        for event in read_inputs(record).events
        if getattr(event, "who", "") == "ada"
    ]
    assert ordered == [FlexAim, FlexAim, FlexSelect, FlexCancel, FlexLimit, FlexLimit, FlexOverride, FlexOverride]
    done = await asyncio.to_thread(
        subprocess.run, [*COMMAND, "replay", "house.db"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical" in done.stdout, done.stdout


def answers_ready(http: Http, daemon: Running) -> bool:
    assert daemon.process.poll() is None, daemon.errors()[-2000:]
    try:
        return http.ask("/readyz")[0] == 200
    except OSError:
        return False


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


async def negotiate(http: Http, url: str, folder: Path) -> None:
    """Every order that there is, and what became of it at the appliance and at the daemon."""
    tls = FlexTls(ca=folder / "authority.pem", certificate=folder / "esa.pem", key=folder / "esa.key")
    connector = aiohttp.TCPConnector(ssl=client_context(tls))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url + "/flex/v1/ws", max_msg_size=0) as link,
    ):
        appliance = Appliance(link)
        await appliance.greet()
        register = Register(
            esa_id=ESA, esa_type=EsaType.WET, p_max_w=2_000, p_min_w=0, modes=(Mode.ROUTINE, Mode.RESPONSE),
            controls=(Control.PROFILE, Control.LIMIT), consent_ref="c", cert_fp="0" * 64,
        )  # fmt: skip
        await appliance.say(register)
        await appliance.until(Init)
        offered = offers(appliance.now_ms())
        await appliance.say(offered)
        await appliance.say(State(esa_id=ESA, value=Value.IDLE, override=OverrideScope.NONE))
        await appliance.say(Heartbeat(limit_state=LimitState.UNLIMITED, rev=1))
        await appliance.until(Init)

        await order(http, "aim", level_w=0, relative=True, until="2099-01-01T00:00:00Z")
        await order(http, "aim")
        [offer] = offered.offers
        start = datetime.fromtimestamp(offer.start_earliest_ms / 1_000 + 60, UTC).isoformat()
        await order(
            http, "select", esa_id=ESA, offer_id=offer.offer_id, profile_id=offer.default_profile_id, start=start
        )
        await appliance.until(Select)
        [select] = [b for b in appliance.heard if isinstance(b, Select)]
        await seen(http, select.select_id, "SCHEDULED")
        await order(http, "cancel", select_id=select.select_id, at="NOW")
        await appliance.until(Cancel)
        await seen(http, select.select_id, "CANCELLED")
        limits = sum(isinstance(b, Limit) for b in appliance.heard)
        await order(http, "limit", esa_id=ESA, p_upper_w=1_500)
        await appliance.until(Limit, limits + 1)
        assert [b for b in appliance.heard if isinstance(b, Limit)][-1].p_upper_w == 1_500
        await order(http, "limit", esa_id=ESA, active=False)
        await order(http, "override", esa_id=ESA, scope="GRID")
        await appliance.until(Override)
        await order(http, "override", esa_id=ESA, scope="NONE")
        await appliance.until(Override, 2)


async def seen(http: Http, select_id: str, state: str) -> None:
    """Returns when the daemon tells this of a selection."""

    def told() -> bool:
        rows = http.get("/api/v1/flex/selections")["selections"]
        return any(row["select_id"] == select_id and row["state"] == state for row in rows)

    await asyncio.to_thread(wait_for, told, START_S, f"{select_id} is {state}")
