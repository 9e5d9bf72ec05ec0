"""Plays courses of a provider, an energy manager and an appliance from seeds: `python flex_courses.py --seeds 1000`.

A seed that breaks a law is printed; `--first SEED --seeds 1` plays it again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from flex_world import play


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
