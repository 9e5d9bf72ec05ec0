"""The clocks of the machine, read in one place, and one that runs faster for tests and simulations."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from scowl_edge.contracts import Clock

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_EARLIEST_UTC_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
_STEP_MS = 1_000
_LOOKS = 3


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2); only the head is read, the rest is room for the kernel to write in."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 512),
    )


@cache
def _adjtimex() -> Callable[[object], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.POINTER(_Timex)]
    function.restype = ctypes.c_int

    def call(timex: object) -> int:
        return int(function(timex))

    return call


def kernel_synchronised() -> bool | None:
    """Whether the kernel says that a time service disciplines its clock; None where it cannot be asked."""
    adjtimex = _adjtimex()
    if adjtimex is None:
        return None
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC


def boottime_ms() -> int:
    """CLOCK_BOOTTIME: never steps, and goes on while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """CLOCK_REALTIME in ms since 1970."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """The machine's clocks, and whether the wall clock can be trusted.

    Each call of `utc_ok` is one look. It is true when all of these hold:

    - the kernel says that its clock is synchronised, or cannot be asked (a container may forbid it);
    - the year is 2024 or later: a board without a battery starts in the past;
    - the wall clock has kept pace with the boot-time clock, within 1 s, over the last 3 looks (so it is false at the
      first two). A step of the wall clock, or its being set for the first time, is seen at the first look after it and
      begins the count anew.

    A slow slew stays below 1 s between two looks and is no step. Looks that are hours apart compare just as well.
    """

    def __init__(
        self,
        *,
        trust: bool = False,
        mono_ms: Callable[[], int] = boottime_ms,
        utc_ms: Callable[[], int] = wall_ms,
        synchronised: Callable[[], bool | None] = kernel_synchronised,
    ) -> None:
        """Args are the raw clocks; `trust` makes `utc_ok` always true, for simulations only."""
        self._trust = trust
        self._mono_ms = mono_ms
        self._utc_ms = utc_ms
        self._synchronised = synchronised
        self._lead_ms: int | None = None
        self._agreeing = 0

    def mono_ms(self) -> int:
        """Boot-time clock: goes on while suspended, never steps."""
        return self._mono_ms()

    def utc_ms(self) -> int:
        """Wall clock."""
        return self._utc_ms()

    def utc_ok(self) -> bool:
        """Whether the wall clock can be trusted; see the class. Call it once a step."""
        if self._trust:
            return True
        utc_ms = self._utc_ms()
        lead_ms = utc_ms - self._mono_ms()
        if self._lead_ms is not None and abs(lead_ms - self._lead_ms) > _STEP_MS:
            self._agreeing = 0
        self._lead_ms = lead_ms
        self._agreeing = min(self._agreeing + 1, _LOOKS)
        return self._agreeing >= _LOOKS and utc_ms >= _EARLIEST_UTC_MS and self._synchronised() is not False


class RateClock:
    """Runs `rate` times as fast as another clock; a later process with the same rate goes on where this one is."""

    def __init__(self, rate: float, base: Clock) -> None:
        """Raises ValueError where the rate is not above 0."""
        if not rate > 0:
            raise ValueError(f"a clock cannot run {rate} times as fast; the rate must be above 0")
        self._rate = rate
        self._base = base

    def mono_ms(self) -> int:
        """The base's reading, multiplied."""
        return int(self._base.mono_ms() * self._rate)

    def utc_ms(self) -> int:
        """Ahead of the base by what the multiplied clock is; a step of the base shows in full."""
        return self._base.utc_ms() - self._base.mono_ms() + self.mono_ms()

    def utc_ok(self) -> bool:
        """As the base says."""
        return self._base.utc_ok()
