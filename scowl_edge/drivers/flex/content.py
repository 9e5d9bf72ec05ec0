"""What a well-formed body may still not say: fields that contradict each other.

The checks are on values of the core, so that whoever makes a message can ask before it is sent. Paths are those of the
wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from scowl_edge.model.exchange import (
    CapacityGrant,
    CapacityMode,
    CapacityRequest,
    Code,
    Constraint,
    Limit,
    Override,
    Register,
    Report,
    Slot,
    SlotQuality,
)
from scowl_edge.model.flexibility import UNSET, Element, Offer, OfferSet, Profile


class Fault(NamedTuple):
    """A contradiction."""

    code: Code
    path: str
    """Of the field, from the body on: `offers[0].start_latest`."""
    text: str


def faults(body: object) -> Iterator[Fault]:
    """What a body says that cannot be, in the order of its fields; of most bodies nothing."""
    check = _CHECKS.get(type(body))
    return iter(()) if check is None else check(body)


def export_faults(offers: OfferSet, register: Register) -> Iterator[Fault]:
    """Elements that would export although the appliance was registered as one that cannot."""
    if register.p_min_w < 0:
        return
    for at, offer in enumerate(offers.offers):
        for number, profile in enumerate(offer.profiles):
            for place, element in enumerate(profile.elements):
                if element.p_min_w < 0:
                    path = f"offers[{at}].profiles[{number}].elements[{place}].p_min_w"
                    text = f"{element.p_min_w} W is export, but the registered p_min_w is {register.p_min_w} W"
                    yield Fault(Code.OUT_OF_BOUNDS, path, text)


def _elements(elements: Sequence[Element], path: str) -> Iterator[Fault]:
    for at, element in enumerate(elements):
        lowest, nominal, highest = element.p_min_w, element.p_nom_w, element.p_max_w
        if not lowest <= nominal <= highest:
            text = f"p_min_w <= p_nom_w <= p_max_w does not hold for {lowest}, {nominal}, {highest} W"
            yield Fault(Code.OUT_OF_BOUNDS, f"{path}[{at}].p_nom_w", text)


def _profile(profile: Profile, offer: Offer, path: str) -> Iterator[Fault]:
    yield from _elements(profile.elements, f"{path}.elements")
    if profile.e_min_wh is not None and profile.e_max_wh is not None and profile.e_min_wh > profile.e_max_wh:
        text = f"e_min_wh {profile.e_min_wh} is above e_max_wh {profile.e_max_wh}"
        yield Fault(Code.OUT_OF_BOUNDS, f"{path}.e_min_wh", text)
    if profile.cost is not None and profile.cost.financial_micro and not profile.cost.currency:
        yield Fault(Code.SCHEMA, f"{path}.cost.currency", "is needed with financial")
    if offer.end_latest_ms == UNSET:
        return
    start_ms = offer.start_latest_ms if profile.start_fixed_ms == UNSET else profile.start_fixed_ms
    late_s = (start_ms + 1_000 * profile.length_s - offer.end_latest_ms + 999) // 1_000
    if late_s > 0:
        text = f"its last start and its length of {profile.length_s} s end {late_s} s after end_latest"
        yield Fault(Code.OUT_OF_WINDOW, f"{path}.elements", text)


def _offer(offer: Offer, path: str) -> Iterator[Fault]:
    if offer.valid_from_ms > offer.valid_until_ms:
        yield Fault(Code.OUT_OF_WINDOW, f"{path}.valid_until", "is before valid_from")
    if offer.start_earliest_ms > offer.start_latest_ms:
        yield Fault(Code.OUT_OF_WINDOW, f"{path}.start_latest", "is before start_earliest")
    if offer.valid_until_ms > offer.start_latest_ms:
        yield Fault(Code.OUT_OF_WINDOW, f"{path}.valid_until", "is after start_latest")
    yield from _once(offer.modes, f"{path}.modes")
    yield from _unique([profile.profile_id for profile in offer.profiles], f"{path}.profiles", ".profile_id")
    if offer.profile(offer.default_profile_id) is None:
        yield Fault(Code.UNKNOWN_OFFER, f"{path}.default_profile_id", "is no profile of this offer")
    for number, profile in enumerate(offer.profiles):
        yield from _profile(profile, offer, f"{path}.profiles[{number}]")


def _offer_set(offers: OfferSet) -> Iterator[Fault]:
    yield from _unique([offer.offer_id for offer in offers.offers], "offers", ".offer_id")
    for at, offer in enumerate(offers.offers):
        yield from _offer(offer, f"offers[{at}]")


def _unique(ids: Sequence[str], path: str, field: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for at, each in enumerate(ids):
        if each in seen:
            yield Fault(Code.DUPLICATE_ID, f"{path}[{at}]{field}", f"{each} stands there twice")
        seen.add(each)


def _once(words: Sequence[str], path: str) -> Iterator[Fault]:
    if len(set(words)) < len(words):
        yield Fault(Code.SCHEMA, path, f"says a word twice: {', '.join(words)}")


def _slots(slots: Sequence[Slot]) -> Iterator[Fault]:
    end_ms = None
    for at, slot in enumerate(slots):
        if end_ms is not None and slot.start_ms < end_ms:
            yield Fault(Code.OUT_OF_WINDOW, f"slots[{at}].start", "is before the end of the slot in front of it")
        end_ms = slot.start_ms + 1_000 * slot.dur_s
        yield from _band(slot.p_lower_w, slot.p_upper_w, f"slots[{at}].")


def _band(lower_w: int | None, upper_w: int | None, path: str = "") -> Iterator[Fault]:
    if lower_w is not None and upper_w is not None and lower_w > upper_w:
        yield Fault(Code.OUT_OF_BOUNDS, f"{path}p_lower_w", f"{lower_w} W is above p_upper_w, {upper_w} W")


def _register(body: Register) -> Iterator[Fault]:
    if body.p_min_w > body.p_max_w:
        text = f"{body.p_min_w} W is above p_max_w, {body.p_max_w} W"
        yield Fault(Code.OUT_OF_BOUNDS, "p_min_w", text)
    yield from _once(body.modes, "modes")
    yield from _once(body.controls, "controls")


def _override(body: Override) -> Iterator[Fault]:
    yield from _elements(body.expected, "expected")


def _constraint(body: Constraint) -> Iterator[Fault]:
    yield from _slots(body.slots)


def _grant(body: CapacityGrant) -> Iterator[Fault]:
    yield from _slots(body.slots)


def _limit(body: Limit) -> Iterator[Fault]:
    if body.active and body.p_upper_w is None:
        yield Fault(Code.SCHEMA, "p_upper_w", "is needed with active")
    yield from _band(body.p_lower_w, body.p_upper_w)


def _request(body: CapacityRequest) -> Iterator[Fault]:
    given = {
        "energy_wh": body.energy_wh is not None,
        "power_w": body.power_w is not None,
        "by": body.by_ms != UNSET,
        "duration_s": body.duration_s is not None,
    }
    for field in _NEEDED[body.mode]:
        if not given[field]:
            yield Fault(Code.SCHEMA, field, f"is needed with mode {body.mode}")


def _report(body: Report) -> Iterator[Fault]:
    if body.baseline_w and len(body.baseline_w) != len(body.slots):
        text = f"has {len(body.baseline_w)} values for {len(body.slots)} slots"
        yield Fault(Code.SCHEMA, "baseline_w", text)
    for at, slot in enumerate(body.slots):
        if slot.q is SlotQuality.MISSING and slot.p_avg_w is not None:
            yield Fault(Code.SCHEMA, f"slots[{at}].p_avg_w", "should be null where q is MISSING")
        if slot.p_avg_w is None and slot.q in _MEASURED:
            yield Fault(Code.SCHEMA, f"slots[{at}].p_avg_w", f"should be a number where q is {slot.q}")
    if body.soc_wh is not None and body.soc_max_wh is not None and body.soc_wh > body.soc_max_wh:
        yield Fault(Code.OUT_OF_BOUNDS, "soc_wh", f"{body.soc_wh} Wh is above soc_max_wh, {body.soc_max_wh} Wh")


_MEASURED = (SlotQuality.OK, SlotQuality.ESTIMATED)
_NEEDED = {
    CapacityMode.ENERGY_BY: ("energy_wh", "by"),
    CapacityMode.FASTEST: ("energy_wh",),
    CapacityMode.POWER_FOR: ("power_w", "duration_s"),
}
_CHECKS: dict[type, Callable[[Any], Iterator[Fault]]] = {
    Register: _register,
    OfferSet: _offer_set,
    Override: _override,
    Constraint: _constraint,
    CapacityRequest: _request,
    CapacityGrant: _grant,
    Limit: _limit,
    Report: _report,
}
