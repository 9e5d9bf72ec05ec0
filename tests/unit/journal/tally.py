"""A small core with the shape of the real one: it adds up what its signals say and asks for what is due."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scowl_edge.contracts import Record
from scowl_edge.journal.records import BootRecord, boot_record, inputs_record, plan_record, snapshot_record
from scowl_edge.model.codec import decode, digest, encode
from scowl_edge.model.effect import Inputs, Plan, Read
from scowl_edge.model.tick import Tick


@dataclass(slots=True)
class Row:
    total: int = 0
    seen: int = 0


@dataclass(slots=True)
class TallyState:
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)


class TallyCore:
    """`config` is the number of rows; `fault` lets one row go wrong from one step on, as a changed program would."""

    def __init__(self, config: str, fault: tuple[int, int] | None = None, raises_at: int = 0) -> None:
        self.state = TallyState(rows=[Row() for _ in range(int(config))])
        self._fault = fault
        self._raises_at = raises_at

    def step(self, inputs: Inputs) -> Plan:
        step = inputs.tick.step
        if step == self._raises_at:
            raise ZeroDivisionError("a defect")
        effects = []
        for signal, value in zip(inputs.signals.tolist(), inputs.value.tolist(), strict=True):
            row = self.state.rows[signal]
            row.total += value
            row.seen += 1
            if value > 90:
                effects.append(Read((signal,), inputs.tick.mono_ms + 500))
                self.state.asked[signal] = step
        if self._fault is not None and step == self._fault[0]:
            self.state.rows[self._fault[1]].total += 1
        self.state.step = step
        return Plan(
            step=step,
            effects=tuple(effects),
            wake_at_ms=inputs.tick.mono_ms + 1_000,
            digests=tuple((name, digest(data)) for name, data in self.sections().items()),
            final=False,
        )

    def sections(self) -> dict[str, bytes]:
        return {"rows": encode(self.state.rows), "asked": encode(self.state.asked)}

    def snapshot(self) -> bytes:
        return encode(self.state)

    def restore(self, data: bytes, /) -> None:
        self.state = decode(TallyState, data)


def inputs(step: int, rows: int = 3) -> Inputs:
    """Inputs that follow from the step's number alone."""
    signals = np.array([s for s in range(rows) if (step + s) % 2], np.int32)
    value = (signals.astype(np.int64) * 37 + step * 13) % 100
    return Inputs(
        tick=Tick(step=step, mono_ms=step * 1_000, utc_ms=0, utc_ok=False, journal_ok=True, move_budget=4),
        signals=signals,
        value=value,
        quality=np.zeros(len(signals), np.uint8),
        received_ms=np.full(len(signals), step * 1_000, np.int64),
        events=(),
    )


def boot(number: int, step: int = 0, rows: int = 3) -> Record:
    return boot_record(
        BootRecord(
            version="1",
            seed=42,
            boot=number,
            mono_ms=step * 1_000,
            utc_ms=0,
            utc_ok=False,
            config=str(rows),
            fingerprint=digest(str(rows).encode()),
        ),
        step,
    )


def run(core: TallyCore, number: int, steps: range, snapshot_every: int = 0) -> list[Record]:
    """The records that a loop would append for these steps."""
    out = []
    for step in steps:
        seen = inputs(step, len(core.state.rows))
        out += [inputs_record(number, seen), plan_record(number, core.step(seen))]
        if snapshot_every and step % snapshot_every == 0:
            out.append(snapshot_record(number, step, core.snapshot()))
    return out
