"""Places: the nodes that a link reads, each with the points that its value holds; and the methods that it calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scowl_edge.devices.declaration import OpcuaDevice, OpcuaPoint
from scowl_edge.drivers.opcua.meaning import TYPE_IDS, Meaning
from scowl_edge.drivers.opcua.names import NodeName

if TYPE_CHECKING:
    from asyncua import ua

UNSEEN: Any = object()
"""Stands for a value before there is one; equal to nothing."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One point that a place's value holds."""

    index: int
    """In the site's point table."""
    point: OpcuaPoint
    meaning: Meaning
    type_id: int
    """As configured; 0 where the configuration leaves it to the server."""


@dataclass(slots=True, eq=False)
class Place:
    """One node of one device. What is known of it belongs to one session."""

    device: int
    """Index among the link's devices."""
    name: NodeName
    poll_ms: int
    fresh_for_ms: int
    """Of its most hurried point."""
    slots: list[Slot] = field(default_factory=list)
    node: ua.NodeId | None = None
    """None where the server does not have the namespace."""
    wire_type: int = 0
    """Built-in type that the server holds there; 0 if not known yet."""
    ranged: bool | None = None
    """Whether the server knows single elements of an array; None if that was not tried yet."""
    received_ms: int = -1
    """When a value came last, by notification or read; -1 if it must be read."""
    heard: bool = False
    """Whether anything came of it in this session; then `fault` counts."""
    fault: str = ""
    """Why no value can be had, as the server says; empty if one can."""
    monitored_ms: int = -1
    """Since when a subscription has it; -1: it has not."""
    sampling_ms: int = 0
    """As the server revised it."""
    notified: Any = UNSEEN
    """The last value that came by subscription."""
    doubted_ms: int = -1
    """Since when reads show what no notification brought."""

    @property
    def is_read(self) -> bool:
        """Whether any of its points is read at all."""
        return any("r" in slot.point.access for slot in self.slots)

    def forget(self) -> None:
        """Before a new session: nothing that the last one said counts."""
        self.node, self.wire_type, self.fault, self.ranged = None, 0, "", None
        self.received_ms, self.heard = -1, False
        self.unmonitored()

    def unmonitored(self) -> None:
        """No subscription brings it."""
        self.monitored_ms = self.doubted_ms = -1
        self.notified = UNSEEN


def places_of(devices: Sequence[OpcuaDevice]) -> list[Place]:
    """Every node that is read or written, once for each device; methods have none.

    Raises:
        LayoutError: a NodeId or scale that cannot be used.
    """
    places: list[Place] = []
    for number, device in enumerate(devices):
        known: dict[str, Place] = {}
        for offset, point in enumerate(device.points):
            if point.method:
                continue
            place = known.get(point.node)
            if place is None:
                place = Place(number, NodeName.of(point.node), device.poll_ms, point.fresh_for_ms)
                known[point.node] = place
                places.append(place)
            place.fresh_for_ms = min(place.fresh_for_ms, point.fresh_for_ms)
            place.slots.append(Slot(device.first_point + offset, point, Meaning(point), TYPE_IDS.get(point.type, 0)))
    return places


@dataclass(slots=True)
class Method:
    """A point that is a method call."""

    index: int
    point: OpcuaPoint
    meaning: Meaning
    target: NodeName
    method: NodeName
    argument: int = 0
    """Built-in type of its one argument; 0 if it takes none or is not known."""
    known: bool = False
    """Whether `argument` is what the server or the configuration says."""


def methods_of(devices: Sequence[OpcuaDevice]) -> dict[int, Method]:
    """Every point that is a method call, by its index.

    Raises:
        LayoutError: a NodeId or scale that cannot be used.
    """
    return {
        device.first_point + offset: Method(
            index=device.first_point + offset,
            point=point,
            meaning=Meaning(point),
            target=NodeName.of(point.node),
            method=NodeName.of(point.method),
            argument=TYPE_IDS.get(point.type, 0),
            known=bool(point.type),
        )
        for device in devices
        for offset, point in enumerate(device.points)
        if point.method
    }


@dataclass(frozen=True, slots=True)
class Stock:
    """All that a link reads, writes and calls, and what is known in words."""

    places: tuple[Place, ...]
    methods: dict[int, Method]
    slots: dict[int, tuple[Place, Slot]]
    """Where each point lies that is no method."""
    texts: dict[int, str]
    """Last text of each string point, by index."""
    faults: dict[int, str]
    """In words, why a point is bad; only while it is."""

    @classmethod
    def of(cls, devices: Sequence[OpcuaDevice]) -> Stock:
        """Compiles. Raises LayoutError for a NodeId or scale that cannot be used."""
        places = places_of(devices)
        slots = {slot.index: (place, slot) for place in places for slot in place.slots}
        return cls(tuple(places), methods_of(devices), slots, {}, {})
