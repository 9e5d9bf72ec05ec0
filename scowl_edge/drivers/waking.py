"""What a driver's task sleeps on: one timer, one alarm, and whatever went wrong in a callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context

from scowl_edge.drivers.bound import FOREVER


class Waker:
    """Belongs to one task. Times are monotonic ms of the site's clock; `rate` of them pass in a real one."""

    def __init__(self, now_ms: Callable[[], int], look: Callable[[], None], *, rate: float) -> None:
        """`look` is called when the timer rings, and soon after each `poke`."""
        self.until_ms = -1
        """Until then nothing happens unless it is woken; -1: it does not sleep on a time."""
        self._now_ms = now_ms
        self._look = look
        self._rate = rate
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._defect: Exception | None = None
        self._poked = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = FOREVER
        # One for all timers: else the loop makes one for each.
        self._context = copy_context()

    def begin(self) -> None:
        """The task starts, on the running loop."""
        self._loop, self._defect = asyncio.get_running_loop(), None

    async def sleep(self, until_ms: int) -> None:
        """Until then, or until it is woken."""
        self.arm(until_ms, self._now_ms(), idle=True)
        try:
            await self.woken()
        finally:
            self.disarm()

    async def woken(self) -> None:
        """Until `wake`. Raises what `fail` was given."""
        if self._defect is None:
            self._alarm = asyncio.get_running_loop().create_future()
            try:
                await self._alarm
            finally:
                self._alarm = None
        if self._defect is not None:
            raise self._defect

    def wake(self) -> None:
        """Lets the task go on."""
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def fail(self, defect: Exception) -> None:
        """Lets the task end with this: a callback's defect must not get lost in the loop."""
        self._defect = defect
        self.wake()

    def poke(self) -> None:
        """Something new came from outside: looked at soon, once, however much it is."""
        if self._loop is not None and not self._poked:
            self._poked = True
            self._loop.call_soon(self._after_poke)

    def arm(self, until_ms: int, now_ms: int, *, idle: bool) -> None:
        """Sets the timer, unless it rings sooner anyway. `idle`: nothing else is awaited meanwhile."""
        self.until_ms = until_ms if idle else -1
        if until_ms >= self._timer_ms:
            return
        self._drop_timer()
        assert self._loop is not None
        self._timer_ms = until_ms
        delay_s = max(until_ms - now_ms, 0) / 1000 / self._rate
        self._timer = self._loop.call_later(delay_s, self._ring, context=self._context)

    def disarm(self) -> None:
        """No timer any more."""
        self._drop_timer()
        self.until_ms = -1

    def _after_poke(self) -> None:
        self._poked = False
        self._look()

    def _ring(self) -> None:
        self._timer, self._timer_ms = None, FOREVER
        self._look()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_ms = None, FOREVER
