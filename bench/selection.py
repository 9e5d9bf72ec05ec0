"""Selection among offers: plans beside their certified bounds, beside HiGHS, and how soon a plan follows a change.

    python -m bench.selection              all lines, HiGHS with 5 s each: rough
    python -m bench.selection --highs 60   HiGHS with 60 s each, as in docs/performance.md
    python -m bench.selection --quick      small sizes, correctness, no figure worth keeping

The objective is the squared deviation from the target plus costs, in W^2, for bound, plan and HiGHS alike. Each plan
that was timed is checked: sums, ratings, never worse than doing nothing. Times are the least of several runs, in one
thread, kernels compiled before; a strong bound (more passes than the daemon takes) stands beside the one in time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from bench.machine import describe, spread
from bench.selection_highs import highs
from bench.selection_jobs import job, moved, one_anew, standing
from bench.selection_sites import site
from scowl_edge.compiled import COMPILED
from scowl_edge.dsr.choice.board import Board, course_of, held
from scowl_edge.dsr.choice.bound import approach, mixture_of, prices_of, proven
from scowl_edge.dsr.choice.choose import Budget, Chosen, budget_for, choose, objective_of, replan
from scowl_edge.dsr.choice.warm import warm
from scowl_edge.dsr.planning import Job
from scowl_edge.dsr.proposing import Planner

T = TypeVar("T")
STRONG_MOVES = 1_500_000
FEW = Budget(moves=4_000_000, bound_moves=100_000)
"""For the comparison with HiGHS, which has far longer."""


def timed(work: Callable[[], T], runs: int) -> tuple[T, list[float]]:
    """(what came out, milliseconds of each run)."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        result = work()
        times.append((time.perf_counter() - begun) * 1e3)
    return result, times


def checked(board: Board, chosen: Chosen) -> None:
    """Refuses a plan that is not what it says."""
    course = course_of(board, chosen.span, chosen.at)
    if objective_of(board, course) != chosen.objective or not np.array_equal(course.residual, chosen.residual_w):
        raise SystemExit("the sums of a plan are not what a recount gives")
    if (chosen.excess_w, chosen.objective) > (chosen.idle_excess_w, chosen.idle_objective):
        raise SystemExit("a plan is worse than doing nothing")
    if chosen.bound is not None and not chosen.excess_w and chosen.bound > chosen.objective:
        raise SystemExit("a plan is better than its bound")


