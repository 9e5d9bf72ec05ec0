"""Laws of the core: whatever the region, the readings and the answers, these hold after every step.

`SCOWL_HYPOTHESIS=long` runs many more courses. A failing course is printed with the blob that repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from driving import COURSES, Course, Drive, Known, Moment, chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reckoning import (
    HURTFUL,
    Area,
    Shortage,
    areas,
    evident,
    limit_va,
    net_w,
    on_separate_bus,
    parties,
    party_of,
    per_phase,
    pledged_rise,
    protected,
    rating_fresh,
    rating_load,
)

from scowl_edge.capacity import Book
from scowl_edge.control import Core
from scowl_edge.model.codec import encode
from scowl_edge.model.command import CommandId, OutcomeKind, Verb, WriteClass
from scowl_edge.model.effect import Plan
from scowl_edge.model.event import DeviceMode, Order, RegionMode, ValueOrder
from scowl_edge.model.site import NONE, PPM, BusKind, Consumer, OnStop, Site
from scowl_edge.tracker import NO_WISH, Condition

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=100, derandomize=True, deadline=None, print_blob=True, suppress_health_check=_CHECKS
)
settings.register_profile("long", max_examples=3_000, deadline=None, print_blob=True, suppress_health_check=_CHECKS)
LAW = settings.get_profile("long" if os.environ.get("SCOWL_HYPOTHESIS") == "long" else "ci")

RAISES_EXPORT = ("lift-curtailment", "raise-continuous", "discharge-storage", "start-fixed")
RAISES_IMPORT = ("feed-starving", "restore-shed", "protect-storage", "fill-storage")
TOLD_BY_DEVICES = {"order", "granted", "refused", "in-doubt", "released", "withdrawn"}
OVER = ("shed-expired", "released", "refused", "withdrawn")
"""Ends of a shed that the device made, or took part in."""
GIVES_LESS = ("stop-discharge", "lower-continuous", "stop-fixed")
"""They raise the import of what is around them; where an export limit forces them, that comes first."""


def every_step(course: Course, law: Callable[[Drive, Moment], None]) -> Drive:
    drive = Drive(course)
    for moment in drive.moments():
        law(drive, moment)
    return drive


# -- accounts ----------------------------------------------------------------------------------------------------------


@LAW
@given(COURSES)
def test_no_watt_is_lost_and_no_feed_has_two_trees(course: Course) -> None:
    site = course.site

    def law(drive: Drive, moment: Moment) -> None:
        view = drive.core.view()
        assert view is not None
        assert view.conservation_error_w == 0
        devices = {d.name: d for d in view.devices}
        members = [name for tree in view.trees for name in tree.members]
        assert len(members) == len(set(members)), "a feed is in two trees"
        total = 0
        for c, con in enumerate(site.consumers):
            shown = devices[site.devices[con.device].name]
            served = drive.known.get(con.power)
            deferred = shown.wanted_w - served - shown.shed_w - shown.unserved_w
            assert deferred == 0, shown
            assert shown.shed_w >= 0 and shown.unserved_w >= 0
            assert (shown.unserved_w == 0) or moment.region.condition[c] != Condition.SERVED
            if moment.region_mode == RegionMode.AUTO and view.trees:
                holders = [t.name for t in view.trees if shown.name in t.members]
                assert holders == ([shown.tree] if shown.tree else [])
            total += shown.wanted_w
        assert view.demand_w == total
        assert total == view.served_w + view.deferred_w + view.shed_w + sum(view.unserved_w)
        assert sum(n for _, n in view.consumers) == len(site.consumers)

    every_step(course, law)


# -- ratings -----------------------------------------------------------------------------------------------------------


@LAW
@given(COURSES)
def test_no_increase_is_planned_over_a_rating_nor_below_a_stale_meter(course: Course) -> None:
    site, of = course.site, party_of(course.site)

    def law(drive: Drive, moment: Moment) -> None:
        if moment.region_mode != RegionMode.AUTO:
            return
        known = drive.known
        for d in moment.decisions:
            forced = d.reason.code == "too-much"
            raises_import = d.rung in RAISES_IMPORT or (d.rung in GIVES_LESS and not forced)
            if d.rung == "fill-storage" and d.amount_w <= 0:
                continue
            if not raises_import and d.rung not in RAISES_EXPORT:
                continue
            export = not raises_import
            party = of[d.device]
            if d.amount_w == 0 and d.device not in moment.book.pledges and not _unbounded_lift(drive, moment, d.device):
                continue
            for r in chain(site, party.rating):
                limit = limit_va(site, r, export=export)
                if limit is None:
                    continue
                assert rating_fresh(site, known, r), f"{d.rung} below the stale meter of {site.ratings[r].name}"
                rise = pledged_rise(site, known, moment, r, d.device, export=export)
                if export and _unbounded_lift(drive, moment, d.device):
                    rise = unforeseen_rise(site, known, moment, r, d.device)
                sign = -1 if export else 1
                for p in range(1 if site.ratings[r].phases == 1 else 3):
                    if site.ratings[r].phases == 1 or party.phases >> p & 1:
                        after = sign * rating_load(site, known, r)[p] + rise[p]
                        assert after <= limit + rounding_va(site, r), (
                            f"{d.rung} takes {site.ratings[r].name} to {float(after)} of {limit} VA"
                        )

    every_step(course, law)


def rounding_va(site: Site, r: int) -> int:
    """A meter's watts are rounded to whole VA a phase, without a meter those of each device below."""
    return 1 if site.ratings[r].power != NONE else sum(r in chain(site, p.rating) for p in parties(site)) + 1


