"""Prometheus as its makers built it, beside a daemon and its simulated devices as processes of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.monitoring.real_prometheus import Prometheus
from tests.system.black_box import Site, copy_of

INSTALL = "as root run: sh tests/system-packages.sh"


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's own checker."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(f"no promtool; {INSTALL}")
    return program


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], Prometheus]]:
    """Starts a Prometheus on HOST:PORT of a daemon."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(f"no prometheus; {INSTALL}")
    running: list[Prometheus] = []

    def start(target: str) -> Prometheus:
        running.append(Prometheus(program, target, tmp_path / "prometheus"))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def demo(prometheus: Callable[[str], Prometheus], tmp_path: Path) -> Iterator[Site]:
    """The demo's site at eight times the pace of the wall; skipped before anything is started without Prometheus."""
    site = Site(copy_of("demo", tmp_path), rate=8)
    yield site
    site.close()
