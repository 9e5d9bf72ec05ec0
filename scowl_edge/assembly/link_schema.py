"""Keys of links: connections to devices, by protocol."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from scowl_edge.assembly.kinds import Flag, Text, Whole
from scowl_edge.assembly.link_section import Link
from scowl_edge.assembly.modbus_link_schema import (
    MODBUS_LINKS,
    ModbusRtuSection,
    ModbusRtuTcpSection,
    ModbusTcpSection,
    ModbusTlsSection,
)
from scowl_edge.assembly.opcua_kinds import Endpoint, Security
from scowl_edge.assembly.protocol import OPCUA, Protocol
from scowl_edge.assembly.section import Source, duration, key
from scowl_edge.devices.declaration import LinkKind
from scowl_edge.model.quantity import TIME


class OpcuaLinkSection(Link):
    """One session with one OPC-UA server and all devices behind it. Its trouble never delays another link."""

    type: Annotated[str, Protocol(OPCUA)] = key(..., "Type of the link: `opcua`.", OPCUA)
    endpoint: Annotated[str, Endpoint()] = key(
        ...,
        "Address of the server. The daemon connects to this host and port even where the server calls itself by "
        "another name.",
        '"opc.tcp://192.168.1.30:4840/plant"',
    )
    security: Annotated[str, Security()] = key(
        "None",
        "Policy and mode that both sides speak. `Sign` protects against changed messages, `SignAndEncrypt` against "
        "readers too. `None` protects nothing.",
        "Basic256Sha256/SignAndEncrypt",
    )
    user: Annotated[str, Text("a user's name")] | None = key(
        None, "User that the session belongs to.", "edge", shown="none: anonymous"
    )
    password: Source | None = key(
        None,
        "The user's password; read anew at each connect.",
        "{file: /etc/scowl-edge/scada-password}",
        shown="none",
    )
    pki: Annotated[str, Text("a path")] = key(
        "scowl-edge-pki",
        "Folder of the own certificate and key (made there when they lack) and of the servers' certificates that are "
        "trusted, relative to the working directory. Links may share it. `scowl-edge pki` shows and changes it.",
        "/var/lib/scowl-edge/pki",
    )
    timeout: Annotated[int, duration("10 ms", "60 s")] = key(
        TIME("4 s"), "Longest wait for the answer to one request; after it the server counts as silent.", "2 s"
    )
    connect_timeout: Annotated[int, duration("10 ms", "60 s")] = key(
        TIME("5 s"), "Longest wait until the connection and its session are open.", "5 s"
    )
    reconnect: Annotated[int, duration("100 ms", "1 h")] = key(
        TIME("30 s"),
        "Longest pause between attempts to connect; the pauses grow up to it. A server that refuses (certificate, "
        "password, policy) is soon asked only that often.",
        "1 min",
    )
    subscribe: Annotated[bool, Flag()] = key(
        True,
        "`true`: the server reports changes, sampled at each device's `poll`, and values that stay silent are read. "
        "`false`: everything is read each `poll`, for servers without subscriptions.",
        "false",
    )
    max_items: Annotated[int, Whole(0, 100_000)] = key(
        0, "Most nodes in one request, for servers that bear less than they say; 0 = what the server says.", "50"
    )
    session_items: Annotated[int, Whole(0, 100_000)] = key(
        3_000,
        "Most nodes that are subscribed to in one session; beyond, the link opens more sessions. 0 = always one.",
        "1000",
    )


LINKS: dict[str, type[Link]] = {**MODBUS_LINKS, OPCUA: OpcuaLinkSection}
_TELLING = {"endpoint": OPCUA, "device": LinkKind.RTU.value, "baud": LinkKind.RTU.value, "ca": LinkKind.TLS.value}
"""Keys that tell what a link is meant to be where its `type` does not."""


def link_tag(value: Any) -> str:
    """Which type a link's mapping is meant for, also where its `type` is misspelt or lacks."""
    if isinstance(value, Link):
        return value.type
    if not isinstance(value, dict):
        return LinkKind.TCP.value
    kind = value.get("type")
    if isinstance(kind, str) and kind in LINKS:
        return kind
    return next((meant for name, meant in _TELLING.items() if name in value), LinkKind.TCP.value)


AnyLink = Annotated[
    Annotated[ModbusTcpSection, Tag(LinkKind.TCP.value)]
    | Annotated[ModbusRtuSection, Tag(LinkKind.RTU.value)]
    | Annotated[ModbusRtuTcpSection, Tag(LinkKind.RTU_TCP.value)]
    | Annotated[ModbusTlsSection, Tag(LinkKind.TLS.value)]
    | Annotated[OpcuaLinkSection, Tag(OPCUA)],
    Discriminator(link_tag),
]
