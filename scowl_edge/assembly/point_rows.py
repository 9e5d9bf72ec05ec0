"""The site's point table as it is declared: a row is made when somebody looks at it.

150,000 rows of their own would take 20 MB and hardly differ: the devices of a fleet share their lists of points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scowl_edge.devices.declaration import ModbusPoint, OpcuaPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInfo:
    """One row of the site's point table."""

    device: str
    name: str
    unit: str
    """Base unit: W, Wh, V, A, Hz, VA, var, s, degC, fraction or empty."""
    link: str
    access: str
    """r, w or rw."""
    fresh_ms: int
    """Age up to which its value counts as fresh."""
    hold_ms: int
    """Age beyond that up to which its last value is held."""
    poll_ms: int
    type: str
    """Type on the wire; empty where an OPC-UA server says it."""


@dataclass(frozen=True, slots=True)
class PointRun:
    """The rows of one device, which stand side by side."""

    device: str
    link: str
    poll_ms: int
    points: Sequence[ModbusPoint | OpcuaPoint]

    def row(self, place: int) -> PointInfo:
        """The row of its point at `place`."""
        point = self.points[place]
        return PointInfo(
            device=self.device,
            name=point.name,
            unit=point.base_unit,
            link=self.link,
            access=point.access,
            fresh_ms=point.fresh_for_ms,
            hold_ms=point.hold_for_ms,
            poll_ms=(point.poll_ms if isinstance(point, ModbusPoint) else 0) or self.poll_ms,
            type=point.type,
        )


class PointRows(Sequence[PointInfo]):
    """All rows, device by device in the order of the configuration."""

    def __init__(self, runs: Sequence[PointRun] = ()) -> None:
        self._runs = list(runs)
        self._starts: list[int] = []
        self._size = 0
        self._run_of: dict[str, int] = {}
        for number, run in enumerate(self._runs):
            self._note(number, run)

    @property
    def runs(self) -> Sequence[PointRun]:
        """Device by device."""
        return self._runs

    def _note(self, number: int, run: PointRun) -> None:
        self._starts.append(self._size)
        self._size += len(run.points)
        self._run_of[run.device] = number

    def add(self, run: PointRun) -> int:
        """Appends the rows of one more device; returns the index of the first."""
        self._runs.append(run)
        self._note(len(self._runs) - 1, run)
        return self._starts[-1]

    def index_of(self, device: str, name: str) -> int | None:
        """Index of a point; None if there is none of that name."""
        number = self._run_of.get(device)
        if number is None:
            return None
        places = (place for place, point in enumerate(self._runs[number].points) if point.name == name)
        return next((self._starts[number] + place for place in places), None)

    @property
    def names(self) -> PointNames:
        """(device, name) of each row."""
        return PointNames(self)

    def name(self, index: int) -> tuple[str, str]:
        """(device, name) of one row."""
        run, place = self._find(index)
        return run.device, run.points[place].name

    def links_of(self, indices: NDArray[np.intp]) -> set[str]:
        """Links of these rows, however many they are."""
        numbers = np.unique(np.searchsorted(self._starts, indices, "right") - 1)
        return {self._runs[number].link for number in numbers.tolist()}

    def _find(self, at: int) -> tuple[PointRun, int]:
        index = at + self._size if at < 0 else at
        if not 0 <= index < self._size:
            raise IndexError(f"there is no point {at}; there are {self._size}")
        # The last that starts there: a device without points starts where the next one does.
        number = bisect_right(self._starts, index) - 1
        return self._runs[number], index - self._starts[number]

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> PointInfo: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[PointInfo]: ...
    def __getitem__(self, at: int | slice) -> PointInfo | Sequence[PointInfo]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._size))]
        run, place = self._find(at)
        return run.row(place)

    def __iter__(self) -> Iterator[PointInfo]:
        for run in self._runs:
            for place in range(len(run.points)):
                yield run.row(place)

    def __eq__(self, other: object) -> bool:
        return self._runs == other._runs if isinstance(other, PointRows) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._size, tuple(self._run_of)))


class PointNames(Sequence[tuple[str, str]]):
    """(device, name) of each row of a point table, made on demand as the rows are."""

    def __init__(self, rows: PointRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[tuple[str, str]]: ...
    def __getitem__(self, at: int | slice) -> tuple[str, str] | Sequence[tuple[str, str]]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return self._rows.name(at)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for run in self._rows.runs:
            for point in run.points:
                yield run.device, point.name
