"""`scowl-edge status [URL]`: the region as a live table in the terminal."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from scowl_edge.cli.asking import Absent, AskError, Asking
from scowl_edge.model.profile_picture import picture
from scowl_edge.model.profile_slots import from_slots
from scowl_edge.web.tables import (
    BALANCE,
    FLEX,
    FLEX_TABLES,
    LADDER,
    POPULATION,
    POPULATION_TABLES,
    TABLES,
    VITALS,
    Column,
    Table,
    cell,
    rows_of,
    tone,
    with_freshness,
)
from scowl_edge.web.words import RUNGS

_PERIOD_S = 1.0
_WIDTH_WITHOUT_TERMINAL = 200
_STYLES = {"bad": "red", "warn": "yellow", "": ""}

_OF_POPULATION = tuple(Column("", key) for key in ("name", "trees_text", *(t.list_name for t in POPULATION_TABLES)))

_AHEAD = {"promised_w": "promised", "intended_w": "if nobody had selected"}
"""What is drawn of the coming hours."""
_PICTURE_ROWS = 6

State = dict[str, Any]
"""Answers of the API by the last part of their paths."""


def status(url: str, *, once: bool, token_file: Path | None = None) -> None:
    """Prints the state once, or each second until Ctrl-C.

    Args:
        url: address of a daemon.
        once: whether to end after the first state.
        token_file: holds the viewer's or the operator's token, where reading needs one.

    Raises:
        AskError: the first attempt failed.
    """
    daemon = Asking(url, token_file)
    state = _fetch(daemon)
    console = Console()
    if once:
        if not console.is_terminal:
            console.width = max(console.width, _WIDTH_WITHOUT_TERMINAL)
        console.print(render(state, ""))
        return
    # A handler, not KeyboardInterrupt: that one is lost when it strikes inside a destructor.
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Live(render(state, url), console=console, screen=True, auto_refresh=False) as live:
        while not ended.wait(_PERIOD_S):
            note = url
            try:
                state = _fetch(daemon)
            except AskError as error:
                note = f"As it was before: {error}"
            live.update(render(state, note), refresh=True)


def _fetch(daemon: Asking) -> State:
    state: State = {"region": daemon.get("region")}
    _must_have(daemon, (*VITALS, *BALANCE), [state["region"]])
    for name in (*dict.fromkeys(table.list_name for table in TABLES), "freshness", "populations"):
        rows = daemon.get(name).get(name)
        if not isinstance(rows, list):
            raise daemon.foreign(f"there is no list of {name}")
        state[name] = rows
    _must_have(daemon, (Column("", "name"),), state["devices"])
    _must_have(daemon, (Column("", "device"), Column("", "quality"), Column("", "age_s")), state["freshness"])
    state["flex"] = _flexibility(daemon)
    state["devices"] = with_freshness(state["devices"], state.pop("freshness"))
    for table in TABLES:
        _must_have(daemon, table.columns, state[table.list_name])
    _must_have(daemon, (*POPULATION, *_OF_POPULATION), state["populations"])
    for table in POPULATION_TABLES:
        for population in state["populations"]:
            _must_have(daemon, table.columns, population[table.list_name])
    return state


def _flexibility(daemon: Asking) -> dict[str, Any] | None:
    """The site's part in flexibility; None where it has none."""
    try:
        answer = daemon.get("flex")
    except Absent:
        return None
    _must_have(daemon, (Column("", "flex"), *(Column("", table.list_name) for table in FLEX_TABLES)), [answer])
    _must_have(daemon, (*FLEX, Column("", "ahead")), [answer["flex"]])
    _must_have(daemon, tuple(Column("", key) for key in ("start", "length_s", *_AHEAD)), answer["flex"]["ahead"])
    for table in FLEX_TABLES:
        _must_have(daemon, table.columns, answer[table.list_name])
    return answer


def _must_have(daemon: Asking, columns: tuple[Column, ...], rows: list[Any]) -> None:
    for row in rows:
        missing = [column.key for column in columns if not isinstance(row, dict) or column.key not in row]
        if missing:
            raise daemon.foreign(f"{', '.join(missing)} missing")


