"""Values that are right each by itself and wrong together: the port, where secrets lie, the files."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from scowl_edge.assembly.kinds import split_listen
from scowl_edge.assembly.section import Source
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path


def http_faults(structure: Structure) -> Iterator[Fault]:
    """Faults of `http`."""
    http = structure.configuration.http
    fault = structure.document.fault
    host, port = split_listen(http.listen)
    path: Path = ("http", "listen")
    if port > 65535:
        yield fault(path, f"port {port} does not exist", "write a port from 0 to 65535")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and http.tls is None and "tls" not in structure.names("http"):
        what = f"{host} is not a loopback address, and over plain HTTP the network could read tokens and values"
        todo = "add `tls: {certificate: {file: PATH}, key: {file: PATH}}`, or listen on 127.0.0.1"
        yield fault(path, what, todo)
    if not loopback and not {"token", "viewer"} & set(structure.names("http")):
        what = f"{host} is not a loopback address, and without a token reading would be open to the network"
        yield fault(path, what, "add `viewer: {file: PATH}`, and `token: {file: PATH}` for orders")
    for key in ("token", "viewer"):
        yield from source_faults(structure, ("http", key), getattr(http, key))
    if http.tls is not None:
        yield from source_faults(structure, ("http", "tls", "certificate"), http.tls.certificate)
        yield from source_faults(structure, ("http", "tls", "key"), http.tls.key)


def source_faults(structure: Structure, path: tuple[str, ...], source: Source | None) -> Iterator[Fault]:
    """Faults of a place that a secret lies at."""
    if source is None or (source.file is None) != (source.credential is None) or path in structure.assumed:
        return
    given = structure.names(*path)
    if source.file is not None or (not {"file", "credential"} & set(given) and structure.all_known(*path)):
        both = "both `file` and `credential`" if source.file is not None else "neither `file` nor `credential`"
        yield structure.document.fault(path, f"`{path[-1]}` names {both}", "name exactly one of them")


def telemetry_faults(structure: Structure) -> Iterator[Fault]:
    """Faults of `telemetry`."""
    configuration = structure.configuration
    if configuration.telemetry.path == configuration.journal.path:
        what = "`path` of the telemetry is the journal's file"
        yield structure.document.fault(("telemetry", "path"), what, "name another file, or take it out")
