"""Conservation, in watts per feed, every step: wanted = served + deferred + shed + unserved."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.control.memory import Memory
from scowl_edge.model.site import NONE, Site
from scowl_edge.tracker import Condition, Forest, Observation


@dataclass(frozen=True, slots=True)
class Flow:
    """Where the power that one consumer wants goes; W."""

    wanted_w: int
    served_w: int
    deferred_w: int
    shed_w: int
    unserved_w: int


def flows(site: Site, memory: Memory, seen: Observation) -> list[Flow]:
    """The account of every consumer."""
    result = []
    for c in range(len(site.consumers)):
        power = seen.consumption_w[c]
        shed = memory.book.sheds.get(c)
        relief = shed.relief_w(power) if shed is not None else 0
        if memory.region.condition[c] != Condition.SERVED:
            unserved = max(0, memory.region.wanted_w[c] - power - relief)
            result.append(Flow(power + relief + unserved, power, 0, relief, unserved))
        else:
            result.append(Flow(power + relief, power, 0, relief, 0))
    return result


def conservation_error_w(site: Site, memory: Memory, seen: Observation, forest: Forest | None) -> int:
    """What the accounts and the trees disagree by; 0 unless there is a fault in the code.

    The accounts go feed by feed; the trees are summed from the assignment. A feed that is in two trees, in none while
    it is served, or counted twice shows here.
    """
    accounts = flows(site, memory, seen)
    wanted = sum(f.wanted_w for f in accounts)
    in_trees = [0] * (len(forest.output_w) if forest is not None else 1)
    outside = 0
    for c, flow in enumerate(accounts):
        tree = int(memory.region.tree[c])
        if tree == NONE or forest is None:
            outside += flow.served_w
        else:
            in_trees[tree] += flow.served_w
    other = sum(f.deferred_w + f.shed_w + f.unserved_w for f in accounts)
    return wanted - (sum(in_trees) + outside + other)
