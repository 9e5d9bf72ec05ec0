"""The ladder's other direction: what is given back when there is room, and what gives way when there is too much.

Giving back waits until room has lasted `restore_after`, comes in batches of at most `restore_step` every
`restore_every`, and looks at every rating above the device. Too much generation is cured at once.
"""

from __future__ import annotations

from collections.abc import Callable

from scowl_edge.capacity import ShedState
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, PPM, Dispatch
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.offers import end_offers, take_back_offers
from scowl_edge.tracker.region import Condition
from scowl_edge.tracker.steering import Steering, wished

ROOM = declare("room", "{} has {:W} of room again")
SPARE = declare("spare", "{} has {:W} to spare")
FLOOR = declare("floor", "its state of charge is at the floor")
PROTECTION = declare("protection", "its state of charge is below the protection level")
IMPORTING = declare("importing", "{} has nothing to spare; stores are filled from own generation only")
TOO_MUCH = declare("too-much", "{} exports {:W} more than it may")


def give_back(steering: Steering, scope: Scope, free_w: int) -> None:
    """One batch of what was taken, most important and longest waiting first. `free_w` excludes the dead bands."""
    policy, state = steering.site.policy, steering.state
    if free_w <= 0 or (state.restored_at >= 0 and steering.now_ms - state.restored_at < policy.restore_every_ms):
        return
    batch = min(free_w, policy.restore_step_w)
    given = feed_starving(steering, scope, batch, free_w)
    given += restore_sheds(steering, scope, batch - given)
    if given == 0 and not any(_waits_for(steering, scope, c) for c in scope.consumers):
        for rung in LESS_EFFORT:
            given = rung(steering, scope, batch, free_w)
            if given:
                break
    if given:
        state.restored_at = steering.now_ms


def _waits_for(steering: Steering, scope: Scope, c: int) -> bool:
    """Whether a consumer is kept from its power by this scope, and not by a narrower place further in."""
    con, shed = steering.site.consumers[c], steering.book.sheds.get(c)
    starving = steering.state.condition[c] != Condition.SERVED
    if not starving and (shed is None or shed.state is ShedState.ENDING):
        return False
    inner = [r for r in steering.rating_tree.chain(con.rating) if r != scope.rating]
    return all(steering.state.rating_free_at[r] >= 0 for r in inner)


def next_rise_w(steering: Steering, scope: Scope) -> int:
    """What the next batch of those who wait for this scope would draw; 0 = nobody waits."""
    total, largest = 0, 0
    for c in scope.consumers:
        if not _waits_for(steering, scope, c):
            continue
        con, held = steering.site.consumers[c], steering.book.sheds.get(c)
        if steering.state.condition[c] != Condition.SERVED:
            given_up = steering.state.wanted_w[c] - steering.seen.consumption_w[c]
            largest = max(largest, given_up)
        else:
            granted = held is not None and held.state is ShedState.GRANTED and not held.failed
            given_up = held.granted_w if held is not None and granted else 0
        total += max(0, given_up) * (PPM + con.rebound_ppm) // PPM
    return min(total, max(steering.site.policy.restore_step_w, largest))


