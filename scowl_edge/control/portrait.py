"""The region for people: the core's memory and one step's view, put into the published values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scowl_edge.capacity import ShedState
from scowl_edge.capacity.ratings import Member
from scowl_edge.control.arbiter import Ruling
from scowl_edge.control.audit import flows
from scowl_edge.control.chronicle import KEPT_EVENTS
from scowl_edge.control.entry import Stage
from scowl_edge.control.memory import Happened, Memory
from scowl_edge.model.command import GUARDS, Verb
from scowl_edge.model.event import Rank
from scowl_edge.model.flex_view import FlexView
from scowl_edge.model.site import NONE, PPM, Actuator, Consumer, Dispatch, Generator, Site, Storage
from scowl_edge.model.tick import Tick
from scowl_edge.model.view import (
    ActuatorView,
    AlarmView,
    DecisionView,
    DeviceView,
    EventView,
    PopulationView,
    RatingView,
    RegionView,
    TreeView,
)
from scowl_edge.tracker import Condition, Forest, Observation, Tracker
from scowl_edge.tracker.region import grid_of_bus, tree_buses, tree_names
from scowl_edge.tracker.steering import wished

SHOWN_DECISIONS = 50
SHOWN_USES = 12
"""Devices that are named under a rating."""


def portrait(
    site: Site,
    memory: Memory,
    tracker: Tracker,
    seen: Observation,
    forest: Forest | None,
    rulings: Sequence[Ruling | None],
    tick: Tick,
    conservation_error_w: int,
    populations: tuple[PopulationView, ...] = (),
    flex: FlexView | None = None,
) -> RegionView:
    """Everything that is published of a region."""
    situation, region = memory.situation, memory.region
    accounts = flows(site, memory, seen)
    unserved = [0] * 8
    states = {"served": 0, "shed": 0, "starved": 0, "choked": 0, "unassigned": 0}
    for c, con in enumerate(site.consumers):
        states[consumer_state(memory, c)] += 1
        unserved[min(con.klass, 7)] += accounts[c].unserved_w
        if region.tree[c] == NONE and region.condition[c] == Condition.SERVED:
            states["unassigned"] += 1
            states["served"] -= 1 if consumer_state(memory, c) == "served" else 0
            states["shed"] -= 1 if consumer_state(memory, c) == "shed" else 0
    for population in populations:
        starved = sum(population.starved)
        states["starved"] += starved
        states["served"] += sum(population.members) - starved
        unserved = [w + more for w, more in zip(unserved, population.unserved_w, strict=True)]
    generation = sum(seen.generation_w) + sum(max(0, -w) for w in seen.storage_w)
    grid = next((r for b in range(len(site.buses)) if (r := grid_of_bus(site, b)) != NONE), NONE)
    loads = seen.ratings
    everybody = Member(NONE, 7, PPM)
    return RegionView(
        site=site.name,
        step=tick.step,
        utc_ms=tick.utc_ms,
        utc_ok=tick.utc_ok,
        mode=situation.mode.mode,
        mode_who=situation.mode.who,
        mode_why=situation.mode.why,
        mode_until_utc_ms=situation.mode.until_utc_ms,
        rung=region.rung,
        generation_w=generation + sum(p.generation_w for p in populations),
        demand_w=sum(f.wanted_w for f in accounts) + sum(p.wanted_w for p in populations),
        served_w=sum(f.served_w for f in accounts) + sum(p.served_w for p in populations),
        deferred_w=sum(f.deferred_w for f in accounts),
        shed_w=sum(f.shed_w for f in accounts) + sum(p.shed_w for p in populations),
        unserved_w=tuple(unserved),
        unmetered_w=loads.unmetered_w[grid] if grid != NONE else 0,
        grid_net_w=loads.net_w[grid] if grid != NONE and loads.fresh[grid] else None,
        headroom_w=loads.room_import_w(grid, everybody) if grid != NONE else 0,
        conservation_error_w=conservation_error_w,
        consumers=tuple(states.items()),
        pledged_w=sum(max(0, -p.remaining_w(seen.net_w(device))) for device, p in memory.book.pledges.items()),
        commands=tuple((*key.split(" ", 1), n) for key, n in sorted(memory.counts.items())),  # type: ignore[misc]
        trees=_trees(site, memory, forest),
        devices=_devices(site, memory, tracker, seen, rulings),
        ratings=tuple(
            RatingView(
                name=r.name,
                kind=r.kind.value,
                within=site.ratings[r.within].name if r.within != NONE else "",
                load_va=(loads.load_va[i][0], loads.load_va[i][1], loads.load_va[i][2]),
                import_va=r.import_va,
                export_va=r.export_va,
                headroom_w=loads.room_import_w(i, everybody),
                unmetered_w=loads.unmetered_w[i],
                metered=r.power != NONE or r.currents[0] != NONE,
                fresh=loads.fresh[i],
                uses=_uses(site, tracker, seen, i),
            )
            for i, r in enumerate(site.ratings)
        ),
        alarms=tuple(_alarm(memory, key) for key in sorted(memory.alarms)),
        events=tuple(_event(e) for e in reversed(memory.events[-KEPT_EVENTS:])),
        decisions=tuple(
            DecisionView(
                step=d.step,
                utc_ms=d.utc_ms,
                rung=d.rung,
                device=site.devices[d.device].name if d.device != NONE else "",
                amount_w=d.amount_w,
                reason=d.reason,
            )
            for d in reversed(memory.decisions[-SHOWN_DECISIONS:])
        ),
        populations=populations,
        stray_rows=situation.stray_rows.get("", 0),
        flex=flex,
    )


def happened(memory: Memory, after: int) -> list[EventView]:
    """Events with a greater number than `after`, oldest first; all of them if there is none so great: they began anew.

    Nothing is missing for who asks after each step.
    """
    held, newest = memory.events, memory.situation.events
    fresh = min(len(held), newest - after) if newest >= after else len(held)
    return [_event(e) for e in held[len(held) - fresh :]]


def _event(e: Happened) -> EventView:
    return EventView(
        seq=e.seq,
        source_utc_ms=e.source_utc_ms,
        utc_ms=e.utc_ms,
        utc_ok=e.utc_ok,
        kind=e.kind,
        source=e.source,
        priority=e.priority,
        who=e.who,
        text=e.text,
    )


def _alarm(memory: Memory, key: str) -> AlarmView:
    alarm, shelved = memory.alarms[key], memory.people.shelved.get(key)
    return AlarmView(
        key=key,
        priority=alarm.priority,
        since_utc_ms=alarm.since_utc_ms,
        since_utc_ok=alarm.since_utc_ok,
        cause=alarm.cause,
        source=alarm.source,
        acknowledged_by=alarm.acknowledged_by,
        acknowledged_why=alarm.acknowledged_why,
        acknowledged_utc_ms=alarm.acknowledged_utc_ms,
        shelved_by=shelved.who if shelved is not None else "",
        shelved_why=shelved.why if shelved is not None else "",
        shelved_until_utc_ms=shelved.until_utc_ms if shelved is not None else 0,
    )


def _uses(site: Site, tracker: Tracker, seen: Observation, rating: int) -> tuple[tuple[str, int], ...]:
    """The largest flows below a rating."""
    peers: tuple[Generator | Consumer | Storage, ...] = (*site.generators, *site.consumers, *site.storages)
    below = [p.device for p in peers if rating in tracker.rating_tree.chain(p.rating)]
    flows_w = sorted(((site.devices[d].name, seen.net_w(d)) for d in below), key=lambda u: (-abs(u[1]), u[0]))
    return tuple(u for u in flows_w if u[1])[:SHOWN_USES]


def consumer_state(memory: Memory, consumer: int) -> str:
    """served, shed, starved or choked."""
    condition = memory.region.condition[consumer]
    if condition == Condition.STARVED:
        return "starved"
    if condition == Condition.CHOKED:
        return "choked"
    shed = memory.book.sheds.get(consumer)
    return "shed" if shed is not None and shed.state is not ShedState.ASKED else "served"


def _trees(site: Site, memory: Memory, forest: Forest | None) -> tuple[TreeView, ...]:
    if forest is None:
        return ()
    names = tree_names(site)
    buses = tree_buses(site)
    feeds = [site.devices[c.device].name for c in site.consumers] + [site.devices[s.device].name for s in site.storages]
    members: list[list[str]] = [[] for _ in names]
    for feed, tree in enumerate(memory.region.tree.tolist()):
        if tree != NONE:
            members[tree].append(feeds[feed])
    return tuple(
        TreeView(
            name=name,
            bus=site.buses[buses[t]].name,
            output_w=forest.output_w[t],
            safe_w=forest.safe_w[t],
            load_w=forest.load_w[t],
            over_assigned_w=max(0, forest.load_w[t] - forest.safe_w[t]),
            members=tuple(members[t]),
            blackout=memory.region.tree_blackout_at[t] >= 0,
            fresh=forest.fresh[t],
        )
        for t, name in enumerate(names)
    )


def _ordered(memory: Memory, actuator: int) -> dict[str, Any]:
    """What a person ordered of an actuator, as fields of its view."""
    for rank, values in ((Rank.OPERATOR, memory.people.operator), (Rank.USER, memory.people.user)):
        held = values.get(actuator)
        if held is not None:
            return {
                "ordered": held.value,
                "ordered_rank": rank.value,
                "ordered_who": held.word.who,
                "ordered_why": held.word.why,
                "ordered_until_utc_ms": held.word.until_utc_ms,
            }
    return {}


def _devices(
    site: Site, memory: Memory, tracker: Tracker, seen: Observation, rulings: Sequence[Ruling | None]
) -> tuple[DeviceView, ...]:
    situation, region = memory.situation, memory.region
    names = tree_names(site)
    accounts = flows(site, memory, seen)
    kinds: dict[int, tuple[str, str, int, str, int | None, int, int, int]] = {}
    for gi, g in enumerate(site.generators):
        limit = region.generator_limit_w[gi]
        curtailed = wished(limit) and limit < g.rated_w
        output = seen.generation_w[gi]
        state = "curtailed" if curtailed else "producing" if output > 0 else "offline"
        if g.dispatch is Dispatch.FIXED and region.generator_online[gi] == 1 and output == 0:
            state = "starting"
        power = seen.value(g.power, 0) if seen.known(g.power) else None
        kinds[g.device] = ("generator", state, NONE, names[gi], power, 0, 0, 0)
    for ci, c in enumerate(site.consumers):
        tree = int(region.tree[ci])
        flow = accounts[ci]
        power = seen.consumption_w[ci] if seen.known(c.power) else None
        kinds[c.device] = (
            "consumer",
            consumer_state(memory, ci),
            c.klass,
            names[tree] if tree != NONE else "",
            power,
            flow.wanted_w,
            flow.shed_w,
            flow.unserved_w,
        )
    for si, s in enumerate(site.storages):
        watts = seen.storage_w[si]
        state = (
            "charging"
            if watts > s.trickle_w
            else "discharging"
            if watts < -s.trickle_w
            else "sleeping"
            if region.storage_sleeping[si]
            else "idle"
        )
        tree = int(region.tree[len(site.consumers) + si])
        power = watts if seen.known(s.power) else None
        kinds[s.device] = ("storage", state, NONE, names[tree] if tree != NONE else "", power, max(0, watts), 0, 0)
    for rating in site.ratings:
        if rating.power != NONE and (meter := site.signals[rating.power].device) not in kinds:
            flow_w = seen.value(rating.power, 0) if seen.known(rating.power) else None
            kinds[meter] = ("meter", "measuring", NONE, "", flow_w, 0, 0, 0)
    actuators: dict[int, list[ActuatorView]] = {}
    lasting: dict[int, list[bool]] = {}
    for a in site.actuators:
        if a.verb in (Verb.LIMIT, Verb.SETPOINT, Verb.SHED, Verb.CONNECT):
            lasting.setdefault(a.device, []).append(_stays_as_left(a))
    for i, a in enumerate(site.actuators):
        e = memory.ledger[i]
        ruling = rulings[i]
        actuators.setdefault(a.device, []).append(
            ActuatorView(
                verb=a.verb.value,
                target=e.target,
                confirmed=e.confirmed,
                state=Stage.INTENDED.value if e.kept_back is not None else e.stage.value,
                klass=ruling.klass if ruling is not None else 0,
                reason=(ruling.conflict or ruling.reason) if ruling is not None else None,
                stays_as_left=_stays_as_left(a),
                withheld=e.kept_back,
                writes_today=e.writes_today,
                writes_total=e.writes_total,
                daily_budget=a.daily_budget,
                low=a.low,
                high=a.high,
                **_ordered(memory, i),
            )
        )
    result = []
    for d, device in enumerate(site.devices):
        kind, state, klass, tree_name, power, wanted, shed_w, unserved_w = kinds.get(
            d, ("meter", "measuring", NONE, "", None, 0, 0, 0)
        )
        mode, reach = situation.device_modes[d], situation.devices[d]
        why = memory.reasons[d]
        veto = memory.people.vetoes.get(d)
        result.append(
            DeviceView(
                name=device.name,
                link=device.link,
                kind=kind,
                mode=mode.mode,
                mode_who=mode.who,
                mode_why=mode.why,
                mode_until_utc_ms=mode.until_utc_ms,
                up=reach.up,
                since_utc_ms=reach.since_utc_ms,
                state=state,
                klass=klass,
                tree=tree_name,
                power_w=power,
                wanted_w=wanted,
                shed_w=shed_w,
                unserved_w=unserved_w,
                why=why if why.code != "untouched" else None,
                actuators=tuple(actuators.get(d, ())),
                stays_as_left=all(stay) if (stay := lasting.get(d)) else None,
                down_cause=_down_cause(memory, device.link, d),
                vetoed=veto is not None,
                veto_who=veto.who if veto is not None else "",
                veto_why=veto.why if veto is not None else "",
                veto_until_utc_ms=veto.until_utc_ms if veto is not None else 0,
            )
        )
    return tuple(result)


def _stays_as_left(a: Actuator) -> bool:
    """Whether a device keeps what was written when nobody commands it any more."""
    if a.verb in (*GUARDS, Verb.HEARTBEAT) or a.expires:
        return False
    return a.failsafe is None or a.device_timeout_ms == 0


def _down_cause(memory: Memory, link: str, device: int) -> str:
    reach = memory.situation.devices[device]
    if reach.up is not False:
        return ""
    of_link = memory.situation.links.get(link)
    return of_link.cause if of_link is not None and of_link.up is False else reach.cause