def unforeseen_rise(site: Site, known: Known, moment: Moment, r: int, device: int) -> list[Fraction]:
    """The same for a generator of which nobody knows what it could give: all that it now may."""
    i = next(i for i, g in enumerate(site.generators) if g.device == device)
    g = site.generators[i]
    more = max(0, moment.region.generator_limit_w[i] + net_w(known, g))
    others = {d: p for d, p in moment.book.pledges.items() if d != device}
    total = pledged_rise(site, known, replace(moment, book=Book(pledges=others)), r, device, export=True)
    return [a + b for a, b in zip(total, per_phase(more, g, site.ratings[r].phases), strict=True)]


def _unbounded_lift(drive: Drive, moment: Moment, device: int) -> bool:
    """Whether a curtailed generator may now give more than anybody can foresee."""
    for i, g in enumerate(drive.course.site.generators):
        if g.device == device:
            raised = moment.region.generator_limit_w[i] > moment.region_before.generator_limit_w[i]
            return raised and not drive.known.fresh(g.available)
    return False


# -- sheds and starvation ----------------------------------------------------------------------------------------------


@LAW
@given(COURSES)
def test_nobody_gives_up_more_than_lower_rungs_leave_short(course: Course) -> None:
    site, of = course.site, party_of(course.site)
    by_name = areas(site)

    def law(drive: Drive, moment: Moment) -> None:
        hurtful = [d for d in moment.decisions if d.reason.code in HURTFUL]
        if moment.region_mode != RegionMode.AUTO or not hurtful:
            return
        if any(d.reason.code == "too-much" for d in moment.decisions):
            return
        shortages = {str(d.reason.args[0]): by_name[str(d.reason.args[0])] for d in hurtful}
        # On a separate bus a feed that fits no tree is short as well, whatever the sum says.
        shortages = {n: a for n, a in shortages.items() if a.rating != NONE or not _is_separate(site, a)}
        follow = {n: Shortage(site, drive.known, a, moment) for n, a in shortages.items()}
        for d in moment.decisions:
            if d in hurtful and str(d.reason.args[0]) in follow:
                short, party = follow[str(d.reason.args[0])], of[d.device]
                left = short.on(party)
                assert left > -short.slack, f"{d.rung} though {short.area.name} lacks nothing ({float(left)} W)"
                if d.rung == "shed":
                    assert d.amount_w <= left + short.slack, f"{d.amount_w} W shed for {float(left)} W"
                _lower_rungs_are_exhausted(drive, moment, short, float(short.final_on(party)))
            for short in follow.values():
                short.follow(d)

    every_step(course, law)


def _is_separate(site: Site, area: Area) -> bool:
    return area.bus is not None and site.buses[area.bus].kind is BusKind.SEPARATE


