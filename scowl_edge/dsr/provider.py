"""A provider (DSRSP): knows every manager's appliances, has selections planned for a goal, follows them and settles.

Pure: messages, answers of workers and time go in; messages, jobs for workers and findings come out. All that it holds
can be written with the canonical codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scowl_edge.dsr.delivery import Finding
from scowl_edge.dsr.forecast import Outlook
from scowl_edge.dsr.goal import Goal, Terms
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, Restart, WallClock
from scowl_edge.dsr.member import BLIND
from scowl_edge.dsr.mirror import Mirror, Turned, Wanted
from scowl_edge.dsr.planning import Candidate, Job, current
from scowl_edge.dsr.portfolio import Asked, Portfolio
from scowl_edge.dsr.readings import Source
from scowl_edge.dsr.spreading import Ramp, Start, edges, spread
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
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
    Select,
    SelectStatus,
    Slot,
    State,
    Want,
)
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, OverrideScope, Pick, Proposal, SelectionState
from scowl_edge.model.profile import Timeline
from scowl_edge.model.reason import Reason, declare

OTHERS_APPLIANCE = declare("others-appliance", "{} speaks for {}, which belongs to {}")
NOT_SPREAD = declare("not-selected", "{} was left out: {}")
OUTDATED = declare("pick-outdated", "{} was left out of the plan: {}")
_OUT = (OverrideScope.GRID, OverrideScope.ALL)
BY_HAND = 0
"""Number of the goal of what a person selected: no plan moves it."""


class ProviderError(ScowlError):
    """Something was asked of a provider that it cannot do."""


@dataclass(slots=True, kw_only=True)
class Step:
    """What follows from one call."""

    send: list[Message] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)
    """Decisions worth keeping: what was left out, and why."""


@dataclass(slots=True, kw_only=True)
class Provider:
    """State of a provider. `node` is its address, `dsrsp:...`."""

    node: str
    seed: int
    terms: Terms
    clock: WallClock = field(default_factory=WallClock)
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    """By appliance."""
    cems: dict[str, str] = field(default_factory=dict)
    """Appliance -> address of its manager."""
    up: dict[str, bool] = field(default_factory=dict)
    """Managers by address: whether the link is up."""
    portfolio: Portfolio = field(default_factory=Portfolio)
    resting_mono_ms: dict[str, int] = field(default_factory=dict)
    """Appliances not to be asked before a time."""
    sites: dict[str, Wanted] = field(default_factory=dict)
    """Limits of whole sites, by manager."""
    site_states: dict[str, LimitStatus] = field(default_factory=dict)
    """What each manager last said to its site's limit."""
    goal: Goal | None = None
    goals: int = 0
    jobs: int = 0
    job: Job | None = None
    """Out at a worker."""
    job_mono_ms: int = 0
    plan_due_mono_ms: int = 0
    check_due_mono_ms: int = 0
    due_mono_ms: dict[str, int] = field(default_factory=dict)
    """Appliances for which time alone brings something, and when."""
    next_due_mono_ms: int | None = None
    """No later than the first of these; None: there is none."""
    last: Proposal | None = None
    """The latest that was carried out, with what proves it."""
    numbered: int = 0

    # What comes in

    def receive(self, message: Message, now: Now) -> Step:
        """Takes one message from a manager; one that is refused changes nothing."""
        step, body = Step(), message.body
        if isinstance(body, Heartbeat) and message.src in self.up and body.limit_state in BLIND:
            # It hears that somebody lives; without a limit, or the word that there is none, it stays at its own values.
            self._send(step, now, message.src, self._site_limit(message.src, now))
        if isinstance(body, Ack | Heartbeat):
            return step
        if isinstance(body, LimitStatus) and not body.esa_id and message.src in self.up:
            self.site_states[message.src] = body
            self._send(step, now, message.src, _OK, message.id)
            return step
        esa_id = getattr(body, "esa_id", None)
        owner = None if esa_id is None else self.cems.get(esa_id)
        if owner is not None and owner != message.src:
            step.notes.append(Reason(OTHERS_APPLIANCE, (message.src, str(esa_id), owner)))
            self._send(step, now, message.src, _refused(Code.UNKNOWN_ESA), message.id)
            return step
        if isinstance(body, Register):
            self._send(step, now, message.src, _OK, message.id)
            self._register(step, body, message.src, now)
            return step
        if esa_id is None or owner is None:
            code = Code.UNSUPPORTED if esa_id is None else Code.UNKNOWN_ESA
            self._send(step, now, message.src, _refused(code), message.id)
            return step
        self._send(step, now, message.src, _OK, message.id)
        mirror = self.mirrors[esa_id]
        if isinstance(body, Deregister):
            self._deregister(esa_id, now)
        elif isinstance(body, Report):
            wall_ms = self.clock.read(now)
            if wall_ms is not None:
                self.portfolio.books.enter(body, Source.REPORT, wall_ms)
        else:
            rev = mirror.rev
            self._follow(step, mirror, mirror.told(body, now), now)
            if isinstance(body, State) and body.value is Running.OFFLINE:
                mirror.link_lost()
            if mirror.rev != rev and self.goal is not None:
                self._due(now, now.mono_ms + self.terms.answer_ms)
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
                self._follow(step, mirror, mirror.resync(now), now)
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
            self._follow(step, mirror, mirror.restarted(restart, now), now)
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
                self._send(step, now, self.cems[esa_id], wish)
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
        mirror = self._mirror(limit.esa_id)
        step = Step()
        self._follow(step, mirror, mirror.limit(limit, now), now)
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
        self._send(step, now, cem, limit)
        return step

    def select(self, pick: Pick, now: Now, *, mode: Mode, event_ref: str = "", emergency: bool = False) -> Step:
        """Asks for what a person chose; no plan moves it.

        Raises:
            ProviderError: It does not fit what the appliance offers now, or the appliance runs something else.
        """
        mirror, wall_ms = self._mirror(pick.esa_id), self.clock.read(now)
        if wall_ms is None:
            raise ProviderError(f"select for {pick.esa_id}: the wall clock is not synchronised, so no start has a time")
        code = current(pick, mirror.offer_set, mode, wall_ms)
        if code is None and any(not self._going(c.select_id) for c in mirror.open()):
            code = Code.BUSY
        if code is not None:
            raise ProviderError(
                f"select {pick.profile_id} of offer {pick.offer_id} for {pick.esa_id}: {code.value}; look at its offers"
            )
        goal = Goal(
            number=BY_HAND, curve=Timeline(), relative=True, mode=mode, event_ref=event_ref, emergency=emergency
        )
        step, offset = Step(), 0 if mode is Mode.RESPONSE else self.terms.random_offset_max_s
        self._ask(step, pick, pick.start_ms, goal, offset, self._outlook(), now)
        return step

    def cancel(self, select_id: str, now: Now, at: CancelAt = CancelAt.ELEMENT_END) -> Step:
        """Takes a selection back.

        Raises:
            ProviderError: It is not one of this provider's, or is over.
        """
        asked = self.portfolio.asked.get(select_id)
        if asked is None:
            raise ProviderError(f"cancel {select_id}: no open selection has this id; see the list of selections")
        step = Step()
        asked.cancelling = True
        mirror = self._mirror(asked.pick.esa_id)
        self._follow(step, mirror, mirror.cancel(select_id, at, now), now)
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
                self._follow(step, mirror, mirror.advance(now), now)
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
            self._send(step, now, cem, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
        return step

    def question(self, now: Now) -> Job | None:
        """A job for a worker, if one is due; the answer goes to `answered`."""
        wall_ms = self.clock.read(now)
        if self.goal is None or wall_ms is None or now.mono_ms < self.plan_due_mono_ms:
            return None
        if self.job is not None and now.mono_ms - self.job_mono_ms < self.terms.job_ms:
            return None
        self.plan_due_mono_ms = now.mono_ms + self.terms.replan_ms
        candidates = self._candidates(now, wall_ms)
        if not candidates:
            self.job = None
            return None
        self.jobs += 1
        self.job, self.job_mono_ms = (
            self._outlook().job(
                self.goal, candidates, number=self.jobs, seed=self.seed, terms=self.terms, wall_ms=wall_ms
            ),
            now.mono_ms,
        )
        return self.job

    def answered(self, proposal: Proposal, now: Now) -> Step:
        """Carries out what a worker proposes, as far as it still fits; an answer to an older job is let go."""
        step, goal, wall_ms = Step(), self.goal, self.clock.read(now)
        job = self.job
        if goal is None or wall_ms is None or job is None or proposal.number != job.number:
            return step
        self.job = None
        if (proposal.excess_w, proposal.objective) > (proposal.idle_excess_w, proposal.idle_objective):
            raise ProviderError(
                f"plan {proposal.number} is worse ({proposal.objective}) than doing nothing "
                f"({proposal.idle_objective}): the worker that made it is broken; nothing was selected"
            )
        self.last = proposal
        wanted = {p.esa_id: p for p in proposal.picks}
        for candidate in job.candidates:
            old = candidate.present
            if old is None:
                continue
            if _same(old, wanted.get(candidate.esa_id)):
                del wanted[candidate.esa_id]
                continue
            for select_id, asked in sorted(self.portfolio.asked.items()):
                if asked.pick == old and not asked.cancelling:
                    step.send += self.cancel(select_id, now, CancelAt.NOW).send
        whys = dict(zip((p.esa_id for p in proposal.picks), proposal.reasons, strict=False))
        self._select(step, [wanted[e] for e in sorted(wanted)], whys, goal, now, wall_ms)
        return step

    # Within

    def _candidates(self, now: Now, wall_ms: int) -> list[Candidate]:
        found = []
        for esa_id in sorted(self.mirrors):
            mirror = self.mirrors[esa_id]
            out = mirror.override is not None and mirror.override.scope in (*_OUT, OverrideScope.THIS)
            if mirror.lost or mirror.offer_set is None or out or not self.up.get(self.cems[esa_id], False):
                continue
            if mirror.running in (Running.FAULT, Running.OFFLINE):
                continue
            if now.mono_ms < self.resting_mono_ms.get(esa_id, now.mono_ms):
                continue
            candidate = self._candidate(mirror, wall_ms)
            if candidate is not None:
                found.append(candidate)
        return found

    def _candidate(self, mirror: Mirror, wall_ms: int) -> Candidate | None:
        goal, offers = self.goal, mirror.offer_set
        if goal is None or offers is None:
            return None
        open_ones = [self.portfolio.asked[c.select_id] for c in mirror.open() if c.select_id in self.portfolio.asked]
        present = None
        if len(mirror.open()) > 1 or len(open_ones) != len(mirror.open()):
            return None
        if open_ones:
            [asked] = open_ones
            copy = mirror.find(asked.account.select_id)
            ready = copy is not None and copy.state in (SelectionState.ACCEPTED, SelectionState.SCHEDULED)
            # Least change: what stands for this goal stays; what has begun or is about to is frozen.
            if not ready or asked.goal in (goal.number, BY_HAND) or asked.cancelling or asked.pick.rev != offers.rev:
                return None
            present = asked.pick
        for offer in sorted(offers.offers, key=lambda o: (o.start_earliest_ms, o.offer_id)):
            if present is not None and offer.offer_id != present.offer_id:
                continue
            if goal.mode not in offer.modes or not offer.valid_from_ms <= wall_ms <= offer.valid_until_ms:
                continue
            earliest = wall_ms + 1000 * offer.min_notice_s + self.terms.answer_ms
            if present is not None and present.start_ms < earliest:
                return None
            return Candidate(
                esa_id=mirror.esa_id,
                rev=offers.rev,
                offer=offer,
                weight_ppm=self.portfolio.trust.weight_ppm(mirror.esa_id),
                present=present,
            )
        return None

    def _outlook(self) -> Outlook:
        return Outlook(offers={e: m.offer_set for e, m in self.mirrors.items()}, accounts=self.portfolio.accounts())

    def _select(
        self, step: Step, picks: list[Pick], whys: Mapping[str, str], goal: Goal, now: Now, wall_ms: int
    ) -> None:
        """Spreads the starts of what still fits, and asks."""
        outlook = self._outlook()
        offset = 0 if goal.mode is Mode.RESPONSE else self.terms.random_offset_max_s
        fitting: dict[str, Pick] = {}
        starts: list[Start] = []
        for pick in picks:
            mirror = self.mirrors.get(pick.esa_id)
            code = Code.UNKNOWN_ESA
            if mirror is not None:
                code = current(pick, mirror.offer_set, goal.mode, wall_ms) or Code.INTERNAL
                if code is Code.INTERNAL and any(not self._going(c.select_id) for c in mirror.open()):
                    code = Code.BUSY
            if mirror is None or code is not Code.INTERNAL:
                step.notes.append(Reason(OUTDATED, (pick.esa_id, code.value)))
                continue
            fitting[pick.esa_id] = pick
            offer, profile = outlook.offer(pick), outlook.profile(pick)
            earliest = wall_ms + 1000 * offer.min_notice_s + self.terms.answer_ms
            starts.append(outlook.start(pick, profile, offer, offset, earliest))
        placed = {p.esa_id: p.start_ms for p in fitting.values()}
        if self.terms.max_ramp_w_per_s > 0:
            ramp = Ramp(self.terms.max_ramp_w_per_s)
            for select_id in sorted(self.portfolio.asked):
                asked = self.portfolio.asked[select_id]
                if asked.account.end_ms > wall_ms and not asked.cancelling:
                    own = outlook.start(asked.pick, asked.profile, None, asked.random_offset_max_s, wall_ms)
                    ramp.take(edges(own, own.wanted_ms))
            result = spread(starts, ramp, self.seed)
            placed = {p.key: p.start_ms for p in result.placed}
            step.notes += [Reason(NOT_SPREAD, (u.key, str(u.why))) for u in result.unplaced]
        for esa_id in sorted(placed):
            self._ask(step, fitting[esa_id], placed[esa_id], goal, offset, outlook, now, whys.get(esa_id, ""))

    def _ask(
        self,
        step: Step,
        pick: Pick,
        start_ms: int,
        goal: Goal,
        offset: int,
        outlook: Outlook,
        now: Now,
        why: str = "",
    ) -> None:
        mirror = self.mirrors[pick.esa_id]
        self.numbered += 1
        select_id = identity(self.seed, self.node, "select", self.numbered)
        moved = replace(pick, start_ms=start_ms)
        profile = outlook.profile(moved)
        account = outlook.account(
            moved, select_id=select_id, cem=self.cems[pick.esa_id], event_ref=goal.event_ref, offset_s=offset
        )
        self.portfolio.asked[select_id] = Asked(
            account=account,
            pick=moved,
            profile=profile,
            beside=outlook.beside(moved),
            goal=goal.number,
            random_offset_max_s=offset,
            why=why,
        )
        select = Select(
            select_id=select_id,
            esa_id=pick.esa_id,
            offer_id=pick.offer_id,
            profile_id=pick.profile_id,
            rev=pick.rev,
            start_ms=start_ms,
            mode=goal.mode,
            setpoints_w=pick.setpoints_w,
            random_offset_max_s=offset,
            event_ref=goal.event_ref,
            emergency=goal.emergency,
        )
        self._follow(step, mirror, mirror.select(select, now), now)

    def _going(self, select_id: str) -> bool:
        asked = self.portfolio.asked.get(select_id)
        return asked is not None and asked.cancelling

    def _follow(self, step: Step, mirror: Mirror, turned: Turned, now: Now) -> None:
        for body in turned.send:
            self._send(step, now, self.cems[mirror.esa_id], body)
        for status in turned.changed:
            self._changed(status, now)
        due = mirror.due_mono_ms()
        if due is None:
            self.due_mono_ms.pop(mirror.esa_id, None)
            return
        self.due_mono_ms[mirror.esa_id] = due
        if self.next_due_mono_ms is None or due < self.next_due_mono_ms:
            self.next_due_mono_ms = due

    def _changed(self, status: SelectStatus, now: Now) -> None:
        """Keeps the books in step with a selection."""
        self.portfolio.changed(status, self.clock.read(now))
        if status.state in (SelectionState.REJECTED, SelectionState.OVERRIDDEN, SelectionState.ABORTED):
            self.resting_mono_ms[status.esa_id] = now.mono_ms + self.terms.retry_ms
        if status.state.terminal and status.state is not SelectionState.COMPLETED:
            self._due(now, now.mono_ms + self.terms.answer_ms)

    def _register(self, step: Step, register: Register, cem: str, now: Now) -> None:
        mirror = self.mirrors.setdefault(register.esa_id, Mirror(esa_id=register.esa_id, asks=True))
        mirror.accept_ms = self.terms.accept_ms
        self.cems[register.esa_id] = cem
        self.up.setdefault(cem, True)
        mirror.told(register, now)
        self._send(step, now, cem, RegisterResult(esa_id=register.esa_id, outcome=Outcome.ACCEPTED))
        init = Init(
            esa_id=register.esa_id,
            failsafe_p_upper_w=self.terms.failsafe_p_upper_w,
            report_actual_s=self.terms.report_actual_s,
            horizon_s=self.terms.slots * self.terms.slot_ms // 1000,
            slot_s=self.terms.slot_ms // 1000,
            random_offset_max_s=self.terms.random_offset_max_s,
        )
        if mirror.init != init or not mirror.init_done:
            self._follow(step, mirror, mirror.initialise(init), now)

    def _deregister(self, esa_id: str, now: Now) -> None:
        """Offers are erased; the books are kept."""
        wall = self.clock.read(now)
        self.portfolio.gone(esa_id, now.utc_ms if wall is None else wall)
        del self.mirrors[esa_id], self.cems[esa_id]
        self.resting_mono_ms.pop(esa_id, None)
        self.due_mono_ms.pop(esa_id, None)

    def _mirror(self, esa_id: str) -> Mirror:
        mirror = self.mirrors.get(esa_id)
        if mirror is None:
            raise ProviderError(
                f"appliance {esa_id}: no manager has registered it; known are {len(self.mirrors)} others"
            )
        return mirror

    def _site_limit(self, cem: str, now: Now) -> Limit:
        """What should hold for a site now: the rest of its limit, or the word that there is none."""
        wanted = self.sites.get(cem)
        rest = None if wanted is None else wanted.rest(now)
        if rest is not None:
            return rest
        self.sites.pop(cem, None)
        name = identity(self.seed, self.node, "unlimited", cem)
        return Limit(limit_id=name, esa_id="", active=False, klass=LimitClass.CONTRACT)

    def _due(self, now: Now, at_mono_ms: int) -> None:
        self.plan_due_mono_ms = max(now.mono_ms, min(self.plan_due_mono_ms, at_mono_ms))

    def _send(self, step: Step, now: Now, dst: str, body: Body, corr: str = "") -> None:
        self.numbered += 1
        wall_ms = self.clock.read(now)
        step.send.append(
            Message(
                id=identity(self.seed, self.node, "message", self.numbered),
                ts_ms=now.utc_ms if wall_ms is None else wall_ms,
                src=self.node,
                dst=dst,
                body=body,
                corr=corr,
            )
        )


_OK = Ack(status=AckStatus.OK)


def _refused(code: Code) -> Ack:
    return Ack(status=code.status, code=code)


def _same(old: Pick, new: Pick | None) -> bool:
    """Whether a new pick is what is there; spreading may have moved its start a little."""
    return new is not None and (old.offer_id, old.profile_id, old.setpoints_w, old.start_ms) == (
        new.offer_id,
        new.profile_id,
        new.setpoints_w,
        new.start_ms,
    )


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