def strong_bound(board: Board, chosen: Chosen) -> int:
    """The bound after many passes."""
    course = course_of(board, chosen.span, chosen.at)
    mixture = mixture_of(board, course)
    approach(board, course, mixture, max(2, STRONG_MOVES // len(board.begin)))
    return max(proven(board, course, prices_of(board, mixture)), chosen.bound or -(1 << 80))


def sizes(people: list[int], seeds: int, runs: int) -> list[str]:
    """Plans of many sizes."""
    lines = []
    for size in people:
        for seed in range(1, seeds + 1):
            board = site(size, seed)
            chosen, times = timed(lambda board=board, size=size: choose(board, 1, budget_for(size)), runs)  # type: ignore[misc]
            checked(board, chosen)
            bound = strong_bound(board, chosen)
            gap = (chosen.objective - bound) / bound if bound > 0 else np.inf
            gained = (chosen.idle_objective - chosen.objective) / (chosen.idle_objective - bound)
            in_time = "-" if chosen.gap_ppm is None else f"{chosen.gap_ppm / 1e4:.3f} %"
            lines.append(
                f"| {size:,} | {seed} | {min(times):.0f}; {spread(times, 0)} | {in_time} | {gap:.3%} | {gained:.4%} | "
                f"{chosen.excess_w} |"
            )
    return lines


def changes(size: int, runs: int) -> list[str]:
    """A plan that is kept up to date."""
    board = site(size, 1)
    before = choose(board, 1, budget_for(size))
    lines = []
    shape = 1 + 0.05 * np.sin(np.arange(len(board.target)) / 8)
    for name, target in (
        ("the target moves 5 % up", board.target * 105 // 100),
        ("the target moves 5 % down", board.target * 95 // 100),
        ("the target moves by up to 5 %, to and fro", np.rint(board.target * shape).astype(np.int64)),
    ):
        moved = board._replace(target=target)
        budget = Budget(moves=size)
        again, times = timed(lambda moved=moved, budget=budget: replan(moved, before, budget), runs)  # type: ignore[misc]
        checked(moved, again)
        stale = objective_of(moved, course_of(moved, before.span, before.at))
        bound = strong_bound(moved, again)
        lines.append(
            f"| {size:,}: {name} | {min(times):.2f}; {spread(times, 2)} | {stale / bound - 1:.2%} -> "
            f"{again.objective / bound - 1:.2%} | 10 ms |"
        )
    who = int(np.argmax(board.highest))
    # It runs as intended, whatever was asked of it.
    fixed = held(board, who, int(board.idle_span[who]), int(board.idle_at[who]))
    span, at = before.span.copy(), before.at.copy()
    span[who], at[who] = board.idle_span[who], board.idle_at[who]
    left = course_of(fixed, span, at)
    stale = objective_of(fixed, left)
    some = np.asarray([who])
    again, times = timed(lambda: replan(fixed, before, Budget(moves=size // 20), some), runs)
    checked(fixed, again)
    bound = strong_bound(fixed, again)
    lines.append(
        f"| {size:,}: one appliance is overridden | {min(times):.2f}; {spread(times, 2)} | {stale / bound - 1:.2%} -> "
        f"{again.objective / bound - 1:.2%} | 1 ms |"
    )
    return lines


def jobs(size: int, runs: int) -> list[str]:
    """From a job to the picks, in a worker that has answered before, beside one that has just begun."""
    first = job(size, 1, 200_000)
    planner = Planner()
    stands = standing(first, planner.propose(first))
    turn = iter(range(1, 1 << 20))
    cases: list[tuple[str, Callable[[], Job]]] = [
        ("nothing has changed", lambda: stands),
        ("the target moves 5 %", lambda: moved(stands, 19 if next(turn) % 2 else 21)),
        ("one appliance has a new offer", lambda: one_anew(stands, next(turn))),
    ]
    lines = [f"| {size:,}: {name} | {_cpu(runs, planner, make)} |" for name, make in cases]
    anew = [_cpu_of(lambda: Planner().propose(first)) for _ in range(max(2, runs // 3))]
    return [*lines, f"| {size:,}: a worker that has just begun | {min(anew):.0f}; {spread(anew, 0)} |"]


def _cpu(runs: int, planner: Planner, make: Callable[[], Job]) -> str:
    times = []
    for _ in range(runs):
        what = make()
        times.append(_cpu_of(lambda what=what: planner.propose(what)))  # type: ignore[misc]
    return f"{min(times):.0f}; {spread(times, 0)}"


def _cpu_of(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


def beside_highs(people: list[int], seeds: int, seconds: float, runs: int) -> list[str]:
    """Plans beside the best that HiGHS finds."""
    lines = []
    for size in people:
        for seed in range(1, seeds + 1):
            board = site(size, seed)
            chosen, times = timed(lambda board=board: choose(board, 1, FEW), runs)  # type: ignore[misc]
            checked(board, chosen)
            found = highs(board, seconds)
            ratio = "none found" if found.objective is None else f"{chosen.objective / found.objective:.4f}"
            proof = "proven" if found.proven else f"{seconds:.0f} s"
            bound = max(found.bound, chosen.bound or 0)
            lines.append(
                f"| {size:,} | {seed} | {min(times) / 1e3:.1f} s | {ratio} ({proof}) | "
                f"{chosen.objective / bound - 1:.1%} |"
            )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.selection", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--highs", type=float, default=5, help="seconds for HiGHS, each; 0 to leave it out")
    parser.add_argument("--runs", type=int, help="of each figure")
    parser.add_argument("--seeds", type=int, help="instances of each size")
    options = parser.parse_args(arguments)
    runs, seeds = options.runs or (2 if options.quick else 7), options.seeds or (1 if options.quick else 3)
    print(describe() + ("" if COMPILED else "; kernels are not compiled"))
    warm()
    many = [200, 1_000] if options.quick else [200, 1_000, 5_000, 10_000, 100_000]
    print(
        "\nSquared deviation from the target plus costs; 5 profiles x 16 starts x 96 slots, one nested rating\n\n"
        "| appliances | seed | plan and bound, ms: least; median (range) | certified gap in that time | "
        "gap to a strong bound | of the bound's improvement | W over ratings |\n|---|---|---|---|---|---|---|"
    )
    print("\n".join(sizes(many, seeds, runs)), flush=True)
    print(
        "\n| change | re-plan, ms: least; median (range) | above the bound, before -> after | must |\n|---|---|---|---|"
    )
    print("\n".join(changes(1_000 if options.quick else 5_000, runs * 5)), flush=True)
    print("\n| from a job to its picks | ms of CPU: least; median (range) |\n|---|---|")
    print("\n".join(jobs(500 if options.quick else 5_000, runs)), flush=True)
    if options.highs:
        print(
            "\n| appliances | seed | ours | our objective / that of HiGHS | above the best bound |\n"
            "|---|---|---|---|---|"
        )
        few = [10] if options.quick else [10, 50, 200]
        print("\n".join(beside_highs(few, seeds, options.highs, 1)), flush=True)


if __name__ == "__main__":
    main()
