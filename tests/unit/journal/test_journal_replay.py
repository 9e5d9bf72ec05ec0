"""A replay finds identical decisions identical, and names step, section and row of the first that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import TallyCore, boot, inputs, run

from scowl_edge.contracts import Record
from scowl_edge.journal.records import (
    BOOT,
    PLAN,
    SNAPSHOT,
    JournalError,
    PlanRecord,
    gap_record,
    plan_record,
    read_plan,
    snapshot_record,
)
from scowl_edge.journal.replay import first_difference, replay
from scowl_edge.model.codec import encode
from scowl_edge.model.effect import Read
from scowl_edge.model.event import JournalGap


def journal(snapshot_every: int = 5) -> list[Record]:
    return [boot(1), *run(TallyCore("3"), 1, range(1, 19), snapshot_every)]


def test_the_same_program_repeats_itself() -> None:
    report = replay(journal(), TallyCore)
    assert report.identical
    assert (len(report.segments), report.steps, report.uncovered) == (4, 18, 0)


@given(st.integers(1, 18), st.integers(0, 2))
def test_a_changed_program_is_named_with_step_section_and_row(step: int, row: int) -> None:
    report = replay(journal(), lambda config: TallyCore(config, fault=(step, row)))
    found = report.difference
    assert found is not None and not report.identical
    assert (found.boot, found.step, found.section) == (1, step, "rows")
    if step <= 15:
        assert found.row == f"[{row}].total"
        assert found.seen_at_step == (step + 4) // 5 * 5
        assert int(found.replayed) == int(found.recorded) + 1
        assert f"step {step} (boot 1): rows, first at [{row}].total" in str(found)
    else:
        # No snapshot follows: the digests tell that the section differs, and nothing tells where.
        assert (found.row, found.recorded[:7]) == ("", "digest ")
    assert sum(s.difference is not None for s in report.segments) == 1


def changed_plan(change: object) -> list[Record]:
    records = journal()
    for i, record in enumerate(records):
        if record.kind == PLAN and record.step == 7:
            records[i] = replace(record, payload=encode(replace(read_plan(record), **change)))  # type: ignore[arg-type]
    return records


def test_differing_effects_are_named() -> None:
    found = replay(changed_plan({"effects": (Read((0,), 7_500), Read((2, 1), 9))}), TallyCore).difference
    assert found is not None
    assert (found.step, found.section, found.row) == (7, "plan", "effects[1]")
    assert (found.recorded, found.replayed) == ('{"Read": {"signals": [2, 1], "by_ms": 9}}', "nothing")


def test_a_differing_wake_up_is_named() -> None:
    found = replay(changed_plan({"wake_at_ms": 1}), TallyCore).difference
    assert found is not None
    assert (found.section, found.row, found.recorded, found.replayed) == ("plan", "wake_at_ms", "1", "8000")


def test_a_section_that_only_one_of_them_has_is_named() -> None:
    found = replay(changed_plan({"digests": (("rows", "0"), ("old", "1"))}), TallyCore).difference
    assert found is not None and (found.step, found.section) == (7, "rows")
    digests = read_plan(next(r for r in journal() if r.kind == PLAN and r.step == 7)).digests
    found = replay(changed_plan({"digests": (*digests, ("old", "1"))}), TallyCore).difference
    assert found is not None
    assert (found.section, found.recorded, found.replayed) == ("old", "digest 1", "no such section")


def test_a_snapshot_that_the_steps_do_not_lead_to_is_named() -> None:
    records = journal()
    other = TallyCore("3")
    run(other, 1, range(1, 11))
    other.state.asked[2] = 99
    i = next(i for i, r in enumerate(records) if r.kind == SNAPSHOT and r.step == 10)
    records[i] = snapshot_record(1, 10, other.snapshot())
    found = replay(records, TallyCore).difference
    assert found is not None
    assert (found.step, found.section, found.row, found.recorded) == (10, "asked", "2", "99")


def test_a_step_that_raises_is_a_difference() -> None:
    found = replay(journal(), lambda config: TallyCore(config, raises_at=8)).difference
    assert found is not None
    assert (found.step, found.section, found.replayed) == (8, "step", "ZeroDivisionError: a defect")


def test_what_follows_a_gap_is_counted_and_not_compared() -> None:
    core = TallyCore("3")
    records = [boot(1), *run(core, 1, range(1, 5))]
    run(core, 1, range(5, 8))
    records += [gap_record(1, JournalGap(first_step=5, last_step=7, why="full")), *run(core, 1, range(8, 10))]
    report = replay(records, TallyCore)
    assert (report.identical, report.steps, report.uncovered) == (True, 4, 2)


def test_each_boot_is_run_with_its_own_configuration() -> None:
    core = TallyCore("3")
    records = [boot(1), *run(core, 1, range(1, 4))]
    core = TallyCore("5")
    core.state.step = 3
    records += [boot(2, step=3, rows=5), snapshot_record(2, 3, core.snapshot()), *run(core, 2, range(4, 8))]
    built: list[str] = []

    def make_core(config: str) -> TallyCore:
        built.append(config)
        return TallyCore(config)

    report = replay(records, make_core)
    assert (report.identical, report.steps, built) == (True, 7, ["3", "5"])


def test_a_missing_boot_record_and_a_damaged_record_are_said() -> None:
    records = journal()
    with pytest.raises(JournalError, match="record of boot 1 is missing"):
        replay([r for r in records if r.kind != BOOT], TallyCore)
    with pytest.raises(JournalError, match=r"inputs record of step 1 \(boot 1\) cannot be read"):
        replay([records[0], replace(records[1], payload=b"{}"), *records[2:]], TallyCore)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": [1, 2]}, {"x": [1, 2]}, None),
        ({"x": [1, {"y": 2}]}, {"x": [1, {"y": 3}]}, ("x[1].y", "2", "3")),
        ({"x": 1}, {"x": 1, "z": None}, ("z", "nothing", "null")),
        ([1], [1, 2], ("[1]", "nothing", "2")),
        ([1, 2], [1], ("[1]", "2", "nothing")),
        ([1], [True], ("[0]", "1", "true")),
        ({"x": 1}, [], ("", '{"x": 1}', "[]")),
        ("a" * 99, "b", ("", '"' + "a" * 76 + "...", '"b"')),
    ],
)
def test_the_first_difference_of_two_documents(a: object, b: object, expected: object) -> None:
    assert first_difference(a, b) == expected


def test_a_plan_record_holds_the_whole_plan() -> None:
    plan = TallyCore("3").step(inputs(7))
    kept = read_plan(plan_record(1, plan))
    assert kept == PlanRecord.of(plan)
    assert kept.effects and kept.wake_at_ms == 8_000
