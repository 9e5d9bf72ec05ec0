"""One region's tracker: keeps the book, balances every rating and bus, keeps the trees.

Stages of one step, in this order: promises and sheds are settled against the meters, blackouts are seen, ratings are
relieved from the leaves to the grid connection, buses are balanced, what can be given back is given back, trees are
repaired. The result is targets in `RegionState` and entries in the book; nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scowl_edge.capacity import Book, RatingTree, ShedState
from scowl_edge.capacity.ratings import UNLIMITED_W
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.signal import Image
from scowl_edge.model.site import NONE, PPM, BusKind, Consumer, Dispatch, Generator, RatingKind, Site, Storage
from scowl_edge.tracker import ladder, surplus
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.observe import Observation
from scowl_edge.tracker.region import (
    NO_WISH,
    Condition,
    RegionState,
    feed_buses,
    grid_connections,
    grid_of_bus,
    tree_buses,
)
from scowl_edge.tracker.steering import Decision, Steering
from scowl_edge.tracker.trees import repair, tree_loads

BLACKOUT = declare("blackout", "it carried {:W} with an output of {:W} for longer than the ride-through")
HOMELESS = declare("no-tree", "no tree on its bus has {:W} of room")
NO_RELIEF = declare("no-relief", "it granted {:W} and drew on")

SETTLED_W = 100
"""A pledge within this much of its goal has arrived."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The trees after a step. Arrays have one entry a tree; powers in W."""

    output_w: list[int]
    safe_w: list[int]
    load_w: list[int]
    fresh: list[bool]
    feed_w: list[int]
    """Load of each feed."""


