"""One region's tracker: keeps the book, balances every rating and bus, keeps the trees.

Stages of one step, in this order: promises and sheds are settled against the meters, blackouts are seen, ratings are
relieved from the leaves to the grid connection, buses are balanced, what can be given back is given back, trees are
repaired. The result is targets in `RegionState` and entries in the book; nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scowl_edge.capacity import Book, RatingTree, ShedState
from scowl_edge.capacity.ratings import UNLIMITED_W
from scowl_edge.model.signal import Image
from scowl_edge.model.site import NONE, PPM, BusKind, RatingKind, Site
from scowl_edge.tracker import ladder, surplus
from scowl_edge.tracker.forest import Forest, Forester
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.observe import Observation
from scowl_edge.tracker.offers import count_offers
from scowl_edge.tracker.promises import Promises
from scowl_edge.tracker.region import NO_WISH, Condition, RegionState, grid_of_bus
from scowl_edge.tracker.steering import Steering


class Tracker:
    """The rules of one region. Holds frozen shape only; what changes is in `RegionState` and `Book`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.rating_tree = RatingTree(site)
        self._promises = Promises(site, self.rating_tree)
        self._forester = Forester(site, self.rating_tree)
        self.scopes = self._scopes()
        provider = site.flex.provider if site.flex is not None else None
        self._offers_rating = provider.rating if provider is not None else None
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
                inside=frozenset(tree.below[r]),
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
                    inside=frozenset([i for i, r in enumerate(site.ratings) if r.bus == b] + [NONE] * (b == 0)),
                )
            )
        return scopes

    def step(
        self,
        state: RegionState,
        book: Book,
        seen: Observation,
        usable: list[bool],
        utc_day: int,
        move_budget: int,
        vetoed: frozenset[int] = frozenset(),
        reserved: frozenset[int] = frozenset(),
    ) -> tuple[Steering, Forest]:
        """Decides. Changes `state` and `book`; returns what was decided and the trees.

        Args:
            state: the tracker's memory.
            book: commitments.
            seen: the frozen view of this step.
            usable: a flag an actuator, see `Steering.usable`.
            utc_day: number of the day, for limits a day.
            move_budget: most feeds that may move between living trees.
            vetoed: devices that are not to be asked to shed, and are disconnected last of their class.
            reserved: stores that run what somebody selected: left alone but where something lacks or is too much.
        """
        steering = Steering(self.site, self.rating_tree, state, book, seen, usable, utc_day, vetoed, reserved)
        steering.offers_rating = self._offers_rating
        before = len(steering.decisions)
        self._promises.settle(steering)
        self._forester.watch_blackouts(steering)
        self._forester.measure_slack(steering)
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
        forest = self._forester.mend(steering, move_budget)
        kept = book.sheds or book.pledges or book.offers.calls
        if len(steering.decisions) == before and not shortage and not kept:
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
        elif not scope.generators and not scope.storages and self._forester.bookkeeping[scope.bus]:
            # Only a grid that nobody here measures feeds it: there is nothing to balance but the ratings.
            return self._unlimited(scope, need)
        else:
            generation = sum(seen.generation_w[g] for g in scope.generators)
            generation += sum(max(0, -seen.storage_w[s]) for s in scope.storages)
            demand = sum(seen.consumption_w[c] for c in scope.consumers)
            demand += sum(max(0, seen.storage_w[s]) for s in scope.storages)
            missing = demand - generation * (PPM - scope.margin_ppm) // PPM
            if self.site.buses[scope.bus].kind is BusKind.SEPARATE:
                stuck = self._forester.stuck_w(steering, scope)
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
        if steering.book.offers.calls:
            count_offers(steering, scope, need, until)
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
                need.relieve(self._promises.phases(device), remaining, remaining)
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
        need, seen = self.need(steering, scope), steering.seen
        if not scope.evident:
            return 0
        now = Need(scope.phases)
        now.final = self._measured(steering, scope)
        room = min(-need.wanted_w(7), -now.final_w(7))
        # Nobody sees when an appliance takes up its load again: the meters above may show it already.
        room -= sum(
            w for _, _, w in steering.book.offers.coming_back(steering.offer_powers_w, seen.now_ms, scope.inside)
        )
        return room - 2 * self.site.policy.dead_band_w

    def _measured(self, steering: Steering, scope: Scope) -> list[int]:
        bare = replace(steering, book=Book(), decisions=[])
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
