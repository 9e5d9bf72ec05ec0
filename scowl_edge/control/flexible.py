"""Flexibility in the core: what peers say reaches manager and provider, and what both want leaves as effects.

Manager and provider of one daemon talk to each other here, without a wire. Everything is remembered in one value that
the codec can write; a step's digest covers what was exchanged so far and, by turns, a part of what is held, so that a
provider of thousands of appliances costs a step no more than one of a few.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from scowl_edge.capacity import CallState, OfferCalls
from scowl_edge.control import flex_orders, relief
from scowl_edge.control.arbiter import Claim
from scowl_edge.control.flex_devices import FlexDevices
from scowl_edge.control.flex_devices_claims import joined
from scowl_edge.control.flex_portrait import FlexPortrait
from scowl_edge.control.flex_room import Rooms
from scowl_edge.control.flex_talks import Talks, digest_of
from scowl_edge.control.flex_terms import fallback, of_site, settings, terms
from scowl_edge.control.memory import Memory
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.lifecycle import Life
from scowl_edge.dsr.planning import Job
from scowl_edge.dsr.provider import Provider, ProviderError, Step
from scowl_edge.dsr.room import EVERYWHERE, Room
from scowl_edge.model.codec import decode, digest, encode
from scowl_edge.model.effect import Ask, Effect, Send
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import Answer, FlexAim, FlexOrder, Told
from scowl_edge.model.exchange import Ack, CancelAt, Code, Heartbeat, Limit, Message, Register
from scowl_edge.model.flex_view import FlexApplianceView, FlexView
from scowl_edge.model.flexibility import LimitClass, Mode, Proposal
from scowl_edge.model.part import FlexPart
from scowl_edge.model.profile import flat
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import Observation

PLAN_FAILED = declare("plan-failed", "offers were not planned: {}")
PLANNED = declare("planned", "{} selections for goal {}: squared deviation {} instead of {}, gap {} ppm")
LINK = declare("flex-link", "{}")
NO_ROOM = declare("no-room-for-appliance", "{} is one appliance too many: `appliances` is {}")

JOB = "selection"
SEED = 1
HORIZON_MS = 48 * 3_600_000
"""How far a level reaches that should hold always; it is set anew before it ends."""
BEAT_MS = 30_000
"""Proofs of life between manager and provider of one daemon, and what the manager's link says of its limit."""
NUMBERS_BITS = 40
"""Each boot numbers its messages from a beginning of its own."""
MOST_NOTES = 20
"""Of what happened in one step that are kept for people."""


