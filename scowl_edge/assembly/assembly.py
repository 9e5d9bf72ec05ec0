"""The whole configuration as one frozen value: what every part of the daemon is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scowl_edge.assembly.point_rows import PointInfo as PointInfo
from scowl_edge.assembly.point_rows import PointRows
from scowl_edge.assembly.signals import Rounding
from scowl_edge.config import Document
from scowl_edge.devices.declaration import DeviceLink, Secret
from scowl_edge.model.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalBinding:
    """How a point becomes a signal: quantum = round(base value * gain)."""

    point: int
    """Index in the point table."""
    gain: float
    rounding: Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorBinding:
    """How a command becomes a write: base value = command value / gain."""

    point: int
    """Index in the point table."""
    gain: float
    expiry_point: int
    """Point that takes how long a shed lasts, in s, before the shed itself; -1 if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Certificate (with its chain) and private key of the port, both PEM."""

    certificate: Secret
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The one port."""

    host: str
    port: int
    """0 takes any free one."""
    token_file: Path | None
    """The operator's token; with the credential None too: orders are refused."""
    token_credential: str | None
    viewer_file: Path | None = None
    """The viewer's token; with the credential None too: reading is open on loopback, else needs the operator's."""
    viewer_credential: str | None = None
    tls: TlsSettings | None = None
    """None: plain HTTP, which the configuration grants on loopback only."""
    names: tuple[str, ...] = ()
    """Hosts under which the port may be addressed beside `host`, in lower case, IPv6 without brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """The journal."""

    path: Path
    keep_ms: int
    limit_bytes: int
    """Most that the file may take; the oldest segments go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """The file of trends and old events."""

    path: Path
    keep_ms: int
    every_ms: int
    """Span of one value of a trend."""
    limit_bytes: int
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPeerSettings:
    """Another node of flexibility."""

    name: str
    node: str
    url: str
    """Where it listens; empty: it connects to us."""
    fingerprint: str
    """Of its certificate, 64 hex digits in lower case; empty: any that the authority issued to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSettings:
    """Links of flexibility."""

    host: str
    """Empty: nobody can connect."""
    port: int
    certificate: Secret
    authority: Secret
    key: Secret
    peers: tuple[FlexPeerSettings, ...]
    revoked: Secret | None = None
    """Revocation list; None: nobody is revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Everything that a configuration says, checked."""

    site: Site
    points: PointRows
    """The point table; devices in the order of the file, their points in theirs."""
    links: tuple[DeviceLink, ...]
    signals: tuple[SignalBinding, ...]
    """Parallel to `site.signals`."""
    actuators: tuple[ActuatorBinding, ...]
    """Parallel to `site.actuators`."""
    http: HttpSettings
    journal: JournalSettings
    telemetry: TelemetrySettings
    flex: FlexSettings | None
    """None: the site has no part in flexibility; what part it has is `site.flex`."""
    simulation: Mapping[str, Any] | None = field(hash=False)
    """The section as it was written, not checked."""
    text: str = field(repr=False)
    fingerprint: str
    """SHA-256 of the text, in hex."""
    document: Document = field(repr=False, compare=False)
    """The file with its places: `document.fault(path, what, todo)` reports a fault found later."""
