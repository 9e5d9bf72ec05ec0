"""Devices in every type and byte order: their lines of configuration, and the same places as the server is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from libmodbus_peer import Mbpoll, Peer

FOUR = ("ABCD", "BADC", "CDAB", "DCBA")
EIGHT = ("ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA", "EFGHABCD", "CHAFDGBE")
"""The four that docs/configuration.md names, and two of "eight letters in any order"."""
SHORT_TYPES = ("int16", "uint16", "int32", "uint32", "float32")
LONG_TYPES = ("int64", "uint64", "float64")
FORMATS: tuple[tuple[str, str], ...] = (
    *((kind, order) for kind in SHORT_TYPES for order in FOUR),
    *((kind, order) for kind in LONG_TYPES for order in (*FOUR, *EIGHT)),
)
"""Every (type, order) that a number can have."""
SIGNED = tuple((kind, order) for kind, order in FORMATS if not kind.startswith("uint"))

PATIENT = "20 s"
"""Time-out of the link: the server answers at once, and a busy machine that stands still is no fault of it."""
LEVEL_VOLTS = 230
PHASES = 3


@dataclass(frozen=True)
class Scaling:
    """How a power is written down: keys of the configuration, and W of one raw step for a device of `rated_w`."""

    scale: float
    unit: str
    watts: float
    """W of one `unit`; 0 for a share."""

    def keys(self, sign: int = 1) -> str:
        """Keys of the point; with the sign turned if the device counts the other way."""
        unit = f'unit: "{self.unit}"'
        return unit if self.scale * sign == 1 else f"scale: {self.scale * sign:g}, {unit}"

    def factor(self, rated_w: int) -> float:
        """W of one raw step."""
        return self.scale * (self.watts or rated_w / 100)


POWER_SCALINGS = (
    Scaling(1, "W", 1),
    Scaling(0.5, "W", 1),
    Scaling(0.002, "kW", 1000),
    Scaling(0.01, "%", 0),
    Scaling(0.01, "A", LEVEL_VOLTS * PHASES),
)
"""As the chapters on scale, units and signals explain them: % of `rated`, A per phase at the nominal 230 V."""


@dataclass(frozen=True)
class Place:
    """One point of one device."""

    device: str
    point: str
    unit: int
    address: int
    type: str = "uint16"
    order: str = "ABCD"
    table: str = "holding"
    keys: str = ""
    """Further keys of the point, as they stand in the file."""
    factor: float = 1.0
    offset: float = 0.0
    """Base unit = raw * factor + offset."""

    @property
    def name(self) -> str:
        """What the server calls it."""
        return f"{self.device}.{self.point}"

    @property
    def bit(self) -> int | None:
        """Number of the bit, where it is one of a register."""
        found = re.fullmatch(r"bit(\d+)", self.type)
        return int(found[1]) if found else None

    @property
    def step(self) -> float:
        """Half of what one raw step is worth: how far rounding may be off; nothing for a float."""
        return 0.0 if self.type.startswith("float") else abs(self.factor) / 2

    def told(self) -> str:
        """The line for the server."""
        return (
            f"name {self.name} {self.unit} {self.table} {self.type} {self.order} {self.address} "
            f"{self.factor!r} {self.offset!r}"
        )

    def line(self) -> str:
        """The line for the configuration."""
        kind = f"type: {self.type}, order: {self.order}"
        if self.table in ("coil", "discrete"):
            kind = ""
        elif self.bit is not None:
            kind = f"type: bits, bit: {self.bit}, order: {self.order}"
        parts = (f"table: {self.table}", f"address: {self.address}", kind, self.keys)
        return f"      {self.point}: {{{', '.join(part for part in parts if part)}}}\n"


@dataclass
class Device:
    """One unit: its places, its role in the file's words, and the rule by which the server plays it."""

    name: str
    unit: int
    places: list[Place]
    role: str = ""
    rule: str = ""
    poll: str = "400 ms"
    values: dict[str, float] = field(default_factory=dict)
    """What its places hold when the server starts."""

    def place(self, point: str) -> Place:
        """The place of that name."""
        return next(each for each in self.places if each.point == point)

    def lines(self) -> str:
        """Its part of the configuration."""
        text = f"  {self.name}:\n    link: peer\n    unit: {self.unit}\n    poll: {self.poll}\n    points:\n"
        text += "".join(each.line() for each in self.places)
        return text + (f"    role: {{{self.role}}}\n" if self.role else "")


def equip(peer: Peer, devices: list[Device]) -> None:
    """Tells the server all places, what they hold, and the rules of the plant."""
    for device in devices:
        peer.tell(*(place.told() for place in device.places))
    for device in devices:
        peer.tell(*(f"set {device.place(point).name} {value!r}" for point, value in device.values.items()))
        if device.rule:
            peer.tell(device.rule)


def site(devices: list[Device], port: int, more: str = "", link: str = "") -> str:
    """The whole file; HTTP on any free port, the journal and the token beside it."""
    return (
        "site: {id: stranger}\n"
        "http: {listen: 127.0.0.1:0, token: {file: TOKEN}}\n"
        "journal: {path: JOURNAL}\n"
        f"links:\n  peer: {{type: modbus-tcp, host: 127.0.0.1, port: {port}, timeout: {PATIENT}{link}}}\n"
        f"{more}"
        "devices:\n" + "".join(device.lines() for device in devices)
    )


def second_opinion(mbpoll: Mbpoll, place: Place) -> float | None:
    """What mbpoll makes of a place, in base units; None where it has no such type."""
    if place.table != "holding" or place.order not in ("ABCD", "CDAB"):
        return None
    match place.type:
        case "uint16":
            raw = float(mbpoll.read("4", place.address, 1)[0])
        case "int16":
            raw = float(mbpoll.read("4", place.address, 1)[0])
            raw -= 65536 if raw > 32767 else 0
        case "int32" | "float32":
            kind = "4:int" if place.type == "int32" else "4:float"
            raw = float(mbpoll.read(kind, place.address, 1, *(("-B",) if place.order == "ABCD" else ()))[0])
        case _:
            return None
    return raw * place.factor + place.offset


def distinct(values: list[float], least: float) -> bool:
    """Whether no two lie so close that one could be taken for the other."""
    return all(after - before > least for before, after in pairwise(sorted(values)))
