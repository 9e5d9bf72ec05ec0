"""From courses of power to an offer set: ids, windows, and when a set no longer says the truth.

Up to the first start of a set an appliance goes on by itself; from then on it runs what was selected (a job that waits
for a later start rests until then), or its intended profile if nothing was. A set can be selected from until its notice
before that first start, so that no offer reckons with a past that may have been different.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from scowl_edge.dsr.identity import identity
from scowl_edge.model.flexibility import (
    UNSET,
    Cost,
    Element,
    EndState,
    Mode,
    Offer,
    OfferSet,
    Profile,
    ProfileKind,
)

MOST_ELEMENTS = 288
WH_J = 3_600
FREE = Cost(financial_micro=0, currency="", co2_g=0, comfort=0)
S_contra = TypeVar("S_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """For when offers are wanted, and under which revision."""

    now_ms: int
    """UTC."""
    rev: int
    horizon_s: int = 86_400
    slot_s: int = 900
    """Grid of starts; its slots begin at multiples of this since 1970."""
    min_notice_s: int = 60
    valid_s: int = 300
    """A set stands for at least this long, and a slot more at most."""
    modes: tuple[Mode, ...] = (Mode.ROUTINE, Mode.RESPONSE)
    first_start_ms: int = UNSET
    """First start; UNSET: the next on the grid that leaves the set standing long enough."""

    @property
    def slot_ms(self) -> int:
        """Length of a slot."""
        return 1_000 * self.slot_s

    @property
    def start_ms(self) -> int:
        """First start."""
        if self.first_start_ms != UNSET:
            return self.first_start_ms
        return self.ceiled(self.now_ms + 1_000 * (self.min_notice_s + self.valid_s))

    @property
    def slots(self) -> int:
        """Whole slots from the first start to the end of the horizon, as many as one profile can hold."""
        left_ms = self.now_ms + 1_000 * self.horizon_s - self.start_ms
        return max(1, min(MOST_ELEMENTS, left_ms // self.slot_ms))

    @property
    def end_ms(self) -> int:
        """End of the last slot."""
        return self.start_ms + self.slots * self.slot_ms

    def ceiled(self, time_ms: int) -> int:
        """The first begin of a slot at or after a time."""
        return -(-time_ms // self.slot_ms) * self.slot_ms

    def floored(self, time_ms: int) -> int:
        """The last begin of a slot at or before a time."""
        return time_ms // self.slot_ms * self.slot_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A profile without its id."""

    kind: ProfileKind
    elements: tuple[Element, ...]
    start_ms: int = UNSET
    """Its only start; UNSET: any in the window."""
    e_min_wh: int | None = None
    e_max_wh: int | None = None
    max_pause_s: int = 0
    """More than 0: it may be paused."""
    end_state: EndState | None = None
    cost: Cost = FREE


def element(dur_s: int, power_w: int, low_w: int | None = None, high_w: int | None = None) -> Element:
    """An element; without bounds it cannot be modulated."""
    low_w, high_w = power_w if low_w is None else low_w, power_w if high_w is None else high_w
    return Element(dur_s=dur_s, p_nom_w=power_w, p_min_w=low_w, p_max_w=high_w)


def joined(elements: Iterable[Element]) -> tuple[Element, ...]:
    """Equal neighbours that cannot be modulated in one, empty ones left out.

    Those that can stay apart, since each has a setpoint of its own.
    """
    out: list[Element] = []
    for each in elements:
        if each.dur_s < 1:
            continue
        if out and replace(out[-1], dur_s=each.dur_s) == each and each.p_min_w == each.p_max_w:
            out[-1] = replace(each, dur_s=out[-1].dur_s + each.dur_s)
        else:
            out.append(each)
    return tuple(out)


