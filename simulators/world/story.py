"""Stories: what happens outside, when. Data, so that virtual time and the real sockets play the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulators.world.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of a story: what the weather and the loads are from its begin on."""

    name: str
    lasts_s: int
    wind: float
    sun: float
    load: float = 1.0
    loads: Mapping[str, float] = field(default_factory=dict)
    """Levels of single consumers, on top of everyone's."""


Story = tuple[Phase, ...]

DAY: Story = (
    Phase(name="calm", lasts_s=25, wind=0.8, sun=0.6),
    Phase(name="wind drops", lasts_s=65, wind=0.1, sun=0.1),
    Phase(name="short", lasts_s=25, wind=0.1, sun=0.1, load=1.4),
    Phase(name="wind returns", lasts_s=90, wind=0.8, sun=0.6),
)
"""The demo region's day: every rung down and up again."""

BUILDING: Story = (
    Phase(name="sunny", lasts_s=30, wind=0.0, sun=0.5),
    Phase(name="cloud", lasts_s=30, wind=0.0, sun=0.05),
    Phase(name="busy", lasts_s=30, wind=0.0, sun=0.05, load=1.4),
    Phase(name="leaving", lasts_s=50, wind=0.0, sun=0.9, load=0.7, loads={"charger-4": 0.0}),
)
"""The building's day: its connection and its garage cable are filled and never over-filled for long."""


def begin(world: World, phase: Phase) -> None:
    """Sets weather and loads of a phase."""
    world.plant.set_weather(phase.wind, phase.sun)
    world.plant.set_load(phase.load)
    for device, level in phase.loads.items():
        world.plant.set_load_of(device, level)


def play(world: World, story: Story, after: Callable[[World, Phase], None] | None = None) -> None:
    """Runs all phases; `after` sees the world at the end of each."""
    for phase in story:
        begin(world, phase)
        world.run_for(phase.lasts_s * 1000)
        if after is not None:
            after(world, phase)
