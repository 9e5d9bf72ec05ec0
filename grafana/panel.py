"""What a dashboard says, apart from how Grafana writes it down: boards, rows, panels, queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Form = Literal["stat", "lines", "stack", "states", "bars", "table"]
"""stat: big numbers or names; lines, stack: over time; states: coloured bars over time; bars: gauges; table: now."""

Steps = tuple[tuple[float | None, str], ...]
"""Thresholds: from this value on this colour; None begins."""

GREEN: Steps = ((None, "green"),)
NEUTRAL: Steps = ((None, "blue"),)
NONE_IS_GOOD: Steps = ((None, "green"), (1e-9, "red"))
NONE_IS_BETTER: Steps = ((None, "green"), (1e-9, "orange"))
ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))
OF_A_LIMIT: Steps = ((None, "green"), (0.9, "orange"), (1, "red"))
OF_SECONDS: Steps = ((None, "green"), (30, "orange"), (120, "red"))


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `@` in it stands for the chosen job and instance."""

    expr: str
    legend: str = ""
    """Name of its series, with `{{label}}`; in a table the head of its column, empty where only its labels count."""

    @property
    def promql(self) -> str:
        """The expression in full, with Grafana's variables."""
        return self.expr.replace("@", 'job="scowl-edge", instance="$instance"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    what: str
    """The question that it answers, and how to read it."""
    form: Form
    queries: tuple[Query, ...]
    unit: str = "short"
    """Grafana's name of the unit."""
    width: int = 12
    """Of 24."""
    height: int = 8
    steps: Steps = NEUTRAL
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    by_name: bool = False
    """A stat shows the series' name instead of its value."""
    words: tuple[tuple[int, str, str], ...] = ()
    """(value, text, colour) of values that mean something."""
    dashed: str = ""
    """Pattern of series that are drawn dashed: limits and the like."""
    key: str = ""
    """Label that joins the columns of a table."""
    hidden: tuple[str, ...] = ()
    """Labels that a table leaves out, beside job, instance and name."""
    units: tuple[tuple[str, str], ...] = ()
    """(column, unit) of a table."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the top of the board."""

    name: str
    label: str
    metric: str
    """Selector whose label values are offered."""
    of: str
    """The label."""
    several: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    what: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=())
