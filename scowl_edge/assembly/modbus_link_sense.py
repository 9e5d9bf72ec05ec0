"""Values that are right each by itself and wrong together: Modbus links, their proxies, and the units behind them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from scowl_edge.assembly.declare import holes
from scowl_edge.assembly.device_schema import ModbusDeviceSection
from scowl_edge.assembly.kinds import split_listen
from scowl_edge.assembly.modbus_link_schema import (
    ModbusLinkSection,
    ModbusRtuSection,
    ModbusRtuTcpSection,
    ProxySection,
)
from scowl_edge.assembly.modbus_sense import registers_of
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.devices.declaration import Hole, Table

_ANY = ("0.0.0.0", "::")


def modbus_link_faults(structure: Structure) -> Iterator[Fault]:
    """Faults of all links."""
    lines: dict[str, str] = {}
    listening = {structure.configuration.http.listen: "the daemon's own port (`http`)"}
    for name, link in structure.configuration.links.items():
        if not isinstance(link, ModbusLinkSection):
            continue
        yield from _line(structure, name, link, lines)
        if link.proxy is not None and ("links", name, "proxy", "listen") not in structure.assumed:
            yield from _proxy(structure, name, link, link.proxy, listening)


def _line(structure: Structure, name: str, link: ModbusLinkSection, taken: dict[str, str]) -> Iterator[Fault]:
    """Only one link may speak on a line: frames without numbers of two would mix."""
    place = "device" if isinstance(link, ModbusRtuSection) else "host"
    unsure = {("links", name, place), ("links", name, "port")}
    if not isinstance(link, (ModbusRtuSection, ModbusRtuTcpSection)) or unsure & structure.assumed:
        return
    first = taken.setdefault(link.leads_to, name)
    if first != name:
        what = f"links {first} and {name} are both on the line {link.leads_to}, where their frames would mix"
        yield structure.document.fault(("links", name, place), what, "put all units of a line on one link")


def _proxy(
    structure: Structure, name: str, link: ModbusLinkSection, proxy: ProxySection, listening: dict[str, str]
) -> Iterator[Fault]:
    path: Path = ("links", name, "proxy", "listen")
    fault = structure.document.fault
    host, port = split_listen(proxy.listen)
    if port > 65535:
        yield fault(path, f"port {port} does not exist", "write a port from 0 to 65535")
        return
    if not _loopback(host) and not proxy.unprotected:
        what = (
            f"{host} is not a loopback address, and Modbus knows no passwords: whoever reaches it could read all units "
            f"of link {name}"
        )
        yield fault(path, what, "listen on 127.0.0.1, or add `unprotected: true` if that network may read them")
    clash = next((whose for listen, whose in listening.items() if port and _clash(listen, host, port)), None)
    if clash is not None:
        yield fault(path, f"{proxy.listen} is taken by {clash}", "give it another port")
    listening.setdefault(proxy.listen, f"the proxy of link {name}")
    own = getattr(link, "host", ""), getattr(link, "port", 0)
    if port and own[1] == port and (own[0].lower() == host.lower() or (_loopback(own[0]) and _reaches(host, own[0]))):
        what = f"the proxy of link {name} would listen where the link itself leads to, {proxy.listen}"
        yield fault(path, what, "give it another port")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _clash(listen: str, host: str, port: int) -> bool:
    other, taken = split_listen(listen)
    return taken == port and (other == host or _reaches(other, host) or _reaches(host, other))


def _reaches(host: str, other: str) -> bool:
    """Whether who listens on `host` also gets what comes for `other`: another name of it, or every address."""
    return host in _ANY or {host, other} <= {"localhost", "127.0.0.1"}


def modbus_device_faults(
    structure: Structure, name: str, device: ModbusDeviceSection, link: ModbusLinkSection | None
) -> Iterator[Fault]:
    """Faults of one unit; `link` is None where it is not known."""
    path: Path = ("devices", name)
    fault = structure.document.fault
    if isinstance(link, (ModbusRtuSection, ModbusRtuTcpSection)) and device.unit == 0:
        what = f"unit 0 of device {name} speaks to all units of the line {link.leads_to} at once, and none answers"
        yield fault((*path, "unit"), what, "write the unit's own number, from 1 to 247")
    never = list(holes(device))
    canary = device.canary
    if canary is not None:
        if canary.table not in ("holding", "input"):
            what = f"the canary lies in the table {canary.table}, where single bits prove nothing"
            yield fault((*path, "canary", "table"), what, "name a register of the table holding or input")
        at = (*path, "canary", "address")
        if at not in structure.assumed and any(covers(hole, canary.table, canary.address, 1) for hole in never):
            yield fault(at, f"the canary at {canary.address} lies in `holes`", "name another register, or correct them")
    if not never:
        return
    for key, point in device.points.items():
        if "r" not in point.access or (*path, "points", key, "address") in structure.assumed:
            continue
        registers = registers_of(point)
        hole = next((hole for hole in never if covers(hole, point.table, point.address, registers)), None)
        if hole is not None:
            shown = f"{hole.first}-{hole.last}" if hole.first != hole.last else f"{hole.first}"
            what = f"{key} lies in a hole of {name}, {hole.table.value} {shown}, which must not be read"
            yield fault((*path, "points", key, "address"), what, "correct one of them, or write access: w")


def covers(hole: Hole, table: str, address: int, registers: int) -> bool:
    """Whether a hole lies over any of some registers."""
    return hole.table == Table(table) and hole.first < address + registers and address <= hole.last
