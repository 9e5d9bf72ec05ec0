"""The process about itself, held against what other sources say."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scowl_edge.metrics.process import ProcessSeries


def told() -> dict[str, float]:
    text = b"".join(ProcessSeries().chunks()).decode()
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_this_process() -> None:
    before = time.process_time()
    seen = told()
    assert before <= seen["process_cpu_seconds_total"] <= time.process_time()
    assert 1e6 < seen["process_resident_memory_bytes"] < seen["process_virtual_memory_bytes"]
    assert seen["process_resident_memory_bytes"] <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.1
    assert seen["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    nothing = Path(os.devnull)
    with nothing.open() as _first, nothing.open() as _second:
        assert told()["process_open_fds"] >= seen["process_open_fds"] + 2


def test_when_it_was_started() -> None:
    program = "import scowl_edge.metrics.process as p; print(p.started_s())"
    before = time.time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # The kernel counts in ticks of 10 ms.
    assert before - 0.05 <= float(done.stdout) <= time.time()


def test_where_a_service_sees_only_processes() -> None:
    """As under ProcSubset=pid: nothing is lost."""
    program = "from scowl_edge.metrics.process import ProcessSeries as P; print(b''.join(P().chunks()).decode())"
    hardened = 'mount -t proc -o subset=pid proc /proc || exit 99; exec "$0" -c "$1"'
    command = ["unshare", "--mount", "sh", "-c", hardened, sys.executable, program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare on this system")
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"a mount of its own needs root: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    names = {line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith("#")}
    assert names == told().keys()
