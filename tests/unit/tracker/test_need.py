"""What is missing, per phase: relief counts as plain watts, new load at its worst power factor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.capacity.ratings import Member
from scowl_edge.tracker import Need

WATTS = st.integers(-200_000, 200_000)
MASKS = st.integers(1, 7)


def test_the_worst_phase_decides_and_counts_for_all_phases_of_the_device() -> None:
    need = Need(3, final=[300, 1_000, -400], soon=[0, 0, 0])
    assert need.final_w(7) == 3_000
    assert need.final_w(1) == 300
    assert need.final_w(5) == 600
    assert need.final_w(4) == -400
    assert need.open


def test_a_relief_is_spread_over_the_phases_of_the_device_only() -> None:
    need = Need(3, final=[900, 900, 900], soon=[900, 900, 900])
    need.relieve(2, 900, 300)
    assert need.final == [900, 0, 900]
    assert need.soon == [900, 600, 900]
    need.relieve(7, 2_700, 2_700)
    assert need.final == [0, -900, 0]
    assert not Need(3, final=[0, -900, 0]).open


def test_a_single_phase_scope_counts_watts_as_they_are() -> None:
    need = Need(1, final=[500] * 3, soon=[500] * 3)
    need.relieve(4, 500, 500)
    assert need.final_w(7) == 0
    assert not need.open


def test_new_load_counts_at_its_worst_power_factor_and_is_rounded_up() -> None:
    need = Need(3)
    need.add(1_000, 1_000, Member(0, 7, 800_000))
    assert need.final == [417, 417, 417]
    need = Need(3)
    need.add(-1_000, -400, Member(0, 7, 800_000))
    assert need.final == [-333, -333, -333]
    assert need.soon == [-133, -133, -133]


@given(WATTS, WATTS, MASKS, st.sampled_from([1, 3]))
def test_a_met_need_is_closed(final_w: int, soon_w: int, mask: int, phases: int) -> None:
    need = Need(phases, final=[final_w] * 3, soon=[soon_w] * 3)
    wanted = max(0, need.wanted_w(7))
    need.relieve(7, wanted, wanted)
    # At most what the division by three leaves over, in watts of the whole device.
    assert need.wanted_w(mask) <= 3 * 3


@given(WATTS, MASKS, st.sampled_from([500_000, 800_000, 1_000_000]), st.sampled_from([1, 3]))
def test_an_increase_never_counts_less_than_its_watts(watts: int, mask: int, factor: int, phases: int) -> None:
    need = Need(phases)
    need.add(watts, watts, Member(0, mask, factor))
    assert need.final_w(mask) >= watts
