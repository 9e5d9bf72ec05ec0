"""The daemon about itself: its timers, stores, viewers and health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

from scowl_edge.metrics.process import ProcessSeries
from scowl_edge.web.exposition import Family, Sample, labels
from scowl_edge.web.published import Published, StoreFigures

_STEP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_DISK_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_LATENESS_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class Feed(Protocol):
    """Who sends the live page to its viewers."""

    @property
    def viewers(self) -> int:
        """Connected now."""

    @property
    def dropped_total(self) -> int:
        """Cut off since the start because they did not take what was sent."""

    @property
    def replaced_total(self) -> int:
        """Messages that a newer one replaced before the viewer took them, since the start."""


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        # Rendered without an event loop, so there are none.
        return 0


_FAMILIES: tuple[tuple[Family, Callable[[Published], Iterable[Sample]]], ...] = (
    (
        Family("scowl_readings_conflated_total", "counter", "Point updates that a newer one replaced before a step."),
        lambda p: [("", p.conflated)],
    ),
    (
        Family("scowl_tasks", "gauge", "Tasks of the daemon's event loop; more and more of them are a leak."),
        lambda _: [("", _tasks())],
    ),
    (
        Family("scowl_step_lag_seconds", "gauge", "How late the last step began."),
        lambda p: [("", p.step_lag_s)],
    ),
    (
        Family("scowl_health_ok", "gauge", "1 while a check of the daemon's own health is good."),
        lambda p: ((labels(("check", name)), int(check.ok)) for name, check in p.health().items()),
    ),
)

_OF_STORES: tuple[tuple[Family, Callable[[StoreFigures], int]], ...] = (
    (Family("scowl_store_ok", "gauge", "1 if what was last written to a store is on the disk."), lambda f: int(f.ok)),
    (
        Family("scowl_store_written_records_total", "counter", "Records written to a store."),
        lambda f: f.written_records,
    ),
    (
        Family("scowl_store_written_bytes_total", "counter", "Bytes written to a store, as they are stored."),
        lambda f: f.written_bytes,
    ),
    (
        Family(
            "scowl_store_dropped_records_total", "counter", "Records that a full queue in front of a store refused."
        ),
        lambda f: f.dropped_records,
    ),
    (Family("scowl_store_queued_records", "gauge", "Records that wait to be written."), lambda f: f.queued_records),
    (Family("scowl_store_file_bytes", "gauge", "Size of a store on the disk."), lambda f: f.file_bytes),
)

_VIEWERS = Family("scowl_viewers", "gauge", "Viewers of the live page.")
_DROPPED = Family(
    "scowl_viewers_dropped_total", "counter", "Viewers cut off because they did not take what was sent to them."
)
_REPLACED = Family(
    "scowl_viewer_messages_replaced_total", "counter", "Messages that a newer one replaced before a viewer took them."
)


class OwnSeries:
    """Holds the daemon's timers, and renders them with what the shell publishes of itself."""

    def __init__(self, published: Published) -> None:
        self._published = published
        # The library would add a `_created` series to each of ours, which no rule or panel reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._process = ProcessSeries()
        self._registry = CollectorRegistry()
        GCCollector(registry=self._registry)
        Info("scowl_build", "Versions of the running daemon.", registry=self._registry).info(dict(published.versions))
        self.step = Histogram(
            "scowl_step_seconds", "Time that one step of the region took.", buckets=_STEP_BUCKETS_S,
            registry=self._registry,
        )  # fmt: skip
        self.journal = Histogram(
            "scowl_journal_seconds", "Time until what a step wrote was durable.", buckets=_DISK_BUCKETS_S,
            registry=self._registry,
        )  # fmt: skip
        self.lateness = Histogram(
            "scowl_loop_lateness_seconds", "How late the event loop woke a timer.", buckets=_LATENESS_BUCKETS_S,
            registry=self._registry,
        )  # fmt: skip

    def chunks(self, feed: Feed | None) -> Iterator[bytes]:
        """All of it; viewers only where there is a feed."""
        yield from self._process.chunks()
        yield generate_latest(self._registry)
        for family, samples in _FAMILIES:
            yield from family.chunks(samples(self._published))
        stores = self._published.stores
        for family, figure in _OF_STORES:
            yield from family.chunks((labels(("store", name)), figure(of)) for name, of in stores.items())
        if feed is not None:
            yield from _VIEWERS.chunks([("", feed.viewers)])
            yield from _DROPPED.chunks([("", feed.dropped_total)])
            yield from _REPLACED.chunks([("", feed.replaced_total)])
