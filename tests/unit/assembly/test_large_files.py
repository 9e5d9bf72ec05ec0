"""A large file is read by a child: the same value, without its document; faults all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scowl_edge.assembly import load
from scowl_edge.assembly.apart import LARGE_BYTES, load_lean
from scowl_edge.config import ConfigError
from scowl_edge.devices.declaration import OpcuaLink

EXAMPLE = Path(__file__).parents[3] / "examples" / "building.yaml"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An example, with remarks until it is large."""
    path = tmp_path / "large.yaml"
    remarks = "# nothing of note\n" * (LARGE_BYTES // 18 + 1)
    path.write_text(EXAMPLE.read_text() + remarks)
    return path


def test_it_is_the_same_value(large: Path) -> None:
    whole, lean = load(large), load_lean(large)
    assert replace(lean, document=whole.document) == whole
    assert lean.document.data is None or not lean.document.data


def test_links_of_opc_ua_and_settings_of_the_port_come_along(large: Path) -> None:
    remarks = "# nothing of note\n" * (LARGE_BYTES // 18 + 1)
    large.write_text((Path(__file__).parent / "good.yaml").read_text() + remarks)
    whole, lean = load(large), load_lean(large)
    assert replace(lean, document=whole.document) == whole
    assert any(isinstance(link, OpcuaLink) and link.password for link in lean.links)
    assert lean.http.tls is not None and lean.telemetry.every_ms == 30_000


def test_its_faults_are_told_with_their_places(large: Path) -> None:
    large.write_text(large.read_text().replace("unit: 11", "unit: 1100"))
    with pytest.raises(ConfigError) as told:
        load_lean(large)
    assert str(told.value.faults[0]).startswith(f"{large}:")


def test_a_small_file_keeps_its_document() -> None:
    assert load_lean(EXAMPLE).document.data
