"""What came late, and what peers told, is in the record of the inputs as it was."""

from __future__ import annotations

import numpy as np
import pytest

from scowl_edge.journal.columns import Columns
from scowl_edge.model.batch import ROWS, Batch, BatchKind
from scowl_edge.model.codec import CodecError
from scowl_edge.model.effect import Inputs
from scowl_edge.model.event import Stopping
from scowl_edge.model.tick import Late, Tick


def inputs(late: Late = Late.ON_TIME, batches: tuple[Batch, ...] = ()) -> Inputs:
    tick = Tick(step=7, mono_ms=1, utc_ms=2, utc_ok=True, journal_ok=False, move_budget=3, late=late)
    return Inputs(
        tick,
        np.asarray([4], np.int32),
        np.asarray([-5], np.int64),
        np.asarray([1], np.uint8),
        np.asarray([6], np.int64),
        (Stopping(why="enough"),),
        batches,
    )


def batch(rows: int) -> Batch:
    data = np.zeros(rows, ROWS[BatchKind.DEMAND])
    data["slot"], data["value"] = np.arange(rows), -(1 << 31)
    return Batch(population=3, kind=BatchKind.DEMAND, sender=1 << 31, sequence=1 << 60, at_ms=-1, data=data.tobytes())


@pytest.mark.parametrize("late", list(Late))
@pytest.mark.parametrize("batches", [(), (batch(0),), (batch(3), batch(1))])
def test_inputs_come_back_as_they_were(late: Late, batches: tuple[Batch, ...]) -> None:
    before = inputs(late, batches)
    data = Columns.of(before).join()
    after = Columns.parse(data).inputs()
    assert after.tick == before.tick
    assert after.events == before.events
    assert after.batches == before.batches
    assert Columns.of(after).join() == data


def test_batches_that_are_cut_short_are_refused() -> None:
    columns = Columns.of(inputs(batches=(batch(3),)))
    for length in (3, len(columns.events) - 1):
        short = Columns(
            clock=columns.clock,
            flags=columns.flags,
            signals=columns.signals,
            value=columns.value,
            quality=columns.quality,
            received_ms=columns.received_ms,
            events=columns.events[:length],
        )
        with pytest.raises(CodecError, match=r"cut short|batches"):
            Columns.parse(short.join()).inputs()
