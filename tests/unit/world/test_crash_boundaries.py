"""A crash at every boundary of the journal: no shed lost, doubled or left behind; every decision repeats.

Boundaries: after the plan and before it is durable, after the barrier, after each effect that leaves, before the bytes
of a stored register leave, after a device has taken a write. Volatile records survive or not, writes under way arrive
or not: both are drawn from the boundary's number.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from example_regions import assert_replays, doubled_writes, shed_at_devices, shed_in_book, world_of

from scowl_edge.model.site import NONE
from scowl_edge.tracker import Condition
from simulators.world import BUILDING, DAY, Phase, Story, World, begin

SETTLE_MS = 5_000
"""Until the next agreed snapshot: every shed is answered or in doubt and re-read, every register read back."""
SHARES = 4
"""Parts that the boundaries are dealt into, so that several processes can take them."""


@dataclass(frozen=True)
class Crash:
    number: int
    name: str
    phase: str
    keep_volatile: int
    delivered: bool


def crash_everywhere(name: str, story: Story, share: int) -> list[tuple[Crash, World]]:
    """Plays a story once and branches a crashed world off at each boundary of this share."""
    world = world_of(name)
    branches: list[tuple[Crash, World]] = []
    number = 0
    current = story[0]

    def at_boundary(boundary: str) -> None:
        nonlocal number
        number += 1
        if number % SHARES == share:
            volatile = len(world.journal.volatile)
            keep = number // SHARES % (volatile + 1)
            delivered = number // SHARES % 3 != 0
            crash = Crash(number, boundary, current.name, keep, delivered)
            branch = world.crashed(keep_volatile=keep, delivered=delivered)
            settle(branch, crash, len(world.journal.durable) + keep)
            if number // SHARES % LONG_EVERY == 0:
                branches.append((crash, branch))

    world.on_boundary = at_boundary
    for phase in story:
        current = phase
        begin(world, phase)
        world.run_for(phase.lasts_s * 1000)
    assert number > 500, "the story has too few boundaries to mean anything"
    return branches


LONG_EVERY = 60
"""Each so many crashed worlds live on to the story's end."""
REPLAY_EVERY = 4
"""Each so many crashed worlds have their own journal run again; the recovery itself re-ran what came before."""


def settle(world: World, crash: Crash, records: int) -> None:
    """Runs on to the next agreed snapshot and holds what must hold there."""
    world.run_for(SETTLE_MS)
    at_devices, in_book = shed_at_devices(world), shed_in_book(world)
    known = set(in_book) | {
        world.site.devices[world.site.consumers[c].device].name for c in world.core.memory.book.sheds
    }
    lost = {d: w for d, w in at_devices.items() if d not in known}
    assert not lost, f"{crash}: load is shed that nobody knows of: {lost}"
    phantom = {d: w for d, w in in_book.items() if d not in at_devices and not ending(world, d)}
    assert not phantom, f"{crash}: sheds are counted that no device holds: {phantom}"
    assert doubled_writes(world) == [], str(crash)
    assert world.core.conservation_error_w == 0, str(crash)
    starved = [
        c
        for c in range(len(world.site.consumers))
        if world.core.memory.region.condition[c] == Condition.STARVED and world.site.consumers[c].do_connect != NONE
    ]
    for c in starved:
        assert world.plant.read(world.site.consumers[c].device, "connect") == 0.0, f"{crash}: starved and connected"
    if crash.number // SHARES % REPLAY_EVERY == 0:
        assert_replays(world, records)


def ending(world: World, device: str) -> bool:
    """Whether a shed's end or its question is still under way."""
    for c, shed in world.core.memory.book.sheds.items():
        if world.site.devices[world.site.consumers[c].device].name == device:
            return shed.state != "granted"
    return False


def nothing_is_left_behind(world: World, crash: Crash, story: Story) -> None:
    """Plays the rest of the story and a calm while; then every device has all its power back."""
    names = [p.name for p in story]
    for phase in story[names.index(crash.phase) + 1 :]:
        begin(world, phase)
        world.run_for(phase.lasts_s * 1000)
    if crash.phase == names[-1]:
        world.run_for(story[-1].lasts_s * 1000)
    assert shed_at_devices(world) == {}, f"{crash}: left behind"
    assert not [s for s in world.core.memory.book.sheds.values() if s.expires_at < 1 << 50], str(crash)
    for c, consumer in enumerate(world.site.consumers):
        assert world.core.memory.region.condition[c] == Condition.SERVED, f"{crash}: {consumer.device} is left starved"
        if consumer.do_connect != NONE:
            assert world.plant.read(consumer.device, "connect") == 1.0, f"{crash}: left disconnected"
    assert doubled_writes(world) == [], str(crash)
    assert_replays(world)


STORIES: dict[str, tuple[Phase, ...]] = {"demo": DAY, "building": BUILDING}


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", STORIES)
def test_a_crash_at_every_boundary(name: str, share: int) -> None:
    story = STORIES[name]
    for crash, world in crash_everywhere(name, story, share):
        nothing_is_left_behind(world, crash, story)


@pytest.mark.skipif("SCOWL_STORY" not in os.environ, reason="the long form: SCOWL_STORY=long, `make stories`")
@pytest.mark.parametrize("name", STORIES)
def test_every_crashed_world_lives_to_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LONG_EVERY", 1)
    for share in range(SHARES):
        for crash, world in crash_everywhere(name, STORIES[name], share):
            nothing_is_left_behind(world, crash, STORIES[name])
