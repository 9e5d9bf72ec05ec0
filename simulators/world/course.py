"""One course: regions in one virtual time, bad times and quiet ones in turn, all from one seed."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from typing import Any

from scowl_edge.assembly import assemble
from scowl_edge.model.site import PeerKind, Site
from simulators.world.deeds import befall
from simulators.world.laws import LawBook
from simulators.world.region import Region
from simulators.world.schedule import Schedule, mix
from simulators.world.trouble import MINUTE_MS, draw_faults

BEGIN_MS = 1_000_000
_MOST_VIOLATIONS = 5
MOST_FEEDING_MINUTES = 60
"""Longest time until nobody starves any more, where supply suffices: at two hundredths of the supply a minute."""
_CONFIGURATION = """
site: {{id: region}}
region: {{mode: auto, margin: 10 %}}
populations: {{town: {{consumers: {consumers}, trees: {trees}, feeders: 8, feeder_limit: 130 %, supply: 165 %}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseSettings:
    """How long, and how large."""

    regions: int = 1
    consumers: int = 1_000
    trees: int = 20
    bad_minutes: int = 5 * 60
    """Faults are drawn for so long ..."""
    quiet_minutes: int = 30
    """... and then nothing goes wrong for so long at least, after which everything must have settled."""
    episodes: int = 1
    snapshot_every: tuple[int, ...] = (25,)
    """Steps; which of them, a seed draws."""
    replay_every: int = 1
    """One in so many stretches between two snapshots is run again; 1 = all. A restart runs its stretch in any case."""


LONG = CourseSettings(bad_minutes=4 * 60, quiet_minutes=4 * 60, snapshot_every=(6, 6, 6, 12, 25), replay_every=6)
"""Of a restart most is the way back from the last snapshot: a seed draws how far that is."""
MANY_EVERY, MANY_REGIONS = 32, 3
"""Every so many seeds of a soak run so many regions in one time, instead of one."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """What one course came to."""

    seed: int
    regions: int = 1
    steps: int = 0
    virtual_ms: int = 0
    """One clock, however many regions there are."""
    spent_s: float = 0.0
    """Processor time."""
    faults: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    """What followed: on the network, in the tracker, in the plants."""
    checks: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """As plain data."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in plain.items()}


@cache
def _site(consumers: int, trees: int) -> Site:
    return assemble(_CONFIGURATION.format(consumers=consumers, trees=trees), "world").site


def site_of(settings: CourseSettings, seed: int) -> Site:
    """A region of nothing but a population that is told by messages."""
    site = _site(settings.consumers, settings.trees)
    town = replace(
        site.populations[0],
        kind=PeerKind.REPORTED,
        seed=seed,
        period_ms=MINUTE_MS,
        fresh_ms=3 * MINUTE_MS,
        hold_ms=5 * MINUTE_MS,
        move_budget=settings.consumers,
    )
    return replace(site, populations=(town,), policy=replace(site.policy, period_ms=MINUTE_MS))


class Course:
    """Regions on one schedule."""

    def __init__(self, seed: int, settings: CourseSettings) -> None:
        self.seed, self.settings = seed, settings
        self.schedule = Schedule(BEGIN_MS + mix(seed, 9) % 86_400_000)
        self.book = LawBook()
        self.regions = [
            Region(
                self.schedule,
                site_of(settings, mix(seed, r) >> 1),
                mix(seed, r, 7),
                self.book,
                snapshot_every=settings.snapshot_every[mix(seed, r, 13) % len(settings.snapshot_every)],
                replay_every=settings.replay_every,
            )
            for r in range(settings.regions)
        ]

    def run(self) -> Figures:
        """All episodes. A course that breaks a law ends there."""
        began, begin_ms = time.process_time(), self.schedule.now_ms
        settings = self.settings
        for episode in range(settings.episodes):
            start = self.schedule.now_ms
            bad = start + settings.bad_minutes * MINUTE_MS
            for r, region in enumerate(self.regions):
                for fault in draw_faults(mix(self.seed, r, episode, 11), start, bad):
                    self.schedule.at(fault.at_ms, partial(befall, region, fault))
            self._until(bad)
            self._until(bad + settings.quiet_minutes * MINUTE_MS)
            # What was starved is fed again little by little.
            for _ in range(MOST_FEEDING_MINUTES):
                if self.book.violations or not any(region.feeding for region in self.regions):
                    break
                self._until(self.schedule.now_ms + MINUTE_MS)
            if self.book.violations:
                break
            for region in self.regions:
                region.settled()
        figures = Figures(seed=self.seed, regions=len(self.regions))
        for region in self.regions:
            region.tracker.finish()
            figures.steps += region.tracker.counts["steps"]
            figures.faults += region.faults
            figures.happened += region.happened()
        figures.virtual_ms = self.schedule.now_ms - begin_ms
        figures.checks = self.book.checks
        figures.violations = [str(v) for v in self.book.violations[:_MOST_VIOLATIONS]]
        figures.spent_s = time.process_time() - began
        return figures

    def _until(self, until_ms: int) -> None:
        while self.schedule.now_ms < until_ms and not self.book.violations:
            self.schedule.run_until(min(until_ms, self.schedule.now_ms + MINUTE_MS))
