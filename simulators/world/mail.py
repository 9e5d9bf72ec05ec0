"""The messages between a tracker and its peers, on a network that delays, loses, doubles and reorders them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from simulators.world.schedule import Schedule, mix

MILLION = 1_000_000
CALM_DELAY_MS = 40


@dataclass(slots=True, kw_only=True)
class Line:
    """How the network treats one peer's messages at present, in both directions."""

    delay_ms: int = CALM_DELAY_MS
    """Of a message, at least; up to twice that."""
    loss_ppm: int = 0
    double_ppm: int = 0
    late_ppm: int = 0
    """Share that is held up on its way, so that later ones overtake it."""
    cut_until_ms: int = 0
    """Nothing goes through before."""


class Mail:
    """Carries messages in virtual time. Each fault is counted where it really happens, by its name.

    A message is a call that is made when, and as often as, it arrives.
    """

    def __init__(self, schedule: Schedule, seed: int, lines: int) -> None:
        """`lines` is the number of peers that send and are sent to."""
        self.lines = [Line() for _ in range(lines)]
        self.counts: Counter[str] = Counter()
        self._schedule = schedule
        self._seed = seed
        self._sent = 0
        self._arrived = [[0] * lines, [0] * lines]
        """Number of the newest message that arrived, by direction and line."""

    def to_tracker(self, line: int, deliver: Callable[[], None]) -> None:
        """Sends what a peer tells the tracker."""
        self._send(0, line, deliver)

    def to_peer(self, line: int, deliver: Callable[[], None]) -> None:
        """Sends what the tracker tells a peer."""
        self._send(1, line, deliver)

    def _send(self, direction: int, at: int, deliver: Callable[[], None]) -> None:
        line, now = self.lines[at], self._schedule.now_ms
        self._sent += 1
        number = self._sent
        self.counts["sent"] += 1
        if now < line.cut_until_ms:
            self.counts["cut off"] += 1
            return
        draw = mix(self._seed, number)
        if draw % MILLION < line.loss_ppm:
            self.counts["lost"] += 1
            return
        delay = line.delay_ms + draw % max(1, line.delay_ms)
        if line.delay_ms > 1_000:
            self.counts["delayed"] += 1
        if mix(draw, 1) % MILLION < line.late_ppm:
            delay += 1_000 + mix(draw, 2) % 150_000
        self._post(direction, at, number, delay, deliver)
        if mix(draw, 3) % MILLION < line.double_ppm:
            self.counts["doubled"] += 1
            self._post(direction, at, number, delay + mix(draw, 4) % 90_000, deliver)

    def _post(self, direction: int, at: int, number: int, delay_ms: int, deliver: Callable[[], None]) -> None:
        def arrive() -> None:
            arrived = self._arrived[direction]
            if number < arrived[at]:
                self.counts["overtaken"] += 1
            arrived[at] = max(arrived[at], number)
            self.counts["arrived"] += 1
            deliver()

        self._schedule.at(self._schedule.now_ms + delay_ms, arrive)
