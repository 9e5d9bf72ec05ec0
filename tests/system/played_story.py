"""A story played on real processes: weather and load by the control port, kills at drawn moments, watched all the time.

What must hold at any moment is asserted here; what must hold at a certain one is asserted by the tests.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from black_box import START_S, Daemon, Simulation, Site, metrics_of, wait_for
from machine import MachineWatch

from simulators.world.story import Phase, Story

BUSY_S = 20
"""After the begin of a phase most commands fly; half of the kills are drawn there."""
LONG = os.environ.get("SCOWL_STORY") == "long"
"""Real time and many more kills, by `make stories`."""


def drawn_moments(story: Story, count: int) -> list[int]:
    """Moments of a story in ms, drawn anew each time and printed; SCOWL_SEED=N draws those of a former run."""
    seed = int(os.environ.get("SCOWL_SEED") or secrets.randbelow(2**32))
    draw = random.Random(seed)
    begins_s = [sum(phase.lasts_s for phase in story[:n]) for n in range(len(story))]
    whole_s = sum(phase.lasts_s for phase in story)
    moments = [draw.uniform(0, whole_s) for _ in range(count - count // 2)]
    moments += [draw.choice(begins_s) + draw.uniform(0, BUSY_S) for _ in range(count // 2)]
    drawn = sorted(round(moment * 1000) for moment in moments)
    print(f"SCOWL_SEED={seed}: kill -9 at {', '.join(f'{ms / 1000:.1f} s' for ms in drawn)} of the story")
    return drawn


def at_a_rate_that_the_machine_keeps(fastest: int, story: Callable[[int], None]) -> None:
    """Plays a story at half the rate when it failed and the machine came late: a fast clock makes more of that.

    In real time nothing is forgiven.
    """
    rate = fastest
    while True:
        with MachineWatch() as machine:
            try:
                story(rate)
            except Exception as failed:
                if rate == 1 or not machine.came_late:
                    raise
                print(f"at rate {rate} it failed, and {machine}: {failed!r}")
            else:
                return
        rate //= 2


@dataclass
class Played:
    """A story in play."""

    site: Site
    simulation: Simulation
    daemon: Daemon
    kills: list[int] = field(default_factory=list)
    """Moments that are still to come, in ms since the begin."""
    killed: list[int] = field(default_factory=list)
    """When the daemon was killed in fact."""
    decisions: dict[tuple[int, str, str], dict[str, Any]] = field(default_factory=dict)
    """Every decision that was seen, by step, rung and device, in the order of their being made."""
    scrapes: int = 0
    protected: str = ""
    """A consumer of class 0 that is looked at all the time."""
    _began_ms: int = 0
    _due_ms: int = 0

    @classmethod
    def begin(cls, site: Site, kills: Sequence[int] = (), protected: str = "") -> Played:
        """Starts devices and daemon."""
        simulation = site.simulate()
        daemon = site.daemon()
        daemon.ready()
        return cls(site, simulation, daemon, list(kills), protected=protected, _began_ms=simulation.now_ms())

    def now_ms(self) -> int:
        """Time of the story."""
        return self.simulation.now_ms() - self._began_ms

    def phase(self, phase: Phase, watch: Callable[[], None] = lambda: None) -> None:
        """Lets a phase begin, and watches until it is over; `watch` looks on too."""
        control = self.simulation.control
        control.post("/weather", {"wind": phase.wind, "sun": phase.sun})
        control.post("/load", {"fraction": phase.load})
        for device, fraction in phase.loads.items():
            control.post("/load", {"device": device, "fraction": fraction})
        self._due_ms += phase.lasts_s * 1000

        def over() -> bool:
            self.look()
            watch()
            return self.now_ms() >= self._due_ms

        wait_for(over, 120 + 3 * phase.lasts_s / self.site.rate, f"{phase.name} is over")

    def look(self) -> None:
        """One look at everything, and the next kill if its time has come."""
        if self.kills and self.now_ms() >= self.kills[0]:
            self.kills.pop(0)
            self.kill()
        truth = self.truth(self.protected) if self.protected else None
        assert truth is None or (truth["fed"] and truth["power_w"] > 0), truth
        metrics = self.metrics()
        if metrics is None:
            return
        self.scrapes += 1
        assert metrics["scowl_conservation_error_watts"] == 0
        assert metrics['scowl_unserved_watts{class="0"}'] == 0
        for decision in reversed(self.daemon.http.get("/api/v1/decisions")["decisions"]):
            self.decisions.setdefault((decision["step"], decision["rung"], decision["device"]), decision)

    def kill(self) -> None:
        """`kill -9`, and at once a new one on the same journal."""
        self.killed.append(self.now_ms())
        assert self.daemon.process.poll() is None, self.daemon.errors()[-2000:]
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait(timeout=60)
        self.daemon.close()
        self.daemon = self.site.daemon()

    def metrics(self) -> dict[str, float] | None:
        """All series; None while the daemon starts, or has not done its first step."""
        try:
            series = metrics_of(self.daemon.http)
        except (OSError, HTTPException):
            assert self.daemon.process.poll() is None, self.daemon.errors()[-2000:]
            return None
        return series if "scowl_conservation_error_watts" in series else None

    def truth(self, device: str) -> dict[str, Any]:
        """What physics knows of a device."""
        return dict(self.simulation.control.get(f"/truth/{device}"))

    def until(self, reached: Callable[[], object], within_s: float, what: str) -> Any:
        """Waits for a condition for so many seconds of the story, watching as ever."""

        def looked() -> object:
            self.look()
            return reached()

        return wait_for(looked, START_S + within_s / self.site.rate, what)

    def first(self, rung: str) -> int:
        """Place of a rung's first use among all decisions."""
        return [used for _, used, _ in self.decisions].index(rung)

    def until_nothing_lacks(self, lacking: Callable[[], list[str]], within_s: float, what: str) -> None:
        """Waits until `lacking` names nothing any more; what it named last is told in a failure."""
        named: list[str] = []

        def complete() -> bool:
            named[:] = lacking()
            return not named

        try:
            self.until(complete, within_s, what)
        except AssertionError as error:
            made = [f"{d['step']} {d['rung']} {d['device']}: {d['reason']['text']}" for d in self.decisions.values()]
            raise AssertionError(f"{what}: lacking {named}; last decisions: " + "\n".join(made[-20:])) from error
