"""A site file as somebody writes it who knows the server and docs/configuration.md, and nothing else of the daemon.

The server has a set of scalars for each link, so that no two links command the same node. A setpoint and the measured
power that must follow it are one node: a plant that obeys at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCALARS = (
    *("Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"),
    *("String", "DateTime"),
)


@dataclass(frozen=True, kw_only=True)
class Link:
    """One way to reach the server."""

    name: str
    endpoint: str
    security: str = ""
    """Policy; empty for none, and then anonymous."""
    password: Path = Path()
    pki: Path = Path()
    more: str = ""
    typed: bool = True
    """Whether points say their type."""

    def line(self) -> str:
        """Its line under `links`."""
        secured = (
            f", security: {self.security}/SignAndEncrypt, user: edge, password: {{file: {self.password}}}, "
            f"pki: {self.pki}"
            if self.security
            else ""
        )
        return f'  {self.name}: {{type: opcua, endpoint: "{self.endpoint}"{secured}, reconnect: 500 ms{self.more}}}\n'

    def point(self, node: str, type_: str, more: str = "") -> str:
        """A point of this link."""
        said = f", type: {type_.lower()}" if self.typed else ""
        return f'{{node: "nsu=urn:site;s={node}"{said}{more}}}'

    def device(self, name: str, points: dict[str, str], role: str = "") -> str:
        """A device of this link."""
        head = f"  {self.name}-{name}:\n    link: {self.name}\n    poll: 200 ms\n    points:\n"
        lines = "".join(f"      {point}: {text}\n" for point, text in points.items())
        return head + lines + (f"    role: {{{role}}}\n" if role else "")


_STORE = "kind: storage, capacity: 1 MWh, settle: 200 ms, rated"
_ENGINE = "kind: generator, dispatch: continuous, settle: 200 ms, rated"
_LOAD = "kind: consumer, class: 5, interruptible: true, settle: 200 ms, on: grid, rated"


@dataclass(frozen=True)
class Command:
    """A device of each link, one order for it, and the node that must then hold it."""

    device: str
    verb: str
    path: str
    """Of the order: manual or override."""
    value: int
    """What is ordered, in W or as 0 and 1; each link adds its number times `apart`."""
    apart: int
    node_w: float
    """How much one of the node's own units is."""

    def ordered(self, number: int) -> int:
        """The value for the link of that number."""
        return self.value + number * self.apart

    def held(self, number: int) -> float:
        """What the node then holds."""
        return self.ordered(number) / self.node_w


@dataclass(frozen=True)
class Scalar(Command):
    """A command into a scalar of that type; the device is named like it."""

    role: str
    keys: str = ""

    def points(self, link: Link) -> dict[str, str]:
        """The commanded point, and what else its role needs."""
        node = f"{link.name}/{self.device}"
        fixed = link.point("Fixed", "double", ", unit: W")
        points = {self.verb: link.point(node, self.device, f"{self.keys}, access: rw"), "power": fixed}
        if self.verb == "setpoint":
            sign = "-" if self.role.startswith(_ENGINE) else ""
            scale = self.keys if "scale" in self.keys else f", scale: 1{self.keys}"
            points["power"] = link.point(node, self.device, scale.replace("scale: ", f"scale: {sign}"))
        if self.role.startswith(_STORE):
            points["soc"] = link.point("Fixed", "double", ', unit: "%"')
        return points


