"""The process by its standard names, from what the kernel tells a process about itself.

The library's own collector also reads /proc/stat, which a hardened service does not see (ProcSubset=pid): it would then
tell nothing at all.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scowl_edge.web.exposition import Family

_SELF = Path("/proc/self")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_CPU = Family("process_cpu_seconds_total", "counter", "CPU time that the process has used, all its threads together.")
_START = Family("process_start_time_seconds", "gauge", "When the process was started, in seconds since 1970.")
_RESIDENT = Family("process_resident_memory_bytes", "gauge", "Memory that the process holds.")
_VIRTUAL = Family("process_virtual_memory_bytes", "gauge", "Address space of the process.")
_OPEN = Family("process_open_fds", "gauge", "Open files and sockets.")
_MOST = Family("process_max_fds", "gauge", "Most files and sockets that may be open.")


def started_s() -> float:
    """When the process was started, by the wall clock as it is now; 0 where the kernel does not tell."""
    try:
        # The name in front may hold anything, blanks and brackets too.
        ticks = int((_SELF / "stat").read_text().rpartition(")")[2].split()[19])
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_S)
    except (OSError, IndexError, ValueError):
        return 0.0


class ProcessSeries:
    """Renders the process; what cannot be read is left out."""

    def __init__(self) -> None:
        # Once: a clock that is set later must not look like another start.
        self._started_s = started_s()

    def chunks(self) -> Iterator[bytes]:
        """All of it."""
        yield from _CPU.chunks([("", time.process_time())])
        if self._started_s:
            yield from _START.chunks([("", self._started_s)])
        with suppress(OSError):
            virtual, resident = (_SELF / "statm").read_text().split()[:2]
            yield from _VIRTUAL.chunks([("", int(virtual) * _PAGE_BYTES)])
            yield from _RESIDENT.chunks([("", int(resident) * _PAGE_BYTES)])
        with suppress(OSError):
            yield from _OPEN.chunks([("", sum(1 for _ in (_SELF / "fd").iterdir()))])
        yield from _MOST.chunks([("", resource.getrlimit(resource.RLIMIT_NOFILE)[0])])
