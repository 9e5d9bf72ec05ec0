"""A population drawn from a seed: who there is, where, how large and how important; and the plants that feed it.

Shares follow a state with 32 GW at its summer peak: homes 35 % of the demand (1.32 kW each in the mean), shops and
offices 52 % (45.5 kW), industry 11 % (2 MW), transport 2 %; roofs with panels besides, netted as negative demand. The
same seed gives the same population everywhere: all draws are integers (`chance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population import chance
from scowl_edge.tracker.population.columns import KINDS, Census

_PPM = 1_000_000
_KIND, _SIZE, _ZONE, _PROTECTED, _NOISE, _PLANT, _DEFER = range(1, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One kind of consumer in a population."""

    kind: str
    """One of `KINDS`."""
    of_million: int
    """How many among a million consumers."""
    mean_w: int
    """Signed: a micro-generator's is negative."""
    sigma_ppm: int
    """Of the logarithm of the size."""
    klass: int
    protected_ppm: int = 0
    """Share that is of class 0: hospitals, pumps, telephone exchanges."""
    noise_ppm: int = 300_000
    deferrable_ppm: int = 0


STATE = (
    Share(kind="home", of_million=953_582, mean_w=1_320, sigma_ppm=550_000, klass=3, deferrable_ppm=150_000),
    Share(kind="commercial", of_million=41_026, mean_w=45_500, sigma_ppm=1_100_000, klass=2, protected_ppm=20_000,
          deferrable_ppm=100_000),
    Share(kind="industrial", of_million=223, mean_w=1_760_000, sigma_ppm=1_150_000, klass=1, protected_ppm=10_000,
          noise_ppm=100_000, deferrable_ppm=200_000),
    Share(kind="transport", of_million=169, mean_w=425_000, sigma_ppm=800_000, klass=2, deferrable_ppm=400_000),
    Share(kind="micro-generator", of_million=5_000, mean_w=-3_100, sigma_ppm=300_000, klass=3, noise_ppm=400_000),
)  # fmt: skip
"""Counts of a state of 8.9 million, per million."""


def draw(
    consumers: int, seed: int, *, zones: int = 1, quantum_w: int = 10, shares: tuple[Share, ...] = STATE
) -> Census:
    """A population of so many consumers. Zones are drawn evenly; consumers come in no order."""
    # A shuffle without a list: kinds are dealt out along a permutation of the numbers.
    numbers = np.arange(consumers, dtype=np.uint64)
    rank = np.empty(consumers, np.int64)
    rank[np.argsort(chance.hashed(seed, _KIND, numbers), kind="stable")] = np.arange(consumers)
    counts = [consumers * s.of_million // _PPM for s in shares]
    counts[0] += consumers - sum(counts)
    edges = np.cumsum(counts)
    which = np.searchsorted(edges, rank, side="right")
    nominal = np.zeros(consumers, np.int64)
    klass = np.zeros(consumers, np.uint8)
    kind = np.zeros(consumers, np.uint8)
    noise = np.zeros(consumers, np.int32)
    deferrable = np.zeros(consumers, np.int32)
    for s, share in enumerate(shares):
        at = np.flatnonzero(which == s)
        ids = numbers[at]
        size = chance.lognormal(abs(share.mean_w), share.sigma_ppm, seed, _SIZE, ids)
        size = np.maximum(1, (size + quantum_w // 2) // quantum_w)
        nominal[at] = size if share.mean_w > 0 else -size
        protected = chance.below(_PPM, seed, _PROTECTED, ids) < share.protected_ppm
        klass[at] = np.where(protected, 0, share.klass)
        kind[at] = KINDS.index(share.kind)
        noise[at] = share.noise_ppm
        deferrable[at] = share.deferrable_ppm
    return Census(
        quantum_w=quantum_w,
        nominal=nominal,
        zone=chance.below(zones, seed, _ZONE, numbers).astype(np.uint16),
        klass=klass,
        kind=kind,
        noise_ppm=noise,
        deferrable_ppm=deferrable,
    )


class Plant(IntEnum):
    """What a plant follows."""

    WIND = 0
    SUN = 1
    FIXED = 2
    CONTINUOUS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """The plants of a region; one row a tree."""

    rated: NDArray[np.int64]
    """Quanta."""
    plant: NDArray[np.uint8]
    """A `Plant` each."""


def draw_fleet(trees: int, usable: int, seed: int, *, wind_ppm: int = 200_000, sun_ppm: int = 50_000) -> Fleet:
    """Plants whose ratings add up to `usable` quanta exactly; lognormal, none above some ten times the mean.

    Args:
        trees: how many.
        usable: sum of their ratings, quanta.
        seed: of the draw.
        wind_ppm: share of plants that follow the wind.
        sun_ppm: share that follow the sun.
    """
    numbers = np.arange(trees, dtype=np.uint64)
    weight = chance.lognormal(1 << 20, 900_000, seed, _PLANT, numbers)
    weight = np.minimum(weight, 11 << 20)
    rated = np.maximum(1, usable * weight // int(weight.sum()))
    rated[int(np.argmax(rated))] += usable - int(rated.sum())
    lot = chance.below(_PPM, seed, _PLANT + 16, numbers)
    plant = np.full(trees, Plant.FIXED, np.uint8)
    plant[lot < wind_ppm] = Plant.WIND
    plant[(lot >= wind_ppm) & (lot < wind_ppm + sun_ppm)] = Plant.SUN
    plant[lot >= 750_000] = Plant.CONTINUOUS
    return Fleet(rated, plant)


def nested_zones(leaves: int, branch: int = 8) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """(parent of each zone, zone number of each leaf) of a tree of ratings: the region, substations, feeders.

    Zones stand so that all below one follow it; three levels deep, `branch` feeders a substation.
    """
    parents: list[int] = [-1]
    leaf_zone: list[int] = []
    for first in range(0, leaves, branch):
        parents.append(0)
        substation = len(parents) - 1
        for _ in range(first, min(first + branch, leaves)):
            parents.append(substation)
            leaf_zone.append(len(parents) - 1)
    return np.asarray(parents, np.int32), np.asarray(leaf_zone, np.uint16)
