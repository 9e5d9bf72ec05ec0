"""What lives as long as the daemon is set aside from the search for cycles: twice, and nothing dead with it."""

from __future__ import annotations

import asyncio
import gc
import weakref

from scowl_edge import lasting


class _Knot:
    """An object that only a search for cycles can free."""

    def __init__(self) -> None:
        self.me = self


def test_the_living_are_set_aside_when_the_start_is_over_and_the_dead_are_not() -> None:
    tried = False

    async def story() -> tuple[int, int]:
        nonlocal tried
        waiting = asyncio.create_task(lasting.set_aside_lasting(lambda: tried))
        await asyncio.sleep(0)
        first = gc.get_freeze_count()
        dead = weakref.ref(_Knot())
        keep.extend([i] for i in range(10_000))
        tried = True
        await asyncio.wait_for(waiting, 5)
        assert dead() is None
        return first, gc.get_freeze_count()

    keep: list[list[int]] = []
    before, thresholds = gc.get_freeze_count(), gc.get_threshold()
    try:
        first, second = asyncio.run(story())
        assert before < first
        # Small lists of numbers are found by the search all the same.
        assert second >= first + 9_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
