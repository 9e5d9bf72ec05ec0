"""The two ways in: a file, or its text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.build import build
from scowl_edge.assembly.conflicts import conflict_faults
from scowl_edge.assembly.references import reference_faults
from scowl_edge.assembly.sense import sense_faults
from scowl_edge.assembly.structure import examine
from scowl_edge.config import ConfigError, Document, Fault, parse, read_file


def load(path: str | Path) -> Assembly:
    """The assembly of a configuration file.

    Raises:
        ConfigError: with all faults of the file.
    """
    return assemble(read_file(str(path)), str(path))


def assemble(text: str, file: str) -> Assembly:
    """The assembly of a configuration's text; `file` is how faults name it.

    Raises:
        ConfigError: with all faults of the text.
    """
    document = parse(text, file)
    structure = examine(document)
    refused = {document.position(path) for path in structure.faulty}
    meant = [*reference_faults(structure), *sense_faults(structure), *conflict_faults(structure)]
    faults = [*structure.faults, *(fault for fault in meant if (fault.line, fault.column) not in refused)]
    if faults:
        raise ConfigError(_once(document, faults))
    return build(structure.configuration, document)


def _once(document: Document, faults: list[Fault]) -> Iterator[Fault]:
    """Each fault once: not again what the reader of YAML said of a place, nor for each alias of a shared part."""
    own = set(document.faults)
    taken = {(fault.line, fault.column) for fault in own}
    told: set[tuple[int, int, str]] = set()
    for fault in sorted(set(faults)):
        mark = (fault.line, fault.column, fault.todo)
        if fault in own or (mark[:2] not in taken and mark not in told):
            yield fault
        told.add(mark)
