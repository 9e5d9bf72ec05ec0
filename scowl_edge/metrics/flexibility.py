"""The site's part in flexibility as families: sums only, no series for a single appliance, offer or selection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from scowl_edge.model.flex_view import Counts, FlexView
from scowl_edge.model.flexibility import LimitState
from scowl_edge.web.exposition import Family, Sample, labels
from scowl_edge.web.published import FlexTroubles


def _one(value: Callable[[FlexView], float | None]) -> Callable[[FlexView], Iterable[Sample]]:
    """A family of a single series; absent while it is not known."""

    def samples(view: FlexView) -> Iterator[Sample]:
        now = value(view)
        if now is not None:
            yield "", now

    return samples


def _by(label: str, counts: Callable[[FlexView], Counts]) -> Callable[[FlexView], Iterable[Sample]]:
    return lambda view: ((labels((label, name)), n) for name, n in counts(view))


def _site_limit(view: FlexView) -> Iterator[Sample]:
    if view.site_limit_state:
        for state in LimitState:
            yield labels(("state", state.value)), int(state.value == view.site_limit_state)


_FAMILIES: tuple[tuple[Family, Callable[[FlexView], Iterable[Sample]]], ...] = (
    (
        Family("scowl_flex_links", "gauge", "Links to the provider or to managers by state."),
        lambda f: ((labels(("state", "up")), f.peers_up), (labels(("state", "down")), f.peers_down)),
    ),
    (Family("scowl_flex_appliances", "gauge", "Appliances by where they stand."), _by("life", lambda f: f.lives)),
    (Family("scowl_flex_offers", "gauge", "Offers of appliances by state."), _by("state", lambda f: f.offers)),
    (
        Family("scowl_flex_selections", "gauge", "Selections of the last day by state."),
        _by("state", lambda f: f.selections),
    ),
    (
        Family(
            "scowl_flex_promised_watts", "gauge",
            "Power promised by all that runs under a selection, as far as it is measured.",
        ),
        _one(lambda f: f.promised_w),
    ),
    (
        Family("scowl_flex_delivered_watts", "gauge", "The same power as measured; absent where nothing is measured."),
        _one(lambda f: f.delivered_w),
    ),
    (
        Family("scowl_flex_unmeasured_watts", "gauge", "Power promised by those of which nothing was measured lately."),
        _one(lambda f: f.unmeasured_w),
    ),
    (
        Family("scowl_flex_books_watthours", "gauge", "Change in the books that are kept, by what became of it."),
        lambda f: (
            (labels(("what", "asked")), f.asked_wh),
            (labels(("what", "delivered")), f.credited_wh),
            (labels(("what", "short")), f.short_wh),
            (labels(("what", "unproven")), f.unproven_wh),
        ),
    ),
    (
        Family("scowl_flex_goal_watts", "gauge", "Power, or change of it, that is wanted now; absent without a goal."),
        _one(lambda f: f.goal.power_w if f.goal is not None else None),
    ),
    (
        Family(
            "scowl_flex_plan_gap_ratio", "gauge",
            "How far the last plan is above the certified bound, at most; absent before the first.",
        ),
        _one(lambda f: f.plan.gap_ppm / 1e6 if f.plan is not None and f.plan.gap_ppm is not None else None),
    ),
    (Family("scowl_flex_plans_total", "counter", "Plans that were asked of the worker."), _one(lambda f: f.plans)),
    (
        Family("scowl_flex_plans_failed_total", "counter", "Plans that failed or could not be carried out."),
        _one(lambda f: f.plans_failed),
    ),
    (
        Family("scowl_flex_refused_total", "counter", "Messages that were refused here, by code."),
        _by("code", lambda f: f.refused),
    ),
    (
        Family(
            "scowl_flex_failsafe_entries_total", "counter",
            "Times that the manager's own limit, or that of a device that it drives, fell to its fail-safe value.",
        ),
        _one(lambda f: f.failsafe_entries),
    ),
    (
        Family("scowl_flex_site_limit_state", "gauge", "1 for the state of the manager's own limit, 0 for the others."),
        _site_limit,
    ),
    (
        Family("scowl_flex_limit_states", "gauge", "Appliances of the manager by the state of their limits."),
        _by("state", lambda f: f.limit_states),
    ),
    (
        Family("scowl_flex_overrides", "gauge", "Appliances that somebody takes out of flexibility now, by scope."),
        _by("scope", lambda f: f.overrides),
    ),
    (
        Family("scowl_flex_reports_waiting", "gauge", "Reports that the provider has not stored yet."),
        _one(lambda f: f.reports_waiting),
    ),
    (
        Family("scowl_flex_reports_dropped_total", "counter", "Reports that waited for the provider for too long."),
        _one(lambda f: f.reports_dropped),
    ),
)  # fmt: skip
_UNSENT = Family("scowl_flex_unsent_total", "counter", "Messages that no link took.")
_LINK_REFUSED = Family(
    "scowl_flex_link_refused_total", "counter", "Frames and messages of peers that their links refused, by code."
)
_LINK_EVENTS = Family(
    "scowl_flex_link_events_total", "counter",
    "What peers did on their links: slowed (a flood), repeated, again, gap, unadmitted, forgotten.",
)  # fmt: skip
_SKEW = Family("scowl_flex_clock_skew_seconds", "gauge", "Largest difference of a connected peer's clock from ours.")


def link_chunks(troubles: FlexTroubles) -> Iterator[bytes]:
    """What peers did that they should not."""
    yield from _LINK_REFUSED.chunks((labels(("code", code)), n) for code, n in sorted(troubles.refused.items()))
    yield from _LINK_EVENTS.chunks((labels(("what", what)), n) for what, n in troubles.happened.items())
    yield from _SKEW.chunks([("", troubles.skew_s)])


def flex_chunks(view: FlexView, unsent: int) -> Iterator[bytes]:
    """All of it."""
    for family, samples in _FAMILIES:
        yield from family.chunks(samples(view))
    yield from _UNSENT.chunks([("", unsent)])
