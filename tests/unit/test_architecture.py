"""The arrows between the rooms of the house, and the purity of those that decide: read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("scowl_edge", "simulators", "bench")

ROOMS = (
    "scowl_edge.model",
    "scowl_edge.capacity",
    "scowl_edge.compiled",
    "scowl_edge.kernel_cache",
    "scowl_edge.tracker",
    "scowl_edge.dsr",
    "scowl_edge.market",
    "scowl_edge.ownership",
    "scowl_edge.control",
    "scowl_edge.peer",
    "scowl_edge.devices",
    "scowl_edge.drivers",
    "scowl_edge.drivers.modbus",
    "scowl_edge.drivers.opcua",
    "scowl_edge.drivers.flex",
    "scowl_edge.journal",
    "scowl_edge.telemetry",
    "scowl_edge.config",
    "scowl_edge.contracts",
    "scowl_edge.clocks",
    "scowl_edge.inbox",
    "scowl_edge.turn",
    "scowl_edge.loop",
    "scowl_edge.assembly",
    "scowl_edge.web",
    "scowl_edge.metrics",
    "scowl_edge.logs",
    "scowl_edge.journald",
    "scowl_edge.supervision",
    "scowl_edge.notify",
    "scowl_edge.service",
    "scowl_edge.lasting",
    "scowl_edge.open_files",
    "scowl_edge.health",
    "scowl_edge.warming",
    "scowl_edge.worker",
    "scowl_edge.issuing",
    "scowl_edge.flexing",
    "scowl_edge.daemon",
    "scowl_edge.process",
    "scowl_edge.cli",
    "scowl_edge",
    "simulators",
    "simulators.world",
    "bench",
)
"""A module belongs to the room with the longest name that it begins with. `scowl_edge` alone is the version number."""

ARROWS: dict[str, set[str]] = {
    "model": set(),
    "capacity": {"model"},
    "compiled": {"kernel_cache", "model"},
    "kernel_cache": set(),
    "tracker": {"model", "capacity", "compiled"},
    "dsr": {"model", "capacity", "compiled"},
    "market": {"model", "capacity"},
    "ownership": {"model", "capacity"},
    "control": {"model", "capacity", "tracker", "dsr", "market", "ownership"},
    "peer": {"model"},
    "devices": {"model"},
    "drivers": {"model", "devices"},
    "drivers.modbus": {"model", "devices", "drivers"},
    "drivers.opcua": {"model", "devices", "drivers"},
    "drivers.flex": {"model", "devices", "drivers"},
    "journal": {"model"},
    "telemetry": {"model"},
    "config": set(),
    "contracts": {"model"},
    "clocks": set(),
    "inbox": {"model"},
    "turn": {"control", "model", "contracts", "inbox"},
    "loop": {"control", "model", "contracts", "turn", "inbox"},
    "assembly": {
        "compiled",
        "config",
        "devices",
        "drivers",
        "drivers.modbus",
        "drivers.opcua",
        "drivers.flex",
        "control",
        "dsr",
        "model",
    },
    "web": {"model"},
    "metrics": {"model"},
    "logs": {"journald"},
    "journald": set(),
    "supervision": set(),
    "notify": set(),
    "worker": {"contracts", "model"},
    "issuing": set(),
    "flexing": {"assembly", "contracts", "devices", "drivers", "drivers.flex", "inbox", "model"},
    "warming": {"compiled", "notify", "tracker"},
    "service": {"model"},
    "lasting": set(),
    "open_files": set(),
    "simulators": {"control", "dsr", "peer", "devices", "model", "journal", "loop"},
    "simulators.world": {"control", "dsr", "peer", "devices", "model", "journal", "loop", "simulators"},
}
"""The design's table, the loop's parts (contracts, inbox, turn) each on a line of their own."""

BEYOND: dict[tuple[str, str], str] = {
    ("drivers", "contracts"): "a driver keeps the contract that the loop calls it by",
    ("drivers.modbus", "contracts"): "a driver keeps the contract that the loop calls it by",
    ("drivers.flex", "contracts"): "a driver keeps the contract that the loop calls it by",
    ("drivers.opcua", "contracts"): "a driver keeps the contract that the loop calls it by",
    ("journal", "contracts"): "the stores keep the contract that the loop calls them by",
    ("clocks", "contracts"): "the real clock keeps the contract that the loop calls it by",
    ("turn", "journal"): "the form of the records, which a restart reads back; no store",
    ("loop", "journal"): "the form of the record that stands before a stored register's bytes",
    ("config", "model"): "the root of all errors, and nothing else",
    ("metrics", "web"): "what is published: the view, the points, the text format",
    ("simulators", "contracts"): "what it plays on links stands where the daemon's parts stand",
    ("simulators", "drivers.flex"): "appliances speak with the messages and links that any peer uses",
    ("simulators", "issuing"): "certificates for links that it plays",
    ("simulators", "assembly"): "one configuration describes the site and its simulation",
    ("simulators", "config"): "weather and load are read with the same reader, and the same faults",
    ("simulators.world", "assembly"): "a story begins from a configuration, as the daemon does",
    ("simulators.world", "contracts"): "it stands where the drivers stand",
    ("simulators.world", "turn"): "the turn that the loop runs on real clocks, on virtual ones",
    ("simulators.world", "inbox"): "it is filled by the world instead of by drivers",
    (
        "simulators.world",
        "tracker",
    ): "who lives in a population is drawn on both sides; laws are counted in its columns",
    ("simulators.world", "compiled"): "a soak says whether its kernels are compiled",
}
"""Arrows that go beyond the table, each with its reason."""

NARROW: dict[tuple[str, str], set[str]] = {
    ("turn", "journal"): {"scowl_edge.journal.records", "scowl_edge.journal.recovery"},
    ("loop", "journal"): {"scowl_edge.journal.records"},
    ("config", "model"): {"scowl_edge.model.errors"},
    ("metrics", "web"): {"scowl_edge.web.exposition", "scowl_edge.web.points", "scowl_edge.web.published"},
}
"""Where only some modules of the other room may be used."""

KNOW_ALL = ("health", "daemon", "process", "cli", "bench")
"""They wire the rest together, and nobody but those named in CALLED_BY knows them."""

CALLED_BY: dict[str, set[str]] = {
    "health": {"daemon"},
    "daemon": {"process", "cli", "bench"},
    "process": {"cli", "bench"},
    "cli": {"bench"},
    "bench": set(),
}

PURE = ("model", "capacity", "tracker", "dsr", "market", "ownership", "control", "peer")
EXACT = ("capacity", "tracker", "dsr", "market", "ownership", "control", "peer")
"""Pure, and without any float: model also holds what stands at the border (readings, units, text for people)."""

EXACT_MATH = {"isqrt", "gcd"}
"""What `math` has for integers."""
CALM_MODULES = {
    "__future__",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "numpy",
    "struct",
    "numpy.typing",
    "operator",
    "orjson",
    "re",
    "types",
    "typing",
    "zlib",
}
"""All that a pure room may import from outside: none of them sees a clock, a file, a socket, a thread or chance."""

FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint", "id", "hash"}
FORBIDDEN_ATTRIBUTES = {
    "random",
    "now",
    "utcnow",
    "today",
    "fromfile",
    "tofile",
    "load",
    "save",
    "memmap",
    "mean",
    "std",
}


@dataclass(frozen=True)
class Use:
    """One module imports another of ours."""

    module: str
    target: str
    line: int


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    return {module_name(p): p for top in TOPS for p in sorted((ROOT / top).rglob("*.py"))}


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """(imported module, names taken from it, line), those within functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, (), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *([base] if base else [])])
            yield base, tuple(alias.name for alias in node.names), node.lineno


