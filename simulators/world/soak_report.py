"""The page of figures that a soak in virtual time writes: years, seeds, steps, faults by kind, laws checked, broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.world.course import LONG, MANY_EVERY, MANY_REGIONS
from simulators.world.laws import Law
from simulators.world.region import GATEWAYS, STATIONS
from simulators.world.trouble import Trouble

_YEAR_MS = 365 * 86_400_000


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over all seeds."""

    seeds: int = 0
    many: int = 0
    """Seeds that ran several regions in one time."""
    steps: int = 0
    virtual_ms: int = 0
    spent_s: float = 0.0
    code: list[str] = field(default_factory=list)
    """Digests of the code that ran."""
    faults: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def totals(courses: Iterable[Mapping[str, Any]]) -> Totals:
    """Adds up courses as they were written."""
    sums = Totals()
    for data in courses:
        sums.seeds += 1
        sums.many += data["seed"] % MANY_EVERY == 0
        sums.steps += data["steps"]
        sums.virtual_ms += data["virtual_ms"]
        sums.spent_s += data["spent_s"]
        sums.faults.update(data["faults"])
        sums.happened.update(data["happened"])
        sums.checks.update(data["checks"])
        sums.violations += [f"seed {data['seed']}, {text}" for text in data["violations"]]
        if data["code"] not in sums.code:
            sums.code.append(data["code"])
    return sums


def page(sums: Totals) -> str:
    """The whole page, in Markdown."""
    years = sums.virtual_ms / _YEAR_MS
    lines = [
        "# Reliability",
        "",
        "What was run to find faults before you do, and what came out. All figures on this page are written by",
        "`make soak-virtual`, those of the last section by `make flex-courses`; none is typed in.",
        "",
        "The program plays regions of 1,000 consumers and 20 plants in virtual time. Everything that decides is the",
        "real thing: the core, its messages and records, the journal, the way back after a crash. Around it",
        "the peers, the plants and the network are simulated, and go wrong in every way of the table below, as a seed",
        "has it. Steps are at most 60 s apart. After each step the laws are counted anew from every single consumer,",
        "by a compiled look that is at least as strict as the laws; where it doubts, they are counted one by one.",
        "",
        *_cast(),
        "",
        *_shares(),
        "",
        "| Run | |",
        "|---|---|",
        f"| Virtual time | {years:.2f} years |",
        f"| Seeds | {sums.seeds:,} |",
        f"| of them with {MANY_REGIONS} regions in one time | {sums.many:,} |",
        f"| Steps | {sums.steps:,} |",
        f"| Processor time | {sums.spent_s / 3600:.2f} h, {1000 * sums.spent_s / max(1, sums.steps):.2f} ms a step |",
        f"| Laws broken | {len(sums.violations)} |",
        f"| Digest of the code | {', '.join(sums.code)} |",
        "",
        "## Faults",
        "",
        "| What went wrong | Times |",
        "|---|---|",
        *(f"| {kind} | {sums.faults[kind.name]:,} |" for kind in Trouble),
        "",
        "## What followed",
        "",
        "| | Times |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in sorted(sums.happened.items())),
        "",
        "## Laws",
        "",
        "| What has to hold | Checks | Broken |",
        "|---|---|---|",
        *(f"| {law} | {sums.checks[law.name]:,} | {_broken(sums, law)} |" for law in Law),
        "",
        "## Again",
        "",
        "`make soak-virtual` runs it; Ctrl-C stops it, the same command goes on. A seed that breaks a law is printed",
        "with the step, and `python -m simulators.world.soak --seed S` plays it again, exactly. Every change is tested",
        "on 200 fixed seeds and 20 fresh ones of the same kind, which are shorter.",
        "",
    ]
    if sums.violations:
        lines += ["## Broken", "", *(f"- {text}" for text in sums.violations), ""]
    return "\n".join(lines)


def _cast() -> list[str]:
    """Who takes part in a course."""
    return [
        f"In a region {GATEWAYS + 1} gateways speak for the consumers ({GATEWAYS} for those in blocks, one for the "
        f"large ones), and {STATIONS}",
        f"stations for the plants. One seed in {MANY_EVERY} runs {MANY_REGIONS} regions with a tracker each in one "
        "time, the others one.",
    ]


def _shares() -> list[str]:
    """How faults and replays are spread over a course."""
    stretches = ", ".join(f"{n}" for n in sorted(set(LONG.snapshot_every)))
    return [
        f"{LONG.bad_minutes} minutes in which faults are drawn and at least {LONG.quiet_minutes} quiet ones take "
        "turns. The tracker takes a snapshot",
        f"every {stretches} steps, as the seed draws it. Of the stretches between two snapshots one in "
        f"{LONG.replay_every} is drawn and run again from",
        "the journal, step by step; besides, every restart runs its own again, and must find the state that the",
        "journal's last step left. All other laws hold or break in every single step. In the shorter courses that",
        "test every change, every stretch is run again.",
    ]


def _broken(sums: Totals, law: Law) -> int:
    return sum(f": {law}: " in text for text in sums.violations)
