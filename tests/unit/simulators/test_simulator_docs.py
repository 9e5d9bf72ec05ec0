"""docs/simulator.md names everything that can be configured, asked and broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.faults import DEFAULT_MS, ON_MODBUS, ON_OPCUA, FaultKind, ServerAction
from simulators.proxy.active import KINDS
from simulators.settings import MODELS

TEXT = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", MODELS)
def test_every_model_and_its_numbers(model: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| `") and f"`{model}`" in line.split("|")[1])
    assert [knob for knob in MODELS[model] if f"`{knob}`" not in row] == []


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault(kind: FaultKind) -> None:
    assert f"| `{kind}` |" in TEXT


@pytest.mark.parametrize("kind", FaultKind)
def test_where_each_fault_can_be(kind: FaultKind) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{kind}` |"))
    links = set(row.split("|")[-2].split())
    assert ("O" in links) == (kind in ON_OPCUA)
    assert ("P" in links) == (kind in KINDS)
    assert bool(links & {"M", "T"}) == (kind in ON_MODBUS)
    if kind in DEFAULT_MS:
        assert "`ms`" in row


@pytest.mark.parametrize("action", ServerAction)
def test_every_action(action: ServerAction) -> None:
    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    assert any(f"`{action}`" in row for row in rows)
