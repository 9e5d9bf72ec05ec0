"""A command's life, step by step, with one actuator whose register and power are set by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calm_policy import POLICY

from scowl_edge.capacity import RatingTree
from scowl_edge.control.entry import Stage
from scowl_edge.control.ledger import Count, Ledger
from scowl_edge.model.command import Command, CommandId, OutcomeKind, Verb, WriteClass
from scowl_edge.model.effect import Write
from scowl_edge.model.event import DeviceMode, Outcome
from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Image
from scowl_edge.model.site import NONE, Actuator, Bus, BusKind, Device, OnStop, Signal, Site
from scowl_edge.tracker import Observation

LIMIT = Actuator(
    device=0,
    verb=Verb.LIMIT,
    feedback=0,
    effect=1,
    tolerance=100,
    settle_ms=1_000,
    hold_polls=3,
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


class Bench:
    """One actuator, its register (signal 0) and its power (signal 1), and a clock."""

    def __init__(self, actuator: Actuator = LIMIT) -> None:
        self.site = Site(
            name="ledger",
            policy=POLICY,
            devices=(Device(name="d", link="l", mode=DeviceMode.AUTO),),
            signals=tuple(Signal(device=0, name=n, fresh_ms=3_000, hold_ms=9_000) for n in ("limit", "power")),
            actuators=(actuator,),
            buses=(Bus(name="main", kind=BusKind.SYNCHRONOUS),),
        )
        self.ledger = Ledger(self.site)
        self.now_ms, self.step_no = 10_000, 0
        self.image = Image.empty(2)
        self.counts: list[Count] = []
        self.reads: list[int] = []

    @property
    def stage(self) -> Stage:
        return self.ledger.entries[0].stage

    def turn(
        self, target: int | None, *, limit: int | None = None, power: int | None = None, may_write: bool = True
    ) -> Command | None:
        """One second passes, the signals that are given are read, and the ledger acts."""
        self.now_ms += 1_000
        self.step_no += 1
        for signal, value in enumerate((limit, power)):
            if value is not None:
                self.image.value[signal], self.image.received_ms[signal] = value, self.now_ms - 5
        size = len(self.site.signals)
        fresh, hold = np.full(size, 3_000, np.int64), np.full(size, 9_000, np.int64)
        seen = Observation(self.site, RatingTree(self.site), self.image, fresh, hold, self.now_ms, {})
        wanted = [None if target is None else (target, 8, Reason("law"), False, 0)]
        self.reads = self.ledger.watch(seen, self.counts)
        effects = self.ledger.step(seen, wanted, [may_write], 1, self.step_no, 0)
        return next((e.command for e in effects if isinstance(e, Write)), None)

    def answer(self, command: Command | None, kind: OutcomeKind = OutcomeKind.ACKNOWLEDGED) -> None:
        assert command is not None
        self.ledger.outcome(Outcome(command=command.id, kind=kind, at_ms=self.now_ms + 20), self.counts)


def test_from_intended_to_holding() -> None:
    b = Bench()
    command = b.turn(5_000, limit=10_000, power=8_000)
    assert command is not None and command.value == 5_000
    assert b.stage is Stage.SENT
    assert b.turn(5_000, limit=10_000, power=8_000) is None, "one command at a time"
    b.answer(command)
    assert b.stage is Stage.ACKNOWLEDGED
    assert b.turn(5_000) is None
    assert 0 in b.reads, "an acknowledged write is read back"
    b.turn(5_000, limit=5_000, power=8_000)
    assert b.stage is Stage.CONFIRMED
    b.turn(5_000, limit=5_000, power=4_950)
    assert b.stage is Stage.EFFECTIVE
    for _ in range(3):
        assert b.turn(5_000, limit=5_000, power=4_950) is None
    assert b.stage is Stage.HOLDING
    assert b.ledger.entries[0].found == 10_000


def test_what_is_already_so_is_not_written() -> None:
    b = Bench()
    assert b.turn(10_000, limit=10_000, power=0) is None
    assert b.stage in (Stage.CONFIRMED, Stage.EFFECTIVE)


def test_nothing_is_written_where_it_may_not_be() -> None:
    b = Bench()
    assert b.turn(5_000, limit=10_000, may_write=False) is None
    assert b.turn(None, limit=10_000) is None
    assert b.turn(5_000, limit=10_000) is not None


def test_a_refusal_closes_the_actuator_for_a_while() -> None:
    b = Bench()
    b.answer(b.turn(5_000, limit=10_000, power=8_000), OutcomeKind.REJECTED)
    assert b.stage is Stage.REJECTED
    assert b.turn(5_000, limit=10_000, power=8_000) is None
    assert b.ledger.closed(b.now_ms) == [True]
    b.now_ms += POLICY.retry_ms
    assert b.turn(5_000, limit=10_000, power=8_000) is not None


def test_an_echo_without_effect_is_found_out() -> None:
    b = Bench()
    b.answer(b.turn(5_000, limit=10_000, power=8_000))
    for _ in range(10):
        b.turn(5_000, limit=5_000, power=8_000)
    assert b.stage is Stage.NO_EFFECT
    assert b.ledger.closed(b.now_ms) == [True]
    b.turn(5_000, limit=5_000, power=4_000)
    assert b.stage is Stage.EFFECTIVE
    assert b.ledger.closed(b.now_ms) == [False]


def test_a_second_master_is_written_over_a_bounded_number_of_times() -> None:
    b = Bench()
    written = 0
    for _ in range(40):
        command = b.turn(5_000, limit=9_000, power=8_000)
        if command is not None:
            written += 1
            b.answer(command)
    assert written == 1 + POLICY.max_contests
    assert b.stage is Stage.CONTESTED
    b.ledger.reopen(0)
    assert b.stage is not Stage.CONTESTED


@pytest.mark.parametrize("kind", [OutcomeKind.TIMED_OUT, OutcomeKind.UNKNOWN])
@pytest.mark.parametrize("write_class", list(WriteClass))
def test_after_doubt_the_register_is_read_before_anything_is_written(
    kind: OutcomeKind, write_class: WriteClass
) -> None:
    b = Bench(replace(LIMIT, write_class=write_class))
    b.answer(b.turn(5_000, limit=10_000, power=8_000), kind)
    assert b.turn(5_000) is None
    assert 0 in b.reads
    assert b.turn(5_000, limit=5_000, power=5_000) is None
    assert b.stage in (Stage.CONFIRMED, Stage.EFFECTIVE)


def test_a_pulse_that_cannot_be_read_back_is_never_repeated() -> None:
    b = Bench(replace(LIMIT, write_class=WriteClass.PULSE, feedback=NONE))
    b.answer(b.turn(5_000), OutcomeKind.TIMED_OUT)
    assert [b.turn(5_000) for _ in range(5)] == [None] * 5


def test_what_never_left_is_sent_again_later() -> None:
    b = Bench()
    b.answer(b.turn(5_000, limit=10_000), OutcomeKind.WITHHELD)
    assert b.stage is Stage.INTENDED
    again = [b.turn(5_000, limit=10_000) for _ in range(10)]
    assert any(command is not None for command in again)


def test_an_outcome_that_nobody_waits_for_changes_nothing() -> None:
    b = Bench()
    kind = OutcomeKind.ACKNOWLEDGED
    b.ledger.outcome(Outcome(command=CommandId(1, 99, 1), kind=kind, at_ms=b.now_ms), b.counts)
    assert b.counts == [Count("unknown", kind)]
    assert b.stage is Stage.IDLE


def test_a_restart_reads_first() -> None:
    b = Bench()
    b.answer(b.turn(5_000, limit=10_000, power=8_000))
    b.turn(5_000, limit=5_000, power=5_000)
    b.ledger.doubt_all()
    assert b.stage is Stage.IN_DOUBT
    assert b.turn(5_000) is None
    b.turn(5_000, limit=5_000, power=5_000)
    assert b.stage in (Stage.CONFIRMED, Stage.EFFECTIVE)


def test_a_heartbeat_says_it_again_only_while_it_stands() -> None:
    b = Bench(replace(LIMIT, heartbeat_ms=5_000))
    b.answer(b.turn(5_000, limit=10_000, power=8_000))
    seconds = []
    for second in range(14):
        command = b.turn(5_000, limit=5_000, power=4_900)
        if command is not None:
            seconds.append(second)
            b.answer(command)
    assert len(seconds) == 2
