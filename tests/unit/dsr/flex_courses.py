"""Plays courses of a provider, an energy manager and an appliance from seeds: `make flex-courses`.

A seed that breaks a law is printed with the command that plays it again, exactly.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from flex_world import World

from scowl_edge.model.exchange import CancelAt
from scowl_edge.model.flexibility import LimitClass, OnLinkLoss, OverrideScope


def act(world: World, draw: Callable[[int, int], int]) -> str:
    """One thing that may happen, all its choices drawn by `draw(least, most)`."""
    kind = draw(0, 99)
    if kind < 18:
        crash = ("", "", "", "", "before", "after")[draw(0, 5)]
        world.deliver(bool(draw(0, 1)), bool(draw(0, 1)), draw(0, 9), keep=draw(0, 5) == 0, crash=crash)
        return "deliver"
    if kind < 21:
        world.settle()
        return "settle"
    if kind < 40:
        world.drain()
        return "drain"
    if kind < 50:
        world.wait((0, 1, 700, 1_000, 5_000, 10_000, 15_000, 31_000, 60_000, 125_000)[draw(0, 9)])
        return "wait"
    if kind < 58:
        world.wait_for_appliance()
        return "wait for appliance"
    if kind < 70:
        response = bool(draw(0, 1))
        world.ask(
            draw(0, 1),
            draw(0, 2),
            draw(0, 80),
            response=response,
            priority=draw(0, 3),
            behind=max(0, draw(-5, 1)),
            setpoint_w=(None, None, 0, 1_000, 4_000, 4_001)[draw(0, 5)],
            emergency=response and draw(0, 3) == 0,
        )
        arrives = draw(0, 3)
        if arrives == 0:
            # Longer under way than the provider waits for an answer.
            world.wait(10_000)
        if arrives != 1:
            world.drain()
        return "ask"
    if kind < 74:
        world.ask_again(draw(0, 9))
        return "ask again"
    if kind < 78:
        world.cancel(draw(0, 9), CancelAt.NOW if draw(0, 1) else CancelAt.ELEMENT_END)
        return "cancel"
    if kind < 83:
        world.beat()
        return "beat"
    if kind < 87:
        klass = LimitClass.SAFETY if draw(0, 1) else LimitClass.CONTRACT
        world.limit(draw(0, 5_000), active=draw(0, 2) > 0, klass=klass, dur_s=(None, 5, 60, 600)[draw(0, 3)])
        return "limit"
    return _rare(world, draw)


def _rare(world: World, draw: Callable[[int, int], int]) -> str:
    kind = draw(0, 9)
    if kind == 0:
        world.override(list(OverrideScope)[draw(0, 4)], (None, 0, 20, 100)[draw(0, 3)])
        return "override"
    if kind == 1:
        world.override(OverrideScope.NONE, None)
        world.offer()
        return "override lifted"
    if kind == 2:
        world.offer()
        return "offer"
    if kind == 3:
        world.pause(bool(draw(0, 1)))
        return "pause"
    if kind == 4:
        error_w = (0, 50, 2_000)[draw(0, 2)]
        for _ in range(draw(1, 4)):
            world.wait(2_000)
            world.measure(error_w)
        return "measure"
    if kind == 5:
        world.step_clock((0, 40_000, -40_000, 3_600_000)[draw(0, 3)], bool(draw(0, 2)))
        return "clock"
    if kind == 6:
        if draw(0, 1):
            world.fault(draw(0, 2) == 0)
        else:
            world.cut(bool(draw(0, 1)))
        return "cut or fault"
    if kind == 7:
        world.mend(bool(draw(0, 1)))
        return "mend"
    if kind == 8:
        world.lose(bool(draw(0, 1)), bool(draw(0, 1)), draw(0, 9))
        return "lose"
    who = ("appliance", "appliance", "cem", "provider")[draw(0, 3)]
    world.restart(who, (0, 900, 20_000, 100_000)[draw(0, 3)], known=draw(0, 3) > 0)
    return "restart"


def play(seed: int, steps: int = 120) -> World:
    """One course from a seed: the same seed is the same course."""
    random = Random(seed)
    world = World(on_link_loss=random.choice(list(OnLinkLoss)))
    for _ in range(steps):
        act(world, random.randint)
    world.finish()
    return world


def again(seed: int, steps: int) -> str:
    """The command that plays a course again."""
    return f"python tests/unit/dsr/flex_courses.py --first {seed} --seeds 1 --steps {steps}"


def checked(seed: int, steps: int = 120) -> World:
    """As `play`; a failure names the command that repeats it."""
    try:
        return play(seed, steps)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}; play it again with: {again(seed, steps)}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--steps", type=int, default=120, help="things that happen in one course")
    parser.add_argument("--report", type=Path, help="write the section of figures into this page")
    options = parser.parse_args()
    tally = Tally()
    for seed in range(options.first, options.first + options.seeds):
        try:
            world = play(seed, options.steps)
        except BaseException as error:
            tally.failed.append(seed)
            print(
                f"seed {seed} breaks a law: {error}\nagain: {again(seed, options.steps)}", file=sys.stderr, flush=True
            )
            if not isinstance(error, Exception):
                raise
            continue
        tally.add(world)
        if tally.seeds % 100 == 0:
            print(f"{tally.seeds} of {options.seeds} seeds", flush=True)
    print("ends of selections:", ", ".join(f"{n} {k}" for k, n in tally.ends.most_common()))
    print("entries of the limit controller:", ", ".join(f"{n} {k}" for k, n in tally.limits.most_common()))
    print(f"{len(tally.failed)} of {options.seeds} seeds broke a law")
    if options.report is not None and not tally.failed:
        text = options.report.read_text()
        options.report.write_text(text.partition(SECTION)[0].rstrip() + "\n\n" + tally.section(options.steps))
    return 1 if tally.failed else 0


SECTION = "## Selections and limits"
"""Heading of the last section of the page."""


@dataclass
class Tally:
    """What happened in all courses."""

    seeds: int = 0
    checks: int = 0
    virtual_ms: int = 0
    failed: list[int] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        self.seeds += 1
        self.checks += world.steps
        self.virtual_ms += world.mono_ms
        for selection in world.appliance.selections.kept:
            self.ends["/".join([selection.state, *([selection.code] if selection.code else [])])] += 1
        self.limits.update(world.appliance.limiting.entries)

    def section(self, steps: int) -> str:
        """For the page."""
        ends = "".join(f"| {name} | {n:,} |\n" for name, n in self.ends.most_common())
        limits = "".join(f"| {name} | {n:,} |\n" for name, n in self.limits.most_common())
        return f"""{SECTION}

Written by `make flex-courses`: a provider, an energy manager and an appliance, each with the state that it would
read back from a disk, on links that lose, repeat, reorder and break; nodes die before and after a message is stored,
clocks step, users override. The laws are those of the table in `tests/unit/dsr/test_flex_courses.py`, looked at after
every call. A seed that breaks one is printed with the command that plays it again.

| Run | |
|---|---|
| Seeds, of {steps} events each | {self.seeds:,} |
| Virtual time | {self.virtual_ms / 3_600_000:,.0f} h |
| Looks at the laws | {self.checks:,} |
| Seeds that broke one | {len(self.failed)} |

| How selections ended | Times |
|---|---|
{ends}
| Entries into states of the limit controller | Times |
|---|---|
{limits}"""


if __name__ == "__main__":
    sys.exit(main())
