"""What time it is, for machines that must not look: ages by the monotonic clock, schedules by UTC."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.tick import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One reading of both clocks."""

    mono_ms: int
    """Monotonic: ages, ramps and time-outs."""
    utc_ms: int
    """Since 1970; only if `utc_ok`."""
    utc_ok: bool
    """Whether the wall clock is synchronised."""

    @staticmethod
    def of(tick: Tick) -> Now:
        """The time of a step of the core."""
        return Now(mono_ms=tick.mono_ms, utc_ms=tick.utc_ms, utc_ok=tick.utc_ok)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A process that went on with what it had stored."""

    mono_base_ms: int
    """Added to stored monotonic stamps to compare them with those of now; 0 if the clock went on."""
    gap_known: bool
    """False: nobody knows how long it was away, and `mono_base_ms` reckons with no time at all."""


@dataclass(slots=True, kw_only=True)
class WallClock:
    """UTC that goes on by the monotonic clock while the real one is not synchronised."""

    seen: bool = False
    offset_ms: int = 0
    """UTC less monotonic time, when UTC was last trusted."""

    def read(self, now: Now) -> int | None:
        """UTC in ms, or None if it was never trusted since the last start that lost count."""
        if now.utc_ok:
            self.seen, self.offset_ms = True, now.utc_ms - now.mono_ms
        return now.mono_ms + self.offset_ms if self.seen else None

    def restarted(self, restart: Restart) -> None:
        """Keeps to what was known if it is known how long the pause was."""
        self.seen = self.seen and restart.gap_known
        self.offset_ms -= restart.mono_base_ms
