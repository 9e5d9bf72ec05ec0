"""A crash at every boundary of a course: whatever was stored is enough, and the end is the same."""

from __future__ import annotations

import pytest
from flex_world import World

from scowl_edge.model.exchange import CancelAt
from scowl_edge.model.flexibility import LimitClass, SelectionState


def play_with_crash(at: int, crash: str) -> tuple[World, int]:
    """Two selections, a limit and a cancellation; the receiver of message number `at` dies.

    Returns the world at its end, and how many messages there were before everything was settled.
    """
    world = World()
    sent = 0

    def drain() -> None:
        nonlocal sent
        while any((world.wide.down, world.near.down, world.near.up, world.wide.up)):
            for wide, down in ((True, True), (False, True), (False, False), (True, False)):
                link = world.wide if wide else world.near
                if link.down if down else link.up:
                    sent += 1
                    world.deliver(wide, down, 0, crash=crash if sent == at else "")

    drain()
    world.beat()
    drain()
    world.limit(800, active=True, klass=LimitClass.CONTRACT)
    drain()
    one = world.ask(0, 1, 5, response=True)
    drain()
    world.settle()
    world.wait(5_000)
    drain()
    world.wait(10_000)
    drain()
    world.ask(1, 0, 60, response=True)
    drain()
    world.settle()
    world.cancel([c.select_id for c in world.provider.copies].index(one), CancelAt.ELEMENT_END)
    drain()
    world.settle()
    world.wait(6_000)
    drain()
    world.finish()
    return world, sent


def outcome(world: World) -> list[tuple[str, SelectionState]]:
    return [(s.select_id, s.state) for s in world.appliance.selections.kept]


WHOLE, MESSAGES = play_with_crash(0, "")


def test_without_a_crash_one_is_cancelled_and_one_completed() -> None:
    assert outcome(WHOLE) == [("select-1", SelectionState.CANCELLED), ("select-2", SelectionState.COMPLETED)]
    assert MESSAGES > 30


@pytest.mark.parametrize("crash", ["before", "after"])
def test_with_a_crash_at_any_boundary_it_ends_the_same(crash: str) -> None:
    for at in range(1, MESSAGES + 1):
        world, _ = play_with_crash(at, crash)
        assert outcome(world) == outcome(WHOLE), f"crash {crash} message {at}"
