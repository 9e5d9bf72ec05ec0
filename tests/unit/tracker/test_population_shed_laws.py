"""Laws of sheds in a whole population, at every step of drawn courses: never larger or longer than lower rungs could
not deliver in time; conservation; the same again after a restart, and uncompiled."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from population_site import copied, uncompiled

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.journal.replay import replay
from scowl_edge.model.site import PPM
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import assign, escalation, noise, sheds
from scowl_edge.tracker.population.columns import PROTECTED
from scowl_edge.tracker.population.escalation import Given, Rung
from scowl_edge.tracker.population.population import Population
from scowl_edge.tracker.population.response import REBOUND, SHED
from scowl_edge.tracker.population.sheds import DOUBT, GRANTED, HELD, UNSURE, WAITING
from scowl_edge.tracker.population.stores import POWER
from scowl_edge.tracker.population.supply import (
    LONGEST_SHED_MS,
    RESTORE_AFTER_MS,
    RESTORE_TO_PPM,
    SHED_TO_PPM,
    Supply,
)
from simulators.world import World, WorldSettings

TEXT = """
site: {{id: district}}
region: {{mode: auto}}
populations:
  town: {{consumers: {consumers}, trees: 8, feeders: 4, seed: {seed}, supply: {supply} %, stores: {stores} %,
    deferrable: {deferrable} %, daily: {daily}, period: {period} s}}
