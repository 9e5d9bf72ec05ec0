"""A provider (DSRSP): knows every manager's appliances, has selections planned for a goal, follows them and settles.

Pure: messages, answers of workers and time go in; messages, jobs for workers and findings come out. All that it holds
can be written with the canonical codec.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scowl_edge.dsr.goal import Goal
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.member import BLIND
from scowl_edge.dsr.mirror import Mirror, Wanted
from scowl_edge.dsr.planning import Job, current
from scowl_edge.dsr.provider_answer import ask, carry_out, take_back
from scowl_edge.dsr.provider_question import planning_due, question
from scowl_edge.dsr.provider_state import BY_HAND, ProviderError, ProviderState, Step
from scowl_edge.dsr.readings import Source
from scowl_edge.dsr.room import EVERYWHERE, Room
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    CancelAt,
    Code,
    Constraint,
    Deregister,
    Heartbeat,
    Init,
    Limit,
    LimitStatus,
    Message,
    Outcome,
    Register,
    RegisterResult,
    Report,
    Running,
    Slot,
    State,
    Want,
)
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, Pick, Proposal
from scowl_edge.model.profile import Timeline
from scowl_edge.model.reason import Reason, declare

__all__ = ["Provider", "ProviderError", "Step"]

OTHERS_APPLIANCE = declare("others-appliance", "{} speaks for {}, which belongs to {}")


@dataclass(slots=True, kw_only=True)
class Provider(ProviderState):
    """A provider's doings. `node` is its address, `dsrsp:...`."""

    # What comes in

    def receive(self, message: Message, now: Now) -> Step:
        """Takes one message from a manager; one that is refused changes nothing."""
        step, body = Step(), message.body
        if isinstance(body, Heartbeat) and message.src in self.up and body.limit_state in BLIND:
            # It hears that somebody lives; without a limit, or the word that there is none, it stays at its own values.
            self.say(step, now, message.src, self._site_limit(message.src, now))
        if isinstance(body, Ack | Heartbeat):
            return step
        if isinstance(body, LimitStatus) and not body.esa_id and message.src in self.up:
            self.site_states[message.src] = body
            self.say(step, now, message.src, _OK, message.id)
            return step
        esa_id = getattr(body, "esa_id", None)
        owner = None if esa_id is None else self.cems.get(esa_id)
        if owner is not None and owner != message.src:
            step.notes.append(Reason(OTHERS_APPLIANCE, (message.src, str(esa_id), owner)))
            self.say(step, now, message.src, _refused(Code.UNKNOWN_ESA), message.id)
            return step
        if isinstance(body, Register):
            self.say(step, now, message.src, _OK, message.id)
            self._register(step, body, message.src, now)
            return step
        if esa_id is None or owner is None:
            code = Code.UNSUPPORTED if esa_id is None else Code.UNKNOWN_ESA
            self.say(step, now, message.src, _refused(code), message.id)
            return step
        self.say(step, now, message.src, _OK, message.id)
        mirror = self.mirrors[esa_id]
        if isinstance(body, Deregister):
            self._deregister(esa_id, now)
        elif isinstance(body, Report):
            wall_ms = self.clock.read(now)
            if wall_ms is not None:
                self.portfolio.books.enter(body, Source.REPORT, wall_ms)
        else:
            rev = mirror.rev
            self.follow(step, mirror, mirror.told(body, now), now)
            if isinstance(body, State) and body.value is Running.OFFLINE:
                mirror.link_lost()
            if mirror.rev != rev and self.goal is not None:
                self.due(now, now.mono_ms + self.terms.answer_ms)
        return step

    def metered(self, report: Report, now: Now) -> None:
        """Measured by a meter that is not the appliance's own."""
        wall_ms = self.clock.read(now)
        if wall_ms is not None:
            self.portfolio.books.enter(report, Source.METER, wall_ms)

    def link(self, cem: str, up: bool, now: Now) -> Step:
        """The link to a manager came up or was lost."""
        step = Step()
        was, self.up[cem] = self.up.get(cem, False), up
        for esa_id in sorted(e for e, c in self.cems.items() if c == cem):
            mirror = self.mirrors[esa_id]
            if up and not was:
                self.follow(step, mirror, mirror.resync(now), now)
            elif not up:
                mirror.link_lost()
        return step

    def restarted(self, restart: Restart, now: Now) -> Step:
        """The first call after the process went on with what it had stored. Links come up by `link`."""
        step = Step()
        self.clock.restarted(restart)
        for name in ("job_mono_ms", "plan_due_mono_ms", "check_due_mono_ms"):
            setattr(self, name, getattr(self, name) + restart.mono_base_ms)
        self.resting_mono_ms = {e: at + restart.mono_base_ms for e, at in self.resting_mono_ms.items()}
        self.sites = {
            c: replace(w, since_mono_ms=w.since_mono_ms + restart.mono_base_ms) for c, w in self.sites.items()
        }
        self.up, self.job = dict.fromkeys(self.up, False), None
        self.due_mono_ms, self.next_due_mono_ms = {}, None
        for mirror in self.mirrors.values():
            self.follow(step, mirror, mirror.restarted(restart, now), now)
        return step

    # What is wanted

    def aim(
        self, curve: Timeline, now: Now, *, relative: bool, mode: Mode, event_ref: str = "", emergency: bool = False
    ) -> Step:
        """Sets the goal: a target curve, or a change (a shortage is a negative one). Replaces the one before.

        Appliances are told what offers would be of use (`constraint`) and have until the first job to say so.
        """
        step = Step()
        self.goals += 1
        self.goal = Goal(
            number=self.goals, curve=curve, relative=relative, mode=mode, event_ref=event_ref, emergency=emergency
        )
        self.job = None
        wall_ms = self.clock.read(now)
        if wall_ms is not None and curve:
            slots = _wishes(curve, relative)
            for esa_id in sorted(self.mirrors):
                wish = Constraint(
                    constraint_id=identity(self.seed, self.node, "constraint", self.goals, esa_id),
                    esa_id=esa_id,
                    slots=slots,
                    offers_by_ms=wall_ms + self.terms.answer_ms,
                )
                self.say(step, now, self.cems[esa_id], wish)
        self.plan_due_mono_ms = now.mono_ms + (0 if mode is Mode.RESPONSE else self.terms.answer_ms)
        return step

    def rest(self) -> None:
        """No goal any more; what is selected goes on."""
        self.goal, self.job = None, None

    def limit(self, limit: Limit, now: Now) -> Step:
        """Bounds an appliance.

        Raises:
            ProviderError: Nobody knows the appliance.
        """
        mirror = self.mirror(limit.esa_id)
        step = Step()
        self.follow(step, mirror, mirror.limit(limit, now), now)
        return step

    def limit_site(self, cem: str, limit: Limit, now: Now) -> Step:
        """Bounds a whole site; its manager shares the bound out.

        Raises:
            ProviderError: Nobody knows the manager, or the limit is of an appliance.
        """
        if cem not in self.up or limit.esa_id:
            raise ProviderError(f"limit {limit.limit_id} for the site of {cem}: known managers are {sorted(self.up)}")
        step = Step()
        if limit.active:
            self.sites[cem] = Wanted(limit=limit, since_mono_ms=now.mono_ms)
        else:
            self.sites.pop(cem, None)
        self.say(step, now, cem, limit)
        return step

    def select(self, pick: Pick, now: Now, *, mode: Mode, event_ref: str = "", emergency: bool = False) -> Step:
        """Asks for what a person chose; no plan moves it.

        Raises:
            ProviderError: It does not fit what the appliance offers now, or the appliance runs something else.
        """
        mirror, wall_ms = self.mirror(pick.esa_id), self.clock.read(now)
        if wall_ms is None:
            raise ProviderError(f"select for {pick.esa_id}: the wall clock is not synchronised, so no start has a time")
        code = current(pick, mirror.offer_set, mode, wall_ms)
        if code is None and any(not self.going(c.select_id) for c in mirror.open()):
            code = Code.BUSY
        if code is not None:
            raise ProviderError(
                f"select {pick.profile_id} of offer {pick.offer_id} for {pick.esa_id}: {code.value}; look at its offers"
            )
        goal = Goal(
            number=BY_HAND, curve=Timeline(), relative=True, mode=mode, event_ref=event_ref, emergency=emergency
        )
        step, offset = Step(), 0 if mode is Mode.RESPONSE else self.terms.random_offset_max_s
        ask(self, step, pick, goal, offset, self.outlook(), now)
        return step

    def cancel(self, select_id: str, now: Now, at: CancelAt = CancelAt.ELEMENT_END) -> Step:
        """Takes a selection back.

        Raises:
            ProviderError: It is not one of this provider's, or is over.
        """
        if select_id not in self.portfolio.asked:
            raise ProviderError(f"cancel {select_id}: no open selection has this id; see the list of selections")
        step = Step()
        take_back(self, step, select_id, at, now)
        return step

    # What time brings

    def advance(self, now: Now) -> Step:
        """Deadlines, delivery, settlement. Call `question` after it."""
        step = Step()
        wall_ms = self.clock.read(now)
        if self.next_due_mono_ms is not None and now.mono_ms >= self.next_due_mono_ms:
            # Of thousands, few have a deadline.
            for esa_id in sorted(e for e, at in self.due_mono_ms.items() if at <= now.mono_ms):
                mirror = self.mirrors[esa_id]
                self.follow(step, mirror, mirror.advance(now), now)
            self.next_due_mono_ms = min(self.due_mono_ms.values(), default=None)
        if wall_ms is None or now.mono_ms < self.check_due_mono_ms:
            return step
        found = self.portfolio.check(self.terms, wall_ms)
        self.check_due_mono_ms = now.mono_ms + (0 if found.more else self.terms.check_ms)
        step.findings += found.findings
        step.notes += found.reasons
        for select_id in found.measured:
            seen = self.mirrors.get(self.portfolio.books.accounts[select_id].esa_id)
            if seen is not None:
                seen.measured(select_id)
        return step

    def heartbeats(self, now: Now) -> Step:
        """Proof of life for every manager that can be reached; how often is the link's to say."""
        step = Step()
        for cem in sorted(c for c, up in self.up.items() if up):
            self.say(step, now, cem, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
        return step

    # What is planned

    def planning_due(self, now: Now) -> bool:
        """Whether `question` has one now, if anybody can be chosen."""
        return planning_due(self, now)

    def question(self, now: Now, room: Room = EVERYWHERE) -> Job | None:
        """A job for a worker, if one is due; the answer goes to `answered`. `room` is what ratings leave now."""
        return question(self, now, room)

    def answered(self, proposal: Proposal, now: Now, room: Room = EVERYWHERE) -> Step:
        """Carries out what a worker proposes, as far as it still fits, into the present room too; an answer to an older
        job is let go.

        Raises:
            ProviderError: The plan is worse than doing nothing.
        """
        return carry_out(self, proposal, now, room)

    # Within

    def _register(self, step: Step, register: Register, cem: str, now: Now) -> None:
        mirror = self.mirrors.setdefault(register.esa_id, Mirror(esa_id=register.esa_id, asks=True))
        mirror.accept_ms = self.terms.accept_ms
        self.cems[register.esa_id] = cem
        self.up.setdefault(cem, True)
        mirror.told(register, now)
        self.say(step, now, cem, RegisterResult(esa_id=register.esa_id, outcome=Outcome.ACCEPTED))
        init = Init(
            esa_id=register.esa_id,
            failsafe_p_upper_w=self.terms.failsafe_p_upper_w,
            report_actual_s=self.terms.report_actual_s,
            horizon_s=self.terms.slots * self.terms.slot_ms // 1000,
            slot_s=self.terms.slot_ms // 1000,
            random_offset_max_s=self.terms.random_offset_max_s,
        )
        if mirror.init != init or not mirror.init_done:
            self.follow(step, mirror, mirror.initialise(init), now)

    def _deregister(self, esa_id: str, now: Now) -> None:
        """Offers are erased; the books are kept."""
        wall = self.clock.read(now)
        self.portfolio.gone(esa_id, now.utc_ms if wall is None else wall)
        del self.mirrors[esa_id], self.cems[esa_id]
        self.resting_mono_ms.pop(esa_id, None)
        self.due_mono_ms.pop(esa_id, None)

    def _site_limit(self, cem: str, now: Now) -> Limit:
        """What should hold for a site now: the rest of its limit, or the word that there is none."""
        wanted = self.sites.get(cem)
        rest = None if wanted is None else wanted.rest(now)
        if rest is not None:
            return rest
        self.sites.pop(cem, None)
        name = identity(self.seed, self.node, "unlimited", cem)
        return Limit(limit_id=name, esa_id="", active=False, klass=LimitClass.CONTRACT)


_OK = Ack(status=AckStatus.OK)


def _refused(code: Code) -> Ack:
    return Ack(status=code.status, code=code)


def _wishes(curve: Timeline, relative: bool) -> tuple[Slot, ...]:
    """What appliances are told of a goal: where more or less is wanted; how much is the sum's affair, not theirs."""
    slots = []
    for segment in curve.segments:
        middle = (segment.begin_w + segment.end_w) // 2
        want = Want.NONE
        if relative and middle != 0:
            want = Want.UP if middle > 0 else Want.DOWN
        slots.append(Slot(start_ms=segment.start_ms, dur_s=max(1, segment.length_ms // 1000), want=want))
    return tuple(slots)
