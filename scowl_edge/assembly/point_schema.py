"""Keys of points: where a value lies, by protocol, and what it means."""

from __future__ import annotations

from typing import Annotated

from scowl_edge.assembly.kinds import Choice, Named, Number, Numbers, Order, Whole
from scowl_edge.assembly.opcua_kinds import DataType, Node
from scowl_edge.assembly.section import Delay, Positive, Section, duration, key
from scowl_edge.devices.declaration import OPCUA_TYPES
from scowl_edge.model.quantity import POINT_UNITS

REGISTER_TYPES = (
    "int16",
    "uint16",
    "int32",
    "uint32",
    "float32",
    "int64",
    "uint64",
    "float64",
    "string",
    "bits",
)
TABLES = ("holding", "input", "coil", "discrete")
NO_VALUE = "none"
"""Type of a method without arguments."""


class CounterSection(Section):
    """A value that only grows, such as an energy meter's: what it may do besides, so that no other fall is believed."""

    wraps_at: Annotated[int, Whole(2, 2**64)] | None = key(
        None,
        "Raw value at which it begins again at 0, e.g. 4294967296 after 32 bits.",
        "4294967296",
        shown="never: a fall is a new start of the device, or a step back",
    )


class InterlockSection(Section):
    """When a point may be written: only while another point of the same device is fresh and has this value, or lies
    between `min` and `max`. A write back to where the device would be by itself is always allowed."""

    point: Annotated[str, Named("a point of the same device")] = key(
        ..., "Point that decides; it must be readable.", "remote_enabled"
    )
    equals: Annotated[float, Number()] | None = key(None, "The value that it must have, in its unit.", "1", shown="any")
    min: Annotated[float, Number()] | None = key(None, "The least that it may be, in its unit.", "45", shown="any")
    max: Annotated[float, Number()] | None = key(None, "The most that it may be, in its unit.", "55", shown="any")


class PointSection(Section):
    """What all points know."""

    type: str | None
    scale: Annotated[float, Number(nonzero=True)] = key(1.0, "Factor from raw value to `unit`.", "0.1")
    offset: Annotated[float, Number()] = key(0.0, "Added after scaling, in `unit`.", "-40")
    nan: Annotated[tuple[float, ...], Numbers()] = key(
        (), "Raw values that mean 'not available'. NaN of a float always does.", "[0x8000]"
    )
    unit: Annotated[str, Choice(tuple(POINT_UNITS))] = key(
        "", "Unit of the value after scale and offset.", '"%"', shown='"" (a plain number)'
    )
    access: Annotated[str, Choice(("r", "w", "rw"))] = key(
        "r", "`r` read, `w` write only, `rw` both; only w and rw can be commanded.", "rw"
    )
    write_class: Annotated[str, Choice(("volatile", "stored", "pulse"))] | None = key(
        None,
        "`volatile`: may be written as often as needed. `stored`: wears out, so written on change only and within "
        "`daily_budget`. `pulse`: each write is an action, never repeated unseen.",
        "stored",
        shown="volatile",
    )
    min_interval: Positive | None = key(
        None,
        "Least time between two writes. One command for safety may come sooner; the next one waits.",
        "10 s",
        shown="none",
    )
    interlock: InterlockSection | None = key(
        None,
        "Allows writes only while another point says so.",
        "{point: remote_enabled, equals: 1}",
        shown="none",
    )
    fresh_for: Positive | None = key(
        None,
        "Age up to which the value counts as fresh.",
        "3 s",
        shown="that of the device; with a `poll` of its own at least 3 times that",
    )
    hold_for: Delay | None = key(
        None, "Age beyond `fresh_for` up to which the last value is held.", "60 s", shown="that of the device"
    )
    min: Annotated[float, Number()] | None = key(
        None, "Smaller values are taken as implausible (bad quality); in `unit`.", "-50", shown="none"
    )
    max: Annotated[float, Number()] | None = key(
        None, "Larger values are taken as implausible (bad quality); in `unit`.", "2500", shown="none"
    )
    max_change: Annotated[float, Number(positive=True)] | None = key(
        None,
        "Most that the value can change in a second, in `unit`; a faster jump is bad until the next value confirms it.",
        "50",
        shown="any",
    )
    stuck_after: Positive | None = key(
        None,
        "A measured value that does not change in its last digit for so long is doubted (quality uncertain). For "
        "values that always move, such as a current under load.",
        "10 min",
        shown="never",
    )
    counter: CounterSection | None = key(
        None, "The value only grows: a counter of energy, time or events.", "{wraps_at: 4294967296}", shown="no"
    )


class ModbusPointSection(PointSection):
    """One value of a device on a Modbus link, as it lies on the wire and as it is meant."""

    table: Annotated[str, Choice(TABLES)] = key(
        "holding", "Table of the device: `holding`, `input` (registers), `coil`, `discrete` (bits).", "input"
    )
    address: Annotated[int, Whole(0, 65535)] = key(..., "Protocol address, counted from 0.", "100")
    type: Annotated[str, Choice((*REGISTER_TYPES, "bool"))] | None = key(
        None, "How the registers are read.", "float32", shown="uint16; bool in the tables of bits"
    )
    order: Annotated[str, Order()] | None = key(
        None, "Order of the bytes on the wire.", "CDAB", shown="ABCD; ABCDEFGH for 64 bits"
    )
    length: Annotated[int, Whole(1, 125)] | None = key(
        None, "Registers of a string, two characters each. Required for strings, not for others.", "16", shown="none"
    )
    bit: Annotated[int, Whole(0, 15)] | None = key(
        None, "Number of one bit of a `bits` register, 0 = least significant.", "3", shown="the whole register"
    )
    scale_factor: Annotated[str, Named("a point of the same device")] | None = key(
        None, "Point whose value is a power of ten that `scale` is multiplied with.", "power_sf", shown="none"
    )
    poll: Annotated[int, duration("10 ms", "1 h")] | None = key(
        None, "How often it is read; points of one poll are read together.", "1 min", shown="that of the device"
    )


class OpcuaPointSection(PointSection):
    """One value of a device on an OPC-UA link, as its server holds it and as it is meant."""

    node: Annotated[str, Node()] = key(
        ...,
        "Node of the value; of a method: the object that it is called on. `nsu=` names the namespace by its URI, which "
        "holds when the server numbers its namespaces anew; `ns=` by its index.",
        '"nsu=urn:site;s=Hall/Power"',
    )
    type: Annotated[str, DataType((*OPCUA_TYPES, NO_VALUE))] | None = key(
        None,
        "Data type of the value. Where the server has another one the point is bad, and says so. `none`: a method "
        "without arguments.",
        "double",
        shown="as the server says",
    )
    index: Annotated[int, Whole(0, 2**31 - 1)] | None = key(
        None, "Element of an array, counted from 0.", "2", shown="none: a single value"
    )
    method: Annotated[str, Node()] | None = key(
        None,
        "Method that a command calls, on the object `node`, with the value as its one argument. Needs `access: w`.",
        '"nsu=urn:site;s=Hall/SetLimit"',
        shown="none: the value is written",
    )