def uses(module: str, text: str, known: set[str], is_package: bool = False) -> list[Use]:
    """Every import of one of our own modules; `from package import module` counts as the module."""
    found = []
    for base, names, line in imports(ast.parse(text), module, is_package):
        if base.split(".")[0] not in TOPS:
            continue
        inner = [f"{base}.{n}" for n in names if f"{base}.{n}" in known]
        found += [Use(module, target, line) for target in inner]
        if len(inner) < len(names) or not names:
            found.append(Use(module, base, line))
    return found


def room(module: str) -> str:
    """Short name of a module's room: `model`, `drivers.modbus`, `simulators.world`, `version` for the bare package."""
    full = max((r for r in ROOMS if module == r or module.startswith(f"{r}.")), key=len)
    return "version" if full == "scowl_edge" else full.removeprefix("scowl_edge.")


def arrow_fault(use: Use) -> str | None:
    """Why an import is not allowed; None if it is."""
    here, there = room(use.module), room(use.target)
    where = f"{use.module}:{use.line} imports {use.target}"
    if here == there or there == "version":
        return None
    if there in KNOW_ALL:
        return None if here in CALLED_BY[there] else f"{where}: nobody but {sorted(CALLED_BY[there])} may know {there}"
    if here in KNOW_ALL:
        return None
    if there not in ARROWS.get(here, set()) and (here, there) not in BEYOND:
        return f"{where}: no arrow goes from {here} to {there}"
    only = NARROW.get((here, there))
    if only is not None and use.target not in only:
        return f"{where}: of {there}, {here} may use only {sorted(only)}"
    return None


def all_uses() -> list[Use]:
    known = sources()
    return [
        use
        for module, path in known.items()
        for use in uses(module, path.read_text(), set(known), path.name == "__init__.py")
    ]


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Each cycle that a depth-first walk meets, as the names on it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> None:
        if node in path:
            found.append([*path[path.index(node) :], node])
            return
        if node in done:
            return
        for other in sorted(edges.get(node, ())):
            walk(other, [*path, node])
        done.add(node)

    for node in sorted(edges):
        walk(node, [])
    return found


