"""Puts an offer to the test: what the format asks of it, and whether the same physics can run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from scowl_edge.dsr.adapters import Adapter, Frame, run
from scowl_edge.model.flexibility import UNSET, Element, EndKind, Offer, OfferSet, Profile, ProfileKind
from scowl_edge.model.profile import flat, of_elements

NOON_MS = 1_799_971_200_000
"""A day at 12:00 UTC."""


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    return Frame(
        now_ms=NOON_MS + draw(st.integers(0, 900)) * 1_000 + draw(st.integers(0, 999)),
        rev=draw(st.integers(1, 99)),
        slot_s=draw(st.sampled_from((300, 900, 1_800))),
        horizon_s=draw(st.sampled_from((6, 12, 24))) * 3_600,
        min_notice_s=draw(st.integers(0, 120)),
        valid_s=draw(st.integers(0, 600)),
    )


def complaints(made: OfferSet, adapter: Adapter[Any]) -> list[str]:
    """All that a reader of the format could object to."""
    found = []
    for offer in made.offers:
        if not offer.valid_from_ms <= offer.valid_until_ms <= offer.start_latest_ms:
            found.append("the time it stands")
        if not offer.start_earliest_ms <= offer.start_latest_ms <= offer.end_latest_ms:
            found.append("window")
        if offer.profile(offer.default_profile_id) is not offer.profiles[0]:
            found.append("default")
        if offer.profiles[0].kind is not ProfileKind.IO or not 1 <= len(offer.profiles) <= 1_000:
            found.append("no intended operation")
        if len({p.profile_id for p in offer.profiles} | {offer.offer_id}) != len(offer.profiles) + 1:
            found.append("ids")
        for p in offer.profiles:
            starts = starts_of(offer, p)
            if not 1 <= len(p.elements) <= 288:
                found.append(f"{len(p.elements)} elements")
            if starts[-1] + 1_000 * p.length_s > offer.end_latest_ms:
                found.append(f"{p.kind} ends too late")
            if starts[0] - 1_000 * offer.min_notice_s < offer.valid_until_ms:
                found.append(f"{p.kind} could be selected too late")
            if p.kind in (ProfileKind.LDP, ProfileKind.MDP) and adapter.p_min_w >= 0:
                found.append("export of what cannot")
            low_w, high_w = adapter.p_min_w, adapter.p_max_w
            if not all(low_w <= e.p_min_w <= e.p_nom_w <= e.p_max_w <= high_w and e.dur_s > 0 for e in p.elements):
                found.append(f"{p.kind}: bounds of an element")
            energy_ws = sum(e.dur_s * e.p_nom_w for e in p.elements)
            if not (p.e_min_wh or -(10**9)) * 3_600 <= energy_ws <= (p.e_max_wh or 10**9) * 3_600:
                found.append(f"{p.kind}: expected energy out of its bounds")
    return found


def starts_of(offer: Offer, profile: Profile) -> tuple[int, int]:
    """First and last allowed start."""
    if profile.start_fixed_ms != UNSET:
        return profile.start_fixed_ms, profile.start_fixed_ms
    return offer.start_earliest_ms, offer.start_latest_ms


def inside(profile: Profile, wanted: Sequence[int]) -> tuple[int, ...]:
    """Setpoints as wanted (a share of each element's range in percent), moved into the bounds of the whole energy."""
    setpoints = [
        e.p_min_w + (e.p_max_w - e.p_min_w) * wanted[i % len(wanted)] // 100 for i, e in enumerate(profile.elements)
    ]
    for bound_wh, sign in ((profile.e_min_wh, 1), (profile.e_max_wh, -1)):
        for i, e in enumerate(profile.elements):
            if bound_wh is None:
                break
            energy_ws = sum(x.dur_s * p for x, p in zip(profile.elements, setpoints, strict=True))
            missing_ws = sign * (bound_wh * 3_600 - energy_ws)
            if missing_ws <= 0:
                break
            room_w = e.p_max_w - setpoints[i] if sign > 0 else setpoints[i] - e.p_min_w
            setpoints[i] += sign * min(room_w, -(-missing_ws // e.dur_s))
    return tuple(setpoints)


def trouble(
    adapter: Adapter[Any],
    state: Any,
    frame: Frame,
    offer: Offer,
    profile: Profile,
    start_ms: int,
    setpoints_w: Sequence[int] = (),
    step_ms: int = 60_000,
) -> list[str]:
    """What goes wrong when a profile is run: power that cannot be taken, a state that the user would not want."""
    first_ms = frame.start_ms
    state = run(adapter, state, frame.now_ms, first_ms)
    waiting = flat(first_ms, start_ms - first_ms, 0) if adapter.waits and start_ms > first_ms else None
    state = run(adapter, state, first_ms, start_ms, waiting)
    found, tolerance_w = [], 1
    course = of_elements(profile.elements, start_ms, setpoints_w)
    at_ms = start_ms
    for e, power_w in zip(profile.elements, setpoints_w or [x.p_nom_w for x in profile.elements], strict=True):
        until_ms = at_ms + 1_000 * e.dur_s
        while at_ms < until_ms:
            dur_ms = min(step_ms, until_ms - at_ms)
            low_w, high_w = adapter.reach(state, at_ms, dur_ms)
            if not low_w - tolerance_w <= power_w <= high_w + tolerance_w:
                found.append(f"{power_w} W wanted at {at_ms - start_ms} ms, {low_w} to {high_w} W possible")
            state = adapter.step(state, max(low_w, min(high_w, power_w)), at_ms, dur_ms)
            at_ms += dur_ms
            if fault := adapter.fault(state, at_ms):
                found.append(f"{at_ms - start_ms} ms after the start: {fault}")
    assert at_ms == course.end_ms
    end = profile.end_state
    if end is not None and end.kind is EndKind.SOC and not setpoints_w:
        ends_milli = state.level_j // 3_600 * 1_000
        if abs(ends_milli - end.value_milli) > 20_000:
            found.append(f"{ends_milli} mWh at the end instead of {end.value_milli}")
    rest_ms = max(at_ms, offer.end_latest_ms)
    state = run(adapter, state, at_ms, rest_ms, flat(at_ms, rest_ms - at_ms + 1, 0) if adapter.waits else None)
    if fault := adapter.fault(state, rest_ms):
        found.append(f"at the end: {fault}")
    return found


def check_all(adapter: Adapter[Any], state: Any, frame: Frame, wanted: Sequence[int], shift: int, step_ms: int) -> int:
    """Runs all that is offered: at its first, last and a drawn start, with three sets of setpoints; how many runs."""
    made, runs = adapter.offers(state, frame), 0
    assert made == adapter.offers(state, frame)
    assert complaints(made, adapter) == []
    for offer in made.offers:
        for profile in offer.profiles:
            first, last = starts_of(offer, profile)
            between = first + (last - first) * shift // 100
            sets: list[tuple[int, ...]] = [()]
            if any(e.p_min_w < e.p_max_w for e in profile.elements):
                sets += [inside(profile, w) for w in ((0,), (100,), wanted)]
            for start_ms in sorted({first, between, last}):
                for setpoints_w in sets if start_ms == between else sets[:1]:
                    found = trouble(adapter, state, frame, offer, profile, start_ms, setpoints_w, step_ms)
                    assert found == [], (profile.kind, found[:3])
                    runs += 1
    return runs


def elements_of(made: OfferSet, kind: ProfileKind) -> tuple[Element, ...]:
    """Of the first profile of a kind."""
    return next(p.elements for p in made.offers[0].profiles if p.kind is kind)
