"""Selections for a standing level in the book of commitments: once accepted, once counted, not the region's to end."""

from __future__ import annotations

from offers_world import CAR_W, LIMIT_W, OffersWorld

from scowl_edge.capacity import CallState
from scowl_edge.model.flexibility import SelectionState

MINUTE = 60_000
QUARTER = 15 * MINUTE


def asked(world: OffersWorld) -> int:
    """Selections that the provider has asked for and that are not over."""
    return len(world.provider.portfolio.asked)


def test_what_is_selected_for_the_level_counts_from_its_acceptance_until_the_meter_shows_it() -> None:
    world = OffersWorld(3, base_w=0, level="8 kW")
    world.turn()
    assert world.until(lambda: asked(world) > 0, 2 * MINUTE)
    mirrors = world.provider.mirrors.values()
    assert {c.state for m in mirrors for c in m.open()} == {SelectionState.PENDING}
    assert world.calls == [], "nothing counts before the yes"
    assert world.until(lambda: bool(world.calls), MINUTE)
    assert not any(c.own for c in world.calls)
    assert {c.state for c in world.calls} == {CallState.PLEDGED}
    offers = world.core.memory.book.offers
    # It is worth what is drawn, as soon as that was reported.
    assert world.until(lambda: sum(c.relief_w for c in world.calls) >= 3 * CAR_W - 8_000, 2 * MINUTE)
    pledged_w = offers.pledged_w({}, world.mono_ms, 1 << 60)
    assert pledged_w == sum(c.relief_w for c in world.calls)
    assert offers.standing_w(world.mono_ms) == 0, "the region has asked for none of it"
    assert world.until(lambda: {c.state for c in world.calls} == {CallState.EFFECTIVE}, 2 * QUARTER)
    assert offers.pledged_w({}, world.mono_ms, 1 << 60) == 0, "now the meters show it"
    assert world.power_w() == 3 * CAR_W - pledged_w


def test_the_region_counts_on_it_once_and_asks_for_no_more_than_the_rest() -> None:
    world = OffersWorld(3, base_w=0, level="8 kW")
    assert world.until(lambda: sum(c.relief_w for c in world.calls) > CAR_W, 5 * MINUTE)
    relief_w = sum(c.relief_w for c in world.calls)
    # Short of less than what is on its way.
    world.base_w = LIMIT_W - 3 * CAR_W + relief_w - 3_000
    world.run_for(MINUTE)
    assert "activate-offers" not in world.rungs()
    assert world.until(lambda: world.power_w() <= LIMIT_W, 2 * QUARTER)
    world.base_w = 0
    world.run_for(5 * MINUTE)
    assert "end-offers" not in world.rungs(), "what serves the level is not the region's to end"
    assert not any(c.own for c in world.calls)


def test_a_region_that_is_short_of_more_asks_beyond_the_level() -> None:
    world = OffersWorld(3, base_w=0, level="14 kW")
    assert world.until(lambda: sum(c.relief_w for c in world.calls) > 4_000, 5 * MINUTE)
    relief_w = sum(c.relief_w for c in world.calls)
    world.base_w = LIMIT_W - 3 * CAR_W + relief_w + 6_000
    assert world.until(lambda: any(c.own for c in world.calls), 5 * MINUTE)
    names = [c.esa_id for c in world.calls]
    assert len(set(names)) == len(names), "nobody is in the book twice"
    assert world.until(lambda: world.power_w() <= LIMIT_W, 3 * QUARTER)
