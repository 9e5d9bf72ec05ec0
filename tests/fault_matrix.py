"""Writes docs/faults.md: what each fault does on each kind of link, from the declarations that the tests assert.

The Modbus columns come from `integration/faults/modbus_cells.py`. OPC-UA's are read off the tests themselves: the
causes that a cell names and the requests in which it must recover are what stands in its code. With `--check` nothing
is written; the exit code is 1 if the page is stale.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parent
sys.path.insert(0, str(_TESTS / "integration" / "faults"))

from modbus_cells import CELLS, COLUMNS, EMPTY, Cell, Course  # noqa: E402

from scowl_edge.model.signal import Cause  # noqa: E402

PAGE = _TESTS.parent / "docs" / "faults.md"
OPCUA = _TESTS / "integration" / "opcua" / "test_opcua_matrix.py"
_OPCUA_NUMBERS = OPCUA.with_name("opcua_matrix_site.py")
MODBUS = _TESTS / "integration" / "faults" / "test_modbus_matrix.py"
_HEAD = """\
# What each fault does on each link

*Written by `make faults` from what the tests assert; do not edit.*

Every cell is a test that does the fault to a device, and demands four things:

1. **It was done.** The simulated device (the server, or a proxy before it) counts how often it struck.
2. **It is seen as what it is.** The points get the quality in the table, for a cause that stands there and no other.
3. **It is left behind.** Modbus: after so many polls from the end of the fault, the last of them good, at the latest.
   A unit that does not answer on a link with others is asked ever more seldom; there it counts from its next probe
   on, whose latest time `scowl-edge check --cost` prints. OPC-UA: after so many requests, those that open a session
   included.
4. **No value is wrong.** Each good value is one that the device itself answered for just these registers between the
   request and its reply (OPC-UA: that its node held by then). Registers of the simulated devices tell which address
   they have and which request they answer, so that no wrong one can look right.

"shared" marks cells that are shown beside a healthy unit on the same link too, none of whose values was bad.
Words in `code` are keys of the [configuration](configuration.md), causes, or [states of a command](writing.md). What
every fault is made of, and how to do it yourself, stands in [simulator.md](simulator.md).
"""
_LIMITS = """\
## What cannot be seen

- **A converter that numbers wrongly.** A gateway between Modbus TCP and a serial line that puts the number of the
  present request on a late reply to another one, of the same unit, function and length: from the network side it
  looks right. If a gateway is known for that, use it as a plain converter (`modbus-rtu-tcp`), where each reply is
  proven.
- **A unit on a serial line that knows no check.** After a time-out it is left alone for `late`. If it keeps a reply
  for longer than that and sends it then, it is taken, unless it is caught by what came before. Give such a unit a
  `canary`.
- **A scale factor too far from its value for one reply** that changes twice between two requests, see
  [reading.md](reading.md).
"""
ROWS = {
    "delay": "Each answer comes late, but within the time-out.",
    "jitter": "The same, each by another time.",
    "loss": "Requests or their answers are lost; nothing comes.",
    "half-open": "The connection seems to be there, but nothing is ever answered on it again, as when a router has "
    "forgotten it. Only a new one helps.",
    "reset": "The other side ends the connection in the middle of a request; a serial adapter is unplugged.",
    "truncation": "Answers are cut in the middle. The rest never comes, or right before the next answer.",
    "byte-wise": "Answers come byte by byte.",
    "duplicate": "Each answer comes twice.",
    "late": "Answers come after the time-out, when something else may be under way.",
    "shifted": "Each request gets the answer to the one before it: the field's oldest way to wrong values.",
    "wrong-id": "Answers come with the number of another request, or in the name of another unit.",
    "busy": "The device says that it is busy.",
    "gateway": "A gateway says that it cannot reach the device.",
    "ack-not-applied": "A write is acknowledged, and nothing changes.",
    "echo-without-effect": "A write is acknowledged, the register shows it, and the machine goes on as before.",
    "revert": "What was written returns to its former value after a while.",
    "second-master": "Somebody else writes another value to the same register, again and again.",
    "moving-scale-factor": "The device changes a scale factor and the raw value with it.",
    "stuck": "A measured value does not change any more.",
    "jumping": "A value is far off, for one reading.",
    "certificate-expiry": "A certificate of the link has ended.",
    "clock-jump": "The device's clock is decades off.",
    "pace": "Bytes take the time that they take on a line of 9600 baud.",
}
_OPCUA_DONE = {
    "delay": "waited for, up to `timeout`",
    "jitter": "waited for, up to `timeout`",
    "loss": "a number in the stream is missing: nothing behind it is believed, the session is opened anew",
    "half-open": "given up after `timeout`; the session is opened anew",
    "reset": "a new session, at once the first time",
    "truncation": "half a message is never taken; a new session",
    "byte-wise": "put together; values only when the message is whole",
    "duplicate": "the number of the second was there before: a new session",
    "late": "answers a request that was given up: dropped; the session goes on",
    "shifted": "the answer names another request: not believed",
    "wrong-id": "another number: a new session; another name of the request: not believed",
    "busy": "an answer: asked at the usual pace, the session goes on",
    "gateway": "of a device: it counts as down; of the whole server: the link does",
    "ack-not-applied": "acknowledged, then read: what is shown is what the node holds",
    "echo-without-effect": "what is written is shown as written, what is measured as measured",
    "revert": "the subscription tells it as it happens",
    "second-master": "the other's value is seen as it comes, ours when it is written again",
    "stuck": "uncertain after `stuck_after`; the value stays",
    "jumping": "what moved faster than `max_change` is not believed unless the next value goes on from there",
    "certificate-expiry": "the link is down, the event says that the certificate has expired",
    "clock-jump": "the source's time is handed on as data; a value's age is counted from its arrival",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a row's table: what holds on some links."""

    links: str
    seen: str
    done: str
    recovery: str
    tests: str


