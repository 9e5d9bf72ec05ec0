"""Regions in virtual time: the same seed gives the same course, faults are real, broken laws are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import PLAN
from scowl_edge.model.batch import ROWS, Batch, BatchKind, Seated
from simulators.world.course import Course, CourseSettings, Figures
from simulators.world.deeds import DEEDS, befall
from simulators.world.laws import Law
from simulators.world.trouble import MINUTE_MS, RATES, Fault, Trouble
from simulators.world.witness import UNCERTAIN_STEPS, Witness

SHORT = CourseSettings(consumers=300, trees=8, bad_minutes=30, quiet_minutes=5)
CALM = replace(SHORT, bad_minutes=0, quiet_minutes=20)


def plain(figures: Figures) -> dict[str, object]:
    """All but the time it took."""
    return figures.json() | {"spent_s": 0}


def test_a_seed_gives_the_same_course_and_another_seed_another() -> None:
    one, again, other = (Course(seed, SHORT).run() for seed in (5, 5, 6))
    assert plain(one) == plain(again)
    assert plain(one) != plain(other)
    assert one.steps >= 35


def test_several_regions_run_in_one_time() -> None:
    course = Course(8, replace(CALM, regions=3))
    figures = course.run()
    assert figures.virtual_ms == 20 * MINUTE_MS
    assert figures.steps >= 3 * 20
    tables = {tuple(r.tracker.core.populations[0].columns.demand.tolist()) for r in course.regions}
    assert len(tables) == 3, "everyone has a population of its own"


def test_without_faults_everybody_is_fed_and_holds_what_the_plan_says() -> None:
    course = Course(7, CALM)
    figures = course.run()
    assert figures.violations == []
    assert figures.checks[Law.CONVERGED.name] > 0
    region = course.regions[0]
    # The first step knows of no plant yet.
    assert figures.happened["consumers starved, summed over steps"] <= region.peers.present.sum()
    assert figures.happened["plants blacked out by their load"] == 0
    assert region.peers.loads(region.trees).sum() == region.peers.wanted.sum()


def test_every_kind_of_fault_is_done_and_counted() -> None:
    assert set(DEEDS) == set(RATES) == set(Trouble)
    course = Course(9, CALM)
    region = course.regions[0]
    for number, kind in enumerate(Trouble):
        fault = Fault(at_ms=0, kind=kind, draw=120_001 + 2 * number, lasts_ms=3 * MINUTE_MS)
        course.schedule.at(course.schedule.now_ms + (2 + 4 * number) * MINUTE_MS, lambda f=fault: befall(region, f))  # type: ignore[misc]
    course.schedule.run_until(course.schedule.now_ms + (8 + 4 * len(Trouble)) * MINUTE_MS)
    assert region.faults == dict.fromkeys((kind.name for kind in Trouble), 1)
    happened = region.happened()
    for name in ("lost", "delayed", "doubled", "overtaken", "cut off"):
        assert happened[f"messages {name}"] > 0, name
    assert happened["starts"] >= 5
    assert happened["snapshots torn"] == 1
    assert sum(count for name, count in happened.items() if name.startswith("died when")) >= 4
    assert course.book.violations == []


@pytest.mark.parametrize(
    ("column", "laws"),
    [
        ("tree_load", {Law.SUMS}),
        ("block_served", {Law.SUMS}),
        ("demand", {Law.SUMS, Law.LATEST}),
        ("tree_safe", {Law.MARGIN}),
    ],
)
def test_a_spoiled_step_is_found_at_once_and_ends_the_course(
    column: str, laws: set[Law], monkeypatch: pytest.MonkeyPatch
) -> None:
    course = Course(7, CALM)
    course.schedule.run_until(course.schedule.now_ms + 5 * MINUTE_MS)
    tracker = course.regions[0].tracker
    population = tracker.core.populations[0]
    sound = population.step

    def spoiled(*given: object, **named: object) -> object:
        told = sound(*given, **named)  # type: ignore[arg-type]
        array = getattr(population.columns, column)
        array[int(np.flatnonzero(array)[0])] += 1
        return told

    step = tracker.turn.step
    monkeypatch.setattr(population, "step", spoiled)
    figures = course.run()
    assert laws <= {v.law for v in course.book.violations}
    assert figures.violations[0].startswith(f"step {step + 1}: ")
    assert figures.virtual_ms < 10 * MINUTE_MS


def test_a_journal_that_tells_another_story_is_found() -> None:
    course = Course(7, CALM)
    course.schedule.run_until(course.schedule.now_ms + 12 * MINUTE_MS)
    tracker = course.regions[0].tracker
    records = list(tracker.journal.durable)
    at = [i for i, r in enumerate(records) if r.kind == PLAN][6]
    first, then = records[at].payload, records[at + 3].payload
    assert first != then
    digest = first.split(b'"population town","')[1][:16]
    records[at] = replace(records[at], payload=first.replace(digest, b"0123456789abcdef"))
    tracker.journal = MemoryJournal(records)
    tracker.finish()
    assert [v.law for v in course.book.violations] == [Law.REPLAY]
    assert "population town" in course.book.violations[0].text


def test_a_restart_into_another_state_is_found() -> None:
    course = Course(7, CALM)
    course.schedule.run_until(course.schedule.now_ms + 6 * MINUTE_MS)
    tracker = course.regions[0].tracker
    records = list(tracker.journal.durable)
    assert records[-1].kind == PLAN
    digest = records[-1].payload.split(b'"population town","')[1][:16]
    records[-1] = replace(records[-1], payload=records[-1].payload.replace(digest, b"0123456789abcdef"))
    tracker.journal = MemoryJournal(records)
    tracker.start()
    assert [v.law for v in course.book.violations] == [Law.RECOVERY]
    assert "population town" in course.book.violations[0].text


def test_what_was_told_before_the_machines_clock_began_anew_is_stale() -> None:
    course = Course(7, CALM)
    course.schedule.run_until(course.schedule.now_ms + 5 * MINUTE_MS)
    tracker = course.regions[0].tracker
    held = course.regions[0].peers.held.copy()
    assert tracker.core.populations[0].fresh.all()
    down_ms = 4 * MINUTE_MS
    tracker.reboot(2_000, down_ms)
    # Until just after the first step: nothing was told since.
    course.schedule.run_until(course.schedule.now_ms + down_ms + 2)
    assert tracker.mono_ms < 10_000
    assert not tracker.core.populations[0].fresh.any()
    course.run()
    assert course.book.violations == []
    present = course.regions[0].peers.present
    assert (course.regions[0].peers.held[present] == held[present]).mean() > 0.9, "nobody had to go for it"


def readings(sequence: int, *rows: tuple[int, ...], kind: BatchKind = BatchKind.DEMAND, sender: int = 0) -> Batch:
    data = np.array(list(rows), ROWS[kind]).tobytes()
    return Batch(population=0, kind=kind, sender=sender or 3 + kind, sequence=sequence, at_ms=0, data=data)


def witness() -> Witness:
    members = {(1, 1): (0, 1), (2, 2): (1, 1), (4, 4): (3, 1)}
    return Witness(np.array([10, 20, 0, 40]), np.array([40, 80, 0, 160]), np.array([100, 200]), 3, members)


def test_a_witness_believes_the_latest_within_the_nameplate() -> None:
    w = witness()
    w.take(1, 0, [readings(1, (0, 11), (1, 500), (2, 7), (99, 1))])
    assert w.told.value.tolist() == [11, 80, 0, 40]
    w.take(2, 60, [readings(3, (0, 13)), readings(2, (0, 12)), readings(3, (0, 14))])
    assert w.told.value.tolist() == [13, 80, 0, 40]
    w.take(3, 120, [readings(1, (0, -999), kind=BatchKind.FEED), readings(1, (1, 300), (0, -5), kind=BatchKind.OUTPUT)])
    assert w.told.value.tolist() == [13, 80, 0, -160]
    assert w.told.output.tolist() == [0, 200]
    assert w.told.output_ms.tolist() == [-1, 120]


def test_a_witness_forgets_what_a_restart_forgot() -> None:
    w = witness()
    for step in range(1, 100):
        w.take(step, step, [readings(step, (0, step % 40))])
    w.restarted(97, whole=True)
    assert w.told.value[0] == 97 % 40
    w.take(98, 0, [readings(98, (0, 1))])
    assert w.told.value[0] == 1
    w.restarted(98, whole=False)
    assert not w.certain
    for step in range(99, 99 + UNCERTAIN_STEPS):
        w.take(step, step, [])
        w.told.value = np.array([5, 6, 0, 8])
        w.rebase()
    assert w.certain
    w.restarted(98, whole=True)
    assert w.told.value.tolist() == [5, 6, 0, 8]


def seated(identity: int, place: int, outcome: int = 0) -> Seated:
    number = np.array([identity])
    return Seated(population=0, high=number, low=number, place=np.array([place]), outcome=np.array([outcome], np.uint8))


def test_a_witness_knows_who_has_which_place() -> None:
    w = witness()
    join = readings(1, (7, 7, 0, 3, 50), (7, 7, 0, 3, 50), kind=BatchKind.JOIN)
    assert w.take(1, 0, [join], [seated(7, 2)]) == ""
    assert w.told.value.tolist() == [10, 20, 50, 40]
    assert w.told.nameplate.tolist() == [40, 80, 200, 160]
    again = readings(2, (7, 7, 0, 3, 50), (8, 8, 0, 3, 9), kind=BatchKind.JOIN)
    assert w.take(2, 0, [again], [seated(7, -1, 1)]) == ""
    assert "place 2" in w.take(3, 0, [], [seated(8, 2)]), "somebody has the place"
    assert "was given" in w.take(4, 0, [], [seated(7, 1)]), "an identity stands once"
    assert "no member" in w.take(5, 0, [], [seated(99, -1, 1)])
    go = readings(1, (2, 2), kind=BatchKind.LEAVE)
    assert "not answered" in w.take(6, 0, [go])
    assert w.told.value[1] == w.told.nameplate[1] == 0
    w.restarted(1, whole=True)
    assert w.told.value.tolist() == [10, 20, 50, 40]


def test_a_witness_knows_who_may_leave() -> None:
    w = witness()
    w.take(1, 0, [readings(1, (7, 7, 0, 3, 50), kind=BatchKind.JOIN, sender=4)], [seated(7, 2)])
    assert w.take(2, 0, [readings(1, (7, 7), kind=BatchKind.LEAVE, sender=5)], [seated(7, -1, 7)]) == ""
    assert w.told.value[2] == 50
    assert "it is 7" in w.take(3, 0, [readings(2, (7, 7), kind=BatchKind.LEAVE, sender=5)], [seated(7, -1, 6)])
    assert w.take(4, 0, [readings(2, (7, 7), kind=BatchKind.LEAVE, sender=4)], [seated(7, -1, 6)]) == ""
    assert w.told.value[2] == w.told.nameplate[2] == 0
    assert w.take(5, 0, [readings(3, (7, 7), kind=BatchKind.LEAVE, sender=4)], [seated(7, -1, 2)]) == ""


def test_a_restart_behind_a_damaged_snapshot_knows_of_the_hole_before_it() -> None:
    course = Course(7, replace(CALM, snapshot_every=(4,)))
    schedule, tracker = course.schedule, course.regions[0].tracker
    schedule.run_until(schedule.now_ms + 10 * MINUTE_MS)
    tracker.full_until_ms = schedule.now_ms + 2 * MINUTE_MS
    schedule.run_until(tracker.full_until_ms + 2 * MINUTE_MS)
    # The snapshot that was taken after the hole is the last one, and is lost.
    tracker.tear_next = True
    tracker.die_after(0, 0, 500)
    schedule.run_until(schedule.now_ms + 3 * MINUTE_MS)
    assert tracker.counts["snapshots torn"] == tracker.counts["starts that know of a hole"] == 1
    assert not course.regions[0].watch.witness.certain
    schedule.run_until(schedule.now_ms + (UNCERTAIN_STEPS + 5) * MINUTE_MS)
    assert course.regions[0].watch.witness.certain
    assert course.book.violations == []
