"""What is asked of a choice: offers, a target, ratings, and what stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scowl_edge.dsr.slotted import Horizon
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.flexibility import WHOLE_PPM, Mode, OfferSet

NO_RATING = -1


class BadInstance(ScowlError):
    """Ratings, target and offers do not fit together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRating:
    """What a rating leaves for appliances, by slot: its limit less all loads that are not chosen here."""

    name: str
    within: int
    """Position of the rating around it; `NO_RATING` for none. It stands before those within it."""
    most_w: tuple[int, ...]
    least_w: tuple[int, ...]
    """0 or below where export is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An appliance with its offers; at most one of them is chosen from."""

    offers: OfferSet
    rating: int = NO_RATING
    """Innermost rating that it is below."""
    trust_ppm: int = WHOLE_PPM
    """How often it has delivered what it promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was selected before."""

    profile_id: str
    start_ms: int
    frozen: bool = False
    """It has started, or may not be changed for another reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What costs weigh against deviation: W^2 (in one slot) for a millionth of currency, a gram, a step of comfort."""

    per_micro: int = 0
    per_co2_g: int = 0
    per_comfort: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be chosen."""

    horizon: Horizon
    target_w: tuple[int, ...]
    """W that the appliances together should have, by slot."""
    ratings: tuple[SlotRating, ...] = ()
    candidates: tuple[Candidate, ...]
    standing: Mapping[tuple[str, str], Standing] = field(default_factory=dict)
    """By (esa_id, offer_id)."""
    now_ms: int
    mode: Mode = Mode.ROUTINE
    emergency: bool = False
    """Profiles for emergencies may be chosen too."""
    delay_s: int = 0
    """Longest random delay before a start; 0 for a response."""
    rates: Rates = field(default_factory=Rates)


def check_question(question: Question) -> None:
    """Refuses what does not fit together.

    Raises:
        BadInstance: a target or rating has another number of slots than the horizon, or a rating is not known.
    """
    slots = question.horizon.slots
    if len(question.target_w) != slots:
        raise BadInstance(f"the target has {len(question.target_w)} slots, the horizon {slots}; give one value a slot")
    for position, rating in enumerate(question.ratings):
        if not NO_RATING <= rating.within < position:
            raise BadInstance(f"rating {rating.name} stands before the one around it; list outer ratings first")
        if len(rating.most_w) != slots or len(rating.least_w) != slots:
            raise BadInstance(f"rating {rating.name} has not {slots} slots as the horizon has; give one value a slot")
    for candidate in question.candidates:
        if not NO_RATING <= candidate.rating < len(question.ratings):
            raise BadInstance(f"appliance {candidate.offers.esa_id} is below rating {candidate.rating}, which is not")
