"""`scowl-edge dsr ...`: flexibility in the terminal, and orders of it, over a daemon's API."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scowl_edge.cli.asking import Asking
from scowl_edge.model.reason import watts

_WIDTH_WITHOUT_TERMINAL = 200
Row = dict[str, Any]


def offers(daemon: Asking, *, as_json: bool) -> None:
    """Prints what appliances offer. Raises AskError."""
    answer = daemon.get("flex/offers")
    if as_json:
        _print_json(answer)
        return
    _show(
        _list(daemon, answer, "offers"),
        {
            "Appliance": lambda r: r["esa_id"],
            "State": lambda r: r["state"],
            "Starts (UTC)": lambda r: f"{_time(r['start_earliest'])} to {_time(r['start_latest'])}",
            "For": lambda r: ", ".join(r["modes"]),
            "Profiles": lambda r: r["text"],
            "Offer": lambda r: r["offer_id"],
            "Profile ids": lambda r: ", ".join(p["profile_id"] for p in r["profiles"]),
        },
        f"{answer['total']} offers",
        "Nobody offers anything.",
    )


def report(daemon: Asking, *, as_json: bool) -> None:
    """Prints the part in sums, what is selected, and the books. Raises AskError."""
    summary, chosen, books = daemon.get("flex"), daemon.get("flex/selections"), daemon.get("flex/books")
    if as_json:
        _print_json({**summary, "selections": chosen["selections"], "books": books})
        return
    _list(daemon, summary, "appliances")
    console, flex = _console(), summary["flex"]
    grid = Table.grid(padding=(0, 2))
    for title, words in _sums(flex):
        grid.add_row(_text(title, "dim"), _text(words))
    console.print(grid)
    for words in (flex["plan"] or {}).get("reasons", ()):
        console.print(_text(f"  {words}"))
    for finding in flex["findings"]:
        console.print(_text(f"  {finding['esa_id']}: {finding['what']['text']}", "yellow"))
    _show(
        _list(daemon, chosen, "selections"),
        {
            "Selection": lambda r: r["select_id"],
            "Appliance": lambda r: r["esa_id"],
            "State": lambda r: r["state"] + (f" ({r['code']})" if r["code"] else ""),
            "Counts": lambda r: r["standing"].lower(),
            "From (UTC)": lambda r: _time(r["start"]),
            "To (UTC)": lambda r: _time(r["end"]),
            "Event": lambda r: r["event_ref"],
        },
        f"{chosen['total']} selections in a day",
        "Nothing was selected.",
    )
    _show(
        _list(daemon, books, "accounts"),
        {
            "Selection": lambda r: r["select_id"],
            "Appliance": lambda r: r["esa_id"],
            "Intended Wh": lambda r: f"{r['baseline_wh']:,}",
            "Promised Wh": lambda r: f"{r['promised_wh']:,}",
            "Delivered Wh": lambda r: f"{r['delivered_wh']:,}",
            "Short Wh": lambda r: f"{r['short_wh']:,}",
            "Unproven Wh": lambda r: f"{r['unproven_wh']:,}",
            "Settled": lambda r: "yes" if r["settled"] else "no",
        },
        f"Books: {books['total']} accounts",
        "The books are empty.",
    )


def order(daemon: Asking, name: str, body: Row, *, as_json: bool) -> None:
    """Gives an order and says where its effect shows. Raises AskError."""
    answer = daemon.post(f"flex/{name}", {key: value for key, value in body.items() if value is not None})
    if as_json:
        _print_json(answer)
        return
    location = answer.get("location")
    if not isinstance(location, str):
        raise daemon.foreign("location missing")
    _console().print(_text(f"taken; what becomes of it shows at {daemon.url.rstrip('/')}{location}"))


def schema() -> None:
    """Prints the JSON Schema of all messages of scowl-flex/1."""
    from scowl_edge.drivers.flex.schema import json_schema

    _print_json(json_schema())


def _sums(flex: Row) -> Iterable[tuple[str, str]]:
    links = f"{flex['peers_up']} up, {flex['peers_down']} down"
    down = [peer["node"] for peer in flex["peers"] if not peer["up"]]
    yield "Part", f"{flex['part']} {flex['manager']} {flex['provider']}"
    yield "Links", links + (f": {', '.join(down)}" if down else "")
    yield "Appliances", _counts(flex["lives"])
    yield "Offers", _counts(flex["offers"])
    yield "Selections", _counts(flex["selections"])
    yield "Goal", flex["goal"]["text"] if flex["goal"] else "none"
    yield "Last plan", flex["plan"]["text"] if flex["plan"] else "none"
    delivered = "not measured here" if flex["delivered_w"] is None else watts(flex["delivered_w"])
    yield "Runs under a selection", f"{delivered} of {watts(flex['promised_w'])} promised"
    yield "Change promised", f"{flex['asked_wh']:,} Wh, of it delivered {flex['credited_wh']:,} Wh"
    yield "Overridden", _counts(flex["overrides"])
    yield "Fail-safe entries", f"{flex['failsafe_entries']:,}"
    yield "Refused", _counts(flex["refused"])


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in found.items() if n) or "none"


def _list(daemon: Asking, answer: Row, name: str) -> list[Row]:
    rows = answer.get(name)
    if not isinstance(rows, list):
        raise daemon.foreign(f"there is no list of {name}")
    return rows


def _show(rows: list[Row], columns: dict[str, Callable[[Row], str]], title: str, empty: str) -> None:
    out = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=False)
    for name in columns:
        out.add_column(name, overflow="fold")
    for row in rows:
        out.add_row(*(_text(said(row)) for said in columns.values()))
    if not rows:
        out.caption, out.caption_justify = empty, "left"
    _console().print(out)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH_WITHOUT_TERMINAL)
    return console


def _time(iso: str | None) -> str:
    return "–" if iso is None else iso[:19].replace("T", " ")


def _print_json(answer: object) -> None:
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")


def _text(words: str, style: str = "") -> Text:
    """Text as it is: neither markup nor control sequences of what a peer said reach the terminal."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words), style=style)
