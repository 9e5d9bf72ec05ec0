"""Memory of a population: what a process of its own holds resident for it, a consumer."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from bench import balance_site
from bench.balance_site import Site, members, site, verdict
from bench.machine import resident_mb
from scowl_edge.tracker.population.noise import populate
from scowl_edge.tracker.population.repair import Learnt, repair


def table(consumers: int, trees: int) -> str:
    """Bytes a consumer, from a fresh process."""
    # With a fixed threshold all arrays of any size go back to the system when they are dropped.
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.balance_memory",
            "--size",
            str(consumers),
            "--trees",
            str(trees),
            "--files",
            str(balance_site.BUILD),
        ],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        stdout=subprocess.PIPE,
        check=True,
    )
    seen = json.loads(done.stdout)
    lines = [
        f"Memory, {consumers:,} x {trees}, resident in a process of its own; kernels alone: {seen['base']:.0f} MB",
        "| what | MB | bytes a consumer | must / aim | met |",
        "|---|---|---|---|---|",
    ]
    for key, name, must, aim in (
        ("hot", "hot: columns, history, log; after a rebuild and a trip", 16, 4),
        ("living", "with the simulation", 32, 13),
    ):
        each = seen[key] * 1e6 / consumers
        lines.append(f"| {name} | {seen[key]:.1f} | {each:.2f} | {must} / {aim} | {verdict(each, must, aim)} |")
    lines.append(
        f"| the same counted from the arrays (untouched pages included) | {seen['arrays']:.1f} | "
        f"{seen['arrays'] * 1e6 / consumers:.2f} | | |"
    )
    return "\n".join(lines)


def trip(s: Site) -> None:
    """A rebuild, and the tree with most members trips."""
    s.supply(1.05)
    s.rebuild()
    dead = int(members(s.columns).argmax())
    s.columns.tree_safe[dead] = s.columns.tree_alive[dead] = 0
    s.log.totals[:] = 0
    repair(s.columns, s.log, s.history, Learnt.empty(), 1 << 40)


def measure(consumers: int, trees: int) -> dict[str, float]:
    """MB of this process beyond what kernels and libraries take."""
    pid = os.getpid()
    # Kernels and the libraries' own tables first.
    small = site(2_000, 4)
    trip(small)
    populate(small.census, small.layout, small.columns)
    del small
    gc.collect()
    base = resident_mb(pid) * 1.048576
    whole = site(consumers, trees)
    trip(whole)
    columns, log, history, census, layout = whole.columns, whole.log, whole.history, whole.census, whole.layout
    living = populate(census, layout, columns)
    arrays = sum(a.nbytes for part in (columns, log, history, living) for a in part) / 1e6
    del whole, census, layout
    gc.collect()
    both = resident_mb(pid) * 1.048576 - base
    del living
    gc.collect()
    hot = resident_mb(pid) * 1.048576 - base
    assert len(columns.demand) and len(log.kind) and len(history.slot_times)
    return {"base": base, "hot": hot, "living": both, "arrays": arrays}


def main() -> None:
    """Prints figures as JSON; `table` starts it."""
    parser = argparse.ArgumentParser(prog="python -m bench.balance_memory", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--files", type=Path, default=balance_site.BUILD, help="folder of the populations")
    options = parser.parse_args()
    balance_site.BUILD = options.files
    print(json.dumps(measure(options.size, options.trees)))


if __name__ == "__main__":
    main()
