"""The building's story on real sockets: no excursion over a rating outlasts what `check --cost` printed for it."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from black_box import Eyes, Site, Sites, call, plain
from played_story import LONG, Played, at_a_rate_that_the_machine_keeps

from simulators.world.story import BUILDING

RATE = 1 if LONG else 4
SAMPLE_MS = 100
"""Of the plant's time; a sample that came later than that counts as over for the whole time between."""


def printed_bounds_s(file: Path) -> dict[str, float]:
    """Rating -> seconds, as a person reads them from the command's output."""
    done = call("check", "--cost", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^rating ([\w-]+): detection and reaction at most ([\d.]+) s\b", done.stdout, re.MULTILINE)
    return {name: float(seconds) for name, seconds in found}


@dataclass
class Gauge:
    """How long one rating has been exceeded, seen from outside."""

    rating: str
    limit_a: float
    longest_ms: int = 0
    highest_a: float = 0.0
    samples: int = 0
    last_good_ms: int = -1
    excursions: list[str] = field(default_factory=list)
    _over_since_ms: int = -1
    _peak_a: float = 0.0

    def see(self, at_ms: int, currents_a: list[float]) -> None:
        """One sample. An excursion lasts from the last good sample before it to the first good one after it."""
        worst_a = max(currents_a)
        self.samples += 1
        self.highest_a = max(self.highest_a, worst_a)
        over = worst_a > self.limit_a
        if over and self._over_since_ms < 0:
            self._over_since_ms = self.last_good_ms if self.last_good_ms >= 0 else at_ms
            self._peak_a = worst_a
        if self._over_since_ms >= 0:
            self._peak_a = max(self._peak_a, worst_a)
            self.longest_ms = max(self.longest_ms, at_ms - self._over_since_ms)
            if not over:
                lasted_s = (at_ms - self._over_since_ms) / 1000
                self.excursions.append(f"{lasted_s:.1f} s up to {self._peak_a:.1f} A")
                self._over_since_ms = -1
        if not over:
            self.last_good_ms = at_ms


@pytest.mark.timeout(900)
def test_no_excursion_outlasts_the_printed_detection_and_reaction(site: Sites, mbpoll: str) -> None:
    def story(rate: int) -> None:
        with closing(site("building", rate=rate)) as building:
            no_excursion_outlasts_it(building, mbpoll)

    at_a_rate_that_the_machine_keeps(RATE, story)


def no_excursion_outlasts_it(building: Site, mbpoll: str) -> None:
    bounds_s = printed_bounds_s(building.file)
    assert set(bounds_s) == {"grid", "garage"}
    eyes = Eyes(mbpoll, building.file)
    gauges = [
        Gauge("grid", plain(eyes.section("ratings", "grid", "import"))),
        Gauge("garage", plain(eyes.section("ratings", "garage", "limit"))),
    ]
    played = Played.begin(building, protected="base-load")
    last_ms = [0]

    def watch() -> None:
        now_ms = played.now_ms()
        if now_ms - last_ms[0] < SAMPLE_MS:
            return
        last_ms[0] = now_ms
        for gauge in gauges:
            currents_a = played.truth(f"{gauge.rating}-meter")["currents_a"]
            gauge.see(now_ms, currents_a)

    for phase in BUILDING:
        played.phase(phase, watch)
        if phase.name == "busy":
            # What the daemon holds back stands on the chargers' own registers, and in what they draw.
            held = [name for name in eyes.devices("limit") if name.startswith("charger-")]
            limits_a = {name: eyes.read(name, "limit") for name in held}
            assert sum(limits_a.values()) < 3 * 16 + 32, limits_a
            for gauge in gauges:
                meter = f"{gauge.rating}-meter"
                shown_a = [eyes.read(meter, f"current_{each}") for each in "abc"]
                assert max(shown_a) <= gauge.limit_a * 1.02, (gauge.rating, shown_a)
                assert max(shown_a) == pytest.approx(max(played.truth(meter)["currents_a"]), rel=0.1)
    for gauge in gauges:
        bound_s = bounds_s[gauge.rating]
        print(
            f"{gauge.rating}: {gauge.samples} samples, at most {gauge.highest_a:.1f} A of {gauge.limit_a:g} A, "
            f"longest excursion {gauge.longest_ms / 1000:.1f} s of {bound_s:g} s; {gauge.excursions}"
        )
        assert gauge.longest_ms <= bound_s * 1000, gauge
        assert gauge.highest_a > 0.8 * gauge.limit_a, f"{gauge.rating} was never filled, so nothing was tried"
    assert played.scrapes > 50
    done = building.replay()
    assert done.returncode == 0, done.stdout + done.stderr
