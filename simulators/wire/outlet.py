"""Bytes towards one side: in order, each when it is due, spaced as a line or a fault wants it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from simulators.wire.ends import End
from simulators.wire.mischief import Send


class LineEnd:
    """A client of a serial line behind TCP. What comes when it is gone goes to whoever is connected then: so do
    converters, and that is how a late reply meets a request of another connection."""

    def __init__(self, end: End, newest: Callable[[], End | None]) -> None:
        self._end = end
        self._newest = newest
        self.gone = False

    def write(self, data: bytes) -> None:
        """Sends to it, or to its successor."""
        end = self._newest() if self.gone else self._end
        if end is not None:
            end.write(data)

    def reset(self) -> None:
        """Resets it, never its successor."""
        self._end.reset()

    def close(self) -> None:
        """Closes it."""
        self._end.close()


class _Item:
    """Bytes under way; `due_s` is the time of the next of them."""

    __slots__ = ("at", "data", "due_s", "gap_s", "reset", "single")

    def __init__(self, data: bytes, due_s: float, gap_s: float, reset: bool, single: bool) -> None:
        self.data = data
        self.at = 0
        self.due_s = due_s
        self.gap_s = gap_s
        self.reset = reset
        self.single = single
        """Whether no two bytes leave together, even where the machine was too slow for the gap."""


class Outlet:
    """Sends to one end. Nothing is sent any more once the end is gone."""

    def __init__(self, end: End, seconds: Callable[[float], float] = lambda ms: ms / 1000) -> None:
        """Takes an end and what so many ms of the faults' time last."""
        self.end = end
        self.byte_s = 0.0
        """Time that a byte takes on the line; 0: none."""
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item] = deque()
        self._timers: set[asyncio.TimerHandle] = set()
        self._next: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def talking(self) -> bool:
        """Whether the first bytes of something have left, and not the last."""
        return bool(self._queue) and self._queue[0].at > 0

    def send(self, item: Send) -> None:
        """Sends bytes when they are due."""
        if self.closed:
            return
        after_s = self._seconds(item.after_ms) if item.after_ms else 0.0
        if item.overtaken and after_s:
            timer = self._loop.call_later(after_s, self._overtaken, item)
            self._timers = {each for each in self._timers if not each.cancelled() and each.when() > self._loop.time()}
            self._timers.add(timer)
            return
        single_s = self._seconds(item.gap_ms) if item.gap_ms else 0.0
        gap_s = max(single_s, self.byte_s)
        if not self._queue and not after_s and not gap_s and not item.reset:
            self.end.write(item.data)
            return
        self._queue.append(_Item(item.data, self._loop.time() + after_s, gap_s, item.reset, single_s > 0))
        if self._next is None:
            self._pump()

    def drop(self) -> None:
        """Sends nothing of what waits."""
        self.closed = True
        for timer in (*self._timers, *([self._next] if self._next else [])):
            timer.cancel()
        self._queue.clear()
        self._timers.clear()
        self._next = None

    def _overtaken(self, item: Send) -> None:
        self.send(Send(item.data, 0.0, False, item.gap_ms, item.reset))

    def _pump(self) -> None:
        self._next = None
        while self._queue and not self.closed:
            item = self._queue[0]
            now_s = self._loop.time()
            if item.due_s > now_s + 1e-5:
                self._next = self._loop.call_at(item.due_s, self._pump)
                return
            if not item.gap_s:
                self.end.write(item.data[item.at :])
                item.at = len(item.data)
            else:
                count = 1 if item.single else 1 + int((now_s - item.due_s) / item.gap_s)
                self.end.write(item.data[item.at : item.at + count])
                item.at += count
                item.due_s = now_s + item.gap_s if item.single else item.due_s + count * item.gap_s
            if item.at < len(item.data):
                continue
            self._queue.popleft()
            if item.reset:
                self.drop()
                self.end.reset()
                return
            if self._queue and item.gap_s:
                self._queue[0].due_s = max(self._queue[0].due_s, item.due_s)
