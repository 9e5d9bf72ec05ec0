"""The limit of open files, raised in a process of its own."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import resource, sys
from scowl_edge.open_files import allow_open_files
soft, hard, links = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_open_files(links)
print(*resource.getrlimit(resource.RLIMIT_NOFILE), file=sys.stderr)
"""


def _after(soft: int, hard: int, links: int) -> tuple[str, str]:
    """The limits after a process with these was to hold so many links, and what it logged."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(soft), str(hard), str(links)], capture_output=True, text=True, check=True
    )
    return done.stderr.strip().splitlines()[-1], done.stdout + done.stderr


def test_the_limit_is_raised_only_where_the_links_need_it_and_only_as_far() -> None:
    assert _after(100, 2_000, 1_000)[0] == "1512 2000"
    assert _after(1_600, 2_000, 1_000)[0] == "1600 2000"


def test_where_the_machine_allows_less_it_is_told_what_to_do() -> None:
    limits, told = _after(100, 800, 1_000)
    assert limits == "800 800"
    assert "LimitNOFILE" in told and "1512" in told
