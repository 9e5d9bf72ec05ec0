"""The standard address space, as much of it as a client looks at: a quarter of the nodes, a third of the time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space import standard_address_space

# The generated module has no types.
_fill: Any = standard_address_space.fill_address_space
_in_any_order: Any = standard_address_space.PostponeReferences
_ROOTS = range(84, 92)
"""Root and the folders below it."""
_RULES = (78, 80, 83, 11508, 11510)
"""Modelling rules, which the arguments of methods refer to."""
_SERVER = 2253
_SERVER_PARTS = (2254, 2255, 2256, 2267, 2268, 2994)
"""Arrays of servers and namespaces, status, service level, capabilities with operation limits, auditing."""
_TYPES = (ua.NodeClass.ReferenceType, ua.NodeClass.DataType, ua.NodeClass.ObjectType, ua.NodeClass.VariableType)


class _Collected:
    """Stands where the library's node service stands, and keeps what would be added."""

    def __init__(self) -> None:
        self.nodes: dict[int, Any] = {}
        self.references: list[Any] = []

    def try_add_nodes(self, nodes: Iterable[Any], check: bool = True) -> list[Any]:
        """All of them are kept; none remains to be added."""
        self.nodes |= {node.RequestedNewNodeId.Identifier: node for node in nodes}
        return []

    def try_add_references(self, references: Iterable[Any]) -> list[Any]:
        """All of them are kept; none remains to be added."""
        self.references += references
        return []


def _wanted() -> tuple[list[Any], list[Any]]:
    collected = _Collected()
    _fill(collected)
    nodes = collected.nodes
    above = {number: node.ParentNodeId.Identifier for number, node in nodes.items()}

    def hangs_below(number: int) -> bool:
        while number in above and number not in _SERVER_PARTS:
            number = above[number]
        return number in _SERVER_PARTS

    kept = {
        number
        for number, node in nodes.items()
        if node.NodeClass in _TYPES or number in _ROOTS or number in _RULES or number == _SERVER or hangs_below(number)
    }
    references = [
        reference
        for reference in collected.references
        if reference.SourceNodeId.Identifier in kept and reference.TargetNodeId.Identifier in kept
    ]
    return [node for number, node in nodes.items() if number in kept], references


class SmallInternalServer(InternalServer):
    """The library's server over the smaller space."""

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """Takes what is wanted; the space is no file here, so `shelf_file` is not looked at."""
        nodes, references = _wanted()
        with _in_any_order(self.node_mgt_service) as service:
            service.add_nodes(nodes)
            service.add_references(references)
