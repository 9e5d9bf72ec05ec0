"""Sites made of real processes; everything that a test started ends with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from black_box import Site, Sites, copy_of


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Sites]:
    """Makes sites from copies of the examples: `site("demo", rate=4)`."""
    made: list[Site] = []

    def make(example: str, *, rate: int = 1, token: bool = True) -> Site:
        directory = tmp_path / f"site-{len(made)}"
        directory.mkdir()
        made.append(Site(copy_of(example, directory, token=token), rate))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def mbpoll() -> str:
    """The Modbus client that is not ours."""
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("no mbpoll; as root run: sh tests/system-packages.sh")
    return program
