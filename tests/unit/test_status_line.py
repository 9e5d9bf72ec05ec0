"""The line in `systemctl status`, and what a reload is answered with where the file cannot be read."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from scowl_edge.model.reason import Reason
from scowl_edge.model.view import AlarmView, RegionView
from scowl_edge.service import answer_to_reload, status_line

ZERO = {"int": 0, "str": "", "bool": True, "int | None": None}


def region(**changes: object) -> RegionView:
    """A region at rest, but for these."""
    rest = {f.name: ZERO.get(str(f.type), ()) for f in fields(RegionView) if f.default is MISSING}
    return RegionView(**{**rest, "mode": "auto", "rung": "balanced", **changes})  # type: ignore[arg-type]


def alarm(key: str, priority: str, since: int, shelved: int = 0) -> AlarmView:
    return AlarmView(
        key=key,
        priority=priority,
        since_utc_ms=since,
        since_utc_ok=True,
        cause=Reason("x"),
        shelved_until_utc_ms=shelved,
    )


@pytest.mark.parametrize(
    ("view", "down", "untried", "line"),
    [
        (None, [], [], "starting: before the first step"),
        (None, [], ["plc", "scada"], "starting: not tried yet: plc, scada"),
        (
            region(served_w=41_200, demand_w=41_200, generation_w=50_000),
            [],
            [],
            "auto, balanced: 41.2 kW served of 41.2 kW, 50 kW generated; no alarm; all links up",
        ),
        (
            region(mode="hold", rung="shed", served_w=9, demand_w=20, shed_w=5, unserved_w=(0, 4, 2)),
            ["plc"],
            [],
            "hold, shed: 9 W served of 20 W, 5 W shed, 6 W unserved, 0 W generated; no alarm; links down: plc",
        ),
        (
            region(alarms=(alarm("a", "low", 1), alarm("b", "high", 9), alarm("c", "high", 5))),
            list("abcdefg"),
            [],
            "auto, balanced: 0 W served of 0 W, 0 W generated; 3 alarms, worst high: c; "
            "links down: a, b, c, d, e and 2 more",
        ),
        (
            region(alarms=(alarm("a", "critical", 1, shelved=99), alarm("b", "low", 9))),
            [],
            [],
            "auto, balanced: 0 W served of 0 W, 0 W generated; 1 alarm (1 shelved), worst low: b; all links up",
        ),
        (
            region(alarms=(alarm("a", "critical", 1, shelved=99),)),
            [],
            [],
            "auto, balanced: 0 W served of 0 W, 0 W generated; no alarm (1 shelved); all links up",
        ),
    ],
)
def test_it_reads_in_one_line(view: RegionView | None, down: list[str], untried: list[str], line: str) -> None:
    assert status_line(view, down, untried) == line


async def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    answer = await answer_to_reload(tmp_path / "gone.yaml", "site: {id: x}\n")
    assert answer.startswith(f"reload: {tmp_path / 'gone.yaml'} cannot be read (")
    assert answer.endswith("running on unchanged")


async def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in await answer_to_reload(tmp_path / "site.yaml", "")