def _lower_rungs_are_exhausted(drive: Drive, moment: Moment, short: Shortage, left_w: float) -> None:
    """With a lasting shortage no store goes on charging and no curtailed generator is held back."""
    site, known = drive.course.site, drive.known
    if left_w <= short.slack:
        return
    for i, g in enumerate(site.generators):
        if g not in short.area.members or g.do_limit == NONE or not _usable(drive, moment, g.do_limit):
            continue
        limit, given = moment.region.generator_limit_w[i], -net_w(known, g)
        no_export_limit = all(limit_va(site, r, export=True) is None for r in chain(site, g.rating))
        on_all = short.area.phases == 1 or g.phases == 7
        if limit != NO_WISH and no_export_limit and on_all and known.fresh(g.available):
            potential = min(g.rated_w, known.get(g.available))
            assert min(potential, limit) >= potential or given >= potential, "shed while a generator is curtailed"
    for i, s in enumerate(site.storages):
        if s not in short.area.members or not _usable(drive, moment, s.do_setpoint):
            continue
        no_export_limit = all(limit_va(site, r, export=True) is None for r in chain(site, s.rating))
        if no_export_limit and (short.area.phases == 1 or s.phases == 7):
            assert moment.region.storage_setpoint_w[i] <= 0, "shed while a store charges"


def _usable(drive: Drive, moment: Moment, actuator: int) -> bool:
    if actuator == NONE or moment.closed[actuator]:
        return False
    device = drive.course.site.actuators[actuator].device
    return moment.device_modes[device] == DeviceMode.AUTO and moment.up[device] is not False


@LAW
@given(COURSES)
def test_no_shed_outlasts_its_deferral(course: Course) -> None:
    site = course.site
    since: dict[int, int] = {}

    def law(drive: Drive, moment: Moment) -> None:
        for c in list(since):
            if c not in moment.book.sheds:
                del since[c]
        for c, shed in moment.book.sheds.items():
            con = site.consumers[c]
            over = {d.device for d in moment.decisions if d.rung in OVER}
            if c not in moment.book_before.sheds or con.device in over:
                since[c] = moment.now_ms
            if con.do_shed == NONE and con.demand_responsive_w == 0:
                # Nothing is deferred: it runs on under its limit, for as long as it must.
                assert 0 <= shed.granted_w <= shed.requested_w <= max(con.rated_w, shed.base_w)
                continue
            assert shed.expires_at <= since[c] + con.deferral_ms
            assert 0 <= shed.granted_w <= shed.requested_w <= con.demand_responsive_w
            if moment.region_mode == RegionMode.AUTO and moment.settled and not moment.stopping:
                assert moment.now_ms < shed.expires_at, "still shed after the expiry"
        for command in moment.writes:
            if command.verb is Verb.SHED and command.value > 0:
                c = next(i for i, x in enumerate(site.consumers) if x.do_shed == command.actuator)
                assert 0 < command.lasts_ms <= site.consumers[c].deferral_ms
                assert moment.now_ms + command.lasts_ms <= since[c] + site.consumers[c].deferral_ms

    every_step(course, law)


@LAW
@given(COURSES)
def test_software_never_touches_the_protected(course: Course) -> None:
    site = course.site
    of = party_of(site)

    def law(drive: Drive, moment: Moment) -> None:
        for c in moment.book.sheds:
            assert not protected(site.consumers[c])
        for d in moment.decisions:
            party = of.get(d.device)
            if isinstance(party, Consumer) and d.rung in ("shed", "starve"):
                assert not protected(party), d
        for command in moment.writes:
            party = of[site.actuators[command.actuator].device]
            if isinstance(party, Consumer) and protected(party) and not moment.stopping:
                harmless = {
                    Verb.SHED: command.value == 0,
                    Verb.CONNECT: command.value == 1,
                    Verb.LIMIT: command.value >= party.rated_w,
                    Verb.SUPPLY: command.value > 0,
                }
                assert harmless[command.verb], command

    every_step(course, law)


@LAW
@given(COURSES)
def test_nothing_stale_hurts_anybody(course: Course) -> None:
    site, of = course.site, party_of(course.site)
    by_name = areas(site)

    def law(drive: Drive, moment: Moment) -> None:
        known = drive.known
        if moment.region_mode != RegionMode.AUTO:
            return
        for d in moment.decisions:
            if d.reason.code in HURTFUL:
                assert evident(site, known, by_name[str(d.reason.args[0])]), d
                assert known.fresh(of[d.device].power), d
            elif d.rung == "starve":
                assert known.fresh(of[d.device].power), d
            elif d.rung == "blackout":
                gi = next(i for i, g in enumerate(site.generators) if g.device == d.device)
                assert known.fresh(site.generators[gi].power)
                assert d.amount_w < net_w(known, site.generators[gi])
                fed = [c for c in range(len(site.consumers)) if moment.region_before.tree[c] == gi]
                assert fed and all(known.fresh(site.consumers[c].power) for c in fed)
                assert all(on_separate_bus(site, site.consumers[c]) for c in fed)
        for c, con in enumerate(site.consumers):
            newly = moment.region.condition[c] == Condition.CHOKED != moment.region_before.condition[c]
            assert not newly or any(d.rung == "blackout" for d in moment.decisions), con

    every_step(course, law)


