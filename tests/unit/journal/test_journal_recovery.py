"""Whatever a crash leaves of a journal, the restart finds the last usable state and what came after it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import TallyCore, boot, inputs, run

from scowl_edge.contracts import JournalFull, Record
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import (
    BOOT,
    INPUTS,
    PLAN,
    SNAPSHOT,
    JournalError,
    boot_record,
    gap_record,
    inputs_record,
    plan_record,
    read_boot,
    read_gap,
    read_inputs,
    read_plan,
    read_sending,
    read_snapshot,
    sending_record,
    snapshot_record,
)
from scowl_edge.journal.recovery import recover
from scowl_edge.journal.segments import segments
from scowl_edge.model.command import CommandId
from scowl_edge.model.event import JournalGap


def story() -> list[Record]:
    """Two boots, snapshots every 5 steps, the first boot crashed after inputs 13."""
    core = TallyCore("3")
    out = [boot(1), *run(core, 1, range(1, 13), snapshot_every=5), inputs_record(1, inputs(13))]
    core.step(inputs(13))
    out += [boot(2, step=13), snapshot_record(2, 13, core.snapshot())]
    return out + run(core, 2, range(14, 19), snapshot_every=5)


def state_after(records: list[Record]) -> TallyCore:
    """What a restart does: restore, and run the inputs again."""
    found = recover(records)
    core = TallyCore("3")
    if found.snapshot is not None:
        core.restore(read_snapshot(found.snapshot))
    for record in found.records:
        if record.kind == INPUTS:
            core.step(read_inputs(record))
    return core


def test_each_kind_of_record_reads_back() -> None:
    core = TallyCore("3")
    seen = inputs(1)
    plan = core.step(seen)
    assert read_inputs(inputs_record(1, seen)).tick == seen.tick
    assert read_plan(plan_record(1, plan)).digests == plan.digests
    assert read_snapshot(snapshot_record(1, 1, b"state")) == b"state"
    assert read_sending(sending_record(1, 4, CommandId(1, 4, 2))).command == CommandId(1, 4, 2)
    gap = JournalGap(first_step=3, last_step=7, why="disk full")
    assert read_gap(gap_record(1, gap)) == gap
    first = read_boot(boot(3, step=9))
    assert (first.boot, boot_record(first, 9)) == (3, boot(3, step=9))


def test_a_record_of_another_shape_says_what_and_where() -> None:
    record = replace(inputs_record(1, inputs(7)), kind=PLAN)
    with pytest.raises(
        JournalError, match=r"plan record of step 7 \(boot 1\) cannot be read.*not JSON.*move the journal"
    ):
        read_plan(record)


def test_nothing_recovers_to_nothing() -> None:
    found = recover([])
    assert (found.boot, found.step, found.snapshot, found.records, found.booted) == (0, 0, None, (), None)


def test_the_records_after_the_last_snapshot_are_found_with_the_boot_before_it() -> None:
    records = story()
    found = recover(records)
    assert (found.boot, found.step) == (2, 18)
    assert found.snapshot is not None and found.snapshot.step == 15
    assert [(r.kind, r.step) for r in found.records] == [(k, s) for s in (16, 17, 18) for k in (INPUTS, PLAN)]
    assert found.booted is not None and found.booted.boot == 2


@pytest.mark.parametrize("position", [0, 16, 17, -1])
def test_a_damaged_snapshot_is_passed_over(position: int) -> None:
    records = story()
    whole = state_after(records).snapshot()
    index = max(i for i, r in enumerate(records) if r.kind == SNAPSHOT)
    payload = bytearray(records[index].payload)
    payload[position] ^= 1
    records[index] = replace(records[index], payload=bytes(payload))
    found = recover(records)
    assert found.snapshot is not None and (found.snapshot.boot, found.snapshot.step) == (2, 13)
    assert len(found.damage) == 1 and "snapshot after step 15 (boot 2) is damaged" in found.damage[0]
    assert state_after(records).snapshot() == whole


def test_with_all_snapshots_damaged_everything_is_run_from_the_first_boot() -> None:
    records = [replace(r, payload=b"") if r.kind == SNAPSHOT else r for r in story()]
    found = recover(records)
    assert found.snapshot is None and found.records[0].kind == BOOT
    assert len(found.records) == sum(r.kind != SNAPSHOT for r in records)
    assert state_after(records).snapshot() == state_after(story()).snapshot()


@given(st.integers(0, len(story())))
def test_a_crash_after_any_record_loses_no_step_whose_inputs_were_kept(kept: int) -> None:
    records = story()[:kept]
    steps = max((r.step for r in records if r.kind == INPUTS), default=0)
    expected = TallyCore("3")
    for step in range(1, steps + 1):
        expected.step(inputs(step))
    assert state_after(records).snapshot() == expected.snapshot()


@given(st.integers(0, len(story())), st.integers(0, len(story())), st.data())
def test_a_crash_in_memory_keeps_what_is_durable_and_a_prefix_of_the_rest(a: int, b: int, data: st.DataObject) -> None:
    records, durable = story(), min(a, b)
    journal = MemoryJournal()
    for i, record in enumerate(records[: max(a, b)]):
        if i == durable:
            journal.make_durable()
        journal.append(record)
    if durable == max(a, b):
        journal.make_durable()
    keep = data.draw(st.integers(0, len(journal.volatile)))
    left = journal.crash(keep)
    assert left.durable == tuple(records[: durable + keep]) and left.volatile == ()
    assert left.recover() == recover(records[: durable + keep])
    assert journal.recover() == recover(records[:durable])
    with pytest.raises(ValueError, match="volatile records"):
        journal.crash(len(journal.volatile) + 1)


async def test_memory_told_to_be_slow_or_full() -> None:
    journal = MemoryJournal()
    journal.append(boot(1))
    journal.delay_ms = 300
    assert not await journal.barrier(200)
    assert journal.crash().durable == ()
    assert await journal.barrier(300)
    assert journal.durable == (boot(1),)
    journal.delay_ms = -1
    assert await journal.barrier(1)
    journal.full = True
    with pytest.raises(JournalFull, match="boot record of step 0"):
        journal.append(boot(2))
    assert journal.volatile == ()
    with pytest.raises(ValueError, match="unknown kind"):
        journal.append(replace(boot(1), kind="rumour"))


def cut(records: list[Record]) -> list[tuple[bool, int, int, int, str]]:
    """(start known, first step, last step, step of the snapshot at the end, why it ended)."""
    return [
        (s.start is not None, s.first_step, s.last_step, s.end.step if s.end else 0, s.ended_by)
        for s in segments(records)
    ]


def test_a_journal_is_cut_at_snapshots_and_boots() -> None:
    assert cut(story()) == [
        (True, 1, 5, 5, "snapshot"),
        (True, 6, 10, 10, "snapshot"),
        (True, 11, 12, 0, "boot 2"),
        (True, 14, 15, 15, "snapshot"),
        (True, 16, 18, 0, "end of the journal"),
    ]


def test_a_gap_ends_a_segment_and_the_next_snapshot_begins_one() -> None:
    core = TallyCore("3")
    records = [boot(1), *run(core, 1, range(1, 5))]
    run(core, 1, range(5, 8))
    records.append(gap_record(1, JournalGap(first_step=5, last_step=7, why="disk full")))
    records += run(core, 1, range(8, 10))
    records.append(snapshot_record(1, 9, core.snapshot()))
    records += run(core, 1, range(10, 12))
    assert cut(records) == [
        (True, 1, 4, 0, "gap of steps 5 to 7: disk full"),
        (False, 8, 9, 0, "snapshot"),
        (True, 10, 11, 0, "end of the journal"),
    ]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((INPUTS, 3), [(True, 1, 2), (False, 4, 6)]),
        ((PLAN, 3), [(True, 1, 2), (False, 4, 6)]),
        ((BOOT, 0), [(False, 1, 6)]),
        ((PLAN, 6), [(True, 1, 5)]),
    ],
)
def test_a_hole_that_nobody_recorded_is_seen(lost: tuple[str, int], expected: list[tuple[bool, int, int]]) -> None:
    records = [r for r in [boot(1), *run(TallyCore("3"), 1, range(1, 7))] if (r.kind, r.step) != lost]
    assert [c[:3] for c in cut(records)] == expected


def test_a_later_boot_without_a_snapshot_begins_nothing() -> None:
    core = TallyCore("3")
    records = [boot(1), *run(core, 1, range(1, 3)), boot(2, step=2), *run(core, 2, range(3, 5))]
    assert [c[:3] for c in cut(records)] == [(True, 1, 2), (False, 3, 4)]


def test_boots_that_never_made_a_step_do_not_hinder() -> None:
    records = [boot(1), boot(2), *run(TallyCore("3"), 2, range(1, 3))]
    [segment] = segments(records)
    assert (segment.boot, segment.booted and segment.booted.boot, segment.count) == (2, 2, 2)


def test_a_boot_kept_by_retention_is_no_start_for_what_came_much_later() -> None:
    core = TallyCore("3")
    run(core, 1, range(1, 10))
    records = [boot(1), snapshot_record(1, 9, core.snapshot()), *run(core, 1, range(10, 12))]
    assert cut(records) == [(True, 10, 11, 0, "end of the journal")]
