"""The trees of a region in one step: what each carries and could carry, who moves, what went dark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scowl_edge.capacity import RatingTree
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, PPM, BusKind, Dispatch, Site
from scowl_edge.tracker.need import Scope
from scowl_edge.tracker.region import NO_WISH, Condition, feed_buses, grid_connections, tree_buses
from scowl_edge.tracker.steering import Decision, Steering
from scowl_edge.tracker.trees import repair, tree_loads

BLACKOUT = declare("blackout", "it carried {:W} with an output of {:W} for longer than the ride-through")
HOMELESS = declare("no-tree", "no tree on its bus has {:W} of room")


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The trees after a step. Lists have one entry a tree; powers in W."""

    output_w: list[int]
    safe_w: list[int]
    load_w: list[int]
    fresh: list[bool]
    feed_w: list[int]
    """Load of each feed."""


class Forester:
    """Keeps the trees. Holds frozen shape only; the assignment is in `RegionState`."""

    def __init__(self, site: Site, tree: RatingTree) -> None:
        self.site = site
        self.rating_tree = tree
        self._feed_bus = np.asarray(feed_buses(site), np.int64)
        self._tree_bus = np.asarray(tree_buses(site), np.int64)
        self._grids = grid_connections(site)
        self.bookkeeping = np.asarray([b.kind is BusKind.SYNCHRONOUS for b in site.buses], np.bool_)
        stores = len(self._feed_bus) - len(site.consumers)
        self._rank = np.asarray([c.klass for c in site.consumers] + [99] * stores, np.int64)

    def watch_blackouts(self, steering: Steering) -> None:
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

    def measure_slack(self, steering: Steering) -> None:
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

    def stuck_w(self, steering: Steering, scope: Scope) -> int:
        """What is missing because feeds cannot be divided: room for the feed that over-loaded trees would hand on."""
        slack, missing = steering.slack_w, 0
        for g in scope.generators:
            fresh = {
                f: steering.feed_w[f]
                for f in scope.consumers
                if steering.state.tree[f] == g and steering.seen.fresh(self.site.consumers[f].power)
            }
            # What is only feared of a feed that nobody measures takes nothing from others.
            feared = sum(steering.feed_w[f] for f in scope.consumers if steering.state.tree[f] == g and f not in fresh)
            over = -slack.get(g, 0) - feared
            if over <= 0:
                continue
            if self.site.generators[g].dispatch is not Dispatch.STOCHASTIC:
                missing += over
                continue
            loads = list(fresh.values())
            handed_on = min((w for w in loads if w >= over), default=max(loads, default=0))
            room = max((slack.get(t, 0) for t in scope.generators if t != g), default=0)
            missing += max(0, handed_on - room)
        return missing

    def mend(self, steering: Steering, move_budget: int) -> Forest:
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
            self.bookkeeping,
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
