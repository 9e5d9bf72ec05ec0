"""Bytes from one side to frames: as they come, or when the last of them would have come on a line with a pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from simulators.wire.frames import Cutter, Frame, Framing

SILENCE_S = 0.03
"""Silence after which begun bytes of a serial frame are all there is: longer than a line's own 3.5 characters, since
bytes come through TCP or a busy machine. Frames whose length is known are not kept waiting for it."""


class Intake:
    """Cuts what one end receives."""

    def __init__(self, framing: Framing, taken: Callable[[Frame | bytes], None], *, replies: bool = False) -> None:
        """Takes what is done with each frame, or with bytes that are none."""
        self._framing = framing
        self._taken = taken
        self._cutter = Cutter(framing, replies=replies)
        self._loop = asyncio.get_running_loop()
        self._silence: asyncio.TimerHandle | None = None
        self._free_s = 0.0
        """When the line has brought all that was sent so far."""
        self._stopped = False

    def received(self, data: bytes, *, byte_s: float = 0.0, gap_s: float = 0.0) -> None:
        """Takes bytes.

        Args:
            data: What came.
            byte_s: Time that a byte takes on the line.
            gap_s: Silence that ends a frame there.
        """
        now_s = self._loop.time() if byte_s or self._free_s else 0.0
        if not byte_s and self._free_s <= now_s:
            self._feed(data)
            return
        self._free_s = max(self._free_s, now_s) + len(data) * byte_s
        self._loop.call_at(self._free_s + gap_s, self._feed, data)

    def stop(self) -> None:
        """Takes nothing more."""
        self._stopped = True
        if self._silence is not None:
            self._silence.cancel()

    def _feed(self, data: bytes) -> None:
        if self._stopped:
            return
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        for piece in self._cutter.feed(data):
            self._taken(piece)
        if self._framing is Framing.RTU and self._cutter.waits and not self._stopped:
            self._silence = self._loop.call_later(SILENCE_S, self._silent)

    def _silent(self) -> None:
        self._silence = None
        piece = self._cutter.silence()
        if piece is not None:
            self._taken(piece)
