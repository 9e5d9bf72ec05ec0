"""A timeline as text, for people at a terminal.

>>> from scowl_edge.model.profile import HOUR_MS, flat, ramp
>>> day = ramp(0, 4 * HOUR_MS, 0, 4_000) + flat(4 * HOUR_MS, 2 * HOUR_MS, -2_000) + flat(7 * HOUR_MS, HOUR_MS, 1_000)
>>> print(picture(day, width=16, height=6))
 4000 W |       #
        |     ###
        |   #####
        | #######      ##
    0 W |------------  --
        |        ####
-2000 W |        ####
"""

from __future__ import annotations

from scowl_edge.model.profile import NANO, Timeline, nearest


def picture(timeline: Timeline, *, width: int = 64, height: int = 8) -> str:
    """Bars from the line of 0 W, up for consumption and down for production; blank where nothing is said.

    Args:
        timeline: What to draw, from its begin to its end.
        width: Columns of bars; each shows the mean of what is defined in it, to the nearest half row.
        height: Rows of bars, beside the line of 0 W.
    """
    if not timeline:
        return "nothing"
    top, bottom = max(0, timeline.max_w() or 0), max(0, -(timeline.min_w() or 0))
    up = 0 if top == 0 else min(height - (bottom > 0), max(1, (height * top + (top + bottom) // 2) // (top + bottom)))
    down = 0 if bottom == 0 else height - up
    means = _columns(timeline, width)
    rows = [(f"{top} W" if row == up else "", _bars(means, row, up, top, "#")) for row in range(up, 0, -1)]
    rows.append(("0 W", "".join(" " if mean is None else "-" for mean in means)))
    negated = [None if mean is None else -mean for mean in means]
    rows += [
        (f"{-bottom} W" if row == down else "", _bars(negated, row, down, bottom, "#")) for row in range(1, down + 1)
    ]
    margin = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:>{margin}} |{bars}".rstrip() for label, bars in rows)


def _columns(timeline: Timeline, width: int) -> list[int | None]:
    """Mean power of what is defined in each column."""
    start, length = timeline.start_ms, timeline.end_ms - timeline.start_ms
    means: list[int | None] = []
    for column in range(width):
        left, right = start + length * column // width, start + length * (column + 1) // width
        part = timeline.clip(left, max(right, left + 1))
        span = sum(end - begin for begin, end in part.spans())
        means.append(nearest(part.energy_quanta(), 2 * NANO * span) if span else None)
    return means


def _bars(means: list[int | None], row: int, rows: int, full: int, mark: str) -> str:
    """One row: marked where a bar reaches at least the middle of it."""
    return "".join(mark if mean is not None and 2 * rows * mean >= (2 * row - 1) * full else " " for mean in means)
