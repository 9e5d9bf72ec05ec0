"""The region after its last step, as families: one line a family says all there is to know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from scowl_edge.metrics.populations import population_chunks, tree_samples
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.view import AlarmView, PopulationTreeView, RegionView, TreeView
from scowl_edge.web.exposition import Family, Sample, labels

PRIORITIES = ("critical", "high", "medium", "low")
RUNGS = (
    "balanced", "lift-curtailment", "stop-storing", "raise-continuous", "discharge-storage", "start-fixed",
    "activate-offers", "shed", "starve", "feed-starving", "restore-shed", "end-offers", "stop-discharge",
    "lower-continuous", "stop-fixed", "relax-limit", "sleep", "protect-storage", "fill-storage", "curtail",
)  # fmt: skip
"""Where the ladder may stand, in the order in which it is climbed and gone down. Others get a series when they are
met; these have one from the start, so that a graph has no gaps."""

_NO_LIMIT_W = 1 << 49
"""Head-room beyond this is that of a rating without a limit."""


def _one(value: Callable[[RegionView], int | None]) -> Callable[[RegionView], Iterable[Sample]]:
    """A family of a single series; absent while the region does not know it."""

    def samples(view: RegionView) -> Iterator[Sample]:
        now = value(view)
        if now is not None:
            yield "", now

    return samples


def _alarms(counted: Callable[[AlarmView], bool]) -> Callable[[RegionView], Iterable[Sample]]:
    """Alarms that count, by priority; each priority has a series."""

    def samples(view: RegionView) -> Iterator[Sample]:
        found = Counter(alarm.priority for alarm in view.alarms if counted(alarm))
        for priority in PRIORITIES:
            yield labels(("priority", priority)), found[priority]

    return samples


def _shelved(alarm: AlarmView) -> bool:
    return alarm.shelved_until_utc_ms > 0


def _standing(view: RegionView) -> Iterator[Sample]:
    for alarm in view.alarms:
        kind, _, source = alarm.key.partition(":")
        where = labels(("kind", kind), ("source", alarm.source or source), ("priority", alarm.priority))
        yield where, 0 if _shelved(alarm) else 1


def _trees(view: RegionView, value: Callable[[TreeView | PopulationTreeView], int]) -> Iterator[Sample]:
    for tree in view.trees:
        yield labels(("tree", tree.name)), value(tree)
    yield from tree_samples(view, value)


def _rungs(view: RegionView) -> Iterator[Sample]:
    for rung in dict.fromkeys((*RUNGS, view.rung)):
        yield labels(("rung", rung)), int(rung == view.rung)


def _limits(view: RegionView) -> Iterator[Sample]:
    for r in view.ratings:
        for direction, limit_va in (("import", r.import_va), ("export", r.export_va)):
            if limit_va >= 0:
                yield labels(("rating", r.name), ("direction", direction)), limit_va


def _device_modes(view: RegionView) -> Iterator[Sample]:
    for device in view.devices:
        for mode in DeviceMode:
            yield labels(("device", device.name), ("mode", mode)), int(device.mode == mode)


_OF_REGION: tuple[tuple[Family, Callable[[RegionView], Iterable[Sample]]], ...] = (
    (Family("scowl_site_info", "gauge", "The site's name, as a label."), lambda v: [(labels(("site", v.site)), 1)]),
    (
        Family("scowl_device_info", "gauge", "What never changes of a device, as labels."),
        lambda v: ((labels(("device", d.name), ("link", d.link), ("kind", d.kind)), 1) for d in v.devices),
    ),
    (
        Family("scowl_device_up", "gauge", "1 if the device answers, 0 if not; absent before it was first tried."),
        lambda v: ((labels(("device", d.name)), int(d.up)) for d in v.devices if d.up is not None),
    ),
    (
        Family("scowl_device_unserved_watts", "gauge", "Wanted power of a consumer that it does not get."),
        lambda v: ((labels(("device", d.name)), d.unserved_w) for d in v.devices if d.kind == "consumer"),
    ),
    (
        Family("scowl_device_shed_watts", "gauge", "Power that a consumer granted to shed."),
        lambda v: ((labels(("device", d.name)), d.shed_w) for d in v.devices if d.kind == "consumer"),
    ),
    (
        Family("scowl_device_power_watts", "gauge", "Net power of a device as the region sees it, + consumed."),
        lambda v: ((labels(("device", d.name)), d.power_w) for d in v.devices if d.power_w is not None),
    ),
    (Family("scowl_device_mode", "gauge", "1 for the mode that a device is in, 0 for the others."), _device_modes),
    (
        Family(
            "scowl_device_state_info", "gauge", "A device's state in the region and the tree it hangs on, as labels."
        ),
        lambda v: ((labels(("device", d.name), ("state", d.state), ("tree", d.tree or "none")), 1) for d in v.devices),
    ),
    (
        Family("scowl_region_mode", "gauge", "1 for the mode that the region is in, 0 for the others."),
        lambda v: ((labels(("mode", mode)), int(v.mode == mode)) for mode in RegionMode),
    ),
    (Family("scowl_ladder_rung", "gauge", "1 for the rung on which the ladder stands, 0 for the others."), _rungs),
    (Family("scowl_steps_total", "counter", "Steps of the region since its journal began."), _one(lambda v: v.step)),
    (
        Family("scowl_clock_trusted", "gauge", "1 while the wall clock is known to be synchronised."),
        _one(lambda v: int(v.utc_ok)),
    ),
    (Family("scowl_generation_watts", "gauge", "Power generated."), _one(lambda v: v.generation_w)),
    (Family("scowl_demand_watts", "gauge", "Power wanted by all consumers."), _one(lambda v: v.demand_w)),
    (Family("scowl_served_watts", "gauge", "Wanted power that is served."), _one(lambda v: v.served_w)),
    (Family("scowl_deferred_watts", "gauge", "Wanted power that is put off."), _one(lambda v: v.deferred_w)),
    (Family("scowl_shed_watts", "gauge", "Power that consumers granted to shed."), _one(lambda v: v.shed_w)),
    (
        Family("scowl_unserved_watts", "gauge", "Wanted power of starved and choked consumers by class."),
        lambda v: ((labels(("class", str(k))), watts) for k, watts in enumerate(v.unserved_w)),
    ),
    (
        Family("scowl_unmetered_watts", "gauge", "Difference between meters and the known loads below them."),
        _one(lambda v: v.unmetered_w),
    ),
    (Family("scowl_pledged_watts", "gauge", "Power ordered but not yet effective."), _one(lambda v: v.pledged_w)),
    (
        Family("scowl_grid_net_watts", "gauge", "Power at the grid connection, + import; absent while unknown."),
        _one(lambda v: v.grid_net_w),
    ),
    (
        Family("scowl_supply_headroom_watts", "gauge", "Supply that the region could still give."),
        _one(lambda v: v.headroom_w),
    ),
    (
        Family("scowl_conservation_error_watts", "gauge", "Wanted less served, deferred, shed, unserved; always 0."),
        _one(lambda v: v.conservation_error_w),
    ),
    (
        Family("scowl_consumers", "gauge", "Consumers by state."),
        lambda v: ((labels(("state", state)), count) for state, count in v.consumers),
    ),
    (
        Family("scowl_tree_output_watts", "gauge", "Output of a tree's source."),
        lambda v: ((labels(("tree", t.name)), t.output_w) for t in v.trees),
    ),
    (
        Family("scowl_tree_load_watts", "gauge", "Load assigned to a tree."),
        lambda v: _trees(v, lambda t: t.load_w),
    ),
    (
        Family("scowl_tree_safe_watts", "gauge", "Load that a tree bears with its margin."),
        lambda v: _trees(v, lambda t: t.safe_w),
    ),
    (
        Family("scowl_tree_over_assigned_watts", "gauge", "Load of a tree beyond its output."),
        lambda v: ((labels(("tree", t.name)), t.over_assigned_w) for t in v.trees),
    ),
    (
        Family("scowl_tree_blackout", "gauge", "1 while a tree is blacked out."),
        lambda v: ((labels(("tree", t.name)), int(t.blackout)) for t in v.trees),
    ),
    (
        Family("scowl_headroom_watts", "gauge", "Power that may still be added below a rating."),
        lambda v: ((labels(("rating", r.name)), r.headroom_w) for r in v.ratings if r.headroom_w < _NO_LIMIT_W),
    ),
    (
        Family(
            "scowl_rating_limit_voltamperes", "gauge", "Limit of each phase of a rating; absent where there is none."
        ),
        _limits,
    ),
    (
        Family("scowl_rating_fresh", "gauge", "1 while the load of a rating is known, 0 while it counts as full."),
        lambda v: ((labels(("rating", r.name)), int(r.fresh)) for r in v.ratings),
    ),
    (
        Family("scowl_rating_load_voltamperes", "gauge", "Load of a rating by phase, + import."),
        lambda v: (
            (labels(("rating", r.name), ("phase", phase)), load_va)
            for r in v.ratings
            for phase, load_va in zip("abc", r.load_va, strict=True)
        ),
    ),
    (
        Family("scowl_rating_unmetered_watts", "gauge", "Load of a rating that no known device explains."),
        lambda v: ((labels(("rating", r.name)), r.unmetered_w) for r in v.ratings),
    ),
    (
        Family("scowl_commands_total", "counter", "Commands by what they do and what became of them."),
        lambda v: ((labels(("verb", verb), ("outcome", outcome)), n) for verb, outcome, n in v.commands),
    ),
    (
        Family(
            "scowl_register_writes_total", "counter", "Writes that may have reached the device, by what they set there."
        ),
        lambda v: (
            (labels(("device", d.name), ("verb", a.verb)), a.writes_total) for d in v.devices for a in d.actuators
        ),
    ),
    (
        Family(
            "scowl_device_stays_as_left", "gauge", "1 if nothing in a device that is commanded falls back by itself."
        ),
        lambda v: (
            (labels(("device", d.name)), int(d.stays_as_left)) for d in v.devices if d.stays_as_left is not None
        ),
    ),
    (
        Family("scowl_alarms", "gauge", "Standing alarms by priority, without those that are shelved."),
        _alarms(lambda alarm: not _shelved(alarm)),
    ),
    (
        Family("scowl_alarms_unacknowledged", "gauge", "Standing alarms that nobody has acknowledged or shelved."),
        _alarms(lambda alarm: not _shelved(alarm) and not alarm.acknowledged_utc_ms),
    ),
    (Family("scowl_alarms_shelved", "gauge", "Standing alarms that somebody has shelved."), _alarms(_shelved)),
    (
        Family("scowl_alarm_standing", "gauge", "1 while an alarm stands, 0 while it is shelved; absent otherwise."),
        _standing,
    ),
)


def region_chunks(view: RegionView) -> Iterator[bytes]:
    """The families of one view."""
    for family, samples in _OF_REGION:
        yield from family.chunks(samples(view))
    yield from population_chunks(view)
