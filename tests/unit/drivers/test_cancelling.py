"""A task that was cancelled ends, also where what it waited for forgot to say so."""

from __future__ import annotations

import asyncio
import contextlib

from scowl_edge.drivers.cancelling import heed_cancellation


async def test_a_forgotten_cancellation_is_heeded() -> None:
    began = asyncio.Event()

    async def forgetful() -> str:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        heed_cancellation()
        return "went on"

    task = asyncio.create_task(forgetful())
    await began.wait()
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)


async def test_a_time_out_of_its_own_is_none() -> None:
    try:
        async with asyncio.timeout(0):
            await asyncio.get_running_loop().create_future()
    except TimeoutError:
        heed_cancellation()
