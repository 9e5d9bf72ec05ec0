"""An energy manager (CEM): stands between a provider and the appliances of a site, for their users.

It hands on what each side tells the other, keeps every appliance's life cycle, puts the user's settings before the
provider's wishes, keeps the site within its own limit, and knows what to tell either side when a link was away.
Pure: messages and time go in, messages and courses come out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem_limits import limits
from scowl_edge.dsr.cem_state import CemError, CemState, known_of, status_of
from scowl_edge.dsr.course import Course
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.lifecycle import Concern, Life
from scowl_edge.dsr.limiting import Fallback, Limiting
from scowl_edge.dsr.member import Bound, Member, UserSettings
from scowl_edge.model.exchange import (
    Ack,
    Cancel,
    Code,
    Constraint,
    Deregister,
    DeregisterReason,
    Heartbeat,
    Init,
    Limit,
    LimitStatus,
    Message,
    Outcome,
    Override,
    Register,
    RegisterResult,
    Report,
    Running,
    Select,
    SelectStatus,
    SlotQuality,
    State,
)
from scowl_edge.model.flexibility import OfferSet, OverrideScope, SelectionState


@dataclass(slots=True, kw_only=True)
class Cem(CemState):
    """An energy manager."""

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
        member = self.member(esa_id)
        member.appliance, member.settings = appliance, settings or UserSettings()
        self.attention.driven[esa_id] = True
        member.life.asked(appliance.register, now)
        member.life.authenticated(True, now)
        member.mirror.told(appliance.register, now)
        send = self.upward(member, appliance.register, now)
        return [*send, *self._initialise(member, self._own_init(appliance.register, appliance), now)]

    def revise(self, register: Register, ceiling: Fallback, settings: UserSettings, now: Now) -> list[Message]:
        """An appliance that the manager drives is another one from now on, or its user wants something else.

        What it offered before is not true any more; what runs goes on.
        """
        member, appliance = self.own(register.esa_id)
        appliance.register, appliance.ceiling, appliance.offers_due = register, ceiling, True
        member.settings = settings
        member.life.asked(register, now)
        member.life.authenticated(True, now)
        member.mirror.told(register, now)
        init = member.mirror.init or self._own_init(register, appliance)
        return [*self.upward(member, register, now), *self._initialise(member, init, now)]

    def drop(self, esa_id: str, now: Now) -> list[Message]:
        """Gives up an appliance, its own or one behind a link; the provider is told, and what was selected ends."""
        member, leaves = self.known(esa_id), Deregister(esa_id=esa_id, reason=DeregisterReason.END_OF_LIFE)
        send = self.to_appliance(member, leaves, now)
        send += self.upward(member, leaves, now)
        del self.members[esa_id]
        self.attention.gone(esa_id)
        return send

    def authenticated(self, esa_id: str, good: bool, now: Now) -> list[Message]:
        """The link checked the certificate of an appliance that registered."""
        member = self.known(esa_id)
        result = member.life.authenticated(good, now)
        send = [self.message(member.node, result, now)]
        if result.outcome is Outcome.ACCEPTED and member.life.register is not None:
            # Own settings first: the provider may answer at once, and his go before them.
            send += self._initialise(member, self._own_init(member.life.register), now)
            send += self.upward(member, member.life.register, now)
        return send

    def offers(self, offer_set: OfferSet, now: Now) -> list[Message]:
        """New offers of an appliance that the manager drives."""
        member, appliance = self.own(offer_set.esa_id)
        return self.from_appliance(member, appliance.offers(offer_set, now), now)

    def measured(self, report: Report, now: Now) -> list[Message]:
        """What an appliance that the manager drives took over one or more slots."""
        member, appliance = self.own(report.esa_id)
        send: list[Message] = []
        for slot in report.slots:
            known = slot.q in (SlotQuality.OK, SlotQuality.ESTIMATED)
            send += self.from_appliance(member, appliance.measured(slot.p_avg_w if known else None, now), now)
        return [*send, *self.from_appliance(member, (report,), now)]

    def runs(self, esa_id: str, running: Running, now: Now) -> list[Message]:
        """What a device that the manager drives does."""
        member, appliance = self.own(esa_id)
        return self.from_appliance(member, appliance.runs(running, now), now)

    def override(self, override: Override, now: Now) -> list[Message]:
        """The user takes an appliance out of flexibility, or gives it back."""
        member = self.known(override.esa_id)
        if member.appliance is not None:
            return self.from_appliance(member, member.appliance.override(override, now), now)
        return [self.message(member.node, override, now)]

    def set_user(self, esa_id: str, settings: UserSettings, now: Now) -> list[Message]:
        """The user's settings; the provider is told what it may use from now on."""
        member = self.known(esa_id)
        member.settings = settings
        send: list[Message] = []
        if member.mirror.offer_set is not None:
            send += self.upward(member, member.mirror.offer_set, now)
        if member.mirror.init is not None:
            send += self._initialise(member, member.mirror.init, now)
        return send

    def courses(self, now: Now) -> dict[str, Course]:
        """What each device that the manager drives should do; call `advance` first."""
        return {a.esa_id: a.course(now) for _, a in self.driven()}

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
            for member, appliance in self.driven():
                send += self.from_appliance(member, appliance.link_lost(now), now)
        elif not was:
            send += self.resync(now)
        return send

    def link_of(self, esa_id: str, up: bool, now: Now) -> list[Message]:
        """The link to an appliance came up or was lost."""
        member = self.known(esa_id)
        if up:
            member.sent.clear()
            turned = member.mirror.resync(now)
            told = [self.vital(), *(b for b in turned.send if not isinstance(b, Limit))]
            return [self.message(member.node, b, now) for b in told]
        member.life.link_lost(now)
        member.mirror.link_lost()
        return self.upward(member, State(esa_id=esa_id, value=Running.OFFLINE, override=OverrideScope.NONE), now)

    def resync(self, now: Now) -> list[Message]:
        """All that the provider has to know after a gap: registrations, offers, states, selections, reports."""
        send: list[Message] = []
        for member in self.everybody():
            if member.life.register is None or member.life.life in (Life.AUTHENTICATING, Life.DEREGISTERED):
                continue
            send += self.upward(member, member.life.register, now)
            if member.appliance is not None:
                send += self.from_appliance(member, member.appliance.link_up(now), now)
            else:
                for body in known_of(member):
                    send += self.upward(member, body, now)
        again, self.waiting = self.waiting, {}
        for report in again.values():
            send += self.upward(self.known(report.esa_id), report, now)
        return send

    def heartbeats(self, now: Now) -> list[Message]:
        """Proof of life for the provider and for devices of the manager's own; links have heartbeats of their own."""
        send = self.to_provider(self.vital(), now)
        for member, appliance in self.driven():
            # Of whoever sets limits; whether those who select are heard is another question.
            appliance.limiting.heartbeat(now)
            member.limit_state = appliance.limiting.state
            member.limits_refused()
        return [*send, *limits(self, now)]

    def advance(self, now: Now) -> list[Message]:
        """What time brings: deadlines of selections, limits and registrations, shares of the site's limit."""
        self.clock.read(now)
        self.site.advance(now)
        send = self._state_told(now)
        for esa_id in self.attention.overdue(now.mono_ms):
            # Of thousands, few have a deadline.
            member = self.known(esa_id)
            member.life.advance(now)
            member.mirror.advance(now)
        for member, appliance in self.driven():
            member.life.advance(now)
            member.mirror.advance(now)
            send += self.from_appliance(member, appliance.advance(now), now)
        return [*send, *limits(self, now)]

    def concerns(self, now: Now) -> dict[str, tuple[Concern, ...]]:
        """Appliances that somebody should look at."""
        found = {}
        for member in self.everybody():
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
        for member in self.everybody():
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
                send += self.from_appliance(member, member.appliance.restarted(restart, now), now)
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
            code = self.site.limit(body, self.other_w + self.drawn_w(), now)
            status = LimitStatus(
                limit_id=body.limit_id,
                esa_id="",
                applied=code is None,
                p_now_w=self.drawn_w() + self.other_w,
                code=code,
            )
            return [self.ack(message, None, now), *self.to_provider(status, now), *limits(self, now)]
        member = self.members.get(getattr(body, "esa_id", ""))
        if member is None:
            return [self.ack(message, Code.UNKNOWN_ESA, now)]
        self.attention.touch(member.esa_id)
        if isinstance(body, RegisterResult):
            return [self.ack(message, None, now)]
        if not isinstance(body, Select | Cancel | Init | Constraint | Limit | Deregister):
            return [self.ack(message, Code.UNSUPPORTED, now)]
        return [self.ack(message, None, now), *self._downward(member, body, now)]

    def _downward(
        self, member: Member, body: Select | Cancel | Init | Constraint | Limit | Deregister, now: Now
    ) -> list[Message]:
        if isinstance(body, Limit):
            if body.active:
                member.bounds[body.klass] = Bound(limit=body, since_mono_ms=now.mono_ms)
            else:
                member.bounds.pop(body.klass, None)
            return limits(self, now)
        if isinstance(body, Init):
            return self._initialise(member, body, now)
        if isinstance(body, Select):
            return self._select(member, body, now)
        if isinstance(body, Cancel):
            copy = member.mirror.find(body.select_id)
            if copy is not None and copy.state.terminal:
                # What was refused here never reached the appliance: it must not learn of its end alone.
                return self.upward(member, status_of(member, copy), now)
            if copy is None and not member.reachable:
                # Nobody here knows it, and the appliance cannot be asked; the provider tells all anew when it is back.
                return []
            member.mirror.cancel(body.select_id, body.at, now)
        if isinstance(body, Deregister):
            send = self.to_appliance(member, body, now)
            member.life.deregister(now)
            return send
        return self.to_appliance(member, body, now)

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
                return self.upward(member, refused, now)
        elif known.state.terminal:
            return self.upward(member, status_of(member, known), now)
        wanted = member.as_set(select)
        member.mirror.select(wanted, now)
        return self.to_appliance(member, wanted, now)

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
        return self.to_appliance(member, init, now)

    def _heartbeat(self, heartbeat: Heartbeat, now: Now) -> list[Message]:
        """Of the provider: devices of the manager's own hear that those who select are there."""
        self.site.heartbeat(now)
        send: list[Message] = []
        for member, appliance in self.driven():
            send += self.to_appliance(member, heartbeat, now)
            member.limit_state = appliance.limiting.state
            member.limits_refused()
        return [*send, *limits(self, now)]

    def _state_told(self, now: Now) -> list[Message]:
        """Appliances on links hear of it with the next heartbeat."""
        if self.site.state is self.state_told:
            return []
        self.state_told = self.site.state
        return [
            self.message(m.node, self.vital(), now) for m in self.everybody() if m.appliance is None and m.reachable
        ]

    def _from_link(self, message: Message, now: Now) -> list[Message]:
        body = message.body
        if isinstance(body, Ack):
            return []
        esa_id = message.src.removeprefix("esa:")
        if isinstance(body, Register):
            if body.esa_id != esa_id or (esa_id in self.members and self.members[esa_id].appliance is not None):
                return [self.ack(message, Code.UNKNOWN_ESA, now)]
            member = self.member(esa_id)
            member.node = message.src
            result = member.life.asked(body, now)
            member.mirror.told(body, now)
            return [self.ack(message, None, now), self.message(message.src, result, now)]
        member_or_none = self.members.get(esa_id)
        if member_or_none is None or member_or_none.node != message.src:
            return [self.ack(message, Code.UNKNOWN_ESA, now)]
        member = member_or_none
        self.attention.touch(esa_id)
        if isinstance(body, Heartbeat):
            member.limit_state = body.limit_state
            member.limits_refused()
            return []
        if getattr(body, "esa_id", None) != esa_id:
            return [self.ack(message, Code.UNKNOWN_ESA, now)]
        if member.life.life in (Life.UNREGISTERED, Life.AUTHENTICATING, Life.DEREGISTERED):
            return [self.ack(message, Code.AUTH_FAILED, now)]
        return [self.ack(message, None, now), *self.from_appliance(member, (body,), now)]

    def _own_init(self, register: Register, appliance: Appliance | None = None) -> Init:
        """Settings until a provider sends his: blind, no more than its nameplate and what the site may then draw."""
        own = (self.each or self.site.fallback) if appliance is None else appliance.ceiling
        most_w = min(max(0, register.p_max_w), own.failsafe_p_upper_w)
        return Init(esa_id=register.esa_id, failsafe_p_upper_w=max(0, most_w))
