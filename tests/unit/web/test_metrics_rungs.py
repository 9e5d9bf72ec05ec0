"""The ladder's rungs in the metrics are those of the tracker."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from scowl_edge.metrics.region import RUNGS, region_chunks
from tests.integration.web.cabinet import region_view

TRACKER = Path(__file__).parents[3] / "scowl_edge" / "tracker"


def test_each_rung_of_the_tracker_has_a_series_from_the_start() -> None:
    text = "".join(file.read_text() for file in TRACKER.glob("*.py"))
    used = set(re.findall(r'steering\.[a-z_]+\(\s*"([a-z-]+)"', text))
    assert len(used) > 10
    assert used | {"balanced"} == set(RUNGS)


def test_a_rung_that_nobody_knew_has_one_once_it_is_used() -> None:
    text = b"".join(region_chunks(replace(region_view(), rung="something-new"))).decode()
    assert '\nscowl_ladder_rung{rung="something-new"} 1\n' in text
    assert '\nscowl_ladder_rung{rung="balanced"} 0\n' in text
