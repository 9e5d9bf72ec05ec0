"""A provider, an energy manager and an appliance in virtual time, on links that lose, repeat and reorder messages.

Each node is what it stored: after every call its state goes through the canonical codec, and a crash at any boundary
goes on with the last stored bytes. What holds always is checked after every step, against records of the test's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.mirror import Mirror, Standing
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.model import codec
from scowl_edge.model.exchange import (
    Body,
    Cancel,
    CancelAt,
    Heartbeat,
    Init,
    Limit,
    LimitStatus,
    Override,
    Register,
    Running,
    Select,
    SelectStatus,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    LimitClass,
    LimitState,
    Mode,
    Offer,
    OfferSet,
    OnLinkLoss,
    OverrideBy,
    OverrideScope,
    Profile,
    ProfileKind,
    SelectionState,
)

ESA = "esa-0001"
FAILSAFE_W = 1_500
EPOCH_MS = 1_700_000_000_000
OPEN = {s for s in SelectionState if not s.terminal}
ORDER = {
    SelectionState.PENDING: 0,
    SelectionState.ACCEPTED: 1,
    SelectionState.SCHEDULED: 2,
    SelectionState.ACTIVE: 3,
    SelectionState.INTERRUPTED: 3,
}
BLIND = (LimitState.INIT, LimitState.FAILSAFE, LimitState.AUTONOMOUS)
Node = TypeVar("Node", Appliance, Mirror)

REGISTER = Register(
    esa_id=ESA,
    esa_type=EsaType.EVSE,
    p_max_w=7_000,
    p_min_w=-3_000,
    modes=(Mode.ROUTINE, Mode.RESPONSE),
    controls=(Control.PROFILE, Control.LIMIT, Control.SETPOINT, Control.PAUSE),
    consent_ref="consent-1",
    cert_fp="0" * 64,
)
FALLBACK = Fallback(failsafe_p_upper_w=FAILSAFE_W, failsafe_p_lower_w=0)


def element(dur_s: int, power_w: int, least_w: int | None = None, most_w: int | None = None) -> Element:
    return Element(
        dur_s=dur_s,
        p_nom_w=power_w,
        p_min_w=power_w if least_w is None else least_w,
        p_max_w=power_w if most_w is None else most_w,
    )


def offers(rev: int, wall_ms: int, *, valid_s: int = 1_500, window_s: int = 1_500, notice_s: int = 2) -> OfferSet:
    """Two offers with windows that overlap, short enough that much happens in a test."""
    profiles = (
        Profile(profile_id="io", kind=ProfileKind.IO, elements=(element(20, 3_000), element(30, 1_000))),
        Profile(
            profile_id="ld",
            kind=ProfileKind.LD,
            elements=(element(15, 2_000, 0, 4_000), element(15, 1_000, 0, 4_000)),
            interruptible=True,
            max_pause_s=40,
        ),
        Profile(profile_id="md", kind=ProfileKind.MD, elements=(element(60, 500),), abnormal_only=True),
    )
    return OfferSet(
        esa_id=ESA,
        rev=rev,
        offers=tuple(
            Offer(
                offer_id=f"offer-{rev}-{n}",
                valid_from_ms=wall_ms,
                valid_until_ms=wall_ms + 1_000 * valid_s,
                start_earliest_ms=wall_ms,
                start_latest_ms=wall_ms + 1_000 * window_s,
                end_latest_ms=wall_ms + 1_000 * (window_s + 120),
                min_notice_s=notice_s,
                modes=(Mode.ROUTINE, Mode.RESPONSE),
                default_profile_id="io",
                profiles=profiles,
            )
            for n in range(2)
        ),
    )


@dataclass
class Flight:
    """Messages under way on one link, one bag a direction; a bag has no order."""

    down: list[Body] = field(default_factory=list)
    up: list[Body] = field(default_factory=list)
    cut: bool = False


@dataclass
class Seen:
    """What the test remembers of one selection at the appliance."""

    select: Select
    rev_at_grant: int | None = None
    end: tuple[SelectionState, object] | None = None


class World:
    """The three nodes and what is known about them; every public method is one thing that may happen."""

    def __init__(self, *, on_link_loss: OnLinkLoss = OnLinkLoss.FINISH_ACTIVE, fallback: Fallback = FALLBACK) -> None:
        self.mono_ms = 1_000
        self.utc_shift_ms = EPOCH_MS
        self.utc_ok = True
        self.provider = Mirror(esa_id=ESA, asks=True)
        self.cem = Mirror(esa_id=ESA, asks=False)
        self.appliance = Appliance.first(REGISTER, fallback, self.time, seed=7, tolerance=Tolerance())
        self.wide = Flight()
        """Provider and energy manager."""
        self.near = Flight()
        """Energy manager and appliance."""
        self.asked = 0
        self.revs = 0
        self.limits = 0
        self.seen: dict[str, Seen] = {}
        self.stands: dict[tuple[str, str], SelectionState] = {}
        """(who, selection) -> how its copy stood last."""
        self.heard_ms: int | None = None
        """Last heartbeat that reached the appliance, if it did not start since."""
        self.held: dict[LimitClass, tuple[Limit, int]] = {}
        """Limits the appliance said it applied, and when."""
        self.steps = 0
        init = Init(
            esa_id=ESA,
            failsafe_p_upper_w=FAILSAFE_W,
            random_offset_max_s=20,
            failsafe_min_s=600,
            on_link_loss=on_link_loss,
            hold_max_s=90,
        )
        self.wide.down += self.provider.initialise(init).send
        self.send_up(list(self.appliance.advance(self.time)))
        self.offer()

    @property
    def time(self) -> Now:
        """As an honest node reads its clocks."""
        return Now(mono_ms=self.mono_ms, utc_ms=self.mono_ms + self.utc_shift_ms, utc_ok=self.utc_ok)

    # What may happen.

    def wait(self, span_ms: int, *, crash: bool = False) -> None:
        """Time passes; all nodes wake only afterwards, however long it was.

        `crash`: all of them die when they have stored what time brought about, and before any of it leaves.
        """
        self.mono_ms += span_ms
        self.appliance_does(lambda a: a.advance(self.time), lost=crash)
        send = self.provider.advance(self.time).send
        self.provider_does(() if crash else send)
        if crash:
            for who in ("appliance", "cem", "provider"):
                self.restart(who)
        self.cem.advance(self.time)

    def wait_for_appliance(self) -> None:
        """Time passes until the appliance wants to be woken."""
        self.wait(self.appliance.wake_mono_ms(self.time) - self.mono_ms)

    def offer(self) -> None:
        """The appliance has new offers."""
        self.revs += 1
        wall_ms = self.mono_ms + self.utc_shift_ms
        self.appliance_does(lambda a: a.offers(offers(self.revs, wall_ms), self.time))

    def ask(
        self,
        offer: int,
        profile: int,
        start_s: int,
        *,
        response: bool = False,
        priority: int = 100,
        behind: int = 0,
        setpoint_w: int | None = None,
        emergency: bool = False,
    ) -> str:
        """The provider selects, perhaps by a revision that it should know is gone."""
        self.asked += 1
        rev = max(1, self.provider.rev - behind)
        profile_id = ("io", "ld", "md")[profile]
        setpoints: tuple[int, ...] = ()
        if setpoint_w is not None and profile_id == "ld":
            setpoints = (setpoint_w, setpoint_w)
        select = Select(
            select_id=f"select-{self.asked}",
            esa_id=ESA,
            # The revision alone tells a stale wish: its offer is one of now.
            offer_id=f"offer-{max(1, self.provider.rev)}-{offer}",
            profile_id=profile_id,
            rev=rev,
            start_ms=self.mono_ms + self.utc_shift_ms + 1_000 * start_s,
            mode=Mode.RESPONSE if response else Mode.ROUTINE,
            priority=priority,
            setpoints_w=setpoints,
            emergency=emergency,
        )
        self.provider_does(self.provider.select(select, self.time).send)
        return select.select_id

    def ask_again(self, nth: int) -> None:
        """The provider repeats a selection."""
        copies = [c for c in self.provider.copies if c.select is not None]
        if copies:
            select = copies[nth % len(copies)].select
            assert select is not None
            self.provider_does(self.provider.select(select, self.time).send)

    def cancel(self, nth: int, at: CancelAt) -> None:
        """The provider takes one back."""
        if self.provider.copies:
            copy = self.provider.copies[nth % len(self.provider.copies)]
            self.provider_does(self.provider.cancel(copy.select_id, at, self.time).send)

    def beat(self) -> None:
        """The provider shows that it is alive."""
        self.provider_does((Heartbeat(limit_state=LimitState.UNLIMITED, rev=self.provider.rev),))

    def limit(self, power_w: int, *, active: bool, klass: LimitClass, dur_s: int | None = None) -> None:
        """The provider limits, or lifts."""
        self.limits += 1
        limit = Limit(
            limit_id=f"limit-{self.limits}",
            esa_id=ESA,
            active=active,
            klass=klass,
            p_upper_w=power_w if active else None,
            dur_s=dur_s,
        )
        self.provider_does(self.provider.limit(limit, self.time).send)

    def override(self, scope: OverrideScope, until_s: int | None) -> None:
        """The user takes over, or gives it back."""
        until = {} if until_s is None else {"until_ms": self.mono_ms + self.utc_shift_ms + 1_000 * until_s}
        override = Override(esa_id=ESA, scope=scope, by=OverrideBy.USER, **until)
        self.appliance_does(lambda a: a.override(override, self.time))

    def pause(self, on: bool) -> None:
        """Whoever manages the appliance pauses what runs, or goes on."""
        running = self.appliance.selections.running()
        if running is not None:
            select_id = running.select_id
            if on:
                self.appliance_does(lambda a: a.pause(select_id, self.time).tell)
            else:
                self.appliance_does(lambda a: a.resume(select_id, self.time).tell)

    def fault(self, on: bool) -> None:
        """The device fails, or is well again."""
        self.appliance_does(lambda a: a.runs(Running.FAULT if on else Running.IDLE, self.time))

    def measure(self, error_w: int) -> None:
        """A slot of the report ends; the device was so far from its course."""
        setpoint_w = self.appliance.course(self.time).setpoint_w or 0
        self.appliance_does(lambda a: a.measured(setpoint_w + error_w, self.time))

    def step_clock(self, step_ms: int, synchronised: bool) -> None:
        """UTC is set, or found to be no longer trusted."""
        self.utc_shift_ms += step_ms
        self.utc_ok = synchronised
        self.wait(0)

    def deliver(self, wide: bool, down: bool, nth: int, *, keep: bool = False, crash: str = "") -> None:
        """One message arrives, any of those under way; `keep`: it will arrive once more.

        `crash`: the receiver dies `before` the message is stored (then it comes again), or `after` it is stored and
        before what follows from it leaves.
        """
        link = self.wide if wide else self.near
        bag = link.down if down else link.up
        if link.cut or not bag:
            return
        nth %= len(bag)
        body = bag[nth]
        if not keep and crash != "before":
            del bag[nth]
        if not down:
            self._up(wide, body, crash)
        elif wide:
            self._relay_down(body, crash)
        else:
            self._to_appliance(body, crash)

    def lose(self, wide: bool, down: bool, nth: int) -> None:
        """One message never arrives."""
        link = self.wide if wide else self.near
        bag = link.down if down else link.up
        if bag:
            del bag[nth % len(bag)]

    def cut(self, wide: bool) -> None:
        """A link is gone, and what was under way with it."""
        link = self.wide if wide else self.near
        link.cut = True
        link.down.clear()
        link.up.clear()
        if wide:
            self.provider.link_lost()
        else:
            self.cem.link_lost()
            self.appliance_does(lambda a: a.link_lost(self.time))

    def mend(self, wide: bool) -> None:
        """A link is there again, and both ends tell what they have."""
        link = self.wide if wide else self.near
        link.cut = False
        if wide:
            self.provider_does(self.provider.resync(self.time).send)
            self.send_up(self._cem_tells(), wide=True)
        else:
            self.send_down(self.cem.resync(self.time).send, wide=False)
            self.appliance_does(lambda a: a.link_up(self.time))

    def restart(self, who: str, gap_ms: int = 0, *, known: bool = True) -> None:
        """A node dies and starts with what it stored; if the pause is not known, it reckons with none."""
        self.mono_ms += gap_ms
        restart = Restart(mono_base_ms=0 if known else gap_ms, gap_known=known)
        if who == "appliance":
            self.heard_ms = None
            self.appliance_does(lambda a: a.restarted(restart, self.time))
        elif who == "cem":
            self.cem.restarted(restart, self.time)
        else:
            self.provider_does(self.provider.restarted(restart, self.time).send)

    def settle(self) -> None:
        """All links are mended, everybody tells what is open, everything arrives: copies must be equal."""
        for wide in (True, False):
            if (self.wide if wide else self.near).cut:
                self.mend(wide)
        self.drain()
        self.provider_does(self.provider.resync(self.time).send)
        self.appliance_does(lambda a: a.resync(self.time))
        self.drain()
        for name, mirror in (("provider", self.provider), ("energy manager", self.cem)):
            self._compare(name, mirror)

    def drain(self) -> None:
        """Everything under way arrives, in order."""
        while any((self.wide.down, self.near.down, self.near.up, self.wide.up)):
            for wide, down in ((True, True), (False, True), (False, False), (True, False)):
                self.deliver(wide, down, 0)

    def finish(self) -> None:
        """Long enough for everything to end, while somebody is alive."""
        self.settle()
        self.fault(False)
        for _ in range(60):
            if not self.appliance.selections.open() and not any(c.open for c in self.provider.copies):
                break
            self.utc_ok = True
            self.beat()
            self.drain()
            self.wait(30_000)
        self.settle()
        assert not self.appliance.selections.open(), "a selection never ended"
        for copy in self.provider.copies:
            assert not copy.open, f"{copy.select_id} is still open for the provider"

    # How it happens.

    def send_down(self, bodies: tuple[Body, ...] | list[Body], *, wide: bool) -> None:
        link = self.wide if wide else self.near
        if not link.cut:
            link.down += bodies

    def send_up(self, bodies: tuple[Body, ...] | list[Body], *, wide: bool = False) -> None:
        link = self.wide if wide else self.near
        if not link.cut:
            link.up += bodies

    def appliance_does(self, call: Callable[[Appliance], tuple[Body, ...]], *, lost: bool = False) -> tuple[Body, ...]:
        """One call of the appliance: stored, then sent (unless it dies between), then checked."""
        before = {s.select_id: s.state for s in self.appliance.selections.kept}
        told = call(self.appliance)
        self.appliance = stored(Appliance, self.appliance)
        if not lost:
            self.send_up(told)
        self._note(before, told)
        self.check()
        return told

    def provider_does(self, send: tuple[Body, ...]) -> None:
        self.provider = stored(Mirror, self.provider)
        self.send_down(send, wide=True)
        self._goes_on("provider", self.provider)
        for copy in self.provider.copies:
            if copy.given_up or copy.state is SelectionState.PENDING:
                assert copy.standing is Standing.NOTHING

    def cem_did(self) -> None:
        self.cem = stored(Mirror, self.cem)
        self._goes_on("energy manager", self.cem)

    def _goes_on(self, name: str, mirror: Mirror) -> None:
        """A copy's end is for ever, and it never goes back to what was before."""
        for copy in mirror.copies:
            was = self.stands.get((name, copy.select_id), SelectionState.PENDING)
            if was.terminal:
                assert copy.seen_as is was, f"{copy.select_id} left {was} for {copy.seen_as} at the {name}"
            assert copy.seen_as.terminal or ORDER[copy.seen_as] >= ORDER[was], (
                f"{copy.select_id} went back from {was} to {copy.seen_as} at the {name}"
            )
            self.stands[name, copy.select_id] = copy.seen_as

    def _to_appliance(self, body: Body, crash: str) -> None:
        if crash == "before":
            self.restart("appliance")
            return
        known = self.appliance.selections.find(body.select_id) if isinstance(body, Select) else None
        kept_before = b""
        if known is not None:
            self.appliance_does(lambda a: a.advance(self.time))
            kept_before = codec.encode(self.appliance.selections)
        if isinstance(body, Heartbeat):
            self.heard_ms = self.mono_ms
        if isinstance(body, Limit):
            self._limit_arrives(body, lost=crash == "after")
        else:
            told = self.appliance_does(lambda a: a.receive(body, self.time).tell, lost=crash == "after")
            if isinstance(body, Select) and known is not None:
                assert codec.encode(self.appliance.selections) == kept_before, "a selection told again changed things"
                if known.select in (None, body):
                    assert [b for b in told if isinstance(b, SelectStatus)][-1].select_id == body.select_id
        if crash == "after":
            self.restart("appliance")

    def _limit_arrives(self, limit: Limit, *, lost: bool) -> None:
        self.appliance_does(lambda a: a.advance(self.time))
        was_blind = self.appliance.limiting.state in BLIND
        held = self.held.pop(limit.klass, None)
        told = self.appliance_does(lambda a: a.receive(limit, self.time).tell, lost=lost)
        [status] = [b for b in told if isinstance(b, LimitStatus)]
        proven = self.heard_ms is not None and self.mono_ms - self.heard_ms < 60_000
        if was_blind:
            assert status.applied == proven, "a limit needs proof of life, and no more than that"
        if status.applied and limit.active:
            self.held[limit.klass] = (limit, self.mono_ms)
        elif held is not None and not status.applied:
            self.held[limit.klass] = held
        self.check()

    def _relay_down(self, body: Body, crash: str) -> None:
        if crash == "before":
            self.restart("cem")
            return
        if isinstance(body, Select):
            send = self.cem.select(body, self.time).send
        elif isinstance(body, Cancel):
            send = self.cem.cancel(body.select_id, body.at, self.time).send or (body,)
        elif isinstance(body, Limit):
            send = self.cem.limit(body, self.time).send
        elif isinstance(body, Init):
            send = self.cem.initialise(body).send
        else:
            send = (body,)
        self.cem_did()
        if crash == "after":
            self.restart("cem")
        else:
            self.send_down(send, wide=False)

    def _up(self, wide: bool, body: Body, crash: str) -> None:
        mirror = self.provider if wide else self.cem
        if crash == "before":
            self.restart("provider" if wide else "cem")
            return
        turned = mirror.told(body, self.time)
        if wide:
            if crash == "after":
                self.provider_does(())
                self.restart("provider")
            else:
                self.provider_does(turned.send)
            return
        self.cem_did()
        if crash == "after":
            self.restart("cem")
        else:
            self.send_up((body,), wide=True)
            self.send_down(turned.send, wide=False)

    def _cem_tells(self) -> list[Body]:
        offered: list[Body] = [] if self.cem.offer_set is None else [self.cem.offer_set]
        return offered + [
            SelectStatus(
                select_id=copy.select_id,
                esa_id=ESA,
                state=copy.state,
                code=copy.code,
                applied_offset_s=copy.offset_s,
                progress_s=copy.progress_s,
            )
            for copy in self.cem.copies
            if copy.state is not SelectionState.PENDING
        ]

    # What holds.

    def _note(self, before: dict[str, SelectionState], told: tuple[Body, ...]) -> None:
        """Keeps what the appliance decided, and holds it against what it decided before."""
        reached: dict[str, list[SelectionState]] = {}
        for body in told:
            if isinstance(body, SelectStatus):
                reached.setdefault(body.select_id, []).append(body.state)
        for selection in self.appliance.selections.kept:
            if selection.select is None:
                continue
            seen = self.seen.setdefault(selection.select_id, Seen(select=selection.select))
            ways = reached.get(selection.select_id, [])
            if seen.rev_at_grant is None and selection.state is not SelectionState.REJECTED:
                seen.rev_at_grant = self.appliance.rev
                assert selection.select.rev == self.appliance.rev, "a stale revision was granted"
            was = before.get(selection.select_id)
            if was is SelectionState.SCHEDULED and SelectionState.ACTIVE in ways:
                wall_ms = self.mono_ms + self.utc_shift_ms if self.utc_ok else None
                if wall_ms is not None:
                    assert 0 <= wall_ms - selection.due_utc_ms <= 30_000, "started at a wrong time"
                assert seen.rev_at_grant is not None, "started without having been granted"
            if selection.state.terminal:
                end = (selection.state, selection.code)
                seen.end = seen.end or end
                assert seen.end == end, f"{selection.select_id} left {seen.end} for {end}"

    def check(self) -> None:
        """What must hold at every moment."""
        self.steps += 1
        a = self.appliance
        open_ones = [s for s in a.selections.kept if s.state in OPEN]
        running = [s for s in open_ones if s.state in (SelectionState.ACTIVE, SelectionState.INTERRUPTED)]
        assert len(running) <= 1, "two selections run at once"
        waiting = sorted(
            (s.select.start_ms, s.select.start_ms + 1_000 * (s.offset_s + s.profile.length_s), s.select_id)
            for s in open_ones
            if s not in running and s.select is not None and s.profile is not None
        )
        for (_, end_ms, one), (begin_ms, _, other) in pairwise(waiting):
            assert end_ms <= begin_ms, f"{one} and {other} want the appliance at once"
        self._check_bounds()
        scope = OverrideScope.NONE if a.override_held is None else a.override_held.scope
        if scope in (OverrideScope.GRID, OverrideScope.ALL):
            assert not open_ones, "a selection is open although the user opted out"

    def _check_bounds(self) -> None:
        a = self.appliance
        course = a.course(self.time)
        silent = self.heard_ms is None or self.mono_ms - self.heard_ms >= 120_000
        upper_w = course.p_upper_w
        if silent or a.limiting.state in BLIND:
            assert upper_w is not None and upper_w <= FAILSAFE_W, "more than the fail-safe value, and nobody is there"
            self.held.clear()
        if a.limiting.state is LimitState.LIMITED:
            for klass, (limit, since_ms) in self.held.items():
                over = limit.dur_s is not None and self.mono_ms - since_ms >= 1_000 * limit.dur_s
                user = klass is LimitClass.CONTRACT and a.override_held is not None
                if not over and not user:
                    assert upper_w is not None and limit.p_upper_w is not None and upper_w <= limit.p_upper_w
        if course.setpoint_w is not None and upper_w is not None:
            assert course.setpoint_w <= max(upper_w, course.p_lower_w or upper_w)

    def _compare(self, name: str, mirror: Mirror) -> None:
        a = self.appliance
        assert mirror.rev == a.rev, f"the {name} knows other offers"
        assert mirror.offer_set == a.offer_set, f"the {name} knows other offers"
        scope = OverrideScope.NONE if a.override_held is None else a.override_held.scope
        known = OverrideScope.NONE if mirror.override is None else mirror.override.scope
        assert known is scope, f"the {name} knows of another override"
        own = {s.select_id: (s.state, s.code) for s in a.selections.kept}
        for copy in mirror.copies:
            if copy.select_id not in own:
                assert copy.given_up or not copy.open or mirror is self.cem, (
                    f"the {name} counts on {copy.select_id}, of which the appliance never heard"
                )
                continue
            assert (copy.state, copy.code) == own[copy.select_id], f"the {name}'s copy of {copy.select_id} differs"
        for select_id, (state, _) in own.items():
            assert state.terminal or mirror.find(select_id) is not None, f"the {name} does not know {select_id}"
        for copy in self.provider.copies:
            if copy.given_up and copy.select_id in own:
                assert own[copy.select_id][0].terminal, f"{copy.select_id} was given up, and goes on"


def stored(kind: type[Node], node: Node) -> Node:
    """What a node is after it died and was read back; nothing may be lost."""
    data = codec.encode(node)
    again = codec.decode(kind, data)
    assert codec.encode(again) == data
    return again
