"""A parsed file: plain values, and where each key and value stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from yaml.nodes import MappingNode, Node, SequenceNode

from scowl_edge.config.fault import Fault

Path = tuple[str | int, ...]


class Entry(NamedTuple):
    """One key of a mapping, own or merged in."""

    key: Node
    value: Node


class Document:
    """Values of one file with their places.

    Attributes:
        file: name of the file as it is shown in faults.
        text: the whole text.
        data: mappings, lists, str, int, float, bool and None; shared where the file uses an alias.
        faults: what is wrong with the YAML itself.
        broken: top-level keys whose text could not be read in full; `data` holds the rest of them. `*` stands for all.
    """

    def __init__(
        self,
        file: str,
        text: str,
        data: Any,
        root: Node | None,
        entries: Mapping[int, Mapping[str, Entry]],
        faults: tuple[Fault, ...],
        broken: frozenset[str],
    ) -> None:
        self.file = file
        self.text = text
        self.data = data
        self.faults = faults
        self.broken = broken
        self._root = root
        self._entries = entries

    def position(self, path: Path) -> tuple[int, int]:
        """Line and column of the value at `path`; of the deepest part that exists where it does not."""
        node = self._node(path)
        return _place(node) if node is not None else (1, 1)

    def key_position(self, path: Path) -> tuple[int, int]:
        """Line and column of the key that `path` ends with; of the value where that is no key of a mapping."""
        if path:
            parent = self._node(path[:-1])
            if parent is not None:
                entry = self._entries.get(id(parent), {}).get(str(path[-1]))
                if entry is not None:
                    return _place(entry.key)
        return self.position(path)

    def fault(self, path: Path, what: str, todo: str, *, at_key: bool = False) -> Fault:
        """A fault about the value (or the key) at `path`."""
        line, column = self.key_position(path) if at_key else self.position(path)
        return Fault(self.file, line, column, what, todo)

    def get(self, path: Path) -> Any:
        """The plain value at a path of keys, None where there is none."""
        value = self.data
        for step in path:
            if not isinstance(value, dict) or step not in value:
                return None
            value = value[step]
        return value

    def _node(self, path: Path) -> Node | None:
        node = self._root
        for step in path:
            if isinstance(node, MappingNode):
                entry = self._entries.get(id(node), {}).get(str(step))
                if entry is None:
                    return node
                node = entry.value
            elif isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
            else:
                return node
        return node


def _place(node: Node) -> tuple[int, int]:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1
