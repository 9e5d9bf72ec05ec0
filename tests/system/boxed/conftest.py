"""Boxes with the service installed, one a test; the installation is made once for all of them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from box import Box, make, make_tree, python_of_the_system, wheel, why_not


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree of all boxes, with what `make install` puts there; the last worker to end removes it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    place, done = shared / "box", shared / "box.installed"
    with (shared / "box.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with (shared / "box.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)
                make_tree(place)
                source = str(wheel(shared / "box.wheel"))
                installed = make("install", DESTDIR=str(place), PYTHON=python_of_the_system(), SOURCE=source)
                assert installed.returncode == 0, installed.stdout + installed.stderr
                done.touch()
        yield place
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            done.unlink()
            shutil.rmtree(place)


@pytest.fixture
def box(tree: Path, tmp_path: Path) -> Iterator[Box]:
    """A booted box; the service is installed and does not run."""
    made = Box(tree, f"scowl-{os.getpid()}", tmp_path / "box.log")
    yield made
    made.close()
