"""The site's part in flexibility for people: sums over all appliances, and the few that matter most.

What is cheap is counted anew at every look. An account is worth some work, so only a bounded number of them is
reckoned anew at one look, the stalest first: late figures change settled ones too.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from scowl_edge.control.flex_courses import FlexCourses
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.goal import Goal
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.lifecycle import Life
from scowl_edge.dsr.member import Member
from scowl_edge.dsr.mirror import Copy, Mirror
from scowl_edge.dsr.provider import Provider
from scowl_edge.dsr.settlement import Account, Settlement
from scowl_edge.model.event import FlexAim
from scowl_edge.model.exchange import Running
from scowl_edge.model.flex_view import (
    Counts,
    FlexAccountView,
    FlexApplianceView,
    FlexGoalView,
    FlexOfferView,
    FlexPeerView,
    FlexPlanView,
    FlexProfileView,
    FlexSelectionView,
    FlexSlotView,
    FlexView,
)
from scowl_edge.model.flexibility import (
    UNSET,
    WHOLE_PPM,
    LimitState,
    Offer,
    OverrideScope,
    Proposal,
    SelectionState,
)
from scowl_edge.model.reason import Reason

LISTED = 100
"""Of each kind that are named."""
NAMED_REASONS = 20
RECKONED_AT_ONCE = 16
"""Accounts that are reckoned at one look."""
RECENT_MS = 600_000
"""What was measured longer ago says nothing of now."""
OFFER_STATES = ("selectable", "selected", "early", "expired", "withheld")
_AWAY = (Running.FAULT, Running.OFFLINE)
_OUT = (OverrideScope.GRID, OverrideScope.ALL)
_WH_MS = 3_600_000


@dataclass(slots=True, kw_only=True)
class FlexPortrait:
    """Makes the views; keeps what accounts came to, and when that was reckoned."""

    known: dict[str, FlexAccountView] = field(default_factory=dict)
    courses: FlexCourses = field(default_factory=FlexCourses)
    looks: int = 0
    looked: dict[str, int] = field(default_factory=dict)
    """By account: at which look it was reckoned."""

    def view(
        self,
        cem: Cem | None,
        provider: Provider | None,
        refused: dict[str, int],
        plans_failed: int,
        aim: FlexAim | None,
        findings: Iterable[tuple[str, Reason]],
        now: Now,
    ) -> FlexView:
        """All of it."""
        wall_ms = _wall_ms(cem, provider, now)
        known = _Everybody(cem, provider)
        if provider is not None:
            self._reckon(provider.portfolio.books, wall_ms)
            self.courses.follow(provider.portfolio.asked, provider.terms.slot_ms)
        peers = sorted(_peers(cem, provider), key=lambda p: (p.up, -p.appliances, p.node))
        lives: Counter[str] = Counter(known.life(e) for e in known.ids)
        offers: Counter[str] = Counter()
        selections: Counter[str] = Counter()
        overrides: Counter[str] = Counter()
        offer_list: list[tuple[str, Mirror, Offer, str]] = []
        copies: list[tuple[str, Copy]] = []
        for esa_id in known.ids:
            mirror = known.mirror(esa_id)
            for offer, state in _offers(mirror, wall_ms):
                offers[state] += 1
                offer_list.append((esa_id, mirror, offer, state))
            for copy in mirror.copies:
                selections[copy.seen_as.value] += 1
                copies.append((esa_id, copy))
            if mirror.override is not None:
                overrides[mirror.override.scope.value] += 1
        limits: Counter[str] = Counter(m.limit_state.value for m in cem.members.values()) if cem else Counter()
        running = _Running.of(provider, cem, wall_ms)
        accounts = list(self.known.values())
        due = -1
        if provider is not None and provider.goal is not None:
            due = max(0, provider.plan_due_mono_ms - now.mono_ms)
        return FlexView(
            manager=cem.node if cem is not None else "",
            provider=provider.node if provider is not None else "",
            peers=tuple(peers[:LISTED]),
            peers_up=sum(p.up for p in peers),
            peers_down=sum(not p.up for p in peers),
            lives=_counts((life.value for life in Life), lives),
            offers=_counts(OFFER_STATES, offers),
            selections=_counts((state.value for state in SelectionState), selections),
            limit_states=_counts((state.value for state in LimitState), limits) if cem is not None else (),
            site_limit_state=cem.site.state.value if cem is not None else "",
            overrides=_counts((scope.value for scope in OverrideScope if scope is not OverrideScope.NONE), overrides),
            failsafe_entries=_failsafe_entries(cem),
            refused=tuple(sorted(refused.items())),
            goal=_goal(provider.goal, aim, wall_ms) if provider is not None and provider.goal is not None else None,
            plan=_plan(provider.last) if provider is not None and provider.last is not None else None,
            plans=provider.jobs if provider is not None else 0,
            plans_failed=plans_failed,
            plan_due_in_ms=due,
            promised_w=running.promised_w,
            delivered_w=running.delivered_w if provider is not None else None,
            intended_w=running.intended_w,
            unmeasured_w=running.unmeasured_w,
            asked_wh=sum(a.asked_wh for a in accounts),
            credited_wh=sum(a.credited_wh for a in accounts),
            short_wh=sum(a.short_wh for a in accounts),
            unproven_wh=sum(a.unproven_wh for a in accounts),
            accounts=len(provider.portfolio.books.accounts) if provider is not None else 0,
            accounts_counted=len(accounts),
            reports_waiting=len(cem.waiting) if cem is not None else 0,
            reports_dropped=cem.dropped if cem is not None else 0,
            findings=tuple(findings),
            offer_list=tuple(
                _offer_view(e, m, o, s)
                for e, m, o, s in heapq.nsmallest(
                    LISTED, offer_list, key=lambda x: (OFFER_STATES.index(x[3]), x[2].start_earliest_ms, x[0])
                )
            ),
            selection_list=tuple(
                _selection_view(e, c, provider)
                for e, c in heapq.nsmallest(LISTED, copies, key=lambda x: (not x[1].open, -_start_ms(x[1]), x[0]))
            ),
            account_list=tuple(
                heapq.nsmallest(LISTED, accounts, key=lambda a: (-abs(a.short_wh), -a.begin_utc_ms, a.select_id))
            ),
            appliance_list=tuple(known.view(e, wall_ms, brief=True) for e in known.worst(LISTED)),
            appliance_ids=tuple(known.ids),
            ahead=self._ahead(provider, wall_ms),
            open_ids=tuple(provider.portfolio.asked) if provider is not None else (),
        )

    def appliance(self, esa_id: str, cem: Cem | None, provider: Provider | None, now: Now) -> FlexApplianceView | None:
        """One in full; None if nobody knows it."""
        known = _Everybody(cem, provider)
        return known.view(esa_id, _wall_ms(cem, provider, now)) if esa_id in known else None

    def _ahead(self, provider: Provider | None, wall_ms: int | None) -> tuple[FlexSlotView, ...]:
        if provider is None or wall_ms is None:
            return ()
        goal = provider.goal
        return self.courses.ahead(wall_ms, goal.curve if goal is not None and not goal.relative else None)

    def _reckon(self, books: Settlement, wall_ms: int | None) -> None:
        self.looks += 1
        for gone in [s for s in self.known if s not in books.accounts]:
            del self.known[gone], self.looked[gone]
        stalest = heapq.nsmallest(RECKONED_AT_ONCE, books.accounts, key=lambda s: (self.looked.get(s, 0), s))
        for select_id in stalest:
            self.known[select_id] = _account_view(books, books.accounts[select_id], wall_ms)
            self.looked[select_id] = self.looks


class _Everybody:
    """All appliances, as the site's manager or, where it is none, its provider knows them."""

    def __init__(self, cem: Cem | None, provider: Provider | None) -> None:
        self._members: dict[str, Member] = cem.members if cem is not None else {}
        self._mirrors: dict[str, Mirror] = provider.mirrors if provider is not None else {}
        self._cem, self._provider = cem, provider
        self.ids = sorted(self._members.keys() | self._mirrors.keys())

    def __contains__(self, esa_id: object) -> bool:
        return esa_id in self._members or esa_id in self._mirrors

    def mirror(self, esa_id: str) -> Mirror:
        """The provider's copy, where there is one: it knows what it selected."""
        return self._mirrors[esa_id] if esa_id in self._mirrors else self._members[esa_id].mirror

    def life(self, esa_id: str) -> str:
        """Where it stands."""
        member = self._members.get(esa_id)
        if member is not None:
            return member.life.life.value
        mirror = self._mirrors[esa_id]
        if mirror.lost or mirror.running is Running.OFFLINE:
            return Life.DETACHED.value
        if mirror.running is Running.FAULT:
            return Life.SUSPENDED.value
        if mirror.override is not None and mirror.override.scope in _OUT:
            return Life.OPTED_OUT.value
        return (Life.NORMAL if mirror.init_done else Life.INITIALISING).value

    def worst(self, most: int) -> list[str]:
        """Those that somebody should look at first."""
        told: dict[str, None] = {}
        if self._provider is not None:
            accounts = self._provider.portfolio.books.accounts
            told = dict.fromkeys(accounts[s].esa_id for s in self._provider.portfolio.delivery.told if s in accounts)
        failsafe = LimitState.FAILSAFE

        def trouble(esa_id: str) -> int:
            mirror, member = self.mirror(esa_id), self._members.get(esa_id)
            away = mirror.lost or mirror.running in _AWAY
            blind = member is not None and member.limit_state is failsafe
            return 8 * (esa_id in told) + 4 * blind + 2 * away + (mirror.override is not None)

        return heapq.nlargest(most, self.ids, key=trouble)

    def view(self, esa_id: str, wall_ms: int | None, *, brief: bool = False) -> FlexApplianceView:
        """One of them; `brief` leaves out its offers and selections."""
        mirror, member, provider = self.mirror(esa_id), self._members.get(esa_id), self._provider
        register, override = mirror.register, mirror.override
        faults: set[str] = set()
        if provider is not None:
            for copy in mirror.copies:
                faults |= {f.value for f in provider.portfolio.delivery.told.get(copy.select_id, ())}
        cem = self._cem.node if member is not None and self._cem is not None else ""
        return FlexApplianceView(
            esa_id=esa_id,
            cem=cem or (provider.cems.get(esa_id, "") if provider is not None else ""),
            kind=register.esa_type.value if register is not None else "",
            life=self.life(esa_id),
            running=mirror.running.value,
            p_max_w=register.p_max_w if register is not None else 0,
            p_min_w=register.p_min_w if register is not None else 0,
            rev=mirror.rev,
            override=override.scope.value if override is not None else "",
            override_by=override.by.value if override is not None else "",
            override_until_utc_ms=override.until_ms if override is not None and override.until_ms != UNSET else 0,
            limit_state=member.limit_state.value if member is not None else "",
            weight_ppm=provider.portfolio.trust.weight_ppm(esa_id) if provider is not None else WHOLE_PPM,
            faults=tuple(sorted(faults)),
            offers=() if brief else tuple(_offer_view(esa_id, mirror, o, s) for o, s in _offers(mirror, wall_ms)),
            selections=()
            if brief
            else tuple(
                _selection_view(esa_id, c, provider)
                for c in heapq.nsmallest(LISTED, mirror.copies, key=lambda c: (not c.open, -_start_ms(c)))
            ),
        )


