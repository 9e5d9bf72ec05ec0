"""What makes a measured value doubtful (`max_change`, `stuck_after`, `counter`), and where that makes no sense."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.guarding import raw_range
from scowl_edge.assembly.point_schema import PointSection
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.model.quantity import TIME

OF_MEASUREMENTS = ("max_change", "stuck_after", "counter")
"""Keys that judge how a value moves."""


def doubt_faults(structure: Structure, path: Path, point: PointSection, poll_ms: int) -> Iterator[Fault]:
    """Faults of one point.

    Args:
        structure: What was found in the file.
        path: Where the point stands.
        point: It.
        poll_ms: How often it is read.
    """
    fault = structure.document.fault
    name = path[-1]
    given = [key for key in OF_MEASUREMENTS if getattr(point, key) is not None]
    if "w" in point.access and point.type != "string":
        for key in given:
            what = f"`{key}` is for what a device measures, but {name} can be written, and then moves as it is told"
            yield fault((*path, key), what, "take it out, or write access: r", at_key=True)
        return
    span = raw_range(point)
    if span is not None and span[1] == 1:
        for key in given:
            if key != "stuck_after":
                yield fault((*path, key), f"`{key}` means nothing for a single bit", "take it out", at_key=True)
    if point.stuck_after is not None and point.stuck_after < 3 * poll_ms:
        what = f"`stuck_after` of {name} is shorter than three polls, so chance would do for doubt"
        yield fault((*path, "stuck_after"), what, f"write at least {TIME.show(3 * poll_ms)}")
    counter = point.counter
    if counter is None or counter.wraps_at is None or span is None:
        return
    high = span[1]
    if counter.wraps_at > high + 1:
        what = f"`wraps_at` is {counter.wraps_at}, which {name} cannot reach: its greatest raw value is {high}"
        yield fault((*path, "counter", "wraps_at"), what, f"write {high + 1}, or what the manual says")
