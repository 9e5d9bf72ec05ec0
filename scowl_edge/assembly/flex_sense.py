"""Values of `flex` that are right each by itself and wrong together."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.flex_device_sense import device_faults
from scowl_edge.assembly.kinds import split_listen, suggest
from scowl_edge.assembly.port_sense import source_faults
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path


def flex_faults(structure: Structure) -> Iterator[Fault]:
    """Faults of `flex`."""
    flex = structure.configuration.flex
    if flex is None:
        return
    fault = structure.document.fault
    linked = {"listen", "peers"} & set(structure.names("flex"))
    if flex.tls is None and linked and "tls" not in structure.names("flex"):
        what = "`flex` lacks its key `tls`, which its links need"
        todo = "add `tls: {certificate: {...}, key: {...}, authority: {...}}`, or take out `listen` and `peers`"
        yield fault(("flex",), what, todo, at_key=True)
    for key in ("certificate", "authority", "key", "revoked") if flex.tls is not None else ():
        yield from source_faults(structure, ("flex", "tls", key), getattr(flex.tls, key))
    if flex.listen is not None and split_listen(flex.listen)[1] > 65535:
        port = split_listen(flex.listen)[1]
        yield fault(("flex", "listen"), f"port {port} does not exist", "write a port from 0 to 65535")
    if flex.manager is None and flex.provider is None and not {"manager", "provider"} & set(structure.names("flex")):
        what = "`flex` names neither `manager` nor `provider`, so this site has no part in it"
        yield fault(("flex",), what, "name at least one of them", at_key=True)
    own = flex.manager is not None and flex.provider is not None and flex.manager.provider == flex.provider.node
    if flex.provider is not None and not own and flex.listen is None and "listen" not in structure.names("flex"):
        what = "a provider without `listen` can be reached by no manager"
        yield fault(("flex", "provider"), what, "add `listen: 0.0.0.0:8443`", at_key=True)
    yield from _peers(structure)
    if flex.provider is not None:
        yield from _within(structure, ("flex", "provider", "within"), flex.provider.within)
    if flex.manager is not None:
        yield from _within(structure, ("flex", "manager", "within"), flex.manager.within)
        yield from _manager(structure)
        yield from device_faults(structure, flex.manager)


def _peers(structure: Structure) -> Iterator[Fault]:
    flex = structure.configuration.flex
    if flex is None:
        return
    fault = structure.document.fault
    own = {part.node for part in (flex.manager, flex.provider) if part is not None}
    taken: dict[str, str] = {}
    for name, peer in flex.peers.items():
        yield from _within(structure, ("flex", "peers", name, "within"), peer.within)
        path: Path = ("flex", "peers", name, "node")
        if path in structure.assumed:
            continue
        if peer.node in own:
            yield fault(path, f"peer {name} is this node itself", "take it out, or correct its node id")
        both = flex.manager is not None and flex.provider is not None and flex.listen is not None
        if both and flex.manager is not None and peer.node.startswith("cem:") and peer.node not in own and not peer.url:
            speaks = f"its listener speaks as {flex.manager.node}"
            todo = "give the provider a configuration, a node id and a daemon of its own, without `manager`"
            yield fault(path, f"{peer.node} would connect to the provider of this site, but {speaks}", todo)
        first = taken.setdefault(peer.node, name)
        if first != name:
            yield fault(path, f"peers {first} and {name} are both {peer.node}", "correct one of them")


def _within(structure: Structure, path: Path, rating: str | None) -> Iterator[Fault]:
    known = structure.names("ratings")
    if rating is not None and path not in structure.assumed and rating not in known:
        todo = suggest(rating, known, noun="under `ratings` are")
        yield structure.document.fault(path, f"there is no rating {rating}", todo)


def _manager(structure: Structure) -> Iterator[Fault]:
    flex = structure.configuration.flex
    if flex is None or flex.manager is None:
        return
    manager, fault = flex.manager, structure.document.fault
    path: Path = ("flex", "manager")
    if manager.autonomous is not None and manager.unlimited:
        yield fault((*path, "unlimited"), "`unlimited` and `autonomous` contradict each other", "name one of them")
    if manager.provider is None or (*path, "provider") in structure.assumed:
        return
    peers = structure.names("flex", "peers")
    if manager.provider not in peers:
        if flex.provider is not None and manager.provider == flex.provider.node:
            return
        todo = suggest(manager.provider, peers, noun="under `peers` are")
        yield fault((*path, "provider"), f"there is no peer {manager.provider}", todo)
        return
    peer = flex.peers.get(manager.provider)
    if peer is not None and not peer.node.startswith("dsrsp:"):
        what = f"peer {manager.provider} is {peer.node}, and only a dsrsp can be a provider"
        yield fault((*path, "provider"), what, "name another peer")
