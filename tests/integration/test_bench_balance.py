"""The balancing benchmark in small: every line is there, and no plan that it times breaks a law or beats a bound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import balance, balance_loop, balance_memory, balance_site, balance_tables

CONSUMERS, TREES = 5_000, 8


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(balance_site, "BUILD", tmp_path)
    return tmp_path


def cells(text: str, columns: int) -> list[list[str]]:
    """Rows of a table, each of so many cells."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows and all(len(row) == columns for row in rows), text
    return rows


def test_the_population_is_drawn_once(files: Path) -> None:
    first = balance_site.population(CONSUMERS)
    (path,) = files.iterdir()
    written = path.stat().st_mtime_ns
    again = balance_site.population(CONSUMERS)
    assert path.stat().st_mtime_ns == written
    assert (first.nominal == again.nominal).all() and (first.zone == again.zone).all()
    assert len(first) == CONSUMERS and int(first.zone.max()) == balance_site.FEEDERS - 1


def test_the_lines_of_the_table() -> None:
    # Each of these ends the run if a plan is above a safe load or a rating, or beyond its bound.
    s = balance_site.site(CONSUMERS, TREES)
    lines = [
        *balance.rebuilds(s, 1),
        *balance.events(s, 1),
        *balance.readings(s, 1, True),
        *balance.storage(2_000, 1),
        *balance.snapshots(s, 1),
        *balance.bound_costs(s, 1),
    ]
    rows = cells("\n".join(lines), 7)
    assert len(rows) == 15 + 32 + 5 + 1 + 2 + 9
    gaps = [float(row[4]) for row in rows if row[0] == "not served of min(S, D)"]
    assert len(gaps) == 5 and all(0 <= gap < 2e-3 for gap in gaps)
    still = [row[4].split("=")[0].strip() == "0 / 0" for row in rows if row[0] == "change hands / least"]
    churn = [float(row[4].split("=")[1]) for row in rows if row[0] == "change hands / least"]
    assert len(churn) == 8 and all(ratio >= 1 or row_is_still for ratio, row_is_still in zip(churn, still, strict=True))


def test_the_closed_loop() -> None:
    text = balance_loop.table(2_000, 5, 90, (1.03,))
    rows = cells(text, 12)[2:]
    assert [row[0] for row in rows] == ["1.03"]
    for row in rows:
        assert row[11] == "0", "no tree was left above its safe load"
        assert 0 <= float(row[8]) < 0.5


def test_a_law_that_is_broken_ends_the_run() -> None:
    s = balance_site.site(1_000, 4)
    s.supply(1.05)
    s.rebuild()
    s.check()
    s.columns.tree_safe[0] = s.columns.tree_load[0] - 1
    with pytest.raises(SystemExit, match="safe load"):
        s.check()
    s.columns.tree_safe[0] += 1
    s.columns.block_sum[0] += 1
    with pytest.raises(SystemExit, match="recount"):
        s.check()
    s.columns.zone_limit[1] = 0
    with pytest.raises(SystemExit, match="rating"):
        s.check()


def test_the_tables_of_other_sizes_and_large_items() -> None:
    cells(balance_tables.sizes(((1_000, 5),), 1), 5)
    cells(balance_tables.ratings((2_000, 5), 1), 5)
    rows = cells(balance_tables.solver(((60, 3),), 0.5), 7)[2:]
    assert [row[1] for row in rows] == ["1.00", "0.95"]
    assert len(cells(balance_tables.large(1, 0.1), 6)) == 2 + len(balance_tables.LARGE)


def test_isolation_costs_and_capacity_aware_assignment_does_not() -> None:
    rows = cells(balance_tables.apart(3), 6)[2:]
    assert len(rows) == 6
    for row in rows:
        bare, _, mended, aware = (float(c.strip("%")) for c in row[2:])
        assert bare < 97 and mended > 99.5 and aware > 99.5


def test_memory_is_that_of_a_process_of_its_own() -> None:
    text = balance_memory.table(100_000, 5)
    rows = cells(text, 5)[2:]
    hot, living, _ = (float(row[1]) for row in rows)
    assert 0.3 < hot <= living + 1
    assert re.search(r"kernels alone: \d+ MB", text)
