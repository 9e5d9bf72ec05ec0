"""An evening peak in virtual time: selected, moved, measured and settled, while links, managers and users misbehave."""

from __future__ import annotations

import pytest
from role_world import DAY, DSRSP, HOUR, MIN, World, at

from scowl_edge.dsr.delivery import Fault
from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.settlement import Amounts
from scowl_edge.model.exchange import Override
from scowl_edge.model.flexibility import Mode, OverrideBy, OverrideScope, SelectionState
from scowl_edge.model.profile import flat

TERMS = Terms(
    failsafe_p_upper_w=8_000, max_ramp_w_per_s=500, random_offset_max_s=120, moves=20_000, settle_after_ms=30 * MIN
)


def one_active(world: World) -> None:
    """At no time two selections of one appliance at once."""
    for esa_id in world.devices:
        running = [
            s
            for s in world.appliance(esa_id).selections.open()
            if s.state in (SelectionState.ACTIVE, SelectionState.INTERRUPTED)
        ]
        assert len(running) <= 1, (esa_id, running)


def peak_w(world: World) -> int:
    return max(w for t, w in world.site_w.items())


def evening(world: World, *, aim: bool) -> None:
    world.watch.append(one_active)
    world.until(at(16, 10))
    if aim:
        whole = sum(d.power_w * d.length_ms for d in world.devices.values())
        level = whole // (6 * HOUR)
        world.took(
            world.provider.aim(flat(DAY + at(17), 6 * HOUR, level), world.now, relative=False, mode=Mode.ROUTINE)
        )


def settled(world: World) -> Amounts:
    total = Amounts()
    for amounts in world.provider.portfolio.books.by_cem().values():
        total += amounts
    return total


def books_add_up(world: World) -> None:
    """Every account's delivered energy is what the device itself took in the minutes that were told."""
    books = world.provider.portfolio.books
    for select_id, account in books.accounts.items():
        device = world.devices[account.esa_id]
        amounts = books.amounts(select_id)
        known = [
            minute
            for minute in device.minutes
            if account.begin_ms <= DAY + minute < account.end_ms
            and books.reported[account.esa_id].by_begin.get(DAY + minute) is not None
        ]
        if account.begin_ms % MIN == 0 and account.end_ms % MIN == 0 and not amounts.assumed_ms:
            assert amounts.delivered_w_ms == sum(device.minutes[m] // MIN * MIN for m in known)
        assert amounts.achieved_w_ms == amounts.credited_w_ms + amounts.beyond_w_ms


@pytest.fixture(scope="module")
def untouched() -> World:
    world = World(terms=TERMS, seed=7)
    evening(world, aim=False)
    world.until(at(19, 10))
    return world


@pytest.fixture(scope="module")
def calm() -> World:
    world = World(terms=TERMS, seed=7)
    evening(world, aim=True)
    world.until(at(24, 20))
    return world


def test_without_a_goal_nothing_is_selected(untouched: World) -> None:
    assert not untouched.selects()
    assert peak_w(untouched) > 60_000


def test_the_peak_is_lower_and_every_job_is_done(untouched: World, calm: World) -> None:
    assert peak_w(calm) < peak_w(untouched) * 70 // 100
    for device in calm.devices.values():
        assert device.used_w_ms == device.power_w * device.length_ms


def test_the_books_add_up_and_everybody_keeps_trust(calm: World) -> None:
    books_add_up(calm)
    total = settled(calm)
    assert total.missing_ms == 0
    assert abs(total.achieved_w_ms) <= 60_000 * 30
    assert len(calm.provider.portfolio.books.closed) >= 15
    assert not calm.provider.portfolio.asked
    assert not calm.provider.portfolio.trust.weights_ppm
    assert not [f for s in calm.steps for f in s.findings]


def test_a_plan_says_why_and_how_good_it_is(calm: World) -> None:
    last = calm.provider.last
    assert last is not None
    assert last.objective <= last.idle_objective


def test_links_cut_managers_killed_users_and_liars(untouched: World) -> None:
    world = World(terms=TERMS, seed=11)
    liar = world.devices["esa-0003-abc"]
    liar.obeys = False
    evening(world, aim=True)
    # Cut while the selections are on their way.
    world.until(world.mono_ms + MIN)
    world.sever("cem:0")
    world.until(world.mono_ms + 3 * MIN)
    world.noticed("cem:0")
    world.until(at(16, 20))
    world.mend("cem:0")
    world.until(at(16, 30))
    world.kill(DSRSP)
    world.until(at(16, 36))
    world.revive(DSRSP)
    world.until(at(17, 30))
    world.kill("cem:1")
    world.until(at(17, 40))
    world.revive("cem:1")
    world.until(at(18, 30))
    running = next(
        esa_id
        for esa_id in sorted(world.devices)
        if world.devices[esa_id].obeys and world.appliance(esa_id).selections.running() is not None
    )
    override = Override(esa_id=running, scope=OverrideScope.ALL, by=OverrideBy.USER)
    if running in world.alone:
        world.from_esa(running, world.alone[running].override(override, world.now))
    else:
        world.send(world.cems[world.owner[running]].override(override, world.now))
    world.until(at(19))
    world.sever("cem:2")
    world.until(at(19, 5))
    world.noticed("cem:2")
    world.until(at(19, 40))
    world.mend("cem:2")
    world.until(at(24, 20))
    books_add_up(world)
    assert peak_w(world) < peak_w(untouched) * 85 // 100
    states = {a.esa_id: a.state for a in world.provider.portfolio.books.accounts.values()}
    assert states[running] is SelectionState.OVERRIDDEN
    assert running not in world.provider.portfolio.trust.weights_ppm
    faults = {(f.esa_id, f.fault) for s in world.steps for f in s.findings}
    assert (liar.esa_id, Fault.UNDER_DELIVERED) in faults
    assert world.provider.portfolio.trust.weight_ppm(liar.esa_id) < 700_000
    for esa_id, mirror in world.provider.mirrors.items():
        own = {s.select_id: s.state for s in world.appliance(esa_id).selections.open()}
        assert {c.select_id: c.state for c in mirror.open()} == own
