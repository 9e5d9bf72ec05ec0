"""One appliance as an energy manager or a provider knows it: a copy, kept by what is told, and what may be counted on.

The appliance decides; a copy never runs ahead of it. Whoever selects keeps a deadline: a selection that is not answered
in time is taken as refused, taken back at once, and, should it have been granted after all, taken back again. After the
link was away both sides tell each other what is open (`resync`), and the copy is equal to the appliance's own state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.selection import element_at, nominal_w
from scowl_edge.model.exchange import (
    Body,
    Cancel,
    CancelAt,
    Code,
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
)
from scowl_edge.model.flexibility import (
    LimitClass,
    OfferSet,
    OverrideScope,
    Profile,
    SelectionState,
)

ACCEPT_MS = 10_000
"""A selection is answered within this time, or counts as refused; unless the provider's terms say otherwise."""
REMEMBERED_MS = 86_400_000
_ORDER = {
    SelectionState.PENDING: 0,
    SelectionState.ACCEPTED: 1,
    SelectionState.SCHEDULED: 2,
    SelectionState.ACTIVE: 3,
    SelectionState.INTERRUPTED: 3,
}


class Standing(StrEnum):
    """What a selection counts for in the balance of power."""

    NOTHING = "NOTHING"
    """Asked for, refused or over: 0 W."""
    PLEDGED = "PLEDGED"
    """Accepted; its effect is not measured yet."""
    EFFECTIVE = "EFFECTIVE"
    """Measured."""


