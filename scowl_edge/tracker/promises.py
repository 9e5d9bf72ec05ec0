"""What was promised, held against the meters: pledges that arrived or lapsed, sheds that obeyed, failed or ended."""

from __future__ import annotations

from scowl_edge.capacity import Book, RatingTree, ShedState
from scowl_edge.capacity.ratings import Member
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Consumer, Generator, Site, Storage
from scowl_edge.tracker.observe import Observation
from scowl_edge.tracker.region import grid_of_bus
from scowl_edge.tracker.steering import Decision, Steering, offer_member

NO_RELIEF = declare("no-relief", "it granted {:W} and drew on")
SHED_OVER = declare("shed-expired", "its shed of {:W} came to its end")

SETTLED_W = 100
"""A pledge within this much of its goal has arrived."""


class Promises:
    """Settles the book at the begin of a step. Holds frozen shape only."""

    def __init__(self, site: Site, tree: RatingTree) -> None:
        self.site = site
        self._above: dict[int, set[int]] = {}
        """Device -> every rating whose meter sees it."""
        self._power: dict[int, int] = {}
        """Device -> its own meter."""
        self._member: dict[int, tuple[int, Member]] = {}
        """Device -> the rating it hangs below, and how it counts there."""
        peers: tuple[Generator | Consumer | Storage, ...] = (*site.generators, *site.consumers, *site.storages)
        for peer in peers:
            grid = grid_of_bus(site, peer.bus)
            self._above[peer.device] = {*tree.chain(peer.rating), *([grid] if grid != NONE else [])}
            self._power[peer.device] = peer.power
            self._member[peer.device] = (peer.rating, Member(peer.device, peer.phases, peer.power_factor_ppm))

    def phases(self, device: int) -> int:
        """Bit mask of a device's phases."""
        return self._member[device][1].phases

    def settle(self, steering: Steering) -> None:
        """Ends what has come or lapsed, and counts the rest on the ratings above."""
        self._settle_pledges(steering.book, steering.seen)
        self._settle_sheds(steering)
        self._settle_offers(steering)
        for device, pledge in sorted(steering.book.pledges.items()):
            rating, member = self._member[device]
            steering.seen.ratings.plan(rating, pledge.remaining_w(steering.seen.net_w(device)), member)

    def _settle_pledges(self, book: Book, seen: Observation) -> None:
        for device in sorted(book.pledges):
            pledge = book.pledges[device]
            # Seen by the device's own meter and by every meter above it: until then somebody would count it as lost.
            seen_by_all = min((seen.measured_ms(r) for r in self._above[device]), default=seen.now_ms)
            arrived = abs(pledge.remaining_w(seen.net_w_at(device, seen_by_all))) <= SETTLED_W
            if arrived or seen.now_ms >= pledge.deadline_at:
                del book.pledges[device]

    def _settle_offers(self, steering: Steering) -> None:
        """Selections that took effect, came to nothing or ended; load that comes back takes room."""
        offers, seen, now = steering.book.offers, steering.seen, steering.now_ms
        devices = {c.device for c in offers.calls.values() if c.device != NONE and seen.fresh(self._power[c.device])}
        steering.offer_powers_w = {d: seen.net_w(d) for d in sorted(devices)}
        steering.cancel_offers += offers.settle(steering.offer_powers_w, now, SETTLED_W)
        for rating, phases, load_w in offers.coming_back(steering.offer_powers_w, now):
            seen.ratings.plan(rating, load_w, offer_member(phases))

    def _settle_sheds(self, steering: Steering) -> None:
        """Expiry, effect and failure of sheds; grants themselves are told by the ledger."""
        book, now = steering.book, steering.now_ms
        for c in sorted(book.sheds):
            shed, con = book.sheds[c], self.site.consumers[c]
            power = steering.seen.consumption_w[c]
            if now >= shed.expires_at:
                self._end_shed(steering, c)
                continue
            fresh = steering.seen.fresh(con.power)
            asked = shed.state is ShedState.ASKED and fresh and not shed.effective
            if asked and power > shed.base_w:
                # What it drew until it gave way, a rise after the question included.
                shed.base_w = power
                shed.unshed_w = shed.lowest_w = max(shed.unshed_w, power)
            if shed.state is not ShedState.GRANTED or shed.granted_w <= 0:
                continue
            if fresh and steering.seen.received_ms(con.power) > shed.asked_at:
                shed.lowest_w = min(shed.lowest_w, power)
            # A load may rise while it sheds: any clear decline shows that it obeys.
            decline = min(shed.granted_w // 2, self._shed_tolerance_w(c))
            if not shed.effective and self._unshed_w(steering, c) - shed.lowest_w >= decline:
                shed.effective = True
                shed.failed = False
            elif not shed.effective and not shed.failed and fresh and now >= shed.judged_at:
                shed.failed = True
                steering.decisions.append(
                    Decision("shed-failed", con.device, shed.granted_w, Reason(NO_RELIEF, (shed.granted_w,)))
                )

    def _unshed_w(self, steering: Steering, c: int) -> int:
        """What the consumer would draw without its shed: as before, risen with what it says could wait."""
        shed, con = steering.book.sheds[c], self.site.consumers[c]
        now_w = steering.seen.value(con.deferrable, 0)
        if shed.deferrable_w <= 0 or not steering.seen.fresh(con.deferrable) or now_w <= shed.deferrable_w:
            return shed.unshed_w
        return shed.unshed_w * now_w // shed.deferrable_w

    def _shed_tolerance_w(self, c: int) -> int:
        con = self.site.consumers[c]
        return max(1, self.site.actuators[con.do_shed if con.do_shed != NONE else con.do_limit].tolerance)

    def _end_shed(self, steering: Steering, c: int) -> None:
        con, state = self.site.consumers[c], steering.state
        shed = steering.book.sheds.pop(c)
        state.shed_ended_at[c] = steering.now_ms
        if con.do_shed == NONE and con.do_limit != NONE:
            state.consumer_limit_w[c] = min(con.rated_w, shed.base_w + self._shed_tolerance_w(c))
        if shed.state is not ShedState.ENDING:
            reason = Reason(SHED_OVER, (shed.granted_w,))
            steering.decisions.append(Decision("shed-expired", con.device, shed.granted_w, reason))
