"""The supply of a simulated population: plants under weather, stores, and the ladder that works them.

Each tree has one plant; stores are shared out over the trees and count as part of their output while they discharge,
and against it while they charge. Where consumers may be asked to shed, that is the last rung before anybody starves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import PPM
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import chance, dispatch, escalation, foresight, response, sheds, stores, weather
from scowl_edge.tracker.population.census import Fleet, Plant
from scowl_edge.tracker.population.columns import Columns
from scowl_edge.tracker.population.escalation import SPARE, Given, Means, Rung
from scowl_edge.tracker.population.sheds import ASKED, HELD, UNSURE, WAITING

RESERVE_PPM = 20_000
"""Of the demand, that the ladder keeps ready above it."""
BAND_PPM = 20_000
"""Of the demand, that must be to spare beyond that before anything works less."""
SHED_TO_PPM, RESTORE_TO_PPM = 5_000, 10_000
"""Of the demand: members are asked to shed once it cannot be borne, and for so much that this is to spare; sheds end as
far as this much is to spare without them."""
RESTORE_AFTER_MS = 30_000
"""So long it must have been to spare: a shed that ends by a gust is spent, for its members rest after it."""
LONGEST_SHED_MS, REST_MS, SHEDS_A_DAY, REBOUND_PPM = 900_000, 1_800_000, 4, 250_000
"""Of a shed: its longest time, the rest after it, how many a day, and what comes back beyond the usual, for as long."""
ANSWERED = declare("population-shed-answered", "{:W} of load is given up by {} groups of consumers; {} refused")
DAY_MS = 86_400_000
_ODD = np.uint64(0x9E37_79B9_7F4A_7C15)
RAMP_PPM_S = 2_000
"""Of its rating, by which a continuous plant moves in a second."""
STORE_CHARGE_W, STORE_DISCHARGE_W, STORE_WH = 7_000, 5_000, 50_000
"""Of a store: an electric vehicle that may give back."""
_CHARGED = 51
"""Purpose of the draw of the first states of charge."""


class Supply:
    """Plants, weather, stores and sheds with their state; `live`, `respond` and `balance` mutate."""

    def __init__(
        self, declared: Declared, fleet: Fleet, columns: Columns | None = None, ride_through_ms: int = 2_000
    ) -> None:
        """All plants are online and give what they are rated for; stores are charged by chance; nobody sheds.

        Without columns nobody can be asked to shed.
        """
        self.declared = declared
        self.fleet = fleet
        self.weather = weather.begin(fleet, declared.seed)
        # Plants are as quick however rarely they are looked at.
        ramp_ppm = RAMP_PPM_S * declared.period_ms // 1000
        self.climate = weather.Climate(ramp_ppm=max(1, min(PPM, ramp_ppm)))
        self.plants = dispatch.plants_of(fleet)
        self.plants.on[:] = 1
        self.plants.target[:] = fleet.rated
        self.plants.output[:] = np.where(self.plants.kind == dispatch.STOCHASTIC, 0, fleet.rated)
        self.stores = self._stores(declared.consumers * declared.stores_ppm // PPM)
        self.sheds = self._sheds(columns) if columns is not None and declared.deferrable_ppm else None
        self.response = response.at_rest(len(self.sheds.state)) if self.sheds is not None else None
        self.means = Means(
            declared.quantum_w,
            self.stores,
            self.plants,
            self.sheds,
            columns,
            ride_through_ms=ride_through_ms,
            ends_sheds=False,
            certain=False,
        )
        self.lived_at = -1
        """Until when time has passed here, monotonic ms."""
        self.shed_band = 0
        """What was asked of members beyond what is short, while they have yet to answer, quanta."""
        self.spare_since = -1
        """Since when there is load to spare that sheds hold; -1 = there is none."""
        self.least_spare = 0
        """The least of it since then, quanta."""

    def _sheds(self, columns: Columns) -> sheds.Sheds:
        return sheds.lay_out_sheds(
            columns,
            deferrable_ppm=self.declared.deferrable_ppm,
            longest_ms=LONGEST_SHED_MS,
            rest_ms=REST_MS,
            most_a_day=SHEDS_A_DAY,
            rebound_ppm=REBOUND_PPM,
        )

    def _stores(self, count: int) -> stores.Stores | None:
        if not count:
            return None
        quantum, trees = self.declared.quantum_w, self.declared.trees
        numbers = np.arange(count, dtype=np.uint64)
        # As many to each tree as its plant is large.
        edges = np.cumsum(self.fleet.rated) * count // max(1, int(self.fleet.rated.sum()))
        return stores.lay_out_stores(
            np.full(count, STORE_WH * 3_600 // quantum, np.int64),
            np.full(count, STORE_CHARGE_W // quantum, np.int64),
            np.full(count, STORE_DISCHARGE_W // quantum, np.int64),
            2_000 + chance.below(7_000, self.declared.seed, _CHARGED, numbers),
            trees=trees,
            tree=np.minimum(np.searchsorted(edges, np.arange(count), side="right"), trees - 1).astype(np.int64),
        )

    def live(self, now_ms: int, tick: int) -> NDArray[np.int64]:
        """Lets time pass: int64[trees], what each tree gives now, quanta."""
        plants = self.plants
        ready = (plants.on != 0) & (now_ms >= plants.ready_at_ms)
        gives = weather.outputs(
            self.fleet,
            self.weather,
            self.declared.seed,
            tick,
            now_ms // 60_000,
            np.where(ready, plants.target, 0),
            ready.astype(np.uint8),
            self.climate,
        )
        by_weather = plants.kind == dispatch.STOCHASTIC
        up = self.weather.down_ticks == 0
        plants.potential[:] = np.where(by_weather, gives, np.where(up, plants.rated, 0))
        plants.output[:] = np.where(by_weather, np.minimum(gives, plants.target), gives)
        if self.stores is None:
            self.lived_at = now_ms
            return plants.output.copy()
        since = 0 if self.lived_at < 0 else min(max(0, now_ms - self.lived_at), dispatch.HOUR_MS)
        stores.advance(self.stores, since, now_ms)
        self.lived_at = now_ms
        return np.asarray(np.maximum(0, plants.output - self.stores.tree_power), np.int64)

    def respond(self, columns: Columns, now_ms: int, tick: int) -> list[Given]:
        """Members answer, shed and come back: changes demand and the sums of blocks; what to tell of it."""
        if self.sheds is None or self.response is None:
            return []
        response.live(self.response, self.sheds, columns, self.declared.seed, tick, self.declared.period_ms, now_ms)
        granted, rows, refused = self.response.answered.tolist()
        if not rows and not refused:
            return []
        why = Reason(ANSWERED, (granted * self.declared.quantum_w, rows, refused))
        return [Given(Rung.SHED, granted, granted, why)]

    def balance(
        self,
        now_ms: int,
        wanted: int,
        safe: int,
        output: int,
        starving: int,
        forecast: NDArray[np.int64] | None = None,
    ) -> tuple[int, list[Given]]:
        """Works the ladder, up or down.

        Args:
            now_ms: time.
            wanted: demand of everybody, quanta.
            safe: what all trees may carry, quanta.
            output: what all trees give, quanta.
            starving: demand of those who go without, quanta.
            forecast: int64[minutes], quanta that will be missing beyond what is missing now; None = no idea.

        Returns:
            (quanta of safe load that are on their way and will be there within the ride-through, or of load that was
            asked of members who will have answered by then; what each rung gave)
        """
        means = self.means
        pledged = escalation.pledged(means, now_ms)
        margin = max(1, safe) * PPM // max(1, output)
        missing = (wanted + wanted * RESERVE_PPM // PPM - safe) * PPM // max(1, margin)
        there = safe + min(0, pledged.soon, pledged.final) * margin // PPM
        back, told = self._restore(there - wanted - wanted * RESTORE_TO_PPM // PPM, now_ms)
        back = back * PPM // max(1, margin)
        covered = self.covered() * PPM // max(1, margin)
        soon, final = missing - pledged.soon + back, missing - pledged.final + back
        means.dead_band = max(1, wanted * BAND_PPM // PPM)
        means.safe_ppm = margin
        means.shed_band = wanted * SHED_TO_PPM // PPM
        means.spared = wanted * RESERVE_PPM // PPM - means.shed_band
        ahead = None if forecast is None else forecast * PPM // max(1, margin) + final + covered
        if soon > 0 or final + covered > 0:
            day = now_ms // DAY_MS
            course = escalation.climb(means, soon, final + covered, now_ms, forecast=ahead, day=day, covered=covered)
        else:
            course = escalation.descend(means, -soon, -final - covered, now_ms, starving=starving, forecast=ahead)
        arriving = pledged.soon + max(0, soon - course.soon)
        awaited = self._awaited(now_ms)
        self.shed_band = means.shed_band if awaited else 0
        return arriving * margin // PPM + awaited, told + course.given

    def rise_ahead(self, means: NDArray[np.int64], now_ms: int) -> NDArray[np.int64]:
        """int64[minutes]: quanta that will be missing beyond what is now, by the course of the day; means by kind."""
        sun = self.fleet.plant == Plant.SUN
        gives, rated = int(self.plants.output[sun].sum()), int(self.fleet.rated[sun].sum())
        return foresight.rise_ahead(means, gives, rated, now_ms, self.declared.look_ahead_ms)

    def _restore(self, spare: int, now_ms: int) -> tuple[int, list[Given]]:
        """Ends sheds as far as load could be borne without them for a while; (load that comes back, what to tell)."""
        if self.sheds is None or spare <= 0 or not (self.sheds.totals[HELD] or self.sheds.totals[UNSURE]):
            self.spare_since = -1
            return 0, []
        if self.spare_since < 0:
            self.spare_since, self.least_spare = now_ms, spare
        self.least_spare = spare = min(self.least_spare, spare)
        if now_ms - self.spare_since < RESTORE_AFTER_MS:
            return 0, []
        self.spare_since = -1
        back = int(sheds.restore(self.sheds, spare, now_ms))
        if not back:
            return 0, []
        quantum = self.declared.quantum_w
        return back, [Given(Rung.RESTORE_SHEDS, back, back, Reason(SPARE, (spare * quantum, back * quantum)))]

    def covered(self) -> int:
        """Load that comes back when all sheds end, quanta; one in doubt counts as if it had shed all of it."""
        held = self.sheds
        if held is None or not (held.totals[HELD] or held.totals[UNSURE]):
            return 0
        power = np.where(held.state == sheds.GRANTED, held.granted, np.where(held.state == sheds.DOUBT, held.asked, 0))
        return int((power + power * held.rebound_ppm // PPM).sum())

    def _awaited(self, now_ms: int) -> int:
        """Load that was asked of members who will have answered within the ride-through, quanta."""
        asked = self.sheds
        if asked is None or not asked.totals[WAITING]:
            return 0
        recent = (asked.state == ASKED) & (now_ms - asked.since_ms < self.means.ride_through_ms)
        return int(asked.asked[recent].sum())

    @property
    def switchings(self) -> int:
        """How often plants were switched since the start."""
        return int(self.plants.switchings.sum())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that changes, by name."""
        arrays: dict[str, NDArray[np.generic]] = {"lived_at": np.asarray([self.lived_at], np.int64)}
        if self.sheds is not None:
            arrays["spare"] = np.asarray([self.spare_since, self.least_spare], np.int64)
        for part, columns in self._parts():
            arrays |= {f"{part} {name}": column for name, column in columns.items()}
        return arrays

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """The inverse of `arrays`. Raises KeyError or ValueError where they are of something else."""
        for part, columns in self._parts():
            for name, column in columns.items():
                column[:] = arrays[f"{part} {name}"].reshape(column.shape)
        self.lived_at = int(arrays["lived_at"].tolist()[0])
        if self.sheds is not None:
            self.spare_since, self.least_spare = map(int, arrays["spare"].tolist())

    def _parts(self) -> list[tuple[str, dict[str, NDArray[np.generic]]]]:
        parts = [("weather", self.weather._asdict()), ("plants", self.plants._asdict())]
        if self.stores is not None:
            parts.append(("stores", self.stores._asdict()))
        if self.sheds is not None and self.response is not None:
            parts += [("sheds", self.sheds._asdict()), ("response", self.response._asdict())]
        return parts

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time."""
        self._shift_sheds(by_ms)
        if self.lived_at >= 0:
            self.lived_at = max(0, self.lived_at + by_ms)
        times = [self.plants.ready_at_ms, self.plants.switched_at_ms]
        if self.stores is not None:
            times.append(self.stores.free_at_ms)
        for column in times:
            column += by_ms
        waiting = self.plants.dispensable_ms >= 0
        self.plants.dispensable_ms[waiting] = np.maximum(0, self.plants.dispensable_ms[waiting] + by_ms)

    def _shift_sheds(self, by_ms: int) -> None:
        if self.spare_since >= 0:
            self.spare_since = max(0, self.spare_since + by_ms)
        if self.sheds is None or self.response is None:
            return
        today = self.sheds.day == max(0, self.lived_at) // DAY_MS
        self.sheds.day[today] = max(0, self.lived_at + by_ms) // DAY_MS
        answers = self.response
        answers.answer_at_ms[answers.answer_at_ms < response.NEVER] += by_ms
        for column in (self.sheds.since_ms, self.sheds.until_ms, answers.since_ms, answers.rebound_until_ms):
            column += by_ms
        answers.until_ms[answers.acting > 0] += by_ms

    def shedding(self) -> tuple[tuple[str, int], ...]:
        """What is asked of members and what they do, as lines of the score; none where nobody may be asked."""
        if self.sheds is None or self.response is None:
            return ()
        quantum, totals = self.declared.quantum_w, self.sheds.totals.tolist()
        return (
            ("shed_asked_w", totals[WAITING] * quantum),
            ("shed_granted_w", totals[HELD] * quantum),
            ("shed_in_doubt_w", totals[UNSURE] * quantum),
            ("shed_rebound_w", int(self.response.moved[response.REBOUND].sum()) * quantum),
            ("sheds_granted", totals[sheds.GIVEN]),
            ("sheds_refused", totals[sheds.REFUSED]),
        )

    @property
    def shed(self) -> int:
        """Load that members leave out now, quanta."""
        return int(self.response.moved[response.SHED].sum()) if self.response is not None else 0

    def fingerprint(self) -> int:
        """Digest of all requests and of what members do; 0 where nobody may be asked."""
        if self.sheds is None or self.response is None:
            return 0
        asked, does = self.sheds, self.response
        rows = np.flatnonzero((asked.state != sheds.FREE) | (does.acting != 0) | (does.rebound != 0))
        number = rows.astype(np.uint64)
        for column in (asked.state, asked.asked, asked.granted, asked.until_ms, asked.times, does.acting, does.rebound):
            number = (number ^ (number >> np.uint64(29))) * _ODD + column[rows].astype(np.int64).view(np.uint64)
        return int((number * _ODD ^ (number >> np.uint64(31))).sum(dtype=np.uint64))