@LAW
@given(COURSES)
def test_evidence_of_a_bus_does_not_rest_on_stale_demand(course: Course) -> None:
    """Where no meter sums it up, load that is not freshly measured takes nothing from others."""
    site, by_name = course.site, areas(course.site)

    def law(drive: Drive, moment: Moment) -> None:
        known = drive.known
        for d in moment.decisions:
            area = by_name.get(str(d.reason.args[0])) if d.reason.code in HURTFUL else None
            forced = any(x.reason.code == "too-much" for x in moment.decisions)
            if moment.region_mode != RegionMode.AUTO or area is None or area.rating != NONE or forced:
                continue
            fresh = {p.device: max(0, known.get(p.power)) for p in area.members if known.fresh(p.power)}
            rises = sum(
                max(0, pledge.remaining_w(net_w(known, p)))
                for p in area.members
                if (pledge := moment.book_before.pledges.get(p.device)) is not None
            )
            given_w = sum(max(0, -net_w(known, p)) for p in area.members if not isinstance(p, Consumer))
            short = sum(fresh.values()) + rises + site.policy.dead_band_w - given_w * (PPM - area.margin_ppm) // PPM
            assert short >= 0 or (_is_separate(site, area) and _over_full(drive, moment, area, fresh)), d

    every_step(course, law)


def _over_full(drive: Drive, moment: Moment, area: Area, load_w: dict[int, int]) -> bool:
    """Whether a tree carries more than is safe, counting only these loads."""
    site = drive.course.site
    for gi, g in enumerate(site.generators):
        safe = -net_w(drive.known, g) * (PPM - area.margin_ppm) // PPM
        fed = [c for i, c in enumerate(site.consumers) if moment.region_before.tree[i] == gi]
        if g in area.members and sum(load_w.get(c.device, 0) for c in fed) > safe:
            return True
    return False


# -- commands ----------------------------------------------------------------------------------------------------------


@LAW
@given(COURSES)
def test_commands_are_few_and_never_repeated_unseen(course: Course) -> None:
    site = course.site
    last: dict[int, tuple[CommandId, int]] = {}
    same: dict[int, int] = {}

    def law(drive: Drive, moment: Moment) -> None:
        reopened = any(isinstance(e, (Order, ValueOrder)) for e in moment.inputs.events) or moment.restarted
        for i, stage in enumerate(moment.stages):
            if stage == "holding" or reopened:
                same.pop(i, None)
        for e in drive.core.memory.ledger:
            assert e.asserts <= site.policy.max_contests
        # What cannot be set is refused without a word to the device: nobody in the region may ever ask for it.
        assert not [r for r in drive.core.rulings if r is not None and r.target is None]
        for command in moment.writes:
            i, a = command.actuator, site.actuators[command.actuator]
            assert a.low <= command.value <= a.high
            before = last.get(i)
            last[i] = (command.id, command.value)
            if before is None:
                continue
            outcome = drive.outcomes.get(before[0])
            assert outcome is not None, f"two commands on the way to actuator {i}"
            if before[1] != command.value:
                same[i] = 0
                continue
            if outcome.kind is OutcomeKind.ACKNOWLEDGED and a.verb is not Verb.SHED and not a.heartbeat_ms:
                same[i] = same.get(i, 0) + 1
                assert same[i] <= site.policy.max_contests, f"written {same[i] + 1} times against somebody else"
            gone = outcome.kind in (OutcomeKind.ACKNOWLEDGED, OutcomeKind.TIMED_OUT, OutcomeKind.UNKNOWN)
            if gone and a.write_class is not WriteClass.VOLATILE:
                assert _shown_otherwise(drive, i, outcome.at_ms, command.value), "written again without need"

    every_step(course, law)


