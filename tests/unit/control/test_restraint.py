"""What keeps a write back for the device's own sake: wear budget, least interval, interlock. One actuator by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from calm_policy import POLICY
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.capacity import RatingTree
from scowl_edge.control.entry import Entry, Stage
from scowl_edge.control.ledger import Count, Ledger
from scowl_edge.control.restraint import reserve
from scowl_edge.model.command import Command, OutcomeKind, Verb, WriteClass
from scowl_edge.model.effect import Write
from scowl_edge.model.event import DeviceMode, Outcome
from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Image
from scowl_edge.model.site import (
    NONE,
    Actuator,
    Bus,
    BusKind,
    Device,
    Interlock,
    OnStop,
    Signal,
    Site,
)
from scowl_edge.tracker import Observation

LIMIT, POWER, ENABLED, OWN = range(4)
"""Signals."""
PLAIN = Actuator(
    device=0,
    verb=Verb.LIMIT,
    feedback=LIMIT,
    effect=NONE,
    tolerance=0,
    settle_ms=0,
    hold_polls=2,
    write_class=WriteClass.VOLATILE,
    low=0,
    high=10_000,
    ramp_w_s=0,
    daily_budget=0,
    failsafe=None,
    device_timeout_ms=0,
    heartbeat_ms=0,
    on_stop=OnStop.RELEASE,
)
STORED = replace(PLAIN, write_class=WriteClass.STORED)


class Bench:
    """A device whose registers take what is written, seen through one ledger. Time passes a second a turn."""

    def __init__(self, *actuators: Actuator) -> None:
        self.site = Site(
            name="restraint",
            policy=POLICY,
            devices=(Device(name="d", link="l", mode=DeviceMode.AUTO),),
            signals=tuple(
                Signal(device=0, name=n, fresh_ms=3_000, hold_ms=9_000)
                for n in ("limit", "power", "enabled", "failsafe_limit")
            ),
            actuators=actuators,
            buses=(Bus(name="main", kind=BusKind.SYNCHRONOUS),),
        )
        self.ledger = Ledger(self.site)
        self.now_ms, self.step_no = 10_000, 0
        self.image = Image.empty(len(self.site.signals))
        self.shown: dict[int, int] = {LIMIT: 10_000, POWER: 0, ENABLED: 1, OWN: 0}
        self.written: list[tuple[int, int, int]] = []
        """(time, actuator, value) of what the device took."""

    def turn(
        self,
        *targets: int | None,
        safety: bool = False,
        day: int = 0,
        after_ms: int = 1_000,
        answer: OutcomeKind | None = OutcomeKind.ACKNOWLEDGED,
    ) -> list[Command]:
        """One turn; the device takes what is sent, and `answer` comes at once."""
        self.now_ms += after_ms
        self.step_no += 1
        for signal, value in self.shown.items():
            self.image.value[signal], self.image.received_ms[signal] = value, self.now_ms - 5
        size = len(self.site.signals)
        fresh, hold = np.full(size, 3_000, np.int64), np.full(size, 9_000, np.int64)
        seen = Observation(self.site, RatingTree(self.site), self.image, fresh, hold, self.now_ms, {})
        counts: list[Count] = []
        self.ledger.watch(seen, counts)
        wanted = [None if t is None else (t, 8, Reason("law"), safety, 0) for t in targets]
        effects = self.ledger.step(seen, wanted, [True] * len(wanted), 1, self.step_no, day)
        sent = [e.command for e in effects if isinstance(e, Write)]
        for command in sent:
            if answer is None:
                continue
            if answer is not OutcomeKind.WITHHELD:
                self.written.append((self.now_ms, command.actuator, command.value))
                feedback = self.site.actuators[command.actuator].feedback
                if feedback != NONE:
                    self.shown[feedback] = command.value
            self.ledger.outcome(Outcome(command=command.id, kind=answer, at_ms=self.now_ms), counts)
        return sent

    @property
    def entry(self) -> Entry:
        return self.ledger.entries[0]

    @property
    def why(self) -> str:
        """Code of what keeps the first actuator back."""
        return "" if self.entry.kept_back is None else self.entry.kept_back.code


# -- wear


def test_ordinary_commands_leave_a_part_of_the_budget_to_safety() -> None:
    d = Bench(replace(STORED, daily_budget=8))
    for n in range(20):
        d.turn(1_000 + n)
    assert len(d.written) == 6 == d.entry.writes_today
    assert d.why == "budget-spent"
    assert d.ledger.closed(d.now_ms) == [False], "safety may still use it"
    for n in range(20):
        d.turn(2_000 + n, safety=True)
    assert len(d.written) == 8, "the budget as a whole is never exceeded"
    assert d.ledger.closed(d.now_ms) == [True]
    d.turn(3_000, day=1)
    assert d.entry.writes_today == 1
    assert d.entry.writes_total == 9


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=60))
def test_a_day_never_has_more_writes_than_its_budget(budget: int, wishes: list[tuple[int, bool, bool]]) -> None:
    d = Bench(replace(STORED, daily_budget=budget))
    for value, safety, answered in wishes:
        d.turn(value, safety=safety, answer=OutcomeKind.ACKNOWLEDGED if answered else OutcomeKind.TIMED_OUT)
    assert len(d.written) == d.entry.writes_today == d.entry.writes_total <= budget
    values = [value for _, _, value in d.written]
    assert all(a != b for a, b in itertools.pairwise(values)), "a stored register is written on change only"


def test_what_never_left_wears_nothing() -> None:
    d = Bench(replace(STORED, daily_budget=2))
    for _ in range(40):
        d.turn(5_000, answer=OutcomeKind.WITHHELD)
    assert (d.entry.writes_today, d.entry.writes_total, d.entry.written_at) == (0, 0, -1)
    assert d.why == "not-sent"


def test_a_target_that_comes_back_while_the_budget_is_spent_is_not_written_again() -> None:
    d = Bench(replace(STORED, daily_budget=1))
    d.turn(5_000)
    d.turn(5_000)
    assert d.entry.stage in (Stage.EFFECTIVE, Stage.HOLDING)
    d.turn(6_000)
    assert d.why == "budget-spent"
    d.turn(5_000, day=1)
    assert d.written == [(11_000, 0, 5_000)]
    assert d.why == ""


@pytest.mark.parametrize(("budget", "kept"), [(0, 0), (1, 0), (2, 1), (4, 1), (20, 5)])
def test_the_reserve(budget: int, kept: int) -> None:
    assert reserve(replace(STORED, daily_budget=budget)) == kept


# -- the least interval


def test_two_writes_are_never_closer_than_the_interval() -> None:
    d = Bench(replace(PLAIN, min_interval_ms=5_000))
    for n in range(30):
        d.turn(n)
    times = [at for at, _, _ in d.written]
    assert len(times) == 6
    assert min(b - a for a, b in itertools.pairwise(times)) >= 5_000


def test_the_end_of_the_interval_wakes_the_loop() -> None:
    d = Bench(replace(PLAIN, min_interval_ms=1_500))
    d.turn(1)
    d.turn(2)
    assert d.why == "too-soon"
    assert d.ledger.wake_at(d.now_ms, 1_000) == d.now_ms + 500


def test_one_safety_command_jumps_the_interval_and_the_next_waits() -> None:
    d = Bench(replace(PLAIN, min_interval_ms=10_000))
    d.turn(9_000)
    assert d.turn(8_000) == []
    d.turn(7_000, safety=True)
    jumped_at = d.now_ms
    while len(d.written) < 3:
        d.turn(6_000, safety=True)
    assert [value for _, _, value in d.written] == [9_000, 7_000, 6_000]
    assert d.now_ms - jumped_at == 10_000
    d.turn(5_000, safety=True)
    assert len(d.written) == 4, "after a write that waited in full, one may jump again"


@given(
    st.integers(0, 8_000), st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(50, 3_000)), max_size=60)
)
def test_no_interval_ever_sees_three_writes(interval: int, wishes: list[tuple[int, bool, int]]) -> None:
    d = Bench(replace(PLAIN, min_interval_ms=interval))
    for value, safety, after_ms in wishes:
        d.turn(value, safety=safety, after_ms=after_ms)
    times = [at for at, _, _ in d.written]
    assert all(c - a >= interval for a, c in zip(times, times[2:], strict=False))


# -- the interlock


LOCKED = replace(PLAIN, interlock=Interlock(signal=ENABLED, low=1, high=1), failsafe=2_000)


@pytest.mark.parametrize("safety", [False, True])
def test_nothing_is_written_while_the_interlock_says_no(safety: bool) -> None:
    d = Bench(LOCKED)
    d.shown[ENABLED] = 0
    assert d.turn(5_000, safety=safety) == []
    assert str(d.entry.kept_back) == "not while enabled of d is 0; it is written between 1 and 1 only"
    d.shown[ENABLED] = 1
    assert len(d.turn(5_000, safety=safety)) == 1
    assert d.why == ""


def test_an_interlock_that_is_not_fresh_says_no() -> None:
    d = Bench(LOCKED)
    d.turn(10_000)
    del d.shown[ENABLED]
    for _ in range(5):
        d.turn(10_000)
    assert d.turn(5_000) == []
    assert d.why == "interlock-stale"


def test_an_interlock_does_not_hold_a_device_away_from_where_it_would_be_without_us() -> None:
    d = Bench(LOCKED)
    d.turn(5_000)
    d.shown[ENABLED] = 0
    assert d.turn(4_000) == []
    assert len(d.turn(2_000)) == 1, "its fail-safe"
    assert d.turn(4_000) == []
    assert len(d.turn(10_000)) == 1, "what was found first"


# -- the device's own fail-safe comes first


GUARD = replace(PLAIN, verb=Verb.FAILSAFE, feedback=OWN, write_class=WriteClass.STORED, constant=2_000, daily_budget=20)


def test_a_device_is_commanded_when_its_own_fail_safe_stands() -> None:
    d = Bench(PLAIN, GUARD)
    first = d.turn(5_000, 2_000, answer=None)
    assert [c.verb for c in first] == [Verb.FAILSAFE]
    assert d.why == "guard-first"
    d.ledger.outcome(Outcome(command=first[0].id, kind=OutcomeKind.ACKNOWLEDGED, at_ms=d.now_ms), [])
    d.shown[OWN] = 2_000
    assert [c.verb for c in d.turn(5_000, 2_000)] == [Verb.LIMIT]


def test_a_fail_safe_that_stands_already_is_not_written() -> None:
    d = Bench(PLAIN, GUARD)
    d.shown[OWN] = 2_000
    assert [c.verb for c in d.turn(5_000, 2_000)] == [Verb.LIMIT]
    for _ in range(5):
        assert d.turn(5_000, 2_000) == []
    assert d.ledger.entries[1].writes_total == 0


def test_a_fail_safe_that_was_lost_is_set_again() -> None:
    d = Bench(PLAIN, GUARD)
    for _ in range(3):
        d.turn(5_000, 2_000)
    d.shown[OWN] = 0
    for _ in range(3):
        d.turn(5_000, 2_000)
    assert [value for _, actuator, value in d.written if actuator == 1] == [2_000, 2_000]
    assert d.shown[OWN] == 2_000


def test_a_safety_command_does_not_wait_for_it() -> None:
    d = Bench(PLAIN, GUARD)
    assert [c.verb for c in d.turn(5_000, 2_000, safety=True, answer=None)] == [Verb.FAILSAFE, Verb.LIMIT]


@pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.TIMED_OUT, OutcomeKind.WITHHELD])
def test_a_device_that_does_not_take_its_fail_safe_is_not_given_up(kind: OutcomeKind) -> None:
    d = Bench(PLAIN, GUARD)
    first = d.turn(5_000, 2_000, answer=None)[0]
    d.ledger.outcome(Outcome(command=first.id, kind=kind, at_ms=d.now_ms), [])
    del d.shown[OWN]
    sent = [c.verb for _ in range(4) for c in d.turn(5_000, 2_000)]
    assert Verb.LIMIT in sent
