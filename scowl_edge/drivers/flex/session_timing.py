"""Time on a link: the moment as it comes in, the timers, and delays drawn without state."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Now:
    """One look at the clocks."""

    mono_ms: int
    utc_ms: int
    utc_ok: bool
    """Whether the wall clock is known to be synchronised; where it is not, nobody's clock is judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Timers of a link, in ms unless the name says otherwise."""

    hello_ms: int = 10_000
    """Longest time from the connection to the greeting's answer."""
    heartbeat_s: int = 30
    """5 to 60; the listening side's counts for both."""
    loss_ms: int = 120_000
    """Silence after which a link is lost."""
    ack_ms: int = 5_000
    retries_ms: tuple[int, ...] = (1_000, 2_000, 4_000)
    """Pauses before a message that nobody acknowledged is sent again."""
    keep_ms: int = 120_000
    """How long a message waits for a link, unless its sender says otherwise."""
    skew_ms: int = 5_000
    """How far a peer's clock may be off on messages that are bound to a time."""
    seen_ms: int = DAY_MS
    """How long a message's id is known."""
    again_ms: int = 5_000
    """Least time between two requests for a resync."""
    back_off_ms: int = 1_000
    back_off_most_ms: int = 300_000
    steady_ms: int = 30_000
    """A link that was up for so long is tried again at once when it breaks."""
    ping_s: int = 50
    """Between two pings of a WebSocket."""


def bits(seed: int, *parts: int | str) -> int:
    """128 random bits; the same for the same arguments, whenever and wherever they are drawn."""
    return int.from_bytes(blake2b(repr((seed, parts)).encode(), digest_size=16).digest())


def draw(limit: int, seed: int, *parts: int | str) -> int:
    """A uniform draw from 0 to limit - 1; 0 where the limit is not above 1."""
    return bits(seed, *parts) % limit if limit > 1 else 0


def back_off_ms(timers: Timers, failures: int, seed: int, *parts: int | str) -> int:
    """Pause before the next attempt to connect, after so many failures in a row: full jitter below a doubling bound."""
    bound = min(timers.back_off_most_ms, timers.back_off_ms << min(failures, 20))
    return draw(bound + 1, seed, "back-off", failures, *parts)
