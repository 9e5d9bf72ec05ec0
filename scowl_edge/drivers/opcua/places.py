"""Places: the nodes that a link reads, each with the points that its value holds; and the methods that it calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scowl_edge.devices.declaration import OpcuaDevice, OpcuaPoint
from scowl_edge.drivers.opcua.meaning import TYPE_IDS, Meaning
from scowl_edge.drivers.opcua.names import NodeName

if TYPE_CHECKING:
    from asyncua import ua


@dataclass(frozen=True, slots=True)
class Slot:
    """One point that a place's value holds."""

    index: int
    """In the site's point table."""
    point: OpcuaPoint
    meaning: Meaning
    type_id: int
    """As configured; 0 where the configuration leaves it to the server."""


class Notified(IntEnum):
    """What a subscription brought of a place last."""

    NOTHING = 0
    NUMBER = 1
    OTHER = 2


class Columns:
    """What is known of each place in its present session: arrays with one entry a place, by `Place.number`."""

    def __init__(self, size: int) -> None:
        self.poll_ms: NDArray[np.int64] = np.zeros(size, np.int64)
        """As declared."""
        self.fresh_for_ms: NDArray[np.int64] = np.zeros(size, np.int64)
        """As declared."""
        self.device: NDArray[np.int64] = np.zeros(size, np.int64)
        """Index among the link's devices."""
        self.known: NDArray[np.bool_] = np.zeros(size, np.bool_)
        """Whether the server has its namespace."""
        self.wire_type: NDArray[np.uint8] = np.zeros(size, np.uint8)
        """Built-in type that the server holds there; 0 if not known yet."""
        self.received_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        """When a value came last, by notification or read; -1 if it must be read."""
        self.heard: NDArray[np.bool_] = np.zeros(size, np.bool_)
        """Whether anything came of it in this session; then `Place.fault` counts."""
        self.faulty: NDArray[np.bool_] = np.zeros(size, np.bool_)
        """Whether any of its points has a fault in words."""
        self.monitored_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        """Since when a subscription has it; -1: it has not."""
        self.sampling_ms: NDArray[np.int64] = np.zeros(size, np.int64)
        """As the server revised it."""
        self.doubted_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        """Since when reads show what no notification brought; -1: they do not."""
        self.notified: NDArray[np.uint8] = np.zeros(size, np.uint8)
        """A `Notified`: where the last value lies that came by subscription."""
        self.notified_number: NDArray[np.float64] = np.zeros(size)
        self.stirred: set[int] = set()
        """Devices of which something was heard first, or went or came right, since this was last emptied."""


@dataclass(slots=True, eq=False)
class Place:
    """One node of one device. What is known of it belongs to one session."""

    number: int
    """Index in the link's columns."""
    columns: Columns
    device: int
    """Index among the link's devices."""
    name: NodeName
    poll_ms: int
    fresh_for_ms: int
    """Of its most hurried point."""
    slots: list[Slot] = field(default_factory=list)
    part: int = 0
    """Number of the session that brings it."""
    node: ua.NodeId | None = None
    """None where the server does not have the namespace."""
    ranged: bool | None = None
    """Whether the server knows single elements of an array; None if that was not tried yet."""
    fault: str = ""
    """Why no value can be had, as the server says; empty if one can."""
    notified: Any = None
    """The last value that came by subscription and is no number."""

    @property
    def is_read(self) -> bool:
        """Whether any of its points is read at all."""
        return any("r" in slot.point.access for slot in self.slots)

    @property
    def wire_type(self) -> int:
        """Built-in type that the server holds there; 0 if not known yet."""
        return int(self.columns.wire_type[self.number])

    @property
    def heard(self) -> bool:
        """Whether anything came of it in this session; then `fault` counts."""
        return bool(self.columns.heard[self.number])

    def named(self, node: ua.NodeId | None) -> None:
        """Before a new connection: nothing counts any more that an earlier one said."""
        self.node, self.ranged = node, None
        self.columns.known[self.number] = node is not None
        self.columns.wire_type[self.number] = 0
        self.unheard()

    def unheard(self) -> None:
        """Before a new session: nothing that the last one brought counts."""
        self.fault = ""
        self.columns.faulty[self.number] = True  # its points' faults may still be in words
        self.columns.received_ms[self.number] = -1
        self.columns.heard[self.number] = False
        self.unmonitored()

    def unmonitored(self) -> None:
        """No subscription brings it."""
        self.columns.monitored_ms[self.number] = self.columns.doubted_ms[self.number] = -1
        self.columns.notified[self.number] = Notified.NOTHING
        self.notified = None


def places_of(devices: Sequence[OpcuaDevice]) -> list[Place]:
    """Every node that is read or written, once for each device; methods have none.

    Raises:
        LayoutError: a NodeId or scale that cannot be used.
    """
    places: list[Place] = []
    columns = Columns(sum(len(device.points) for device in devices))
    for number, device in enumerate(devices):
        known: dict[str, Place] = {}
        for offset, point in enumerate(device.points):
            if point.method:
                continue
            place = known.get(point.node)
            if place is None:
                name = NodeName.of(point.node)
                place = Place(len(places), columns, number, name, device.poll_ms, point.fresh_for_ms)
                known[point.node] = place
                places.append(place)
            place.fresh_for_ms = min(place.fresh_for_ms, point.fresh_for_ms)
            columns.fresh_for_ms[place.number], columns.poll_ms[place.number] = place.fresh_for_ms, place.poll_ms
            columns.device[place.number] = number
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
    columns: Columns
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
        columns = places[0].columns if places else Columns(0)
        return cls(tuple(places), columns, methods_of(devices), slots, {}, {})
