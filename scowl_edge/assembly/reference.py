"""Writes docs/configuration.md and docs/scowl-edge.schema.json from the schema; `--check` tells whether they are stale.

python -m scowl_edge.assembly.reference [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from scowl_edge.assembly.declare import modbus_point
from scowl_edge.assembly.device_schema import (
    CanarySection,
    HolesSection,
    ModbusDeviceSection,
    OpcuaDeviceSection,
)
from scowl_edge.assembly.flex_device_schema import FlexDevice, FlexDeviceFailsafe
from scowl_edge.assembly.flex_schema import (
    Flex,
    FlexAutonomous,
    FlexFailsafe,
    FlexManager,
    FlexPeer,
    FlexProvider,
    FlexTls,
)
from scowl_edge.assembly.http_schema import Http, Tls
from scowl_edge.assembly.keys import Key, json_schema, keys, own_keys, type_words
from scowl_edge.assembly.kinds import Measure
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.assembly.modbus_link_schema import (
    ModbusLinkSection,
    ModbusRtuSection,
    ModbusRtuTcpSection,
    ModbusTcpSection,
    ModbusTlsSection,
    ProxySection,
)
from scowl_edge.assembly.point_schema import CounterSection, InterlockSection, ModbusPointSection, OpcuaPointSection
from scowl_edge.assembly.role_schema import (
    ConsumerRole,
    Failsafe,
    GeneratorRole,
    MeterRole,
    Modes,
    PowerRole,
    RoleSection,
    StorageRole,
)
from scowl_edge.assembly.schema import (
    BusSection,
    Configuration,
    Journal,
    PopulationSection,
    RatingSection,
    Region,
    SiteSection,
    StatisticsSection,
    Telemetry,
)
from scowl_edge.assembly.section import Section, Source
from scowl_edge.assembly.signals import ACTUATORS, SIGNALS, units_for
from scowl_edge.drivers.modbus.encoding import Registers, encode
from scowl_edge.model.quantity import FAMILIES, POINT_UNITS, units_in_words

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "configuration.md"
SCHEMA = _ROOT / "docs" / "scowl-edge.schema.json"
GUIDE = Path(__file__).with_name("guide.md")

_SECTIONS: Sequence[tuple[str, type[Section]]] = (
    ("(top level)", Configuration),
    ("site", SiteSection),
    ("http", Http),
    ("http.token, http.viewer, links.NAME.password; certificate, key, authority below http.tls and flex.tls", Source),
    ("http.tls", Tls),
    ("journal", Journal),
    ("telemetry", Telemetry),
    ("links.NAME, type modbus-tcp", ModbusTcpSection),
    ("links.NAME, type modbus-rtu", ModbusRtuSection),
    ("links.NAME, type modbus-rtu-tcp", ModbusRtuTcpSection),
    ("links.NAME, type modbus-tls", ModbusTlsSection),
    ("links.NAME, every Modbus type", ModbusLinkSection),
    ("links.NAME.proxy, every Modbus type", ProxySection),
    ("links.NAME, type opcua", OpcuaLinkSection),
    ("region", Region),
    ("buses.NAME", BusSection),
    ("ratings.NAME", RatingSection),
    ("flex", Flex),
    ("flex.tls", FlexTls),
    ("flex.peers.NAME", FlexPeer),
    ("flex.manager", FlexManager),
    ("flex.manager.failsafe, flex.provider.failsafe", FlexFailsafe),
    ("flex.manager.autonomous", FlexAutonomous),
    ("flex.manager.devices.NAME", FlexDevice),
    ("flex.manager.devices.NAME.failsafe", FlexDeviceFailsafe),
    ("flex.provider", FlexProvider),
    ("populations.NAME", PopulationSection),
    ("populations.NAME.statistics", StatisticsSection),
    ("devices.NAME, on a Modbus link", ModbusDeviceSection),
    ("devices.NAME.holes, on a Modbus link", HolesSection),
    ("devices.NAME.canary, on a Modbus link", CanarySection),
    ("devices.NAME, on an opcua link", OpcuaDeviceSection),
    ("devices.NAME.points.NAME, on a Modbus link", ModbusPointSection),
    ("devices.NAME.points.NAME, on an opcua link", OpcuaPointSection),
    ("devices.NAME.points.NAME.counter", CounterSection),
    ("devices.NAME.points.NAME.interlock", InterlockSection),
    ("devices.NAME.role, every kind", RoleSection),
    ("devices.NAME.role, every kind but meter", PowerRole),
    ("devices.NAME.role.failsafe", Failsafe),
    ("devices.NAME.role, kind generator", GeneratorRole),
    ("devices.NAME.role, kind consumer", ConsumerRole),
    ("devices.NAME.role, kind storage", StorageRole),
    ("devices.NAME.role.modes, kind storage", Modes),
    ("devices.NAME.role, kind meter", MeterRole),
)
_BEYOND: dict[type[Section], type[Section]] = {
    ModbusTcpSection: ModbusLinkSection,
    ModbusRtuSection: ModbusLinkSection,
    ModbusRtuTcpSection: ModbusLinkSection,
    ModbusTlsSection: ModbusLinkSection,
    PowerRole: RoleSection,
    GeneratorRole: PowerRole,
    ConsumerRole: PowerRole,
    StorageRole: PowerRole,
    MeterRole: RoleSection,
}
_TYPES = (
    ("uint16", 1, "0 to 65535", 12345),
    ("int16", 1, "-32768 to 32767", -12345),
    ("uint32", 2, "0 to 4294967295", 0x11223344),
    ("int32", 2, "-2147483648 to 2147483647", -2),
    ("uint64", 4, "0 to 18446744073709551615; exact up to 2^53", 0x1122334455667788),
    ("int64", 4, "-2^63 to 2^63 - 1; exact up to 2^53", -2),
    ("float32", 2, "IEEE 754, about 7 digits", 1234.5),
    ("float64", 4, "IEEE 754, about 16 digits", 1234.5),
    ("bits", 1, "0 to 65535, or one bit as 0 or 1", 0b1000),
)


def document() -> str:
    """The whole reference in Markdown."""
    parts = {
        "keys": _keys(),
        "types": _types(),
        "orders": _orders(),
        "units": _units(),
        "point-units": _point_units(),
        "signals": _signals(),
    }
    text = GUIDE.read_text(encoding="utf-8")
    for name, lines in parts.items():
        text = text.replace(f"<!-- {name} -->\n", "\n".join(lines) + "\n")
    return text


def schema() -> str:
    """The JSON Schema for editors."""
    return json.dumps(json_schema(Configuration, "scowl-edge configuration"), indent=1, ensure_ascii=False) + "\n"


def _keys() -> Iterator[str]:
    for number, (title, section) in enumerate(_SECTIONS):
        beyond = _BEYOND.get(section)
        rows = list(keys(section)) if beyond is None else own_keys(section, beyond)
        if number:
            yield ""
        yield f"### {title}"
        yield ""
        yield (section.__doc__ or "").strip()
        yield ""
        yield "| key | type and unit | default | range | example | meaning |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(key) for key in rows)
    yield ""
    yield "Known, but not yet supported in this version: `template` of a device."


def _row(key: Key) -> str:
    kind = type_words(key)
    bounds = key.kind.bounds if key.kind is not None else ""
    if isinstance(key.kind, Measure):
        kind = f"{kind} ({units_in_words(*key.kind.families)})"
    default = "*required*" if key.required else key.default
    if key.fixed_default:
        default = f"`{default}`"
    if key.name == "unit" and key.kind is not None and len(bounds) > 60:
        bounds = "see [Units](#units)"
    cells = (f"`{key.name}`", kind, default, bounds, f"`{key.name}: {key.example}`", key.description)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _wire(wire_type: str, order: str, value: float) -> str:
    """The bytes of a value on the wire, grouped in registers; taken from the encoder itself."""
    section = ModbusPointSection.model_validate({"address": 0, "type": wire_type, "order": order, "access": "rw"})
    encoded = encode(modbus_point("example", section, fresh_ms=1, hold_ms=1), value)
    assert isinstance(encoded, Registers)
    data = encoded.data.hex().upper()
    return " ".join(f"{data[at : at + 2]} {data[at + 2 : at + 4]}" for at in range(0, len(data), 4))


def _types() -> Iterator[str]:
    yield "| type | registers | range of the raw value | example | bytes on the wire (default order) |"
    yield "|---|---|---|---|---|"
    for name, registers, values, example in _TYPES:
        shown = f"0x{example:X}" if isinstance(example, int) and example > 99_999 else f"{example}"
        if name == "uint64":
            # The encoder takes doubles; this example is spelled out since it has more than 53 bits.
            wire = "11 22 33 44 55 66 77 88"
        else:
            wire = _wire(name, "ABCDEFGH" if registers == 4 else "ABCD", example)
        yield f"| `{name}` | {registers} | {values} | {shown} | `{wire}` |"
    yield '| `string` | `length` | text | "AB1" with `length: 2` | `41 42 31 00` |'
    yield "| `bool` | one bit | 0 or 1 (tables `coil` and `discrete` only) | 1 | one bit |"


def _orders() -> Iterator[str]:
    yield "| order | `uint32` 0x11223344 | `float32` 1234.5 | `uint16` 0x1122 |"
    yield "|---|---|---|---|"
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        cells = (_wire("uint32", order, 0x11223344), _wire("float32", order, 1234.5), _wire("uint16", order, 0x1122))
        yield f"| `{order}` | " + " | ".join(f"`{cell}`" for cell in cells) + " |"
    yield ""
    yield "| order | the same in four letters | `float64` 1234.5 | `uint64` 0x0011223344556677 |"
    yield "|---|---|---|---|"
    for order, short in (("ABCDEFGH", "ABCD"), ("GHEFCDAB", "CDAB"), ("BADCFEHG", "BADC"), ("HGFEDCBA", "DCBA")):
        whole = bytes.fromhex("0011223344556677")
        integer = " ".join(f"{whole['ABCDEFGH'.index(letter)]:02X}" for letter in order)
        yield f"| `{order}` | `{short}` | `{_wire('float64', order, 1234.5)}` | `{integer}` |"


def _units() -> Iterator[str]:
    yield "| what | units | kept as whole |"
    yield "|---|---|---|"
    for family in FAMILIES:
        units = ", ".join(f"`{unit}`" for unit in family.units)
        yield f"| {family.name.split(' ', 1)[1]} | {units} | {family.quantum} |"


def _point_units() -> Iterator[str]:
    yield "| unit | base unit | one unit is |"
    yield "|---|---|---|"
    for unit, meaning in POINT_UNITS.items():
        shown = f"`{unit}`" if unit not in ("", "%") else f'`"{unit}"`'
        yield f"| {shown} | {meaning.base or '(a plain number)'} | {meaning.to_base:.10g} |"


def _signals() -> Iterator[str]:
    for number, (kind, signals) in enumerate(SIGNALS.items()):
        if number:
            yield ""
        yield f"### Signals of a {kind}" if kind != "meter" else "### Signals of a meter (also `feeder`, `grid`)"
        yield ""
        yield "| signal | units of its point | commanded if writable | meaning |"
        yield "|---|---|---|---|"
        for name, rule in signals.items():
            units = ", ".join(
                f"`{unit}`" if unit else "none" for unit in units_for(rule, role_has_rated=kind != "meter")
            )
            commanded = f"yes: {ACTUATORS[kind][name].value}" if name in ACTUATORS[kind] else "no"
            if name == "shed_expiry":
                commanded = "with the shed"
            yield f"| `{name}` | {units} | {commanded} | {rule.meaning} |"


def main(arguments: Sequence[str]) -> int:
    """Writes both files; with `--check` only compares, and returns 1 when one is stale."""
    stale = 0
    for path, text in ((DOCUMENT, document()), (SCHEMA, schema())):
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(_ROOT)} is stale: run python -m scowl_edge.assembly.reference", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
