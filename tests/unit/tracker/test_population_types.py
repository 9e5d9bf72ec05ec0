"""Compiled equals uncompiled: what types the compiler has found in each kernel.

Uncompiled, an `int` has as many bits as it needs. Compiled, results are the same where every value has 64 bits and a
sign. So no float and no unsigned sum may turn up in a kernel, nothing narrow may be negated, and nothing that comes out
of a narrow array may be counted with before `int(...)`, which is where the uncompiled ones would overflow.
"""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest

from scowl_edge.compiled import COMPILED, inner_kernel, kernel
from scowl_edge.tracker.population.warm import warm

pytestmark = pytest.mark.skipif(not COMPILED, reason="kernels are not compiled: the extra `scale` is not installed")

PACKAGE = "scowl_edge.tracker.population"
MEANT = {
    "noise._hash": "32 random bits: shifts and exclusive-or of np.uint32, cut to 32 bits after each",
    "noise._byte_sum": "the four bytes of such bits, each masked, which makes it signed",
}
"""Kernels that count with unsigned values on purpose, and why they come out the same."""

STATEMENT = re.compile(r"^\s*#   (\S+) = (.*)  :: (.*)$")
LINE = re.compile(r"# --- LINE (\d+) ---")
WRITTEN = re.compile(r"^(\S+) (\+|-|\*|//|/|%|\*\*|<<|>>) (\S+)$")
IN_WORDS = re.compile(
    r"^(?:unary|inplace_binop|binop)\(fn=<built-in function (\w+)>.*?(?:value|lhs)=([^,)]+)(?:, rhs=([^,)]+))?"
)
ELEMENT = re.compile(r"^(?:static_)?getitem\(value=([^,]+),")
CALL = re.compile(r"^call (\S+)\((.*?), func=")
BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32}
NEVER_TOO_LARGE = {"and_", "or_", "xor", "iand", "ior", "ixor", "not_"}


class Reading:
    """One kernel as the compiler prints it, statement by statement with the types; `faults` is what is wrong."""

    def __init__(self, annotation: str) -> None:
        self.faults: list[tuple[int, str]] = []
        """(line, what is wrong)"""
        self._types: dict[str, str] = {}
        self._functions: dict[str, str] = {}
        self._elements: set[str] = set()
        """Names of what was read from a narrow array and not yet widened."""
        self._cuts: set[str] = set()
        """Names of what was made narrow on purpose, by `np.int32(...)` or the like."""
        self._uncut: dict[str, tuple[int, str, str]] = {}
        """Results with such, until they are cut again: line, type, what is wrong if they are not."""
        self._line = self.statements = 0
        for text in annotation.splitlines():
            if found := LINE.search(text):
                self._line = int(found[1])
            if statement := STATEMENT.match(text):
                self._read(*statement.groups())
        self.faults += [(line, what) for line, _, what in self._uncut.values()]

    def _read(self, name: str, value: str, kind: str) -> None:
        self.statements += 1
        self._types[name] = kind.rsplit(" -> ", 1)[-1]
        if "float" in kind or "complex" in kind:
            self._fault(f"{name} = {value[:60]} is {kind}")
        if kind.startswith(("Function(", "type(", "class(")):
            self._functions[name] = f"{value} {kind}"
        element = ELEMENT.match(value)
        array = element is not None and self._types.get(element[1], "").startswith("array")
        if kind in BITS and (array or value.startswith("pair_first")):
            self._elements.add(name)
        for names in (self._elements, self._cuts):
            if value in names:
                names.add(name)
        if call := CALL.match(value):
            self._call(name, self._functions.get(call[1], ""), [a.strip() for a in call[2].split(",")], kind)
        elif written := WRITTEN.match(value):
            self._arithmetic(name, value, written[2], [written[1], written[3]], kind)
        elif (words := IN_WORDS.match(value)) and words[1] not in NEVER_TOO_LARGE:
            self._arithmetic(name, value, words[1], [n for n in words.groups()[1:] if n], kind)

    def _call(self, name: str, function: str, arguments: list[str], kind: str) -> None:
        taken, given = (part.strip("(,)") for part in kind.rsplit(" -> ", 1))
        if "function abs>" in function and taken in BITS:
            self._fault(f"abs of {taken}")
        if "Dispatcher" in function:
            for argument in arguments:
                if argument in self._elements:
                    self._fault(f"{argument} is given to {function[:40]} before int(...)")
        if "class(" in function and given in BITS:
            self._cuts.add(name)
            for argument in arguments:
                if argument in self._uncut and BITS[given] <= BITS[self._uncut[argument][1]]:
                    del self._uncut[argument]

    def _arithmetic(self, name: str, value: str, operator: str, operands: list[str], kind: str) -> None:
        said = re.sub(r"inplace_binop.*lhs=", "lhs=", value)[:80]
        if kind == "uint64":
            self._fault(f"unsigned: {said}")
        if operator in ("neg", "invert") and self._types.get(operands[0]) in BITS:
            self._fault(f"{operator} of {self._types[operands[0]]}: {said}")
        for n, operand in enumerate(operands):
            # x[i] += 1 is cut where it is stored, compiled or not.
            stored = n == 0 and value.startswith("inplace_binop") and operand.startswith("$")
            if operand in self._elements and not stored:
                self._fault(f"{operand} is {self._types[operand]} and not widened: {said}")
            elif operand in self._cuts and operator not in (">>", "//", "%"):
                self._uncut[name] = self._line, self._types[operand], f"{operand} was cut, the result is not: {said}"

    def _fault(self, what: str) -> None:
        self.faults.append((self._line, what))


