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


class LinkKind(StrEnum):
    """How Modbus frames travel."""

    TCP = "modbus-tcp"
    RTU = "modbus-rtu"
    """A serial line."""
    RTU_TCP = "modbus-rtu-tcp"
    """Frames of a serial line through a TCP connection to a converter that does not know Modbus."""
    TLS = "modbus-tls"
    """Modbus/TCP Security: TCP frames inside TLS, both sides with a certificate."""


class Parity(StrEnum):
    """Parity of a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLine:
    """A serial port and how it is set."""

    device: str
    """Path, such as /dev/ttyUSB0."""
    baud: int
    data_bits: int
    parity: Parity
    stop_bits: int

    @property
    def character_ms(self) -> float:
        """Time that one character takes on the line."""
        return (1 + self.data_bits + (self.parity is not Parity.NONE) + self.stop_bits) * 1000 / self.baud

    @property
    def frame_gap_ms(self) -> float:
        """Silence between two frames: 3.5 characters, fixed at 1.75 ms above 19200 baud (Modbus over Serial Line V1.02,
        2.5.1.1)."""
        return 1.75 if self.baud > 19_200 else 3.5 * self.character_ms

    def read_ms(self, data_bytes: int) -> float:
        """Time on the line of one read whose reply carries so many bytes of data: 8 characters there, 5 and the data
        back, silence before each."""
        return (13 + data_bytes) * self.character_ms + 2 * self.frame_gap_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTls:
    """Certificates of a link inside TLS. Paths; read anew at each connect."""

    ca: str
    """Certificates, or issuers of certificates, that the device may show."""
    certificate: str
    """Own certificate, with its chain."""
    key: str
    server_name: str
    """Name that the device's certificate must carry; empty: the link's host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProxy:
    """Where other tools may read the link's units through this daemon."""

    host: str
    port: int
    share_ppm: int
    """Most of the bus time that their requests may take, in millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A register that only grows, until it wraps or its device starts it anew."""

    wraps_at: int
    """Raw value at which it begins again at 0, such as 2**32; 0: it never wraps, so a fall is a new start or a step
    back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A register whose value is known: read to be sure that replies belong to their requests."""

    table: Table
    address: int
    equals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Addresses that must never be read, not even to join two points."""

    table: Table
    first: int
    last: int
    """Included."""


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
    poll_ms: int = 0
    """How often it is read; 0: as the device."""
    max_change: float = 0.0
    """Plausible change a second, in the configured unit; 0: any."""
    stuck_after_ms: int = 0
    """A measured value that does not change at all for so long is doubted; 0: never."""
    counter: Counter | None = None

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
    timeout_ms: int = 0
    """Longest wait for its reply; 0: as the link."""
    pause_ms: int = 0
    """Quiet time that it needs between two requests to itself; others may be asked meanwhile."""
    budget_ppm: int = 0
    """Share of the bus time, in millionths, beyond which it yields to the others; 0: none."""
    max_gap: int = -1
    """As the link's; -1: the link's own."""
    max_read: int = 0
    """As the link's; 0: the link's own."""
    holes: tuple[Hole, ...] = ()
    canary: Canary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusLink:
    """One connection or serial line and the units behind it."""

    name: str
    host: str
    """Empty for a serial line."""
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
    kind: LinkKind = LinkKind.TCP
    serial: SerialLine | None = None
    """For RTU only."""
    tls: LinkTls | None = None
    """For TLS only."""
    settle_ms: int = 100
    """Quiet time after the connection was opened: many gateways drop what comes sooner."""
    probe_share_ppm: int = 50_000
    """Most of the bus time, in millionths, that units take which do not answer, while the others fill the rest."""
    pipeline: int = 1
    """Most requests under way at once; more than 1 only over TCP and TLS."""
    late_ms: int = 0
    """How long after its time-out a reply may still come over a serial line; 0: 4 times the time-out."""
    proxy: LinkProxy | None = None

    @property
    def is_serial(self) -> bool:
        """Whether frames are those of a serial line, without transaction ids."""
        return self.kind in (LinkKind.RTU, LinkKind.RTU_TCP)

    @property
    def late_reply_ms(self) -> int:
        """How long after its time-out a reply may still come."""
        return self.late_ms or 4 * self.timeout_ms


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
    max_change: float = 0.0
    stuck_after_ms: int = 0
    counter: Counter | None = None


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
    """One server, in one session or as many as its items need."""

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
    session_items: int = 3_000
    """Most subscribed nodes in one session; beyond, the link opens more sessions. 0: always one."""
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