@dataclass(slots=True, kw_only=True)
class _Running:
    """Power under selections now."""

    promised_w: int = 0
    delivered_w: int = 0
    intended_w: int = 0
    unmeasured_w: int = 0

    @staticmethod
    def of(provider: Provider | None, cem: Cem | None, wall_ms: int | None) -> _Running:
        """Over what was measured last; at a manager without a provider, what is promised now."""
        found = _Running()
        if wall_ms is None:
            return found
        if provider is not None:
            books = provider.portfolio.books
            for select_id, asked in provider.portfolio.asked.items():
                account, mirror = asked.account, provider.mirrors.get(asked.account.esa_id)
                # What a user ended is short in the books, and runs no more.
                runs = mirror is None or any(copy.select_id == select_id for copy in mirror.open())
                if asked.booked and runs and account.begin_ms <= wall_ms < account.end_ms:
                    found._add(books, account, wall_ms)
        elif cem is not None:
            for member in cem.members.values():
                for copy in member.mirror.open():
                    found.promised_w += copy.power_w(wall_ms) or 0
        return found

    def _add(self, books: Settlement, account: Account, wall_ms: int) -> None:
        last = None
        for kept in (books.metered, books.reported):
            readings = kept.get(account.esa_id)
            if readings is not None and last is None:
                since_ms = max(account.begin_ms, wall_ms - RECENT_MS)
                for last in readings.known(since_ms, min(wall_ms, account.end_ms)):  # noqa: B007 - the last one counts
                    pass
        if last is None:
            self.unmeasured_w += account.promised.power_w(wall_ms) or 0
            return
        begin_ms, end_ms, power_w, _ = last
        self.delivered_w += power_w
        self.promised_w += account.promised.mean_w(begin_ms, end_ms) or 0
        self.intended_w += account.baseline.mean_w(begin_ms, end_ms) or 0


