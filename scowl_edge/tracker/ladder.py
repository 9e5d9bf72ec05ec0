"""The ladder, short of supply: harmless rungs first, shedding and starving last.

A rung counts towards the ride-through only with what arrives within it; a later rung may bridge the rest, and is
released first when the slower one has arrived (`surplus`).
"""

from __future__ import annotations

from collections.abc import Callable

from scowl_edge.capacity import ShedState
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, PPM, Dispatch
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.offers import activate_offers
from scowl_edge.tracker.region import Condition
from scowl_edge.tracker.steering import Steering, wished

SHORT = declare("short", "{} is short of {:W}")
BRIDGE = declare("bridge", "{} is short of {:W} until slower units arrive")
GRANT_DUE = declare("shed-asked", "{} is still short of {:W}; asked to give up load for up to {:s}")
LIMITED = declare("limited", "{} is still short of {:W}; held back by its limit")
LAST_RESORT = declare("starve", "{} is still short of {:W} and nothing else is left; class {} is disconnected")

Rung = Callable[[Steering, Scope, Need], None]


def climb(steering: Steering, scope: Scope, need: Need) -> None:
    """Works through the rungs until the need is met or nothing is left."""
    for rung in SHORT_OF_SUPPLY:
        if not need.open:
            return
        rung(steering, scope, need)


def climb_for_waiting(steering: Steering, scope: Scope, need: Need) -> None:
    """Sources do what they can for those who gave way; nobody else gives way for it."""
    for rung in SHORT_OF_SUPPLY[: SHORT_OF_SUPPLY.index(shed)]:
        if not need.open:
            return
        rung(steering, scope, need)


def _amounts(need: Need, mask: int, reach_w: int, soon_reach_w: int) -> tuple[int, int]:
    """How much to take of something that can give `reach_w` in the end and `soon_reach_w` in time."""
    final, soon = need.final_w(mask), need.soon_w(mask)
    amount = max(min(final, reach_w), min(soon, soon_reach_w, reach_w), 0)
    return amount, min(amount, soon_reach_w)


