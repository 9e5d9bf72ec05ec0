"""The site's links of flexibility, wired: who listens, whom it dials, and how what peers say reaches the core."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from scowl_edge.assembly.assembly import FlexSettings
from scowl_edge.contracts import Clock
from scowl_edge.devices.declaration import Secret
from scowl_edge.drivers.errors import NotAdmitted
from scowl_edge.drivers.flex.delivery import FlexLinkChanged
from scowl_edge.drivers.flex.dialer import FlexDialer
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.link_tls import FlexTls, client_context
from scowl_edge.drivers.flex.listener import FlexListener
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.drivers.flex.session_seen import digest
from scowl_edge.drivers.flex.session_timing import Now, Timers
from scowl_edge.inbox import Inbox
from scowl_edge.model.effect import Plan, Send
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import LinkChanged, Told
from scowl_edge.model.exchange import Ack, AckStatus, Answered, Code, Heartbeat, Message, NodeRole, Report
from scowl_edge.model.flexibility import LimitState
from scowl_edge.model.part import FlexPart

_log = structlog.get_logger(__name__)

_LED = (LimitState.LIMITED, LimitState.UNLIMITED)
"""States of a manager that was told what its limit is."""
MOST_REPORTS = 10_000
"""Reports of ours on their way whose acknowledgement the core waits for."""


class FlexError(ScowlError):
    """Links of flexibility cannot be made as they are configured."""


class FlexLinks:
    """All links of a site. Implements the drivers' `FlexSink`."""

    def __init__(
        self, settings: FlexSettings, part: FlexPart, inbox: Inbox, clock: Clock, *, seed: int, rate: int = 1
    ) -> None:
        """`seed` differs at each start; `rate` is how much faster than the machine the clock runs.

        Raises:
            FlexError: certificate, key or authority cannot be used.
        """
        self._inbox = inbox
        self._clock = clock
        self._settings = settings
        tls = FlexTls(
            ca=_path(settings.authority, "authority"),
            certificate=_path(settings.certificate, "certificate"),
            key=_path(settings.key, "key"),
        )
        try:
            # Once before anything begins: a daemon that can talk to nobody should say so at its start.
            client_context(tls)
        except NotAdmitted as error:
            raise FlexError(
                f"flex: tls: {error}; `scowl-edge pki authority` and `pki issue` make what is needed"
            ) from error
        own, role = _self(part)
        self._manager = part.manager.node if part.manager is not None else ""
        pins = {peer.node: peer.fingerprint for peer in settings.peers if peer.fingerprint}
        self.listener: FlexListener | None = None
        if settings.host:
            self.listener = FlexListener(
                own, role, tls, self, clock, seed=seed, pins=pins, timers=timers_at(rate), clock_rate=rate
            )
        self.dialers: dict[str, FlexDialer] = {
            peer.node: FlexDialer(
                peer.node,
                own,
                role,
                peer.node,
                peer.url,
                tls,
                self,
                clock,
                seed=seed,
                pin=peer.fingerprint,
                timers=timers_at(rate),
                clock_rate=rate,
            )
            for peer in settings.peers
            if peer.url
        }
        self._reports: dict[str, None] = {}
        self._risen: set[str] = set()
        """Peers whose link came up: the resync that follows says nothing new."""
        self._unsent: dict[str, int] = {}
        """Peer -> messages that its link did not take."""

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listens and dials until cancelled.

        Raises:
            ScowlError: the listener cannot begin; the others go on only with it.
        """
        if self.listener is not None:
            await self.listener.start(self._settings.host, self._settings.port)
            _log.info("flex_listening", url=self.listener.url)
        try:
            async with asyncio.TaskGroup() as group:
                for dialer in self.dialers.values():
                    group.create_task(dialer.run(), name=f"flex link {dialer.link.name}")
                await asyncio.Event().wait()
        finally:
            if self.listener is not None:
                await self.listener.close()

    def remember(self, past: Iterable[Answered], floor_ms: int, late: Iterable[tuple[Told, Ack]]) -> None:
        """What was answered before a restart: the same again is answered again, and not done again.

        `past` is what the journal noted of the last day, `late` what was answered after its last snapshot; what was
        answered until `floor_ms` (UTC) may be missing.
        """
        of_peer: dict[str, list[Answered]] = {}
        late = list(late)
        noted_twice = {told.message.id for told, _ in late}
        for one in past:
            if one.message_id not in noted_twice:
                of_peer.setdefault(one.peer, []).append(one)
        for told, ack in late:
            message = told.message
            known = Answered(
                peer=told.link,
                message_id=message.id,
                digest=digest(message),
                ts_ms=message.ts_ms,
                code=ack.code,
                detail=ack.detail,
            )
            of_peer.setdefault(told.link, []).append(known)
        now = Now(self._clock.mono_ms(), self._clock.utc_ms(), self._clock.utc_ok())
        if self.listener is not None:
            self.listener.floor_ms = floor_ms
        for dialer in self.dialers.values():
            dialer.link.session.remember((), floor_ms, now)
        for peer, answered in of_peer.items():
            link = self._link(peer)
            if link is not None:
                link.session.remember(answered, floor_ms, now)

    def answers(self, plan: Plan) -> list[Answered]:
        """What a plan answers for good, as it is to be known after a restart."""
        found = []
        for effect in plan.effects:
            if isinstance(effect, Send) and isinstance(effect.message.body, Ack):
                link = self._link(effect.link)
                known = None if link is None else link.session.known_as(effect.message.corr, effect.message.body)
                if known is not None:
                    found.append(known)
        return found

    @property
    def url(self) -> str:
        """Where this site listens; empty if it does not."""
        return self.listener.url if self.listener is not None else ""

    def links(self) -> Iterator[Link]:
        """All that there are."""
        for dialer in self.dialers.values():
            yield dialer.link
        if self.listener is not None:
            yield from self.listener.links.values()

    def troubles(self) -> tuple[Counter[str], Counter[str], int]:
        """(refusals by code, what else happened, largest skew in ms) on all links."""
        refused: Counter[str] = Counter()
        happened = Counter(dict.fromkeys(("slowed", "repeated", "again", "gap", "unadmitted", "forgotten"), 0))
        skew_ms = 0
        for link in self.links():
            session = link.session
            refused.update(session.refused_by)
            happened["slowed"] += session.slowed_total
            happened["repeated"] += session.repeated_total
            happened["again"] += session.again_total
            happened["gap"] += session.gaps_total
            happened["forgotten"] += session.forgotten_total
            if session.state in (LinkState.UP, LinkState.STALE):
                skew_ms = max(skew_ms, abs(session.skew_ms))
        if self.listener is not None:
            happened["unadmitted"] += self.listener.refused_total
        return refused, happened, skew_ms

    @property
    def unsent(self) -> Mapping[str, int]:
        """Peer -> messages that its link did not take, since the start."""
        return self._unsent

    # -- from the core -----------------------------------------------------------------------------------------------

    def speak(self, send: Send) -> None:
        """Says what the core wants said; what it acknowledges is durable by now."""
        link, body = self._link(send.link), send.message.body
        if link is None:
            self._unsent[send.link] = self._unsent.get(send.link, 0) + 1
        elif isinstance(body, Ack):
            if body.status is AckStatus.OK:
                link.stored(send.message.corr)
            else:
                link.refused(send.message.corr, body.code or Code.INTERNAL, body.detail)
        elif isinstance(body, Heartbeat):
            link.session.vital = body
        else:
            if isinstance(body, Report) and len(self._reports) < MOST_REPORTS:
                self._reports[send.message.id] = None
            why = link.send(send.message)
            if why:
                self._unsent[send.link] = self._unsent.get(send.link, 0) + 1
                _log.warning("flex_not_sent", link=send.link, why=why)

    def _link(self, peer: str) -> Link | None:
        dialer = self.dialers.get(peer)
        if dialer is not None:
            return dialer.link
        return self.listener.link(peer) if self.listener is not None else None

    # -- from the links ----------------------------------------------------------------------------------------------

    def message(self, link: str, message: Message) -> None:
        """A peer's message, each once, in order."""
        body = message.body
        if isinstance(body, Heartbeat) and message.dst != self._manager and body.limit_state in _LED:
            # A provider asks nobody for a proof of life but by the link itself; who has no limit waits to be told.
            return
        if self._inbox.message(Told(link=link, message=message, at_ms=self._clock.mono_ms())):
            return
        found = self._link(link)
        if found is not None and not isinstance(message.body, Heartbeat):
            found.refused(message.id, Code.BUSY, "too much at once; send it again later")

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        """What became of a message of ours; the core hears of reports, which it keeps until they are stored."""
        if message_id in self._reports:
            del self._reports[message_id]
            if ack is not None and ack.status is AckStatus.OK:
                told = Message(
                    id=message_id, ts_ms=self._clock.utc_ms(), src=link, dst=self._manager, body=ack, corr=message_id
                )
                self._inbox.message(Told(link=link, message=told, at_ms=self._clock.mono_ms()))
        if ack is None or ack.status is not AckStatus.OK:
            why = cause if ack is None else f"{ack.code}: {ack.detail}"
            _log.info("flex_not_taken", link=link, message=message_id, why=why)

    def link_changed(self, changed: FlexLinkChanged) -> None:
        """Up or down; a silent link is neither yet."""
        if changed.state is LinkState.UP:
            self._risen.add(changed.peer)
        if changed.state in (LinkState.UP, LinkState.DOWN):
            self._turned(changed.peer, changed.state is LinkState.UP, changed.at_ms, changed.cause)

    def resync(self, link: str, cause: str) -> None:
        """Something may have been missed: the core tells anew what stands, as after a new link."""
        if link in self._risen:
            self._risen.discard(link)
            return
        now_ms = self._clock.mono_ms()
        self._turned(link, False, now_ms, cause)
        self._turned(link, True, now_ms, cause)

    def _turned(self, peer: str, up: bool, at_ms: int, cause: str) -> None:
        self._inbox.event(LinkChanged(link=peer, device="", up=up, at_ms=at_ms, cause=cause))


def timers_at(rate: float) -> Timers:
    """Timers where the clock runs faster than the machine: what waits for the machine waits as long as ever."""
    usual = Timers()
    if rate == 1:
        return usual
    return replace(
        usual,
        hello_ms=int(usual.hello_ms * rate),
        ack_ms=int(usual.ack_ms * rate),
        skew_ms=int(usual.skew_ms * rate),
        back_off_ms=int(usual.back_off_ms * rate),
        again_ms=int(usual.again_ms * rate),
        keep_ms=int(usual.keep_ms * rate),
    )


def _self(part: FlexPart) -> tuple[str, NodeRole]:
    """Who this site is towards others: a manager, if it is one."""
    if part.manager is not None:
        return part.manager.node, NodeRole.CEM
    if part.provider is not None:
        return part.provider.node, NodeRole.DSRSP
    raise FlexError("flex: neither manager nor provider; name one of them")


def _path(secret: Secret, what: str) -> Path:
    if secret.file:
        return Path(secret.file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise FlexError(
            f"flex: tls: {what} is the credential {secret.credential!r}, but $CREDENTIALS_DIRECTORY is not set: "
            "start under systemd with LoadCredential, or give `{file: PATH}`"
        )
    return Path(folder) / secret.credential
