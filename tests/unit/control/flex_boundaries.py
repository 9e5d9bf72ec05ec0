"""Whole cores with journals in memory, and two appliances, on a wire that keeps what was not acknowledged.

A manager and a provider live in one core or in two. Every record, barrier and effect of the real turn is there, and so
is the links' memory of ids; a core may die at any boundary and goes on with what its journal has.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.drivers.flex.session_seen import OK, Seen, SeenIds, digest
from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.planning import Job
from scowl_edge.dsr.provider import Provider
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import ANSWERED, read_answered
from scowl_edge.model.effect import Ask, Effect, Plan, Send
from scowl_edge.model.event import Answer, Event, LinkChanged, Told
from scowl_edge.model.exchange import (
    Ack,
    Answered,
    Body,
    Heartbeat,
    Message,
    Register,
    RegisterResult,
    Report,
    SelectStatus,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    LimitState,
    Mode,
    Offer,
    OfferSet,
    Pick,
    Profile,
    ProfileKind,
    Proposal,
    SelectionState,
)
from scowl_edge.model.site import Site
from scowl_edge.turn import Clocks, Turn, resume

UTC = 1_700_006_400_000
CEM, DSRSP = "cem:house", "dsrsp:grid"
ESAS = ("esa:aaaaaaaa", "esa:bbbbbbbb")
FAILSAFE_W = 4_200
DAY_MS = 86_400_000
_COMMON = """
site: {{id: {0}}}
region: {{mode: auto}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: {0}.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: a.pem}}, key: {{file: a.key}}, authority: {{file: ca.pem}}}}
"""
_FAILSAFE = "failsafe: {import: 4.2 kW, export: 5 kW}"
_MANAGER = f'  manager: {{node: "cem:house", provider: %s, {_FAILSAFE}, appliances: 4}}\n'
_PROVIDER = f'  provider: {{node: "dsrsp:grid", {_FAILSAFE}, answer: 1 s}}\n'
_PEERS = '  peers: {grid: {node: "dsrsp:grid", url: "https://127.0.0.1:1"}}\n'
ONE = _COMMON.format("house") + _MANAGER % '"dsrsp:grid"' + _PROVIDER
HOUSE = _COMMON.format("house") + _PEERS + _MANAGER % "grid"
GRID = _COMMON.format("grid") + _PROVIDER


@cache
def site_of(text: str) -> Site:
    return assemble(text, "site.yaml").site


def core_of(text: str) -> Core:
    return Core(site_of(text))


@dataclass
class Esa:
    """An appliance; it outlives the cores."""

    appliance: Appliance
    told: int = 0
    unanswered: dict[str, Message] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """Ids of messages that it took -> what they were, so that no id is used for two."""


class Hub:
    """One core with its turn, its journal, and what its links know."""

    def __init__(self, world: World, text: str, journal: MemoryJournal) -> None:
        self.world, self.text, self.journal = world, text, journal
        self.core, self.inbox = core_of(text), Inbox(0, [], [], [])
        self.unanswered: dict[str, Message] = {}
        """Of ours, by id: a peer that comes back is told them again."""
        self.vital: dict[str, Heartbeat] = {}
        self.seen: dict[str, SeenIds] = {}
        past: list[Answered] = [a for r in journal.durable if r.kind == ANSWERED for a in read_answered(r)]
        self.turn: Turn = resume(
            journal.recover(),
            self.core,
            core_of,
            self.inbox,
            journal,
            world.clocks,
            version="1",
            seed=1,
            text=text,
            fingerprint=text,
            snapshot_every=7,
        )
        for one in past:
            self.known(one.peer).remember([one], 0, world.now.utc_ms, True)
        for told, ack in self.turn.acknowledged:
            message = told.message
            late = Answered(
                peer=told.link, message_id=message.id, digest=digest(message), ts_ms=message.ts_ms,
                code=ack.code, detail=ack.detail,
            )  # fmt: skip
            self.known(told.link).remember([late], 0, world.now.utc_ms, True)
        self.turn.answers = self.answers

    def known(self, peer: str) -> SeenIds:
        return self.seen.setdefault(peer, SeenIds(keep_ms=DAY_MS))

    def answers(self, plan: Plan) -> list[Answered]:
        """As the links make them."""
        found = []
        for effect in plan.effects:
            body = effect.message.body if isinstance(effect, Send) else None
            if isinstance(effect, Send) and isinstance(body, Ack):
                corr, waits = effect.message.corr, self.known(effect.link).awaited(effect.message.corr)
                if waits is not None:
                    one = Answered(
                        peer=effect.link, message_id=corr, digest=waits[0], ts_ms=waits[1],
                        code=body.code, detail=body.detail,
                    )  # fmt: skip
                    found.append(one)
        return found

    def hears(self, message: Message) -> None:
        """A message arrives on a link."""
        world, body = self.world, message.body
        if isinstance(body, Ack):
            said = self.unanswered.pop(message.corr, None)
            assert body.code is None or said is None, f"{message.src} refuses {said}: {body}"
            if said is not None and isinstance(said.body, Report):
                self._tell(message)
            return
        if isinstance(body, Heartbeat):
            self._tell(message)
            return
        seen, found = self.known(message.src), digest(message)
        what, answer = seen.look(message, found)
        if what is Seen.AGAIN and answer is not None:
            world.say(message.dst, message.src, answer, message.id)
        elif what is Seen.NEW:
            seen.delivered(message, found)
            self._tell(message)
        else:
            assert what is Seen.PENDING, f"{message} has an id that is {what}"

    def _tell(self, message: Message) -> None:
        assert self.inbox.message(Told(link=message.src, message=message, at_ms=self.world.now_ms))

    def step(self) -> None:
        """One turn; the world looks at each boundary."""
        world = self.world
        plan = self.turn.decide(world.clocks)
        assert not self.turn.failure, self.turn.failure
        world.boundary(self, "decided")
        durable = self.journal.commit(200)
        world.boundary(self, "durable" if durable else "late")
        self.turn.settled(durable)
        for effect in self.turn.may_leave(plan, durable):
            self._leave(effect)
            world.boundary(self, type(effect).__name__)

    def _leave(self, effect: Effect) -> None:
        if isinstance(effect, Ask):
            job = self.core.work(effect)
            assert isinstance(job, Job)
            self.inbox.event(Answer(job=effect.job, revision=effect.revision, proposal=chosen(job), failure=""))
        elif isinstance(effect, Send):
            message = effect.message
            if isinstance(message.body, Heartbeat):
                self.vital[effect.link] = message.body
                return
            if isinstance(message.body, Ack):
                # As the links do it: what nobody waits for is not answered.
                if self.known(effect.link).answered(message.corr, message.body):
                    self.world.put(message)
                return
            self.unanswered[message.id] = message
            self.world.put(message)


def chosen(job: Job) -> Proposal:
    """A plan: each is to begin as soon as it may."""
    picks = tuple(
        Pick(
            esa_id=c.esa_id,
            rev=c.rev,
            offer_id=c.offer.offer_id,
            profile_id="md",
            start_ms=c.offer.start_earliest_ms if c.present is None else c.present.start_ms,
        )
        for c in job.candidates
    )
    return Proposal(
        number=job.number, picks=picks, objective=1, idle_objective=2, bound=None, gap_ppm=None, excess_w=0,
        idle_excess_w=0, reasons=(), overloads=(),
    )  # fmt: skip


class World:
    """Hubs, appliances, and the wire between them."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.now_ms = 10_000
        self.wire: deque[Message] = deque()
        self.on_boundary: Callable[[World, Hub, str], None] | None = None
        self.esas: dict[str, Esa] = {}
        self.acked: list[Message] = []
        """What the hubs acknowledged to appliances."""
        self.ordered: list[Event] = []
        """What people were told is done."""
        self.ends: dict[tuple[str, str, str], tuple[SelectionState, object]] = {}
        """(who, appliance, selection) -> how it ended, for ever."""
        for node in ESAS:
            register = Register(
                esa_id=node.removeprefix("esa:"), esa_type=EsaType.EVSE, p_max_w=7_000, p_min_w=0,
                modes=(Mode.ROUTINE, Mode.RESPONSE), controls=(Control.PROFILE, Control.LIMIT), consent_ref="c",
                cert_fp="0" * 64,
            )  # fmt: skip
            fallback = Fallback(failsafe_p_upper_w=8_000, failsafe_p_lower_w=-8_000)
            self.esas[node] = Esa(Appliance.first(register, fallback, self.now, seed=5, tolerance=Tolerance()))
        self.restarted: tuple[str, ...] = ()
        """Nodes that died last."""
        self.hubs: list[Hub] = []
        for text in texts:
            self.hubs.append(Hub(self, text, MemoryJournal()))

    # Clocks and parts.

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.now_ms, utc_ms=UTC + self.now_ms, utc_ok=True)

    @property
    def clocks(self) -> Clocks:
        return Clocks(mono_ms=self.now_ms, utc_ms=UTC + self.now_ms, utc_ok=True)

    @property
    def cem(self) -> Cem:
        flexible = self.hub(CEM).core.flexible
        assert flexible is not None and flexible.talks.cem is not None
        return flexible.talks.cem

    @property
    def provider(self) -> Provider:
        flexible = self.hub(DSRSP).core.flexible
        assert flexible is not None and flexible.talks.provider is not None
        return flexible.talks.provider

    def hub(self, node: str) -> Hub:
        return self.hubs[0] if node == CEM else self.hubs[-1]

    def boundary(self, hub: Hub, name: str) -> None:
        if self.on_boundary is not None:
            self.on_boundary(self, hub, name)

    # The wire.

    def put(self, message: Message) -> None:
        self.wire.append(message)

    def say(self, src: str, dst: str, body: Body, corr: str = "") -> None:
        """What is said by a link itself, or by an appliance."""
        esa = self.esas.get(src)
        number = 0
        if esa is not None:
            esa.told += 1
            number = esa.told
        message = Message(
            id=identity(src, dst, number, corr), ts_ms=self.now.utc_ms, src=src, dst=dst, body=body, corr=corr
        )
        if esa is not None and not isinstance(body, Ack | Heartbeat):
            esa.unanswered[message.id] = message
        self.put(message)

    def tell(self, node: str, bodies: tuple[Body, ...]) -> None:
        """An appliance tells its manager."""
        for body in bodies:
            self.say(node, CEM, body)

    def settle(self) -> None:
        """Until nobody has anything to say."""
        for _ in range(60):
            while self.wire:
                self._arrive(self.wire.popleft())
            busy = [hub for hub in self.hubs if hub.inbox.waiting]
            if not busy:
                return
            for hub in busy:
                self.now_ms += 1
                hub.step()
        raise AssertionError("they never stop talking")

    def _arrive(self, message: Message) -> None:
        esa = self.esas.get(message.dst)
        if esa is None:
            self.hub(message.dst).hears(message)
            return
        body = message.body
        if isinstance(body, Ack):
            said = esa.unanswered.pop(message.corr, None)
            if said is not None:
                assert body.code is None, f"{said} was refused: {body}"
                self.acked.append(said)
            return
        if isinstance(body, Heartbeat):
            self._takes(message, esa)
            return
        words = repr(body)
        assert esa.seen.setdefault(message.id, words) == words, f"{message.src} used an id twice"
        # An appliance remembers no ids: whatever comes twice must do no harm.
        self._takes(message, esa)
        self.say(message.dst, message.src, OK, message.id)

    def _takes(self, message: Message, esa: Esa) -> None:
        if not isinstance(message.body, RegisterResult):
            self.tell(message.dst, esa.appliance.receive(message.body, self.now).tell)

    # What happens.

    def wait(self, ms: int) -> None:
        """Time passes; whoever wants to, wakes."""
        self.now_ms += ms
        for node, esa in self.esas.items():
            self.tell(node, esa.appliance.advance(self.now))
        for hub in self.hubs:
            self.now_ms += 1
            hub.step()
        self.settle()

    def beat(self) -> None:
        """Every link says that its ends live."""
        for node, esa in self.esas.items():
            self.say(node, CEM, esa.appliance.heartbeat())
            self.say(CEM, node, self.hub(CEM).vital.get(node, Heartbeat(limit_state=LimitState.INIT, rev=0)))
        if len(self.hubs) > 1:
            self.say(DSRSP, CEM, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
            self.say(CEM, DSRSP, self.hub(CEM).vital.get(DSRSP, Heartbeat(limit_state=LimitState.INIT, rev=0)))
        self.settle()

    def connect(self) -> None:
        """All links come up; what was not acknowledged is told again, the very same."""
        for node, esa in self.esas.items():
            self._linked(self.hub(CEM), node, True)
            self.tell(node, (esa.appliance.register, *esa.appliance.link_up(self.now)))
        if len(self.hubs) > 1:
            self._linked(self.hub(CEM), DSRSP, True)
            self._linked(self.hub(DSRSP), CEM, True)
        for speaker in (*self.esas.values(), *self.hubs):
            self.wire += speaker.unanswered.values()
        self.settle()

    def order(self, node: str, event: Event) -> None:
        """A person orders, and is told that it is done once that is durable."""
        hub = self.hub(node)
        hub.inbox.event(event)
        self.settle()
        if hub.turn.journal_ok:
            self.ordered.append(event)

    def offer(self, node: str, rev: int, start_s: int) -> None:
        """New offers; the profiles last 20 s."""
        esa, wall_ms = self.esas[node], self.now.utc_ms
        profiles = tuple(
            Profile(profile_id=name, kind=kind, elements=(Element(dur_s=20, p_nom_w=w, p_min_w=w, p_max_w=w),))
            for name, kind, w in (("io", ProfileKind.IO, 3_000), ("md", ProfileKind.MD, 1_000))
        )
        offer = Offer(
            offer_id=f"{node}-{rev}", valid_from_ms=wall_ms, valid_until_ms=wall_ms + 900_000,
            start_earliest_ms=wall_ms + 1_000 * start_s, start_latest_ms=wall_ms + 900_000, min_notice_s=1,
            modes=(Mode.ROUTINE, Mode.RESPONSE), default_profile_id="io", profiles=profiles,
        )  # fmt: skip
        told = esa.appliance.offers(OfferSet(esa_id=esa.appliance.esa_id, rev=rev, offers=(offer,)), self.now)
        self.tell(node, told)
        self.settle()

    def _linked(self, hub: Hub, peer: str, up: bool) -> None:
        hub.inbox.event(LinkChanged(link=peer, device="", up=up, at_ms=self.now_ms, cause="up" if up else "cut"))

    # Crashes.

    def crashed(self, hub: Hub, keep_volatile: int, down_ms: int = 4_000) -> World:
        """The same world, but that this core died: its journal as a disk has it, and its links are down."""
        after = copy.deepcopy(self, {id(s): s for s in map(site_of, (ONE, HOUSE, GRID))} | {id(self.on_boundary): None})
        after.on_boundary = None
        index = self.hubs.index(hub)
        own = (CEM,) if len(self.hubs) > 1 and index == 0 else (DSRSP,) if len(self.hubs) > 1 else (CEM, DSRSP)
        after.wire = deque(m for m in after.wire if m.src not in own and m.dst not in own)
        after.now_ms += down_ms
        after.restarted = own
        if CEM in own:
            for esa in after.esas.values():
                # Told to nobody: the manager is not there; the resync says it.
                esa.appliance.link_lost(after.now)
        for other in after.hubs:
            if other is not after.hubs[index]:
                after._linked(other, own[0], False)
        after.hubs[index] = Hub(after, hub.text, hub.journal.crash(keep_volatile))
        return after

    # What holds.

    def check(self, where: str) -> None:
        """What must hold at every moment: ends are for ever, and nobody is selected twice."""
        for node, esa in self.esas.items():
            selections = esa.appliance.selections
            assert len(selections.open()) <= 1, f"{where}: {node} is selected twice"
            for s in selections.kept:
                self._end(where, "appliance", node, s.select_id, s.state, s.code)
            esa_id = esa.appliance.esa_id
            for who, mirror in (
                ("manager", getattr(self.cem.members.get(esa_id), "mirror", None)),
                ("provider", self.provider.mirrors.get(esa_id)),
            ):
                for c in () if mirror is None else mirror.copies:
                    self._end(where, who, node, c.select_id, c.seen_as, None)

    def _end(self, where: str, who: str, node: str, select_id: str, state: SelectionState, code: object) -> None:
        if state.terminal:
            end = self.ends.setdefault((who, node, select_id), (state, code))
            assert end == (state, code), f"{where}: {select_id} left {end} for {state} at the {who}"

    def equal(self, where: str) -> None:
        """After all was told again: manager and provider hold what the appliances hold."""
        for node, esa in self.esas.items():
            a = esa.appliance
            assert not esa.unanswered, f"{where}: {node} was never answered {list(esa.unanswered.values())}"
            own = {s.select_id: s.state for s in a.selections.kept}
            there = {s.select_id for s in a.selections.open()}
            member = self.cem.members[a.esa_id]
            for who, mirror in (("manager", member.mirror), ("provider", self.provider.mirrors[a.esa_id])):
                assert (mirror.rev, mirror.offer_set) == (a.rev, a.offer_set), f"{where}: the {who} knows other offers"
                told = None if mirror.override is None else mirror.override.scope
                assert told == (None if a.override_held is None else a.override_held.scope), f"{where}: {who}: {told}"
                for c in mirror.copies:
                    if c.select_id in own:
                        assert c.state is own[c.select_id], f"{where}: {who}: {c.select_id} {c.state} {own}"
                    else:
                        assert not c.open, f"{where}: the {who} counts on {c.select_id}, unknown to {node}"
                assert there <= {c.select_id for c in mirror.open()}, f"{where}: the {who} lacks one of {there}"
            asked = {s for s, each in self.provider.portfolio.asked.items() if each.pick.esa_id == a.esa_id}
            assert there <= asked, f"{where}: {there} are open, {asked} are in the books"
        for hub in self.hubs:
            assert not hub.unanswered, f"{where}: nobody answered {list(hub.unanswered.values())}"

    def nothing_lost(self, where: str) -> None:
        """What was acknowledged to appliances is known."""
        for message in self.acked:
            body, esa_id = message.body, message.src.removeprefix("esa:")
            member = self.cem.members.get(esa_id)
            assert member is not None, f"{where}: {esa_id} registered, and nobody knows it"
            if isinstance(body, OfferSet):
                assert member.mirror.rev >= body.rev, f"{where}: {esa_id} offered {body.rev}"
            elif isinstance(body, SelectStatus):
                copied = member.mirror.find(body.select_id)
                assert copied is not None, f"{where}: {esa_id} told of {body.select_id}, which nobody knows"
                assert copied.state.terminal or not body.state.terminal, f"{where}: {body} is forgotten"