def _wall_ms(cem: Cem | None, provider: Provider | None, now: Now) -> int | None:
    """By a copy of the parts' clocks: looking changes nothing."""
    part = provider or cem
    return None if part is None else replace(part.clock).read(now)


def _peers(cem: Cem | None, provider: Provider | None) -> Iterator[FlexPeerView]:
    if cem is not None and cem.provider:
        yield FlexPeerView(node=cem.provider, up=cem.up, appliances=0)
    if provider is not None:
        managed = Counter(provider.cems.values())
        for node, up in provider.up.items():
            yield FlexPeerView(node=node, up=up, appliances=managed[node])


def _offers(mirror: Mirror, wall_ms: int | None) -> Iterator[tuple[Offer, str]]:
    if mirror.offer_set is None:
        return
    picked = [c.select.offer_id for c in mirror.copies if c.open and c.select is not None] if mirror.copies else ()
    withheld = mirror.lost or mirror.override is not None or mirror.running in _AWAY
    for offer in mirror.offer_set.offers:
        if offer.offer_id in picked:
            state = "selected"
        elif wall_ms is not None and wall_ms > offer.valid_until_ms:
            state = "expired"
        elif withheld or wall_ms is None:
            state = "withheld"
        else:
            state = "early" if wall_ms < offer.valid_from_ms else "selectable"
        yield offer, state