class Tracker:
    """The rules of one region. Holds frozen shape only; what changes is in `RegionState` and `Book`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.rating_tree = RatingTree(site)
        self._feed_bus = np.asarray(feed_buses(site), np.int64)
        self._tree_bus = np.asarray(tree_buses(site), np.int64)
        self._grids = grid_connections(site)
        self._bookkeeping = np.asarray([b.kind is BusKind.SYNCHRONOUS for b in site.buses], np.bool_)
        consumers = len(site.consumers)
        self._rank = np.asarray([c.klass for c in site.consumers] + [99] * (len(self._feed_bus) - consumers), np.int64)
        self.scopes = self._scopes()
        self._above: dict[int, set[int]] = {}
        peers: tuple[Generator | Consumer | Storage, ...] = (*site.generators, *site.consumers, *site.storages)
        for peer in peers:
            grid = grid_of_bus(site, peer.bus)
            self._above[peer.device] = {*self.rating_tree.chain(peer.rating), *([grid] if grid != NONE else [])}
        self._fresh_ms = np.asarray([s.fresh_ms for s in site.signals], np.int64)
        self._hold_ms = np.asarray([s.hold_ms for s in site.signals], np.int64)

    def observe(self, image: Image, now_ms: int, recent: Mapping[int, Sequence[Sequence[int]]]) -> Observation:
        """The step's view of the image."""
        return Observation(self.site, self.rating_tree, image, self._fresh_ms, self._hold_ms, now_ms, recent)

    def _scopes(self) -> list[Scope]:
        """Inner ratings first, then each bus (with its grid connection, if it has one)."""
        site, tree = self.site, self.rating_tree
        generators = tree.members([g.rating for g in site.generators])
        consumers = tree.members([c.rating for c in site.consumers])
        storages = tree.members([s.rating for s in site.storages])
        bus_grids = [grid_of_bus(site, b) for b in range(len(site.buses))]
        scopes = [
            Scope(
                name=site.ratings[r].name,
                bus=site.ratings[r].bus,
                rating=r,
                phases=site.ratings[r].phases,
                generators=generators[r],
                consumers=consumers[r],
                storages=storages[r],
                margin_ppm=0,
                protective=True,
            )
            for r in tree.innermost_first()
            if r not in bus_grids
        ]
        for b, bus in enumerate(site.buses):
            grid = bus_grids[b]
            scopes.append(
                Scope(
                    name=site.ratings[grid].name if grid != NONE else f"bus {bus.name}",
                    bus=b,
                    rating=grid,
                    phases=site.ratings[grid].phases if grid != NONE else 1,
                    generators=[i for i, g in enumerate(site.generators) if g.bus == b],
                    consumers=[i for i, c in enumerate(site.consumers) if c.bus == b],
                    storages=[i for i, s in enumerate(site.storages) if s.bus == b],
                    margin_ppm=site.policy.margin_ppm,
                    protective=grid != NONE,
                )
            )
        return scopes

    def step(
        self, state: RegionState, book: Book, seen: Observation, usable: list[bool], utc_day: int, move_budget: int
    ) -> tuple[Steering, Forest]:
        """Decides. Changes `state` and `book`; returns what was decided and the trees.

        Args:
            state: the tracker's memory.
            book: commitments.
            seen: the frozen view of this step.
            usable: a flag an actuator, see `Steering.usable`.
            utc_day: number of the day, for limits a day.
            move_budget: most feeds that may move between living trees.
        """
        steering = Steering(self.site, self.rating_tree, state, book, seen, usable, utc_day)
        before = len(steering.decisions)
        self._settle_pledges(book, seen)
        self._settle_sheds(steering)
        for device, pledge in sorted(book.pledges.items()):
            self._plan_pledge(steering, device, pledge.remaining_w(seen.net_w(device)))
        self._watch_blackouts(steering)
        self._measure_slack(steering)
        shortage = False
        for scope in self.scopes:
            self._relieve_export(steering, scope)
            need = self.need(steering, scope)
            if need.open:
                shortage = True
                if self._is_news(state.acted_on_at, scope, seen):
                    self._add_band(need)
                    count = len(steering.decisions)
                    ladder.climb(steering, scope, need)
                    self._acted(state.acted_on_at, scope, steering, count)
        for scope in self.scopes:
            self._note_room(steering, scope)
        for scope in self.scopes:
            if self._is_bus(scope):
                if not shortage:
                    self._make_room(steering, scope)
                self._give_back(steering, scope, shortage)
        forest = self._repair_trees(steering, move_budget)
        if len(steering.decisions) == before and not shortage and not book.sheds and not book.pledges:
            state.rung = "balanced"
        return steering, forest

    def _is_news(self, acted_on_at: list[int], scope: Scope, seen: Observation) -> bool:
        """Whether the flow was measured since the ladder last acted on it: the same reading asks for nothing twice."""
        return scope.rating == NONE or seen.measured_ms(scope.rating) > acted_on_at[scope.rating]

    def _acted(self, acted_on_at: list[int], scope: Scope, steering: Steering, decisions_before: int) -> None:
        if scope.rating != NONE and len(steering.decisions) > decisions_before:
            acted_on_at[scope.rating] = steering.seen.measured_ms(scope.rating)

    def _measured_ms(self, seen: Observation, scope: Scope) -> int:
        return seen.measured_ms(scope.rating) if scope.rating != NONE else seen.now_ms

    def _is_bus(self, scope: Scope) -> bool:
        return scope.rating == NONE or (
            self.site.ratings[scope.rating].kind is RatingKind.GRID
            and grid_of_bus(self.site, scope.bus) == scope.rating
        )

    def need(self, steering: Steering, scope: Scope) -> Need:
        """What is missing on the import side of a scope, before any dead band; W or VA per phase."""
        seen, loads, horizon = steering.seen, steering.seen.ratings, self.site.policy.ride_through_ms
        need = Need(scope.phases)
        if scope.rating != NONE:
            limit = self.rating_tree.import_limit_va(scope.rating)
            if limit < 0:
                return self._unlimited(scope, need)
            reserve = self._reserve_w(steering, scope) if self._is_bus(scope) else 0
            each = -(-reserve // scope.phases)
            need.final = [loads.load_va[scope.rating][p] - limit + each for p in range(3)]
            if scope.phases == 1:
                need.final[1] = need.final[2] = need.final[0]
            scope.evident = loads.fresh[scope.rating]
        elif not scope.generators and not scope.storages and self._bookkeeping[scope.bus]:
            # Only a grid that nobody here measures feeds it: there is nothing to balance but the ratings.
            return self._unlimited(scope, need)
        else:
            generation = sum(seen.generation_w[g] for g in scope.generators)
            generation += sum(max(0, -seen.storage_w[s]) for s in scope.storages)
            demand = sum(seen.consumption_w[c] for c in scope.consumers)
            demand += sum(max(0, seen.storage_w[s]) for s in scope.storages)
            missing = demand - generation * (PPM - scope.margin_ppm) // PPM
            if self.site.buses[scope.bus].kind is BusKind.SEPARATE:
                stuck = self._stuck_w(steering, scope)
                missing = max(missing, stuck) if stuck > 0 else missing
            need.final = [missing] * 3
            scope.evident = all(seen.fresh(self.site.generators[g].power) for g in scope.generators) and any(
                seen.fresh(self.site.consumers[c].power) for c in scope.consumers
            )
        measured = self._measured_ms(seen, scope)
        need.soon = list(need.final)
        until = seen.now_ms + horizon
        if steering.book.pledges:
            for gi in scope.generators:
                self._count(steering, need, self.site.generators[gi].device, scope, gi, "generator", until)
            for ci in scope.consumers:
                self._count(steering, need, self.site.consumers[ci].device, scope, ci, "consumer", until)
            for si in scope.storages:
                self._count(steering, need, self.site.storages[si].device, scope, si, "storage", until)
        for ci in scope.consumers if steering.book.sheds else ():
            shed = steering.book.sheds.get(ci)
            if shed is None or shed.state is not ShedState.GRANTED or shed.failed:
                continue
            if seen.now_ms < shed.judged_at:
                # Later the meter tells what it is worth: a promise has a deadline.
                power = seen.net_w_at(self.site.consumers[ci].device, measured)
                pending = shed.granted_w - shed.relief_at_w(power)
                if pending > 0:
                    need.relieve(self.site.consumers[ci].phases, pending, pending)
        return need

    @staticmethod
    def _unlimited(scope: Scope, need: Need) -> Need:
        scope.evident = True
        need.final, need.soon = [-UNLIMITED_W] * 3, [-UNLIMITED_W] * 3
        return need

    def _count(
        self, steering: Steering, need: Need, device: int, scope: Scope, index: int, kind: str, until_ms: int
    ) -> None:
        pledge = steering.book.pledges.get(device)
        if pledge is None:
            return
        power = steering.seen.net_w_at(device, self._measured_ms(steering.seen, scope))
        final = pledge.remaining_w(power)
        soon = pledge.within_w(power, steering.seen.now_ms, until_ms)
        if kind != "consumer" and final < 0:
            # More generation raises the reserve as well: only its usable part relieves.
            final = -(-final * (PPM - scope.margin_ppm) // PPM)
            soon = -(-soon * (PPM - scope.margin_ppm) // PPM)
        member = (
            steering.generator_member(index)
            if kind == "generator"
            else steering.consumer_member(index)
            if kind == "consumer"
            else steering.storage_member(index)
        )
        need.add(final, soon, member)

    def _reserve_w(self, steering: Steering, scope: Scope) -> int:
        """The part of present generation that safe trees leave free."""
        seen = steering.seen
        generation = sum(seen.generation_w[g] for g in scope.generators)
        generation += sum(max(0, -seen.storage_w[s]) for s in scope.storages)
        # What curtailed generators hold back is a reserve already.
        held_back = 0
        for g in scope.generators:
            potential = seen.potential_w(g)
            if potential is not None and steering.state.generator_limit_w[g] != NO_WISH:
                held_back += max(0, potential - seen.generation_w[g])
        return max(0, generation * scope.margin_ppm // PPM - held_back)

    def _add_band(self, need: Need) -> None:
        """Aims a dead band below the limit, so that the next flutter finds room."""
        band = -(-self.site.policy.dead_band_w // need.phases)
        for p in range(3):
            need.final[p] += band
            need.soon[p] += band

    def _relieve_export(self, steering: Steering, scope: Scope) -> None:
        if scope.rating == NONE or self.rating_tree.export_limit_va(scope.rating) < 0:
            return
        loads = steering.seen.ratings
        limit = self.rating_tree.export_limit_va(scope.rating)
        need = Need(scope.phases)
        need.final = [-loads.load_va[scope.rating][p] - limit for p in range(3)]
        if scope.phases == 1:
            need.final[1] = need.final[2] = need.final[0]
        for device in self._devices(scope):
            pledge = steering.book.pledges.get(device)
            if pledge is not None:
                # A promise of less export relieves, one of more export adds: the mirror of the import side.
                remaining = pledge.remaining_w(steering.seen.net_w_at(device, self._measured_ms(steering.seen, scope)))
                for p in range(3):
                    need.final[p] -= remaining // (1 if scope.phases == 1 else 3)
        need.soon = list(need.final)
        acted = steering.state.export_acted_on_at
        if need.open and loads.fresh[scope.rating] and self._is_news(acted, scope, steering.seen):
            self._add_band(need)
            count = len(steering.decisions)
            surplus.descend(steering, scope, need)
            self._acted(acted, scope, steering, count)

    def _devices(self, scope: Scope) -> list[int]:
        return [
            *(self.site.generators[g].device for g in scope.generators),
            *(self.site.consumers[c].device for c in scope.consumers),
            *(self.site.storages[s].device for s in scope.storages),
        ]

    def _note_room(self, steering: Steering, scope: Scope) -> None:
        """Keeps since when each rating and bus has had room beyond two dead bands, all promises counted."""
        state, now = steering.state, steering.now_ms
        free = self.free_w(steering, scope)
        if scope.rating != NONE:
            since = state.rating_free_at[scope.rating]
            state.rating_free_at[scope.rating] = -1 if free <= 0 else since if since >= 0 else now
        if self._is_bus(scope):
            since = state.bus_free_at[scope.bus]
            state.bus_free_at[scope.bus] = -1 if free <= 0 else since if since >= 0 else now

    def free_w(self, steering: Steering, scope: Scope) -> int:
        """Room in W for a three-phase load, beyond two dead bands; <= 0 where the scope is not freshly measured.

        Promised relief does not count before it is measured; promised load counts at once.
        """
        need = self.need(steering, scope)
        if not scope.evident:
            return 0
        now = Need(scope.phases)
        now.final = self._measured(steering, scope)
        room = min(-need.wanted_w(7), -now.final_w(7))
        return room - 2 * self.site.policy.dead_band_w

    def _measured(self, steering: Steering, scope: Scope) -> list[int]:
        bare = Steering(
            steering.site,
            steering.rating_tree,
            steering.state,
            Book(),
            steering.seen,
            steering.usable,
            0,
        )
        return self.need(bare, scope).final

    def _make_room(self, steering: Steering, scope: Scope) -> None:
        """Sources that could not help when somebody had to give way may do so now: shedding and starving come last."""
        rise = surplus.next_rise_w(steering, scope)
        need = self.need(steering, scope)
        if rise <= 0 or not scope.evident or not self._is_news(steering.state.acted_on_at, scope, steering.seen):
            return
        more = -(-(rise + 3 * self.site.policy.dead_band_w) // need.phases)
        need.final = [w + more for w in need.final]
        need.soon = [-UNLIMITED_W] * 3
        if need.open:
            count = len(steering.decisions)
            ladder.climb_for_waiting(steering, replace(scope, protective=False), need)
            self._acted(steering.state.acted_on_at, scope, steering, count)

    def _give_back(self, steering: Steering, scope: Scope, shortage: bool) -> None:
        state, policy, now = steering.state, self.site.policy, steering.now_ms
        since = state.bus_free_at[scope.bus]
        ripe = since >= 0 and now - since >= policy.restore_after_ms and not shortage
        if ripe:
            surplus.give_back(steering, scope, self.free_w(steering, scope))
        if not shortage:
            left = self.left_over_w(steering, scope)
            waiting = sum(state.wanted_w[c] for c in scope.consumers if state.condition[c] != Condition.SERVED)
            reserve = sum(steering.seen.consumption_w[c] for c in scope.consumers) * policy.reserve_ppm // PPM
            surplus.tend_storage(steering, scope, left - waiting - reserve, left, ripe)
            surplus.lift_for_export(steering, scope)

    def left_over_w(self, steering: Steering, scope: Scope) -> int:
        """What stores may take: own generation that is left over, or all room if they may fill from the grid; negative
        when own generation does not even cover what they take now."""
        seen, policy = steering.seen, self.site.policy
        pending = sum(
            max(0, pledge.remaining_w(seen.net_w(device)))
            for device in self._devices(scope)
            if (pledge := steering.book.pledges.get(device)) is not None
        )
        if policy.charge_from_grid or scope.rating == NONE:
            return self.free_w(steering, scope)
        if not seen.ratings.fresh[scope.rating]:
            return 0
        return -seen.ratings.net_w[scope.rating] - pending

    def _settle_pledges(self, book: Book, seen: Observation) -> None:
        for device in sorted(book.pledges):
            pledge = book.pledges[device]
            # Seen by the device's own meter and by every meter above it: until then somebody would count it as lost.
            seen_by_all = min((seen.measured_ms(r) for r in self._above[device]), default=seen.now_ms)
            arrived = abs(pledge.remaining_w(seen.net_w_at(device, seen_by_all))) <= SETTLED_W
            if arrived or seen.now_ms >= pledge.deadline_at:
                del book.pledges[device]

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
                shed.base_w = shed.lowest_w = power
            if shed.state is not ShedState.GRANTED or shed.granted_w <= 0:
                continue
            if fresh:
                shed.lowest_w = min(shed.lowest_w, power)
            # A load may rise while it sheds: any clear decline shows that it obeys.
            decline = min(shed.granted_w // 2, self._shed_tolerance_w(c))
            if not shed.effective and shed.base_w - shed.lowest_w >= decline:
                shed.effective = True
                shed.failed = False
            elif not shed.effective and not shed.failed and fresh and now >= shed.judged_at:
                shed.failed = True
                steering.decisions.append(
                    Decision("shed-failed", con.device, shed.granted_w, Reason(NO_RELIEF, (shed.granted_w,)))
                )

    def _shed_tolerance_w(self, c: int) -> int:
        con = self.site.consumers[c]
        return max(1, self.site.actuators[con.do_shed if con.do_shed != NONE else con.do_limit].tolerance)

    def _end_shed(self, steering: Steering, c: int) -> None:
        con, state = self.site.consumers[c], steering.state
        shed = steering.book.sheds.pop(c)
        state.shed_ended_at[c] = steering.now_ms
        if con.do_shed == NONE and con.do_limit != NONE:
            state.consumer_limit_w[c] = con.rated_w
        if shed.state is not ShedState.ENDING:
            reason = Reason("shed-expired", (shed.granted_w,))
            steering.decisions.append(Decision("shed-expired", con.device, shed.granted_w, reason))

    def _plan_pledge(self, steering: Steering, device: int, remaining_w: int) -> None:
        for gi, g in enumerate(self.site.generators):
            if g.device == device:
                steering.seen.ratings.plan(g.rating, remaining_w, steering.generator_member(gi))
                return
        for ci, c in enumerate(self.site.consumers):
            if c.device == device:
                steering.seen.ratings.plan(c.rating, remaining_w, steering.consumer_member(ci))
                return
        for si, s in enumerate(self.site.storages):
            if s.device == device:
                steering.seen.ratings.plan(s.rating, remaining_w, steering.storage_member(si))
                return

    def feed_load_w(self, steering: Steering) -> list[int]:
        """Load of each feed for its tree: what is measured, at worst what is rated; starved feeds have none."""
        state, seen = steering.state, steering.seen
        consumers = [
            seen.demand_worst_w(c) if state.condition[c] == Condition.SERVED else 0
            for c in range(len(self.site.consumers))
        ]
        return [*(max(0, w) for w in consumers), *(max(0, seen.storage_w[s]) for s in range(len(self.site.storages)))]

    def outputs(self, steering: Steering) -> tuple[list[int], list[int], list[bool], list[bool]]:
        """(output, safe load, fresh, alive) of every tree; a lost generator takes nobody new and keeps its members."""
        seen, margin = steering.seen, self.site.policy.margin_ppm
        output: list[int] = []
        fresh: list[bool] = []
        alive: list[bool] = []
        for gi, g in enumerate(self.site.generators):
            output.append(min(seen.generation_w[gi], g.rated_w))
            fresh.append(seen.fresh(g.power))
            alive.append(steering.state.tree_blackout_at[gi] < 0 and (output[-1] > 0 or not fresh[-1]))
        for si, s in enumerate(self.site.storages):
            output.append(min(max(0, -seen.storage_w[si]), s.discharge_w))
            fresh.append(seen.fresh(s.power))
            alive.append(
                output[-1] > 0 or (not fresh[-1] and steering.state.storage_setpoint_w[si] not in (NO_WISH, 0))
            )
        safe = [w * (PPM - margin) // PPM for w in output]
        for r in self._grids:
            rating = self.site.ratings[r]
            limit = self.rating_tree.import_limit_va(r)
            unmetered = max(0, seen.ratings.unmetered_w[r])
            output.append(limit * rating.phases if limit >= 0 else 1 << 40)
            safe.append(max(0, output[-1] - unmetered))
            fresh.append(seen.ratings.fresh[r])
            alive.append(True)
        return output, safe, fresh, alive

    def _stuck_w(self, steering: Steering, scope: Scope) -> int:
        """What is missing because feeds cannot be divided: room for the feed that over-loaded trees would hand on."""
        slack, missing = steering.slack_w, 0
        for g in scope.generators:
            over = -slack.get(g, 0)
            if over <= 0:
                continue
            if self.site.generators[g].dispatch is not Dispatch.STOCHASTIC:
                missing += over
                continue
            loads = [steering.feed_w[f] for f in scope.consumers if steering.state.tree[f] == g]
            handed_on = min((w for w in loads if w >= over), default=max(loads, default=0))
            room = max((slack.get(t, 0) for t in scope.generators if t != g), default=0)
            missing += max(0, handed_on - room)
        return missing

    def _measure_slack(self, steering: Steering) -> None:
        """What each tree could carry on top; on a separate bus nobody may take more than that from its generator."""
        _, safe, fresh, alive = self.outputs(steering)
        load = self.feed_load_w(steering)
        steering.feed_w = load
        totals = tree_loads(np.asarray(load, np.int64), steering.state.tree, len(safe)).tolist()
        slack = [s - w if f and a else 0 for s, w, f, a in zip(safe, totals, fresh, alive, strict=True)]
        steering.slack_w = {
            t: slack[t] for t in range(len(safe)) if self.site.buses[int(self._tree_bus[t])].kind is BusKind.SEPARATE
        }
        for g in range(len(self.site.generators)):
            if g in steering.slack_w and self.site.generators[g].dispatch is not Dispatch.STOCHASTIC:
                self._drain(steering, g, load, slack)

    def _drain(self, steering: Steering, g: int, load: list[int], slack: list[int]) -> None:
        """Moves all feeds of a dispatchable generator to weather-driven ones that have room for every one of them."""
        state, tree_bus = steering.state, self._tree_bus
        members = [f for f in range(len(self.site.consumers)) if state.tree[f] == g]
        hosts = [
            t
            for t, other in enumerate(self.site.generators)
            if t != g and tree_bus[t] == tree_bus[g] and other.dispatch is Dispatch.STOCHASTIC
        ]
        room = {t: slack[t] - self.site.policy.dead_band_w for t in hosts}
        moves: list[tuple[int, int]] = []
        for f in sorted(members, key=lambda f: (-load[f], f)):
            to = max(room, key=lambda t: (room[t], -t), default=NONE)
            if to == NONE or room[to] < load[f]:
                return
            room[to] -= load[f]
            moves.append((f, to))
        since = state.bus_free_at[int(tree_bus[g])]
        if not moves or since < 0 or steering.now_ms - since < self.site.policy.restore_after_ms:
            return
        for f, to in moves:
            state.tree[f] = to
            slack[to] -= load[f]
            slack[g] += load[f]
        for t in (*hosts, g):
            steering.slack_w[t] = slack[t]

    def _repair_trees(self, steering: Steering, move_budget: int) -> Forest:
        state = steering.state
        load = self.feed_load_w(steering)
        output, safe, fresh, alive = self.outputs(steering)
        consumers = len(self.site.consumers)
        wants = [state.condition[f] != Condition.STARVED if f < consumers else load[f] > 0 for f in range(len(load))]
        load_for_fit = [
            state.wanted_w[f] if f < consumers and state.condition[f] == Condition.CHOKED else load[f]
            for f in range(len(load))
        ]
        loads = np.asarray(load_for_fit, np.int64)
        repair(
            loads,
            self._rank,
            self._feed_bus,
            np.asarray(wants, np.bool_),
            state.tree,
            np.asarray(safe, np.int64),
            self._tree_bus,
            np.asarray(fresh, np.bool_) & np.asarray(alive, np.bool_),
            np.asarray(alive, np.bool_),
            self._bookkeeping,
            move_budget,
        )
        for c in range(consumers):
            homeless = state.tree[c] == NONE
            if state.condition[c] == Condition.CHOKED:
                if homeless and self.site.consumers[c].klass == 0:
                    # Never starved by software: it stays in the dark only until any tree can take it.
                    continue
                state.condition[c] = Condition.STARVED if homeless else Condition.SERVED
                state.condition_at[c] = steering.now_ms
                if homeless:
                    state.starved_times[c] += 1
            elif homeless and state.condition[c] == Condition.SERVED and self._supplied_by_tree(c) and state.settled:
                self._strand(steering, c, load[c])
        totals = tree_loads(np.asarray(self.feed_load_w(steering), np.int64), state.tree, len(output))
        return Forest(output, safe, totals.tolist(), fresh, load)

    def _supplied_by_tree(self, c: int) -> bool:
        con = self.site.consumers[c]
        return self.site.buses[con.bus].kind is BusKind.SEPARATE and con.interruptible and con.klass > 0

    def _strand(self, steering: Steering, c: int, load_w: int) -> None:
        """A feed on a separate bus that no tree can carry starves until one can."""
        if load_w <= 0 or not steering.seen.fresh(self.site.consumers[c].power):
            return
        if steering.cut_method(c) >= 0:
            steering.starve("starve", c, Reason(HOMELESS, (load_w,)), protective=True)

    def _watch_blackouts(self, steering: Steering) -> None:
        """On separate buses, output below load for longer than the ride-through blacks a tree out."""
        state, seen, now = steering.state, steering.seen, steering.now_ms
        load = self.feed_load_w(steering)
        consumers = len(self.site.consumers)
        for gi, g in enumerate(self.site.generators):
            if self.site.buses[g.bus].kind is not BusKind.SEPARATE:
                continue
            members = [f for f in range(consumers) if state.tree[f] == gi]
            if state.tree_blackout_at[gi] >= 0:
                back = seen.fresh(g.power) and seen.generation_w[gi] > 0
                if back and now - state.tree_blackout_at[gi] >= self.site.policy.restore_after_ms:
                    state.tree_blackout_at[gi] = -1
                continue
            certain = seen.fresh(g.power) and all(seen.fresh(self.site.consumers[f].power) for f in members)
            total = sum(load[f] for f in members)
            before = state.tree_load_w[gi]
            # Over-loaded a moment ago and nobody draws anything now: it went dark faster than it was counted.
            dark = certain and bool(members) and total == 0 and before > seen.generation_w[gi]
            if total > 0:
                state.tree_load_w[gi] = total
                for f in members:
                    state.wanted_w[f] = load[f]
            if not certain or (total <= seen.generation_w[gi] and not dark):
                state.tree_over_at[gi] = -1
                continue
            if state.tree_over_at[gi] < 0:
                state.tree_over_at[gi] = now
            if now - state.tree_over_at[gi] <= self.site.policy.ride_through_ms and not dark:
                continue
            total = state.tree_load_w[gi]
            state.tree_over_at[gi] = -1
            state.tree_load_w[gi] = 0
            state.tree_blackout_at[gi] = now
            state.blackouts += 1
            reason = Reason(BLACKOUT, (total, seen.generation_w[gi]))
            steering.decisions.append(Decision("blackout", g.device, -total, reason))
            for f in members:
                state.condition[f] = Condition.CHOKED
                state.condition_at[f] = now
                state.tree[f] = NONE
