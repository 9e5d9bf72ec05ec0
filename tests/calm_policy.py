"""A region's policy for tests of single actuators: no margin, no reserve, a step a second."""

from __future__ import annotations

from scowl_edge.model.event import RegionMode
from scowl_edge.model.site import Policy

POLICY = Policy(
    mode=RegionMode.AUTO,
    period_ms=1_000,
    margin_ppm=0,
    ride_through_ms=2_000,
    restore_step_w=5_000,
    restore_every_ms=1_000,
    restore_after_ms=1_000,
    dead_band_w=100,
    reserve_ppm=0,
    answer_ms=2_000,
    retry_ms=60_000,
    max_contests=3,
    charge_from_grid=False,
    stop_timeout_ms=5_000,
    move_budget=1,
)
