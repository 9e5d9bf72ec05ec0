"""The codec gives every value of the model back, always writes the same bytes, and says where a fault lies."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from scowl_edge.model import batch, command, effect, event, site, tick
from scowl_edge.model.batch import Batch
from scowl_edge.model.codec import CodecError, decode, digest, encode
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.effect import Effect, Inputs, Plan, Read
from scowl_edge.model.event import Event, LinkChanged, Order, Outcome, Stopping
from scowl_edge.model.reason import Reason
from scowl_edge.model.site import Site
from scowl_edge.model.tick import Tick

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for a type hint, written without the codec's own reading of hints."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return st.booleans()
    if hint is int:
        return INT64
    if hint is str:
        return TEXT
    if hint is bytes:
        return st.binary(max_size=8)
    if hint is None or hint is type(None):
        return st.none()
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values(a) for a in args])
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(a) for a in args])
    if origin is np.ndarray:
        return hnp.arrays(np.dtype(typing.get_args(args[1])[0]), st.integers(0, 4))
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    hints = typing.get_type_hints(hint)
    names = hint._fields if hasattr(hint, "_fields") else [f.name for f in dataclasses.fields(hint)]
    drawn = {n: values(hints[n]) for n in names}
    if hint is Batch:
        # It refuses what its fields cannot hold; 64 bits without a sign are more than the codec has.
        drawn |= {"population": st.integers(0, 2**16 - 1), "sender": st.integers(0, 2**32 - 1)}
        drawn |= {"sequence": st.integers(0, 2**63 - 1)}
    return st.builds(hint, **drawn)


def same(a: object, b: object) -> bool:
    """Equality in type and value; arrays too, for which `==` is not one answer."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


MODEL_TYPES = [
    kind
    for module in (event, effect, command, tick, site, batch)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"))
]


def test_all_the_models_types_are_meant() -> None:
    assert {Outcome, Inputs, Plan, CommandId, Tick, Site, Order, command.Command} <= set(MODEL_TYPES)


