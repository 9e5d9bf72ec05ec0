"""What is doubtful about OPC-UA links and their points."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path as FilePath

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.certificates import expired, in_words, read_folder
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.assembly.point_schema import NO_VALUE
from scowl_edge.assembly.port_findings import unreadable
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.devices.declaration import OpcuaLink, OpcuaPoint, SecurityPolicy


def opcua_findings(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    """Warnings about OPC-UA links; looks at the folders of certificates, touches no server."""
    links = [link for link in assembly.links if isinstance(link, OpcuaLink)]
    if links and find_spec("asyncua") is None:
        what = "links of type opcua need the package asyncua, which is not installed here"
        todo = "install it with pip install 'scowl-edge[opcua]' where the daemon runs"
        yield structure.document.fault(("links", links[0].name, "type"), what, todo)
    for link in links:
        yield from _session(link, structure)
        yield from _namespaces(link, structure)
        yield from _twice(link, structure)
    yield from _calls(assembly, structure)


def _session(link: OpcuaLink, structure: Structure) -> Iterator[Fault]:
    path = ("links", link.name)
    fault = structure.document.fault
    section = structure.configuration.links[link.name]
    assert isinstance(section, OpcuaLinkSection)
    yield from unreadable(structure, (*path, "password"), section.password)
    if link.user and link.password is None:
        what = f"link {link.name} has the user {link.user} but no password"
        yield fault((*path, "user"), what, "add `password: {file: PATH}`, unless the server asks for none")
    if link.policy is SecurityPolicy.NONE:
        if link.password is not None:
            what = (
                f"the password of {link.user} goes over link {link.name} without security: unless the server asks for "
                "it encrypted, it can be read on the way"
            )
            todo = "write `security: Basic256Sha256/SignAndEncrypt` if the server offers it"
            yield fault((*path, "password"), what, todo, at_key=True)
        return
    folder = FilePath(link.pki)
    place = (*path, "pki") if "pki" in structure.names(*path) else (*path, "security")
    yield from _expired(folder, place, structure)
    if not _writable(folder):
        what = f"the folder of certificates, {folder}, cannot be written here"
        todo = "name another as `pki`, or give the daemon's user the right, so that the own certificate can be made"
        yield fault(place, what, todo)
    elif not _any_trusted(folder):
        what = f"no server's certificate is trusted in {folder / 'trusted'} yet, so link {link.name} would be refused"
        todo = (
            f"put the server's certificate there, or let the daemon try once and then use `scowl-edge pki trust --pki "
            f"{folder} THUMBPRINT`"
        )
        yield fault(place, what, todo)


def _expired(folder: FilePath, place: Path, structure: Structure) -> Iterator[Fault]:
    if find_spec("cryptography") is None:
        return
    for name, todo in (
        ("own", "move it and its key away, so that new ones are made, and trust the new one at each server"),
        ("trusted", "renew it at its server and trust the new one, then forget this one with `scowl-edge pki forget`"),
    ):
        try:
            old = [one for one in read_folder(folder / name) if expired(one.certificate)]
        except OSError:
            continue
        for one in old:
            what = f"the certificate {one.path} ({in_words(one.certificate)}) is refused since it expired"
            yield structure.document.fault(place, what, todo)


def _writable(folder: FilePath) -> bool:
    """Whether files can be made in a folder, or in the nearest one above that exists."""
    try:
        at = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    except OSError:
        return False
    return at.is_dir() and os.access(at, os.W_OK | os.X_OK)


def _any_trusted(folder: FilePath) -> bool:
    try:
        return any(path.is_file() for path in (folder / "trusted").iterdir())
    except OSError:
        return False


def _namespaces(link: OpcuaLink, structure: Structure) -> Iterator[Fault]:
    by_index = [
        (device.name, point)
        for device in link.devices
        for point in device.points
        if _shifts(point.node) or _shifts(point.method)
    ]
    if by_index:
        device, point = by_index[0]
        who = f"{len(by_index)} points" if len(by_index) > 1 else "one point"
        names = "name" if len(by_index) > 1 else "names"
        what = f"{who} of link {link.name} {names} a namespace by its index, which may be another after a change there"
        todo = "write nsu=URI instead of ns=INDEX, with the URI from the server's list of namespaces"
        yield structure.document.fault(("devices", device, "points", point.name, "node"), what, todo)


def _shifts(node: str) -> bool:
    """Whether a node is named by an index that is not fixed: 0 is the standard's."""
    return node.startswith("ns=") and not node.startswith("ns=0;")


def _twice(link: OpcuaLink, structure: Structure) -> Iterator[Fault]:
    taken: dict[tuple[str, str, int], tuple[str, OpcuaPoint]] = {}
    for device in link.devices:
        for point in device.points:
            name, first = taken.setdefault((point.node, point.method, point.index), (device.name, point))
            if first is point or set(first.access) & set(point.access) == set():
                continue
            what = f"{point.name} of {device.name} is the same node as {first.name} of {name}"
            path = ("devices", device.name, "points", point.name, "node")
            yield structure.document.fault(path, what, "correct one of them, or take it out")


def _calls(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    for binding in assembly.actuators:
        row = assembly.points[binding.point]
        if row.type == NO_VALUE:
            what = (
                f"{row.name} of {row.device} takes no value, so every command to it does the same, whatever is decided"
            )
            todo = "bind the signal to a method with an argument, or to a variable"
            yield structure.document.fault(("devices", row.device, "points", row.name, "method"), what, todo)
