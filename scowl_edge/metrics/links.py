"""The links: requests and their results, how busy a link is and how late it may be, and other tools on its proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from scowl_edge.web.exposition import Family, Sample, labels
from scowl_edge.web.published import Published


def _of_links(values: Mapping[str, float]) -> Iterator[Sample]:
    return ((labels(("link", link)), value) for link, value in sorted(values.items()))


_FAMILIES: tuple[tuple[Family, Callable[[Published], Iterable[Sample]]], ...] = (
    (
        Family("scowl_link_requests_total", "counter", "Requests on a link by their result."),
        lambda p: (
            (labels(("link", link), ("result", result)), count)
            for (link, result), count in sorted(p.request_results.items())
        ),
    ),
    (
        Family("scowl_link_missed_polls_total", "counter", "Polls left out because the one before was not over."),
        lambda p: _of_links(p.missed_polls),
    ),
    (
        Family(
            "scowl_link_skipped_polls_total",
            "counter",
            "Polls left out while their unit was silent or the link down.",
        ),
        lambda p: _of_links(p.link_skipped_polls),
    ),
    (
        Family("scowl_link_up", "gauge", "1 if the link is up, 0 if not; absent before it was first tried."),
        lambda p: _of_links({link: int(up) for link, up in p.links_up.items()}),
    ),
    (
        Family(
            "scowl_link_busy_seconds_total",
            "counter",
            "Time in which a request was under way on a link; of several at once each counts.",
        ),
        lambda p: _of_links(p.link_busy_s),
    ),
    (
        Family(
            "scowl_link_worst_delay_seconds",
            "gauge",
            "Longest time that all other units of a link, bad at the same moment, delay a due poll; from the "
            "configuration.",
        ),
        lambda p: _of_links(p.link_worst_delays_s),
    ),
    (
        Family("scowl_link_probes_total", "counter", "Requests that only ask whether a silent unit is back."),
        lambda p: _of_links(p.link_probes),
    ),
    (
        Family("scowl_link_guest_requests_total", "counter", "Requests of other tools on a link's proxy by result."),
        lambda p: (
            (labels(("link", link), ("result", result)), count)
            for link, guests in sorted(p.guests.items())
            for result, count in sorted(guests.results.items())
        ),
    ),
    (
        Family("scowl_link_guest_connections", "gauge", "Connections of other tools to a link's proxy, by address."),
        lambda p: (
            (labels(("link", link), ("client", client)), count)
            for link, guests in sorted(p.guests.items())
            for client, count in sorted(guests.clients.items())
        ),
    ),
    (
        Family(
            "scowl_link_guests_turned_away_total",
            "counter",
            "Connections of other tools that a link's proxy refused because it had too many.",
        ),
        lambda p: _of_links({link: guests.turned_away for link, guests in p.guests.items()}),
    ),
)


def link_chunks(published: Published) -> Iterator[bytes]:
    """All of it."""
    for family, samples in _FAMILIES:
        yield from family.chunks(samples(published))
