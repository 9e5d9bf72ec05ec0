"""Years of virtual time over many seeds, on all cores; stopped with Ctrl-C and taken up again where it was.

    python -m simulators.world.soak --years 10 --seeds 1000 --state DIR
    python -m simulators.world.soak --seed 17              one course again, exactly

Each finished seed is a file in DIR. A seed that breaks a law is named with the step, and the others go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import scowl_edge
from scowl_edge.compiled import COMPILED
from simulators.world.course import LONG, MANY_EVERY, MANY_REGIONS, Course, CourseSettings
from simulators.world.soak_report import page, totals

YEAR_MINUTES = 365 * 24 * 60
NEXT = "## Selections and limits"
"""Heading of what others write behind the page; it stays."""


def settings_of(seed: int, minutes: int) -> CourseSettings:
    """The course of a seed: whole episodes, at least so many minutes in all."""
    episodes = max(1, -(-minutes // (LONG.bad_minutes + LONG.quiet_minutes)))
    return replace(LONG, episodes=episodes, regions=MANY_REGIONS if seed % MANY_EVERY == 0 else 1)


def source_digest() -> str:
    """Of all code that takes part: figures of different code are not added up unseen."""
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__).parent
    for file in sorted([*Path(scowl_edge.__file__).parent.rglob("*.py"), *here.glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def run_seed(seed: int, minutes: int, code: str) -> dict[str, Any]:
    """One course as plain data."""
    began = time.monotonic()
    figures = Course(seed, settings_of(seed, minutes)).run()
    return figures.json() | {"code": code, "minutes": minutes, "wall_s": round(time.monotonic() - began, 3)}


def finished(state: Path, minutes: int, code: str, *, other_code: bool) -> dict[int, dict[str, Any]]:
    """What is in the state folder already: seeds of this length and, unless others are allowed, this code."""
    found = {}
    for file in sorted(state.glob("seed-*.json")):
        data = json.loads(file.read_text())
        if data["minutes"] == minutes and (other_code or data["code"] == code):
            found[int(data["seed"])] = data
    return found


def keep(state: Path, data: dict[str, Any]) -> None:
    """Writes a finished seed; a file is whole or not there."""
    file = state / f"seed-{data['seed']:06d}.json"
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(data, sort_keys=True))
    draft.replace(file)


def soak(
    state: Path, seeds: Iterable[int], minutes: int, workers: int, *, other_code: bool
) -> dict[int, dict[str, Any]]:
    """Runs what is not finished yet; prints how far it is."""
    state.mkdir(parents=True, exist_ok=True)
    code = source_digest()
    wanted = list(seeds)
    done = {s: d for s, d in finished(state, minutes, code, other_code=other_code).items() if s in set(wanted)}
    todo = [s for s in wanted if s not in done]
    print(f"{len(wanted)} seeds of {minutes / 1440:.2f} days each; {len(done)} are done", flush=True)
    # A shell that runs it in the background has it ignore Ctrl-C; a signal that is sent all the same is meant.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    pool = multiprocessing.get_context("spawn").Pool(workers, initializer=_calm)
    try:
        for count, data in enumerate(pool.imap_unordered(partial(run_seed, minutes=minutes, code=code), todo), 1):
            keep(state, data)
            done[data["seed"]] = data
            for text in data["violations"][:1]:
                print(f"seed {data['seed']}, {text}", flush=True)
            left_s = (time.monotonic() - began) / count * (len(todo) - count)
            ms = 1000 * data["spent_s"] / max(1, data["steps"])
            print(
                f"{len(done)}/{len(wanted)}: seed {data['seed']}, {data['steps']} steps, {ms:.2f} ms each; "
                f"{left_s / 60:.0f} min left",
                flush=True,
            )
    except KeyboardInterrupt:
        print(f"stopped; {len(done)} of {len(wanted)} seeds are in {state}: the same command goes on", flush=True)
    finally:
        pool.terminate()
        pool.join()
    return done


def _calm() -> None:
    """Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> int:
    """The program; 1 where a law was broken, 3 where seeds are missing."""
    parser = argparse.ArgumentParser(prog="python -m simulators.world.soak", description=__doc__)
    parser.add_argument("--years", type=float, default=10.0, help="of virtual time, over all seeds together")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--state", type=Path, default=Path("var/soak-virtual"), help="folder of what is finished")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="run this one alone, and print it")
    parser.add_argument("--report", type=Path, help="write the page of figures here when all is done")
    parser.add_argument("--other-code", action="store_true", help="count seeds that other code has run")
    given = parser.parse_args()
    minutes = round(given.years * YEAR_MINUTES / given.seeds)
    if not COMPILED:
        print("the kernels are not compiled: install the extra `scale`, or have much time", file=sys.stderr)
    if given.seed is not None:
        data = run_seed(given.seed, minutes, source_digest())
        print(json.dumps(data, indent=1, sort_keys=True))
        return 1 if data["violations"] else 0
    seeds = range(given.first, given.first + given.seeds)
    done = soak(given.state, seeds, minutes, given.workers, other_code=given.other_code)
    sums = totals(done.values())
    print(
        f"{sums.virtual_ms / 60_000 / YEAR_MINUTES:.2f} years, {sums.seeds} seeds, {sums.steps} steps, "
        f"{sum(sums.faults.values())} faults, {sum(sums.checks.values())} checks, {len(sums.violations)} laws broken"
    )
    if len(done) < given.seeds:
        return 3
    if given.report is not None:
        kept = given.report.read_text().partition(NEXT) if given.report.exists() else ("", "", "")
        given.report.write_text(page(sums) + "".join(("\n", *kept[1:]) if kept[1] else ()))
    return 1 if sums.violations else 0


if __name__ == "__main__":
    sys.exit(main())
