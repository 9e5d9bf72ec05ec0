"""Populations as families: sums, by class and state; no series for a single consumer or feeder, two for a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from scowl_edge.model.view import PopulationTreeView, PopulationView, RegionView
from scowl_edge.web.exposition import Family, Sample, labels


def _one(value: Callable[[PopulationView], float]) -> Callable[[PopulationView], Iterable[Sample]]:
    return lambda p: [(labels(("population", p.name)), value(p))]


def _classes(population: PopulationView) -> Iterator[tuple[tuple[str, str], int]]:
    """(label, class) of each class that somebody is in, or that is not served."""
    for k, members in enumerate(population.members):
        if members or population.unserved_w[k]:
            yield ("class", str(k)), k


def _consumers(population: PopulationView) -> Iterator[Sample]:
    name = ("population", population.name)
    for klass, k in _classes(population):
        starved = population.starved[k]
        yield labels(name, klass, ("state", "served")), population.members[k] - starved
        yield labels(name, klass, ("state", "starved")), starved


def _unserved(population: PopulationView) -> Iterator[Sample]:
    for klass, k in _classes(population):
        yield labels(("population", population.name), klass), population.unserved_w[k]


def _trees(population: PopulationView) -> Iterator[Sample]:
    name = ("population", population.name)
    alive = sum(tree.alive for tree in population.trees)
    yield labels(name, ("state", "in-service")), alive
    yield labels(name, ("state", "out-of-service")), len(population.trees) - alive


def _fullest_feeder(population: PopulationView) -> Iterator[Sample]:
    use_ppm = max((feeder.use_ppm for feeder in population.feeders), default=-1)
    if use_ppm >= 0:
        yield labels(("population", population.name)), use_ppm / 1_000_000


_FAMILIES: tuple[tuple[Family, Callable[[PopulationView], Iterable[Sample]]], ...] = (
    (
        Family("scowl_population_info", "gauge", "What never changes of a population, as labels."),
        lambda p: [
            (labels(("population", p.name), ("kind", p.kind), ("kernels", "compiled" if p.compiled else "plain")), 1)
        ],
    ),
    (
        Family(
            "scowl_population_consumers", "gauge",
            "Consumers of a population by class and state; a large one counts once for each of its feeds.",
        ),
        _consumers,
    ),
    (
        Family("scowl_population_wanted_watts", "gauge", "Net power wanted by a population's consumers."),
        _one(lambda p: p.wanted_w),
    ),
    (
        Family("scowl_population_served_watts", "gauge", "Net power that a population's consumers get."),
        _one(lambda p: p.served_w),
    ),
    (
        Family("scowl_population_unserved_watts", "gauge", "Wanted power of a population's starved, by class."),
        _unserved,
    ),
    (
        Family("scowl_population_shed_watts", "gauge", "Load that a population's consumers leave out on request."),
        _one(lambda p: p.shed_w),
    ),
    (
        Family("scowl_population_generation_watts", "gauge", "Output of a population's plants."),
        _one(lambda p: p.generation_w),
    ),
    (
        Family("scowl_population_safe_watts", "gauge", "Load that a population's trees bear with their margins."),
        _one(lambda p: p.safe_w),
    ),
    (Family("scowl_population_trees", "gauge", "Trees of a population by state."), _trees),
    (
        Family(
            "scowl_population_fullest_feeder_ratio", "gauge",
            "Load of the feeder that is nearest to its limit, of that limit; absent where none has one.",
        ),
        _fullest_feeder,
    ),
    (
        Family(
            "scowl_population_score", "gauge",
            "By what its balancing is judged; the unit is the last part of the label, where it has one.",
        ),
        lambda p: ((labels(("population", p.name), ("what", what)), value) for what, value in p.score),
    ),
    (
        Family(
            "scowl_population_late_steps_total", "counter",
            "Steps that came late and so left out what is only for the better, by how late.",
        ),
        lambda p: ((labels(("population", p.name), ("level", level)), steps) for level, steps in p.late_steps),
    ),
)  # fmt: skip


_REFUSED = Family(
    "scowl_population_refused_total", "counter", "Rows of reports that were refused or clamped, by reason."
)


def population_chunks(view: RegionView) -> Iterator[bytes]:
    """The families of all populations; nothing where there is none."""
    for family, samples in _FAMILIES:
        yield from family.chunks(sample for each in view.populations for sample in samples(each))
    yield from _REFUSED.chunks(_refused(view))


def _refused(view: RegionView) -> Iterator[Sample]:
    for each in view.populations:
        for why, rows in each.refused:
            yield labels(("population", each.name), ("reason", why)), rows
    if view.stray_rows:
        yield labels(("population", ""), ("reason", "no-such-population")), view.stray_rows


def tree_samples(view: RegionView, value: Callable[[PopulationTreeView], int]) -> Iterator[Sample]:
    """A value of every tree of every population, for a family of all trees."""
    for population in view.populations:
        for n, tree in enumerate(population.trees):
            yield labels(("tree", population.tree_name(n))), value(tree)
