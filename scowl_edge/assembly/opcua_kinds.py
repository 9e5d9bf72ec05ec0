"""Kinds of values that only OPC-UA has: endpoints, security policies, node ids."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

from scowl_edge.assembly.kinds import Choice, Kind, Text, Wrong, found, is_host
from scowl_edge.devices.declaration import SecurityMode, SecurityPolicy

_SECURE = [
    f"{policy.value}/{mode.value}"
    for policy in SecurityPolicy
    for mode in (SecurityMode.SIGN_AND_ENCRYPT, SecurityMode.SIGN)
    if policy is not SecurityPolicy.NONE
]
_DEPRECATED = ("Basic128Rsa15", "Basic256")
_NODE = re.compile(r"(?:(?P<space>nsu?)=(?P<where>[^;]*);)?(?P<kind>[isgb])=(?P<name>.*)", re.DOTALL)
_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_EXAMPLE = '"nsu=urn:site;s=Hall/Power"'


class Endpoint(Text):
    """Address of an OPC-UA server over TCP."""

    def __init__(self) -> None:
        super().__init__("address", said="opc.tcp://HOST:PORT/PATH; the port is 4840 where none stands")

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"is {found(value)}, not an address", f"use {self.said}")
        text = super().accept(value)
        scheme, mark, rest = text.partition("://")
        if not mark:
            raise Wrong(
                f'is "{text}", which is no address', f"write opc.tcp://{text.removeprefix('opc.tcp:').strip('/')}"
            )
        if scheme != "opc.tcp":
            raise Wrong(
                f'is "{text}", but only opc.tcp is spoken', f"write opc.tcp://{rest} if the server has that too"
            )
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise Wrong(f'is "{text}", which is no address: {str(error).lower()}', f"use {self.said}") from None
        if url.username is not None:
            raise Wrong("holds a user's name", "write it as `user`, and the password as `password: {file: PATH}`")
        if not host or not is_host(host) or port == 0:
            raise Wrong(f'is "{text}", which names no host and port', f"use {self.said}")
        return text

    def json(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^opc\.tcp://[^@/\s]+(/\S*)?$"}


class Security(Choice):
    """A security policy with its mode, or None."""

    label = "policy and mode"

    def __init__(self) -> None:
        super().__init__((SecurityPolicy.NONE.value, *_SECURE))

    def accept(self, value: Any) -> str:
        if value is None:
            raise Wrong("is nothing", "write None (with a capital), or a policy")
        if isinstance(value, str) and value not in self.words:
            policy, _, mode = value.partition("/")
            if policy in _DEPRECATED:
                what = f'is "{value}", which is not spoken since its algorithms are broken'
                raise Wrong(what, "write Basic256Sha256/SignAndEncrypt, and switch it on in the server")
            known = next((p for p in SecurityPolicy if p.value.lower() == policy.lower()), None)
            if known is SecurityPolicy.NONE:
                raise Wrong(f'is "{value}"', "write None, which has no mode")
            if known is not None and not mode:
                raise Wrong(f'is "{value}" without a mode', f"write {known.value}/SignAndEncrypt or {known.value}/Sign")
        return super().accept(value)


class DataType(Choice):
    """A scalar type of OPC-UA; hints for those who think in other names."""

    _ALSO: ClassVar = {
        "bool": "boolean",
        "int8": "sbyte",
        "uint8": "byte",
        "float32": "float",
        "real": "float",
        "float64": "double",
        "lreal": "double",
        "utctime": "datetime",
        "localizedtext": "string",
    }

    def accept(self, value: Any) -> str:
        meant = self._ALSO.get(value.lower()) if isinstance(value, str) else None
        if meant is not None:
            raise Wrong(f'is "{value}", which OPC-UA calls otherwise', f"write {meant}")
        return super().accept(value)


class Node(Kind):
    """A NodeId as text."""

    label = "node id"
    bounds = "`nsu=URI;` or `ns=INDEX;` or neither, then `s=TEXT`, `i=NUMBER`, `g=GUID` or `b=BASE64`"

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            number = isinstance(value, int) and not isinstance(value, bool)
            todo = f"write i={value}, with its namespace if it has one" if number else f"write text, e.g. {_EXAMPLE}"
            raise Wrong(f"is {found(value)}, not a node id", todo)
        match = _NODE.fullmatch(value)
        if match is None:
            raise Wrong(f"is {found(value)}, which is no node id", _advice(value))
        space, where, kind, name = match["space"], match["where"], match["kind"], match["name"]
        if space == "ns" and not (re.fullmatch("[0-9]{1,5}", where) and int(where) <= 65_535):
            todo = f"write nsu={where};..." if ":" in where else "write a number from 0 to 65535 behind ns="
            raise Wrong(f'has the namespace "{where}", which is no index', todo)
        if space == "nsu" and not where:
            raise Wrong("names no namespace behind nsu=", f"write the URI as the server lists it, e.g. {_EXAMPLE}")
        if kind == "s" and not name:
            raise Wrong("has no name behind s=", f"write e.g. {_EXAMPLE}")
        if kind == "i" and not (re.fullmatch("[0-9]{1,10}", name) and int(name) < 2**32):
            raise Wrong(f'has the identifier i="{name}", which is no number up to 4294967295', "write s= before a text")
        if kind == "g" and _GUID.fullmatch(name) is None:
            raise Wrong(f'has the identifier g="{name}", which is no GUID', "write 8-4-4-4-12 hexadecimal digits")
        if kind == "b":
            try:
                base64.b64decode(name, validate=True)
            except (binascii.Error, ValueError):
                raise Wrong(f'has the identifier b="{name}", which is no Base64', "correct it") from None
        return value

    def json(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^((ns=[0-9]{1,5}|nsu=[^;]+);)?(s=[\s\S]+|i=[0-9]{1,10}|[gb]=\S+)$"}


def _advice(text: str) -> str:
    """What is meant by text that is almost a node id."""
    compact = re.sub(r"\s*([;,=])\s*", r"\1", text.strip())
    for guess in (compact, compact.replace(",", ";", 1), re.sub(r":([isgb]=)", r";\1", compact)):
        lowered = re.sub(r"^NSU?=", lambda found: found[0].lower(), guess)
        lowered = re.sub(r"(^|;)([ISGB])=", lambda found: found[0].lower(), lowered)
        if _NODE.fullmatch(lowered) is not None:
            return f'write "{lowered}"'
    if compact.startswith("svr="):
        return (
            "nodes of other servers are not reached through this one: leave svr=... out, or add a link to that server"
        )
    name = compact.rpartition(";")[2]
    prefix = compact[: len(compact) - len(name)]
    if name and "=" not in name and (not prefix or re.fullmatch("nsu?=[^;]+;", prefix)):
        return f'write "{prefix}i={name}"' if name.isdigit() else f'write "{prefix}s={name}" if it is a text identifier'
    return f"write e.g. {_EXAMPLE}, ns=2;i=5001 or i=2258"
