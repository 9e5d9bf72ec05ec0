"""Kinds of values that only Modbus has: hosts, rates of a serial line, addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from scowl_edge.assembly.kinds import Kind, Text, Wrong, found

_RANGE = re.compile(r"\s*([0-9]{1,5})\s*-\s*([0-9]{1,5})\s*")
_LAST = 65_535


class Host(Text):
    """A host name or an address; IPv6 with or without brackets, kept without."""

    def __init__(self) -> None:
        super().__init__("a host name or address", said="a name or an address alone; IPv6 in quotes")

    def accept(self, value: Any) -> str:
        if isinstance(value, list):
            raise Wrong("is a list, since brackets make one", 'put an IPv6 address in quotes: "::1"')
        text = super().accept(value)
        if "/" in text:
            raise Wrong(f'is "{text}", which is no plain host name', "write the host alone, without scheme and path")
        if re.search(r"\s", text):
            raise Wrong(f'is "{text}", which is no host name', "take the blanks out")
        bare = text.removeprefix("[").removesuffix("]") if text.startswith("[") else text
        if ":" not in bare and bare == text:
            return text
        try:
            ip_address(bare)
        except ValueError:
            host, _, port = text.rpartition(":")
            if port.isdigit() and (":" not in host or host.startswith("[")):
                host = f'"{host.strip("[]")}"' if host.startswith("[") else host
                raise Wrong(f'is "{text}", a host with a port', f"write `host: {host}` and `port: {port}`") from None
            raise Wrong(f'is "{text}", which is no IPv6 address', 'write e.g. "fd00::20"') from None
        return bare


class Rate(Kind):
    """A standard rate of a serial line."""

    label = "whole number"
    RATES = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
    bounds = ", ".join(map(str, RATES))

    def accept(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in self.RATES:
            raise Wrong(f"is {found(value)}, which is no rate of serial lines", f"write one of {self.bounds}")
        return value

    def json(self) -> dict[str, Any]:
        return {"type": "integer", "enum": list(self.RATES)}


class Ranges(Kind):
    """Addresses and ranges of them, as pairs of first and last (included)."""

    label = "list of addresses and ranges"
    bounds = "0 to 65535"

    def accept(self, value: Any) -> tuple[tuple[int, int], ...]:
        return tuple(self._range(part) for part in (value if isinstance(value, list) else [value]))

    def _range(self, part: Any) -> tuple[int, int]:
        match = _RANGE.fullmatch(part) if isinstance(part, str) else None
        if match is not None:
            first, last = int(match[1]), int(match[2])
        elif isinstance(part, int) and not isinstance(part, bool):
            first = last = part
        else:
            raise Wrong(f"holds {found(part)}, no address and no range", "write e.g. [40-49, 60]")
        if not 0 <= first <= _LAST or not 0 <= last <= _LAST:
            raise Wrong(f"holds {part}, outside of the addresses", f"write protocol addresses from 0 to {_LAST}")
        if first > last:
            raise Wrong(f"holds {part}, which runs backwards", f"write {last}-{first}")
        return first, last

    def show(self, value: Any) -> str:
        return "[" + ", ".join(f"{first}-{last}" if first != last else f"{first}" for first, last in value) + "]"

    def json(self) -> dict[str, Any]:
        one: dict[str, Any] = {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _LAST},
                {"type": "string", "pattern": r"^\s*[0-9]{1,5}\s*-\s*[0-9]{1,5}\s*$"},
            ]
        }
        return {"anyOf": [{"type": "array", "items": one}, *one["anyOf"]]}