def _offer_view(esa_id: str, mirror: Mirror, offer: Offer, state: str) -> FlexOfferView:
    return FlexOfferView(
        esa_id=esa_id,
        offer_id=offer.offer_id,
        rev=mirror.rev,
        state=state,
        modes=tuple(mode.value for mode in offer.modes),
        valid_until_utc_ms=offer.valid_until_ms,
        start_earliest_utc_ms=offer.start_earliest_ms,
        start_latest_utc_ms=offer.start_latest_ms,
        profiles=tuple(
            FlexProfileView(
                profile_id=p.profile_id,
                kind=p.kind.value,
                length_s=p.length_s,
                energy_wh=sum(e.dur_s * e.p_nom_w for e in p.elements) // 3600,
                least_w=min(e.p_nom_w for e in p.elements),
                most_w=max(e.p_nom_w for e in p.elements),
                default=p.profile_id == offer.default_profile_id,
            )
            for p in offer.profiles
        ),
    )


def _start_ms(copy: Copy) -> int:
    return copy.select.start_ms + 1000 * (copy.offset_s or 0) if copy.select is not None else 0


def _selection_view(esa_id: str, copy: Copy, provider: Provider | None) -> FlexSelectionView:
    asked = provider.portfolio.asked.get(copy.select_id) if provider is not None else None
    select, start_ms = copy.select, _start_ms(copy)
    return FlexSelectionView(
        select_id=copy.select_id,
        esa_id=esa_id,
        offer_id=select.offer_id if select is not None else "",
        profile_id=select.profile_id if select is not None else "",
        state=copy.seen_as.value,
        standing=copy.standing.value,
        mode=select.mode.value if select is not None else "",
        start_utc_ms=start_ms,
        end_utc_ms=start_ms + 1000 * copy.profile.length_s if copy.profile is not None and start_ms else 0,
        code=copy.code.value if copy.code is not None else "",
        event_ref=select.event_ref if select is not None else "",
        cancelling=copy.cancel is not None and copy.open,
        why=asked.why if asked is not None else "",
    )


