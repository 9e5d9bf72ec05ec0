"""docs/faults.md is what the tests assert: fresh, complete, and each cell that it names is a test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fault_matrix
import pytest
from modbus_cells import CELLS, COLUMNS, EMPTY, Course

from scowl_edge.model.signal import Cause

ROOT = Path(__file__).parents[2]
FAULTS = (
    *("delay", "jitter", "loss", "half-open", "reset", "truncation", "byte-wise", "duplicate", "late", "shifted"),
    *("wrong-id", "busy", "gateway", "ack-not-applied", "echo-without-effect", "revert", "second-master"),
    *("moving-scale-factor", "stuck", "jumping", "certificate-expiry", "clock-jump", "pace"),
)
OPCUA = fault_matrix.OpcuaColumn()


def test_the_page_is_fresh() -> None:
    assert fault_matrix.main(["--check"]) == 0, "run: make faults"


def test_a_stale_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "faults.md"
    stale.write_text(fault_matrix.page().replace("2 polls", "1 poll"))
    monkeypatch.setattr(fault_matrix, "PAGE", stale)
    assert fault_matrix.main(["--check"]) == 1
    assert fault_matrix.main([]) == 0
    assert fault_matrix.main(["--check"]) == 0


def test_no_cell_is_empty_without_a_reason() -> None:
    assert tuple(fault_matrix.ROWS) == FAULTS
    for fault in FAULTS:
        for column in COLUMNS:
            assert ((fault, column) in CELLS) is not ((fault, column) in EMPTY), (fault, column)
        assert (fault in OPCUA.cells) is not (fault in OPCUA.empty), fault
    assert all([*EMPTY.values(), *OPCUA.empty.values()])
    assert set(OPCUA.cells) | set(OPCUA.empty) == set(FAULTS)


def test_every_cell_asserts_something() -> None:
    for key, cell in CELLS.items():
        assert cell.polls >= 1 and cell.done, key
        assert all(strike.injected >= 1 for strike in cell.strikes), key
        if cell.course in (Course.BAD, Course.STUCK, Course.JUMPS, Course.EXPIRED):
            assert all(0 < strike.certain <= len(strike.causes) for strike in cell.strikes), key


def test_opcua_is_read_off_as_it_stands() -> None:
    """Looked up by hand."""
    assert OPCUA.causes("half-open") == [Cause.TIMEOUT, Cause.LINK_DOWN]
    assert OPCUA.requests("delay") == 4 and OPCUA.requests("revert") == 0
    assert OPCUA.requests("reset") > 4
    assert OPCUA.empty["pace"].startswith("no serial line")


def test_each_id_on_the_page_is_a_test_and_each_test_is_on_the_page() -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *map(str, _FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    ids = {file.name: set(re.findall(rf"{file.name}::test_cell\[(.+)\]", collected)) for file in _FILES}
    rows = fault_matrix.PAGE.read_text().split("## Fault by fault")[1].splitlines()
    named = [name for row in rows if row.endswith("|") for name in re.findall(r"`(.+?)`", row.split("|")[-2])]
    assert len(named) == len(set(named))
    assert set(named) == ids[_FILES[0].name] | ids[_FILES[1].name]
    assert not ids[_FILES[0].name] & ids[_FILES[1].name]


_FILES = (fault_matrix.MODBUS, fault_matrix.OPCUA)
