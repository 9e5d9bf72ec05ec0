"""The demo's appliances: each fits into its home and has something to do; what they take is part of its power."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import load
from scowl_edge.dsr.adapters import Charger, ChargerState, Frame, Washer, run
from simulators.appliances.village import FAILSAFE_W, village
from simulators.plant import Plant, SimulationError
from simulators.serving import settings_of

DEMO = load(Path(__file__).parents[3] / "examples" / "demo.yaml")
NOW, MIN = 1_700_000_000_000, 60_000


def plant() -> Plant:
    return Plant(DEMO.site, settings_of(DEMO))


def test_ten_appliances_never_take_more_than_their_homes_can() -> None:
    homes, settings = village(NOW), settings_of(DEMO)
    assert sum(len(members) for members in homes.values()) == 10
    ids = [member.adapter.esa_id for members in homes.values() for member in members]
    assert len(set(ids)) == 10
    rated_w = {DEMO.site.devices[c.device].name: c.rated_w for c in DEMO.site.consumers}
    for home, members in homes.items():
        own = settings.devices[home].numbers
        most_w = sum(member.adapter.p_max_w for member in members)
        assert own["base"] + own["deferrable"] + most_w <= rated_w[home], home
        assert all(member.adapter.p_max_w <= FAILSAFE_W and member.adapter.p_min_w == 0 for member in members)


@pytest.mark.parametrize("pace", [1, 15])
def test_every_car_can_wait_and_every_job_can_be_done_in_time(pace: int) -> None:
    for member in (member for members in village(NOW, pace).values() for member in members):
        adapter = member.adapter
        assert [at for at, _ in member.events] == sorted(at for at, _ in member.events)
        for at_ms, state in member.events[:3]:
            frame = Frame(
                now_ms=at_ms, rev=1, horizon_s=3_600 * pace, slot_s=60 * pace, min_notice_s=10, valid_s=30 * pace
            )
            (offer,) = adapter.offers(state, frame).offers
            if isinstance(adapter, Charger):
                assert isinstance(state, ChargerState)
                assert offer.start_latest_ms - offer.start_earliest_ms >= 5 * MIN * pace
                after = run(adapter, state, at_ms, state.departure_ms)
                assert after.level_j >= (state.target_wh - 20) * 3_600, "left alone it is ready in time"
            assert isinstance(adapter, Charger | Washer), "others have no events"


def test_what_appliances_take_is_part_of_their_home_and_flows_through_its_feeder() -> None:
    without, within = plant(), plant()
    within.set_inside("home-6", 1_600.0)
    for each in (without, within):
        each.advance(30_000)
    for device in ("home-6", "feeder-b-meter", "grid-meter"):
        more_w = (within.read(device, "power") or 0.0) - (without.read(device, "power") or 0.0)
        assert more_w == pytest.approx(1_600, abs=1)
    assert abs(within.conservation_error_w) < 1
    assert within.write("home-6", "connect", 0)
    within.advance(31_000)
    assert within.read("home-6", "power") == 0, "a home that is cut off takes nothing"
    with pytest.raises(SimulationError, match="wind-1 is no home or building"):
        within.set_inside("wind-1", 1.0)
