"""The region's columns: who is in which tree, and what the tracker wants of each device.

One row a feed: first the consumers, then the stores (which are fed while they charge). One row a tree: first the
generators, then the stores (roots while they discharge), then the grid connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.site import NONE, RatingKind, Site

NO_WISH = -(1 << 40)
"""A target that the tracker never expressed: the device stays as it was found."""


class Condition(IntEnum):
    """What became of a feed; a shed is in the book, not here."""

    SERVED = 0
    STARVED = 1
    """Disconnected by decision: nothing else balanced the region."""
    CHOKED = 2
    """Its tree blacked out."""


@dataclass(slots=True)
class RegionState:
    """Everything that the tracker remembers between steps. Times are monotonic ms, -1 = never."""

    tree: NDArray[np.int64]
    """Feed -> tree, or -1."""
    condition: list[int]
    """A `Condition` a feed."""
    condition_at: list[int]
    wanted_w: list[int]
    """Of starved and choked feeds: what they drew before."""
    starved_times: list[int]
    shed_times: list[int]
    shed_ended_at: list[int]
    sheds_today: list[int]
    shed_day: list[int]
    protective: list[bool]
    """A flag an actuator: its present target protects a rating or relieves an evident shortage."""
    generator_limit_w: list[int]
    generator_setpoint_w: list[int]
    generator_online: list[int]
    """1, 0 or NO_WISH."""
    generator_switched_at: list[int]
    storage_setpoint_w: list[int]
    storage_sleeping: list[bool]
    storage_turned_at: list[int]
    consumer_limit_w: list[int]
    consumer_connect: list[int]
    tree_over_at: list[int]
    """Since when a tree on a separate bus carries more than its output."""
    tree_blackout_at: list[int]
    tree_load_w: list[int]
    """Of the step before: what a tree that went dark was carrying."""
    acted_on_at: list[int]
    """For each rating the measurement on which the ladder last acted, import and export: one reading, one decision."""
    export_acted_on_at: list[int]
    blackouts: int
    bus_free_at: list[int]
    """Since when there is head-room to give something back."""
    rating_free_at: list[int]
    restored_at: int
    trimmed_at: int
    """Last economic change of storage or curtailment."""
    rung: str
    """Name of the last rung that was used, or balanced."""
    settled: bool
    """Whether every bound signal was tried once since the start."""
    booted_at: int

    @classmethod
    def new(cls, site: Site) -> RegionState:
        """Nothing assigned, nothing wanted."""
        consumers, generators, stores = len(site.consumers), len(site.generators), len(site.storages)
        feeds = consumers + stores
        trees = generators + stores + len(grid_connections(site))
        return cls(
            tree=np.full(feeds, NONE, np.int64),
            condition=[Condition.SERVED] * feeds,
            condition_at=[-1] * feeds,
            wanted_w=[0] * feeds,
            starved_times=[0] * feeds,
            shed_times=[0] * consumers,
            shed_ended_at=[-1] * consumers,
            sheds_today=[0] * consumers,
            shed_day=[0] * consumers,
            protective=[False] * len(site.actuators),
            generator_limit_w=[NO_WISH] * generators,
            generator_setpoint_w=[NO_WISH] * generators,
            generator_online=[NO_WISH] * generators,
            generator_switched_at=[-1] * generators,
            storage_setpoint_w=[NO_WISH] * stores,
            storage_sleeping=[False] * stores,
            storage_turned_at=[-1] * stores,
            consumer_limit_w=[NO_WISH] * consumers,
            consumer_connect=[NO_WISH] * consumers,
            tree_over_at=[-1] * trees,
            tree_blackout_at=[-1] * trees,
            tree_load_w=[0] * trees,
            acted_on_at=[-1] * len(site.ratings),
            export_acted_on_at=[-1] * len(site.ratings),
            blackouts=0,
            bus_free_at=[-1] * len(site.buses),
            rating_free_at=[-1] * len(site.ratings),
            restored_at=-1,
            trimmed_at=-1,
            rung="balanced",
            settled=False,
            booted_at=-1,
        )


def grid_connections(site: Site) -> tuple[int, ...]:
    """Indices of the ratings that are grid connections, outermost only."""
    return tuple(i for i, r in enumerate(site.ratings) if r.kind is RatingKind.GRID)


def grid_of_bus(site: Site, bus: int) -> int:
    """The grid connection of a bus, or NONE."""
    return next((i for i in grid_connections(site) if site.ratings[i].bus == bus), NONE)


def tree_names(site: Site) -> tuple[str, ...]:
    """Names of the trees, by tree index."""
    return (
        *(site.devices[g.device].name for g in site.generators),
        *(site.devices[s.device].name for s in site.storages),
        *(site.ratings[i].name for i in grid_connections(site)),
    )


def tree_buses(site: Site) -> tuple[int, ...]:
    """Bus of each tree."""
    return (
        *(g.bus for g in site.generators),
        *(s.bus for s in site.storages),
        *(site.ratings[i].bus for i in grid_connections(site)),
    )


def feed_buses(site: Site) -> tuple[int, ...]:
    """Bus of each feed."""
    return (*(c.bus for c in site.consumers), *(s.bus for s in site.storages))
