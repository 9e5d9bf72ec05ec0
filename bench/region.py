"""One step of the core and the journal of the demo region, in virtual time.

The example configuration runs in the simulators' world through calm, shortage and return; what is timed is CPU of
`Core.step` alone, what is counted are the bytes of the records that the journal would keep.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from bench.machine import describe, on_core, quantile
from scowl_edge.assembly import load
from scowl_edge.contracts import Record
from scowl_edge.model.effect import Inputs, Plan
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

DAY_S = 86_400
SNAPSHOT_EVERY = 300
"""Steps, as in the daemon."""


class Metered:
    """Stands before a core's step and before a journal's append, and counts."""

    def __init__(self, world: World) -> None:
        self.step_s: list[float] = []
        self.bytes: dict[str, int] = {}
        self._step, self._append = world.core.step, world.journal.append
        vars(world.core)["step"] = self.step
        vars(world.journal)["append"] = self.append

    def step(self, inputs: Inputs) -> Plan:
        """One step, timed."""
        before = time.process_time()
        plan = self._step(inputs)
        self.step_s.append(time.process_time() - before)
        return plan

    def append(self, record: Record) -> None:
        """One record, counted."""
        self.bytes[record.kind] = self.bytes.get(record.kind, 0) + len(record.payload)
        self._append(record)


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, runs the region, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.region", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=Path(__file__).parents[1] / "examples" / "demo.yaml")
    parser.add_argument("--minutes", type=float, default=10.0, help="virtual time")
    options = parser.parse_args(arguments)
    on_core(0)
    print(describe())
    assembly = load(options.file)
    world = World(assembly, settings_of(assembly), WorldSettings(snapshot_every=SNAPSHOT_EVERY))
    metered = Metered(world)
    phases = ((0.8, 0.6, 1.0), (0.1, 0.1, 1.0), (0.1, 0.1, 1.4), (0.8, 0.6, 1.0))
    for wind, sun, load_factor in phases:
        world.plant.set_weather(wind=wind, sun=sun)
        world.plant.set_load(load_factor)
        world.run_for(round(options.minutes * 60_000 / len(phases)))
    micros = [s * 1e6 for s in metered.step_s]
    seconds = options.minutes * 60
    daily = {kind: n / seconds * DAY_S / 1e6 for kind, n in sorted(metered.bytes.items())}
    print(
        "\n".join(
            [
                f"{options.file.name}: {len(assembly.site.devices)} devices, {len(micros)} steps in {seconds:.0f} s",
                "| | |",
                "|---|---|",
                f"| CPU a step, median / p99 | {quantile(micros, 0.5):.0f} / {quantile(micros, 0.99):.0f} us |",
                f"| journal records | {sum(daily.values()):.0f} MB a day |",
                *(f"| of these {kind} | {size:.1f} MB a day |" for kind, size in daily.items()),
            ]
        )
    )


if __name__ == "__main__":
    main()