def offer_set(
    esa_id: str, frame: Frame, drafts: Sequence[Draft], *, start_latest_ms: int = UNSET, end_latest_ms: int
) -> OfferSet:
    """One offer of all drafts, the first of which runs if nobody selects; no offer if there is none.

    Args:
        esa_id: The appliance.
        frame: Times and revision.
        drafts: The intended one first.
        start_latest_ms: Last start of those that can shift; UNSET if none can.
        end_latest_ms: When all have ended. Random delays and pauses end before that too.
    """
    if not drafts:
        return OfferSet(esa_id=esa_id, rev=frame.rev, offers=())
    if start_latest_ms == UNSET:
        start_latest_ms = max(draft.start_ms for draft in drafts)
    profiles = tuple(
        Profile(
            profile_id=identity(esa_id, frame.rev, f"profile {i}"),
            kind=draft.kind,
            elements=draft.elements,
            start_fixed_ms=draft.start_ms,
            e_min_wh=draft.e_min_wh,
            e_max_wh=draft.e_max_wh,
            interruptible=draft.max_pause_s > 0,
            max_pause_s=draft.max_pause_s,
            end_state=draft.end_state,
            cost=draft.cost,
        )
        for i, draft in enumerate(drafts)
    )
    offer = Offer(
        offer_id=identity(esa_id, frame.rev, "offer"),
        valid_from_ms=frame.now_ms,
        valid_until_ms=max(frame.now_ms, frame.start_ms - 1_000 * frame.min_notice_s),
        start_earliest_ms=frame.start_ms,
        start_latest_ms=start_latest_ms,
        min_notice_s=frame.min_notice_s,
        modes=frame.modes,
        default_profile_id=profiles[0].profile_id,
        profiles=profiles,
        end_latest_ms=end_latest_ms,
    )
    return OfferSet(esa_id=esa_id, rev=frame.rev, offers=(offer,))


class Offering(Protocol[S_contra]):
    """Makes offers from a state."""

    def offers(self, state: S_contra, frame: Frame, /) -> OfferSet:
        """What can be run from a state."""


S = TypeVar("S")


def stale(
    standing: OfferSet, adapter: Offering[S], state: S, frame: Frame, *, tolerance_wh: int = 200, tolerance_w: int = 200
) -> bool:
    """Whether a new revision is due: the standing set has run out, or would be made otherwise from the present state.

    Args:
        standing: What was offered.
        adapter: Who offered it.
        state: What the appliance is like now.
        frame: As for new offers, now.
        tolerance_wh: A profile's energy, or a bound of it, may be this far off.
        tolerance_w: So may the power of any element.
    """
    if not standing.offers:
        return bool(adapter.offers(state, frame).offers)
    (old,) = standing.offers
    if frame.now_ms > old.valid_until_ms:
        return True
    fresh = adapter.offers(state, replace(frame, first_start_ms=old.start_earliest_ms))
    if not fresh.offers:
        return True
    (new,) = fresh.offers
    if [p.kind for p in old.profiles] != [p.kind for p in new.profiles]:
        return True
    if abs(old.end_latest_ms - new.end_latest_ms) > 2 * frame.slot_ms:
        return True
    return any(_apart(a, b, tolerance_wh, tolerance_w) for a, b in zip(old.profiles, new.profiles, strict=True))


def energy_wh(elements: Iterable[Element]) -> int:
    """Expected energy, rounded down."""
    return sum(e.dur_s * e.p_nom_w for e in elements) // WH_J


def _apart(old: Profile, new: Profile, tolerance_wh: int, tolerance_w: int) -> bool:
    """Whether two profiles differ by more than the tolerances."""
    bounds = ((old.e_min_wh, new.e_min_wh), (old.e_max_wh, new.e_max_wh))
    if any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > tolerance_wh for a, b in bounds):
        return True
    if abs(energy_wh(old.elements) - energy_wh(new.elements)) > tolerance_wh:
        return True
    extremes = [(max(e.p_max_w for e in p.elements), min(e.p_min_w for e in p.elements)) for p in (old, new)]
    return any(abs(a - b) > tolerance_w for a, b in zip(*extremes, strict=True))