def render(state: State, note: str) -> Group:
    """The state as the page shows it. `note` goes on top: a low terminal cuts off the rest."""
    region = state["region"]
    shown: list[RenderableType] = [
        _text(region["site"], "bold"),
        *([_text(note, "dim")] if note else []),
        _entries(VITALS, region, 4),
        _entries(BALANCE, region, 3),
    ]
    for table in TABLES:
        shown.append(_table(table, rows_of(table, state)))
        if table.name == "trees":
            shown.append(_ladder(region["rung"]))
            for population in state["populations"]:
                shown += _population(population)
            if state["flex"] is not None:
                shown += [_text(""), _text("Flexibility", "bold"), _entries(FLEX, state["flex"]["flex"], 2)]
                shown += _ahead(state["flex"]["flex"]["ahead"])
                shown += [_table(each, rows_of(each, state["flex"])) for each in FLEX_TABLES]
    return Group(*shown)


def _entries(entries: tuple[Column, ...], region: dict[str, Any], across: int) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    down = -(-len(entries) // across)
    for n in range(down):
        pairs = [(entry.title, cell(entry, region)) for entry in entries[n::down]]
        grid.add_row(*(_text(part, "dim" if k == 0 else "") for pair in pairs for k, part in enumerate(pair)))
    return grid


def _ladder(rung: str) -> RichTable:
    """All rungs, one column a direction; the present one is marked."""
    out = RichTable(title="Ladder", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=False)
    for group in LADDER:
        out.add_column(group.title, overflow="fold")
    for n in range(max(len(group.names) for group in LADDER)):
        names = [group.names[n] if n < len(group.names) else "" for group in LADDER]
        cells = [f"{n + 1}. {RUNGS[name]}{' ◀ now' if name == rung else ''}" if name else "" for name in names]
        out.add_row(*(_text(words, "bold" if name == rung else "") for name, words in zip(names, cells, strict=True)))
    return out


def _population(row: dict[str, Any]) -> list[RenderableType]:
    """A few lines: the sums, then a line for each of its tables."""
    lines = [("Load of the trees", row["trees_text"])]
    for table in POPULATION_TABLES:
        first, *rest = table.columns
        told = [": ".join([cell(first, each), ", ".join(_titled(column, each) for column in rest)])
                for each in row[table.list_name]]  # fmt: skip
        lines.append((table.title, "; ".join(told) or table.empty))
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for title, words in lines:
        grid.add_row(_text(title, "dim"), _text(words))
    return [_text(""), _text(f"Population {row['name']}", "bold"), _entries(POPULATION, row, 4), grid]


def _ahead(slots: list[dict[str, Any]]) -> list[RenderableType]:
    """The coming hours of all that is selected, as two pictures."""
    if not slots:
        return []
    slot_ms = 1000 * slots[0]["length_s"]
    until = f"{slots[0]['start']} and {len(slots) * slots[0]['length_s'] // 60} min on"
    shown: list[RenderableType] = [_text(""), _text(f"What is selected, {until}", "bold")]
    for key, title in _AHEAD.items():
        course = from_slots([slot[key] for slot in slots], start_ms=0, slot_ms=slot_ms)
        shown.append(_text(title, "dim"))
        shown += [_text(line) for line in picture(course, width=len(slots), height=_PICTURE_ROWS).splitlines()]
    return shown


def _titled(column: Column, row: dict[str, Any]) -> str:
    """A bare number needs its title."""
    said = cell(column, row)
    return f"{column.title.lower()} {said}" if column.kind in ("count", "watts") else said


def _table(table: Table, rows: list[dict[str, Any]]) -> RichTable:
    out = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=False)
    for column in table.columns:
        out.add_column(
            column.title,
            justify="right" if column.kind == "watts" else "left",
            no_wrap=column.kind in ("watts", "time"),
            overflow="fold",
        )
    for row in rows:
        style = _STYLES[tone(table, row)]
        out.add_row(*(_text(cell(column, row), style) for column in table.columns))
    if not rows:
        out.caption, out.caption_justify = table.empty, "left"
    return out


def _text(words: str, style: str = "") -> Text:
    """Text as it is: neither markup nor control sequences of what a device said reach the terminal."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words), style=style)
