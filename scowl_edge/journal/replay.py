"""Runs the decisions of a journal again and names the first difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from scowl_edge.contracts import Record
from scowl_edge.journal.records import (
    SNAPSHOT,
    JournalError,
    PlanRecord,
    read_inputs,
    read_plan,
    read_snapshot,
)
from scowl_edge.journal.segments import Segment, segments
from scowl_edge.model.codec import encode
from scowl_edge.model.effect import Inputs, Plan


class Core(Protocol):
    """What decides; pure, so that the same inputs give the same plan."""

    def step(self, inputs: Inputs) -> Plan:
        """One step."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def restore(self, data: bytes, /) -> None:
        """Takes over a state."""

    def sections(self) -> dict[str, bytes]:
        """The state by section, each as encoded JSON: what the digests of a plan are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first thing that came out differently."""

    boot: int
    step: int
    section: str
    """Section of the state; `plan` where only effects or times differ, `step` where the step raised."""
    row: str
    """Path inside the section, empty if no later snapshot tells."""
    recorded: str
    replayed: str
    seen_at_step: int
    """Step after which `row` was compared; later than `step` where only the next snapshot holds the rows."""

    def __str__(self) -> str:
        place = f"step {self.step} (boot {self.boot}): {self.section}"
        if self.row:
            place += f", first at {self.row}"
        if self.seen_at_step != self.step:
            place += f" in the snapshot after step {self.seen_at_step}"
        return f"{place}: recorded {self.recorded}, replayed {self.replayed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """One segment, run again."""

    boot: int
    first_step: int
    last_step: int
    replayed: bool
    """False: the state before it is not known, so nothing can be compared."""
    ended_by: str
    difference: Difference | None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.last_step - self.first_step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """All segments of a journal."""

    segments: tuple[SegmentResult, ...]

    @property
    def steps(self) -> int:
        """Steps that were run again."""
        return sum(s.steps for s in self.segments if s.replayed)

    @property
    def uncovered(self) -> int:
        """Steps of which the state before is not known."""
        return sum(s.steps for s in self.segments if not s.replayed)

    @property
    def difference(self) -> Difference | None:
        """The first difference of all."""
        return next((s.difference for s in self.segments if s.difference), None)

    @property
    def identical(self) -> bool:
        """True if there was no difference."""
        return self.difference is None


def replay(records: Iterable[Record], make_core: Callable[[str], Core]) -> ReplayReport:
    """Runs every gap-free segment again, each from its own snapshot (or from an empty core), and compares.

    Args:
        records: In the order in which they were appended.
        make_core: Builds a core from the text of a configuration.

    Raises:
        JournalError: A record cannot be read. What `make_core` raises goes through.
    """
    return ReplayReport(
        segments=tuple(
            SegmentResult(
                boot=segment.boot,
                first_step=segment.first_step,
                last_step=segment.last_step,
                replayed=segment.start is not None,
                ended_by=segment.ended_by,
                difference=_run(segment, make_core) if segment.start is not None else None,
            )
            for segment in segments(records)
        )
    )


def _run(segment: Segment, make_core: Callable[[str], Core]) -> Difference | None:
    core = _core_at(segment, segment.start, make_core)
    found: Difference | None = None
    for inputs_record, plan_record in segment.steps:
        inputs = read_inputs(inputs_record)
        try:
            plan = core.step(inputs)
        except Exception as error:  # noqa: BLE001  (whatever the core raises is a result here)
            raised = f"{type(error).__name__}: {error}"
            return found or _difference(segment, plan_record.step, "step", "", "a plan", raised)
        if found is None and encode(PlanRecord.of(plan)) != plan_record.payload:
            found = _compare_plan(segment, read_plan(plan_record), PlanRecord.of(plan))
            # The rows of a section are in the next snapshot only, so the steps up to it are run as well.
            if found is not None and (segment.end is None or not _is_section(found, plan)):
                return found
    if segment.end is None or (found is None and core.snapshot() == read_snapshot(segment.end)):
        return found
    return _compare_state(segment, segment.end, core, make_core, found)


def _core_at(segment: Segment, start: Record | None, make_core: Callable[[str], Core]) -> Core:
    if segment.booted is None:
        raise JournalError(
            f"replay from step {segment.first_step}: the record of boot {segment.boot} is missing, "
            "with the configuration; the journal is damaged"
        )
    core = make_core(segment.booted.config)
    if start is not None and start.kind == SNAPSHOT:
        core.restore(read_snapshot(start))
    return core


def _is_section(found: Difference, plan: Plan) -> bool:
    return any(found.section == name for name, _ in plan.digests)


def _compare_plan(segment: Segment, recorded: PlanRecord, replayed: PlanRecord) -> Difference | None:
    before, after = dict(recorded.digests), dict(replayed.digests)
    for name in [*after, *(n for n in before if n not in after)]:
        if before.get(name) != after.get(name):
            return _difference(
                segment,
                recorded.step,
                name,
                "",
                f"digest {before[name]}" if name in before else "no such section",
                f"digest {after[name]}" if name in after else "no such section",
            )
    differing = first_difference(json.loads(encode(recorded)), json.loads(encode(replayed)))
    return _difference(segment, recorded.step, "plan", *differing) if differing else None


def _compare_state(
    segment: Segment, end: Record, core: Core, make_core: Callable[[str], Core], found: Difference | None
) -> Difference | None:
    """Finds the row in the snapshot at the segment's end: in the section that differed first, or in any."""
    recorded, replayed = _core_at(segment, end, make_core).sections(), core.sections()
    names = [found.section] if found is not None else [*replayed, *(n for n in recorded if n not in replayed)]
    for name in names:
        before, after = (json.loads(s.get(name, b"null")) for s in (recorded, replayed))
        if differing := first_difference(before, after):
            step = found.step if found is not None else end.step
            return _difference(segment, step, name, *differing, seen_at_step=end.step)
    return found or _difference(
        segment, end.step, "snapshot", "", "other bytes than a core restored from it gives", "equal sections"
    )


def _difference(
    segment: Segment, step: int, section: str, row: str, recorded: str, replayed: str, seen_at_step: int = 0
) -> Difference:
    return Difference(
        boot=segment.boot,
        step=step,
        section=section,
        row=row,
        recorded=recorded,
        replayed=replayed,
        seen_at_step=seen_at_step or step,
    )


def first_difference(recorded: Any, replayed: Any, path: str = "") -> tuple[str, str, str] | None:
    """(path, recorded, replayed) of the first place where two parsed JSON values differ, None if they are equal."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        for key in [*recorded, *(k for k in replayed if k not in recorded)]:
            inner = f"{path}.{key}" if path else key
            if key not in recorded or key not in replayed:
                return inner, _shown(recorded, key), _shown(replayed, key)
            if found := first_difference(recorded[key], replayed[key], inner):
                return found
        return None
    if isinstance(recorded, list) and isinstance(replayed, list):
        for i, (a, b) in enumerate(zip(recorded, replayed, strict=False)):
            if found := first_difference(a, b, f"{path}[{i}]"):
                return found
        if len(recorded) != len(replayed):
            i = min(len(recorded), len(replayed))
            return f"{path}[{i}]", _shown(recorded, i), _shown(replayed, i)
        return None
    # True equals 1 in Python and does not in JSON.
    if type(recorded) is type(replayed) and recorded == replayed:
        return None
    return path, _short(recorded), _short(replayed)


def _shown(container: Any, key: Any) -> str:
    there = key in container if isinstance(container, dict) else key < len(container)
    return _short(container[key]) if there else "nothing"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
