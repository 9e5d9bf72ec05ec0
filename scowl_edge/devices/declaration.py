"""Declarations of links, devices and points: what the configuration says, checked, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from scowl_edge.model.command import WriteClass


class Table(StrEnum):
    """The four address spaces of Modbus."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusPoint:
    """One value of a device, as it lies on the wire and as it is meant."""

    name: str
    table: Table
    address: int
    """Protocol address, from 0."""
    type: str
    """int16, uint16, int32, uint32, int64, uint64, float32, float64, string, bits; bool in bit tables."""
    order: str
    """ABCD, BADC, CDAB or DCBA; eight letters for 64 bit."""
    length: int
    """Registers of a string (else what the type takes); bits read by `bits` = 1 register, in coil tables 1."""
    bit: int
    """For `bits`: number of the single bit, 0 = least significant; -1 = whole register as a number."""
    scale: float
    """Configured unit = raw * scale (* 10 ** scale_factor) + offset."""
    offset: float
    scale_factor: str
    """Name of the point whose value is the power of ten; empty if none."""
    nan: tuple[float, ...]
    """Raw values that mean 'not available'."""
    unit: str
    """As configured: kW, %, ..."""
    to_base: float
    """Base unit = configured unit * to_base (kW: 1000, %: 0.01)."""
    base_unit: str
    """W, Wh, V, A, Hz, fraction, s, VA, var, degC or empty."""
    access: str
    """r, w or rw."""
    write_class: WriteClass
    fresh_for_ms: int
    hold_for_ms: int
    low: float | None
    """Plausibility limits in the configured unit."""
    high: float | None

    @property
    def registers(self) -> int:
        """Registers (or bits) that it takes on the wire."""
        if self.table in (Table.COIL, Table.DISCRETE):
            return 1
        return {
            "int32": 2,
            "uint32": 2,
            "float32": 2,
            "int64": 4,
            "uint64": 4,
            "float64": 4,
            "string": self.length,
        }.get(self.type, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusDevice:
    """One unit behind a Modbus link."""

    name: str
    unit: int
    poll_ms: int
    points: tuple[ModbusPoint, ...]
    first_point: int
    """Index of its first point in the site's point table; the others follow in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusLink:
    """One TCP connection and the units behind it."""

    name: str
    host: str
    port: int
    timeout_ms: int
    connect_timeout_ms: int
    reconnect_ms: int
    """Longest pause between attempts to connect."""
    max_gap: int
    """Unused registers that may be read to join two points into one request."""
    max_read: int
    """Registers of the longest read, at most 125."""
    pause_ms: int
    """Quiet time between requests."""
    read_only: bool
    devices: tuple[ModbusDevice, ...]


OPCUA_TYPES = (
    "boolean",
    "sbyte",
    "byte",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float",
    "double",
    "string",
    "datetime",
)
"""Scalar types of OPC-UA that a point may have; `datetime` is read as seconds since 1970."""


OPCUA_PORT = 4840
"""Where servers listen whose endpoint names no port."""


class SecurityPolicy(StrEnum):
    """Policies of OPC 10000-7 that are spoken; each but `NONE` needs a certificate on both sides."""

    NONE = "None"
    BASIC256_SHA256 = "Basic256Sha256"
    AES128_SHA256_RSA_OAEP = "Aes128_Sha256_RsaOaep"
    AES256_SHA256_RSA_PSS = "Aes256_Sha256_RsaPss"


class SecurityMode(StrEnum):
    """What happens to each message."""

    NONE = "None"
    SIGN = "Sign"
    SIGN_AND_ENCRYPT = "SignAndEncrypt"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaPoint:
    """One value of a device, as its server holds it and as it is meant. Fields of the same name as ModbusPoint's mean
    the same."""

    name: str
    node: str
    """NodeId as text: `ns=2;s=Hall/Power`, `nsu=urn:site;s=Hall/Power` (namespace by URI, so that indices may shift),
    `i=2258`. For a method: the object that it is called on."""
    type: str
    """One of OPCUA_TYPES; empty: as the server says."""
    index: int
    """Element of an array value, from 0; -1 = a scalar."""
    method: str
    """NodeId of a method that a write calls with the value as its one argument (none where `type` is `none`); empty for
    a variable."""
    scale: float
    offset: float
    nan: tuple[float, ...]
    unit: str
    to_base: float
    base_unit: str
    access: str
    write_class: WriteClass
    fresh_for_ms: int
    hold_for_ms: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaDevice:
    """Points of one device behind an OPC-UA server."""

    name: str
    poll_ms: int
    """How often its points are sampled, and how long they may be silent before they are read."""
    points: tuple[OpcuaPoint, ...]
    first_point: int
    """Index of its first point in the site's point table; the others follow in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a password lies: a file, or a credential that systemd hands over. Read at each connect."""

    file: str
    """Path; empty if it is a credential."""
    credential: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaLink:
    """One session with one server."""

    name: str
    endpoint: str
    """opc.tcp://host:port/path"""
    policy: SecurityPolicy
    mode: SecurityMode
    user: str
    """Empty: anonymous."""
    password: Secret | None
    pki: str
    """Folder of the own certificate and key and of the certificates trusted here."""
    timeout_ms: int
    """Longest wait for the answer to one request."""
    connect_timeout_ms: int
    reconnect_ms: int
    """Longest pause between attempts to connect."""
    subscribe: bool
    """Values come by subscription; False: by list reads each `poll`."""
    max_items: int
    """Most nodes in one request, beside the server's own limits; 0 = only those."""
    read_only: bool
    devices: tuple[OpcuaDevice, ...]

    @property
    def host(self) -> str:
        """Host of the endpoint, in lower case; IPv6 without brackets."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        """Port of the endpoint."""
        return urlsplit(self.endpoint).port or OPCUA_PORT


DeviceLink = ModbusLink | OpcuaLink
