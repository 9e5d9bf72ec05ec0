"""Everything that the core remembers between steps, as one tree of plain values that the codec can write.

Times end in `_at` (monotonic ms, -1 = never), so that a restart on another clock base can shift them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from scowl_edge.capacity import Book
from scowl_edge.control.entry import NOTHING_ASKED, Entry
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Image
from scowl_edge.model.site import Site
from scowl_edge.tracker.region import RegionState


@dataclass(slots=True, kw_only=True)
class ModeState:
    """A device's or the region's mode, and who set it."""

    mode: str
    who: str = "configuration"
    why: str = ""
    until_utc_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Reachability:
    """Whether a device answers."""

    up: bool | None = None
    since_utc_ms: int = 0
    changed_at: int = -1
    cause: str = ""


@dataclass(slots=True, kw_only=True)
class Alarm:
    """A standing alarm."""

    priority: str
    source: str
    """Device, link or rating; empty for the daemon itself."""
    since_utc_ms: int
    since_utc_ok: bool
    cause: Reason
    acknowledged_by: str = ""
    acknowledged_why: str = ""
    acknowledged_utc_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Word:
    """What a person said that counts for a while."""

    who: str
    why: str
    until_utc_ms: int
    """0: until changed."""
    until_at: int
    """The same on the monotonic clock, which is what ends it."""


@dataclass(slots=True, kw_only=True)
class Held:
    """A value that a person ordered for one actuator."""

    value: int
    word: Word
    bound_w: int | None = None
    """Magnitude that the ratings leave of it; None: not looked at yet."""
    bound_at: int = -1
    """When that changed last."""
    over_at: int = -1
    """Since when a rating above has been exceeded; -1: it is not."""


@dataclass(slots=True, kw_only=True)
class People:
    """Everything that people ordered beside modes, and that still counts."""

    operator: dict[int, Held] = field(default_factory=dict)
    """By actuator, of devices in MANUAL."""
    user: dict[int, Held] = field(default_factory=dict)
    """By actuator, of devices in AUTO."""
    vetoes: dict[int, Word] = field(default_factory=dict)
    """By device."""
    shelved: dict[str, Word] = field(default_factory=dict)
    """By the alarm's key; outlives the alarm, so that one that comes and goes stays out of sight."""


@dataclass(slots=True, kw_only=True)
class Happened:
    """One entry of the list of events."""

    seq: int
    source_utc_ms: int
    utc_ms: int
    utc_ok: bool
    kind: str
    source: str
    priority: str
    who: str
    text: Reason


@dataclass(slots=True, kw_only=True)
class Decided:
    """One decision, kept for people."""

    step: int
    utc_ms: int
    rung: str
    device: int
    amount_w: int
    reason: Reason


@dataclass(slots=True, kw_only=True)
class Situation:
    """The region around the tracker: modes, links, clock, the stop."""

    boot: int = 0
    step: int = 0
    mode: ModeState
    device_modes: list[ModeState]
    devices: list[Reachability]
    links: dict[str, Reachability] = field(default_factory=dict)
    utc_day: int = 0
    last_mono_at: int = -1
    last_utc_ms: int = 0
    stopping_at: int = -1
    events: int = 0
    """How many there were since the first boot: the number of the last one."""
    journal_ok: bool = True
    gap_steps: int = 0
    failed_steps: int = 0
    failed_at: int = -1
    """Of the last step that raised."""
    failure: str = ""
    stray_rows: dict[str, int] = field(default_factory=dict)
    """Rows of batches for a population that does not exist (""), or by name for one that takes none."""


@dataclass(slots=True, kw_only=True)
class Memory:
    """The sections of the core's state; their digests go into every plan."""

    situation: Situation
    image: Image
    recent: dict[int, list[list[int]]]
    """The last [receive time, value] pairs of each power signal, oldest first: meters are not read at once."""
    region: RegionState
    book: Book
    ledger: list[Entry]
    people: People
    alarms: dict[str, Alarm]
    events: list[Happened]
    """The latest, oldest first."""
    decisions: list[Decided]
    """The latest, oldest first."""
    reasons: list[Reason]
    """Why each device is as it is: the reason of its last decision."""
    counts: dict[str, int]
    """`verb outcome` -> commands since the first boot."""

    @classmethod
    def new(cls, site: Site) -> Memory:
        """A region of which nothing is known."""
        return cls(
            situation=Situation(
                mode=ModeState(mode=RegionMode(site.policy.mode).value),
                device_modes=[ModeState(mode=DeviceMode(d.mode).value) for d in site.devices],
                devices=[Reachability() for _ in site.devices],
            ),
            image=Image.empty(len(site.signals)),
            recent={},
            region=RegionState.new(site),
            book=Book(),
            ledger=[Entry() for _ in site.actuators],
            people=People(),
            alarms={},
            events=[],
            decisions=[],
            reasons=[NOTHING_ASKED] * len(site.devices),
            counts={},
        )


def shift_times(value: object, by_ms: int) -> None:
    """Moves every monotonic time in a tree of dataclasses by `by_ms`, in place; -1 stays never."""
    for name, item in _fields(value):
        if name.endswith("_at"):
            setattr(value, name, _shifted(item, by_ms))
        elif isinstance(item, Image):
            known = item.received_ms >= 0
            item.received_ms = np.where(known, np.maximum(item.received_ms + by_ms, 0), -1)
        else:
            _shift_inside(item, by_ms)


def _fields(value: object) -> Iterator[tuple[str, object]]:
    if dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield f.name, getattr(value, f.name)


def _shift_inside(item: object, by_ms: int) -> None:
    if isinstance(item, list):
        for part in item:
            _shift_inside(part, by_ms)
    elif isinstance(item, dict):
        for part in item.values():
            _shift_inside(part, by_ms)
    elif dataclasses.is_dataclass(item) and not isinstance(item, Reason):
        shift_times(item, by_ms)


def _shifted(item: object, by_ms: int) -> object:
    if isinstance(item, int):
        return max(item + by_ms, 0) if item >= 0 else item
    if isinstance(item, list):
        return [_shifted(part, by_ms) for part in item]
    return item
