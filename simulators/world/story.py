"""Stories: what happens outside, when; and a run of one that can be cut at any boundary of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.world.world import World


@dataclass(frozen=True, slots=True)
class Boundary:
    """One place where a crash may fall."""

    number: int
    name: str
    at_ms: int
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of a story."""

    name: str
    begin: Callable[[World], None]
    lasts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Phases in order."""

    phases: tuple[Phase, ...]


class StoryRun:
    """Runs a story; `boundaries` yields each boundary with a way to crash there."""

    def __init__(self, story: Story, world: World) -> None:
        self.story = story
        self.world = world
        self.phase = ""

    def run(self, check: Callable[[World, str], None] | None = None) -> World:
        """Runs all phases; `check` sees the world after each."""
        for phase in self.story.phases:
            self.phase = phase.name
            phase.begin(self.world)
            self.world.run_for(phase.lasts_ms)
            if check is not None:
                check(self.world, phase.name)
        return self.world


def remaining(story: Story, phase: str) -> Iterator[Phase]:
    """The phases after the named one."""
    seen = False
    for candidate in story.phases:
        if seen:
            yield candidate
        seen = seen or candidate.name == phase
