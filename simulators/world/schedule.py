"""What happens next, in virtual time: a heap of moments. One order, whatever the machine does."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Schedule:
    """Virtual time. What is due at the same moment happens in the order in which it was put in."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.stopped = False
        """Set by something that happened: nothing more happens."""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    def at(self, at_ms: int, what: Callable[[], None]) -> None:
        """Something happens at a virtual time; what is past happens next."""
        self._order += 1
        heapq.heappush(self._heap, (max(at_ms, self.now_ms), self._order, what))

    def run_until(self, until_ms: int) -> None:
        """Lets everything happen up to a virtual time, or until it is stopped."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms and not self.stopped:
            self.now_ms, _, what = heapq.heappop(heap)
            what()
        if not self.stopped:
            self.now_ms = max(self.now_ms, until_ms)


def mix(*parts: int) -> int:
    """A 32-bit hash of small integers: chance without state, for single draws."""
    h = 0x9E3779B9
    for part in parts:
        h ^= part & 0xFFFFFFFF
        h = (h * 0x85EBCA6B) & 0xFFFFFFFF
        h ^= h >> 13
        h = (h * 0xC2B2AE35) & 0xFFFFFFFF
        h ^= h >> 16
    return h
