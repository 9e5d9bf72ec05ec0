"""One population, step by step: what came in, what each tree may carry, who has to change hands, what is told of it.

It owns its columns. A step is a function of the state, the time and the batches alone. What is decided about the trees
is in `balancing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import require_compiled
from scowl_edge.model.batch import Batch
from scowl_edge.model.codec import encode
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import PPM, PeerKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.model.tick import Late
from scowl_edge.model.view import PopulationView
from scowl_edge.tracker.population import (
    assign,
    bounds,
    census,
    fairness,
    foresight,
    margin,
    noise,
    packing,
    repair,
    score,
    standing,
    telling,
    weather,
)
from scowl_edge.tracker.population.balancing import Balancing, seconds
from scowl_edge.tracker.population.changes import Changes, everything, latest, mixed_slots
from scowl_edge.tracker.population.columns import (
    Census,
    Columns,
    Layout,
    lay_out,
)
from scowl_edge.tracker.population.escalation import Given, Rung
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.intake import REFUSALS, Intake, Seats
from scowl_edge.tracker.population.supply import Supply

STARVED = declare("population-starved", "{} consumers go without: {:W} is wanted, the plants may carry {:W}")
FED = declare("population-fed", "{} consumers are fed again")
LOST = declare("population-plants-lost", "{} plants went dark; {} consumers were moved")

TOLD_PPM = 20_000
"""Of the demand: smaller changes of what continuous plants give are not told."""
_LATE = {Late.LATE: "late", Late.VERY_LATE: "very-late"}
_ROUTINE = frozenset({Rung.RAISE_CONTINUOUS, Rung.LOWER_CONTINUOUS})


def laid_out(declared: Declared) -> tuple[Columns, Layout, Census]:
    """The columns of a declared population: drawn from its seed, its tree of ratings with limits."""
    people = census.draw(declared.consumers, declared.seed, zones=declared.feeders, quantum_w=declared.quantum_w)
    parents = None
    if declared.feeders > 1:
        parents, leaf = census.nested_zones(declared.feeders)
        people = replace(people, zone=leaf[people.zone])
    columns, layout = lay_out(people, declared.trees, zone_parent=parents)
    if declared.feeder_limit_ppm and declared.feeders > 1:
        below = np.bincount(people.zone, people.nominal, len(columns.zone_limit)).astype(np.int64)
        for zone in range(len(below) - 1, 0, -1):
            below[columns.zone_parent[zone]] += below[zone]
        leaves = columns.zone_end == np.arange(1, len(below) + 1)
        spare = np.where(leaves, declared.feeder_limit_ppm - PPM, (declared.feeder_limit_ppm - PPM) // 2)
        columns.zone_limit[:] = np.maximum(1, below) * (PPM + spare) // PPM
    return columns, layout, people


class Population:
    """A declared population with its state. `step` mutates; `snapshot` and `restore` are exact inverses."""

    def __init__(self, declared: Declared) -> None:
        """Draws it and lays it out; nobody is in any tree.

        Raises:
            NotCompiled: too many consumers for uncompiled kernels.
        """
        require_compiled(declared.consumers)
        self.declared = declared
        self.columns, self.layout, people = laid_out(declared)
        usable = max(1, int(people.nominal.sum())) * declared.supply_ppm // PPM
        self.fleet = census.draw_fleet(declared.trees, usable, declared.seed)
        simulated = declared.kind is PeerKind.SIMULATED
        self.living = noise.populate(people, self.layout, self.columns) if simulated else None
        self.supply = Supply(declared, self.fleet, self.columns) if simulated else None
        self._by_kind = foresight.means_by_kind(self.living) if self.living is not None else np.zeros(0, np.int64)
        self.intake = None if simulated else Intake(declared, self.columns, self.layout, people, self.fleet.rated)
        if self.intake is not None:
            self.columns = self.intake.columns
        self.balancing = Balancing(declared, self.columns)
        self.output: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        """[trees] quanta, of each plant."""
        self.seats: Seats | None = None
        """What became of those who wanted to join, to leave or to change, in the last step."""
        self.decisions: list[tuple[str, int, Reason]] = []
        """(rung, W, reason) of the last step."""
        self.late_steps: NDArray[np.int64] = np.zeros(len(Late), np.int64)
        """[levels of Late] Steps since the journal began."""
        self.wake_at = 0
        """Monotonic ms at which the next step is due."""
        self.margins = self._margins()
        self.tally = score.Tally(declared.quantum_w)
        self.judged: score.Step | None = None
        """The last step beside its bounds."""
        self._stepped_at = -1
        self.standing = standing.look(self.columns)
        self.fresh: NDArray[np.bool_] = np.ones(declared.trees, np.bool_)
        """[trees] Whose output is known to be so."""
        self._rows = np.zeros(len(self.columns.block_tree), np.int64)

    # -- a step ------------------------------------------------------------------------------------------------------

    def step(
        self,
        now_ms: int,
        batches: Sequence[Batch],
        *,
        deciding: bool,
        advisory: bool,
        late: Late = Late.ON_TIME,
    ) -> Changes | None:
        """Takes in what came, and decides.

        Args:
            now_ms: monotonic.
            batches: what the peers of this population told, in order.
            deciding: False: what is assigned stays so.
            advisory: what is decided is told, and not done.
            late: what is left out of this step because it comes late.

        Returns:
            What is to be told to the peers of a reported population.
        """
        log, columns = self.balancing.log, self.columns
        log.totals[:] = 0
        self.decisions.clear()
        self.late_steps[late] += 1
        if self.living is not None:
            self._live(now_ms, self.living)
        self.seats = self.intake.take(batches, self.history, now_ms) if self.intake is not None else None
        dark = self._judge_plants(now_ms)
        if deciding:
            if self.supply is not None and not advisory:
                self._climb(now_ms, self.supply)
            # A simulated one is found fed, as a real one would be: somebody served it before.
            found = self.supply is not None and not self.balancing.begun
            kept = self.balancing.kept() if advisory and not found else None
            least = int(bounds.departures(columns).sum())
            self.balancing.decide(now_ms, late, self.standing, self.fresh)
            self._explain(dark)
            if kept is not None:
                self.balancing.put_back(kept)
            self._keep_score(now_ms, least)
        self._stepped_at = now_ms
        self.standing = standing.look(columns)
        return None if self.intake is None else self._told(now_ms, self.intake)

    def _live(self, now_ms: int, living: noise.Living) -> None:
        """Everybody's demand and every plant's output, one tick on."""
        if now_ms < self.wake_at:
            return
        tick = now_ms // self.declared.period_ms
        self.wake_at = (tick + 1) * self.declared.period_ms
        noise.advance(self.columns, living, self.declared.seed, tick, self.factors(now_ms))
        answers = self.supply.respond(self.columns, now_ms, tick) if self.supply is not None else []
        self._tell(answers)
        assign.sum_trees(self.columns)
        if self.supply is not None:
            self.output[:] = self.supply.live(now_ms, tick)

    def factors(self, now_ms: int) -> NDArray[np.int32] | None:
        """int32[kinds] ppm of each kind's mean demand at this time of the day; None where it has no course."""
        return weather.day_factors(now_ms // 60_000) if self.declared.daily else None

    def _judge_plants(self, now_ms: int) -> int:
        """What each tree may carry now; how many plants have just gone dark."""
        columns, declared, intake = self.columns, self.declared, self.intake
        if intake is not None:
            self.output[:] = intake.output
            self.wake_at = now_ms + declared.fresh_ms
        self.margins = self._margins()
        safe = self.margins.safe
        was_alive = columns.tree_alive.astype(np.bool_)
        alive = self.output > 0
        if intake is not None:
            fresh = self.fresh = intake.fresh_plants(now_ms)
            # What is not known does no harm: it keeps whom it has, whatever they draw, and takes nobody.
            alive = np.where(fresh, alive, was_alive)
            held_back = np.maximum(columns.tree_load, safe - intake.reserve(now_ms))
            safe = np.where(fresh, np.minimum(safe, held_back), columns.tree_load)
        columns.tree_alive[:] = alive
        columns.tree_safe[:] = np.where(alive, safe, 0)
        return int(np.count_nonzero(was_alive & ~alive))

    def _climb(self, now_ms: int, supply: Supply) -> None:
        """Works plants and stores; what they will give within the ride-through, the margins bridge until then."""
        columns = self.columns
        wanted = int(columns.block_sum.sum()) + int(columns.big_demand.sum())
        safe, output = int(columns.tree_safe.sum()), int(self.output.sum())
        starving = max(0, wanted - int(columns.tree_load.sum())) if self.balancing.begun else 0
        forecast = supply.rise_ahead(self._by_kind, now_ms) if self.declared.look_ahead_ms else None
        arriving, given = supply.balance(now_ms, wanted, safe, output, starving, forecast)
        self._tell([g for g in given if g.rung not in _ROUTINE or g.final * PPM >= wanted * TOLD_PPM])
        if arriving > 0 and wanted > safe:
            # Each in proportion to its margin, and never above what it gives.
            spare = np.maximum(0, self.output - columns.tree_safe)
            all_spare = max(1, int(spare.sum()))
            share_ppm = min(PPM, min(arriving, wanted - safe + supply.shed_band) * PPM // all_spare)
            columns.tree_safe[:] += np.where(columns.tree_alive != 0, spare * share_ppm // PPM, 0)

    def _tell(self, given: list[Given]) -> None:
        for rung in given:
            amount_w = (rung.final or rung.promised) * self.declared.quantum_w
            self.decisions.append((rung.rung.value, amount_w, rung.why))

    def _margins(self) -> margin.Margins:
        declared = self.declared
        policy = margin.Policy(
            fixed_ppm=declared.margin_ppm, z_milli=declared.sigma_milli, correlated_ppm=declared.correlated_ppm
        )
        return margin.margins(self.columns, self.output, policy)

    def _keep_score(self, now_ms: int, least: int) -> None:
        columns, log, now_s = self.columns, self.balancing.log, seconds(now_ms)
        worst = int(fairness.keep(columns, log, self.history, now_s))
        if self.history.totals[0]:
            worst = max(worst, int(fairness.longest(columns, self.history, now_s)))
        # Whoever had to starve has left its tree as well: neither counts as a change that balancing chose.
        forced = int(log.totals[2])
        self.judged = score.judge(columns, log, max(0, least - forced), forced=forced)
        lasted = now_ms - self._stepped_at if self._stepped_at >= 0 else 0
        self.tally.add(self.judged, max(0, lasted), worst_starved_s=worst)

    def _explain(self, dark: int) -> None:
        _, moved, starved, fed = self.balancing.log.totals.tolist()
        quantum = self.declared.quantum_w
        if dark:
            self.decisions.append(("plants-lost", 0, Reason(LOST, (dark, moved))))
        if starved:
            wanted = int(self.columns.block_sum.sum()) + int(self.columns.big_demand.sum())
            reason = Reason(STARVED, (starved, wanted * quantum, int(self.columns.tree_safe.sum()) * quantum))
            self.decisions.append(("starve", 0, reason))
        if fed and not starved:
            self.decisions.append(("feed", 0, Reason(FED, (fed,))))

    def _told(self, now_ms: int, intake: Intake) -> Changes | None:
        """What the peers have to hear: what changed, and what nobody has confirmed."""
        columns, log = self.columns, self.balancing.log
        count = int(log.totals[0])
        changes: Changes | None = None
        if count > len(log.kind):
            changes = everything(columns)
        elif count:
            changes = latest(columns, log.kind[:count], log.number[:count].astype(np.int64))
        if changes is not None:
            intake.holding.note_sent(changes[0], changes[1], now_ms)
        # What is sent now is not among it.
        again = intake.holding.unconfirmed(now_ms) if self.balancing.begun else None
        if again is None:
            return changes
        intake.holding.note_sent(again[0], again[1], now_ms)
        if changes is None:
            return again
        return (
            np.concatenate([changes[0], again[0]]),
            np.concatenate([changes[1], again[1]]),
            np.concatenate([changes[2], again[2]]),
        )

    @property
    def history(self) -> History:
        """Who starved, and for how long."""
        return self.balancing.history

    @property
    def repaired(self) -> repair.Repaired:
        """What the last repair could not do."""
        return self.balancing.repaired

    # -- what others may see -----------------------------------------------------------------------------------------

    @property
    def conservation_error_w(self) -> int:
        """What blocks, trees and the account by class disagree by."""
        now = self.standing
        error = int(self.columns.tree_load.sum()) - int(now.served.sum())
        return error * self.declared.quantum_w

    def score(self) -> tuple[tuple[str, int], ...]:
        """How good balancing was until now, beside what was possible."""
        run, now = self.tally.score(), self.judged
        return (
            ("steps", run.steps),
            ("served_of_bound_ppb", run.served_ppb),
            ("starved", now.starved if now is not None else 0),
            ("starved_at_least", now.fewest if now is not None else 0),
            ("starved_above_least_at_worst", run.worst_excess),
            ("changed_hands", run.changed),
            ("changes_at_least", run.least_changes),
            ("unserved_weighted_wh", min(run.weighted_wh, (1 << 62))),
            ("worst_starved_s", run.worst_starved_s),
            ("switchings", self.supply.switchings if self.supply is not None else 0),
            ("mixed_blocks", self.standing.mixed),
            ("over_w", self.repaired.over * self.declared.quantum_w),
            ("above_limits_w", self.repaired.zones * self.declared.quantum_w),
            ("uncovered_w", self.repaired.uncovered * self.declared.quantum_w),
            ("in_pieces_w", self.repaired.stuck * self.declared.quantum_w),
            *(self.supply.shedding() if self.supply is not None else ()),
        )

    def view(self, stray_rows: int = 0) -> PopulationView:
        """For people; `stray_rows` were reported though the population is simulated."""
        intake = self.intake
        refused: tuple[tuple[str, int], ...] = (("simulated", stray_rows),) if stray_rows else ()
        if intake is not None:
            refused = tuple(zip(REFUSALS, intake.refused.tolist(), strict=True))
        return telling.view(
            self.declared,
            self.columns,
            self.standing,
            self.margins,
            self.fleet,
            self.output,
            self.fresh,
            self.score(),
            refused,
            self.supply.shed if self.supply is not None else 0,
            telling.clamped(intake) if intake is not None else (),
            tuple((name, int(self.late_steps[level])) for level, name in _LATE.items()),
        )

    def digest(self) -> str:
        """Of who is in which tree, what each block draws and what each plant gives."""
        number = standing.fingerprint(self.columns, self._rows)
        if self.supply is not None:
            number += self.supply.fingerprint()
        return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def section(self) -> bytes:
        """What a replay compares row by row."""
        columns = self.columns
        self.digest()
        held = self.supply.sheds if self.supply is not None else None
        rows = {} if held is None else {"shed_state": held.state.tolist(), "shed_granted": held.granted.tolist()}
        return encode(
            {
                **rows,
                "block_tree": columns.block_tree.tolist(),
                "block_sum": columns.block_sum.tolist(),
                "block": self._rows.tolist(),
                "big_tree": columns.big_tree.tolist(),
                "big_demand": columns.big_demand.tolist(),
                "tree_load": columns.tree_load.tolist(),
                "tree_safe": columns.tree_safe.tolist(),
                "output": self.output.tolist(),
            }
        )

    # -- state -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All that `step` may change, as bytes."""
        columns, mixed = self.columns, mixed_slots(self.columns)
        arrays: dict[str, NDArray[np.generic]] = dict(zip(_STATE, _state(columns), strict=True))
        arrays |= {"mixed_tree": columns.tree[mixed], "output": self.output, "late_steps": self.late_steps}
        if self.living is not None:
            arrays |= {"deviation": self.living.deviation, "big_deviation": self.living.big_deviation}
        if self.supply is not None:
            arrays |= {f"supply {name}": a for name, a in self.supply.arrays().items()}
        if self.intake is not None:
            arrays |= {f"intake {name}": a for name, a in self.intake.arrays().items()}
        arrays |= self.balancing.arrays()
        arrays["numbers"] = np.asarray([self.wake_at, self._stepped_at], np.int64)
        arrays["tally"] = np.frombuffer(" ".join(map(str, self.tally.numbers())).encode(), np.uint8)
        return packing.pack(arrays)

    def restore(self, data: bytes) -> None:
        """The inverse of `snapshot`. Raises TornArrays where the bytes are not of this population."""
        arrays = packing.unpack(data)
        columns = self.columns
        try:
            for name, column in zip(_STATE, _state(columns), strict=True):
                column[:] = arrays[name].reshape(column.shape)
            columns.tree[mixed_slots(columns)] = arrays["mixed_tree"]
            self.output[:] = arrays["output"]
            self.late_steps[:] = arrays["late_steps"]
            if self.living is not None:
                self.living.deviation[:] = arrays["deviation"]
                self.living.big_deviation[:] = arrays["big_deviation"]
            if self.supply is not None:
                self.supply.restore(
                    {n.removeprefix("supply "): a for n, a in arrays.items() if n.startswith("supply ")}
                )
            if self.intake is not None:
                told = {n.removeprefix("intake "): a for n, a in arrays.items() if n.startswith("intake ")}
                self.intake.restore(told)
            self.balancing.restore(arrays)
            self.wake_at, self._stepped_at = arrays["numbers"].tolist()
            self.tally = score.Tally.of(self.declared.quantum_w, list(map(int, arrays["tally"].tobytes().split())))
        except (KeyError, ValueError) as error:
            raise packing.TornArrays(
                f"the snapshot is of another population than {self.declared.name}: {error}"
            ) from None
        assign.sum_trees(columns)
        self.margins = self._margins()
        self.standing = standing.look(columns)

    def booted(self, *, gap_known: bool) -> None:
        """The daemon started anew: everybody is told again. Nobody's word is fresh if nobody knows how old it is."""
        if self.intake is not None:
            self.intake.holding.doubt()
            if not gap_known:
                self.intake.forget_ages()

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time, after a restart on another clock base."""
        self.wake_at = max(0, self.wake_at + by_ms)
        if self._stepped_at >= 0:
            self._stepped_at = max(0, self._stepped_at + by_ms)
        self.balancing.shift_times(by_ms)
        if self.supply is not None:
            self.supply.shift_times(by_ms)
        if self.intake is not None:
            self.intake.shift_times(by_ms)


_STATE = (
    "demand",
    "block_tree",
    "block_sum",
    "big_demand",
    "big_tree",
    "tree_safe",
    "tree_alive",
    "zone_limit",
    "eligible",
)


def _state(columns: Columns) -> tuple[NDArray[np.generic], ...]:
    return tuple(getattr(columns, name) for name in _STATE)
