"""Keys of links: connections to devices, by protocol."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from scowl_edge.assembly.kinds import Flag, Text, Whole
from scowl_edge.assembly.opcua_kinds import Endpoint, Security
from scowl_edge.assembly.protocol import MODBUS, OPCUA, Protocol
from scowl_edge.assembly.section import Delay, Positive, Section, Source, duration, key
from scowl_edge.model.quantity import TIME


class Link(Section):
    """What all links know."""

    type: str
    timeout: int
    connect_timeout: int
    reconnect: int
    read_only: Annotated[bool, Flag()] = key(False, "Never write anything on this link.", "true")
    fresh_for: Positive | None = key(
        None, "Age up to which values of this link count as fresh.", "3 s", shown="3 times the device's poll"
    )
    hold_for: Delay | None = key(
        None, "Age beyond `fresh_for` up to which the last value is held.", "60 s", shown="60 s"
    )


class ModbusLinkSection(Link):
    """One TCP connection and all units behind it. Trouble behind one link never delays another link."""

    type: Annotated[str, Protocol(MODBUS)] = key(..., "Kind of the link: `modbus-tcp`.", MODBUS)
    host: Annotated[str, Text("a host name or address")] = key(..., "Host name or IP address.", "192.168.1.20")
    port: Annotated[int, Whole(1, 65535)] = key(502, "TCP port.", "502")
    timeout: Annotated[int, duration("1 ms", "60 s")] = key(
        TIME("500 ms"), "Longest wait for the reply to one request; after it the unit counts as silent.", "500 ms"
    )
    connect_timeout: Annotated[int, duration("1 ms", "60 s")] = key(
        TIME("2 s"), "Longest wait for the connection to open.", "2 s"
    )
    reconnect: Annotated[int, duration("100 ms", "1 h")] = key(
        TIME("5 s"), "Longest pause between attempts to connect; the pauses grow up to it.", "5 s"
    )
    max_gap: Annotated[int, Whole(0, 124)] = key(
        8,
        "Most unused registers that may be read along to join two points into one request. Set 0 for devices that "
        "refuse to read addresses they do not have.",
        "0",
    )
    max_read: Annotated[int, Whole(1, 125)] = key(120, "Most registers in one request.", "64")
    pause: Annotated[int, duration("0 ms", "10 s")] = key(
        TIME("0 ms"), "Quiet time between two requests, for slow gateways.", "20 ms"
    )


class OpcuaLinkSection(Link):
    """One session with one OPC-UA server and all devices behind it. Its trouble never delays another link."""

    type: Annotated[str, Protocol(OPCUA)] = key(..., "Kind of the link: `opcua`.", OPCUA)
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


LINKS: dict[str, type[Link]] = {MODBUS: ModbusLinkSection, OPCUA: OpcuaLinkSection}


def link_tag(value: Any) -> str:
    """Which protocol a link's mapping is meant for, also where its `type` is misspelt or lacks."""
    if isinstance(value, OpcuaLinkSection):
        return OPCUA
    if not isinstance(value, dict):
        return MODBUS
    kind = value.get("type")
    return OPCUA if kind == OPCUA or (kind != MODBUS and "endpoint" in value) else MODBUS


AnyLink = Annotated[
    Annotated[ModbusLinkSection, Tag(MODBUS)] | Annotated[OpcuaLinkSection, Tag(OPCUA)], Discriminator(link_tag)
]