_W, _KW, _100W = ", unit: W", ", unit: kW", ", scale: 0.1, unit: kW"
SCALAR_COMMANDS = (
    Scalar("Boolean", "connect", "manual", 0, 0, 1, f"{_LOAD}: 10 kW"),
    Scalar("SByte", "setpoint", "manual", -9000, 100, 100, f"{_STORE}: 10 kW", _100W),
    Scalar("Byte", "limit", "override", 11_000, 100, 100, f"{_LOAD}: 20 kW, deferrable: 20 kW", _100W),
    Scalar("Int16", "setpoint", "manual", -32_100, 10, 1, f"{_STORE}: 50 kW", _W),
    Scalar("UInt16", "setpoint", "manual", 61_000, 7, 1, f"{_ENGINE}: 62 kW", _W),
    Scalar("Int32", "setpoint", "override", -70_000, 11, 1, f"{_STORE}: 200 kW", _W),
    Scalar("UInt32", "limit", "override", 3_000_000_000, 13, 1, f"{_LOAD}: 4 GW, deferrable: 4 GW", _W),
    Scalar("Int64", "setpoint", "manual", -5_000_000_000, 17, 1, f"{_STORE}: 6 GW", _W),
    Scalar("UInt64", "limit", "manual", 6_000_000_000, 19, 1, f"{_LOAD}: 7 GW, deferrable: 7 GW", _W),
    Scalar("Float", "setpoint", "manual", 12_500, 250, 1000, f"{_STORE}: 20 kW", _KW),
    Scalar("Double", "limit", "manual", 7777, 1, 1000, f"{_ENGINE}: 20 kW", _KW),
)
SHED = Command("shed", "shed", "manual", 3000, 1, 1)
"""Into an element of an array; its duration before it, into a DateTime, so that a value of that type is written too."""
METHOD = Command("method", "limit", "manual", 12_000, 250, 1000)
"""By a method with one argument of type Float, which is never to be called twice for one order."""
STOP = Command("stop", "connect", "manual", 0, 0, 1)
"""By a method without arguments."""
COMMANDS = (*SCALAR_COMMANDS, SHED, METHOD, STOP)
MUTE = Command("mute", "connect", "manual", 0, 0, 1)
"""By a method that the server begins and never answers."""


def _devices(link: Link, number: int) -> str:
    fixed = link.point("Fixed", "double", ", unit: W")
    element = f", index: {number}, unit: W"
    machine = 'node: "nsu=urn:site;s=Machine", access: w'
    seen = {name: link.point(f"{link.name}/{name}", name) for name in SCALARS}
    faulty = {
        "nobody": link.point("Nobody", "double"),
        "mistyped": '{node: "nsu=urn:site;s=Double", type: int32}',
        "beyond": link.point("Doubles", "double", ", index: 4"),
    }
    shed = {
        "shed_request": link.point("Doubles", "double", f"{element}, access: rw"),
        "shed_granted": link.point("Doubles", "double", element),
        "shed_expiry": link.point(f"{link.name}/DateTime", "DateTime", ", unit: s, access: rw"),
        "power": fixed,
    }
    limit = f'{{{machine}, method: "nsu=urn:site;s=Machine/SetLimit", unit: kW, write_class: pulse}}'
    stop = f'{{{machine}, method: "nsu=urn:site;s=Machine/Reset", type: none}}'
    mute = f'{{{machine}, method: "nsu=urn:site;s=Machine/Sleep", type: none}}'
    return (
        link.device("seen", seen)
        + link.device("faulty", {**faulty, "fine": fixed})
        + "".join(link.device(each.device, each.points(link), each.role) for each in SCALAR_COMMANDS)
        + link.device("shed", shed, f"{_LOAD}: 10 kW, deferrable: 5 kW, demand_responsive: 5 kW")
        + link.device("method", {"limit": limit, "power": fixed}, f"{_LOAD}: 20 kW, deferrable: 20 kW")
        + link.device("stop", {"connect": stop, "power": fixed}, f"{_LOAD}: 10 kW")
        + link.device("mute", {"connect": mute, "power": fixed}, f"{_LOAD}: 10 kW")
    )


def site(links: Sequence[Link], refused: Sequence[Link]) -> str:
    """The whole file: the same devices on each link, and a single one on those that the server will refuse."""
    meter = links[0].point("Fixed", "double", ", unit: W")
    return (
        "site: {id: stranger}\n"
        "http: {listen: 127.0.0.1:0, token: {file: TOKEN}}\n"
        "journal: {path: JOURNAL}\n"
        "links:\n" + "".join(link.line() for link in (*links, *refused)) + "region: {mode: advisory, period: 200 ms}\n"
        f"ratings:\n  grid: {{kind: grid, import: 20 GW, export: 20 GW, meter: {links[0].name}-meter}}\n"
        "devices:\n"
        + links[0].device("meter", {"power": meter}, "kind: grid")
        + "".join(_devices(link, number) for number, link in enumerate(links))
        + "".join(link.device("seen", {"Double": link.point("Double", "Double")}) for link in refused)
    )
