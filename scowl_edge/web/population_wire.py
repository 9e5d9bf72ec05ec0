"""The objects of `/api/v1/populations`, declared once like those of `wire`: consumers by the thousand, in sums."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.web.wire import CLOSED, ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationClassOut:
    """The consumers of one class; a large one counts once for each of its feeds."""

    __pydantic_config__ = CLOSED

    load_class: int
    """0 (protected) to 7."""
    consumers: int
    served: int
    starved: int
    unserved_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationFeederOut:
    """One place in a population's tree of ratings."""

    __pydantic_config__ = CLOSED

    name: str
    load_w: int
    """Net of all below it."""
    limit_w: int
    """-1 = none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationScoreOut:
    """One number by which the balancing of a population is judged."""

    __pydantic_config__ = CLOSED

    what: str
    """Stable name; its last part is the unit, where it has one."""
    value: int
    label: str
    """The name for people."""
    text: str
    """The value for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationOut:
    """A population after the last step, without its single trees and feeders."""

    __pydantic_config__ = CLOSED

    name: str
    kind: str
    """simulated or reported."""
    compiled: bool
    """Whether its kernels are compiled."""
    consumers: int
    starved: int
    wanted_w: int
    """Net: what roofs produce is taken off."""
    served_w: int
    unserved_w: int
    shed_w: int
    """Load that consumers leave out because they were asked to; `wanted_w` holds it."""
    generation_w: int
    safe_w: int
    """Load that its trees bear, margin kept."""
    classes: list[PopulationClassOut]
    """Only those that somebody is in."""
    margin: ReasonOut
    """Why as much is kept free as is."""
    score: list[PopulationScoreOut]
    refused: dict[str, int]
    """Why -> rows of reports that were refused or clamped, since the start."""
    late_steps: dict[str, int]
    """How late (late, very-late) -> steps, since the journal began."""
    fullest_feeders: list[PopulationFeederOut]
    """Those nearest to their limits, the fullest first."""
    trees: int
    trees_alive: int
    trees_a_bar: int
    """How many trees, one after the other, share an entry of `load_permille`."""
    load_permille: list[int | None]
    """Load of the trees' safe load, of several the fullest; null where all of them are dead."""
    trees_text: str
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationTreeOut:
    """One tree of a population: one plant, and who hangs on it."""

    __pydantic_config__ = CLOSED

    name: str
    """NAME/NUMBER, as in `/api/v1/trees` and in the metrics."""
    plant: str
    """wind, sun, fixed or continuous."""
    output_w: int
    safe_w: int
    load_w: int
    members: int
    alive: bool
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationClampedOut:
    """One who reports more than can be true; the reports count, at `most_w`."""

    __pydantic_config__ = CLOSED

    place: str
    """`slot N`, `feed N`, or the name of a plant's tree."""
    identity: str
    """Of the consumer, 32 hex digits; empty for a plant."""
    times: int
    """How many reports were clamped since it came; of a consumer 255 stands for more as well."""
    most_w: int
    """Its nameplate, or the plant's rating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationsOut:
    """All populations."""

    __pydantic_config__ = CLOSED

    step: int
    populations: list[PopulationOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationDetailOut:
    """One population with all its trees and feeders."""

    __pydantic_config__ = CLOSED

    step: int
    population: PopulationOut
    trees: list[PopulationTreeOut]
    feeders: list[PopulationFeederOut]
    clamped: list[PopulationClampedOut]
    """Those whose reports were clamped most often, the worst first; 20 at most."""
