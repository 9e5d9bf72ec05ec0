"""The example regions in virtual time, and what must hold in any of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scowl_edge.assembly import Assembly, assemble, load
from scowl_edge.control import Core
from scowl_edge.journal.records import SNAPSHOT
from scowl_edge.journal.replay import replay
from scowl_edge.model.site import NONE
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

EXAMPLES = Path(__file__).parents[3] / "examples"


@cache
def example(name: str) -> Assembly:
    """An example's assembly, read once."""
    return load(EXAMPLES / f"{name}.yaml")


def world_of(name: str, *, seed: int = 1, snapshot_every: int = 10) -> World:
    """An example region, just started."""
    assembly = example(name)
    return World(assembly, settings_of(assembly), WorldSettings(seed=seed, snapshot_every=snapshot_every))


def shed_at_devices(world: World) -> dict[str, int]:
    """Load that devices with a shed register really give up, by name; W."""
    found = {}
    for consumer in world.site.consumers:
        if consumer.do_shed != NONE:
            name = world.site.devices[consumer.device].name
            granted = world.plant.read(consumer.device, "shed_granted") or 0.0
            if granted > 0:
                found[name] = round(granted)
    return found


def shed_in_book(world: World) -> dict[str, int]:
    """The same as the core believes it."""
    return {
        world.site.devices[world.site.consumers[c].device].name: shed.granted_w
        for c, shed in world.core.memory.book.sheds.items()
        if world.site.consumers[c].do_shed != NONE and shed.granted_w > 0
    }


def doubled_writes(world: World) -> list[str]:
    """Writes to stored or pulse registers that repeat the value that was already there; in words."""
    stored = {
        (world.site.devices[a.device].name, a.verb.value)
        for a in world.site.actuators
        if a.write_class.value in ("stored", "pulse")
    }
    last: dict[tuple[str, str], float] = {}
    found = []
    for write in world.plant.accepted:
        key = (write.device, write.signal)
        if key in stored:
            if last.get(key) == write.value:
                found.append(f"{write.device} {write.signal} = {write.value:g} again at {write.at_ms}")
            last[key] = write.value
    return found


def assert_replays(world: World, since: int = 0) -> None:
    """Every gap-free segment of the journal gives the same decisions again.

    `since` is a record's number: what ends before the last snapshot in front of it is left out.
    """
    records = world.journal.durable
    start = max((i for i, r in enumerate(records[:since]) if r.kind == SNAPSHOT), default=0)
    kept = records if start == 0 else (records[0], *records[start:])
    report = replay(kept, lambda text: Core(assembled(text).site))
    assert report.steps > 0
    assert report.difference is None, str(report.difference)


@cache
def assembled(text: str) -> Assembly:
    """A configuration from a journal, built once."""
    return assemble(text, "journal")
