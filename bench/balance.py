"""The tracker at the scale of a state: every line of its table, beside bounds and a bare numpy pass.

    python -m bench.balance                          8.9 million consumers, 342 trees, and all tables
    python -m bench.balance --quick                  ten thousand consumers: correctness, no figure worth keeping
    python -m bench.balance --size 1000000 --trees 50

All lines but the last tables run with nested ratings (feeder, substation, region), classes, and big consumers as feeds
in the timed path; none runs with the daemon around it. Each plan that was timed is checked: loads, ratings, sums.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import balance_loop, balance_memory, balance_site, balance_tables
from bench.balance_site import SEED, STATE, STATE_TREES, Site, least_changes, members, paired, places, site, verdict
from bench.machine import describe
from scowl_edge.tracker.population import bounds, packing, reports
from scowl_edge.tracker.population.assign import same_sums
from scowl_edge.tracker.population.columns import Columns
from scowl_edge.tracker.population.noise import nameplates, populate
from scowl_edge.tracker.population.repair import Learnt, repair
from scowl_edge.tracker.population.storage_cuts import discharge_ready, forget_orders, stop_storing
from scowl_edge.tracker.population.stores import CHARGING, Stores, lay_out_stores, restore_cells

HEAD = "| line | ms, median (range) | CPU ms | / bare pass | result | must / aim | met |\n|---|---|---|---|---|---|---|"
MOST_MOVES = 1 << 40
TRIP_PPM = 9_800
"""Members of the tree that trips, of all: 87,000 of a state."""


def rebuilds(s: Site, pairs: int) -> list[str]:
    """Full rebuilds with surplus, at S = D and in shortage: how fast, how near the bounds."""
    lines = []
    for ratio, must_hz, aim_hz, must_gap, aim_gap in (
        (1.05, 50, 250, 1e-5, 0.0),
        (1.02, 50, 250, 1e-5, 0.0),
        (1.00, 20, 100, 1e-4, 1e-6),
        (0.95, 20, 100, 1e-4, 1e-6),
        (0.80, 20, 100, 1e-4, 1e-6),
    ):
        s.supply(ratio)
        timing = paired(s.columns, s.rebuild, lambda: None, pairs)
        s.check()
        gap, starved, fewest = s.gap()
        hertz = 1000 / timing.median
        lines += [
            f"| full rebuild, S = {ratio:.2f} D | {timing.cells()} | {hertz:.0f} Hz | {must_hz} / {aim_hz} Hz | "
            f"{verdict(hertz, must_hz, aim_hz, more=True)} |",
            f"| not served of min(S, D) | | | | {gap:.1e} | {must_gap:.0e} / {aim_gap:.0e} | "
            f"{verdict(gap, must_gap, aim_gap)} |",
            f"| starved above the minimum | | | | {starved - fewest} of {fewest:,} | "
            f"{fewest // 1000 + len(s.columns.tree_safe)} / 2 | "
            f"{verdict(starved - fewest, fewest // 1000 + len(s.columns.tree_safe), 2)} |",
        ]
    return lines


def events(s: Site, pairs: int) -> list[str]:
    """What happens to a site at rest: trips, supply that falls; time, changes of hands beside their bound."""
    lines = []
    trees = len(s.columns.tree_safe)
    for ratio in (1.05, 1.02):
        s.supply(ratio)
        s.rebuild()
        back = s.keep()
        count = members(s.columns)
        usual, fullest = int(np.argmin(np.abs(count - len(s.census) * TRIP_PPM // 1_000_000))), int(np.argmax(count))
        fifth = np.arange(trees) % 5 == 0
        safe = s.columns.tree_safe.copy()
        for name, dead, after, must_ms, aim_ms, must_churn, aim_churn in (
            (f"trip, {count[usual]:,} members", usual, safe, 5.0, 0.5, 1.05, 1.0),
            (f"trip of the fullest, {count[fullest]:,} members", fullest, safe, 0.0, 0.0, 0.0, 0.0),
            ("supply -5 %", -1, safe * 95 // 100, 50.0, 20.0, 1.5, 1.05),
            ("a fifth of the plants -30 %", -1, np.where(fifth, safe * 70 // 100, safe), 50.0, 20.0, 1.5, 1.05),
        ):

            def before(back: Callable[[], None] = back, dead: int = dead, after: NDArray[np.int64] = after) -> None:
                back()
                s.columns.tree_safe[:] = after
                if dead >= 0:
                    s.columns.tree_safe[dead] = s.columns.tree_alive[dead] = 0

            timing = paired(
                s.columns, lambda: repair(s.columns, s.log, s.history, Learnt.empty(), MOST_MOVES), before, pairs
            )
            s.check()
            changed, after_it = int(s.log.totals[1] + s.log.totals[2]), places(s.columns)
            gap, starved, fewest = s.gap()
            before()
            # Of everybody: in another tree than before, or in none. Whoever supply forces out is among them.
            elsewhere = int((after_it != places(s.columns)).sum())
            must_starve = fewest - int(bounds.starved_now(s.columns)[0].sum())
            least_elsewhere = max(must_starve, int(bounds.departures(s.columns).sum()))
            cut, least = least_changes(s)
            churn = elsewhere / max(1, least_elsewhere)
            in_time = in_hands = "| | |"
            if must_ms:
                in_time = f"| {must_ms} / {aim_ms} ms | {verdict(timing.median, must_ms, aim_ms)} |"
                in_hands = f"| {must_churn} / {aim_churn} | {verdict(churn, must_churn, aim_churn + 5e-4)} |"
            lines += [
                f"| {name}, S = {ratio:.2f} D | {timing.cells()} | {in_time}",
                f"| change hands / least | | | | {elsewhere:,} / {least_elsewhere:,} = {churn:.4f} {in_hands}",
                f"| beyond the cut / least after it | | | | {changed - cut:,} / {least:,} = "
                f"{(changed - cut) / max(1, least):.4f} | | |",
                f"| not served; starved above the minimum | | | | {gap:.1e}; {starved - fewest} of {fewest:,} | | |",
            ]
        back()
    return lines


def readings(s: Site, pairs: int, quick: bool) -> list[str]:
    """Readings in batches of a hundredth of all, and one by one."""
    s.supply(1.05)
    s.rebuild()
    living = populate(s.census, s.layout, s.columns)
    edge = reports.border(s.columns, *nameplates(living), 0)
    rng = np.random.default_rng(SEED)
    taken = np.flatnonzero(living.nominal)
    lines = []
    for name, share in (("1 % of all", 100), ("a million", 0)):
        count = min(1_000_000, len(taken)) if share == 0 else max(1, len(taken) // share)
        places = rng.choice(taken, count, replace=False)
        values = living.nominal[places].astype(np.int64) * rng.integers(50, 150, count) // 100
        for order, chosen in (("in any order", places), ("in order", np.sort(places))):
            batches = [reports.as_pairs(chosen, np.roll(values, turn))[0] for turn in range(2)]
            turns = cycle(batches)

            def take(turns: Iterator[NDArray[np.uint32]] = turns) -> None:
                reports.apply(s.columns, edge, next(turns), 1)

            timing = paired(s.columns, take, lambda: None, pairs)
            nanos = timing.median * 1e6 / count
            lines.append(
                f"| readings, {name}, {order} | {timing.cells(3)} | {nanos:.1f} ns a reading | 100 / 10 ns | "
                f"{verdict(nanos, 100, 10)} |"
            )
    inlet, each = reports.Inlet(s.columns, edge), []
    for place, value in zip(places[: 2_000 if quick else 50_000].tolist(), values.tolist(), strict=False):
        begun = time.perf_counter_ns()
        inlet.apply_one(place, value, 2)
        each.append(time.perf_counter_ns() - begun)
    micros = statistics.median(each) / 1e3
    lines.append(
        f"| one reading a call | | | | {micros:.2f} us, p99 {np.quantile(each, 0.99) / 1e3:.2f} us | 10 / 2 us | "
        f"{verdict(micros, 10, 2)} |"
    )
    if not same_sums(s.columns):
        raise SystemExit("running sums are not what a recount gives")
    return lines


def storage(count: int, pairs: int) -> list[str]:
    """Stores that charge: as many stop as are needed, and as many discharge."""
    rng = np.random.default_rng(SEED)
    power = rng.integers(300, 2_200, count)
    stores: Stores = lay_out_stores(
        power * 3_600 * 4, power, power, rng.integers(0, 10_001, count), trees=STATE_TREES,
        tree=rng.integers(0, STATE_TREES, count),
    )  # fmt: skip
    able = (stores.soc > stores.floor) & (stores.soc < stores.ceiling)
    charging = able & (rng.integers(0, 2, count) == 1)
    stores.state[charging] = CHARGING
    stores.power[charging] = stores.charge[charging]
    restore_cells(stores, 0)
    kept = {name: getattr(stores, name).copy() for name in stores._fields}
    relief, given = int(stores.charge[charging].sum()) // 3, int(stores.discharge[able].sum()) // 6

    def before() -> None:
        for name, array in kept.items():
            np.copyto(getattr(stores, name), array)

    done = [0, 0]

    def work() -> None:
        done[0], done[1] = stop_storing(stores, relief, 0), discharge_ready(stores, given, 0)
        forget_orders(stores)

    bare = stores_columns(count)
    timing = paired(bare, work, before, pairs)
    if done[0] < relief or done[1] < given:
        raise SystemExit("the stores gave less than they had")
    return [
        f"| {count:,} stores: a third stops charging, a sixth discharges | {timing.cells()} | exact to one store | "
        f"20 / 4 ms | {verdict(timing.median, 20, 4)} |"
    ]


def stores_columns(count: int) -> Columns:
    """Columns of which only the demand is of any use: what the bare pass beside the stores goes over."""
    empty = np.zeros(0, np.int64)
    return Columns(*([np.zeros(count, np.int16)] + [empty] * (len(Columns._fields) - 1)))  # type: ignore[arg-type]


def snapshots(s: Site, pairs: int) -> list[str]:
    """The whole state as bytes into a file, and back; a torn one is noticed."""
    arrays = {name: np.asarray(array) for name, array in zip(s.columns._fields, s.columns, strict=True)}
    lines = []
    with tempfile.TemporaryDirectory(dir=balance_site.BUILD) as folder:
        path = Path(folder, "state")
        written = paired(s.columns, lambda: path.write_bytes(packing.pack(arrays)), lambda: None, pairs)

        def load() -> None:
            for name, array in packing.unpack(path.read_bytes()).items():
                np.copyto(arrays[name].reshape(-1), array)

        read = paired(s.columns, load, lambda: None, pairs)
        try:
            packing.unpack(path.read_bytes()[:-1])
        except packing.TornArrays:
            torn = "a torn one is refused"
        else:
            raise SystemExit("a torn snapshot was taken for a whole one")
        size = path.stat().st_size / 1e6
    for name, timing in (("snapshot into a file", written), ("restore from it", read)):
        lines.append(
            f"| {name} | {timing.cells(1)} | {size:.0f} MB, {torn} | 1000 / 300 ms | "
            f"{verdict(timing.median, 1000, 300)} |"
        )
    return lines


def bound_costs(s: Site, pairs: int) -> list[str]:
    """What the bounds cost themselves; they are taken in every step."""
    lines = []
    for ratio in (1.05, 0.95, 0.80):
        s.supply(1.05)
        s.rebuild()
        s.supply(ratio)
        for name, work in (
            ("energy", lambda: bounds.energy(s.columns)),
            ("fewest starved", lambda: bounds.fewest_starved(s.columns)),
            ("fewest departures", lambda: bounds.departures(s.columns)),
        ):
            timing = paired(s.columns, work, lambda: None, pairs)
            lines.append(f"| bound: {name}, S = {ratio:.2f} D | {timing.cells()} | | | |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.balance", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ten thousand consumers, few repetitions")
    parser.add_argument("--size", type=int, help="consumers")
    parser.add_argument("--trees", type=int)
    parser.add_argument("--pairs", type=int, help="of each figure, with the bare pass")
    parser.add_argument("--ticks", type=int, help="of each closed loop")
    parser.add_argument("--no-tables", action="store_true", help="the lines of the issue's table only")
    options = parser.parse_args(arguments)
    size = options.size or (10_000 if options.quick else STATE)
    trees = options.trees or (10 if options.quick else STATE_TREES)
    pairs = options.pairs or (2 if options.quick else 15)
    ticks = options.ticks or (120 if options.quick else 1_000)
    print(describe())
    print(
        f"\n{size:,} consumers x {trees} trees, {pairs} interleaved pairs; nested ratings, classes, big feeds\n\n{HEAD}"
    )
    s = site(size, trees)
    for lines in (
        rebuilds(s, pairs),
        events(s, pairs),
        readings(s, pairs, options.quick),
        storage(10_000 if options.quick else 1_000_000, pairs),
        snapshots(s, pairs),
        bound_costs(s, pairs),
    ):
        print("\n".join(lines), flush=True)
    print("\n" + balance_loop.table(size, trees, ticks), flush=True)
    print("\n" + balance_memory.table(size, trees), flush=True)
    if not options.no_tables:
        for text in balance_tables.tables(quick=options.quick):
            print("\n" + text, flush=True)


if __name__ == "__main__":
    main()
