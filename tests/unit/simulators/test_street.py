"""A street of simulated homes in virtual time: it peaks in the evening, and what is selected really lowers the peak."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.model.exchange import Body, Heartbeat, Init, Limit, Report, ReportKind, Select, SelectStatus
from scowl_edge.model.flexibility import (
    UNSET,
    LimitClass,
    LimitState,
    Mode,
    OfferSet,
    Profile,
    SelectionState,
)
from scowl_edge.model.profile import HOUR_MS, of_elements
from scowl_edge.model.profile_slots import slot_means
from simulators.appliances.households import Household, base_load, household, street
from simulators.appliances.simulated import SimulatedAppliance, registration

MIDNIGHT_MS = 1_799_971_200_000 - 12 * HOUR_MS
SLOT_MS = 900_000
BEGIN_MS = MIDNIGHT_MS + 12 * HOUR_MS
SLOTS = 80
"""To 8 h of the next morning."""


def at(utc_ms: int) -> Now:
    return Now(mono_ms=utc_ms - MIDNIGHT_MS, utc_ms=utc_ms, utc_ok=True)


def appliances(homes: tuple[Household, ...], begin_ms: int = BEGIN_MS) -> list[SimulatedAppliance[Any]]:
    """All members of all homes, from noon on, with a fail-safe value that is in nobody's way."""
    made = []
    for home in homes:
        for member in home.members:
            adapter = member.adapter
            made.append(
                SimulatedAppliance(
                    adapter,
                    member.state,
                    registration(adapter, consent_ref="consent-1", cert_fp="0" * 64),
                    Fallback(failsafe_p_upper_w=adapter.p_max_w, failsafe_p_lower_w=adapter.p_min_w),
                    at(begin_ms),
                    events=member.events,
                )
            )
    return made


class Street:
    """Lets appliances live slot by slot; with `chooses`, whatever flattens the sum of all plans is selected."""

    def __init__(self, homes: tuple[Household, ...], *, chooses: bool) -> None:
        self.members = {one.esa_id: one for one in appliances(homes)}
        self.chooses = chooses
        self.base = [p or 0 for p in slot_means(base_load(homes), start_ms=BEGIN_MS, slot_ms=SLOT_MS, count=SLOTS)]
        self.plans: dict[str, list[int]] = dict.fromkeys(self.members, [0] * SLOTS)
        self.energies = {name: [0] for name in self.members}
        self.said: list[Body] = []
        self.selected: Counter[str] = Counter()

    def day(self) -> list[int]:
        """Mean power of the street by slots."""
        for name, one in self.members.items() if self.chooses else ():
            # The provider of this test never sends a heartbeat: what runs goes on without a link.
            hold_s = SLOTS * SLOT_MS // 1_000 + 86_400
            init = Init(
                esa_id=name,
                failsafe_p_upper_w=one.adapter.p_max_w,
                report_actual_s=900,
                random_offset_max_s=0,
                horizon_s=14 * 3_600,
                hold_max_s=hold_s,
            )
            self._hear(one, init, at(BEGIN_MS))
        for i in range(SLOTS + 1):
            now = at(BEGIN_MS + i * SLOT_MS)
            for name, one in self.members.items():
                self._told(one, one.live(now), now)
                if i:
                    self.energies[name].append(one.energy_wms)
        return [
            base + sum(e[i + 1] - e[i] for e in self.energies.values()) // SLOT_MS for i, base in enumerate(self.base)
        ]

    def _hear(self, one: SimulatedAppliance[Any], body: Body, now: Now) -> None:
        self._told(one, one.hear(body, now), now)

    def _told(self, one: SimulatedAppliance[Any], told: tuple[Body, ...], now: Now) -> None:
        self.said += told
        for body in told:
            if isinstance(body, OfferSet) and body.offers:
                self._offered(one, body, now)

    def _offered(self, one: SimulatedAppliance[Any], offers: OfferSet, now: Now) -> None:
        (offer,) = offers.offers
        others = [
            sum(parts)
            for parts in zip(self.base, *(p for name, p in self.plans.items() if name != one.esa_id), strict=True)
        ]
        first = offer.profiles[0]
        best, best_cost = (first, first.start_fixed_ms), None
        for profile in offer.profiles:
            starts = [profile.start_fixed_ms]
            if profile.start_fixed_ms == UNSET:
                starts = list(range(offer.start_earliest_ms, offer.start_latest_ms + 1, SLOT_MS))
            for start_ms in starts:
                plan = self._plan(profile, start_ms)
                cost = sum((a + b) ** 2 for a, b in zip(others, plan, strict=True))
                if best_cost is None or cost < best_cost:
                    best, best_cost = (profile, start_ms), cost
        profile, start_ms = best
        self.plans[one.esa_id] = self._plan(profile, start_ms)
        if profile is first:
            return
        select = Select(
            select_id=f"select {one.esa_id} {offers.rev}",
            esa_id=one.esa_id,
            offer_id=offer.offer_id,
            profile_id=profile.profile_id,
            rev=offers.rev,
            start_ms=start_ms,
            mode=Mode.RESPONSE,
        )
        self.selected[type(one.adapter).__name__] += 1
        self._hear(one, select, now)

    @staticmethod
    def _plan(profile: Profile, start_ms: int) -> list[int]:
        course = of_elements(profile.elements, start_ms)
        return [p or 0 for p in slot_means(course, start_ms=BEGIN_MS, slot_ms=SLOT_MS, count=SLOTS)]