def purity_faults(module: str, text: str, *, exact: bool) -> list[str]:
    """What a pure room may not hold."""
    tree, faults = ast.parse(text), []
    for base, names, line in imports(tree, module, False):
        if base == "math" and names and set(names) <= EXACT_MATH:
            continue
        if base.split(".")[0] not in TOPS and base not in CALM_MODULES:
            faults.append(f"{module}:{line} imports {base}")
    for node in ast.walk(tree):
        where = f"{module}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            faults.append(f"{where} calls {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            faults.append(f"{where} uses .{node.attr}")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            faults.append(f"{where} is asynchronous")
        if not exact:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            faults.append(f"{where} holds the float {node.value}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            faults.append(f"{where} divides into a float; use //")
        if isinstance(node, ast.Name) and node.id == "float":
            faults.append(f"{where} names float")
        if isinstance(node, ast.Attribute) and node.attr.startswith(("float", "double", "half", "single")):
            faults.append(f"{where} uses a float array ({node.attr})")
    return faults


def test_every_module_has_a_room_and_every_arrow_is_allowed() -> None:
    assert len(sources()) > 100
    assert [m for m in sources() if room(m) == "version"] == ["scowl_edge"], "give a new module a room and its arrows"
    faults = [fault for use in all_uses() if (fault := arrow_fault(use))]
    assert not faults, "\n".join(faults)


def test_reasons_beyond_the_table_are_still_needed() -> None:
    taken = {(room(use.module), room(use.target)) for use in all_uses()}
    unused = sorted(set(BEYOND) - taken)
    assert not unused, f"take these out of BEYOND: {unused}"


def test_no_room_is_in_a_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for use in all_uses():
        here, there = room(use.module), room(use.target)
        if here != there and there != "version":
            edges.setdefault(here, set()).add(there)
    assert cycles(edges) == []


def test_no_module_is_in_a_cycle() -> None:
    known = sources()
    edges: dict[str, set[str]] = {}
    for use in all_uses():
        if use.module != use.target and known[use.module].name != "__init__.py":
            edges.setdefault(use.module, set()).add(use.target)
    assert cycles(edges) == []


def test_driver_siblings_do_not_know_each_other() -> None:
    packages = sorted(p.name for p in (ROOT / "scowl_edge/drivers").iterdir() if (p / "__init__.py").exists())
    assert packages
    for use in all_uses():
        here, there = use.module.split("."), use.target.split(".")
        if here[:2] == there[:2] == ["scowl_edge", "drivers"] and len(there) > 2 and there[2] in packages:
            assert here[2:3] == there[2:3], f"{use.module}:{use.line} imports {use.target}"


@pytest.mark.parametrize("name", PURE)
def test_rooms_that_decide_are_pure(name: str) -> None:
    faults = [
        fault
        for module, path in sources().items()
        if room(module) == name
        for fault in purity_faults(module, path.read_text(), exact=name in EXACT)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("scowl_edge.model.x", "from scowl_edge.tracker import Need"),
        ("scowl_edge.tracker.x", "def f():\n    import scowl_edge.control.core"),
        ("scowl_edge.tracker.x", "from ..control import Core"),
        ("scowl_edge.dsr.x", "from scowl_edge.tracker import Need"),
        ("scowl_edge.journal.x", "from scowl_edge.control import Core"),
        ("scowl_edge.turn", "from scowl_edge.journal.store import Store"),
        ("scowl_edge.config.x", "from scowl_edge.model.site import Site"),
        ("scowl_edge.loop", "from scowl_edge import daemon"),
        ("scowl_edge.drivers.modbus.x", "from scowl_edge.control import Core"),
        ("simulators.x", "from scowl_edge.drivers.modbus.encoding import decode"),
        ("scowl_edge.daemon", "from scowl_edge.process import run"),
        ("simulators.world.x", "from scowl_edge.process import run"),
        ("scowl_edge.web.x", "from scowl_edge import inbox"),
        ("scowl_edge.control.x", "import bench"),
    ],
)
def test_a_forbidden_arrow_is_found(module: str, text: str) -> None:
    found = uses(module, text, {*sources(), "scowl_edge.control.core"})
    assert any(arrow_fault(use) for use in found), found


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from datetime import datetime",
        "import random",
        "import socket, threading",
        "import asyncio",
        "import math",
        "from pathlib import Path",
        "x = open('f')",
        "print(1)",
        "import numpy as np\nnp.random.default_rng(1)",
        "async def f(): ...",
        "x = 0.5",
        "x = a / b",
        "x /= 2",
        "x = float(a)",
        "import numpy as np\nx = np.zeros(3, np.float64)",
    ],
)
def test_an_impurity_is_found(text: str) -> None:
    assert purity_faults("scowl_edge.tracker.x", text, exact=True)


def test_a_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]