@dataclass(slots=True, kw_only=True)
class Copy:
    """What is known of one selection."""

    select_id: str
    select: Select | None
    """None: somebody else asked for it."""
    profile: Profile | None
    """As offered when it was selected."""
    intended: Profile | None
    """What would have run instead, as offered then: the baseline."""
    state: SelectionState = SelectionState.PENDING
    """As told by the appliance."""
    code: Code | None = None
    offset_s: int | None = None
    progress_s: int | None = None
    asked_mono_ms: int = 0
    touched_mono_ms: int = 0
    given_up: bool = False
    """Not answered in time: refused, as far as this side is concerned, whatever is told later."""
    effective: bool = False
    cancel: CancelAt | None = None
    """Taken back; told again until it is known to have ended."""

    @property
    def seen_as(self) -> SelectionState:
        """Its state for those who plan: what was given up is refused."""
        return SelectionState.REJECTED if self.given_up else self.state

    @property
    def open(self) -> bool:
        """Asked for and not ended, as far as this side is concerned."""
        return not self.seen_as.terminal

    @property
    def standing(self) -> Standing:
        """What it counts for."""
        if not self.open or self.state is SelectionState.PENDING:
            return Standing.NOTHING
        return Standing.EFFECTIVE if self.effective else Standing.PLEDGED

    def power_w(self, utc_ms: int) -> int | None:
        """Power that is promised for a time, pauses not reckoned with; None outside its profile."""
        if self.standing is Standing.NOTHING or self.select is None or self.profile is None:
            return None
        at_ms = utc_ms - self.select.start_ms - 1_000 * (self.offset_s or 0)
        if not 0 <= at_ms < 1_000 * self.profile.length_s:
            return None
        return nominal_w(self.profile, self.select)[element_at(self.profile, at_ms)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """What follows from a message or from time."""

    send: tuple[Body, ...] = ()
    """To the appliance."""
    changed: tuple[SelectStatus, ...] = ()
    """Selections that stand otherwise now, as this side sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A limit that should hold, and when that began."""

    limit: Limit
    since_mono_ms: int

    def rest(self, now: Now) -> Limit | None:
        """The limit for what is left of its time; None if nothing is."""
        if self.limit.dur_s is None:
            return self.limit
        left_s = self.limit.dur_s - (now.mono_ms - self.since_mono_ms) // 1_000
        return replace(self.limit, dur_s=left_s) if left_s > 0 else None


@dataclass(slots=True, kw_only=True)
class Mirror:
    """Copy of one appliance; `asks` where this side selects (and so keeps deadlines), not where it hands on."""

    esa_id: str
    asks: bool
    accept_ms: int = ACCEPT_MS
    """How long a selection may take to be answered."""
    register: Register | None = None
    init: Init | None = None
    """As last sent."""
    init_done: bool = False
    offer_set: OfferSet | None = None
    """None: none, or none that may still be selected."""
    rev: int = 0
    """The highest that was told."""
    running: Running = Running.OFFLINE
    override: Override | None = None
    safety: Wanted | None = None
    """The limit that should hold, as last sent."""
    contract: Wanted | None = None
    limit_status: LimitStatus | None = None
    copies: list[Copy] = field(default_factory=list)
    lost: bool = False

    def find(self, select_id: str) -> Copy | None:
        """By the selection's id."""
        return next((c for c in self.copies if c.select_id == select_id), None)

    def open(self) -> list[Copy]:
        """Selections that are asked for or granted, and not over."""
        return [c for c in self.copies if c.open]

    def select(self, select: Select, now: Now) -> Turned:
        """Asks the appliance; repeated with the same content it is sent again, its deadline stays."""
        copy = self.find(select.select_id)
        if copy is None:
            offer = None
            if self.offer_set is not None and self.offer_set.rev == select.rev:
                offer = self.offer_set.offer(select.offer_id)
            copy = Copy(
                select_id=select.select_id,
                select=select,
                profile=None if offer is None else offer.profile(select.profile_id),
                intended=None if offer is None else offer.profile(offer.default_profile_id),
                asked_mono_ms=now.mono_ms,
                touched_mono_ms=now.mono_ms,
            )
            self.copies.append(copy)
            return Turned(send=(select,), changed=(self._status(copy),))
        if copy.given_up:
            return Turned(changed=(self._status(copy),))
        return Turned(send=(select,))

    def cancel(self, select_id: str, at: CancelAt, now: Now) -> Turned:
        """Takes a selection back; what was not answered is never waited for again."""
        copy = self.find(select_id)
        if copy is not None and copy.state.terminal:
            return Turned(changed=(self._status(copy),))
        if copy is not None:
            copy.touched_mono_ms = now.mono_ms
            copy.cancel = CancelAt.NOW if CancelAt.NOW in (copy.cancel, at) else at
        return Turned(send=(Cancel(select_id=select_id, esa_id=self.esa_id, at=at),))

    def limit(self, limit: Limit, now: Now) -> Turned:
        """Sends a limit, and what is left of it again after the link was away."""
        wanted = Wanted(limit=limit, since_mono_ms=now.mono_ms) if limit.active else None
        if limit.klass is LimitClass.SAFETY:
            self.safety = wanted
        else:
            self.contract = wanted
        return Turned(send=(limit,))

    def initialise(self, init: Init) -> Turned:
        """Sends settings."""
        self.init, self.init_done = init, False
        return Turned(send=(init,))

    def told(self, body: Body, now: Now) -> Turned:
        """Takes what the appliance said. What is older than what is known changes nothing."""
        if isinstance(body, SelectStatus):
            return self._told_status(body, now)
        if isinstance(body, OfferSet):
            if body.rev > self.rev or (body.rev == self.rev and self.offer_set is None):
                self.offer_set, self.rev = body, body.rev
        elif isinstance(body, OfferWithdraw):
            if self.offer_set is not None:
                left = tuple(o for o in self.offer_set.offers if o.offer_id not in body.offer_ids)
                self.offer_set = OfferSet(esa_id=self.esa_id, rev=self.rev, offers=left)
        elif isinstance(body, State):
            self.running, self.lost = body.value, False
            if body.override is OverrideScope.NONE:
                self.override = None
        elif isinstance(body, Override):
            self.override = None if body.scope is OverrideScope.NONE else body
        elif isinstance(body, LimitStatus):
            self.limit_status = body
        elif isinstance(body, InitDone):
            self.init_done = body.code is None
        elif isinstance(body, Register):
            self.register = body
        return Turned()

    def advance(self, now: Now) -> Turned:
        """Gives up what was not answered in time, and forgets what ended long ago."""
        send: list[Body] = []
        changed: list[SelectStatus] = []
        for copy in self.copies:
            unanswered = copy.state is SelectionState.PENDING and not copy.given_up
            if self.asks and unanswered and now.mono_ms - copy.asked_mono_ms >= self.accept_ms:
                copy.given_up, copy.touched_mono_ms = True, now.mono_ms
                send.append(self._take_back(copy))
                changed.append(self._status(copy))
        self.copies = [
            c
            for c in self.copies
            if (c.open and c.state is not SelectionState.PENDING) or now.mono_ms - c.touched_mono_ms < REMEMBERED_MS
        ]
        return Turned(send=tuple(send), changed=tuple(changed))

    def due_mono_ms(self) -> int | None:
        """When `advance` has something to do next; None: never, as things stand."""
        times = []
        for copy in self.copies:
            if self.asks and copy.state is SelectionState.PENDING and not copy.given_up:
                times.append(copy.asked_mono_ms + self.accept_ms)
            if not copy.open or copy.state is SelectionState.PENDING:
                times.append(copy.touched_mono_ms + REMEMBERED_MS)
        return min(times, default=None)

    def resync(self, now: Now) -> Turned:
        """What to send when the link is there again: settings, limits, and every selection not known to have ended.

        A selection told again is answered with how it stands; it starts nothing anew.
        """
        turned = self.advance(now)
        send = list(turned.send)
        if self.init is not None:
            send.append(self.init)
        rests = [wanted.rest(now) for wanted in (self.safety, self.contract) if wanted is not None]
        send += [rest for rest in rests if rest is not None]
        for copy in self.copies:
            if not copy.state.terminal and (copy.given_up or copy.cancel is not None):
                send.append(self._take_back(copy))
            elif copy.open and copy.select is not None:
                send.append(copy.select)
        return Turned(send=tuple(send), changed=turned.changed)

    def link_lost(self) -> None:
        """Nothing is heard of the appliance: its offers can no longer be selected; what was granted stays pledged."""
        self.lost, self.offer_set, self.running = True, None, Running.OFFLINE

    def restarted(self, restart: Restart, now: Now) -> Turned:
        """The first call after this side started again with what was stored; deadlines are over if no one knows."""
        for copy in self.copies:
            copy.asked_mono_ms += restart.mono_base_ms if restart.gap_known else -self.accept_ms
            copy.touched_mono_ms += restart.mono_base_ms
        self.safety = _rebased(self.safety, restart)
        self.contract = _rebased(self.contract, restart)
        self.lost = True
        return self.advance(now)

    def measured(self, select_id: str) -> None:
        """The effect of a selection was measured: it is no longer pledged, it is there."""
        copy = self.find(select_id)
        if copy is not None and copy.state in (SelectionState.ACTIVE, SelectionState.INTERRUPTED):
            copy.effective = True

    def counted_w(self, utc_ms: int, standing: Standing) -> int | None:
        """Power for a time by selections of this standing; None if there is none then."""
        powers = [c.power_w(utc_ms) for c in self.copies if c.standing is standing]
        there = [p for p in powers if p is not None]
        return sum(there) if there else None

    def _told_status(self, status: SelectStatus, now: Now) -> Turned:
        copy = self.find(status.select_id)
        if copy is None:
            copy = Copy(select_id=status.select_id, select=None, profile=None, intended=None)
            self.copies.append(copy)
            # Whoever selects and does not know a selection lost its memory, and cannot stand for it.
            copy.given_up = self.asks
        before = self._status(copy)
        if not copy.state.terminal and _is_news(copy, status):
            copy.state, copy.code = status.state, status.code
            copy.offset_s = status.applied_offset_s if status.applied_offset_s is not None else copy.offset_s
            copy.progress_s = status.progress_s if status.progress_s is not None else copy.progress_s
        copy.touched_mono_ms = now.mono_ms
        after = self._status(copy)
        send = (self._take_back(copy),) if copy.given_up and not copy.state.terminal else ()
        return Turned(send=send, changed=() if before == after else (after,))

    def _take_back(self, copy: Copy) -> Cancel:
        at = CancelAt.NOW if copy.given_up or copy.cancel is None else copy.cancel
        return Cancel(select_id=copy.select_id, esa_id=self.esa_id, at=at)

    def _status(self, copy: Copy) -> SelectStatus:
        return SelectStatus(
            select_id=copy.select_id,
            esa_id=self.esa_id,
            state=copy.seen_as,
            code=Code.NO_ANSWER if copy.given_up else copy.code,
            applied_offset_s=copy.offset_s,
            progress_s=copy.progress_s,
        )


def _rebased(wanted: Wanted | None, restart: Restart) -> Wanted | None:
    return None if wanted is None else replace(wanted, since_mono_ms=wanted.since_mono_ms + restart.mono_base_ms)


def _is_news(copy: Copy, status: SelectStatus) -> bool:
    """Whether a status is not older than what is known: messages may overtake each other."""
    if status.state.terminal:
        return True
    if copy.state.terminal:
        return False
    known, told = _ORDER[copy.state], _ORDER[status.state]
    return told > known or (told == known and (status.progress_s or 0) >= (copy.progress_s or 0))
