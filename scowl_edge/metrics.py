"""`/metrics`: the daemon's own health, every point, and the region after its last step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.signal import Quality
from scowl_edge.model.view import RegionView
from scowl_edge.web.exposition import Family, Sample, label_set, labels
from scowl_edge.web.points import PointJudge
from scowl_edge.web.published import Published

PRIORITIES = ("critical", "high", "medium", "low")

_STEP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_DISK_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_LATENESS_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

_POINT_VALUE = Family("scowl_point_value", "gauge", "Value of a point in its base unit; absent while bad.")
_POINT_AGE = Family(
    "scowl_point_age_seconds", "gauge", "Time since the last good value of a point; +Inf if there never was one."
)
_REQUESTS = Family("scowl_link_requests_total", "counter", "Requests on a link by their result.")
_CONFLATED = Family(
    "scowl_readings_conflated_total", "counter", "Point updates that a newer one replaced before a step saw them."
)
_HEALTHY = Family("scowl_health_ok", "gauge", "1 while a check of the daemon's own health is good.")


def _one(value: Callable[[RegionView], int | None]) -> Callable[[RegionView], Iterable[Sample]]:
    """A family of a single series; absent while the region does not know it."""

    def samples(view: RegionView) -> Iterator[Sample]:
        now = value(view)
        if now is not None:
            yield "", now

    return samples


def _alarms(view: RegionView) -> Iterator[Sample]:
    standing = [alarm.priority for alarm in view.alarms]
    for priority in PRIORITIES:
        yield labels(("priority", priority)), standing.count(priority)


def _device_modes(view: RegionView) -> Iterator[Sample]:
    for device in view.devices:
        for mode in DeviceMode:
            yield labels(("device", device.name), ("mode", mode)), int(device.mode == mode)


_OF_REGION: tuple[tuple[Family, Callable[[RegionView], Iterable[Sample]]], ...] = (
    (
        Family("scowl_device_up", "gauge", "1 if the device answers, 0 if not; absent before it was first tried."),
        lambda v: ((labels(("device", d.name)), int(d.up)) for d in v.devices if d.up is not None),
    ),
    (
        Family("scowl_device_power_watts", "gauge", "Net power of a device as the region sees it, + consumed."),
        lambda v: ((labels(("device", d.name)), d.power_w) for d in v.devices if d.power_w is not None),
    ),
    (Family("scowl_device_mode", "gauge", "1 for the mode that a device is in, 0 for the others."), _device_modes),
    (
        Family("scowl_device_state_info", "gauge", "The device's kind and its state in the region, as labels."),
        lambda v: (
            (labels(("device", d.name), ("kind", d.kind), ("state", d.state), ("tree", d.tree)), 1) for d in v.devices
        ),
    ),
    (
        Family("scowl_region_mode", "gauge", "1 for the mode that the region is in, 0 for the others."),
        lambda v: ((labels(("mode", mode)), int(v.mode == mode)) for mode in RegionMode),
    ),
    (
        Family("scowl_ladder_rung_info", "gauge", "Where the ladder stands, as a label."),
        lambda v: [(labels(("rung", v.rung)), 1)],
    ),
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
        lambda v: ((labels(("tree", t.name)), t.load_w) for t in v.trees),
    ),
    (
        Family("scowl_tree_safe_watts", "gauge", "Load that a tree bears with its margin."),
        lambda v: ((labels(("tree", t.name)), t.safe_w) for t in v.trees),
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
        lambda v: ((labels(("rating", r.name)), r.headroom_w) for r in v.ratings),
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
    (Family("scowl_alarms", "gauge", "Standing alarms by priority."), _alarms),
)


class Metrics:
    """Holds the daemon's timers and renders all there is to scrape.

    The daemon calls `observe_step`, `observe_journal` and `observe_lateness`, each with seconds.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._judge = PointJudge(published)
        # The library would add a `_created` series to each of ours, which no rule or panel reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        Info("scowl_build", "Versions of the running daemon.", registry=self._registry).info(dict(published.versions))
        self.observe_step: Callable[[float], None] = Histogram(
            "scowl_step_seconds", "Time that one step of the region took.", buckets=_STEP_BUCKETS_S,
            registry=self._registry,
        ).observe  # fmt: skip
        self.observe_journal: Callable[[float], None] = Histogram(
            "scowl_journal_seconds", "Time until what a step wrote was durable.", buckets=_DISK_BUCKETS_S,
            registry=self._registry,
        ).observe  # fmt: skip
        self.observe_lateness: Callable[[float], None] = Histogram(
            "scowl_loop_lateness_seconds", "How late the event loop woke a timer.", buckets=_LATENESS_BUCKETS_S,
            registry=self._registry,
        ).observe  # fmt: skip
        self._readable = [i for i, p in enumerate(published.points) if "r" in p.access and p.type != "string"]
        named = [published.points[i] for i in self._readable]
        self._value_labels = [
            label_set((("device", p.device), ("point", p.name), ("unit", p.unit or "1"))) for p in named
        ]
        self._age_labels = [label_set((("device", p.device), ("point", p.name))) for p in named]

    def chunks(self) -> Iterator[bytes]:
        """The whole exposition in pieces of a few ms each."""
        yield generate_latest(self._registry)
        published = self._published
        requests = sorted(published.request_results.items())
        yield from _REQUESTS.chunks(
            (labels(("link", link), ("result", result)), count) for (link, result), count in requests
        )
        yield from _CONFLATED.chunks([("", published.conflated)])
        checks = published.health().items()
        yield from _HEALTHY.chunks((labels(("check", name)), int(check.ok)) for name, check in checks)
        if (view := published.region()) is not None:
            for family, samples in _OF_REGION:
                yield from family.chunks(samples(view))
        yield from _POINT_VALUE.chunks(self._values())
        yield from _POINT_AGE.chunks(self._ages())

    def _values(self) -> Iterator[Sample]:
        quality, _ = self._judge.judge()
        shown = (quality != Quality.BAD).tolist()
        value = self._published.table.value.tolist()
        for i, where in zip(self._readable, self._value_labels, strict=True):
            if shown[i]:
                yield where, value[i]

    def _ages(self) -> Iterator[Sample]:
        now_ms = self._published.mono_ms()
        good_ms = self._published.table.good_ms.tolist()
        for i, where in zip(self._readable, self._age_labels, strict=True):
            yield where, (now_ms - good_ms[i]) / 1000 if good_ms[i] >= 0 else float("inf")
