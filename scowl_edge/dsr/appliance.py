"""One appliance (ESA) as flexibility sees it: what it is told and the time go in; messages and its course come out.

It is the authority on its selections and limits; `mirror` is how others see it. It knows no physics: offers come from
outside (`offers`), and what it measured too (`measured`). All of it can be written with the canonical codec, so that a
crash between any two calls loses nothing.

Every method brings the state up to `now` first. What it gives back is to be sent to whoever manages the appliance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.asking import Conditions
from scowl_edge.dsr.course import Course, decided
from scowl_edge.dsr.delay import CAP_S, DEFAULT_MAX_S
from scowl_edge.dsr.instant import Now, Restart, WallClock
from scowl_edge.dsr.limiting import SILENCE_MS, Fallback, Limiting
from scowl_edge.dsr.selecting import Selections, Tolerance
from scowl_edge.dsr.selection import RUNS
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Cancel,
    Code,
    Constraint,
    Deregister,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    OfferWithdraw,
    Override,
    Register,
    Running,
    Select,
    SelectStatus,
    State,
    WithdrawReason,
)
from scowl_edge.model.flexibility import (
    UNSET,
    Control,
    OfferSet,
    OnLinkLoss,
    OverrideBy,
    OverrideScope,
    SelectionState,
)

_OUT = (OverrideScope.GRID, OverrideScope.ALL)
STATE_EVERY_MS = 900_000
"""How often it says what it does, even if nothing changed."""
HOLD_MAX_S = 3_600
"""Longest that a selection outlives the link, until `init` says otherwise."""


class OfferError(ScowlError):
    """Offers of another appliance, or of a revision that is not new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What follows from one message."""

    ack: Ack
    """Whether it was understood and stored."""
    tell: tuple[Body, ...] = ()
    """What to send, in this order."""


_OK = Ack(status=AckStatus.OK)


@dataclass(slots=True, kw_only=True)
class Appliance:
    """State of one appliance; make it with `first`."""

    register: Register
    limiting: Limiting
    selections: Selections
    tolerance: Tolerance
    clock: WallClock
    ceiling: Fallback
    """From the configuration: a provider may lower the fail-safe values below these, not raise them."""
    init: Init | None = None
    offer_set: OfferSet | None = None
    rev: int = 0
    """Of the latest offers; 0 before the first."""
    offers_due: bool = False
    """Selections are refused until new offers come: those before an override are no longer true."""
    override_held: Override | None = None
    this_until_ms: int = UNSET
    """UTC until which an override of one job keeps selections out."""
    running: Running = Running.IDLE
    wished: Constraint | None = None
    """What offers would be of use, as last asked."""
    heard_mono_ms: int | None = None
    """When anything was last heard of those who select."""
    lost_since_mono_ms: int | None = None
    """When the link was lost; None: it is there."""
    state_due_mono_ms: int = 0
    p_now_w: int = 0
    """As last measured."""
    refused: dict[str, int] = field(default_factory=dict)
    """Messages that were refused, by code."""

    @staticmethod
    def first(register: Register, fallback: Fallback, now: Now, *, seed: int, tolerance: Tolerance) -> Appliance:
        """An appliance that starts for the very first time."""
        return Appliance(
            register=register,
            limiting=Limiting(fallback=fallback, since_mono_ms=now.mono_ms),
            selections=Selections(esa_id=register.esa_id, seed=seed),
            tolerance=tolerance,
            clock=WallClock(),
            ceiling=fallback,
        )

    @property
    def esa_id(self) -> str:
        """Whose state it is."""
        return self.register.esa_id

    def receive(self, body: Body, now: Now) -> Answer:
        """Takes one message; one that is refused changes nothing."""
        told = list(self.advance(now))
        self.heard_mono_ms, self.lost_since_mono_ms = now.mono_ms, None
        code: Code | None = None
        if getattr(body, "esa_id", self.esa_id) not in (self.esa_id, ""):
            code = Code.UNKNOWN_ESA
        elif isinstance(body, Select):
            code, news = self.selections.select(body, self._conditions(now), self._offset_max_s(), now)
            told += news
        elif isinstance(body, Cancel):
            code, news = self.selections.cancel(body, now)
            told += news
        elif isinstance(body, Limit):
            told.append(self._limit(body, now))
        elif isinstance(body, Heartbeat):
            self.limiting.heartbeat(now)
        elif isinstance(body, Init):
            told.append(self._init(body))
        elif isinstance(body, Constraint):
            self.wished = body
        elif isinstance(body, Override):
            told += self._override(body, now)
        elif isinstance(body, Deregister):
            told += self._deregister()
        else:
            code = Code.UNSUPPORTED
        told += self.advance(now)
        if code is None:
            return Answer(ack=_OK, tell=tuple(told))
        self.refused[code.value] = self.refused.get(code.value, 0) + 1
        return Answer(ack=Ack(status=code.status, code=code), tell=tuple(told))

    def advance(self, now: Now) -> tuple[Body, ...]:
        """What time alone brings about."""
        told: list[Body] = []
        wall_ms = self.clock.read(now)
        self.limiting.advance(now)
        if self.override_held is not None and wall_ms is not None and UNSET < self.override_held.until_ms <= wall_ms:
            told.append(self._lift(self.override_held.by))
        told += self.selections.advance(wall_ms, now, self.running is Running.FAULT)
        if self.heard_mono_ms is not None and now.mono_ms - self.heard_mono_ms >= SILENCE_MS:
            self._lost(self.heard_mono_ms + SILENCE_MS, told)
        self._hold(now, told)
        told += self.selections.limited(self._is_limited(now))
        if now.mono_ms >= self.state_due_mono_ms:
            told.append(self._state(now))
        return tuple(told)

    def offers(self, new_set: OfferSet, now: Now) -> tuple[Body, ...]:
        """Replaces all offers; selections that were accepted stay.

        Raises:
            OfferError: The set is of another appliance, or its revision is not higher than the present one.
        """
        if new_set.esa_id != self.esa_id or new_set.rev <= self.rev:
            raise OfferError(
                f"offers of {new_set.esa_id}, revision {new_set.rev}, given to {self.esa_id}, which is at revision "
                f"{self.rev}: number each set of an appliance higher than the one before"
            )
        told = list(self.advance(now))
        self.offer_set, self.rev, self.offers_due = new_set, new_set.rev, False
        return (*told, new_set)

    def withdraw(self, offer_ids: tuple[str, ...], reason: WithdrawReason, now: Now) -> tuple[Body, ...]:
        """Takes offers back without giving others; selections that were accepted stay."""
        told = list(self.advance(now))
        if self.offer_set is not None:
            left = tuple(o for o in self.offer_set.offers if o.offer_id not in offer_ids)
            self.offer_set = OfferSet(esa_id=self.esa_id, rev=self.rev, offers=left)
        return (*told, OfferWithdraw(esa_id=self.esa_id, offer_ids=offer_ids, reason=reason))

    def override(self, override: Override, now: Now) -> tuple[Body, ...]:
        """Somebody at the appliance takes over, or (scope NONE) gives it back."""
        told = list(self.advance(now))
        told += self._override(override, now)
        return (*told, *self.advance(now))

    def runs(self, running: Running, now: Now) -> tuple[Body, ...]:
        """What the device does; a fault ends what runs."""
        told = list(self.advance(now))
        if running is not self.running:
            self.running = running
            selection = self.selections.running()
            if running is Running.FAULT and selection is not None:
                news: list[SelectStatus] = []
                self.selections.end(selection, SelectionState.ABORTED, Code.FAULT, news)
                told += news
            told.append(self._state(now))
        return tuple(told)

    def measured(self, power_w: int | None, now: Now) -> tuple[Body, ...]:
        """Mean power since the last call (one slot of the report), None if it was not measured."""
        told = list(self.advance(now))
        if power_w is not None:
            self.p_now_w = power_w
        return (*told, *self.selections.measured(power_w, self.tolerance))

    def power_now(self, power_w: int) -> None:
        """The latest measured power: where the ramp of a limit begins."""
        self.p_now_w = power_w

    def pause(self, select_id: str, now: Now) -> Answer:
        """Interrupts what runs, if its profile allows."""
        told = list(self.advance(now))
        code, news = self.selections.pause(select_id)
        return Answer(ack=_ack(code), tell=(*told, *news))

    def resume(self, select_id: str, now: Now) -> Answer:
        """Ends a pause before it runs out."""
        told = list(self.advance(now))
        code, news = self.selections.resume(select_id)
        return Answer(ack=_ack(code), tell=(*told, *news))

    def abort(self, select_id: str, code: Code, now: Now) -> tuple[Body, ...]:
        """Gives up a selection that can no longer be kept: the vehicle left, the tank is full."""
        told, news = list(self.advance(now)), list[SelectStatus]()
        selection = self.selections.find(select_id)
        if selection is not None:
            self.selections.end(selection, SelectionState.ABORTED, code, news)
        return (*told, *news)

    def self_protection(self, now: Now) -> tuple[Body, ...]:
        """The device cannot keep to limits now without harm; whoever set them is told."""
        told = list(self.advance(now))
        told += [self._limit_status(limit, Code.SAFETY) for limit in self.limiting.self_protection(now)]
        return (*told, *self.advance(now))

    def link_lost(self, now: Now) -> tuple[Body, ...]:
        """The link to whoever selects is down."""
        told = list(self.advance(now))
        self._lost(now.mono_ms, told)
        return (*told, *self.advance(now))

    def link_up(self, now: Now) -> tuple[Body, ...]:
        """The link is there again: all that the other side has to know."""
        told = self.advance(now)
        self.heard_mono_ms, self.lost_since_mono_ms = now.mono_ms, None
        return (*told, *self.resync(now))

    def resync(self, now: Now) -> tuple[Body, ...]:
        """Offers, state, override, limits and open selections, for whoever lost messages."""
        told: list[Body] = [b for b in self.advance(now) if not isinstance(b, State)]
        if self.offer_set is not None:
            told.append(self.offer_set)
        told.append(self._state(now))
        if self.override_held is not None:
            told.append(self.override_held)
        told += [self._limit_status(h.limit, None) for h in self.limiting.limits]
        told += [s.status(self.esa_id) for s in self.selections.open()]
        return tuple(told)

    def restarted(self, restart: Restart, now: Now) -> tuple[Body, ...]:
        """The first call after the process started again with what was stored."""
        self.clock.restarted(restart)
        self.limiting.restarted(restart, now)
        told: list[Body] = list(self.selections.restarted(restart))
        self.state_due_mono_ms = now.mono_ms
        if self.lost_since_mono_ms is not None:
            self.lost_since_mono_ms += restart.mono_base_ms
        elif self.heard_mono_ms is not None:
            self.heard_mono_ms += restart.mono_base_ms
            if not restart.gap_known:
                self._lost(now.mono_ms, told)
        return (*told, *self.advance(now))

    def heartbeat(self) -> Heartbeat:
        """Its own proof of life."""
        return Heartbeat(limit_state=self.limiting.state, rev=self.rev)

    def course(self, now: Now) -> Course:
        """What the device should do; call `advance` first."""
        overridden = self._scope() not in (OverrideScope.NONE, OverrideScope.LOCAL)
        return decided(self.selections.running(), self.limiting.envelopes(now), overridden)

    def wake_mono_ms(self, now: Now) -> int:
        """When `advance` has something to do next; call it first. Ramps of limits not counted."""
        wall_ms = self.clock.read(now)
        times = [self.state_due_mono_ms, self.limiting.wake_mono_ms(now), self.selections.wake_mono_ms(wall_ms, now)]
        if self.lost_since_mono_ms is None and self.heard_mono_ms is not None:
            times.append(self.heard_mono_ms + SILENCE_MS)
        elif self.lost_since_mono_ms is not None and self.selections.open():
            times.append(self._hold_until_mono_ms())
        held = self.override_held
        if held is not None and held.until_ms != UNSET and wall_ms is not None:
            times.append(now.mono_ms + held.until_ms - wall_ms)
        return max(now.mono_ms + 1, min(t for t in times if t is not None))

    def _conditions(self, now: Now) -> Conditions:
        return Conditions(
            offer_set=self.offer_set,
            wall_ms=self.clock.read(now),
            opted_out=self.offers_due or self._scope() in _OUT,
            overridden_until_ms=self.this_until_ms if self._scope() is OverrideScope.THIS else None,
            fault=self.running is Running.FAULT,
        )

    def _offset_max_s(self) -> int:
        return DEFAULT_MAX_S if self.init is None else min(CAP_S, self.init.random_offset_max_s)

    def _scope(self) -> OverrideScope:
        return OverrideScope.NONE if self.override_held is None else self.override_held.scope

    def _override(self, override: Override, now: Now) -> list[Body]:
        if override.scope is OverrideScope.NONE:
            return [] if self.override_held is None else [self._lift(override.by)]
        wall_ms, news = self.clock.read(now), list[SelectStatus]()
        if override.scope is OverrideScope.THIS:
            targets = [s for s in self.selections.open() if s.state in RUNS] or sorted(
                self.selections.open(), key=lambda s: (s.due_utc_ms, s.select_id)
            )[:1]
            self.this_until_ms = override.until_ms
            if override.until_ms == UNSET and targets and wall_ms is not None:
                self.this_until_ms = targets[0].span(wall_ms)[1]
        else:
            targets = self.selections.open() if override.scope in _OUT else []
        for selection in targets:
            self.selections.end(selection, SelectionState.OVERRIDDEN, None, news)
        held = override
        if override.scope is OverrideScope.THIS and self.this_until_ms != UNSET:
            # An override of one job ends with that job.
            held = Override(
                esa_id=self.esa_id,
                scope=override.scope,
                by=override.by,
                until_ms=self.this_until_ms,
                expected=override.expected,
            )
        self.override_held = held
        return [held, *news, self._state(now)]

    def _lift(self, by: OverrideBy) -> Override:
        """Ends an override; whoever opted out says with new offers what he is ready for now."""
        self.offers_due = self.offers_due or self._scope() in _OUT
        self.override_held, self.this_until_ms, self.state_due_mono_ms = None, UNSET, 0
        return Override(esa_id=self.esa_id, scope=OverrideScope.NONE, by=by)

    def _limit(self, limit: Limit, now: Now) -> LimitStatus:
        code: Code | None = None
        upper_w, lower_w = limit.p_upper_w, limit.p_lower_w
        if Control.LIMIT not in self.register.controls:
            code = Code.UNSUPPORTED
        elif limit.active and (
            (upper_w is not None and upper_w < self.register.p_min_w)
            or (lower_w is not None and lower_w > self.register.p_max_w)
        ):
            code = Code.OUT_OF_BOUNDS
        else:
            code = self.limiting.limit(limit, self.p_now_w, now)
        return self._limit_status(limit, code)

    def _limit_status(self, limit: Limit, code: Code | None) -> LimitStatus:
        return LimitStatus(
            limit_id=limit.limit_id, esa_id=self.esa_id, applied=code is None, p_now_w=self.p_now_w, code=code
        )

    def _init(self, init: Init) -> InitDone:
        """Takes the settings, unless they would let more through when blind than the configuration allows."""
        ceiling, lower_w = self.ceiling, init.failsafe_p_lower_w
        if (
            init.failsafe_p_upper_w > ceiling.failsafe_p_upper_w
            or (lower_w is not None and lower_w < ceiling.failsafe_p_lower_w)
            or not 0 <= init.random_offset_max_s <= CAP_S
        ):
            return InitDone(esa_id=self.esa_id, code=Code.OUT_OF_BOUNDS)
        if self.init is not None and (self.init.slot_s, self.init.horizon_s) != (init.slot_s, init.horizon_s):
            # What was offered begins on another grid than the one that is planned on.
            self.offers_due = True
        self.init = init
        self.limiting.fallback = Fallback(
            failsafe_p_upper_w=init.failsafe_p_upper_w,
            failsafe_p_lower_w=ceiling.failsafe_p_lower_w if lower_w is None else lower_w,
            failsafe_min_s=init.failsafe_min_s,
            autonomous_p_upper_w=ceiling.autonomous_p_upper_w,
            autonomous_p_lower_w=ceiling.autonomous_p_lower_w,
            autonomous_unlimited=ceiling.autonomous_unlimited,
        )
        return InitDone(esa_id=self.esa_id)

    def _deregister(self) -> list[SelectStatus]:
        """Offers are erased, and what was selected ends."""
        self.offer_set, self.init, self.offers_due = None, None, True
        news: list[SelectStatus] = []
        for selection in self.selections.open():
            self.selections.end(selection, SelectionState.CANCELLED, None, news)
        return news

    def _lost(self, since_mono_ms: int, told: list[Body]) -> None:
        if self.lost_since_mono_ms is not None:
            return
        self.lost_since_mono_ms = since_mono_ms
        if self.init is None or self.init.on_link_loss is OnLinkLoss.FINISH_ACTIVE:
            return
        news: list[SelectStatus] = []
        for selection in self.selections.open():
            if selection.state is SelectionState.ACTIVE:
                self.selections.end_with_element(selection, SelectionState.ABORTED, Code.LINK_LOST)
            else:
                self.selections.end(selection, SelectionState.ABORTED, Code.LINK_LOST, news)
        told += news

    def _hold_until_mono_ms(self) -> int:
        hold_s = HOLD_MAX_S if self.init is None else self.init.hold_max_s
        return (self.lost_since_mono_ms or 0) + 1_000 * hold_s

    def _hold(self, now: Now, told: list[Body]) -> None:
        """Ends what went on without a link for as long as it may."""
        if self.lost_since_mono_ms is None or now.mono_ms < self._hold_until_mono_ms():
            return
        news: list[SelectStatus] = []
        for selection in self.selections.open():
            self.selections.end(selection, SelectionState.ABORTED, Code.LINK_LOST, news)
        told += news

    def _is_limited(self, now: Now) -> bool:
        selection = self.selections.running()
        wish_w = None if selection is None else selection.setpoint_w()
        return wish_w is not None and any(e.clip(wish_w) != wish_w for e in self.limiting.envelopes(now))

    def _state(self, now: Now) -> State:
        self.state_due_mono_ms = now.mono_ms + STATE_EVERY_MS
        return State(esa_id=self.esa_id, value=self.running, override=self._scope())


def _ack(code: Code | None) -> Ack:
    return _OK if code is None else Ack(status=code.status, code=code)
