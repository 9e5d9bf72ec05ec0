"""What is doubtful about the port: addresses nobody could use, tokens that are one, files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path as FilePath

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.section import Source
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault


def port_findings(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    """Warnings about `http`."""
    http, section = assembly.http, structure.configuration.http
    fault = structure.document.fault
    if _is_any(http.host) and section.token is not None and not http.names:
        what = f"{http.host} listens on every address, but `names` lists no host name, so orders under one are refused"
        todo = "add `names: [scada.example]` with the host names that people use"
        yield fault(("http", "listen"), what, todo)
    if section.viewer is not None and section.viewer == section.token:
        what = "`viewer` and `token` are the same, so whoever may read may also give orders"
        yield fault(("http", "viewer"), what, "give the viewer a token of its own")
    for key in ("token", "viewer"):
        yield from unreadable(structure, ("http", key), getattr(section, key))
    if section.tls is not None:
        yield from unreadable(structure, ("http", "tls", "certificate"), section.tls.certificate)
        yield from unreadable(structure, ("http", "tls", "key"), section.tls.key)


def unreadable(structure: Structure, path: tuple[str, ...], source: Source | None) -> Iterator[Fault]:
    """A warning if what a source names cannot be read from here."""
    if source is not None and source.file is not None:
        yield from unreadable_file(structure, (*path, "file"), path[-1], source.file)


def unreadable_file(structure: Structure, path: tuple[str, ...], key: str, name: str) -> Iterator[Fault]:
    """A warning at `path`, about the file of a key, if it cannot be read from here."""
    try:
        with FilePath(name).open("rb") as file:
            file.read(1)
    except OSError as error:
        what = f"the file of `{key}`, {name}, cannot be read here: {error.strerror}"
        todo = "make it, or check its rights, before the daemon starts; paths count from its working directory"
        yield structure.document.fault(path, what, todo)


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
