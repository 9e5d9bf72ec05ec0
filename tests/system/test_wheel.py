"""The wheel holds all that runs, and nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from scowl_edge import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel of the checkout, as `pip wheel .` makes it."""
    directory = tmp_path_factory.mktemp("wheel")
    (file,) = WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    with zipfile.ZipFile(file) as archive:
        yield archive


def files_of(package: str) -> set[str]:
    """What lies in a package, but for what Python and tools leave there."""
    found = (path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file())
    return {p.as_posix() for p in found if not any(part == "__pycache__" or part.startswith(".") for part in p.parts)}


def test_it_holds_every_file_of_the_packages_and_the_examples(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    examples = {f"scowl_edge/{name}" for name in files_of("examples")}
    assert "scowl_edge/examples/demo.yaml" in examples
    assert {"scowl_edge/py.typed", "scowl_edge/web/page.html", "scowl_edge/assembly/guide.md"} <= held
    assert held == files_of("scowl_edge") | files_of("simulators") | examples


def test_it_declares_the_command_the_licence_and_the_readme(wheel: zipfile.ZipFile) -> None:
    names = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "scowl-edge = scowl_edge.cli:main" in wheel.read(names["entry_points.txt"]).decode()
    assert wheel.read(names["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    metadata = wheel.read(names["METADATA"]).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert (ROOT / "README.md").read_text().splitlines()[0] in metadata


def test_the_changelog_knows_the_version() -> None:
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
