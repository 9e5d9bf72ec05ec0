"""What a benchmark reads of the machine: CPU and memory of a process, cores, spread of figures."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def on_core(number: int) -> bool:
    """Keeps this process to one core, counted from 0 among those it may use; False where that cannot be had."""
    try:
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})
    except (AttributeError, OSError):
        return False
    return len(allowed) > 1


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, all its threads together."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Memory that a process holds, in MB."""
    return _status_mb(pid, "VmRSS:")


def peak_mb(pid: int) -> float:
    """The most memory that a process ever held, in MB; what its children took is not in it."""
    return _status_mb(pid, "VmHWM:")


def _status_mb(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0.0


def many_files() -> None:
    """Lets this process and its children open as many files and sockets as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def describe() -> str:
    """The machine in one line."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.1f} at the start"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median and the range it was found in."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} .. {max(values):.{digits}f})"


def quantile(values: Sequence[float], fraction: float) -> float:
    """The value below which a fraction of all lies; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


@contextlib.contextmanager
def child(
    *arguments: str,
    stdout: int | None = subprocess.PIPE,
    stdin: int | None = None,
    stderr: IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that lives as long as the block; it is asked to stop, then made to."""
    process = subprocess.Popen([sys.executable, *arguments], stdin=stdin, stdout=stdout, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