def _gross(net_w: int, margin_ppm: int) -> int:
    """Generation whose usable part, after the safety margin, is `net_w`; rounded up."""
    return -(-net_w * PPM // (PPM - margin_ppm))


def _net(gross_w: int, margin_ppm: int) -> int:
    """Usable part of generation after the safety margin, rounded down."""
    return gross_w * (PPM - margin_ppm) // PPM


def _why(scope: Scope, need: Need, mask: int) -> Reason:
    code = SHORT if need.final_w(mask) > 0 else BRIDGE
    return Reason(code, (scope.name, need.wanted_w(mask)))


def _reach(ramp_w_s: int, full_w: int, delay_ms: int, horizon_ms: int) -> int:
    """What a ramp delivers within the horizon."""
    if delay_ms > horizon_ms:
        return 0
    if ramp_w_s == 0:
        return full_w
    return min(full_w, ramp_w_s * (horizon_ms - delay_ms) // 1000)


def lift_curtailment(steering: Steering, scope: Scope, need: Need) -> None:
    """Lets curtailed weather-driven generators give what they could."""
    horizon = steering.site.policy.ride_through_ms
    for g in scope.generators:
        gen = steering.site.generators[g]
        limit = steering.state.generator_limit_w[g]
        if not wished(limit) or limit >= gen.rated_w or not steering.can(gen.do_limit) or not need.open:
            continue
        now_w = steering.seen.generation_w[g]
        pledge = steering.book.pledges.get(gen.device)
        # Weather that took more away since the promise was made is not on its way back.
        expected = now_w + max(0, -pledge.remaining_w(-now_w)) if pledge is not None else now_w
        potential = steering.seen.potential_w(g)
        gain = max(0, potential - expected) if potential is not None else 0
        room = steering.seen.ratings.room_export_w(gen.rating, steering.generator_member(g))
        if room <= 0:
            continue
        amount, soon = _amounts(
            need,
            gen.phases,
            _net(min(gain, room), scope.margin_ppm),
            _net(_reach(gen.ramp_w_s, min(gain, room), 0, horizon), scope.margin_ppm),
        )
        why = _why(scope, need, gen.phases)
        raised = _gross(amount, scope.margin_ppm)
        # Without a fresh potential nobody knows how much comes: then all that could must fit.
        foreseen = steering.seen.fresh(gen.available)
        whole = raised >= gain and (foreseen or room >= gen.rated_w - now_w)
        target = gen.rated_w if whole else min(gen.rated_w, expected + raised)
        if target <= limit:
            continue
        steering.limit_generator("lift-curtailment", g, target, expected + raised, why, protective=scope.protective)
        if not foreseen and target > expected + raised:
            # Nobody else gets the room that it may take.
            steering.seen.ratings.plan(gen.rating, expected + raised - target, steering.generator_member(g))
        need.relieve(gen.phases, amount, soon)


def stop_storing(steering: Steering, scope: Scope, need: Need) -> None:
    """Stores stop charging."""
    horizon = steering.site.policy.ride_through_ms
    for s in scope.storages:
        sto = steering.site.storages[s]
        if not steering.can(sto.do_setpoint) or not need.open:
            continue
        charging = reach = steering.expected_w(sto.device)
        loads = steering.seen.ratings
        if all(loads.fresh[r] for r in steering.rating_tree.chain(sto.rating)):
            # What the store takes no longer may not be exported beyond a limit further in.
            reach = min(reach, loads.room_export_w(sto.rating, steering.storage_member(s)))
        if reach <= 0:
            continue
        amount, soon = _amounts(need, sto.phases, reach, _reach(sto.ramp_w_s, reach, 0, horizon))
        if amount > 0:
            why = _why(scope, need, sto.phases)
            steering.set_storage("stop-storing", s, charging - amount, why, protective=scope.protective)
            need.relieve(sto.phases, amount, soon)


def raise_continuous(steering: Steering, scope: Scope, need: Need) -> None:
    """Continuous generators produce more; one that stands still is started."""
    horizon = steering.site.policy.ride_through_ms
    for g in scope.generators:
        gen = steering.site.generators[g]
        if gen.dispatch is not Dispatch.CONTINUOUS or not steering.can(gen.do_setpoint) or not need.open:
            continue
        if not steering.seen.known(gen.power):
            continue
        present = max(0, -steering.expected_w(gen.device))
        starting = present == 0
        if starting and not _may_start(steering, g):
            continue
        room = max(0, steering.seen.ratings.room_export_w(gen.rating, steering.generator_member(g)))
        reach = min(gen.rated_w - present, room)
        if reach <= crumbs_w(steering, gen.rated_w) or (starting and reach < gen.minimum_w):
            continue
        delay = gen.start_ms if starting else 0
        soon_reach = _reach(gen.ramp_w_s, reach, delay, horizon)
        amount, _ = _amounts(need, gen.phases, _net(reach, scope.margin_ppm), _net(soon_reach, scope.margin_ppm))
        if amount <= 0:
            continue
        target = min(gen.rated_w, present + reach, max(gen.minimum_w, present + _gross(amount, scope.margin_ppm)))
        why = _why(scope, need, gen.phases)
        steering.set_generator("raise-continuous", g, target, why, protective=scope.protective)
        given = _net(target - present, scope.margin_ppm)
        need.relieve(gen.phases, given, min(given, _net(soon_reach, scope.margin_ppm)))


def discharge_storage(steering: Steering, scope: Scope, need: Need) -> None:
    """Stores turn into generators."""
    horizon = steering.site.policy.ride_through_ms
    for s in scope.storages:
        sto = steering.site.storages[s]
        if not steering.can(sto.do_setpoint) or not need.open or steering.state.storage_sleeping[s]:
            continue
        if steering.seen.soc_ppm(s, for_discharge=True) <= sto.floor_ppm:
            continue
        expected = steering.expected_w(sto.device)
        given_now = max(0, -expected)
        room = max(0, steering.seen.ratings.room_export_w(sto.rating, steering.storage_member(s)))
        reach = min(sto.discharge_w - given_now, room)
        if reach <= crumbs_w(steering, sto.discharge_w) or expected > 0:
            continue
        delay = sto.dead_time_ms if steering.seen.storage_w[s] > 0 else 0
        soon_reach = _reach(sto.ramp_w_s, reach, delay, horizon)
        amount, soon = _amounts(need, sto.phases, _net(reach, scope.margin_ppm), _net(soon_reach, scope.margin_ppm))
        if amount > 0:
            more = min(reach, _gross(amount, scope.margin_ppm))
            why = _why(scope, need, sto.phases)
            steering.set_storage("discharge-storage", s, -(given_now + more), why, protective=scope.protective)
            need.relieve(sto.phases, amount, soon)


def start_fixed(steering: Steering, scope: Scope, need: Need) -> None:
    """Brings fixed blocks online: the smallest that covers the need, else the largest."""
    horizon = steering.site.policy.ride_through_ms
    candidates = [
        g
        for g in scope.generators
        if steering.site.generators[g].dispatch is Dispatch.FIXED
        and (
            steering.can(steering.site.generators[g].do_connect)
            or steering.can(steering.site.generators[g].do_setpoint)
        )
        and steering.expected_w(steering.site.generators[g].device) == 0
        and steering.seen.known(steering.site.generators[g].power)
        and _may_start(steering, g)
    ]
    while candidates and need.open:
        worst = need.final_w(7) if need.final_w(7) > 0 else need.soon_w(7)
        blocks = {g: _net(steering.site.generators[g].rated_w, scope.margin_ppm) for g in candidates}
        covering = [g for g in candidates if blocks[g] >= worst]
        g = min(covering, key=lambda g: (blocks[g], g)) if covering else max(candidates, key=lambda g: (blocks[g], -g))
        candidates.remove(g)
        gen = steering.site.generators[g]
        soon = _net(_reach(gen.ramp_w_s, gen.rated_w, gen.start_ms, horizon), scope.margin_ppm)
        if need.final_w(gen.phases) <= 0 and soon <= 0:
            continue
        if steering.seen.ratings.room_export_w(gen.rating, steering.generator_member(g)) < gen.rated_w:
            continue
        steering.switch_generator("start-fixed", g, True, _why(scope, need, gen.phases), protective=scope.protective)
        need.relieve(gen.phases, blocks[g], soon)


def shed(steering: Steering, scope: Scope, need: Need) -> None:
    """Asks load to give way: what is demand-responsive before what has nothing but a limit, least important first."""
    if not scope.evident:
        return
    for c in scope.consumers:
        con = steering.site.consumers[c]
        pending = steering.book.asked_w(frozenset((c,)))
        if scope.rating == NONE and not steering.seen.fresh(con.power):
            # No meter sums it up: load that nobody measures takes nothing from others.
            pending += steering.seen.demand_worst_w(c)
        need.relieve(con.phases, pending, pending)
    order = sorted(
        scope.consumers,
        key=lambda c: (
            steering.site.consumers[c].demand_responsive_w == 0,
            -steering.site.consumers[c].klass,
            steering.state.shed_times[c],
            steering.state.shed_ended_at[c],
            c,
        ),
    )
    for c in order:
        con = steering.site.consumers[c]
        if need.worst_w <= steering.site.policy.dead_band_w:
            # The dead band is a wish; nobody gives up load for it.
            return
        reach = sheddable_w(steering, c)
        amount = min(reach, need.wanted_w(con.phases))
        if amount <= 0:
            continue
        asked = (scope.name, need.wanted_w(con.phases))
        modulated = steering.shed_method(c) == con.do_limit
        why = Reason(LIMITED, asked) if modulated else Reason(GRANT_DUE, (*asked, con.deferral_ms))
        steering.ask_shed("shed", c, amount, why, protective=True)
        need.relieve(con.phases, amount, amount)


def crumbs_w(steering: Steering, rated_w: int) -> int:
    """Reach below which nothing is ordered: less than a register or a meter can tell."""
    return min(rated_w // 100, steering.site.policy.dead_band_w)


def flexible_w(steering: Steering, c: int) -> int:
    """Most power that a consumer may be asked to give up: what is demand-responsive, or, where a limit register is all
    there is and nothing is said of its load, what is deferrable or else all of it."""
    con = steering.site.consumers[c]
    if con.demand_responsive_w > 0 or con.do_shed >= 0:
        return con.demand_responsive_w
    return con.deferrable_w or con.rated_w


def sheddable_w(steering: Steering, c: int) -> int:
    """Power that a consumer may still be asked to give up now."""
    con, state = steering.site.consumers[c], steering.state
    flexible = flexible_w(steering, c)
    if flexible <= 0 or not con.interruptible or con.klass == 0 or con.device in steering.vetoed:
        return 0
    if state.condition[c] != Condition.SERVED or steering.shed_method(c) < 0:
        return 0
    current = steering.book.sheds.get(c)
    already = 0
    if current is not None:
        if current.state is not ShedState.GRANTED or current.failed:
            return 0
        if not current.effective or current.granted_w < current.requested_w:
            return 0
        already = current.granted_w
    else:
        ended = state.shed_ended_at[c]
        if ended >= 0 and steering.now_ms - ended < con.rest_ms:
            return 0
        if con.times_a_day and state.shed_day[c] == steering.utc_day and state.sheds_today[c] >= con.times_a_day:
            return 0
    deferrable = flexible - already
    if con.deferrable >= 0 and steering.seen.known(con.deferrable):
        deferrable = min(deferrable, steering.seen.value(con.deferrable, 0))
    if not steering.seen.fresh(con.power):
        return 0
    reach = max(0, min(deferrable, steering.seen.consumption_w[c]))
    # Asking again for crumbs would write a register for nothing.
    return reach if already == 0 or reach >= steering.site.policy.dead_band_w else 0


def starve(steering: Steering, scope: Scope, need: Need) -> None:
    """Disconnects interruptible consumers, least important class first, fairly, fewest first within that."""
    if not scope.evident:
        return
    candidates = [
        c
        for c in scope.consumers
        if steering.site.consumers[c].interruptible
        and steering.site.consumers[c].klass > 0
        and steering.state.condition[c] == Condition.SERVED
        and steering.cut_method(c) >= 0
        and steering.seen.fresh(steering.site.consumers[c].power)
        and steering.seen.consumption_w[c] > 0
        and steering.expected_w(steering.site.consumers[c].device) > 0
    ]

    def turn(c: int) -> tuple[int, bool, int]:
        """Who is next: the least important class; in it those without a veto, and those who starved least often."""
        con = steering.site.consumers[c]
        return -con.klass, con.device in steering.vetoed, steering.state.starved_times[c]

    while candidates and need.worst_w > steering.site.policy.dead_band_w:
        first = min(turn(c) for c in candidates)
        klass = -first[0]
        equals = [c for c in candidates if turn(c) == first]
        power = steering.seen.consumption_w
        curing = [c for c in equals if power[c] >= need.wanted_w(steering.site.consumers[c].phases)]
        c = min(curing, key=lambda c: (power[c], c)) if curing else max(equals, key=lambda c: (power[c], -c))
        candidates.remove(c)
        con = steering.site.consumers[c]
        wanted = need.wanted_w(con.phases)
        pending = steering.book.sheds.get(c)
        asked = pending.requested_w - pending.granted_w if pending and pending.state is ShedState.ASKED else 0
        if wanted <= 0 or asked >= power[c]:
            continue
        steering.starve("starve", c, Reason(LAST_RESORT, (scope.name, wanted, klass)), protective=True)
        need.relieve(con.phases, power[c] - asked, power[c] - asked)


def _may_start(steering: Steering, g: int) -> bool:
    gen = steering.site.generators[g]
    stopped = steering.state.generator_switched_at[g]
    return stopped < 0 or steering.now_ms - stopped >= gen.min_down_ms


SHORT_OF_SUPPLY: tuple[Rung, ...] = (
    lift_curtailment,
    stop_storing,
    raise_continuous,
    discharge_storage,
    start_fixed,
    activate_offers,
    shed,
    starve,
)
"""The order of the design; moving feeds between trees (`trees.repair`) moves no power and has its own stage."""