def test_a_street_peaks_in_the_evening_and_selection_lowers_the_peak_by_a_sixth() -> None:
    homes = street(7, 12, MIDNIGHT_MS)
    without, chosen = Street(homes, chooses=False), Street(homes, chooses=True)
    before, after = without.day(), chosen.day()
    peak_hour = 12 + before.index(max(before)) * SLOT_MS / HOUR_MS
    assert 16 <= peak_hour < 21
    assert max(after) <= max(before) * 85 // 100
    assert len(chosen.selected) >= 4
    ends = [s.state for s in chosen.said if isinstance(s, SelectStatus) and s.state.terminal]
    assert set(ends) == {SelectionState.COMPLETED}
    # Nobody is worse off for it: cars charged, laundry done, rooms warm, food frozen.
    for world in (without, chosen):
        assert [c for one in world.members.values() for c in one.complaints] == []
    # What was reported is what the meters counted.
    for one in chosen.members.values():
        reports = [r for r in chosen.said if isinstance(r, Report) and r.esa_id == one.esa_id]
        actual = [r for r in reports if r.kind is ReportKind.ACTUAL]
        assert [b.start_ms - a.start_ms for a, b in pairwise(actual)] == [SLOT_MS] * (len(actual) - 1)
        assert sum(s.e_wh or 0 for r in actual for s in r.slots) == one.energy_wms // 3_600_000


def test_the_same_seed_is_the_same_street_whatever_its_length() -> None:
    assert street(3, 5, MIDNIGHT_MS) == street(3, 9, MIDNIGHT_MS)[:5]
    assert household(3, 1, MIDNIGHT_MS) != household(4, 1, MIDNIGHT_MS)
    kinds = Counter(type(m.adapter).__name__ for home in street(1, 100, MIDNIGHT_MS) for m in home.members)
    assert set(kinds) == {"Charger", "Thermal", "Washer", "Solar", "Battery"}


def test_a_limit_holds_whatever_the_appliance_would_like() -> None:
    homes = street(7, 12, MIDNIGHT_MS)
    cars = [one for one in appliances(homes) if one.esa_id.startswith("vehicle") and one.adapter.p_max_w > 5_000]
    car, free = cars[0], next(one for one in appliances(homes) if one.esa_id == cars[0].esa_id)
    evening_ms = MIDNIGHT_MS + 20 * HOUR_MS
    limit = Limit(
        limit_id="limit-1", esa_id=car.esa_id, active=True, klass=LimitClass.SAFETY, p_upper_w=4_200, p_lower_w=0
    )
    most_w, free_most_w = 0, 0
    for utc_ms in range(BEGIN_MS, evening_ms, 60_000):
        now = at(utc_ms)
        car.hear(Heartbeat(limit_state=LimitState.INIT, rev=0), now)
        if utc_ms == BEGIN_MS:
            car.hear(limit, now)
        free.live(now)
        most_w, free_most_w = max(most_w, car.power_w), max(free_most_w, free.power_w)
    assert 0 < most_w <= 4_200 < free_most_w
