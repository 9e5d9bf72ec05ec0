"""What a provider holds, and what all its parts do with it: say something, follow a mirror, keep the books in step."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.delivery import Finding
from scowl_edge.dsr.forecast import Outlook
from scowl_edge.dsr.goal import Goal, Terms
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, WallClock
from scowl_edge.dsr.mirror import Mirror, Turned, Wanted
from scowl_edge.dsr.planning import Job
from scowl_edge.dsr.portfolio import Portfolio
from scowl_edge.dsr.room import Room
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import Body, LimitStatus, Message, SelectStatus
from scowl_edge.model.flexibility import Proposal, SelectionState
from scowl_edge.model.reason import Reason

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
class ProviderState:
    """All of it can be written with the canonical codec."""

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

    def outlook(self) -> Outlook:
        """What appliances are expected to do."""
        return Outlook(offers={e: m.offer_set for e, m in self.mirrors.items()}, accounts=self.portfolio.accounts())

    def places(self, room: Room) -> dict[str, int]:
        """Innermost rating of each appliance."""
        return {e: room.place(e, cem) for e, cem in self.cems.items()} if room.places else {}

    def mirror(self, esa_id: str) -> Mirror:
        """The copy of an appliance.

        Raises:
            ProviderError: Nobody knows it.
        """
        mirror = self.mirrors.get(esa_id)
        if mirror is None:
            raise ProviderError(
                f"appliance {esa_id}: no manager has registered it; known are {len(self.mirrors)} others"
            )
        return mirror

    def going(self, select_id: str) -> bool:
        """Whether a selection is being taken back."""
        asked = self.portfolio.asked.get(select_id)
        return asked is not None and asked.cancelling

    def due(self, now: Now, at_mono_ms: int) -> None:
        """Has it planned no later than then."""
        self.plan_due_mono_ms = max(now.mono_ms, min(self.plan_due_mono_ms, at_mono_ms))

    def say(self, step: Step, now: Now, dst: str, body: Body, corr: str = "") -> None:
        """Has a step send one message more."""
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

    def follow(self, step: Step, mirror: Mirror, turned: Turned, now: Now) -> None:
        """Has a step say what a mirror wants to be said, and keeps books and deadlines."""
        for body in turned.send:
            self.say(step, now, self.cems[mirror.esa_id], body)
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
            self.due(now, now.mono_ms + self.terms.answer_ms)
