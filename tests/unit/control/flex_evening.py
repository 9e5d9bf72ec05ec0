"""Manager and provider in one core with homes around it, in virtual time; the core may crash at any boundary.

Every record, effect and message of the real turn is there; only the wire is an immediate call. What an appliance was
not acknowledged it tells again after a link comes back, as a session does.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.control.flexible import Flexible
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.proposing import propose
from scowl_edge.dsr.provider import Provider
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.replay import ReplayReport, replay
from scowl_edge.model.codec import encode
from scowl_edge.model.effect import Ask, Effect, Send
from scowl_edge.model.event import Answer, LinkChanged, Told
from scowl_edge.model.exchange import Ack, AckStatus, Body, Heartbeat, Limit, Message
from scowl_edge.model.flexibility import LimitState, Proposal
from scowl_edge.turn import Clocks, Turn, resume
from simulators.appliances.households import street
from simulators.appliances.simulated import SimulatedAppliance, registration

MIDNIGHT = 1_700_006_400_000
HOUR, MIN = 3_600_000, 60_000
CEM, DSRSP = "cem:house", "dsrsp:house"
FAILSAFE_W = 4_200
MOST = 40
"""Appliances that the manager takes."""
BEAT_MS = 30_000

_proposals: dict[bytes, Proposal] = {}


def config(
    *, most: int = MOST, failsafe_kw: str = "4.2", level_kw: str = "6", manager: str = CEM, led: bool = True
) -> str:
    """A site that is manager and provider; not `led`, it has nobody who selects."""
    who = f'provider: "{DSRSP}", ' if led else ""
    return f"""
site: {{id: house}}
region: {{mode: auto}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: house.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: a.pem}}, key: {{file: a.key}}, authority: {{file: ca.pem}}}}
  manager: {{node: "{manager}", {who}failsafe: {{import: {failsafe_kw} kW, export: 5 kW}}, appliances: {most}}}
  provider: {{node: "{DSRSP}", failsafe: {{import: 4.2 kW, export: 5 kW}}, level: {level_kw} kW, mode: response}}
"""


def core_of(text: str) -> Core:
    """As a daemon makes it."""
    return Core(assemble(text, "house.yaml").site)


def flexible(core: Core) -> Flexible:
    assert core.flexible is not None
    return core.flexible


@dataclass
class Home:
    """An appliance, and what it told and was not acknowledged."""

    appliance: SimulatedAppliance[Any]
    told: int = 0
    open: dict[str, Message] = field(default_factory=dict)
    vital: Heartbeat = field(default_factory=lambda: Heartbeat(limit_state=LimitState.INIT, rev=0))
    """What its link says of the manager's life."""

    @property
    def node(self) -> str:
        return f"esa:{self.appliance.esa_id}"