def _account_view(books: Settlement, account: Account, wall_ms: int | None) -> FlexAccountView:
    # What is still to come is neither short nor unproven.
    until_ms = None if account.select_id in books.closed else wall_ms
    slots = [slot.amounts for slot in books.slots(account.select_id, None, None, until_ms)]
    return FlexAccountView(
        select_id=account.select_id,
        esa_id=account.esa_id,
        cem=account.cem,
        event_ref=account.event_ref,
        state=account.state.value,
        begin_utc_ms=account.begin_ms,
        end_utc_ms=account.end_ms,
        baseline_wh=sum(a.baseline_w_ms for a in slots) // _WH_MS,
        promised_wh=sum(a.promised_w_ms for a in slots) // _WH_MS,
        delivered_wh=sum(a.delivered_w_ms for a in slots) // _WH_MS,
        # Slot by slot: a load that is moved sums up to nothing.
        asked_wh=sum(abs(a.asked_w_ms) for a in slots) // _WH_MS,
        credited_wh=sum(abs(a.credited_w_ms) for a in slots) // _WH_MS,
        short_wh=sum(abs(a.short_w_ms) for a in slots) // _WH_MS,
        unproven_wh=sum(abs(a.unproven_w_ms) for a in slots) // _WH_MS,
        settled=account.select_id in books.closed,
    )


def _goal(goal: Goal, aim: FlexAim | None, wall_ms: int | None) -> FlexGoalView:
    return FlexGoalView(
        number=goal.number,
        mode=goal.mode.value,
        relative=goal.relative,
        begin_utc_ms=goal.curve.start_ms if goal.curve else 0,
        end_utc_ms=goal.curve.end_ms if goal.curve else 0,
        power_w=goal.curve.power_w(wall_ms) if wall_ms is not None and goal.curve else None,
        event_ref=goal.event_ref,
        emergency=goal.emergency,
        who=aim.who if aim is not None else "",
        why=aim.why if aim is not None else "",
    )


def _plan(plan: Proposal) -> FlexPlanView:
    return FlexPlanView(
        number=plan.number,
        picks=len(plan.picks),
        objective=plan.objective,
        idle_objective=plan.idle_objective,
        bound=plan.bound,
        gap_ppm=plan.gap_ppm,
        excess_w=plan.excess_w,
        reasons=plan.reasons[:NAMED_REASONS],
        overloads=plan.overloads[:NAMED_REASONS],
    )


def _failsafe_entries(cem: Cem | None) -> int:
    if cem is None:
        return 0
    limits = [cem.site, *(m.appliance.limiting for m in cem.members.values() if m.appliance is not None)]
    return sum(limit.entries.get(LimitState.FAILSAFE.value, 0) for limit in limits)


def _counts(names: Iterable[str], found: Counter[str]) -> Counts:
    return tuple((name, found[name]) for name in names)
