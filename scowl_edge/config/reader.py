"""Text to `Document`: the composer of libyaml, and a constructor of our own that remembers places."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from scowl_edge.config.document import Document, Entry
from scowl_edge.config.fault import ConfigError, Fault
from scowl_edge.config.scalars import key_of, value_of

_PLAIN = "plain"
_QUOTED = "quoted"
_COLLECTION = "collection"
_TEXT_TAG = "tag:yaml.org,2002:str"
_MOST_VALUES = 4_000_000
_MOST_RECOVERIES = 40
_TIGHT = re.compile(r"\s*[A-Za-z_][\w.-]*:(?=[^\s/])(?!.*: )")
"""A key whose value follows the colon without a space, which YAML takes as one word."""
_TOP_KEY = re.compile(r"""(?P<quote>["']?)(?P<key>[^\s:#"'\-\[{][^:#"']*?)(?P=quote)\s*:(\s|$)""")


class _Composer(CParser):
    """The composer with the least of a resolver: it only tells plain scalars from quoted ones."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _COLLECTION

    def descend_resolver(self, parent: Node | None, index: Any) -> None:
        """Part of the composer's contract; nothing here depends on the path."""

    def ascend_resolver(self) -> None:
        """Part of the composer's contract; nothing here depends on the path."""


def read_file(path: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be opened, or is not UTF-8.
    """
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - the name is shown as it was given
            raw = stream.read()
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError([Fault(path, 1, 1, f"the file cannot be read: {why}", "check its name and rights")]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        what = f"the byte 0x{raw[error.start]:02x} is no UTF-8"
        raise ConfigError([Fault(path, line, column, what, "save the file as UTF-8")]) from None


def parse(text: str, file: str) -> Document:
    """Reads YAML. What is wrong with it is in the document's `faults`.

    After a syntax error the entry around it is left out (`broken` names its section) and the rest is read all the same,
    so that one run finds as much as it can.
    """
    faults: list[Fault] = []
    broken: set[str] = set()
    readable = text
    for _ in range(_MOST_RECOVERIES):
        try:
            root = _compose(readable, file, faults)
        except yaml.YAMLError as error:
            fault = _syntax_fault(error, text, file)
            if not (broken and "undefined alias" in str(error)):
                # An anchor may have gone with a part that could not be read; its aliases are no fault of their own.
                faults.append(fault)
            shorter, key = _without_part(readable, fault.line)
            if shorter is None:
                break
            readable = shorter
            if key:
                broken.add(key)
            continue
        construction = _Construction(file)
        try:
            data = construction.value(root) if root is not None else None
        except RecursionError:
            faults.append(Fault(file, 1, 1, "the file is nested too deeply", "flatten it"))
            break
        faults += construction.faults
        return Document(file, text, data, root, construction.entries, tuple(sorted(set(faults))), frozenset(broken))
    return Document(file, text, None, None, {}, tuple(sorted(set(faults))), frozenset(broken) | {"*"})


def _compose(text: str, file: str, faults: list[Fault]) -> Node | None:
    composer = _Composer(text)
    try:
        if not composer.check_node():
            return None
        root: Node | None = composer.get_node()
        if composer.check_node():
            second: Node = composer.get_node()  # type: ignore[assignment]
            mark = second.start_mark
            faults.append(
                Fault(
                    file,
                    mark.line + 1,
                    mark.column + 1,
                    "a second YAML document starts here",
                    "put everything into one document and remove the line `---`",
                )
            )
        return root
    finally:
        composer.dispose()


def _syntax_fault(error: yaml.YAMLError, text: str, file: str) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        # A character that YAML does not allow: only its offset is known.
        offset = getattr(error, "position", 0) or 0
        before = text[:offset]
        line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
        return Fault(file, line, column, f"not YAML: {getattr(error, 'reason', error)}", "remove the character")
    lines = text.split("\n")
    line, column = mark.line, mark.column
    problem = str(getattr(error, "problem", "") or "the text makes no sense here")
    here = lines[line] if line < len(lines) else ""
    for row in (line, line - 1):
        indent = re.match(r"[ \t]*", lines[row])[0] if 0 <= row < len(lines) else ""  # type: ignore[index]
        if "\t" in indent and lines[row].strip():
            where = indent.index("\t") + 1
            return Fault(file, row + 1, where, "a tab stands in the indentation", "indent with spaces only")
    context = getattr(error, "context_mark", None)
    opened = str(getattr(error, "context", "") or "")
    at_end = not "\n".join([here[column:], *lines[line + 1 :]]).strip()
    unclosed = "quoted scalar" in opened and ("end of stream" in problem or "document indicator" in problem)
    if context is not None and (unclosed or ("flow" in opened and context.line != line)):
        # The parser notices at the next line, or at the end; the person looks for what was opened.
        what = "a quote or bracket is opened here and never closed"
        return Fault(file, context.line + 1, context.column + 1, what, "close it, and separate the parts by commas")
    if "did not find expected node content" in problem and at_end:
        last = next((row for row in range(len(lines) - 1, -1, -1) if lines[row].strip()), 0)
        return Fault(file, last + 1, len(lines[last]) + 1, "the file ends within brackets", "close them")
    if "mapping values" in problem or "expected ':'" in problem:
        for row in (line - 1, line):
            tight = _TIGHT.match(lines[row]) if 0 <= row < len(lines) else None
            if tight is not None:
                return Fault(file, row + 1, tight.end() + 1, "a space lacks behind the colon", "write `key: value`")
    # libyaml counts some line ends that stand alone twice.
    return Fault(file, max(1, min(line + 1, len(lines))), column + 1, *_in_words(problem, here, mark.column))


def _in_words(problem: str, here: str, column: int) -> tuple[str, str]:
    """(what, todo) for a complaint of libyaml."""
    found = here[column : column + 1]
    if "expected ',' or" in problem:
        closing = "]" if "']'" in problem else "}"
        return (
            f"a comma or {closing} is missing before this place",
            f"separate the parts by commas and close with {closing}",
        )
    if "mapping values are not allowed" in problem:
        return (
            "a colon is not possible here",
            "check the indentation of this line and the one before; put text that holds `: ` in quotes",
        )
    if "could not find expected ':'" in problem:
        return "a key without its colon", "write `key: value`, with a space after the colon"
    if "did not find expected key" in problem or "block end" in problem or "'-' indicator" in problem:
        return (
            "this line does not fit the lines before it",
            "indent it like its neighbours; check brackets and quotes above",
        )
    if "cannot start any token" in problem:
        return f"text cannot start with {found or 'this character'}", "put it in quotes"
    if "escape" in problem:
        return "a backslash sequence that does not exist", "put the text in single quotes, or double the backslash"
    if "alphabetic or numeric" in problem:
        return "an alias or anchor without a name", "name it, or put text that begins with * or & in quotes"
    if "undefined alias" in problem:
        return "the alias names an anchor that does not exist", "define it above with &NAME, or correct the name"
    return f"not YAML: {problem}", "correct the text at this place"


def _without_part(text: str, line: int) -> tuple[str | None, str]:
    """The text without the part around `line` (from 1), and the top-level key that it was in.

    The part is the second-level entry if that holds anything yet, else the whole top-level section; None if nothing is
    left to take out.
    """
    lines = text.split("\n")
    at = min(line, len(lines)) - 1
    start, end = _block(lines, at, _starts_section)
    match = _TOP_KEY.match(lines[start])
    key = match["key"] if match else "*"
    children = [_indent(row) for row in lines[start + 1 : end] if row.strip() and _indent(row) > 0]
    if match and children and at > start:
        level = min(children)
        first, last = _block(lines, at, lambda row: bool(row.strip()) and _indent(row) <= level)
        if first > start and any(row.strip() for row in lines[first:last]):
            return "\n".join(lines[:first] + [""] * (last - first) + lines[last:]), key
    if all(not row.strip() for row in lines[start:end]):
        return None, ""
    return "\n".join(lines[:start] + [""] * (end - start) + lines[end:]), key


def _block(lines: list[str], at: int, starts: Callable[[str], bool]) -> tuple[int, int]:
    """First line and end of the block around a line, where `starts` tells the first lines of blocks."""
    first = at
    while first > 0 and not starts(lines[first]):
        first -= 1
    end = at + 1
    while end < len(lines) and not starts(lines[end]):
        end += 1
    return first, end


def _indent(row: str) -> int:
    return len(row) - len(row.lstrip(" "))


def _starts_section(row: str) -> bool:
    return bool(row) and row[0] not in " \t#}])-" and _TOP_KEY.match(row) is not None


class _Construction:
    """Nodes to plain values, with all faults of YAML 1.1 traps, keys, merges and tags."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.entries: dict[int, dict[str, Entry]] = {}
        self._done: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def value(self, node: Node) -> Any:
        value, size = self._build(node)
        if size > _MOST_VALUES:
            self._fault(node, f"aliases make more than {_MOST_VALUES} values of this file", "use fewer nested aliases")
            return None
        return value

    def _fault(self, node: Node, what: str, todo: str) -> None:
        mark = node.start_mark
        self.faults.append(Fault(self.file, mark.line + 1, mark.column + 1, what, todo))

    def _build(self, node: Node, key: str = "") -> tuple[Any, int]:
        """(value, how many values it is made of); `key` is what it stands under, alone or in a list."""
        if isinstance(node, ScalarNode):
            return self._scalar(node, key), 1
        known = self._done.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            self._fault(node, "an alias in here stands for what it is part of", "remove the alias")
            return None, 1
        self._open.add(id(node))
        if node.tag != _COLLECTION:
            self._fault(node, f"the tag {node.tag} is not supported", "remove it")
        built: tuple[Any, int]
        if isinstance(node, SequenceNode):
            parts = [self._build(child, key) for child in node.value]
            built = [value for value, _ in parts], 1 + sum(size for _, size in parts)
        else:
            assert isinstance(node, MappingNode)
            entries = self._mapping(node)
            self.entries[id(node)] = entries
            mapping: dict[str, Any] = {}
            size = 1
            for name, entry in entries.items():
                mapping[name], part = self._build(entry.value, name)
                size += part
            built = mapping, size
        self._open.discard(id(node))
        self._done[id(node)] = built
        return built

    def _scalar(self, node: ScalarNode, key: str) -> Any:
        if node.tag == _PLAIN:
            value, trap = value_of(node.value)
            if trap is not None:
                self._fault(node, f"`{key}`: {trap.what}" if key else trap.what, trap.todo)
            return value
        if node.tag not in (_QUOTED, _TEXT_TAG):
            self._fault(node, f"the tag {node.tag} is not supported", "remove it")
        return node.value

    def _mapping(self, node: MappingNode) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: list[MappingNode] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(key_node, "a key must be text", "write a plain name before the colon")
                continue
            if key_node.tag == _PLAIN and key_node.value == "<<":
                merged += self._merge_sources(value_node)
                continue
            key: str = key_node.value
            if key_node.tag == _PLAIN:
                key, trap = key_of(key)
                if trap is not None:
                    self._fault(key_node, *trap)
            if key in own:
                first = own[key].key.start_mark.line + 1
                self._fault(
                    key_node, f"the key {key} stands twice in this mapping, first in line {first}", "keep one of them"
                )
                continue
            own[key] = Entry(key_node, value_node)
        for source in merged:
            if id(source) in self._open:
                self._fault(source, "an alias in here stands for what it is part of", "remove the alias")
                continue
            self._build(source)
            for key, entry in self.entries.get(id(source), {}).items():
                own.setdefault(key, entry)
        return own

    def _merge_sources(self, node: Node) -> list[MappingNode]:
        if isinstance(node, MappingNode):
            return [node]
        if isinstance(node, SequenceNode) and all(isinstance(part, MappingNode) for part in node.value):
            return list(node.value)
        self._fault(node, "<< merges mappings, and this is none", "write `<<: *NAME`, where &NAME marks a mapping")
        return []