@pytest.mark.parametrize("kind", MODEL_TYPES, ids=lambda k: k.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_every_value_of_the_model_comes_back(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    first = encode(value)
    back = decode(kind, first)
    assert same(value, back)
    assert encode(back) == first


@pytest.mark.parametrize("union", [Event, Effect, Event | None], ids=["event", "effect", "optional"])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_member_of_a_union_comes_back_as_its_own_class(union: Any, data: st.DataObject) -> None:
    value = data.draw(values(union))
    assert same(value, decode(union, encode(value, union)))


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Pair(NamedTuple):
    left: int
    right: str


@dataclass(slots=True)
class Row:
    amount_w: int
    pair: Pair
    why: Reason | None


@dataclass(slots=True)
class State:
    numbers: list[int]
    rows: dict[int, Row]
    by_name: dict[str, Row]
    by_colour: dict[Colour, int]
    by_level: dict[Level, list[tuple[int, bool]]]
    column: NDArray[np.int64]
    table: NDArray[np.int16]
    flags: NDArray[np.bool_]
    level: Level
    pending: list[Effect]


@dataclass
class Loose:
    """Without slots: more may be set on an instance than is declared."""

    a: int
    b: list[Row]


@dataclass(slots=True)
class Node:
    name: str
    below: list[Node]


@dataclass(slots=True)
class Holder:
    event: Event


@dataclass(slots=True)
class Floating:
    power_kw: float


@dataclass(slots=True)
class FloatColumn:
    column: NDArray[np.float64]


@dataclass(slots=True)
class Hidden:
    _hidden: int


@dataclass(slots=True)
class Muddle:
    x: int | Row


def a_state() -> State:
    row = Row(5, Pair(1, "x"), Reason("r", (1, "y")))
    return State(
        numbers=[3, -(2**63), 2**63 - 1],
        rows={10: row, 9: row, -1: Row(0, Pair(0, ""), None)},
        by_name={"b": row, "a": row},
        by_colour={Colour.RED: 1, Colour.BLUE: 2},
        by_level={Level.HIGH: [(1, True)], Level.LOW: []},
        column=np.arange(10, dtype=np.int64)[::2],
        table=np.array([[1, 2], [3, -4]], np.int16),
        flags=np.array([True, False]),
        level=Level.HIGH,
        pending=[Read((1, 2), 3)],
    )


def test_state_of_every_shape_comes_back() -> None:
    state = a_state()
    back = decode(State, encode(state))
    assert same(state, back)
    back.column[0] = 7
    assert encode(back) != encode(state)


def test_the_order_in_which_a_dict_was_filled_does_not_show() -> None:
    one, other = a_state(), a_state()
    other.rows = dict(reversed(other.rows.items()))
    other.by_name = dict(reversed(other.by_name.items()))
    assert list(one.rows) != list(other.rows)
    assert encode(one) == encode(other)
    assert encode(one.by_name) == encode(other.by_name)


def test_a_class_that_holds_itself_comes_back() -> None:
    tree = Node("a", [Node("b", []), Node("c", [Node("d", [])])])
    assert decode(Node, encode(tree)) == tree


def test_what_was_set_on_an_instance_but_not_declared_is_not_written() -> None:
    loose = Loose(1, [])
    plain = encode(loose)
    loose.extra = 2  # type: ignore[attr-defined]
    assert encode(loose) == plain == b'{"a":1,"b":[]}'


def test_records_inside_an_untyped_list_are_written_as_by_themselves() -> None:
    stop = Holder(Stopping(why="x"))
    assert encode([stop, [1]]) == b"[" + encode(stop) + b",[1]]"
    assert encode(stop) == b'{"event":{"Stopping":{"why":"x"}}}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Floating(1.5), "float"),
        (Floating(3), "float"),
        (FloatColumn(np.zeros(1)), "float"),
        (Row(1.0, Pair(0, ""), None), r"encode Row at \$.amount_w: a float"),
        ([1, {"a": 2.5}], r"encode list at \$\[1\].a: a float"),
        (2**64, "64-bit"),
        ({1, 2}, "builtins.set has no canonical form"),
        ([{1, 2}], "builtins.set has no canonical form"),
        (Hidden(1), "begin with _"),
        (Muddle(1), None),
        ("\ud800", "encode str"),
        (Holder(Row(0, Pair(0, ""), None)), "encode Holder at event: expected one of Outcome, "),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any, text: str | None) -> None:
    if text is None:
        with pytest.raises(CodecError, match="cannot be told apart"):
            decode(type(value), b'{"x":1}')
        return
    with pytest.raises(CodecError, match=text):
        encode(value)


def test_text_that_looks_like_a_float_is_no_float() -> None:
    assert decode(Stopping, encode(Stopping(why="a:1.5e3,2.5"))) == Stopping(why="a:1.5e3,2.5")


@pytest.mark.parametrize(
    ("type_", "data", "text"),
    [
        (Tick, b"{", "decode Tick: not JSON"),
        (Tick, b"[]", r"decode Tick: expected an object \(Tick\), found list \[\]"),
        (Stopping, b"{}", "decode Stopping: field 'why' of Stopping is missing"),
        (Stopping, b'{"why":"x","when":1}', "decode Stopping: Stopping has no field 'when'"),
        (Stopping, b'{"why":1}', "decode Stopping at why: expected str, found int 1"),
        (Event, b'{"Sunrise":{}}', "unknown tag 'Sunrise'; known are Outcome, LinkChanged"),
        (Event, b'{"Stopping":{}}', "at Stopping: field 'why'"),
        (Event, b"3", "expected an object with one of the keys"),
        (list[Event], b'[{"Stopping":{"why":"x"}},{"Stopping":{"why":null}}]', r"at \[1\].Stopping.why: expected str"),
        (dict[int, int], b'{"1":1,"x":2}', r"at \['x'\]: expected an integer as key"),
        (dict[int, int], b'{"01":1}', "expected an integer as key, found '01'"),
        (dict[str, int], b'{"a":1.5}', r"at \['a'\]: expected int, found float 1.5"),
        (dict[str, int], b"[]", "expected an object"),
        (dict[Colour, int], b'{"green":1}', "expected one of red, blue"),
        (dict[float, int], b"{}", "keys of a dict"),
        (list[int], b"[1,true]", r"at \[1\]: expected int, found bool True"),
        (list[int], b"[18446744073709551616]", r"at \[0\]: expected int, found float"),
        (tuple[int, ...], b"1", "expected a list, found int 1"),
        (tuple[int, int], b"[1]", "expected a list of 2"),
        (tuple[int, str], b"[1,2]", r"at \[1\]: expected str"),
        (CommandId, b'[1,2,"3"]', r"decode CommandId at \[2\]: expected int"),
        (OutcomeKind, b'"lost"', "expected one of acknowledged, rejected.*found str 'lost'"),
        (Level, b"true", "expected one of"),
        (int | None, b'"x"', "expected int"),
        (NDArray[np.uint8], b"[1,256]", r"at \[1\]: 256 does not fit uint8"),
        (NDArray[np.int32], b"[-2147483649]", "does not fit int32"),
        (NDArray[np.int64], b"[1,2.0]", r"at \[1\]: expected int64, found float 2.0"),
        (NDArray[np.int64], b"[[1],[true]]", r"at \[1\]\[0\]: expected int64"),
        (NDArray[np.int64], b"[[1],[1,2]]", "rows of different lengths"),
        (NDArray[np.bool_], b"[1]", "expected bool"),
        (NDArray[np.float64], b"[]", "float64 has no canonical form"),
        (Colour | Level, b"1", "cannot be told apart"),
        (bytes, b"1", "expected bytes as hexadecimal digits"),
        (bytes, b'"A0"', "expected bytes as hexadecimal digits, found str 'A0'"),
        (complex, b"1", "has no canonical form"),
        ("Tick", b"1", "the hint 'Tick' is text; resolve it"),
    ],
)
def test_a_fault_in_the_bytes_names_its_place(type_: Any, data: bytes, text: str) -> None:
    with pytest.raises(CodecError, match=text):
        decode(type_, data)


def test_the_path_goes_all_the_way_down() -> None:
    good = encode(LinkChanged(link="a", device="", up=True, at_ms=1, cause=""))
    bad = b'{"tick":' + encode(Tick(step=1, mono_ms=2, utc_ms=3, utc_ok=True, journal_ok=True, move_budget=0))
    bad += b',"signals":[],"value":[],"quality":[],"received_ms":[],"events":[{"LinkChanged":%s}],"batches":[]}'
    decode(Inputs, bad % good)
    with pytest.raises(
        CodecError, match=r"decode Inputs at events\[0\].LinkChanged.at_ms: expected int, found str '1'"
    ):
        decode(Inputs, bad % good.replace(b'"at_ms":1', b'"at_ms":"1"'))


def test_a_digest_is_sixteen_hex_digits_and_tells_bytes_apart() -> None:
    assert digest(b"") == "e4a6a0577479b2b4"
    assert len({digest(bytes([i])) for i in range(256)}) == 256
