"""Tasks that must run: a programming error ends a task, is counted and logged, and the task starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A task that ran this long begins again with the first pause."""


class Supervised:
    """One task under supervision."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.restarts = 0
        self.last_error = ""
        self.pausing = False
        """Whether it failed and waits to begin again: not at work, yet under control."""
        self._work = work

    async def run(self) -> None:
        """Runs the work for ever; returns when it returns, or by cancellation."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while True:
            started = loop.time()
            try:
                await self._work()
                return
            except Exception as error:
                self.restarts += 1
                self.last_error = f"{type(error).__name__}: {error}"
                log.exception("task_failed", task=self.name, restarts=self.restarts, again_in_s=pause)
            if loop.time() - started >= STEADY_S:
                pause = FIRST_PAUSE_S
            self.pausing = True
            try:
                await asyncio.sleep(pause)
            finally:
                self.pausing = False
            pause = min(2 * pause, LONGEST_PAUSE_S)