def kernels() -> dict[str, Any]:
    """All kernels by module and name."""
    found = {}
    for module in iter_modules(import_module(PACKAGE).__path__):
        for value in vars(import_module(f"{PACKAGE}.{module.name}")).values():
            if hasattr(value, "nopython_signatures") and value.__module__ == f"{PACKAGE}.{module.name}":
                found[f"{module.name}.{value.__name__}"] = value
    return found


def readings(dispatcher: Any) -> list[Reading]:
    """Of all that one kernel was compiled for, in this process or an earlier one."""
    overloads = list(dispatcher.overloads.values())
    if not overloads:
        # One that was loaded as a part of its callers: its own file holds what the compiler said of it.
        file = dispatcher._cache._cache_file
        said = [part for kept in file._load_index().values() for part in file._load_data(kept)]
        return [Reading(part) for part in said if isinstance(part, str) and part.startswith("# File")]
    return [Reading(str(overload.type_annotation)) for overload in overloads]


NOT_IN_A_STEP = (
    "sheds.recount", "hindsight.", "assign.sum_blocks", "noise._advance_some", "storage_cuts.forget_orders",
    "stores.measure", "stores.rehome",
)  # fmt: skip
"""Kernels that no step of a population calls. They are read here where their own tests have compiled them before."""


def test_compiled_nothing_can_come_out_otherwise_than_uncompiled() -> None:
    warm()
    unread, wrong = [], []
    for name, dispatcher in kernels().items():
        read = readings(dispatcher)
        if not read and not name.startswith(NOT_IN_A_STEP):
            unread.append(name)
        wrong += [f"{name}, line {n}: {what}" for r in read for n, what in r.faults if name not in MEANT]
        assert all(r.statements for r in read), name
    assert not wrong, "\n".join(sorted(set(wrong)))
    assert not unread, "warm() calls none of these, so a step would compile them"


def test_a_kernel_is_compiled_once_whatever_it_is_called_with() -> None:
    double = kernel(lambda number: number + number)
    arguments = (2**40, np.int8(127), np.uint8(200), np.int16(-32_768), np.int32(2**31 - 1))
    for argument in arguments:
        assert double(argument) == 2 * int(argument)
    calling = kernel(lambda numbers: double(numbers[0]) + double(0) + double(True))
    assert calling(np.full(1, -128, np.int8)) == -254
    assert len(double.nopython_signatures) == 2, "integers, and what is true or false"


@inner_kernel
def _kept(number: int) -> int:
    return number


PLANTED: dict[str, Any] = {
    "abs of int16": lambda a, u: abs(int(a[0])),
    "neg of int16": lambda a, u: -int(a[0]),
    "neg of uint16": lambda a, u: -int(u[0]),
    "unsigned": lambda a, u: int(u[0]) - int(u[1]),
    "unsigned: $": lambda a, u: int(u[0]) >> 1,
    "is float64": lambda a, u: (int(u[0]) + int(u[1])) if len(a) > 2 else len(a),
    "float64": lambda a, u: int(a[0]) / 2,
    "int16 and not widened": lambda a, u: a[0] + 1,
    "before int(...)": lambda a, u: _kept(a[0]),
    "the result is not": lambda a, u: np.int16(a[0]) + np.int16(a[1]),
}
FINE: tuple[Any, ...] = (
    lambda a, u: abs(0 + int(a[0])) + (0 - int(a[0])) + _kept(int(a[0])),
    lambda a, u: 0 + int(u[0]) - int(u[1]),
    lambda a, u: a[0] == u[1] and min(a[0], a[1]) > 3,
    lambda a, u: np.int16(np.int16(a[0]) + np.int16(a[1])),
)


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_fault_is_found(what: str) -> None:
    assert any(what in said for _, said in read_anew(PLANTED[what]).faults)


@pytest.mark.parametrize("right", FINE)
def test_what_is_right_is_not_objected_to(right: Any) -> None:
    assert not read_anew(right).faults


def read_anew(function: Any) -> Reading:
    """A function of an int16 and a uint16 array, as a kernel."""
    made = kernel(function)
    made(np.array([5, -2], np.int16), np.array([3, 65_535], np.uint16))
    (read,) = readings(made)
    assert read.statements
    return read