class Evening:
    """One site and its homes. `step` lets a while pass."""

    def __init__(
        self,
        homes: int,
        *,
        text: str = "",
        seed: int = 3,
        start_h: int = 15,
        snapshot_every: int = 40,
        step_ms: int = 30_000,
    ) -> None:
        self.text = text or config()
        self.now_ms = start_h * HOUR
        self.snapshot_every, self.step_ms = snapshot_every, step_ms
        self.up = True
        self.acked: dict[str, Message] = {}
        """What the core acknowledged."""
        self.refused: dict[str, Ack] = {}
        self.limits: Counter[str] = Counter()
        """Node -> limits that it was told."""
        self.on_boundary: Callable[[str], None] | None = None
        fallback = Fallback(failsafe_p_upper_w=8_000, failsafe_p_lower_w=-8_000)
        self.homes: dict[str, Home] = {}
        for member in [m for home in street(seed, homes, MIDNIGHT) for m in home.members]:
            register = registration(member.adapter, consent_ref="c", cert_fp="0" * 64)
            appliance = SimulatedAppliance(
                member.adapter, member.state, register, fallback, self.now, events=member.events
            )
            self.homes[appliance.esa_id] = Home(appliance)
        self._boot(MemoryJournal())
        self._connect()

    # The site.

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.now_ms, utc_ms=MIDNIGHT + self.now_ms, utc_ok=True)

    @property
    def clocks(self) -> Clocks:
        return Clocks(mono_ms=self.now_ms, utc_ms=MIDNIGHT + self.now_ms, utc_ok=True)

    @property
    def cem(self) -> Cem:
        found = flexible(self.core).talks.cem
        assert found is not None
        return found

    @property
    def provider(self) -> Provider:
        found = flexible(self.core).talks.provider
        assert found is not None
        return found

    def _boot(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.core, self.inbox = core_of(self.text), Inbox(0, [], [], [])
        self.turn: Turn = resume(
            journal.recover(),
            self.core,
            core_of,
            self.inbox,
            journal,
            self.clocks,
            version="1",
            seed=1,
            text=self.text,
            fingerprint=self.text,
            snapshot_every=self.snapshot_every,
        )
        self.beat_ms = self.now_ms

    def crashed(self, keep_volatile: int, *, down_ms: int = 4_000, text: str = "") -> Evening:
        """The same homes, the journal as a disk has it, a new boot; links are still down."""
        after = copy.copy(self)
        after.on_boundary = None
        after.text = text or self.text
        after.now_ms = self.now_ms + down_ms
        after.acked, after.refused = dict(self.acked), dict(self.refused)
        after.homes = copy.deepcopy(self.homes)
        for home in after.homes.values():
            home.appliance.esa.link_lost(after.now)
        after._boot(self.journal.crash(keep_volatile))
        return after

    def reconnect(self) -> None:
        """All links come back, and what was not acknowledged is told again, the very same."""
        self._connect()
        for home in self.homes.values():
            for message in list(home.open.values()):
                self.inbox.message(Told(link=home.node, message=message, at_ms=self.now_ms))

    def _connect(self) -> None:
        for home in self.homes.values():
            self.inbox.event(LinkChanged(link=home.node, device="", up=True, at_ms=self.now_ms, cause="up"))
            esa = home.appliance.esa
            self._say(home, (home.appliance.register, *home.appliance.live(self.now), *esa.link_up(self.now)))

    # Time.

    def until(self, hour: float) -> None:
        while self.now_ms < hour * HOUR:
            self.step()

    def run_for(self, ms: int) -> None:
        end = self.now_ms + ms
        while self.now_ms < end:
            self.step()

    def step(self) -> None:
        """A while: the appliances live, then turns until nobody has anything to say."""
        for home in self.homes.values():
            self._say(home, home.appliance.live(self.now))
        if self.now_ms >= self.beat_ms:
            # What each link says by itself: that it lives, both ways.
            self.beat_ms += BEAT_MS
            for home in self.homes.values():
                self._say(home, (home.appliance.esa.heartbeat(), *home.appliance.hear(home.vital, self.now)))
        self.turns()
        self.now_ms += self.step_ms

    def turns(self) -> None:
        self.once()
        for _ in range(20):
            if not self.inbox.waiting:
                return
            self.now_ms += 1
            self.once()
        raise AssertionError("they never stop talking")

    def once(self) -> None:
        plan = self.turn.decide(self.clocks)
        self._boundary("decided")
        durable = self.journal.commit(200)
        self._boundary("durable")
        self.turn.settled(durable)
        for effect in self.turn.may_leave(plan, durable):
            self._leave(effect)
            self._boundary(type(effect).__name__)

    def _boundary(self, name: str) -> None:
        if self.on_boundary is not None:
            self.on_boundary(name)

    def _leave(self, effect: Effect) -> None:
        if isinstance(effect, Ask):
            job = self.core.work(effect)
            if job is not None:
                key = encode(job)
                if key not in _proposals:
                    _proposals[key] = propose(job)  # type: ignore[arg-type]
                self.inbox.event(Answer(job=effect.job, revision=effect.revision, proposal=_proposals[key], failure=""))
        elif isinstance(effect, Send):
            self._hear(effect.message)

    def _hear(self, message: Message) -> None:
        home = self.homes.get(message.dst.removeprefix("esa:"))
        if home is None:
            return
        if isinstance(message.body, Heartbeat):
            home.vital = message.body
            return
        if isinstance(message.body, Ack):
            said = home.open.pop(message.corr, None)
            if message.body.status is not AckStatus.OK:
                self.refused[message.corr] = message.body
            elif said is not None:
                self.acked[message.corr] = said
            return
        self.limits[message.dst] += isinstance(message.body, Limit)
        self._say(home, home.appliance.hear(message.body, self.now))

    def _say(self, home: Home, bodies: tuple[Body, ...]) -> None:
        for body in bodies:
            if isinstance(body, Ack):
                continue
            home.told += 1
            message = Message(
                id=identity(home.node, home.told),
                ts_ms=self.now.utc_ms,
                src=home.node,
                dst=CEM,
                body=body,
            )
            if not isinstance(body, Heartbeat):
                home.open[message.id] = message
            self.inbox.message(Told(link=home.node, message=message, at_ms=self.now_ms))

    # What may be asked of it.

    @property
    def power_w(self) -> int:
        return sum(home.appliance.power_w for home in self.homes.values())

    def replayed(self) -> ReplayReport:
        return replay(self.journal.durable, core_of)
