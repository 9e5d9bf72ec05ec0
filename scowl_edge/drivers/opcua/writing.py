"""Commands: what each writable point needs to know of its server, the value it becomes, and its one way out.

Imported only when a driver connects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asyncua import ua

from scowl_edge.devices.declaration import OpcuaPoint
from scowl_edge.drivers.errors import Refused, Unsendable
from scowl_edge.drivers.opcua.meaning import DATETIME, STRING, TYPE_IDS, TYPE_NAMES, Meaning
from scowl_edge.drivers.opcua.places import Method, Place, Slot
from scowl_edge.drivers.opcua.session import Session, node_id
from scowl_edge.drivers.opcua.statuses import NO_RANGE, is_one_of, refused

_ENUMERATION, _INT32 = 29, TYPE_IDS["int32"]
_DEEPEST_TYPE = 8


@dataclass(frozen=True, slots=True)
class Write:
    """One value, ready to leave."""

    words: str
    node: ua.NodeId
    value: ua.Variant
    index: int
    """Element of an array, -1 where the value is all there is."""
    ranged: bool
    """Whether the server writes a single element."""


@dataclass(frozen=True, slots=True)
class Call:
    """One method call, ready to leave."""

    words: str
    target: ua.NodeId
    method: ua.NodeId
    arguments: list[ua.Variant]


Prepared = Write | Call


async def learn_types(session: Session, places: Sequence[Place], methods: Sequence[Method]) -> None:
    """Asks the server what it holds at places that are written to, and what its methods take."""
    written = [p for p in places if p.node is not None and any("w" in slot.point.access for slot in p.slots)]
    answers = await session.read([p.node for p in written if p.node is not None], attribute=ua.AttributeIds.DataType)
    types = await _built_in(session, [_node(answer) for answer in answers])
    for place, number in zip(written, types, strict=True):
        place.columns.wire_type[place.number] = number or place.wire_type
    await _learn_arguments(session, [method for method in methods if not method.point.type])


async def _learn_arguments(session: Session, methods: Sequence[Method]) -> None:
    asked = [(method, node) for method in methods if (node := node_id(method.method, session.namespaces)) is not None]
    properties = await session.arguments([node for _, node in asked])
    described = [(m, node) for (m, _), node in zip(asked, properties, strict=True) if node is not None]
    for method, _ in asked:
        method.argument, method.known = 0, True
    answers = await session.read([node for _, node in described])
    takes: list[ua.NodeId | None] = []
    for (method, _), answer in zip(described, answers, strict=True):
        arguments = answer.Value.Value if answer.Value is not None else None
        method.known = isinstance(arguments, list) and len(arguments) <= 1
        first = arguments[0] if isinstance(arguments, list) and arguments else None
        takes.append(getattr(first, "DataType", None))  # the library has two classes of that name
    for (method, _), number in zip(described, await _built_in(session, takes), strict=True):
        method.argument = number


def _node(answer: ua.DataValue) -> ua.NodeId | None:
    value = answer.Value.Value if answer.Value is not None else None
    return value if isinstance(value, ua.NodeId) else None


async def _built_in(session: Session, types: Sequence[ua.NodeId | None]) -> list[int]:
    """Numbers of the built-in types below which data types lie; 0 where there is none that a point can have."""
    found: dict[ua.NodeId, int] = {}
    above = {node: node for node in types if node is not None}
    for _ in range(_DEEPEST_TYPE):
        for node, now in above.items():
            if now.NamespaceIndex == 0 and now.Identifier == _ENUMERATION:
                found[node] = _INT32
            elif now.NamespaceIndex == 0 and now.Identifier in TYPE_NAMES:
                found[node] = int(now.Identifier)
        open_ = [(node, now) for node, now in above.items() if node not in found]
        if not open_:
            break
        parents = await session.supertypes([now for _, now in open_])
        above = {node: up for (node, _), up in zip(open_, parents, strict=True) if up is not None}
    return [found.get(node, 0) if node is not None else 0 for node in types]


async def prepare_write(session: Session, place: Place, slot: Slot, value: float) -> Write:
    """The value that is to be written, in exactly the type that the server holds.

    Raises:
        Unsendable: the point takes no such value, or its type is not known.
        DriverError: what must be known of the server first could not be read.
    """
    point = slot.point
    if place.node is None:
        raise Unsendable(f"point {point.name}: the server has no namespace {place.name.uri or place.name.index}")
    number = _agreed(point, slot.type_id, place.wire_type)
    variant = _variant(slot.meaning, value, number)
    if point.index >= 0 and place.ranged is None:
        place.ranged = await _knows_ranges(session, place.node, point.index)
    words = f"write {point.node} ({TYPE_NAMES[number]})"
    return Write(words, place.node, variant, point.index, bool(place.ranged))


async def _knows_ranges(session: Session, node: ua.NodeId, index: int) -> bool:
    """A server that overlooks an index range would let one element stand for the whole array: it shows when reading."""
    (answer,) = await session.read([node], index_range=str(index))
    part = answer.Value.Value if answer.Value is not None else None
    (answer,) = await session.read([node])
    whole = answer.Value.Value if answer.Value is not None else None
    return isinstance(part, list) and isinstance(whole, list) and len(part) == 1 < len(whole)


def prepare_call(session: Session, method: Method, value: float) -> Call:
    """The call that a write to a method's point is.

    Raises:
        Unsendable: the method takes no such value, or its argument is not known.
    """
    point = method.point
    target, node = node_id(method.target, session.namespaces), node_id(method.method, session.namespaces)
    if target is None or node is None:
        raise Unsendable(f"point {point.name}: the server lacks the namespace of {point.node} or {point.method}")
    arguments = []
    if method.argument:
        arguments = [_variant(method.meaning, value, method.argument)]
    elif not method.known:
        raise Unsendable(f"point {point.name}: what {point.method} takes is not one number; set `type`, or none")
    return Call(f"call {point.method} of {point.node}", target, node, arguments)


def _agreed(point: OpcuaPoint, configured: int, held: int) -> int:
    if configured and held and configured != held:
        name = TYPE_NAMES[held]
        raise Unsendable(f"point {point.name}: the server holds a {name} there; set `type: {name}` or leave it out")
    number = held or configured
    if not number:
        raise Unsendable(f"point {point.name}: the server does not say what type {point.node} has; set `type`")
    if number == STRING:
        raise Unsendable(f"point {point.name} is a string; only numbers are written")
    return number


def _variant(meaning: Meaning, value: float, number: int) -> ua.Variant:
    raw = meaning.raw(value, number)
    held = datetime.fromtimestamp(raw, UTC) if number == DATETIME else raw
    return ua.Variant(held, ua.VariantType(number))


async def send(session: Session, prepared: Prepared) -> None:
    """Sends it once; returns when the server has taken it.

    Raises:
        Refused: with the name of the status.
        DriverError: anything else.
    """
    if isinstance(prepared, Call):
        code = await session.call(prepared.words, prepared.target, prepared.method, prepared.arguments)
    elif prepared.index < 0:
        code = await session.write(prepared.words, prepared.node, prepared.value)
    else:
        code = await _send_element(session, prepared)
    if code >> 30 >= 2:
        error = refused(code)
        error.what = prepared.words
        raise error


async def _send_element(session: Session, write: Write) -> int:
    """By index range; else read, change, write: then another client's change between the two would be lost."""
    kind = write.value.VariantType
    code = 0
    if write.ranged:
        element = ua.Variant([write.value.Value], kind, is_array=True)
        code = await session.write(write.words, write.node, element, index_range=str(write.index))
        if not is_one_of(code, NO_RANGE):
            return code
    (answer,) = await session.read([write.node])
    values = answer.Value.Value if answer.Value is not None else None
    if not isinstance(values, list) or write.index >= len(values):
        raise Refused(f"no array with an element {write.index} is there", code=code)
    changed = [*values[: write.index], write.value.Value, *values[write.index + 1 :]]
    return await session.write(write.words, write.node, ua.Variant(changed, kind, is_array=True))
