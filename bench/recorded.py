"""The real daemon on a configuration file, with an inbox that notes when each good reading was due and when it came."""

from __future__ import annotations

import argparse
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.machine import many_files, on_core
from scowl_edge import daemon, logs, process
from scowl_edge.assembly.apart import load_lean
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.inbox import Inbox
from scowl_edge.model.signal import Quality, Reading

_NOTES: array[int] = array("q")
"""Three numbers a good reading: first point; requested, ms, and come, us, both by the clock of the daemon."""


def now_us() -> int:
    """The clock of the daemon, which all processes of the machine share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class NotingInbox(Inbox):
    """As the daemon's, and takes a note of every reading that brought anything: a microsecond and 24 bytes."""

    def reading(self, reading: Reading) -> None:
        """Passes on and notes."""
        super().reading(reading)
        if reading.quality[0] != Quality.BAD:
            _NOTES.extend((int(reading.points[0]), reading.requested_ms, now_us()))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Good readings in the order in which they came."""

    row: NDArray[np.int64]
    """Which block of which device: blocks by their first point, counted from 0."""
    requested_ms: NDArray[np.int64]
    come_us: NDArray[np.int64]

    @classmethod
    def of(cls, file: Path) -> Samples:
        """Of a file that a recorded daemon wrote."""
        notes = np.fromfile(file, np.int64).reshape(-1, 3)
        _, row = np.unique(notes[:, 0], return_inverse=True)
        return cls(row.reshape(-1), notes[:, 1], notes[:, 2])

    def within(self, begin_us: int, end_us: int) -> NDArray[np.bool_]:
        """Which of them came in a time."""
        return (self.come_us >= begin_us) & (self.come_us < end_us)

    def lags_ms(self, period_ms: int, calm: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How late each came after it was due; up to nine tenths of a period can be told.

        A block's due times are a grid of one period. Its phase is that of its earliest request among the `calm` ones,
        so a delay that is the same at each poll does not show.
        """
        rows = int(self.row.max(initial=-1)) + 1
        turn = np.zeros(rows, np.complex128)
        np.add.at(turn, self.row[calm], np.exp(2j * np.pi * (self.requested_ms[calm] % period_ms) / period_ms))
        centre = np.rint(np.angle(turn) / (2 * np.pi) * period_ms).astype(np.int64)
        # Few requests are early, and those by little: what lies before the centre by more is late by most of a period.
        early = period_ms // 10
        late = (self.requested_ms - centre[self.row] + early) % period_ms - early
        least = np.full(rows, period_ms)
        np.minimum.at(least, self.row[calm], late[calm])
        due_ms = self.requested_ms - late + least[self.row]
        lags: NDArray[np.float64] = (self.come_us - due_ms * 1000) / 1000
        return lags


def main() -> None:
    """Runs until SIGTERM, then writes the notes."""
    parser = argparse.ArgumentParser(prog="python -m bench.recorded", description=__doc__)
    parser.add_argument("file", type=Path, help="configuration")
    parser.add_argument("result", type=Path, help="file that is written at the end")
    options = parser.parse_args()
    on_core(0)
    many_files()
    logs.configure()
    # The one place where the daemon gets its inbox from.
    vars(daemon)["Inbox"] = NotingInbox
    on_fastest_loop(process.run(load_lean(options.file), http="127.0.0.1:0"))
    with options.result.open("wb") as out:
        _NOTES.tofile(out)


if __name__ == "__main__":
    main()
