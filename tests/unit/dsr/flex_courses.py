"""Plays courses of a provider, an energy manager and an appliance from seeds: `python flex_courses.py --seeds 1000`.

A seed that breaks a law is printed; `--first SEED --seeds 1` plays it again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--steps", type=int, default=120, help="things that happen in one course")
    options = parser.parse_args()
    ends: Counter[str] = Counter()
    limits: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        try:
            world = play(seed, options.steps)
        except BaseException:
            print(f"seed {seed} fails; again: --first {seed} --seeds 1 --steps {options.steps}", file=sys.stderr)
            raise
        for selection in world.appliance.selections.kept:
            ends["/".join([selection.state, *([selection.code] if selection.code else [])])] += 1
        limits.update(world.appliance.limiting.entries)
    print("ends of selections:", ", ".join(f"{n} {k}" for k, n in ends.most_common()))
    print("entries of the limit controller:", ", ".join(f"{n} {k}" for k, n in limits.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
