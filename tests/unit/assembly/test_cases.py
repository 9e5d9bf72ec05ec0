"""Each folder under cases/ holds a faulty file and the exact faults that it must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import ConfigError, assemble

CASES = sorted((Path(__file__).parent / "cases").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_faults_are_exactly_those_expected(case: Path) -> None:
    text = (case / "site.yaml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        assemble(text, "site.yaml")
    assert str(caught.value).splitlines() == (case / "expected.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_faults_stand_in_the_order_of_the_file_and_within_it(case: Path) -> None:
    text = (case / "site.yaml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        assemble(text, "site.yaml")
    places = [(fault.line, fault.column) for fault in caught.value.faults]
    assert places == sorted(places)
    lines = text.split("\n")
    for line, column in places:
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
