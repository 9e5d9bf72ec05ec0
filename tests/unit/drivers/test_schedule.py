"""The order of business of one link, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.drivers.bound import BACKOFF_LONGEST_MS, PROBE_SHARE_PPM, UnitTimes, next_probe_ms, worst_delay_ms
from scowl_edge.drivers.schedule import Job, Schedule, Ticket, Turn, TurnKind

TIMEOUT_MS = 200
SETTLE_MS = 100
SHARE = PROBE_SHARE_PPM / 1_000_000


def times(jobs: list[Job], **each: int) -> list[UnitTimes]:
    """What each unit of these jobs can cost."""
    units = dict.fromkeys(job.unit for job in jobs)
    return [
        UnitTimes(**{"number": unit, "turn_ms": TIMEOUT_MS, "jobs": sum(job.unit == unit for job in jobs), **each})
        for unit in units
    ]


@dataclass
class Link:
    """Plays units behind a schedule: how long each takes, and whether it answers."""

    schedule: Schedule
    jobs: list[Job]
    behaviour: dict[int, str]
    pause_ms: int = 0
    now_ms: int = 1_000_000
    noise: random.Random = field(default_factory=lambda: random.Random(7))
    done: list[tuple[int, int, Turn, bool]] = field(default_factory=list)
    """(began, ended, turn, answered)"""

    def takes(self, unit: int) -> tuple[int, bool]:
        kind = self.behaviour.get(unit, "healthy")
        if kind == "flickering":
            kind = self.noise.choice(["healthy", "silent", "slow"])
        if kind == "silent":
            return TIMEOUT_MS, False
        if kind == "slow":
            return TIMEOUT_MS - 1, True
        if kind == "garbling":
            return self.noise.randint(1, TIMEOUT_MS), False
        return self.noise.randint(1, 20), True

    def run(self, for_ms: int) -> None:
        end = self.now_ms + for_ms
        while self.now_ms < end:
            turn = self.schedule.next(self.now_ms)
            if isinstance(turn, int):
                assert turn > self.now_ms
                self.now_ms = min(turn, end)
                continue
            self.carry_out(turn)

    def carry_out(self, turn: Turn) -> None:
        unit = self.jobs[turn.job].unit if turn.ticket is None else turn.ticket.units[0]
        took, answered = self.takes(unit)
        began, self.now_ms = self.now_ms, self.now_ms + took
        self.schedule.done(turn, began_ms=began, now_ms=self.now_ms, answered=answered, unit=unit)
        self.done.append((began, self.now_ms, turn, answered))

    def served(self, job: int) -> list[int]:
        return [began for began, _, turn, _ in self.done if turn.job == job]


def play(jobs: list[Job], behaviour: dict[int, str] | None = None, pause_ms: int = 0) -> Link:
    schedule = Schedule("plc", jobs, times(jobs, turn_ms=TIMEOUT_MS + pause_ms), pause_ms=pause_ms, settle_ms=SETTLE_MS)
    link = Link(schedule, jobs, behaviour or {}, pause_ms)
    schedule.opened(link.now_ms, afresh=True)
    return link


BAD = ["silent", "slow", "garbling", "flickering"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([250, 1000, 1500, 5000]), st.integers(1, 3)), min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from(BAD), st.sampled_from([250, 1000, 5000]), st.integers(1, 3)), max_size=8),
    st.sampled_from([0, 5, 30]),
    st.integers(0, 1000),
)
def test_bad_units_delay_a_healthy_one_by_no_more_than_the_bound(
    healthy: list[tuple[int, int]], bad: list[tuple[str, int, int]], pause_ms: int, seed: int
) -> None:
    jobs, behaviour = [], {}
    for unit, (period_ms, count) in enumerate(healthy):
        jobs += [Job(unit=unit, period_ms=period_ms, cost=10 + n) for n in range(count)]
    for unit, (kind, period_ms, count) in enumerate(bad, start=100):
        behaviour[unit] = kind
        jobs += [Job(unit=unit, period_ms=period_ms, cost=10 + n) for n in range(count)]
    link = play(jobs, behaviour, pause_ms)
    link.noise.seed(seed)
    costs = times(jobs, turn_ms=TIMEOUT_MS + pause_ms)
    watched = [index for index, job in enumerate(jobs) if job.unit < 100]
    due = dict.fromkeys(watched, link.now_ms)
    turns = 0
    end = link.now_ms + 60_000
    while link.now_ms < end:
        turn = link.schedule.next(link.now_ms)
        if isinstance(turn, int):
            link.now_ms = turn
            continue
        if turn.job in due:
            wait_from = due[turn.job]
            bad_ms = busy_ms = 0
            for began, ended, other, _ in reversed(link.done):
                if ended <= wait_from:
                    break
                part = ended - max(began, wait_from) + pause_ms
                if jobs[other.job].unit >= 100:
                    bad_ms += part
                else:
                    busy_ms += part
            assert bad_ms <= worst_delay_ms([unit for unit in costs if unit.number >= 100], busy_ms=busy_ms)
            turns += 1
        link.carry_out(turn)
        if turn.job in due:
            due[turn.job] = link.schedule.due_ms(turn.job)
    assert turns >= len(watched)


def test_the_bound_grows_with_the_bad_units_and_with_nothing_else() -> None:
    assert worst_delay_ms([]) == 0
    units = [UnitTimes(number=n, turn_ms=190) for n in range(19)]
    assert [worst_delay_ms(units[:n]) for n in (1, 5, 17)] == [600, 1400, 3800]
    assert worst_delay_ms(units[:17], busy_ms=1900) == 3900
    assert worst_delay_ms(units[:5], share_ppm=500_000) == 2 * 1330


def test_a_silent_unit_is_probed_with_its_cheapest_read_ever_more_rarely() -> None:
    jobs = [
        Job(unit=1, period_ms=1000, cost=10),
        Job(unit=2, period_ms=1000, cost=50),
        Job(unit=2, period_ms=1000, cost=8),
    ]
    link = play(jobs, {2: "silent"})
    link.run(600_000)
    silent = [(began, turn) for began, _, turn, _ in link.done if turn.job in (1, 2)]
    assert {turn.job for _, turn in silent[1:]} == {2}
    assert all(turn.kind is TurnKind.PROBE for _, turn in silent[1:])
    gaps = [b - a for (a, _), (b, _) in pairwise(silent[1:])]
    for gap, nominal in zip(gaps, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000], strict=False):
        assert 0.8 * nominal <= gap - TIMEOUT_MS <= nominal + 1_000
    assert link.schedule.probes == len(silent) - 2, "the first two tries are no probes"
    assert max(gaps) <= BACKOFF_LONGEST_MS + 2_000
    assert 598 <= len(link.served(0)) <= 601
    assert link.schedule.missed == pytest.approx(0, abs=2)


def test_a_unit_that_comes_back_is_read_in_full_after_the_next_probe() -> None:
    jobs = [Job(unit=1, period_ms=1000, cost=10), *(Job(unit=2, period_ms=1000, cost=20 + n) for n in range(3))]
    link = play(jobs, {2: "silent"})
    link.run(40_000)
    link.behaviour[2] = "healthy"
    came_back = link.now_ms
    link.run(45_000)
    first = min(began for began, _, turn, answered in link.done if began > came_back and turn.job > 0 and answered)
    for job in (1, 2, 3):
        assert any(first <= began <= first + 2_000 for began in link.served(job))


def test_a_unit_with_the_link_to_itself_is_asked_at_its_own_pace() -> None:
    link = play([Job(unit=1, period_ms=1000, cost=10), Job(unit=1, period_ms=1000, cost=90)], {1: "silent"})
    link.run(60_000)
    assert 58 <= len(link.done) <= 62


def test_polls_keep_their_grid_and_a_late_one_is_counted_not_queued() -> None:
    jobs = [Job(unit=1, period_ms=1000, cost=1)]
    link = play(jobs)
    link.run(5_000)
    began = link.served(0)[-1]
    link.now_ms = began + 11_500
    link.run(20_000)
    later = [b for b in link.served(0) if b > began]
    assert link.schedule.missed == 10
    assert {(b - began) % 1000 for b in later[1:]} == {0}
    assert all(b - a == 1000 for a, b in pairwise(later[1:]))


def test_an_overloaded_bus_serves_all_in_turn() -> None:
    link = play([Job(unit=unit, period_ms=100, cost=1) for unit in range(1, 41)])
    link.run(60_000)
    counts = [len(link.served(job)) for job in range(40)]
    assert min(counts) >= 0.9 * max(counts)
    assert link.schedule.missed > 0


def test_commands_come_first_then_what_was_asked_then_polls() -> None:
    jobs = [Job(unit=1, period_ms=1000, cost=1), Job(unit=2, period_ms=1000, cost=1)]
    schedule = Schedule("plc", jobs, times(jobs), settle_ms=SETTLE_MS)
    schedule.opened(0, afresh=True)
    schedule.ask(1, 500)
    tickets = [Ticket(serial=n, units=(1,), valid_until_ms=9_999) for n in (1, 2)]
    for ticket in tickets:
        schedule.submit(ticket)
    seen, now_ms = [], SETTLE_MS
    for _ in range(4):
        turn = schedule.next(now_ms)
        assert isinstance(turn, Turn)
        seen.append((turn.kind, turn.ticket.serial if turn.ticket else turn.job))
        schedule.done(turn, began_ms=now_ms, now_ms=now_ms + 1, answered=True, unit=1 if turn.ticket else None)
        now_ms += 1
    assert seen == [(TurnKind.COMMAND, 1), (TurnKind.COMMAND, 2), (TurnKind.READ, 1), (TurnKind.POLL, 0)]


def test_commands_to_a_silent_unit_let_the_others_in_between() -> None:
    jobs = [Job(unit=1, period_ms=TIMEOUT_MS, cost=1), Job(unit=2, period_ms=60_000, cost=1)]
    link = play(jobs, {2: "silent"})
    link.run(SETTLE_MS + 20 * TIMEOUT_MS)
    for serial in range(10):
        link.schedule.submit(Ticket(serial=serial, units=(2,), valid_until_ms=link.now_ms + 60_000))
    before = len(link.done)
    link.run(12 * TIMEOUT_MS)
    kinds = [turn.kind for _, _, turn, _ in link.done[before:]]
    assert kinds.count(TurnKind.COMMAND) == 10
    for first, second in pairwise(kinds):
        assert (first, second) != (TurnKind.COMMAND, TurnKind.COMMAND)


def test_a_command_whose_time_is_over_is_given_back() -> None:
    schedule = Schedule("plc", [], [UnitTimes(number=1, turn_ms=TIMEOUT_MS)])
    ticket = Ticket(serial=1, units=(1,), valid_until_ms=50)
    schedule.submit(ticket)
    assert schedule.next(10) == 51
    assert schedule.next(51) == Turn(TurnKind.EXPIRED, -1, ticket)
    assert schedule.waiting == ()


def test_lame_units_get_their_share_of_a_full_bus() -> None:
    jobs = [*(Job(unit=unit, period_ms=50, cost=1) for unit in range(1, 30)), Job(unit=99, period_ms=1000, cost=1)]
    link = play(jobs, {99: "silent"})
    link.run(120_000)
    probes = len(link.served(29))
    assert probes >= 3
    assert probes * TIMEOUT_MS <= 120_000 * SHARE


def test_many_links_do_not_poll_in_the_same_millisecond() -> None:
    due = set()
    for n in range(50):
        jobs = [Job(unit=1, period_ms=1000, cost=1)]
        schedule = Schedule(f"link-{n}", jobs, times(jobs), settle_ms=SETTLE_MS)
        schedule.opened(0, afresh=True)
        first = schedule.next(SETTLE_MS)
        assert isinstance(first, Turn)
        schedule.done(first, began_ms=SETTLE_MS, now_ms=SETTLE_MS + 1, answered=True)
        due.add(schedule.next(SETTLE_MS + 1))
    assert len(due) > 40


@pytest.mark.parametrize("silent", [2, 9])
def test_probes_keep_to_their_share_even_on_an_idle_bus(silent: int) -> None:
    jobs = [Job(unit=1, period_ms=10_000, cost=1), *(Job(unit=100 + n, period_ms=500, cost=1) for n in range(silent))]
    link = play(jobs, {100 + n: "silent" for n in range(silent)})
    link.run(60_000)
    before = sum(ended - began for began, ended, turn, _ in link.done if turn.kind is TurnKind.PROBE)
    link.run(600_000)
    probing = sum(ended - began for began, ended, turn, _ in link.done if turn.kind is TurnKind.PROBE) - before
    assert 0 < probing <= 600_000 * SHARE + TIMEOUT_MS
    costs = [unit for unit in times(jobs) if unit.number >= 100]
    latest = next_probe_ms(costs)
    for job in range(1, len(jobs)):
        tried = link.served(job)
        assert max(b - a for a, b in pairwise(tried)) <= latest + TIMEOUT_MS


def test_a_link_opened_anew_asks_everybody_at_once() -> None:
    jobs = [Job(unit=unit, period_ms=1000, cost=1) for unit in range(1, 9)]
    link = play(jobs, dict.fromkeys(range(2, 9), "silent"))
    link.run(200_000)
    link.behaviour.clear()
    link.schedule.closed()
    link.schedule.opened(link.now_ms, afresh=True)
    back = link.now_ms
    link.run(SETTLE_MS + 8 * 20 + 1)
    assert {turn.job for began, _, turn, answered in link.done if began >= back and answered} == set(range(8))


def test_a_unit_rests_after_its_turn_while_others_go_on() -> None:
    jobs = [*(Job(unit=1, period_ms=1000, cost=n) for n in range(5)), Job(unit=2, period_ms=50, cost=1)]
    costs = [UnitTimes(number=1, turn_ms=TIMEOUT_MS, jobs=5, pause_ms=120), UnitTimes(number=2, turn_ms=TIMEOUT_MS)]
    schedule = Schedule("plc", jobs, costs, settle_ms=SETTLE_MS)
    link = Link(schedule, jobs, {})
    schedule.opened(link.now_ms, afresh=True)
    link.run(20_000)
    turns = sorted((began, ended) for began, ended, turn, _ in link.done if turn.job < 5)
    assert all(later - ended >= 120 for (_, ended), (later, _) in pairwise(turns))
    assert all(19 <= len(link.served(job)) <= 21 for job in range(5))
    assert len(link.served(5)) >= 390, "the other unit is not held up"
    ticket = Ticket(serial=1, units=(1,), valid_until_ms=link.now_ms + 10_000)
    link.run(max(ended + 1 - link.now_ms for _, ended in turns) if turns[-1][1] >= link.now_ms else 1)
    schedule.submit(ticket)
    link.run(2_000)
    sent = next(began for began, _, turn, _ in link.done if turn.ticket is ticket)
    last = max(ended for began, ended, turn, _ in link.done if turn.job in range(5) and ended <= sent)
    assert sent - last >= 120


def test_a_unit_beyond_its_budget_yields() -> None:
    """One that answers in no time, but is asked so much that it would fill the bus."""
    jobs = [*(Job(unit=1, period_ms=40, cost=1) for _ in range(4)), Job(unit=2, period_ms=100, cost=1)]

    def lateness_ms(budget_ppm: int) -> int:
        costs = [
            UnitTimes(number=1, turn_ms=TIMEOUT_MS, jobs=4, budget_ppm=budget_ppm),
            UnitTimes(number=2, turn_ms=TIMEOUT_MS),
        ]
        schedule = Schedule("plc", jobs, costs)
        link = Link(schedule, jobs, {})
        schedule.opened(link.now_ms, afresh=True)
        link.run(60_000)
        assert len(link.served(4)) >= 598
        assert all(len(link.served(job)) > 200 for job in range(4)), "it only yields"
        return sum(began - due for due, began in waits(link, 4))

    assert lateness_ms(300_000) < lateness_ms(0) / 2


def test_guests_come_last_and_keep_to_their_share() -> None:
    jobs = [Job(unit=1, period_ms=100, cost=1)]
    schedule = Schedule("plc", jobs, times(jobs), settle_ms=SETTLE_MS, guest_share_ppm=200_000)
    link = Link(schedule, jobs, {})
    schedule.opened(link.now_ms, afresh=True)
    for serial in range(2_000):
        schedule.submit_guest(Ticket(serial=serial, units=(1,), valid_until_ms=link.now_ms + 60_000))
    link.run(30_000)
    guests = [(began, ended) for began, ended, turn, _ in link.done if turn.kind is TurnKind.GUEST]
    took = sum(ended - began for began, ended in guests)
    assert 0.15 * 30_000 <= took <= 0.2 * 30_000 + 20
    assert [turn.ticket.serial for _, _, turn, _ in link.done if turn.ticket] == list(range(len(guests)))
    assert schedule.missed == 0
    for began, _ in guests:
        assert not any(due < began < first for due, first in waits(link, 0)), "a poll was due and a guest went first"


def waits(link: Link, job: int) -> list[tuple[int, int]]:
    """(due, began) of each poll after the first."""
    begun = link.served(job)
    return [(begun[0] + place * 100, began) for place, began in enumerate(begun) if began > begun[0] + place * 100]


def test_a_guest_whose_time_is_over_is_given_back() -> None:
    schedule = Schedule("plc", [], [UnitTimes(number=1, turn_ms=TIMEOUT_MS)], guest_share_ppm=200_000)
    ticket = Ticket(serial=1, units=(1,), valid_until_ms=50)
    schedule.submit_guest(ticket)
    assert schedule.next(51) == Turn(TurnKind.EXPIRED_GUEST, -1, ticket)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_a_pipeline_is_filled_and_never_overfilled(slots: int, count: int, data: st.DataObject) -> None:
    jobs = [Job(unit=1 + n % 3, period_ms=100, cost=1) for n in range(count)]
    schedule = Schedule("plc", jobs, times(jobs), slots=slots)
    now_ms = 1_000
    schedule.opened(now_ms, afresh=True)
    under_way: list[tuple[int, Turn, int]] = []
    for _ in range(60):
        turn = schedule.next(now_ms)
        if isinstance(turn, Turn):
            assert turn.job not in {other.job for _, other, _ in under_way}, "one read is not under way twice"
            under_way.append((now_ms + data.draw(st.integers(1, 30)), turn, now_ms))
            assert len(under_way) <= slots
            continue
        idle = set(range(count)) - {under.job for _, under, _ in under_way}
        assert len(under_way) == slots or not any(schedule.due_ms(job) <= now_ms for job in idle)
        ends = min((end for end, _, _ in under_way), default=1 << 60)
        now_ms = max(now_ms + 1, min(turn, ends))
        for entry in [entry for entry in under_way if entry[0] <= now_ms]:
            under_way.remove(entry)
            schedule.done(entry[1], began_ms=entry[2], now_ms=now_ms, answered=True)


@settings(deadline=None, max_examples=60)
@given(
    units=st.integers(1, 3),
    slots=st.integers(2, 4),
    ends=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 150)), min_size=5, max_size=60),
)
def test_a_read_that_is_under_way_is_never_begun_again(
    units: int, slots: int, ends: list[tuple[int, bool, int]]
) -> None:
    """Not as the probe of its unit either, when another read of it failed meanwhile."""
    jobs = [Job(unit=number % units + 1, period_ms=50, cost=number + 1) for number in range(3 * units)]
    schedule = Schedule("plc", jobs, times(jobs), slots=slots)
    now_ms = 1_000_000
    schedule.opened(now_ms, afresh=True)
    under_way: list[tuple[Turn, int]] = []
    for place, answered, took_ms in ends:
        while not isinstance(turn := schedule.next(now_ms), int):
            assert turn.job not in [other.job for other, _ in under_way]
            under_way.append((turn, now_ms))
        now_ms += took_ms
        if under_way:
            ended, began_ms = under_way.pop(place % len(under_way))
            schedule.done(ended, began_ms=began_ms, now_ms=now_ms, answered=answered)
