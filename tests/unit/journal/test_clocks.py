"""When the wall clock is trusted, and a clock that runs faster."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from scowl_edge.clocks import RateClock, SystemClock, boottime_ms, kernel_synchronised

NOON = 1_767_268_800_000


@dataclass
class Raw:
    """Raw clocks that the test moves."""

    mono: int = 50_000
    utc: int = NOON
    synchronised: bool | None = True

    def clock(self, *, trust: bool = False) -> SystemClock:
        return SystemClock(
            trust=trust, mono_ms=lambda: self.mono, utc_ms=lambda: self.utc, synchronised=lambda: self.synchronised
        )

    def pass_ms(self, mono: int, utc: int | None = None) -> None:
        self.mono += mono
        self.utc += mono if utc is None else utc


def looks(raw: Raw, clock: SystemClock, count: int, apart_ms: int = 1_000) -> list[bool]:
    out = []
    for _ in range(count):
        raw.pass_ms(apart_ms)
        out.append(clock.utc_ok())
    return out


@pytest.mark.parametrize("synchronised", [True, None])
def test_three_agreeing_looks_make_a_clock_trusted(synchronised: bool | None) -> None:
    raw = Raw(synchronised=synchronised)
    clock = raw.clock()
    assert looks(raw, clock, 4) == [False, False, True, True]
    assert (clock.mono_ms(), clock.utc_ms()) == (raw.mono, raw.utc)


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000, 1_001, -1_001])
def test_a_step_is_distrusted_until_three_looks_agree_again(step_ms: int) -> None:
    raw = Raw()
    clock = raw.clock()
    looks(raw, clock, 5)
    raw.utc += step_ms
    assert looks(raw, clock, 4) == [False, False, True, True]


def test_a_slew_and_a_long_sleep_are_no_steps() -> None:
    raw = Raw()
    clock = raw.clock()
    looks(raw, clock, 3)
    for _ in range(20):
        raw.pass_ms(1_000_000, 1_000_500)
        assert clock.utc_ok()
    assert looks(raw, clock, 2, apart_ms=86_400_000) == [True, True]


def test_what_the_kernel_says_counts_at_once() -> None:
    raw = Raw()
    clock = raw.clock()
    looks(raw, clock, 5)
    raw.synchronised = False
    assert looks(raw, clock, 1) == [False]
    raw.synchronised = True
    assert looks(raw, clock, 1) == [True]


def test_an_unset_clock_is_never_trusted_until_it_is_set() -> None:
    raw = Raw(utc=3_000)
    clock = raw.clock()
    assert not any(looks(raw, clock, 10))
    raw.utc = NOON
    assert looks(raw, clock, 3) == [False, False, True]


def test_trust_is_unconditional() -> None:
    raw = Raw(utc=0, synchronised=False)
    assert raw.clock(trust=True).utc_ok()


def test_a_rate_clock_multiplies_both_clocks() -> None:
    raw = Raw()
    fast = RateClock(60, raw.clock())
    mono, utc = fast.mono_ms(), fast.utc_ms()
    assert mono == 60 * raw.mono
    raw.pass_ms(1_000)
    assert (fast.mono_ms(), fast.utc_ms()) == (mono + 60_000, utc + 60_000)
    raw.utc += 3_600_000
    assert (fast.mono_ms(), fast.utc_ms()) == (mono + 60_000, utc + 3_660_000)


def test_a_later_rate_clock_goes_on_where_the_former_is() -> None:
    raw = Raw()
    former = RateClock(60, raw.clock())
    raw.pass_ms(1_000)
    later = RateClock(60, raw.clock())
    assert (later.mono_ms(), later.utc_ms()) == (former.mono_ms(), former.utc_ms())


def test_a_rate_clock_trusts_as_its_base() -> None:
    raw = Raw()
    fast = RateClock(10, raw.clock())
    assert [fast.utc_ok() for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_must_be_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateClock(rate, SystemClock())


def test_the_machines_own_clocks_answer() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    clock = SystemClock()
    assert before * 1000 - 1 <= clock.mono_ms() <= boottime_ms()
    assert abs(clock.utc_ms() - time.time() * 1000) < 5_000
    assert kernel_synchronised() in (True, False, None)
    assert not clock.utc_ok()
