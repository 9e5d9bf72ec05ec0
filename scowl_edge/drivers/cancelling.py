"""A cancellation that a library took for something else."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raises CancelledError where the running task was cancelled and goes on all the same.

    `asyncio.wait_for` before Python 3.12, which libraries use, forgets a cancellation that comes in the same moment as
    the end of what it waits for. A task that goes on then is waited for in vain by whoever cancelled it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
