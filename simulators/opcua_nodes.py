"""Which nodes a simulated OPC-UA server has, from the declarations of its links: pure, without the library."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from scowl_edge.devices.declaration import OpcuaDevice, OpcuaPoint
from simulators.binding import Behind, Bindings
from simulators.opcua_values import Raw, encode, type_of
from simulators.plant import Plant, SimulationError

STANDARD_URI = "http://opcfoundation.org/UA/"
_NODE = re.compile(r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]*);)?(?P<identifier>[isgb]=.*)", re.DOTALL)
_MOST_NAMESPACES = 1000
_BLANKS: dict[str, Raw] = {"string": "", "boolean": False, "datetime": datetime(1970, 1, 1, tzinfo=UTC)}
"""What stands in a place of an array that no point names, where that is not 0."""


@dataclass(frozen=True, slots=True)
class Address:
    """A NodeId as a configuration writes it."""

    namespace: int | str
    """Index, or URI."""
    identifier: str
    """`s=Hall/Power`, `i=85`, ..."""


def address_of(text: str) -> Address:
    """Takes `ns=2;s=A`, `nsu=urn:x;s=A` or `i=85` apart.

    Raises:
        SimulationError: it is none of these.
    """
    found = _NODE.fullmatch(text)
    if found is None or int(found["index"] or 0) > _MOST_NAMESPACES:
        raise SimulationError(f"{text!r} is no NodeId; write e.g. ns=2;s=Hall/Power or nsu=urn:site;s=Hall/Power")
    if found["uri"] is not None:
        return Address(0 if found["uri"] == STANDARD_URI else found["uri"], found["identifier"])
    return Address(int(found["index"] or 0), found["identifier"])


@dataclass(frozen=True, slots=True)
class Element:
    """One point within a variable."""

    point: OpcuaPoint
    behind: Behind


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable node: a scalar that one point shows, or an array whose elements points show."""

    address: Address
    device: str
    """Below whose object it lies."""
    type: str
    """One of OPCUA_TYPES."""
    length: int
    """Elements of the array; -1 = a scalar."""
    elements: dict[int, Element]
    """By place in the array; a scalar has one at -1. Places that no point names hold 0."""
    poll_ms: int
    """The shortest period in which anybody wants to see it."""

    @property
    def readable(self) -> bool:
        """Whether any of its points may be read."""
        return any("r" in element.point.access for element in self.elements.values())

    @property
    def writable(self) -> bool:
        """Whether any of its points may be written."""
        return any("w" in element.point.access for element in self.elements.values())

    @property
    def devices(self) -> frozenset[int]:
        """Devices in the site whose values it shows."""
        return frozenset(element.behind.device for element in self.elements.values())

    def raw(self) -> tuple[Raw | None, ...]:
        """What it holds now, element by element; None = no data."""
        if self.length < 0:
            only = self.elements[-1]
            return (encode(only.point, self.type, only.behind.shown()),)
        blank = _BLANKS.get(self.type, 0)
        return tuple(
            encode(element.point, self.type, element.behind.shown()) if element is not None else blank
            for element in map(self.elements.get, range(self.length))
        )


@dataclass(frozen=True, slots=True)
class Method:
    """One method: a call is a write of its argument."""

    object: Address
    address: Address
    device: str
    type: str
    """Of its one argument; `none`: it has none, and a call writes 1."""
    point: OpcuaPoint
    behind: Behind


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All nodes of one server."""

    variables: tuple[Variable, ...]
    methods: tuple[Method, ...]

    def namespaces(self, application: str, shift: int) -> list[str]:
        """The server's table of namespaces.

        Args:
            application: URI of the server itself, always number 1.
            shift: Foreign namespaces that come before ours, so that all of ours move up.
        """
        addresses = [variable.address for variable in self.variables]
        addresses += [each for method in self.methods for each in (method.object, method.address)]
        numbered = {each.namespace for each in addresses if isinstance(each.namespace, int) and each.namespace > 1}
        named = list(dict.fromkeys(each.namespace for each in addresses if isinstance(each.namespace, str)))
        ours: list[str] = []
        waiting = [uri for uri in named if uri != application]
        while waiting or len(ours) + 1 < max(numbered, default=1):
            index = len(ours) + 2
            ours.append(f"urn:scowl-edge:simulator:ns{index}" if index in numbered or not waiting else waiting.pop(0))
        return [
            STANDARD_URI,
            application,
            *(f"urn:scowl-edge:simulator:foreign{n}" for n in range(1, shift + 1)),
            *ours,
        ]


def plan_nodes(devices: Iterable[OpcuaDevice], plant: Plant, bindings: Bindings) -> NodePlan:
    """The nodes of a server that plays these devices.

    Raises:
        SimulationError: two points want one node to be two different things.
    """
    scalars: dict[Address, Variable] = {}
    methods: list[Method] = []
    for device in devices:
        for point in device.points:
            behind = Behind.of(plant, device.name, point.name, bindings)
            if point.method:
                methods.append(
                    Method(
                        address_of(point.node),
                        address_of(point.method),
                        device.name,
                        point.type if point.type == "none" else type_of(point, None),
                        point,
                        behind,
                    )
                )
                continue
            variable = _variable(device, point, behind)
            known = scalars.get(variable.address)
            scalars[variable.address] = variable if known is None else _merged(known, variable)
    return NodePlan(tuple(scalars.values()), tuple(methods))


def _variable(device: OpcuaDevice, point: OpcuaPoint, behind: Behind) -> Variable:
    return Variable(
        address=address_of(point.node),
        device=device.name,
        type=type_of(point, behind.shown()),
        length=point.index + 1 if point.index >= 0 else -1,
        elements={point.index: Element(point, behind)},
        poll_ms=device.poll_ms,
    )


def _merged(one: Variable, other: Variable) -> Variable:
    if one.type != other.type or (one.length < 0) != (other.length < 0):
        names = ", ".join(element.point.name for each in (one, other) for element in each.elements.values())
        raise SimulationError(
            f"device {other.device}: points {names} name one node as {_form(one)} and as {_form(other)}; "
            "give them the same type, and all or none an index"
        )
    return Variable(
        address=one.address,
        device=one.device,
        type=one.type,
        length=max(one.length, other.length),
        # Of two points on one place the one that can be written decides.
        elements={**one.elements, **{k: v for k, v in other.elements.items() if _prevails(v, one.elements.get(k))}},
        poll_ms=min(one.poll_ms, other.poll_ms),
    )


def _prevails(element: Element, before: Element | None) -> bool:
    return before is None or "w" not in before.point.access


def _form(variable: Variable) -> str:
    return variable.type if variable.length < 0 else f"an array of {variable.type}"