def _shown_otherwise(drive: Drive, actuator: int, since_ms: int, value: int) -> bool:
    """Whether the register was read after an answer and does not hold the value."""
    feedback = drive.course.site.actuators[actuator].feedback
    if feedback == NONE or drive.known.received_ms[feedback] <= since_ms:
        return False
    return drive.known.get(feedback) != value


# -- modes -------------------------------------------------------------------------------------------------------------


def ends(drive: Drive, moment: Moment) -> bool:
    """Whether the time of an order was over in this step."""
    now = moment.inputs.tick.utc_ms
    return any(e.kind == "order-ended" and e.utc_ms == now for e in drive.core.memory.events)


@LAW
@given(COURSES, st.booleans())
def test_each_mode_writes_what_it_may(course: Course, fall_silent: bool) -> None:
    site = course.site
    first_seen: dict[int, int | None] = {}

    def law(drive: Drive, moment: Moment) -> None:
        for command in moment.writes:
            device = site.actuators[command.actuator].device
            by_hand = command.actuator in drive.core.memory.people.operator
            assert moment.device_modes[device] == (DeviceMode.MANUAL if by_hand else DeviceMode.AUTO)
            assert moment.up[device] is not False
            assert moment.region_mode != RegionMode.ADVISORY
            feedback = site.actuators[command.actuator].feedback
            known = drive.known
            first_seen.setdefault(command.actuator, known.get(feedback) if known.ever(feedback) else None)
        if moment.region_mode == RegionMode.ADVISORY:
            assert moment.region.condition == moment.region_before.condition
            assert set(moment.book.sheds) <= set(moment.book_before.sheds)
        if moment.region_mode == RegionMode.HOLD:
            before, after = moment.region_before, moment.region
            assert after.generator_limit_w == before.generator_limit_w
            assert after.generator_setpoint_w == before.generator_setpoint_w
            assert after.generator_online == before.generator_online
            assert after.storage_setpoint_w == before.storage_setpoint_w
            assert after.consumer_connect == before.consumer_connect
            assert after.condition == before.condition
            assert after.tree.tolist() == before.tree.tolist()
            assert set(moment.book.sheds) <= set(moment.book_before.sheds)
            for c, (old, new) in enumerate(zip(before.consumer_limit_w, after.consumer_limit_w, strict=True)):
                ended = c in moment.book_before.sheds and c not in moment.book.sheds
                let_go = any(isinstance(e, ValueOrder) for e in moment.inputs.events) or ends(drive, moment)
                vetoed = site.consumers[c].device in drive.core.memory.people.vetoes
                assert old == new or let_go or ((ended or vetoed) and new == site.consumers[c].rated_w)

    drive = every_step(course, law)
    moment = drive.stop()
    for _ in range(4):
        for command in moment.writes:
            a = site.actuators[command.actuator]
            assert a.on_stop is OnStop.RELEASE
            assert moment.device_modes[a.device] == DeviceMode.AUTO
            if a.verb is Verb.SHED:
                assert command.value == 0
                continue
            assert command.actuator in first_seen, "released what was never taken over"
            assert command.value == first_seen[command.actuator]
        assert {d.rung for d in moment.decisions} <= TOLD_BY_DEVICES
        if moment.plan.final:
            break
        moment = drive.quiet(250 if fall_silent else 6_000)


# -- repetition --------------------------------------------------------------------------------------------------------


@LAW
@given(COURSES, st.data())
def test_same_inputs_same_plan_also_from_a_snapshot(course: Course, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(1, len(course.turns) + 1), max_size=4), label="snapshots after step")
    twin, from_snapshot = Core(course.site), Core(course.site)

    def law(drive: Drive, moment: Moment) -> None:
        again, restored = twin.step(moment.inputs), from_snapshot.step(moment.inputs)
        # A crash in the course is a restore for the core that is driven, and none for its twin.
        assert encode(again, Plan) == encode(moment.plan, Plan)
        assert encode(restored, Plan) == encode(moment.plan, Plan)
        snapshot = drive.core.snapshot()
        assert twin.snapshot() == snapshot
        assert from_snapshot.snapshot() == snapshot
        if moment.plan.step in places:
            fresh = Core(course.site)
            fresh.restore(snapshot)
            assert fresh.snapshot() == snapshot
            assert fresh.digests() == moment.plan.digests
            from_snapshot.__dict__.update(fresh.__dict__)

    every_step(course, law)
