"""Loading a large configuration in a process of its own.

Reading 15,000 points takes many times the memory that the result needs, and an interpreter hardly ever gives such
memory back. So a large file is read by a child, which hands over the finished value and goes, memory and all.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.load import load
from scowl_edge.config import parse

LARGE_BYTES = 200_000
"""Files below this are read at once: a child costs more than they do."""


def load_lean(path: Path) -> Assembly:
    """The same as `load`, but without the document of a large file: faults can no longer be placed in it.

    Raises:
        ConfigError: with all faults of the file.
    """
    if not path.is_file() or path.stat().st_size < LARGE_BYTES:
        return load(path)
    child = subprocess.run(  # a faulty file is read again here, where its faults can be raised
        [sys.executable, "-m", "scowl_edge.assembly.apart", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if child.returncode != 0:
        return load(path)
    assembly = pickle.loads(child.stdout)
    if not isinstance(assembly, Assembly):
        raise TypeError(f"the child that read {path} gave a {type(assembly).__name__}")
    return assembly


def main() -> int:
    """Reads the file named on the command line and writes the pickled assembly to standard output."""
    path = Path(sys.argv[1])
    assembly = replace(load(path), document=parse("", str(path)))
    pickle.dump(assembly, sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
