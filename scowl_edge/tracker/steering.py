"""What a rung may do: express a target and promise its effect. Shared by both directions of the ladder."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.capacity import Book, Pledge, RatingTree, Shed, ShedState
from scowl_edge.capacity.ratings import Member
from scowl_edge.model.reason import Reason
from scowl_edge.model.site import NONE, PPM, Site
from scowl_edge.tracker.observe import Observation
from scowl_edge.tracker.region import NO_WISH, Condition, RegionState

FOR_GOOD = 1 << 60
"""A time that does not come."""
COMES_BACK_MS = 120_000
"""Until the load of an offer that was taken back has shown, in two reports of its appliance."""
OFFER_POWER_FACTOR_PPM = 900_000
"""Of appliances of which nobody says it."""


@dataclass(slots=True, frozen=True)
class Decision:
    """One thing that the tracker decided in this step."""

    rung: str
    device: int
    amount_w: int
    reason: Reason


@dataclass(slots=True)
class Steering:
    """One step's hands on the region: observation in, targets, pledges and decisions out."""

    site: Site
    rating_tree: RatingTree
    state: RegionState
    book: Book
    seen: Observation
    usable: list[bool]
    """A flag an actuator: may be commanded now (device in AUTO, up, not contested, not in a cool-down)."""
    utc_day: int
    vetoed: frozenset[int] = frozenset()
    """Devices that their users do not want to be made use of."""
    reserved: frozenset[int] = frozenset()
    """Devices that run what somebody selected: only a shortage, or too much for a rating, goes before that."""
    slack_w: dict[int, int] = field(default_factory=dict)
    """Of the trees on separate buses: load that each could carry on top; it cannot give up more than that."""
    feed_w: list[int] = field(default_factory=list)
    """Load of each feed for its tree."""
    decisions: list[Decision] = field(default_factory=list)
    """In order."""
    offers_rating: int | None = None
    """The rating (NONE: the site) below which appliances are whose offers may be chosen; None: nobody offers."""
    offer_powers_w: dict[int, int] = field(default_factory=dict)
    """Measured power of appliances that have a meter of this site, by device."""
    want_offers_w: int = 0
    """Relief that is to be chosen among offers, beyond what is agreed."""
    cancel_offers: list[str] = field(default_factory=list)
    """Selections to be taken back."""

    @property
    def now_ms(self) -> int:
        """Monotonic time of the step."""
        return self.seen.now_ms

    def can(self, actuator: int) -> bool:
        """Whether an actuator exists and may be commanded now."""
        return actuator != NONE and self.usable[actuator]

    def expected_w(self, device: int) -> int:
        """Signed net power that a device is on its way to: its measured power and what is still promised of it."""
        pledge, power = self.book.pledges.get(device), self.seen.net_w(device)
        return power + pledge.remaining_w(power) if pledge is not None else power

    def ripe(self, rating: int) -> bool:
        """Whether every rating from this one up has had room for long enough to give something back."""
        for r in self.rating_tree.chain(rating):
            since = self.state.rating_free_at[r]
            if since < 0 or self.now_ms - since < self.site.policy.restore_after_ms:
                return False
        return True

    def generator_member(self, g: int) -> Member:
        """How a generator counts on the ratings above it."""
        gen = self.site.generators[g]
        return Member(gen.device, gen.phases, gen.power_factor_ppm)

    def consumer_member(self, c: int) -> Member:
        """How a consumer counts on the ratings above it."""
        con = self.site.consumers[c]
        return Member(con.device, con.phases, con.power_factor_ppm)

    def storage_member(self, s: int) -> Member:
        """How a store counts on the ratings above it."""
        sto = self.site.storages[s]
        return Member(sto.device, sto.phases, sto.power_factor_ppm)

    def _promise(
        self, device: int, rating: int, member: Member, goal_w: int, starts_in_ms: int, ramp: int, actuator: int
    ) -> None:
        a = self.site.actuators[actuator]
        change = goal_w - self.seen.net_w(device)
        signal = a.effect
        poll = self.site.signals[signal].fresh_ms if signal != NONE else 3000
        # Not shorter than the ledger's time: a promise that is not kept must be found out before it is made again.
        travel = max(abs(change), a.high - a.low) * 1000 // ramp if ramp else 0
        if change == 0:
            self.book.pledges.pop(device, None)
            return
        self.book.pledges[device] = Pledge(
            base_w=self.seen.net_w(device),
            goal_w=goal_w,
            begins_at=self.now_ms + starts_in_ms,
            ramp_w_s=ramp,
            deadline_at=self.now_ms + starts_in_ms + travel + a.settle_ms + poll + self.site.policy.answer_ms,
        )
        self.seen.ratings.plan(rating, change, member)

    def _decide(self, rung: str, device: int, amount_w: int, reason: Reason, actuator: int, protective: bool) -> None:
        self.decisions.append(Decision(rung, device, amount_w, reason))
        self.state.rung = rung
        if actuator != NONE:
            self.state.protective[actuator] = protective

    def seek_offers(self, rung: str, amount_w: int, reason: Reason) -> None:
        """Has offers chosen; nothing counts before it is accepted."""
        self.want_offers_w += amount_w
        self._decide(rung, NONE, amount_w, reason, NONE, protective=False)

    def end_offer(self, rung: str, select_id: str, reason: Reason) -> int:
        """Takes a selection back; returns the load in W that comes with it, which counts at once."""
        call = self.book.offers.calls[select_id]
        self.cancel_offers.append(select_id)
        self.book.offers.end(select_id, self.now_ms, self.now_ms + COMES_BACK_MS)
        self.seen.ratings.plan(call.rating, call.relief_w, offer_member(call.phases))
        self._decide(rung, call.device, call.relief_w, reason, NONE, protective=False)
        return call.relief_w

    def limit_generator(
        self, rung: str, g: int, limit_w: int, goal_w: int, reason: Reason, *, protective: bool
    ) -> None:
        """Curtails a generator, or lifts its curtailment. `goal_w` is the magnitude expected then."""
        gen = self.site.generators[g]
        before = self.seen.generation_w[g]
        self.state.generator_limit_w[g] = limit_w
        self._promise(gen.device, gen.rating, self.generator_member(g), -goal_w, 0, gen.ramp_w_s, gen.do_limit)
        self._decide(rung, gen.device, goal_w - before, reason, gen.do_limit, protective)

    def set_generator(self, rung: str, g: int, target_w: int, reason: Reason, *, protective: bool) -> None:
        """Sets a continuous generator; 0 stops it."""
        gen = self.site.generators[g]
        before = -self.expected_w(gen.device)
        starting = before <= 0 < target_w
        if starting or target_w == 0:
            self.state.generator_switched_at[g] = self.now_ms
        self.state.generator_setpoint_w[g] = target_w
        if gen.do_connect != NONE:
            self.state.generator_online[g] = 1 if target_w > 0 else 0
        delay = gen.start_ms if starting else 0
        self._promise(gen.device, gen.rating, self.generator_member(g), -target_w, delay, gen.ramp_w_s, gen.do_setpoint)
        self._decide(rung, gen.device, target_w - before, reason, gen.do_setpoint, protective)

    def switch_generator(self, rung: str, g: int, online: bool, reason: Reason, *, protective: bool) -> None:
        """Brings a fixed block on or takes it off."""
        gen = self.site.generators[g]
        actuator = gen.do_connect if gen.do_connect != NONE else gen.do_setpoint
        self.state.generator_switched_at[g] = self.now_ms
        self.state.generator_online[g] = 1 if online else 0
        if gen.do_setpoint != NONE:
            self.state.generator_setpoint_w[g] = gen.rated_w if online else 0
        goal = gen.rated_w if online else 0
        self._promise(
            gen.device,
            gen.rating,
            self.generator_member(g),
            -goal,
            gen.start_ms if online else 0,
            gen.ramp_w_s,
            actuator,
        )
        self._decide(rung, gen.device, gen.rated_w if online else -gen.rated_w, reason, actuator, protective)

    def set_storage(self, rung: str, s: int, target_w: int, reason: Reason, *, protective: bool) -> None:
        """Sets a store: + charge, - discharge, 0 idle."""
        sto = self.site.storages[s]
        before = self.expected_w(sto.device)
        reverses = (before > 0 > target_w) or (before < 0 < target_w)
        if (before > 0) != (target_w > 0) or (before < 0) != (target_w < 0):
            self.state.storage_turned_at[s] = self.now_ms
        self.state.storage_setpoint_w[s] = target_w
        delay = sto.dead_time_ms if reverses else 0
        self._promise(sto.device, sto.rating, self.storage_member(s), target_w, delay, sto.ramp_w_s, sto.do_setpoint)
        self._decide(rung, sto.device, target_w - before, reason, sto.do_setpoint, protective)

    def shed_method(self, c: int) -> int:
        """The actuator that takes load off a consumer: its shed register, else its limit, else NONE."""
        con = self.site.consumers[c]
        if self.can(con.do_shed):
            return con.do_shed
        if con.do_shed == NONE and self.can(con.do_limit):
            return con.do_limit
        return NONE

    def ask_shed(self, rung: str, c: int, amount_w: int, reason: Reason, *, protective: bool) -> None:
        """Asks a consumer to give up `amount_w` more; it counts only when granted and seen."""
        con = self.site.consumers[c]
        actuator = self.shed_method(c)
        a = self.site.actuators[actuator]
        old = self.book.sheds.get(c)
        power = self.seen.consumption_w[c]
        already = old.relief_w(power) if old is not None else 0
        unshed = max(power, self.expected_w(con.device)) + already
        self.book.sheds[c] = Shed(
            state=ShedState.ASKED,
            requested_w=amount_w + already,
            granted_w=already,
            base_w=power + already,
            deferrable_w=self.seen.value(con.deferrable, 0) if self.seen.known(con.deferrable) else -1,
            unshed_w=unshed,
            lowest_w=unshed,
            asked_at=self.now_ms,
            answer_by_at=self.now_ms + self.site.policy.answer_ms + a.settle_ms,
            judged_at=0,
            expires_at=old.expires_at if old is not None else self._expiry(c),
            effective=already > 0,
        )
        if old is None:
            if self.state.shed_day[c] != self.utc_day:
                self.state.shed_day[c], self.state.sheds_today[c] = self.utc_day, 0
            self.state.shed_times[c] += 1
            self.state.sheds_today[c] += 1
        if actuator == con.do_limit:
            self.state.consumer_limit_w[c] = max(0, power + already - (amount_w + already))
        self._decide(rung, con.device, amount_w, reason, actuator, protective)

    def _expiry(self, c: int) -> int:
        """When a shed ends by itself. A load that is only modulated by its limit is not deferred: it may last."""
        con = self.site.consumers[c]
        modulated = con.do_shed == NONE and con.demand_responsive_w == 0
        return FOR_GOOD if modulated else self.now_ms + con.deferral_ms

    def release_shed(self, rung: str, c: int, amount_w: int, reason: Reason) -> None:
        """Gives back part or all of a shed."""
        con = self.site.consumers[c]
        shed = self.book.sheds[c]
        left = shed.granted_w - amount_w
        uses_limit = con.do_shed == NONE
        actuator = con.do_limit if uses_limit else con.do_shed
        rise = amount_w + amount_w * con.rebound_ppm // PPM
        if left <= 0:
            shed.state = ShedState.ENDING
            shed.requested_w = shed.granted_w = 0
            shed.answer_by_at = self.now_ms + self.site.policy.answer_ms
            if uses_limit:
                # What it drew before and no more: how much it would take beyond that, nobody knows.
                limit = max(0, self.state.consumer_limit_w[c]) + amount_w
                before = shed.base_w + self.site.actuators[actuator].tolerance
                self.state.consumer_limit_w[c] = min(con.rated_w, max(limit, before))
        else:
            shed.requested_w = shed.granted_w = left
            if uses_limit:
                self.state.consumer_limit_w[c] = min(con.rated_w, max(0, self.state.consumer_limit_w[c]) + amount_w)
        power = self.seen.consumption_w[c]
        self._promise(con.device, con.rating, self.consumer_member(c), power + rise, 0, 0, actuator)
        self._decide(rung, con.device, amount_w, reason, actuator, protective=False)

    def relax_limit(self, rung: str, c: int, limit_w: int, rise_w: int, reason: Reason) -> None:
        """Raises the limit of a consumer that gives up nothing; `rise_w` is what it is foreseen to draw more."""
        con = self.site.consumers[c]
        more = limit_w - self.state.consumer_limit_w[c]
        self.state.consumer_limit_w[c] = limit_w
        goal = self.seen.consumption_w[c] + rise_w
        self._promise(con.device, con.rating, self.consumer_member(c), goal, 0, 0, con.do_limit)
        self._decide(rung, con.device, more, reason, con.do_limit, protective=False)

    def starve(self, rung: str, c: int, reason: Reason, *, protective: bool) -> None:
        """Disconnects a consumer by decision."""
        con = self.site.consumers[c]
        power = self.seen.consumption_w[c]
        self.state.condition[c] = Condition.STARVED
        self.state.condition_at[c] = self.now_ms
        shed = self.book.sheds.get(c)
        self.state.wanted_w[c] = power + (shed.relief_w(power) if shed is not None else 0)
        self.state.starved_times[c] += 1
        if shed is not None:
            # It comes back whole, in one step: what it gave up is lost in being cut off.
            shed.state, shed.requested_w, shed.granted_w = ShedState.ENDING, 0, 0
            shed.answer_by_at = self.now_ms + self.site.policy.answer_ms
        actuator = self._cut(c, connected=False)
        self._promise(con.device, con.rating, self.consumer_member(c), 0, 0, 0, actuator)
        self._decide(rung, con.device, -power, reason, actuator, protective)

    def feed(self, rung: str, c: int, reason: Reason) -> None:
        """Connects a starved consumer again."""
        con = self.site.consumers[c]
        wanted = self.state.wanted_w[c]
        self.state.condition[c] = Condition.SERVED
        self.state.condition_at[c] = self.now_ms
        actuator = self._cut(c, connected=True)
        rise = wanted + wanted * con.rebound_ppm // PPM
        self._promise(con.device, con.rating, self.consumer_member(c), rise, 0, 0, actuator)
        self._decide(rung, con.device, wanted, reason, actuator, protective=False)

    def cut_method(self, c: int) -> int:
        """The actuator by which a consumer can be starved: connect, limit, else the tree it is supplied from."""
        con = self.site.consumers[c]
        for actuator in (con.do_connect, con.do_limit, con.do_supply):
            if self.can(actuator):
                return actuator
        return NONE

    def _cut(self, c: int, *, connected: bool) -> int:
        con = self.site.consumers[c]
        if con.do_connect != NONE:
            self.state.consumer_connect[c] = 1 if connected else 0
            return con.do_connect
        if con.do_limit != NONE:
            self.state.consumer_limit_w[c] = con.rated_w if connected else 0
            return con.do_limit
        return con.do_supply


def offer_member(phases: int) -> Member:
    """How an appliance that offers flexibility counts on the ratings above it."""
    return Member(NONE, phases, OFFER_POWER_FACTOR_PPM)


def wished(target: int) -> bool:
    """Whether a column holds a target."""
    return target != NO_WISH