"""


def text(
    *, consumers: int = 150, seed: int = 1, supply: int = 140, stores: int = 0, deferrable: int = 20,
    daily: str = "false", period: int = 1,
) -> str:  # fmt: skip
    return TEXT.format(
        consumers=consumers, seed=seed, supply=supply, stores=stores, deferrable=deferrable, daily=daily, period=period
    )


def declared(**changes: Any) -> Declared:
    return assemble(text(**changes), "district.yaml").site.populations[0]


class Watched(Supply):
    """A supply that holds every balance against the laws."""

    def begin(self) -> None:
        self.spares: list[tuple[int, int]] = []

    def balance(
        self,
        now_ms: int,
        wanted: int,
        safe: int,
        output: int,
        starving: int,
        forecast: NDArray[np.int64] | None = None,
    ) -> tuple[int, list[Given]]:
        assert self.sheds is not None
        margin = max(1, max(1, safe) * PPM // max(1, output))
        before = escalation.pledged(self.means, now_ms)
        stores_w = int(self.stores.totals[POWER]) if self.stores is not None else 0
        waiting, held = int(self.sheds.totals[WAITING]), self._held_rise()
        arriving, given = super().balance(now_ms, wanted, safe, output, starving, forecast)
        back = sum(g.final for g in given if g.rung is Rung.RESTORE_SHEDS)
        if int(self.sheds.totals[WAITING]) > waiting:
            after = escalation.pledged(self.means, now_ms)
            turned = stores_w - int(self.stores.totals[POWER]) if self.stores is not None else 0
            delivered = (min(after.soon, after.final) + turned) * margin // PPM
            short = wanted + back + wanted * SHED_TO_PPM // PPM - safe - delivered
            assert self.sheds.totals[WAITING] <= max(0, short) + 3, "larger than what lower rungs do not deliver"
            assert wanted + back > safe + delivered - 3, "asked though all of it could be borne"
            self._nothing_left(now_ms)
        if self.sheds.totals[HELD]:
            self._taken_over(now_ms, wanted + back - safe, stores_w, margin)
        self._not_longer(now_ms, safe + min(0, before.soon, before.final) * margin // PPM - wanted, wanted, held, back)
        return arriving, given

    def _held_rise(self) -> NDArray[np.int64]:
        """What each shed adds when it ends, rebound and all."""
        assert self.sheds is not None
        s = self.sheds
        power = np.where(s.state == GRANTED, s.granted, np.where(s.state == DOUBT, s.asked, 0))
        return np.asarray(power + power * s.rebound_ppm // PPM, np.int64)

    def _nothing_left(self, now_ms: int) -> None:
        """Whoever climbs again without sheds gains nothing in time."""
        twin = deepcopy(self)
        twin.means.sheds = None
        means, much = twin.means, 1 << 40
        more = escalation.climb(means, much, 0, now_ms)
        in_time = sum(g.soon for g in more.given)
        later = escalation.climb(means, 0, much, now_ms)
        assert in_time == 0 or not later.given, "a lower rung had more"

    def _taken_over(self, now_ms: int, short: int, stores_w: int, margin: int) -> None:
        """While anybody sheds, lower rungs are on their way with all that they have, or with enough."""
        after = escalation.pledged(self.means, now_ms).final
        turned = stores_w - int(self.stores.totals[POWER]) if self.stores is not None else 0
        if short + self.covered() - (after + turned) * margin // PPM <= 3:
            return
        twin = deepcopy(self)
        twin.means.sheds = None
        assert not escalation.climb(twin.means, 0, 1 << 40, now_ms).given, "lower rungs leave it to the sheds"

    def _not_longer(self, now_ms: int, spare: int, wanted: int, held: NDArray[np.int64], back: int) -> None:
        """What fitted for the whole wait was ended; nothing was that did not."""
        spare -= wanted * RESTORE_TO_PPM // PPM
        if not held.any() or spare <= 0:
            assert not back
            self.spares.clear()
            return
        self.spares.append((now_ms, spare))
        least = min(s for _, s in self.spares)
        assert back <= least
        if now_ms - self.spares[0][0] >= RESTORE_AFTER_MS:
            assert back > 0 or int(held[held > 0].min()) > least, "longer than lower rungs were short"
            self.spares.clear()
        else:
            assert not back, "ended by a gust"


def watched(**changes: Any) -> tuple[Population, Watched]:
    made = Population(declared(**changes))
    supply = Watched(made.declared, made.fleet, made.columns)
    supply.begin()
    made.supply = supply
    return made, supply


def wanted(population: Population) -> int:
    return int(population.columns.block_sum.sum()) + int(population.columns.big_demand.sum())


@given(
    seed=st.integers(0, 100),
    supply=st.integers(100, 190),
    stores=st.sampled_from((0, 3, 20)),
    deferrable=st.sampled_from((5, 30)),
    daily=st.sampled_from(("true", "false")),
    start_s=st.sampled_from((1, 20, 60)),
    off=st.integers(0, 255),
    lost=st.lists(st.tuples(st.integers(5, 120), st.integers(0, 7), st.integers(1, 80)), max_size=4),
)
@settings(max_examples=8, deadline=None)
def test_no_shed_is_larger_or_longer_than_lower_rungs_could_not_deliver(
    seed: int,
    supply: int,
    stores: int,
    deferrable: int,
    daily: str,
    start_s: int,
    off: int,
    lost: list[tuple[int, int, int]],
) -> None:
    population, ladder = watched(seed=seed, supply=supply, stores=stores, deferrable=deferrable, daily=daily)
    plants, columns = ladder.plants, population.columns
    plants.start_ms[plants.start_ms > 0] = start_s * 1_000
    standing = (plants.start_ms > 0) & (off >> np.arange(8) & 1 == 1)
    for column in (plants.on, plants.target, plants.output, ladder.weather.level):
        column[standing] = 0
    assert ladder.sheds is not None and ladder.response is not None and population.living is not None
    since = np.zeros(len(ladder.sheds.state), np.int64)
    for second in range(100):
        for at, tree, ticks in lost:
            if at == second:
                ladder.weather.down_ticks[tree] = ticks
        now_ms = (61_200 + second) * 1_000
        base, living = copied(columns), noise.Living(*(a.copy() for a in population.living))
        factors = population.factors(now_ms)
        population.step(now_ms, (), deciding=True, advisory=False)
        noise.advance(base, living, seed, now_ms // 1_000, factors)
        usual = int(base.block_sum.sum()) + int(base.big_demand.sum())
        moved = ladder.response.moved
        assert wanted(population) == usual - int(moved[SHED].sum()) + int(moved[REBOUND].sum()), "conservation"
        assert assign.same_sums(columns) and population.conservation_error_w == 0
        assert moved[SHED][PROTECTED] == 0
        assert tuple(ladder.sheds.totals[:3].tolist()) == sheds.recount(ladder.sheds)
        acting = ladder.response.acting > 0
        since = np.where(acting & (since == 0), now_ms, np.where(acting, since, 0))
        assert (now_ms - since[acting] <= LONGEST_SHED_MS).all()
        view = population.view()
        assert view.wanted_w == wanted(population) + view.shed_w and view.shed_w == int(moved[SHED].sum())


def test_in_plenty_nobody_is_asked_and_after_a_shortage_all_of_it_comes_back() -> None:
    plenty, ladder = watched(supply=300)
    for second in range(20):
        plenty.step((1_000 + second) * 1_000, (), deciding=True, advisory=False)
    assert not ladder.sheds.state.any()  # type: ignore[union-attr]
    short, ladder = watched(supply=300, seed=4, consumers=200)
    ladder.plants.start_ms[:] = np.minimum(ladder.plants.start_ms, 20_000)
    asked = ladder.sheds
    assert asked is not None
    largest = int(np.argmax(short.fleet.rated))
    told: set[str] = set()
    for second in range(400):
        if second == 30:
            ladder.weather.down_ticks[:] = np.where(np.arange(8) == largest, 0, 120)
        short.step((1_000 + second) * 1_000, (), deciding=True, advisory=False)
        told |= {rung for rung, _, _ in short.decisions}
        if second == 40:
            assert asked.totals[HELD] > 0
            assert short.view().shed_w > 0
    assert {"shed", "restore-sheds"} <= told
    assert asked.totals[HELD] == asked.totals[WAITING] == asked.totals[UNSURE] == 0
    assert short.view().shed_w == 0


def test_fewer_starve_where_somebody_may_be_asked() -> None:
    def starved_s(deferrable: int) -> int:
        population, total = Population(declared(supply=150, seed=2, deferrable=deferrable)), 0
        for second in range(240):
            population.step((1_000 + second) * 1_000, (), deciding=True, advisory=False)
            total += int(population.standing.starved.sum())
        return total

    assert starved_s(30) < starved_s(0)


def test_a_restart_in_the_middle_and_uncompiled_kernels_come_to_the_same() -> None:
    plain: Any = uncompiled("population")
    town = declared(supply=130, consumers=120, stores=5, daily="true")
    one, again, bare = Population(town), Population(town), plain.Population(town)
    seen = False
    for second in range(90):
        now_ms = (61_200 + second) * 1_000
        for each in (one, bare):
            each.step(now_ms, (), deciding=True, advisory=False)
        assert one.supply is not None and one.supply.sheds is not None
        seen |= bool(one.supply.sheds.totals[HELD])
        assert one.digest() == bare.digest()
        if second == 40:
            again.restore(one.snapshot())
        if second > 40:
            again.step(now_ms, (), deciding=True, advisory=False)
            assert again.digest() == one.digest()
    assert seen
    assert one.snapshot() == bare.snapshot() == again.snapshot()
    assert one.section() == again.section()


def test_what_is_asked_and_held_is_in_the_digest() -> None:
    population = Population(declared(supply=110))
    for second in range(20):
        population.step((1_000 + second) * 1_000, (), deciding=True, advisory=False)
    assert population.supply is not None and population.supply.sheds is not None
    before = population.digest()
    row = int(np.flatnonzero(population.supply.sheds.state)[0])
    population.supply.sheds.until_ms[row] += 1
    assert population.digest() != before


def test_the_journal_repeats_sheds_and_the_region_tells_them() -> None:
    world = World(assemble(text(supply=120), "district.yaml"), settings=WorldSettings(snapshot_every=10))
    world.run_for(30_000)
    report = replay(world.journal.durable, lambda said: Core(assemble(said, "journal").site))
    assert report.identical, str(report.difference)
    view = world.core.view()
    assert view is not None
    town = view.populations[0]
    assert view.shed_w == town.shed_w > 0
    told = dict(town.score)
    assert told["shed_granted_w"] > 0 and told["sheds_granted"] > 0
    after = world.crashed()
    assert after.core.populations[0].snapshot() == world.core.populations[0].snapshot()


@pytest.mark.parametrize("mode", ["hold", "advisory"])
def test_nobody_is_asked_where_nothing_is_to_be_done(mode: str) -> None:
    population = Population(declared(supply=60))
    for second in range(10):
        population.step((1_000 + second) * 1_000, (), deciding=mode != "hold", advisory=True)
    assert population.supply is not None and population.supply.sheds is not None
    assert not population.supply.sheds.state.any()


def test_times_move_with_the_clock() -> None:
    one, other = (Population(declared(supply=120)) for _ in range(2))
    for second in range(60):
        one.step((200_000 + second) * 1_000, (), deciding=True, advisory=False)
    assert one.supply is not None and one.supply.sheds is not None and one.supply.sheds.totals[HELD] > 0
    other.restore(one.snapshot())
    other.shift_times(-100_000_000)
    assert other.supply is not None and other.supply.sheds is not None
    held = other.supply.sheds
    active = held.state != sheds.FREE
    assert (one.supply.sheds.until_ms[active] - held.until_ms[active] == 100_000_000).all()
    asked_today = one.supply.sheds.day >= 0
    assert (one.supply.sheds.day[asked_today] == 2).all() and (held.day[asked_today] == 1).all()
