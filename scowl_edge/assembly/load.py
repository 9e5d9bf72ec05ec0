"""The two ways in: a file, or its text."""

from __future__ import annotations

from pathlib import Path

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.build import build
from scowl_edge.assembly.conflicts import conflict_faults
from scowl_edge.assembly.references import reference_faults
from scowl_edge.assembly.sense import sense_faults
from scowl_edge.assembly.structure import examine
from scowl_edge.config import ConfigError, parse, read_file


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
    faults = [
        *structure.faults,
        *reference_faults(structure),
        *sense_faults(structure),
        *conflict_faults(structure),
    ]
    if faults:
        raise ConfigError(faults)
    return build(structure.configuration, document)
