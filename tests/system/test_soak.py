"""The soak, a few seconds of it: all counters agree after random faults, and nothing is left over."""

from __future__ import annotations

import subprocess
import sys

_SHORT = ("--seconds", "6", "--clock-rate", "5", "--times", "150")


def test_no_poll_is_lost_without_being_counted_and_nothing_leaks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", *_SHORT], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "FAILED" not in done.stderr
    assert done.stdout.count("| link ") == 6
