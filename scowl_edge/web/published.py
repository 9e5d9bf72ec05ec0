"""What the shell must publish for metrics, the API and the page to work; the daemon implements it.

Everything is read on the event loop, between steps. Nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.event import AnyOrder
from scowl_edge.model.flex_view import FlexApplianceView
from scowl_edge.model.view import EventView, RegionView
from scowl_edge.model.view import TrendRow as TrendRow


class PublishedPoint(Protocol):
    """What is known of a point beside its value."""

    @property
    def device(self) -> str:
        """Name of its device."""

    @property
    def name(self) -> str:
        """Name of the point within the device."""

    @property
    def unit(self) -> str:
        """Base unit: W, Wh, V, A, Hz, s, fraction, ...; empty where there is none."""

    @property
    def link(self) -> str:
        """Name of the link that reads it."""

    @property
    def access(self) -> str:
        """r, w or rw."""

    @property
    def type(self) -> str:
        """Type on the wire: uint16, float32, ...; empty where the server decides."""

    @property
    def fresh_ms(self) -> int:
        """Age up to which a value is fresh."""

    @property
    def hold_ms(self) -> int:
        """Further age up to which it is still shown."""


class PublishedTable(Protocol):
    """The last known of every point; one entry a point, times monotonic ms, -1 never."""

    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    cause: NDArray[np.uint8]
    requested_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    good_ms: NDArray[np.int64]
    source_utc_ms: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One answer of the daemon's own health."""

    ok: bool
    detail: str
    """In words, with the numbers it was judged by."""
    vital: bool = True
    """Whether the process should be restarted for it. A dead link is not: a restart does not mend a cable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """What a file that the daemon writes has taken so far, and how it is."""

    ok: bool
    """Whether its last attempt to write succeeded."""
    written_records: int
    """Since the start."""
    written_bytes: int
    """As stored, since the start."""
    dropped_records: int
    """Not taken because its queue was full, since the start."""
    queued_records: int
    """Waiting to be written now."""
    file_bytes: int
    """Size on the disk with what the database keeps beside it."""


class PublishedGuests(Protocol):
    """Other tools that read a link's units through the daemon."""

    @property
    def results(self) -> Mapping[str, int]:
        """Result -> requests since the start."""

    @property
    def clients(self) -> Mapping[str, int]:
        """Address of a client -> its connections now."""

    @property
    def turned_away(self) -> int:
        """Connections refused because there were too many, since the start."""


class History(Protocol):
    """The bounded store of what was: trends of points, and events. It is never replayed."""

    async def trend(self, point: int, from_utc_ms: int, to_utc_ms: int, most: int) -> Sequence[TrendRow]:
        """At most `most` rows of a point, oldest first; stretches are as long as it takes."""

    async def events(self, before_seq: int | None, most: int) -> Sequence[EventView]:
        """Events with a smaller number (None: the newest), newest first; older than the view's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexTroubles:
    """What peers did on their links, summed over all of them, since the start."""

    refused: Mapping[str, int]
    """Code -> frames and messages that a link refused by itself."""
    happened: Mapping[str, int]
    """`slowed`: frames that were left unread for a while, for a flood; `repeated`: frames with an old number; `again`:
    messages that were answered before; `gap`: holes in the numbers; `unadmitted`: connections without a right to be;
    `forgotten`: ids that gave way before their day was over."""
    skew_s: float
    """Largest difference of a connected peer's clock, to either side."""


class Published(Protocol):
    """Everything that the outside may see, and the one thing that it may do."""

    @property
    def table(self) -> PublishedTable:
        """The live point table."""

    @property
    def points(self) -> Sequence[PublishedPoint]:
        """Parallel to the table; never changes in the life of this object."""

    @property
    def texts(self) -> Mapping[int, str]:
        """Last text of each string point, by its index in the table; its number there is NaN."""

    @property
    def faults(self) -> Mapping[int, str]:
        """Why a point is bad, in the words of whoever read it, by its index in the table; may outlive the fault."""

    @property
    def request_results(self) -> Mapping[tuple[str, str], int]:
        """(link, result) -> requests since the start."""

    @property
    def conflated(self) -> int:
        """Point updates overwritten before a step saw them."""

    @property
    def missed_polls(self) -> Mapping[str, int]:
        """Link -> polls left out because the one before was not over, since the start."""

    @property
    def link_busy_s(self) -> Mapping[str, float]:
        """Link -> real seconds in which a request was under way, since the start; of several at once each counts.

        Modbus only, like what else is said of the bus.
        """

    @property
    def link_skipped_polls(self) -> Mapping[str, int]:
        """Link -> polls left out while their unit was silent or the link down, since the start."""

    @property
    def link_probes(self) -> Mapping[str, int]:
        """Link -> requests that only ask whether a silent unit is back, since the start."""

    @property
    def link_worst_delays_s(self) -> Mapping[str, float]:
        """Link -> longest time that all other units, bad at the same moment, delay a due poll; never changes."""

    @property
    def guests(self) -> Mapping[str, PublishedGuests]:
        """Link -> other tools on its proxy; only links that have one."""

    @property
    def links_up(self) -> Mapping[str, bool]:
        """Link -> whether it is up; without those that were not tried yet."""

    @property
    def stores(self) -> Mapping[str, StoreFigures]:
        """Name of a file that is written (`journal`, `telemetry`) -> its figures."""

    @property
    def flex_unsent(self) -> int:
        """Messages of flexibility that no link took, since the start; 0 where the site has no part in it."""

    @property
    def flex_troubles(self) -> FlexTroubles | None:
        """What peers did on their links that they should not; None where the site has no part in it."""

    def flex_appliance(self, esa_id: str) -> FlexApplianceView | None:
        """One appliance of flexibility with its offers and selections; None if nobody knows it."""

    @property
    def step_lag_s(self) -> float:
        """How late the last step began, in real seconds."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Labels of `scowl_build_info`; holds at least `version`."""

    def region(self) -> RegionView | None:
        """The view after the last step; None until the first."""

    async def settled(self) -> None:
        """Returns when nothing that `region()` would show could still be undone by a crash."""

    async def stepped(self, after: int) -> None:
        """Returns when a step with a greater number is settled."""

    def health(self) -> Mapping[str, Check]:
        """Named checks, e.g. `journal`, `loop`, `links`."""

    def mono_ms(self) -> int:
        """The clock of the table."""

    def utc_ms(self) -> int:
        """Wall clock."""

    @property
    def history(self) -> History | None:
        """Trends and old events; None where the store is switched off or broken."""

    def order(self, order: AnyOrder) -> None:
        """Puts an order into the inbox for the next step. Does not block and does not raise."""
