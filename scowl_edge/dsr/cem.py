"""An energy manager (CEM): stands between a provider and the appliances of a site, for their users.

It hands on what each side tells the other, keeps every appliance's life cycle, puts the user's settings before the
provider's wishes, keeps the site within its own limit, and knows what to tell either side when a link was away.
Pure: messages and time go in, messages and courses come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.attention import Attention, SiteBounds
from scowl_edge.dsr.course import Course, together
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, Restart, WallClock
from scowl_edge.dsr.lifecycle import Concern, Life, Lifecycle
from scowl_edge.dsr.limiting import Fallback, Limiting
from scowl_edge.dsr.member import BLIND, Bound, Member, UserSettings, narrowed
from scowl_edge.dsr.mirror import Copy, Mirror
from scowl_edge.dsr.site_share import Claimant, shares_w
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Cancel,
    Code,
    Constraint,
    Deregister,
    DeregisterReason,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Message,
    Outcome,
    Override,
    Register,
    RegisterResult,
    Report,
    ReportKind,
    Running,
    Select,
    SelectStatus,
    SlotQuality,
    State,
)
from scowl_edge.model.flexibility import LimitClass, LimitState, OfferSet, OverrideScope, SelectionState

LIMIT_AGAIN_MS = 10_000
"""An appliance that did not take a limit is told it again after so long, or when it hears that somebody lives."""
MOST_UNSENT = 3_000
"""Reports that wait for a provider; beyond that the oldest go, and their slots stay holes in the books."""
UNBOUNDED: dict[LimitClass, tuple[int | None, int | None]] = dict.fromkeys(LimitClass, (None, None))


class CemError(ScowlError):
    """An appliance that this manager does not have, or has already."""


@dataclass(slots=True, kw_only=True)
class Cem:
    """State of an energy manager. `node` is its address, `cem:...`, `provider` that of its provider."""

    node: str
    provider: str
    seed: int
    site: Limiting
    """The site's own limit; make it with the fail-safe values of the site's configuration."""
    each: Fallback | None = None
    """What the site's configuration lets each appliance do by itself; None: as the site."""
    members: dict[str, Member] = field(default_factory=dict)
    """By appliance."""
    clock: WallClock = field(default_factory=WallClock)
    up: bool = False
    """The link to the provider."""
    other_w: int = 0
    """Load of the site that is not an appliance's; takes from what the site may draw."""
    waiting: dict[str, Report] = field(default_factory=dict)
    """ACTUAL reports by message id, until the provider says that it has them."""
    dropped: int = 0
    """Reports that waited too long."""
    state_told: LimitState = LimitState.INIT
    """Of the site, as appliances on links know it."""
    attention: Attention = field(default_factory=Attention)
    numbered: int = 0

    @staticmethod
    def first(node: str, provider: str, fallback: Fallback, now: Now, *, seed: int) -> Cem:
        """A manager that starts for the very first time; `fallback` is the site's."""
        return Cem(node=node, provider=provider, seed=seed, site=Limiting(fallback=fallback, since_mono_ms=now.mono_ms))

    # Appliances

    def add(self, appliance: Appliance, now: Now, settings: UserSettings | None = None) -> list[Message]:
        """Takes in an appliance that the manager drives itself.

        Raises:
            CemError: There is one of this id.
        """
        esa_id = appliance.esa_id
        if esa_id in self.members:
            raise CemError(f"add appliance {esa_id}: the manager has one of this id; take the other one out first")
        member = self._member(esa_id)
        member.appliance, member.settings = appliance, settings or UserSettings()
        self.attention.driven[esa_id] = True
        member.life.asked(appliance.register, now)
        member.life.authenticated(True, now)
        member.mirror.told(appliance.register, now)
        send = self._upward(member, appliance.register, now)
        return [*send, *self._initialise(member, self._own_init(appliance.register, appliance), now)]

    def revise(self, register: Register, ceiling: Fallback, settings: UserSettings, now: Now) -> list[Message]:
        """An appliance that the manager drives is another one from now on, or its user wants something else.

        What it offered before is not true any more; what runs goes on.
        """
        member, appliance = self._own(register.esa_id)
        appliance.register, appliance.ceiling, appliance.offers_due = register, ceiling, True
        member.settings = settings
        member.life.asked(register, now)
        member.life.authenticated(True, now)
        member.mirror.told(register, now)
        init = member.mirror.init or self._own_init(register, appliance)
        return [*self._upward(member, register, now), *self._initialise(member, init, now)]

    def drop(self, esa_id: str, now: Now) -> list[Message]:
        """Gives up an appliance, its own or one behind a link; the provider is told, and what was selected ends."""
        member, leaves = self._known(esa_id), Deregister(esa_id=esa_id, reason=DeregisterReason.END_OF_LIFE)
        send = self._to(member, leaves, now)
        send += self._upward(member, leaves, now)
        del self.members[esa_id]
        self.attention.gone(esa_id)
        return send

    def authenticated(self, esa_id: str, good: bool, now: Now) -> list[Message]:
        """The link checked the certificate of an appliance that registered."""
        member = self._known(esa_id)
        result = member.life.authenticated(good, now)
        send = [self._message(member.node, result, now)]
        if result.outcome is Outcome.ACCEPTED and member.life.register is not None:
            # Own settings first: the provider may answer at once, and his go before them.
            send += self._initialise(member, self._own_init(member.life.register), now)
            send += self._upward(member, member.life.register, now)
        return send

    def offers(self, offer_set: OfferSet, now: Now) -> list[Message]:
        """New offers of an appliance that the manager drives."""
        member, appliance = self._own(offer_set.esa_id)
        return self._from(member, appliance.offers(offer_set, now), now)

    def measured(self, report: Report, now: Now) -> list[Message]:
        """What an appliance that the manager drives took over one or more slots."""
        member, appliance = self._own(report.esa_id)
        send: list[Message] = []
        for slot in report.slots:
            known = slot.q in (SlotQuality.OK, SlotQuality.ESTIMATED)
            send += self._from(member, appliance.measured(slot.p_avg_w if known else None, now), now)
        return [*send, *self._from(member, (report,), now)]

    def runs(self, esa_id: str, running: Running, now: Now) -> list[Message]:
        """What a device that the manager drives does."""
        member, appliance = self._own(esa_id)
        return self._from(member, appliance.runs(running, now), now)

    def override(self, override: Override, now: Now) -> list[Message]:
        """The user takes an appliance out of flexibility, or gives it back."""
        member = self._known(override.esa_id)
        if member.appliance is not None:
            return self._from(member, member.appliance.override(override, now), now)
        return [self._message(member.node, override, now)]

    def set_user(self, esa_id: str, settings: UserSettings, now: Now) -> list[Message]:
        """The user's settings; the provider is told what it may use from now on."""
        member = self._known(esa_id)
        member.settings = settings
        send: list[Message] = []
        if member.mirror.offer_set is not None:
            send += self._upward(member, member.mirror.offer_set, now)
        if member.mirror.init is not None:
            send += self._initialise(member, member.mirror.init, now)
        return send

    def courses(self, now: Now) -> dict[str, Course]:
        """What each device that the manager drives should do; call `advance` first."""
        return {a.esa_id: a.course(now) for _, a in self._driven()}

    # Messages

    def receive(self, message: Message, now: Now) -> list[Message]:
        """Takes one message, of the provider or of an appliance behind a link."""
        if message.src == self.provider:
            return self._from_provider(message, now)
        return self._from_link(message, now)

    def link(self, up: bool, now: Now) -> list[Message]:
        """The link to the provider came up or was lost."""
        was, self.up = self.up, up
        send: list[Message] = []
        if not up:
            for member, appliance in self._driven():
                send += self._from(member, appliance.link_lost(now), now)
        elif not was:
            send += self.resync(now)
        return send

    def link_of(self, esa_id: str, up: bool, now: Now) -> list[Message]:
        """The link to an appliance came up or was lost."""
        member = self._known(esa_id)
        if up:
            member.sent.clear()
            turned = member.mirror.resync(now)
            told = [self._vital(), *(b for b in turned.send if not isinstance(b, Limit))]
            return [self._message(member.node, b, now) for b in told]
        member.life.link_lost(now)
        member.mirror.link_lost()
        return self._upward(member, State(esa_id=esa_id, value=Running.OFFLINE, override=OverrideScope.NONE), now)

    def resync(self, now: Now) -> list[Message]:
        """All that the provider has to know after a gap: registrations, offers, states, selections, reports."""
        send: list[Message] = []
        for member in self._all():
            if member.life.register is None or member.life.life in (Life.AUTHENTICATING, Life.DEREGISTERED):
                continue
            send += self._upward(member, member.life.register, now)
            if member.appliance is not None:
                send += self._from(member, member.appliance.link_up(now), now)
            else:
                for body in _known_of(member):
                    send += self._upward(member, body, now)
        again, self.waiting = self.waiting, {}
        for report in again.values():
            send += self._upward(self._known(report.esa_id), report, now)
        return send

    def heartbeats(self, now: Now) -> list[Message]:
        """Proof of life for the provider and for devices of the manager's own; links have heartbeats of their own."""
        send = self._to_provider(self._vital(), now)
        for member, appliance in self._driven():
            # Of whoever sets limits; whether those who select are heard is another question.
            appliance.limiting.heartbeat(now)
            member.limit_state = appliance.limiting.state
            member.limits_refused()
        return [*send, *self._limits(now)]

    def advance(self, now: Now) -> list[Message]:
        """What time brings: deadlines of selections, limits and registrations, shares of the site's limit."""
        self.clock.read(now)
        self.site.advance(now)
        send = self._state_told(now)
        for esa_id in self.attention.overdue(now.mono_ms):
            # Of thousands, few have a deadline.
            member = self._known(esa_id)
            member.life.advance(now)
            member.mirror.advance(now)
        for member, appliance in self._driven():
            member.life.advance(now)
            member.mirror.advance(now)
            send += self._from(member, appliance.advance(now), now)
        return [*send, *self._limits(now)]

    def concerns(self, now: Now) -> dict[str, tuple[Concern, ...]]:
        """Appliances that somebody should look at."""
        found = {}
        for member in self._all():
            init = member.mirror.init
            concerns = member.life.concerns(60 if init is None else init.report_actual_s, now)
            if concerns:
                found[member.esa_id] = concerns
        return found

    def restarted(self, restart: Restart, now: Now) -> list[Message]:
        """The first call after the process went on with what it had stored; links come up by `link` and `link_of`."""
        self.clock.restarted(restart)
        self.site.restarted(restart, now)
        self.up = False
        self.attention.restarted(sorted(self.members))
        send: list[Message] = []
        for member in self._all():
            if member.appliance is None:
                member.life.restarted(restart, now)
            else:
                # Nothing lies between the manager and a device of its own: it is not detached.
                for name in ("since_mono_ms", "retry_mono_ms", "reported_mono_ms"):
                    setattr(member.life, name, getattr(member.life, name) + restart.mono_base_ms)
            lost = member.mirror.lost
            member.mirror.restarted(restart, now)
            member.mirror.lost = lost or member.appliance is None
            member.bounds = {
                k: replace(b, since_mono_ms=b.since_mono_ms + restart.mono_base_ms) for k, b in member.bounds.items()
            }
            member.sent.clear()
            member.limits_again_mono_ms = None
            if member.appliance is not None:
                send += self._from(member, member.appliance.restarted(restart, now), now)
        return send

    # Within

    def _from_provider(self, message: Message, now: Now) -> list[Message]:
        body = message.body
        if isinstance(body, Ack):
            self.waiting.pop(message.corr, None)
            return []
        if isinstance(body, Heartbeat):
            return self._heartbeat(body, now)
        if isinstance(body, Limit) and not body.esa_id:
            code = self.site.limit(body, self.other_w + self._drawn_w(), now)
            status = LimitStatus(
                limit_id=body.limit_id,
                esa_id="",
                applied=code is None,
                p_now_w=self._drawn_w() + self.other_w,
                code=code,
            )
            return [self._ack(message, None, now), *self._to_provider(status, now), *self._limits(now)]
        member = self.members.get(getattr(body, "esa_id", ""))
        if member is None:
            return [self._ack(message, Code.UNKNOWN_ESA, now)]
        self.attention.touch(member.esa_id)
        if isinstance(body, RegisterResult):
            return [self._ack(message, None, now)]
        if not isinstance(body, Select | Cancel | Init | Constraint | Limit | Deregister):
            return [self._ack(message, Code.UNSUPPORTED, now)]
        return [self._ack(message, None, now), *self._downward(member, body, now)]

    def _downward(
        self, member: Member, body: Select | Cancel | Init | Constraint | Limit | Deregister, now: Now
    ) -> list[Message]:
        if isinstance(body, Limit):
            if body.active:
                member.bounds[body.klass] = Bound(limit=body, since_mono_ms=now.mono_ms)
            else:
                member.bounds.pop(body.klass, None)
            return self._limits(now)
        if isinstance(body, Init):
            return self._initialise(member, body, now)
        if isinstance(body, Select):
            return self._select(member, body, now)
        if isinstance(body, Cancel):
            member.mirror.cancel(body.select_id, body.at, now)
        if isinstance(body, Deregister):
            send = self._to(member, body, now)
            member.life.deregister(now)
            return send
        return self._to(member, body, now)

    def _select(self, member: Member, select: Select, now: Now) -> list[Message]:
        known = member.mirror.find(select.select_id)
        if known is None:
            code = None
            if select.mode not in member.settings.modes:
                code = Code.OPTED_OUT
            elif not member.reachable:
                code = Code.LINK_LOST
            if code is not None:
                refused = SelectStatus(
                    select_id=select.select_id, esa_id=member.esa_id, state=SelectionState.REJECTED, code=code
                )
                # Remembered: told again, when the appliance can be reached, it must not be granted after all.
                member.mirror.select(select, now)
                member.mirror.told(refused, now)
                return self._upward(member, refused, now)
        elif known.state.terminal:
            return self._upward(member, _status_of(member, known), now)
        wanted = member.as_set(select)
        member.mirror.select(wanted, now)
        return self._to(member, wanted, now)

    def _initialise(self, member: Member, init: Init, now: Now) -> list[Message]:
        """Hands on settings, with the delay that the user wants, and never above what the site's own words allow."""
        own = self.each if member.appliance is None else member.appliance.ceiling
        if own is not None:
            lower_w = own.failsafe_p_lower_w
            init = replace(
                init,
                failsafe_p_upper_w=min(init.failsafe_p_upper_w, own.failsafe_p_upper_w),
                failsafe_p_lower_w=lower_w
                if init.failsafe_p_lower_w is None
                else max(lower_w, init.failsafe_p_lower_w),
            )
        wanted = member.settings.random_offset_max_s
        if wanted is not None:
            init = replace(init, random_offset_max_s=wanted)
        member.mirror.initialise(init)
        member.life.init_sent(now)
        return self._to(member, init, now)

    def _heartbeat(self, heartbeat: Heartbeat, now: Now) -> list[Message]:
        """Of the provider: devices of the manager's own hear that those who select are there."""
        self.site.heartbeat(now)
        send: list[Message] = []
        for member, appliance in self._driven():
            send += self._to(member, heartbeat, now)
            member.limit_state = appliance.limiting.state
            member.limits_refused()
        return [*send, *self._limits(now)]

    def _vital(self) -> Heartbeat:
        """What the manager says of itself: its limits are those of the site."""
        return Heartbeat(limit_state=self.site.state, rev=0)

    def _state_told(self, now: Now) -> list[Message]:
        """Appliances on links hear of it with the next heartbeat."""
        if self.site.state is self.state_told:
            return []
        self.state_told = self.site.state
        return [self._message(m.node, self._vital(), now) for m in self._all() if m.appliance is None and m.reachable]

    def _from_link(self, message: Message, now: Now) -> list[Message]:
        body = message.body
        if isinstance(body, Ack):
            return []
        esa_id = message.src.removeprefix("esa:")
        if isinstance(body, Register):
            if body.esa_id != esa_id or (esa_id in self.members and self.members[esa_id].appliance is not None):
                return [self._ack(message, Code.UNKNOWN_ESA, now)]
            member = self._member(esa_id)
            member.node = message.src
            result = member.life.asked(body, now)
            member.mirror.told(body, now)
            return [self._ack(message, None, now), self._message(message.src, result, now)]
        member_or_none = self.members.get(esa_id)
        if member_or_none is None or member_or_none.node != message.src:
            return [self._ack(message, Code.UNKNOWN_ESA, now)]
        member = member_or_none
        self.attention.touch(esa_id)
        if isinstance(body, Heartbeat):
            member.limit_state = body.limit_state
            member.limits_refused()
            return []
        if getattr(body, "esa_id", None) != esa_id:
            return [self._ack(message, Code.UNKNOWN_ESA, now)]
        if member.life.life in (Life.UNREGISTERED, Life.AUTHENTICATING, Life.DEREGISTERED):
            return [self._ack(message, Code.AUTH_FAILED, now)]
        return [self._ack(message, None, now), *self._from(member, (body,), now)]

    def _from(self, member: Member, bodies: tuple[Body, ...], now: Now) -> list[Message]:
        """What an appliance tells: kept here, and handed on."""
        send: list[Message] = []
        for body in bodies:
            member.life.told(body, now)
            member.mirror.told(body, now)
            if isinstance(body, LimitStatus) and not body.applied and member.limits_again_mono_ms is None:
                # Not at once: one that always refuses would be answered without end.
                member.limits_again_mono_ms = now.mono_ms + LIMIT_AGAIN_MS
            if isinstance(body, LimitStatus) and not any(
                b.limit.limit_id == body.limit_id for b in member.bounds.values()
            ):
                # The site's own share is nobody else's affair.
                continue
            if isinstance(
                body, OfferSet | SelectStatus | LimitStatus | Override | State | Report | InitDone | Deregister
            ):
                send += self._upward(member, body, now)
        return send

    def _upward(self, member: Member, body: Body, now: Now) -> list[Message]:
        if isinstance(body, OfferSet):
            body = member.handed_on(body)
        if isinstance(body, Report) and body.kind is ReportKind.ACTUAL:
            message = self._message(self.provider, body, now)
            self.waiting[message.id] = body
            while len(self.waiting) > MOST_UNSENT:
                del self.waiting[next(iter(self.waiting))]
                self.dropped += 1
            return [message] if self.up else []
        return self._to_provider(body, now)

    def _to_provider(self, body: Body, now: Now) -> list[Message]:
        return [self._message(self.provider, body, now)] if self.up else []

    def _to(self, member: Member, body: Body, now: Now) -> list[Message]:
        """To an appliance: a message where a link lies between, else its answer at once."""
        if member.appliance is None:
            return [self._message(member.node, body, now)]
        answer = member.appliance.receive(body, now)
        return self._from(member, answer.tell, now)

    def _limits(self, now: Now) -> list[Message]:
        """Shares of the site's limits, and limits of each; only what changed, looked for only where it may have."""
        attention, bounds = self.attention, self._bounds(now)
        looked_at = [self.members[esa_id] for esa_id in attention.take()]
        for member in looked_at:
            claim = member.claims()
            if claim != member.claim:
                member.claim, attention.moved = claim, True
                # What it had was a share among others.
                member.share = None
        if attention.shares_due(bounds, len(self.members), now.mono_ms):
            attention.share(bounds, now.mono_ms)
            looked_at = self._all()
            shares = self._shares(now)
            for member in looked_at:
                member.share = {k: (s[0].get(member.esa_id), s[1].get(member.esa_id)) for k, s in shares.items()}
        send: list[Message] = []
        for member in looked_at:
            send += self._limits_of(member, bounds, now)
        return send

    def _limits_of(self, member: Member, bounds: SiteBounds, now: Now) -> list[Message]:
        send: list[Message] = []
        share = member.share if bounds.any else UNBOUNDED
        if member.reachable and share is not None:
            if member.limits_again_mono_ms is not None and now.mono_ms >= member.limits_again_mono_ms:
                member.limits_again_mono_ms = None
                member.sent.clear()
            if bounds.state in BLIND:
                share = {**share, LimitClass.SAFETY: narrowed(share[LimitClass.SAFETY], self._left_alone(member))}
            for limit in member.limits(share, now):
                send += self._to(member, limit, now)
        if member.appliance is None:
            self.attention.wait(member.esa_id, member.due_mono_ms())
        return send

    def _bounds(self, now: Now) -> SiteBounds:
        envelopes = self.site.envelopes(now)
        each = (together(tuple(e for e in envelopes if e.klass is klass), False) for klass in LimitClass)
        return SiteBounds(
            state=self.site.state, other_w=self.other_w, bounds_w=tuple(w for lower_upper in each for w in lower_upper)
        )

    def _left_alone(self, member: Member) -> tuple[int | None, int | None]:
        """(lower, upper) in W that an appliance keeps to while the site hears nobody who sets limits.

        Nobody can tell the site; the manager can tell its appliances, and does, so that a lost provider bounds each of
        them though their own links are up.
        """
        own = (self.each or self.site.fallback) if member.appliance is None else member.appliance.ceiling
        lower_w, upper_w = own.failsafe_p_lower_w, own.failsafe_p_upper_w
        init = member.mirror.init
        if init is not None:
            upper_w = min(upper_w, init.failsafe_p_upper_w)
            lower_w = lower_w if init.failsafe_p_lower_w is None else max(lower_w, init.failsafe_p_lower_w)
        if self.site.state is not LimitState.AUTONOMOUS:
            return lower_w, upper_w
        if own.autonomous_unlimited:
            return None, None
        return (
            lower_w if own.autonomous_p_lower_w is None else own.autonomous_p_lower_w,
            upper_w if own.autonomous_p_upper_w is None else own.autonomous_p_upper_w,
        )

    def _shares(self, now: Now) -> dict[LimitClass, tuple[dict[str, int], dict[str, int]]]:
        """By class of the site's bounds: share of production (at most 0) and of consumption, by appliance."""
        found = {}
        for klass in LimitClass:
            lower_w, upper_w = together(tuple(e for e in self.site.envelopes(now) if e.klass is klass), False)
            lower: dict[str, int] = {}
            upper: dict[str, int] = {}
            if upper_w is not None:
                upper = shares_w(self._claimants(upward=True), upper_w - self.other_w)
            if lower_w is not None:
                room = self.other_w - lower_w
                lower = {e: -w for e, w in shares_w(self._claimants(upward=False), room).items()}
            found[klass] = (lower, upper)
        return found

    def _claimants(self, *, upward: bool) -> list[Claimant]:
        found = []
        for member in self._all():
            claim = member.claims()[0 if upward else 1]
            if claim is None:
                continue
            most_w = claim.most_w
            if self.site.state in BLIND:
                # Nobody needs a share of more than it may take when left alone.
                lower_w, upper_w = self._left_alone(member)
                alone_w = upper_w if upward else None if lower_w is None else -lower_w
                most_w = most_w if alone_w is None else min(most_w, alone_w)
            blind_w = None if claim.blind_w is None else min(claim.blind_w, most_w)
            found.append(Claimant(esa_id=member.esa_id, most_w=most_w, blind_w=blind_w))
        return found

    def _drawn_w(self) -> int:
        return sum(a.p_now_w for _, a in self._driven())

    def _own_init(self, register: Register, appliance: Appliance | None = None) -> Init:
        """Settings until a provider sends his: blind, no more than its nameplate and what the site may then draw."""
        own = (self.each or self.site.fallback) if appliance is None else appliance.ceiling
        most_w = min(max(0, register.p_max_w), own.failsafe_p_upper_w)
        return Init(esa_id=register.esa_id, failsafe_p_upper_w=max(0, most_w))

    def _driven(self) -> list[tuple[Member, Appliance]]:
        """Those that the manager drives itself, in order."""
        driven = ((m, m.appliance) for m in (self.members[e] for e in sorted(self.attention.driven)))
        return [(m, appliance) for m, appliance in driven if appliance is not None]

    def _all(self) -> list[Member]:
        return [self.members[e] for e in sorted(self.members)]

    def _member(self, esa_id: str) -> Member:
        if esa_id not in self.members:
            self.members[esa_id] = Member(
                esa_id=esa_id, life=Lifecycle(esa_id=esa_id), mirror=Mirror(esa_id=esa_id, asks=False)
            )
        self.attention.touch(esa_id)
        return self.members[esa_id]

    def _known(self, esa_id: str) -> Member:
        member = self.members.get(esa_id)
        if member is None:
            raise CemError(f"appliance {esa_id}: {self.node} has none of this id; it has {len(self.members)} others")
        self.attention.touch(esa_id)
        return member

    def _own(self, esa_id: str) -> tuple[Member, Appliance]:
        member = self._known(esa_id)
        if member.appliance is None:
            raise CemError(f"appliance {esa_id} is behind a link; it tells by itself what it offers and takes")
        return member, member.appliance

    def _ack(self, message: Message, code: Code | None, now: Now) -> Message:
        ack = Ack(status=AckStatus.OK) if code is None else Ack(status=code.status, code=code)
        return self._message(message.src, ack, now, message.id)

    def _message(self, dst: str, body: Body, now: Now, corr: str = "") -> Message:
        self.numbered += 1
        wall_ms = self.clock.read(now)
        return Message(
            id=identity(self.seed, self.node, self.numbered),
            ts_ms=now.utc_ms if wall_ms is None else wall_ms,
            src=self.node,
            dst=dst,
            body=body,
            corr=corr,
        )


def _known_of(member: Member) -> list[Body]:
    """What is known of an appliance behind a link."""
    mirror = member.mirror
    known: list[Body] = []
    if mirror.offer_set is not None:
        known.append(mirror.offer_set)
    scope = OverrideScope.NONE if mirror.override is None else mirror.override.scope
    known.append(State(esa_id=member.esa_id, value=mirror.running, override=scope))
    if mirror.override is not None:
        known.append(mirror.override)
    known += [_status_of(member, copy) for copy in mirror.copies]
    return known


def _status_of(member: Member, copy: Copy) -> SelectStatus:
    return SelectStatus(
        select_id=copy.select_id,
        esa_id=member.esa_id,
        state=copy.state,
        code=copy.code,
        applied_offset_s=copy.offset_s,
        progress_s=copy.progress_s,
    )
