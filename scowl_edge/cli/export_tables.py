"""The tables that `scowl-edge export` makes: of a journal, by reading it or by deciding again, and of the telemetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from scowl_edge.assembly import Assembly, assemble
from scowl_edge.cli.export_files import Cell, Column, Kind
from scowl_edge.contracts import Record
from scowl_edge.control.core import Core
from scowl_edge.journal.records import (
    BOOT,
    INPUTS,
    PLAN,
    SNAPSHOT,
    JournalError,
    read_boot,
    read_inputs,
    read_plan,
    read_snapshot,
)
from scowl_edge.journal.segments import segments
from scowl_edge.model.command import Command, CommandId
from scowl_edge.model.effect import Write
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import Outcome
from scowl_edge.model.signal import Quality
from scowl_edge.telemetry.history import all_events, all_trends

Row = tuple[Cell, ...]

COLUMNS: dict[str, tuple[Column, ...]] = {
    "commands": (
        Column("time_utc", Kind.TIME),
        Column("boot", Kind.WHOLE),
        Column("step", Kind.WHOLE),
        Column("command", Kind.TEXT),
        Column("device", Kind.TEXT),
        Column("verb", Kind.TEXT),
        Column("value", Kind.NUMBER),
        Column("unit", Kind.TEXT),
        Column("state", Kind.TEXT),
        Column("safety", Kind.FLAG),
        Column("why", Kind.TEXT),
    ),
    "decisions": (
        Column("time_utc", Kind.TIME),
        Column("step", Kind.WHOLE),
        Column("rung", Kind.TEXT),
        Column("device", Kind.TEXT),
        Column("amount_w", Kind.WHOLE),
        Column("why", Kind.TEXT),
    ),
    "inputs": (
        Column("time_utc", Kind.TIME),
        Column("boot", Kind.WHOLE),
        Column("step", Kind.WHOLE),
        Column("device", Kind.TEXT),
        Column("signal", Kind.TEXT),
        Column("value", Kind.NUMBER),
        Column("unit", Kind.TEXT),
        Column("quality", Kind.TEXT),
        Column("age_ms", Kind.WHOLE),
    ),
    "events": (
        Column("seq", Kind.WHOLE),
        Column("source_time_utc", Kind.TIME),
        Column("receive_time_utc", Kind.TIME),
        Column("time_trusted", Kind.FLAG),
        Column("kind", Kind.TEXT),
        Column("source", Kind.TEXT),
        Column("priority", Kind.TEXT),
        Column("who", Kind.TEXT),
        Column("text", Kind.TEXT),
    ),
    "trends": (
        Column("time_utc", Kind.TIME),
        Column("span_ms", Kind.WHOLE),
        Column("device", Kind.TEXT),
        Column("point", Kind.TEXT),
        Column("low", Kind.NUMBER),
        Column("mean", Kind.NUMBER),
        Column("high", Kind.NUMBER),
        Column("unit", Kind.TEXT),
    ),
}
"""What can be exported, and the columns of each. Values are in base units; + is consumption, - is production."""


@dataclass(slots=True)
class Progress:
    """How far the work is; `tell` is called now and then."""

    tell: Callable[[int], None]
    uncovered: int = 0
    """Steps of which the state before is not known: what was decided in them cannot be told."""


class Span:
    """From one time to another, the first included."""

    def __init__(self, from_utc_ms: int | None, to_utc_ms: int | None) -> None:
        self.begin = from_utc_ms if from_utc_ms is not None else -(1 << 62)
        self.end = to_utc_ms if to_utc_ms is not None else 1 << 62

    def __contains__(self, utc_ms: object) -> bool:
        return isinstance(utc_ms, int) and self.begin <= utc_ms < self.end


class Sites:
    """The configurations that a journal's boots were started with."""

    def __init__(self, journal: Path) -> None:
        self.of_text = lru_cache(maxsize=4)(lambda text: assemble(text, f"the configuration in {journal}"))
        self._journal = journal
        self._boot = -1
        self._text = ""

    def take(self, record: Record) -> None:
        """Remembers the boot."""
        booted = read_boot(record)
        self._boot, self._text = booted.boot, booted.config

    def of(self, record: Record) -> Assembly:
        """The configuration that a record belongs to. Raises JournalError where its boot is missing."""
        if record.boot != self._boot:
            raise JournalError(
                f"export {self._journal}: the record of boot {record.boot} is missing, with the configuration; "
                "the journal is damaged"
            )
        return self.of_text(self._text)


def commands(records: Iterable[Record], journal: Path, span: Span, progress: Progress) -> Iterator[Row]:
    """Every command as it was decided, and again with each outcome that a driver told."""
    sites, now_ms = Sites(journal), 0
    under_way: dict[CommandId, tuple[Command, Assembly]] = {}

    def row(record: Record, command: Command, site: Assembly, state: str, why: str) -> Row:
        actuator, binding = site.site.actuators[command.actuator], site.actuators[command.actuator]
        return (
            now_ms, record.boot, record.step, str(command.id), site.site.devices[actuator.device].name,
            command.verb.value, command.value / binding.gain, site.points[binding.point].unit, state,
            command.safety, why,
        )  # fmt: skip

    for record in records:
        if record.kind == BOOT:
            sites.take(record)
        elif record.kind == INPUTS:
            progress.tell(record.step)
            inputs = read_inputs(record)
            now_ms = inputs.tick.utc_ms
            for event in inputs.events:
                if isinstance(event, Outcome) and event.command in under_way:
                    command, site = under_way.pop(event.command)
                    if now_ms in span:
                        yield row(record, command, site, event.kind.value, event.detail)
        elif record.kind == PLAN:
            for effect in read_plan(record).effects:
                if isinstance(effect, Write):
                    under_way[effect.command.id] = effect.command, sites.of(record)
                    if now_ms in span:
                        yield row(record, effect.command, sites.of(record), "decided", str(effect.command.reason))


