"""Every kernel of the choice called once, so that none is compiled while somebody waits for a plan.

The first time on a machine this takes some ten seconds; what was compiled is kept on disk.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.dsr.choice.choose import Budget, choose, replan
from scowl_edge.dsr.choice.expand import Instance, expand
from scowl_edge.dsr.choice.question import Candidate, Question, SlotRating
from scowl_edge.dsr.choice.water import fill
from scowl_edge.dsr.slotted import Horizon
from scowl_edge.model.flexibility import Element, Mode, Offer, OfferSet, Profile, ProfileKind

_SLOTS = 12
_SLOT_S = 900


def warm() -> None:
    """Chooses among few plans and among many, once more after a change, and sets what can be modulated."""
    for appliances in (2, 4):
        instance = _instance(appliances)
        budget = Budget(moves=1_000, bound_moves=8)
        chosen = choose(instance.board, 1, budget, (instance.present_span, instance.present_at))
        again = replan(instance.board, chosen, budget, np.zeros(1, np.int64))
        fill(instance, again)


def _instance(appliances: int) -> Instance:
    element = Element(dur_s=_SLOT_S, p_nom_w=1_000, p_min_w=500, p_max_w=1_500)
    profile = Profile(profile_id="p", kind=ProfileKind.IO, elements=(element,))
    offer = Offer(
        offer_id="o",
        valid_from_ms=0,
        valid_until_ms=1,
        start_earliest_ms=0,
        start_latest_ms=(_SLOTS - 1) * _SLOT_S * 1000,
        min_notice_s=0,
        modes=(Mode.ROUTINE,),
        default_profile_id="p",
        profiles=(profile,),
    )
    question = Question(
        horizon=Horizon(start_ms=0, slot_s=_SLOT_S, slots=_SLOTS),
        target_w=tuple(range(_SLOTS)),
        ratings=(SlotRating(name="site", within=-1, most_w=(3_000,) * _SLOTS, least_w=(0,) * _SLOTS),),
        candidates=tuple(
            Candidate(offers=OfferSet(esa_id=f"e{n}", rev=1, offers=(offer,)), rating=0) for n in range(appliances)
        ),
        now_ms=0,
    )
    return expand(question)
