"""What is doubtful about Modbus links: lines that cannot hold their polls, units, certificates, budgets."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.cost import ROUND_TRIP_MS, pace_words
from scowl_edge.assembly.modbus_link_schema import ModbusTlsSection
from scowl_edge.assembly.port_findings import unreadable_file
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.devices.declaration import ModbusLink, SerialLine
from scowl_edge.drivers.modbus.link import link_cost
from scowl_edge.drivers.modbus.port import transactions
from scowl_edge.model.site import PPM

_BUSY = 0.8
_LAST_UNIT = 247
"""Addresses above are reserved on serial lines."""


def modbus_findings(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    """Warnings about Modbus links and the units behind them."""
    for link in assembly.links:
        if not isinstance(link, ModbusLink):
            continue
        section = structure.configuration.links[link.name]
        if isinstance(section, ModbusTlsSection):
            for key in ("ca", "certificate", "key"):
                yield from unreadable_file(structure, ("links", link.name, key), key, getattr(section, key))
        if link.devices:
            yield from _load(link, structure)
            yield from _budgets(link, structure)
            yield from _units(link, structure)


def _load(link: ModbusLink, structure: Structure) -> Iterator[Fault]:
    fault = structure.document.fault
    path: Path = ("links", link.name)
    load = link_cost(link, reply_ms=ROUND_TRIP_MS).load_fraction
    if load > _BUSY:
        what = f"polling takes {100 * load:.0f} % of link {link.name} {pace_words(link, ROUND_TRIP_MS)}"
        if load > 1:
            what += ", which is more than there is: values come late"
        faster = " or a higher `baud`" if link.serial is not None else ""
        todo = f"poll slower, or what changes slowly by a `poll` of its own; raise `max_gap`{faster}; or split the link"
        yield fault(path, what, todo, at_key=True)
    if link.serial is not None:
        yield from _line(link, link.serial, structure)


def _line(link: ModbusLink, line: SerialLine, structure: Structure) -> Iterator[Fault]:
    """A reply that is longer than the time-out can never be heard to its end."""
    timeouts = {device.unit: device.timeout_ms or link.timeout_ms for device in link.devices}
    longest: dict[int, float] = {}
    for job in transactions(link):
        for block in job.blocks:
            longest[job.unit] = max(longest.get(job.unit, 0.0), line.read_ms(block.reply_bytes))
    for device in link.devices:
        takes_ms = longest.get(device.unit, 0.0)
        if takes_ms + ROUND_TRIP_MS > timeouts[device.unit]:
            what = (
                f"the longest read of {device.name} takes {takes_ms:.0f} ms at {line.baud} baud, without the time the "
                f"device needs, but `timeout` is {timeouts[device.unit]} ms"
            )
            todo = "raise `timeout`, lower `max_read`, or raise `baud`"
            yield structure.document.fault(("devices", device.name), what, todo, at_key=True)


def _budgets(link: ModbusLink, structure: Structure) -> Iterator[Fault]:
    given = [device for device in link.devices if device.budget_ppm]
    total = sum(device.budget_ppm for device in given)
    if total > PPM:
        listed = ", ".join(f"{device.name} {device.budget_ppm / 10_000:g} %" for device in given[:4])
        listed += f" and {len(given) - 4} more" if len(given) > 4 else ""
        what = f"the budgets on link {link.name} add up to {total / 10_000:g} %: {listed}"
        todo = "lower some: all together they cannot have more than the link's time"
        yield structure.document.fault(("devices", given[-1].name, "budget"), what, todo)


def _units(link: ModbusLink, structure: Structure) -> Iterator[Fault]:
    fault = structure.document.fault
    for device in link.devices:
        path: Path = ("devices", device.name)
        if link.is_serial and device.unit > _LAST_UNIT:
            what = f"unit {device.unit} of {device.name} is reserved on serial lines, where units are 1 to {_LAST_UNIT}"
            yield fault((*path, "unit"), what, "compare with the device's settings")
        if device.canary is not None and not link.is_serial:
            what = f"the canary of {device.name} is not read: on a {link.kind.value} link replies carry numbers"
            yield fault((*path, "canary"), what, "take it out", at_key=True)