class OpcuaColumn:
    """What the tests of OPC-UA assert, read off their source."""

    def __init__(self) -> None:
        tree = ast.parse(OPCUA.read_text(encoding="utf-8"))
        numbers = ast.parse(_OPCUA_NUMBERS.read_text(encoding="utf-8"))
        self._functions = {n.name: n for n in tree.body if isinstance(n, ast.AsyncFunctionDef)}
        self._numbers: dict[str, int] = {}
        for node in numbers.body:
            if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
                with suppress(ValueError):
                    self._numbers[target.id] = ast.literal_eval(node.value)
        self.cells = {
            fault: function.id for fault, function in self._table(tree, "CELLS") if isinstance(function, ast.Name)
        }
        self.empty = {fault: str(ast.literal_eval(reason)) for fault, reason in self._table(tree, "EMPTY")}

    @staticmethod
    def _table(tree: ast.Module, name: str) -> Iterator[tuple[str, ast.expr]]:
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and target.id == name:
                table = node.value  # type: ignore[attr-defined]
                assert isinstance(table, ast.Dict)
                for key, value in zip(table.keys, table.values, strict=True):
                    yield ast.literal_eval(key), value  # type: ignore[arg-type]

    def causes(self, fault: str) -> list[Cause]:
        """Causes that the cell names, in their order."""
        inside = ast.walk(self._functions[self.cells[fault]])
        named = {n.attr for n in inside if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "Cause"}
        return [cause for cause in Cause if cause.name in named]

    def requests(self, fault: str) -> int:
        """Requests by which the cell must have recovered; 0 where it waits for the next value instead."""
        found = [0]
        for node in ast.walk(self._functions[self.cells[fault]]):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "recovers":
                (bound,) = node.args
                found.append(self._numbers[bound.id] if isinstance(bound, ast.Name) else ast.literal_eval(bound))
        return max(found)


def _quality(causes: Sequence[Cause]) -> str:
    if not causes:
        return "good"
    names = ", ".join(f"`{cause.name.lower()}`" for cause in causes)
    return f"{'uncertain' if list(causes) == [Cause.STUCK] else 'bad'}: {names}"


def _seen(cell: Cell) -> str:
    if cell.course is Course.GOOD and cell.causes:
        return f"good, or {_quality(cell.causes)}"
    return _quality(cell.causes)


def _polls(cell: Cell) -> str:
    after = ", from the order to try again on" if cell.course is Course.WRITTEN else ""
    return f"{cell.polls} polls{after}{', shared' if cell.shared else ''}"


def lines(fault: str, opcua: OpcuaColumn) -> Iterator[Line]:
    """The lines of one row; links on which all is the same share one."""
    of_cell: dict[int, list[str]] = {}
    for column in COLUMNS:
        if (fault, column) in CELLS:
            of_cell.setdefault(id(CELLS[fault, column]), []).append(column)
    for columns in of_cell.values():
        cell = CELLS[fault, columns[0]]
        links = ", ".join(COLUMNS[column] for column in columns)
        tests = ", ".join(f"`{column}-{fault}`" for column in columns)
        yield Line(links, _seen(cell), cell.done, _polls(cell), tests)
    reasons: dict[str, list[str]] = {}
    for column in COLUMNS:
        if (fault, column) in EMPTY:
            reasons.setdefault(EMPTY[fault, column], []).append(COLUMNS[column])
    for reason, names in reasons.items():
        yield Line(", ".join(names), "none", reason, "", "")
    if fault in opcua.cells:
        requests = opcua.requests(fault)
        recovery = f"{requests} requests" if requests else "the next value"
        yield Line("OPC-UA", _quality(opcua.causes(fault)), _OPCUA_DONE[fault], recovery, f"`{fault}`")
    else:
        yield Line("OPC-UA", "none", opcua.empty[fault], "", "")


def _overview(opcua: OpcuaColumn) -> Iterator[str]:
    yield f"| Fault | {' | '.join(COLUMNS.values())} | OPC-UA |"
    yield f"|---|{'---|' * (len(COLUMNS) + 1)}"
    for fault in ROWS:
        cells = [
            f"{_seen(CELLS[fault, column])}; {CELLS[fault, column].polls} polls"
            if (fault, column) in CELLS
            else f"*none: {EMPTY[fault, column]}*"
            for column in COLUMNS
        ]
        if fault in opcua.cells:
            requests = opcua.requests(fault)
            cells.append(f"{_quality(opcua.causes(fault))}; {f'{requests} requests' if requests else 'the next value'}")
        else:
            cells.append(f"*none: {opcua.empty[fault]}*")
        yield f"| [{fault}](#{fault}) | {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    opcua = OpcuaColumn()
    root = _TESTS.parent
    text = [_HEAD, "## All at once", "", *_overview(opcua), "", _LIMITS, "## Fault by fault", ""]
    text.append(
        f"Tests are called by their ids: of Modbus `{MODBUS.relative_to(root)}::test_cell[ID]`, "
        f"of OPC-UA `{OPCUA.relative_to(root)}::test_cell[ID]`."
    )
    for fault, words in ROWS.items():
        text += ["", f"### {fault}", "", words, "", "| Links | Points | What the daemon does | Recovery | Tests |"]
        text.append("|---|---|---|---|---|")
        text += [f"| {r.links} | {r.seen} | {r.done} | {r.recovery} | {r.tests} |" for r in lines(fault, opcua)]
    return "\n".join(text) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Writes the page; with `--check` only compares, and returns 1 when it is stale."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        print(f"docs/{PAGE.name} is stale: run make faults", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