class Flexible:
    """The site's part in flexibility. `fold` what came, then `step`."""

    def __init__(self, part: FlexPart, site: Site | None = None, rooms: Rooms | None = None) -> None:
        """`site` has the devices that take part themselves, `rooms` the ratings that bound what is planned."""
        self.part = part
        own = part.manager.devices if part.manager is not None and site is not None else ()
        self.devices = FlexDevices(site, own) if site is not None else None
        """Those of the site itself."""
        self._rooms = rooms
        provider = part.provider
        self._hanging = relief.Hanging(
            room=Room(rest=NONE if provider is None else provider.rating), devices={}, region=False
        )
        if rooms is not None and provider is not None:
            self._hanging = rooms.hanging(provider)
        self._seen: Observation | None = None
        """Of this step."""
        self._answers: list[Proposal] = []
        """They wait until the meters of this step were looked at."""
        self.talks = Talks()
        self.notes: list[tuple[str, Reason]] = []
        """(source, what) of this step."""
        self._sends: list[Send] = []
        self._unsaid: deque[Message] = deque()
        self._saying = False
        self._said: list[str] = []
        """Ids of what peers said in this step."""
        self._portrait = FlexPortrait()

    # -- what comes in -----------------------------------------------------------------------------------------------

    def told(self, event: Told, tick: Tick) -> None:
        """Takes what a peer said; every message but a heartbeat is answered by an acknowledgement."""
        now = self._ready(tick)
        self._said.append(event.message.id)
        self._deliver(event.message, now)

    def link(self, peer: str, up: bool, cause: str, tick: Tick) -> None:
        """The link to a peer, named by its node id, came up or was lost."""
        now = self._ready(tick)
        cem, provider = self.talks.cem, self.talks.provider
        if up:
            self.talks.lost_mono_ms.pop(peer, None)
        elif not peer.startswith("esa:"):
            # A link that is tried again and again is told as down each time: it is down since the first.
            self.talks.lost_mono_ms.setdefault(peer, now.mono_ms)
        if cem is not None and peer == cem.provider:
            if cem.up is not up:
                self._note(peer, Reason(LINK, (cause,)))
            self._say(cem.link(up, now), now)
        elif cem is not None and peer.startswith("esa:") and peer.removeprefix("esa:") in cem.members:
            self._say(cem.link_of(peer.removeprefix("esa:"), up, now), now)
        elif provider is not None and peer.startswith("cem:"):
            self._follow(provider.link(peer, up, now), now)

    def answer(self, event: Answer) -> None:
        """Takes what a worker made of a job; only what still fits is asked for, in this step."""
        provider = self.talks.provider
        if provider is None or event.job != JOB:
            return
        if event.proposal is None:
            self._plan_failed(event.failure)
            provider.job = None
            return
        self._answers.append(event.proposal)

    def _carry_out(self, provider: Provider, proposal: Proposal, now: Now) -> None:
        job = provider.job
        try:
            step = provider.answered(proposal, now, self._room(provider, now))
        except ProviderError as error:
            self._plan_failed(str(error))
            return
        self.talks.failed_in_a_row = 0
        if job is not None and proposal.picks and provider.last is proposal:
            p = proposal
            figures = (len(p.picks), job.goal, p.objective, p.idle_objective, -1 if p.gap_ppm is None else p.gap_ppm)
            self._note("", Reason(PLANNED, figures))
        self._follow(step, now)

    def order(self, event: FlexOrder, tick: Tick) -> tuple[str, Reason]:
        """Takes what a person ordered; gives whom it is about, and what became of it."""
        now, talks = self._ready(tick), self.talks
        try:
            if isinstance(event, FlexAim):
                if talks.provider is None:
                    raise ProviderError("this site is no provider: targets are ordered where one selects")
                had, talks.aim = talks.aim, flex_orders.stands(event, talks.provider.clock.read(now))
                if had is not None or talks.aim is not None:
                    self._aim_anew(talks.provider)
                return "", flex_orders.said(event)
            taken = flex_orders.take(event, talks.cem, talks.provider, now)
        except ScowlError as error:
            return getattr(event, "esa_id", ""), Reason(flex_orders.NOT_TAKEN, (event.who, str(error)))
        self._follow(taken.step, now)
        self._say(taken.say, now)
        return taken.source, taken.what

    # -- the region's ladder -----------------------------------------------------------------------------------------

    def enter(self, offers: OfferCalls, tick: Tick, seen: Observation) -> None:
        """Carries into the book of commitments what became of selections; before the tracker decides."""
        now, provider, part = self._ready(tick), self.talks.provider, self.part.provider
        if provider is None or part is None:
            return
        self._seen = seen
        self._take_answers(provider, now)
        if relief.aims(provider) and relief.over(provider, now):
            self._rest(provider)
        self._cancel(provider, relief.follow(provider, offers, self._hanging, now), now)

    def relieve(self, offers: OfferCalls, want_w: int, cancel: list[str], tick: Tick) -> None:
        """Does what the tracker decided: asks for more relief, and takes selections back."""
        now, provider = self._ready(tick), self.talks.provider
        if provider is None:
            return
        if any(s in offers.calls and offers.calls[s].state is CallState.ENDING for s in cancel):
            # There is room again: nobody else is to be asked.
            self._rest(provider)
        self._cancel(provider, cancel, now)
        if want_w > 0:
            self._follow(relief.aim(provider, offers, want_w, now), now)

    def _rest(self, provider: Provider) -> None:
        """The region wants no more relief; the standing level is aimed at anew."""
        if relief.aims(provider):
            provider.rest()
            self.talks.goal_until_ms = 0

    def _cancel(self, provider: Provider, select_ids: Iterable[str], now: Now) -> None:
        for select_id in select_ids:
            asked = provider.portfolio.asked.get(select_id)
            if asked is not None and not asked.cancelling:
                self._follow(provider.cancel(select_id, now, CancelAt.NOW), now)

    # -- the site's own devices --------------------------------------------------------------------------------------

    def reserved(self) -> frozenset[int]:
        """Devices that the region leaves alone unless its ladder needs them."""
        return self.devices.reserved(self.talks.devices) if self.devices is not None else frozenset()

    def drive(self, memory: Memory, seen: Observation, closed: Sequence[bool], tick: Tick) -> None:
        """Watches and steers the site's own devices, after the region has decided."""
        now, cem = self._ready(tick), self.talks.cem
        if self.devices is None or cem is None:
            return
        if self.devices.parts or self.talks.devices:
            self._say(self.devices.drive(cem, self.talks.devices, memory, seen, closed, tick), now)

    def claim(self, site: Site, offered: list[list[Claim]], guarded: list[list[Claim]]) -> None:
        """Adds what flexibility wants of actuators to what the region offers, and its bounds to what always holds."""
        if self.devices is None:
            return
        for i, claims in self.devices.wishes.items():
            offered[i] = joined(site.actuators[i], offered[i], claims)
        for i, claims in self.devices.bounds.items():
            guarded[i] = guarded[i] + claims

    # -- the step ----------------------------------------------------------------------------------------------------

    def step(self, tick: Tick) -> list[Effect]:
        """What time brings, and all that is to be said."""
        now = self._ready(tick)
        talks = self.talks
        if talks.provider is not None:
            self._take_answers(talks.provider, now)
        self._beat(now)
        if talks.cem is not None:
            self._say(talks.cem.advance(now), now)
        asks: list[Effect] = []
        if talks.provider is not None:
            self._follow(talks.provider.advance(now), now)
            self._aim(talks.provider, now)
            job = None
            if talks.provider.planning_due(now):
                job = talks.provider.question(now, self._room(talks.provider, now))
            if job is not None:
                by_ms = tick.mono_ms + talks.provider.terms.job_ms
                asks.append(Ask(job=JOB, revision=job.number, by_ms=by_ms))
        sends, self._sends = self._sends, []
        # What they say is in the journal, both ways, and compared there: by their ids the digest knows which they were.
        heard, self._said = self._said, []
        said = [*heard, *(send.message.id for send in sends)]
        if said:
            talks.chain = digest("/".join([talks.chain, *said]).encode())
        return [*sends, *asks]

    def begin(self) -> None:
        """Forgets what the step before wanted to be noted."""
        self.notes, self._answers, self._seen, self._said = [], [], None, []

    def work(self, ask: Ask) -> Job | None:
        """What a worker is to work on; None if nobody waits for it any more."""
        provider = self.talks.provider
        job = provider.job if provider is not None else None
        return job if job is not None and job.number == ask.revision else None

    def booted(self, boot: int, shift_ms: int, *, gap_known: bool, tick: Tick) -> None:
        """The daemon started again with what was stored."""
        now, restart = self._ready(tick), Restart(mono_base_ms=shift_ms, gap_known=gap_known)
        for part in (self.talks.cem, self.talks.provider):
            if part is not None:
                # A safety limit leaves before it is durable: what was lost with the last boot may have used numbers.
                part.numbered = max(part.numbered, boot << NUMBERS_BITS)
        self.talks.lost_mono_ms = dict.fromkeys(self._outside(), now.mono_ms)
        for driven in self.talks.devices.values():
            driven.restarted(shift_ms)
        if self.talks.cem is not None:
            self._say(self.talks.cem.restarted(restart, now), now)
        if self.talks.provider is not None:
            self._follow(self.talks.provider.restarted(restart, now), now)
        self.talks.beat_mono_ms = now.mono_ms
        self._join(now)

    # -- what others may see -----------------------------------------------------------------------------------------

    def view(self, tick: Tick) -> FlexView:
        """For people."""
        talks, now = self.talks, Now.of(tick)
        findings = tuple((f.esa_id, f.why) for f in reversed(talks.findings))
        return self._portrait.view(
            talks.cem, talks.provider, talks.refused, talks.plans_failed, talks.aim, findings, now
        )

    def appliance(self, esa_id: str, tick: Tick) -> FlexApplianceView | None:
        """One appliance for people; None if nobody knows it."""
        return self._portrait.appliance(esa_id, self.talks.cem, self.talks.provider, Now.of(tick))

    def section(self) -> bytes:
        """All of it, canonical."""
        return encode(self.talks)

    def digest(self, step: int) -> str:
        """Of all that was said so far, and of a part of what is held: each appliance within as many steps as there are
        blocks."""
        return digest_of(self.talks, step)

    def snapshot(self) -> bytes:
        """The same as `section`."""
        return self.section()

    def restore(self, data: bytes) -> None:
        """The inverse; what the configuration says now goes before what it said then."""
        self.talks = decode(Talks, data)
        self._configure()

    def adopt(self, old: Flexible) -> None:
        """Carries over from another configuration what belongs to a node that is the same in both."""
        for name in ("manager", "provider"):
            new_part, old_part = getattr(self.part, name), getattr(old.part, name)
            attribute = "cem" if name == "manager" else "provider"
            if new_part is not None and old_part is not None and new_part.node == old_part.node:
                setattr(self.talks, attribute, copy.deepcopy(getattr(old.talks, attribute)))
        self.talks.refused = dict(old.talks.refused)
        self.talks.aim = old.talks.aim
        self.talks.devices = copy.deepcopy(old.talks.devices)
        self._configure()

    # -- within ------------------------------------------------------------------------------------------------------

    def _ready(self, tick: Tick) -> Now:
        """Both parts exist from the first look at a clock on."""
        now, talks = Now.of(tick), self.talks
        manager, provider = self.part.manager, self.part.provider
        if manager is not None and talks.cem is None:
            talks.cem = Cem.first(manager.node, manager.provider, of_site(manager), now, seed=SEED)
            talks.cem.each = fallback(manager, 1)
            if manager.provider and (provider is None or manager.provider != provider.node):
                talks.lost_mono_ms[manager.provider] = now.mono_ms
        if provider is not None and talks.provider is None:
            talks.provider = Provider(node=provider.node, seed=SEED, terms=terms(provider))
        if talks.cem is not None and not talks.cem.up:
            self._join(now)
        return now

    def _take_answers(self, provider: Provider, now: Now) -> None:
        proposals, self._answers = self._answers, []
        for proposal in proposals:
            self._carry_out(provider, proposal, now)

    def _room(self, provider: Provider, now: Now) -> Room:
        """What the ratings leave for appliances now."""
        part, seen = self.part.provider, self._seen
        if self._rooms is None or part is None or seen is None:
            return EVERYWHERE
        return self._rooms.room(part, provider, seen, now)

    def _join(self, now: Now) -> None:
        """No wire lies between manager and provider of one daemon: each reaches the other always."""
        cem, provider = self.talks.cem, self.talks.provider
        if cem is not None and provider is not None and cem.provider == provider.node:
            self._follow(provider.link(cem.node, True, now), now)
            self._say(cem.link(True, now), now)

    def _beat(self, now: Now) -> None:
        """Proof of life of both to each other; where a wire lies between, the link says it, and is told what to say."""
        talks = self.talks
        cem, provider = talks.cem, talks.provider
        if cem is None or now.mono_ms < talks.beat_mono_ms:
            return
        talks.beat_mono_ms = now.mono_ms + BEAT_MS
        if provider is not None and cem.provider == provider.node:
            self._say([m for m in provider.heartbeats(now).send if m.dst == cem.node], now)
        self._say(cem.heartbeats(now), now)

    def _outside(self) -> list[str]:
        """Nodes that a link has to lead to."""
        cem, provider = self.talks.cem, self.talks.provider
        own = [part.node for part in (cem, provider) if part is not None]
        nodes = [cem.provider] if cem is not None else []
        nodes += list(provider.up) if provider is not None else []
        return [node for node in nodes if node and node not in own]

    def _configure(self) -> None:
        manager, provider = self.part.manager, self.part.provider
        if manager is not None and self.talks.cem is not None:
            self.talks.cem.site.fallback = of_site(manager)
            self.talks.cem.each = fallback(manager, 1)
            self.talks.cem.provider = manager.provider
            for esa_id, member in self.talks.cem.members.items():
                wanted, had = settings(self.part.manager, esa_id), member.settings
                if member.appliance is None and wanted != had:
                    member.settings = wanted
                    init = member.mirror.init
                    if init is not None and wanted.random_offset_max_s is not None:
                        # Told when its link is there again.
                        member.mirror.initialise(replace(init, random_offset_max_s=wanted.random_offset_max_s))
        if provider is not None and self.talks.provider is not None:
            self.talks.provider.terms = terms(provider)

    def _deliver(self, message: Message, now: Now) -> None:
        cem, provider = self.talks.cem, self.talks.provider
        body = message.body
        if cem is not None and message.dst == cem.node:
            part = self.part.manager
            esa_id = body.esa_id if isinstance(body, Register) else ""
            if part is not None and esa_id and esa_id not in cem.members and _linked(cem) >= part.appliances:
                self._note(message.src, Reason(NO_ROOM, (esa_id, part.appliances)))
                self._refuse(message, Code.BUSY, now)
                return
            self._say(cem.receive(message, now), now)
            member = cem.members.get(esa_id) if message.src == f"esa:{esa_id}" else None
            if member is not None and member.life.life is Life.AUTHENTICATING:
                # The link let nobody speak for whom its certificate does not name.
                member.settings = settings(self.part.manager, esa_id)
                self._say(cem.authenticated(esa_id, True, now), now)
        elif provider is not None and message.dst == provider.node:
            self._follow(provider.receive(message, now), now)
        elif not isinstance(body, Ack | Heartbeat):
            self._refuse(message, Code.UNSUPPORTED, now)

    def _refuse(self, message: Message, code: Code, now: Now) -> None:
        ack = Ack(status=code.status, code=code, detail=f"dst: {message.dst}"[:200], retry_after_s=60)
        answer = Message(
            id=identity("refusal", message.id),
            ts_ms=now.utc_ms,
            src=message.dst,
            dst=message.src,
            body=ack,
            corr=message.id,
        )
        self._say([answer], now)

    def _follow(self, step: Step, now: Now) -> None:
        self.notes += [("", note) for note in step.notes[: MOST_NOTES - len(self.notes)]]
        for finding in step.findings:
            self._note(finding.esa_id, finding.why)
        self.talks.findings = [*self.talks.findings, *step.findings][-MOST_NOTES:]
        self._say(step.send, now)

    def _say(self, messages: Iterable[Message], now: Now) -> None:
        """To peers as effects; to the other part of this daemon at once.

        What that answers comes after all that was said before: else a consequence would overtake its cause.
        """
        self._unsaid.extend(messages)
        if self._saying:
            return
        self._saying = True
        try:
            while self._unsaid:
                self._say_one(self._unsaid.popleft(), now)
        finally:
            self._saying = False

    def _say_one(self, message: Message, now: Now) -> None:
        talks, body = self.talks, message.body
        if isinstance(body, Ack) and body.code is not None:
            talks.refused[body.code.value] = talks.refused.get(body.code.value, 0) + 1
        if message.dst in [part.node for part in (talks.cem, talks.provider) if part is not None]:
            self._deliver(message, now)
        else:
            safety = isinstance(body, Limit) and body.klass is LimitClass.SAFETY
            self._sends.append(Send(link=message.dst, message=message, safety=safety))

    def _aim(self, provider: Provider, now: Now) -> None:
        """An ordered aim, else the configured level: a goal that is set anew before it ends."""
        part, talks, wall_ms = self.part.provider, self.talks, provider.clock.read(now)
        if part is None or wall_ms is None:
            return
        if relief.aims(provider):
            return
        aim = talks.aim
        if aim is not None and 0 < flex_orders.ends_ms(aim) <= wall_ms:
            self._note("", Reason(flex_orders.AIM_OVER, (aim.who,)))
            talks.aim = aim = None
            self._aim_anew(provider)
        if (aim is None and part.level_w is None) or not provider.mirrors:
            return
        if provider.goal is not None and wall_ms < talks.goal_until_ms:
            return
        start_ms = wall_ms - wall_ms % part.slot_ms
        talks.goal_until_ms = start_ms + HORIZON_MS // 2
        if aim is not None:
            curve = flex_orders.curve_of(aim, wall_ms, part.slot_ms, HORIZON_MS)
            talks.goal_until_ms = min(talks.goal_until_ms, flex_orders.ends_ms(aim) or talks.goal_until_ms)
            self._follow(
                provider.aim(
                    curve,
                    now,
                    relative=aim.relative,
                    mode=aim.mode,
                    event_ref=aim.event_ref,
                    emergency=aim.emergency,
                ),
                now,
            )
        elif part.level_w is not None:
            mode = Mode.RESPONSE if part.response else Mode.ROUTINE
            curve = flat(start_ms, HORIZON_MS, part.level_w)
            self._follow(provider.aim(curve, now, relative=False, mode=mode), now)

    def _aim_anew(self, provider: Provider) -> None:
        """What was wanted is wanted no more; the next step sets what is."""
        provider.rest()
        self.talks.goal_until_ms = 0

    def _plan_failed(self, why: str) -> None:
        self.talks.plans_failed += 1
        self.talks.failed_in_a_row += 1
        self.talks.plan_failure = why
        self._note("", Reason(PLAN_FAILED, (why,)))

    def _note(self, source: str, what: Reason) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append((source, what))


def _linked(cem: Cem) -> int:
    """Appliances behind links."""
    return sum(m.appliance is None for m in cem.members.values())
