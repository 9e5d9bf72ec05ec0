"""What a library writes to standard output by itself is kept out of a benchmark's tables, and nothing else is."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes
from bench.muted import muted
c = ctypes.CDLL(None)
print("a row")
c.printf(b"waiting in the library's buffer\\n")
with muted():
    print("from Python")
    c.printf(b"from a library\\n")
try:
    with muted():
        raise ValueError
except ValueError:
    print("another row")
"""


def test_what_is_printed_within_is_swallowed_and_all_around_it_stays() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["a row", "waiting in the library's buffer", "another row"]