def inputs(records: Iterable[Record], journal: Path, span: Span, progress: Progress) -> Iterator[Row]:
    """Every value that a step saw."""
    sites = Sites(journal)
    qualities = {quality.value: quality.name.lower() for quality in Quality}
    for record in records:
        if record.kind == BOOT:
            sites.take(record)
        elif record.kind == INPUTS:
            progress.tell(record.step)
            seen = read_inputs(record)
            tick = seen.tick
            if tick.utc_ms not in span:
                continue
            site = sites.of(record)
            columns = (seen.signals.tolist(), seen.value.tolist(), seen.quality.tolist(), seen.received_ms.tolist())
            for number, value, quality, received_ms in zip(*columns, strict=True):
                signal, binding = site.site.signals[number], site.signals[number]
                yield (
                    tick.utc_ms, record.boot, record.step, site.site.devices[signal.device].name, signal.name,
                    value / binding.gain if quality in (Quality.GOOD, Quality.UNCERTAIN) else None,
                    site.points[binding.point].unit, qualities.get(quality, str(quality)), tick.mono_ms - received_ms,
                )  # fmt: skip


def decided_again(records: Iterable[Record], journal: Path, span: Span, progress: Progress) -> Iterator[Core]:
    """The core after each step, and at the begin of each segment: what is in its lists and was not before is new."""
    sites = Sites(journal)
    for segment in segments(records):
        if segment.booted is None or segment.start is None:
            progress.uncovered += segment.count
            continue
        if segment.steps and read_inputs(segment.steps[-1][0]).tick.utc_ms < span.begin:
            continue
        core = Core(sites.of_text(segment.booted.config).site)
        if segment.start.kind == SNAPSHOT:
            core.restore(read_snapshot(segment.start))
        yield core
        for done, (record, _) in enumerate(segment.steps):
            progress.tell(record.step)
            try:
                core.step(read_inputs(record))
            except Exception:  # noqa: BLE001 - it raised then as well, and what was done instead is in the next snapshot
                progress.uncovered += len(segment.steps) - done
                break
            yield core


def decisions(records: Iterable[Record], journal: Path, span: Span, progress: Progress) -> Iterator[Row]:
    """What was decided, found by deciding it again."""
    last = -1
    for core in decided_again(records, journal, span, progress):
        new = [d for d in core.memory.decisions if d.step > last]
        if new:
            last = new[-1].step
        for d in new:
            if d.utc_ms in span:
                device = core.site.devices[d.device].name if d.device >= 0 else ""
                yield d.utc_ms, d.step, d.rung, device, d.amount_w, str(d.reason)


def events(records: Iterable[Record], journal: Path, span: Span, progress: Progress) -> Iterator[Row]:
    """The list of events, found by running the steps again."""
    last = 0
    for core in decided_again(records, journal, span, progress):
        held = core.memory.events
        if not held or held[-1].seq <= last:
            continue
        for e in held:
            if e.seq > last and e.utc_ms in span:
                yield e.seq, e.source_utc_ms, e.utc_ms, e.utc_ok, e.kind, e.source, e.priority, e.who, str(e.text)
        last = held[-1].seq


FROM_JOURNAL: dict[str, Callable[[Iterable[Record], Path, Span, Progress], Iterator[Row]]] = {
    "commands": commands,
    "decisions": decisions,
    "inputs": inputs,
    "events": events,
}


def kept_events(telemetry: Path, span: Span) -> Iterator[Row]:
    """The events of a telemetry file, oldest first. Raises NotTelemetry or sqlite3.Error."""
    for e in all_events(telemetry, span.begin, span.end):
        yield e.seq, e.source_utc_ms, e.utc_ms, e.utc_ok, e.kind, e.source, e.priority, e.who, str(e.text)


def trends(telemetry: Path, units: dict[tuple[str, str], str], span: Span) -> Iterator[Row]:
    """The trends of all points, oldest first. Raises NotTelemetry or sqlite3.Error."""
    for utc_ms, every_ms, device, point, low, mean, high in all_trends(telemetry, span.begin, span.end):
        yield utc_ms, every_ms, device, point, low, mean, high, units.get((device, point), "")


def units_of(records: Iterable[Record], journal: Path) -> tuple[dict[tuple[str, str], str], Path | None]:
    """Units of all points that any boot knew, by (device, name); and the telemetry's file as the last boot had it."""
    sites = Sites(journal)
    units: dict[tuple[str, str], str] = {}
    path = None
    for record in records:
        if record.kind == BOOT:
            # A configuration that this version does not read any more has at most old points to tell of.
            with suppress(ScowlError):
                assembly = sites.of_text(read_boot(record).config)
                units.update({(p.device, p.name): p.unit for p in assembly.points})
                path = assembly.telemetry.path
    return units, path