def feed_starving(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """Connects starved consumers: class first, then who has waited longest. One larger than a batch goes alone."""
    state, given = steering.state, 0
    starving = sorted(
        (c for c in scope.consumers if state.condition[c] != Condition.SERVED),
        key=lambda c: (steering.site.consumers[c].klass, state.condition_at[c], c),
    )
    for c in starving:
        con = steering.site.consumers[c]
        rise = state.wanted_w[c] + state.wanted_w[c] * con.rebound_ppm // PPM
        alone = given == 0 and rise > steering.site.policy.restore_step_w and rise <= free_w
        if (rise > batch_w - given and not alone) or steering.cut_method(c) < 0 or not steering.ripe(con.rating):
            continue
        if rise > steering.seen.ratings.room_import_w(con.rating, steering.consumer_member(c)):
            continue
        steering.feed("feed-starving", c, Reason(ROOM, (scope.name, free_w)))
        given += rise
        if alone:
            break
    return given


def restore_sheds(steering: Steering, scope: Scope, batch_w: int) -> int:
    """Ends sheds, whole ones where they fit, the larger ones in parts."""
    given = 0
    sheds = sorted(
        (c for c in scope.consumers if c in steering.book.sheds),
        key=lambda c: (steering.site.consumers[c].klass, steering.book.sheds[c].asked_at, c),
    )
    step = steering.site.policy.restore_step_w
    for c in sheds:
        con, held = steering.site.consumers[c], steering.book.sheds[c]
        if held.state is not ShedState.GRANTED or steering.shed_method(c) < 0:
            continue
        part = min(held.granted_w, step * PPM // (PPM + con.rebound_ppm))
        room = steering.seen.ratings.room_import_w(con.rating, steering.consumer_member(c))
        if con.do_shed == NONE and part > room >= max(con.rated_w // 20, steering.site.policy.dead_band_w):
            # A narrow place further in: a limit can be raised by what fits.
            part = room * PPM // (PPM + con.rebound_ppm)
        rise = part + part * con.rebound_ppm // PPM
        if held.granted_w > 0 and (rise > batch_w - given or not steering.ripe(con.rating)):
            continue
        if rise > room:
            continue
        steering.release_shed("restore-shed", c, part, Reason(ROOM, (scope.name, batch_w)))
        given += max(rise, 1)
    return given


def stop_discharge(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """Stores that bridge are relieved first."""
    for s in scope.storages:
        sto = steering.site.storages[s]
        given = max(0, -steering.expected_w(sto.device))
        if given == 0 or not steering.can(sto.do_setpoint) or sto.device in steering.reserved:
            continue
        # What it gives less, everything around it imports more.
        room = steering.seen.ratings.room_import_w(sto.rating, steering.storage_member(s))
        less = min(given, batch_w, room, steering.slack_w.get(len(steering.site.generators) + s, given))
        if less <= 0:
            continue
        steering.set_storage("stop-discharge", s, -(given - less), Reason(ROOM, (scope.name, free_w)), protective=False)
        return less
    return 0


def lower_continuous(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """Continuous generators produce less, down to their minimum; they stop when the rest covers that too."""
    for g in scope.generators:
        gen = steering.site.generators[g]
        if gen.dispatch is not Dispatch.CONTINUOUS or not steering.can(gen.do_setpoint):
            continue
        given = max(0, -steering.expected_w(gen.device))
        reason = Reason(ROOM, (scope.name, free_w))
        room = _import_room_w(steering, g)
        spare = min(room, steering.slack_w.get(g, given))
        if given > gen.minimum_w:
            less = min(given - gen.minimum_w, batch_w, spare)
            if less <= steering.site.policy.dead_band_w and spare < given:
                continue
            steering.set_generator("lower-continuous", g, given - less, reason, protective=False)
            return less
        if given and min(free_w, room) >= given and _may_stop(steering, g) and not _feeds(steering, g):
            steering.set_generator("lower-continuous", g, 0, reason, protective=False)
            return given
    return 0


def stop_fixed(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """A fixed block goes off when the rest covers all of it: the largest that fits."""
    online = [
        g
        for g in scope.generators
        if steering.site.generators[g].dispatch is Dispatch.FIXED
        and (
            steering.can(steering.site.generators[g].do_connect)
            or steering.can(steering.site.generators[g].do_setpoint)
        )
        and steering.expected_w(steering.site.generators[g].device) < 0
        and steering.site.generators[g].rated_w <= min(free_w, _import_room_w(steering, g))
        and _may_stop(steering, g)
        and not _feeds(steering, g)
    ]
    if not online:
        return 0
    g = max(online, key=lambda g: (steering.site.generators[g].rated_w, -g))
    steering.switch_generator("stop-fixed", g, False, Reason(ROOM, (scope.name, free_w)), protective=False)
    return steering.site.generators[g].rated_w


def relax_limits(steering: Steering, scope: Scope, batch_w: int, free_w: int) -> int:
    """Limits that hold nobody back any more are raised towards the rating, as far as there is room for the worst."""
    state, seen = steering.state, steering.seen
    for c in scope.consumers:
        con, limit = steering.site.consumers[c], state.consumer_limit_w[c]
        if not wished(limit) or limit >= con.rated_w or not steering.can(con.do_limit):
            continue
        if c in steering.book.sheds or state.condition[c] != Condition.SERVED or not seen.fresh(con.power):
            continue
        if not steering.ripe(con.rating) or con.device in steering.book.pledges:
            continue
        power = seen.consumption_w[c]
        room = min(free_w, seen.ratings.room_import_w(con.rating, steering.consumer_member(c)))
        held_back = power >= limit - steering.site.actuators[con.do_limit].tolerance
        # What does not use its limit is not expected to rise; there is room all the same if it does.
        target = min(con.rated_w, power + (min(room, batch_w) if held_back else room))
        if target - limit < max(con.rated_w // 20, 1) and target < con.rated_w:
            continue
        if target <= limit:
            continue
        rise = target - power if held_back else 0
        steering.relax_limit("relax-limit", c, target, rise, Reason(ROOM, (scope.name, free_w)))
        return max(rise, 1)
    return 0


def tend_storage(steering: Steering, scope: Scope, spare_w: int, left_w: int, ripe: bool) -> None:
    """Stores sleep when empty, wake and fill from what is spare, and never below their protection level.

    `left_w` is what own generation leaves over; `spare_w` is that less what waits to be fed and the reserve for the
    stochastic load. Stores take more from the one and less only when the other is negative: between them lies the
    hysteresis.
    """
    state, policy = steering.state, steering.site.policy
    paced = state.trimmed_at < 0 or steering.now_ms - state.trimmed_at >= policy.restore_every_ms
    for s in scope.storages:
        sto = steering.site.storages[s]
        if not steering.can(sto.do_setpoint) or sto.device in steering.reserved:
            continue
        soc = steering.seen.soc_ppm(s, for_discharge=True)
        expected = steering.expected_w(sto.device)
        known = steering.seen.known(sto.soc) or sto.soc == NONE
        if known and soc <= sto.floor_ppm and not state.storage_sleeping[s]:
            state.storage_sleeping[s] = True
            if expected < 0:
                steering.set_storage("sleep", s, 0, Reason(FLOOR), protective=False)
                expected = 0
        elif known and state.storage_sleeping[s] and soc >= sto.wake_ppm:
            state.storage_sleeping[s] = False
        room = steering.seen.ratings.room_import_w(sto.rating, steering.storage_member(s))
        if known and soc < sto.protection_ppm and 0 <= expected < sto.trickle_w <= expected + room:
            steering.set_storage("protect-storage", s, sto.trickle_w, Reason(PROTECTION), protective=False)
            continue
        if expected > 0 and left_w < -policy.dead_band_w and paced:
            floor = sto.trickle_w if known and soc < sto.protection_ppm else 0
            less = max(floor, expected + left_w)
            if less < expected:
                steering.set_storage("fill-storage", s, less, Reason(IMPORTING, (scope.name,)), protective=False)
                left_w += expected - less
                state.trimmed_at = steering.now_ms
            continue
        full = steering.seen.soc_ppm(s, for_discharge=False) >= sto.ceiling_ppm
        if full and expected > 0:
            continue
        if expected < 0 or full or not ripe or not paced or spare_w <= policy.dead_band_w:
            continue
        more = min(spare_w, sto.charge_w - expected, policy.restore_step_w, room)
        if more > policy.dead_band_w:
            steering.set_storage(
                "fill-storage", s, expected + more, Reason(SPARE, (scope.name, spare_w)), protective=False
            )
            spare_w -= more
            state.trimmed_at = steering.now_ms


def lift_for_export(steering: Steering, scope: Scope) -> None:
    """Curtailed generators may give more when every rating above has had room for it."""
    state, policy = steering.state, steering.site.policy
    if state.trimmed_at >= 0 and steering.now_ms - state.trimmed_at < policy.restore_every_ms:
        return
    for g in scope.generators:
        gen = steering.site.generators[g]
        limit = state.generator_limit_w[g]
        if not wished(limit) or limit >= gen.rated_w or not steering.can(gen.do_limit):
            continue
        if gen.device in steering.book.pledges or not steering.ripe(gen.rating):
            continue
        room = steering.seen.ratings.room_export_w(gen.rating, steering.generator_member(g)) - 2 * policy.dead_band_w
        now_w = steering.seen.generation_w[g]
        potential = steering.seen.potential_w(g)
        more = min(room, policy.restore_step_w)
        if potential is not None and potential <= min(limit, now_w + policy.dead_band_w):
            continue
        if more <= policy.dead_band_w:
            continue
        target = min(gen.rated_w, max(limit, now_w) + more)
        goal = min(target, potential) if potential is not None else now_w
        rise = (goal if steering.seen.fresh(gen.available) else target) - now_w
        if rise > room + 2 * policy.dead_band_w:
            continue
        reason = Reason(ROOM, (scope.name, room))
        steering.limit_generator("lift-curtailment", g, target, goal, reason, protective=False)
        state.trimmed_at = steering.now_ms
        return


def descend(steering: Steering, scope: Scope, need: Need) -> None:
    """Too much generation for a rating: what gives way, in the order of the ladder; `need` counts excess export."""
    for rung in TOO_MUCH_SUPPLY:
        if not need.open:
            return
        rung(steering, scope, need)


def _cut_discharge(steering: Steering, scope: Scope, need: Need) -> None:
    for s in scope.storages:
        sto = steering.site.storages[s]
        given = max(0, -steering.expected_w(sto.device))
        less = min(given, need.wanted_w(sto.phases))
        if less > 0 and steering.can(sto.do_setpoint):
            why = Reason(TOO_MUCH, (scope.name, need.worst_w))
            steering.set_storage("stop-discharge", s, -(given - less), why, protective=True)
            need.relieve(sto.phases, less, less)


def _cut_continuous(steering: Steering, scope: Scope, need: Need) -> None:
    for g in scope.generators:
        gen = steering.site.generators[g]
        given = max(0, -steering.expected_w(gen.device))
        if gen.dispatch is not Dispatch.CONTINUOUS or given == 0 or not steering.can(gen.do_setpoint):
            continue
        wanted = need.wanted_w(gen.phases)
        if wanted <= 0:
            continue
        target = max(gen.minimum_w, given - wanted)
        if given - target < wanted and _may_stop(steering, g):
            target = 0
        if target < given:
            steering.set_generator(
                "lower-continuous", g, target, Reason(TOO_MUCH, (scope.name, wanted)), protective=True
            )
            horizon = steering.site.policy.ride_through_ms
            soon = gen.ramp_w_s * horizon // 1000 if gen.ramp_w_s else given
            need.relieve(gen.phases, given - target, min(given - target, soon))


def _cut_fixed(steering: Steering, scope: Scope, need: Need) -> None:
    for g in scope.generators:
        gen = steering.site.generators[g]
        if gen.dispatch is not Dispatch.FIXED or not _may_stop(steering, g):
            continue
        spilled = need.final_w(gen.phases) + _stored_or_curtailed_w(steering, scope)
        if steering.expected_w(gen.device) >= 0 or spilled < gen.rated_w:
            continue
        if steering.can(gen.do_connect) or steering.can(gen.do_setpoint):
            why = Reason(TOO_MUCH, (scope.name, need.worst_w))
            steering.switch_generator("stop-fixed", g, False, why, protective=True)
            need.relieve(gen.phases, gen.rated_w, gen.rated_w)


def _import_room_w(steering: Steering, g: int) -> int:
    """What the ratings around a generator could import instead of what it gives."""
    return steering.seen.ratings.room_import_w(steering.site.generators[g].rating, steering.generator_member(g))


def _feeds(steering: Steering, g: int) -> bool:
    """Whether a generator on a separate bus still carries somebody."""
    return g in steering.slack_w and bool((steering.state.tree == g).any())


def _stored_or_curtailed_w(steering: Steering, scope: Scope) -> int:
    """Power that could take the place of a block: what stores take, and what curtailed generators hold back."""
    stored = sum(max(0, steering.expected_w(steering.site.storages[s].device)) for s in scope.storages)
    held_back = 0
    for g in scope.generators:
        potential = steering.seen.potential_w(g)
        if potential is not None and wished(steering.state.generator_limit_w[g]):
            held_back += max(0, potential - steering.seen.generation_w[g])
    return stored + held_back


def _fill(steering: Steering, scope: Scope, need: Need) -> None:
    horizon = steering.site.policy.ride_through_ms
    for s in scope.storages:
        sto = steering.site.storages[s]
        if not steering.can(sto.do_setpoint):
            continue
        if steering.seen.soc_ppm(s, for_discharge=False) >= sto.ceiling_ppm:
            continue
        expected = steering.expected_w(sto.device)
        room = steering.seen.ratings.room_import_w(sto.rating, steering.storage_member(s))
        more = min(sto.charge_w - expected, need.wanted_w(sto.phases), room)
        if expected < 0 or more <= 0:
            continue
        soon = min(more, sto.ramp_w_s * horizon // 1000) if sto.ramp_w_s else more
        why = Reason(TOO_MUCH, (scope.name, need.worst_w))
        steering.set_storage("fill-storage", s, expected + more, why, protective=True)
        need.relieve(sto.phases, more, soon)


def _curtail(steering: Steering, scope: Scope, need: Need) -> None:
    """Shares the cut between weather-driven generators in proportion to what they give."""
    candidates = [
        g
        for g in scope.generators
        if steering.site.generators[g].dispatch is Dispatch.STOCHASTIC
        and steering.can(steering.site.generators[g].do_limit)
        and steering.expected_w(steering.site.generators[g].device) < 0
    ]
    total = sum(-steering.expected_w(steering.site.generators[g].device) for g in candidates)
    for g in candidates:
        gen = steering.site.generators[g]
        given = -steering.expected_w(gen.device)
        wanted = need.wanted_w(gen.phases)
        if wanted <= 0:
            return
        less = min(given, -(-wanted * given // total) if total else wanted)
        total -= given
        if less <= 0:
            continue
        why = Reason(TOO_MUCH, (scope.name, wanted))
        steering.limit_generator("curtail", g, given - less, given - less, why, protective=True)
        need.relieve(gen.phases, less, less)


def _may_stop(steering: Steering, g: int) -> bool:
    gen = steering.site.generators[g]
    started = steering.state.generator_switched_at[g]
    return started < 0 or steering.now_ms - started >= gen.min_up_ms


Rung = Callable[[Steering, Scope, Need], None]
LESS_EFFORT: tuple[Callable[[Steering, Scope, int, int], int], ...] = (
    end_offers,
    stop_discharge,
    lower_continuous,
    stop_fixed,
    relax_limits,
)
"""After everybody is served again: what works for the region works less."""
TOO_MUCH_SUPPLY: tuple[Rung, ...] = (
    take_back_offers,
    _cut_discharge,
    _cut_continuous,
    _cut_fixed,
    _fill,
    _curtail,
)
