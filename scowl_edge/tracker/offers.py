"""Offers of appliances as a rung of the ladder, in plain numbers; who chooses among them is not the tracker's affair.

Short of supply: what is agreed is on its way and counted (`count_offers`), what is asked for is waited for until its
deadline, and the rest is asked for. What cannot come within the ride-through leaves that need open: a later rung
bridges, and is released first. When there is room again, offers end before sources of the region give less.
"""

from __future__ import annotations

from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.steering import FOR_GOOD, Steering, offer_member

SOUGHT = declare("offers-sought", "{} is still short of {:W}; appliances are asked for what they offer")
OFFER_ROOM = declare("offer-room", "{} has {:W} of room again; the appliance may go on as it intended")
OFFER_SURPLUS = declare("offer-surplus", "{} exports {:W} more than it may; the appliance may go on as it intended")
ALL_PHASES = 7


def count_offers(steering: Steering, scope: Scope, need: Need, until_ms: int) -> None:
    """Takes off a need what is agreed and not measured yet."""
    offers, powers, now = steering.book.offers, steering.offer_powers_w, steering.now_ms
    for mask in offers.phases():
        final = offers.pledged_w(powers, now, FOR_GOOD, scope.inside, mask)
        soon = offers.soon_w(powers, now, until_ms, scope.inside, mask)
        need.relieve(mask, final, soon)


def activate_offers(steering: Steering, scope: Scope, need: Need) -> None:
    """Accepted flexibility offers: after all generation, before any shed."""
    offers, policy, now = steering.book.offers, steering.site.policy, steering.now_ms
    rating = steering.offers_rating
    if rating is None or rating not in scope.inside or not scope.evident:
        return
    until = now + policy.ride_through_ms
    need.relieve(ALL_PHASES, offers.awaited_w(now, scope.inside), offers.awaited_w(now, scope.inside, until))
    wanted = need.final_w(ALL_PHASES)
    if wanted <= policy.dead_band_w or not offers.seek(rating, wanted, now):
        return
    steering.seek_offers("activate-offers", wanted, Reason(SOUGHT, (scope.name, wanted)))
    answer_by = offers.search.answer_by_at if offers.search is not None else now
    need.relieve(ALL_PHASES, wanted, wanted if answer_by <= until else 0)


def end_offers(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """Ends what was selected, the latest first; one larger than a batch goes alone.

    Returns:
        Load that comes back, W.
    """
    offers, policy, given = steering.book.offers, steering.site.policy, 0
    for select_id in offers.accepted_ones(scope.inside):
        call = offers.calls[select_id]
        rise = call.relief_w
        alone = given == 0 and policy.restore_step_w < rise <= free_w
        if (rise > batch_w - given and not alone) or not steering.ripe(call.rating):
            continue
        if call.rating != NONE and rise > steering.seen.ratings.room_import_w(call.rating, offer_member(call.phases)):
            continue
        given += steering.end_offer("end-offers", select_id, Reason(OFFER_ROOM, (scope.name, free_w)))
        if alone:
            break
    return given


def take_back_offers(steering: Steering, scope: Scope, need: Need) -> None:
    """Too much generation: load that gave way may come back. When it does is the appliance's affair, so that nothing of
    it counts within the ride-through."""
    offers = steering.book.offers
    for select_id in offers.accepted_ones(scope.inside):
        call = offers.calls[select_id]
        wanted = need.final_w(call.phases)
        if wanted <= 0:
            return
        if call.rating != NONE:
            room = steering.seen.ratings.room_import_w(call.rating, offer_member(call.phases))
            if call.relief_w > room:
                continue
        relief = steering.end_offer("end-offers", select_id, Reason(OFFER_SURPLUS, (scope.name, wanted)))
        need.relieve(call.phases, relief, 0)
