"""Events: each enters the core once, in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.exchange import CancelAt, Message
from scowl_edge.model.flexibility import LimitClass, Mode, OverrideScope, Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a driver says of a command."""

    command: CommandId
    kind: OutcomeKind
    at_ms: int
    """Monotonic."""
    detail: str = ""
    """In words, for people: the exception reply, the time-out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged:
    """A link, or one device behind it, became reachable or unreachable."""

    link: str
    device: str
    """Name of the device; empty if the link itself is meant."""
    up: bool
    at_ms: int
    cause: str
    """In words: connection refused, no reply within 500 ms, ..."""


class DeviceMode(StrEnum):
    """Who may steer a device."""

    AUTO = "auto"
    MANUAL = "manual"
    OUT_OF_SERVICE = "out-of-service"
    LOCAL = "local"


class RegionMode(StrEnum):
    """How far a region's plan is carried out."""

    ADVISORY = "advisory"
    """Full plan, nothing written."""
    AUTO = "auto"
    HOLD = "hold"
    """Targets stay as they are; no new decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person asked for through the API."""

    target: str
    """Device name; empty for the region."""
    mode: str
    """A `DeviceMode` or `RegionMode` value."""
    who: str
    why: str
    until_utc_ms: int
    """0: until changed."""


class Rank(StrEnum):
    """In whose name a value is ordered: decides which class of claims it counts in."""

    OPERATOR = "operator"
    """The device is taken into MANUAL and held at the value."""
    USER = "user"
    """The device stays in AUTO; the value goes before contracts, sheds and the tracker's economy, behind safety."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueOrder:
    """A value for one actuator, ordered by a person. It never leaves the envelope that safety bounds."""

    device: str
    verb: str
    """A `Verb` value."""
    value: int | None
    """In the actuator's quantum (W, 0/1, number); None takes the order back."""
    rank: Rank
    who: str
    why: str
    until_utc_ms: int
    """0: until changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """A user's word that a consumer or a store is not to be made use of: no shed, and a store rests.

    Ratings still count: where nothing else is left it may be disconnected, as the last of its class.
    """

    device: str
    active: bool
    who: str
    why: str
    until_utc_ms: int
    """0: until changed."""


class AlarmAction(StrEnum):
    """What a person can do to a standing alarm."""

    ACKNOWLEDGE = "acknowledge"
    """Seen; it stands until its cause is gone."""
    SHELVE = "shelve"
    """Out of sight until a time; it still stands and is counted apart."""
    UNSHELVE = "unshelve"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOrder:
    """What somebody did to an alarm. One that no longer stands when it arrives is left alone."""

    key: str
    action: AlarmAction
    who: str
    why: str
    until_utc_ms: int
    """For SHELVE: until when; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexStretch:
    """A stretch of constant power of a wished curve."""

    dur_s: int
    power_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexAim:
    """What the sum of all appliances should do: goes before the configured level until its time is over.

    Without stretches it takes the aim before back: the configured level holds again, or none.
    """

    begin_utc_ms: int
    """Of the first stretch; 0: now."""
    curve: tuple[FlexStretch, ...]
    """One stretch of `HOLDS` holds until `until_utc_ms`, or until it is replaced."""
    relative: bool
    """Whether the powers are changes of what is intended."""
    mode: Mode
    event_ref: str
    emergency: bool
    who: str
    why: str
    until_utc_ms: int
    """0: until changed; only of a level."""


HOLDS = 0
"""Length of a stretch that has no end of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSelect:
    """One profile of one offer, selected by a person. No plan moves it."""

    esa_id: str
    offer_id: str
    profile_id: str
    start_utc_ms: int
    setpoints_w: tuple[int, ...]
    """One an element; empty: as offered."""
    mode: Mode
    who: str
    why: str
    until_utc_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexCancel:
    """A selection is taken back by a person."""

    select_id: str
    at: CancelAt
    who: str
    why: str
    until_utc_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexOverride:
    """A user takes an appliance out of flexibility. Scope NONE gives it back."""

    esa_id: str
    scope: OverrideScope
    who: str
    why: str
    until_utc_ms: int
    """0: until it is lifted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexLimit:
    """A bound of power for an appliance, or for the whole site of a manager."""

    esa_id: str
    """Empty: the site of `cem`."""
    cem: str
    """Node id; empty: the appliance `esa_id`."""
    klass: LimitClass
    active: bool
    """False lifts it."""
    p_upper_w: int | None
    p_lower_w: int | None
    """At most 0; None: no bound."""
    dur_s: int | None
    """None: until it is replaced."""
    who: str
    why: str
    until_utc_ms: int = 0


FlexOrder = FlexAim | FlexSelect | FlexCancel | FlexOverride | FlexLimit
"""Whatever a person may order of flexibility."""

AnyOrder = Order | ValueOrder | Veto | AlarmOrder | FlexOrder
"""Everything that a person may put into the inbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """The daemon started; first event after every start."""

    boot: int
    version: str
    mono_base_ms: int
    """Added to monotonic stamps of the journal's last boot to compare them with this one's; 0 at the first boot."""
    rebased_by_utc: bool
    """False: the gap is unknown, and timers run to the safe side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The daemon was asked to stop: no further decision."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalGap:
    """Steps that could not be made durable in time."""

    first_step: int
    last_step: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """A step raised: the state was rebuilt, and what the step had been given was set aside."""

    step: int
    why: str
    events_lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a provider, an energy manager or an appliance said. It is acknowledged once this is durable."""

    link: str
    """The peer's name in the configuration, or its node id where it came by itself."""
    message: Message
    at_ms: int
    """Monotonic: when it was received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a worker made of an `Ask`. The state went on meanwhile: whoever takes it looks whether it still fits."""

    job: str
    revision: int
    """Of the `Ask`."""
    proposal: Proposal | None
    failure: str = ""
    """In words, where there is no proposal."""


Event = (
    Outcome
    | LinkChanged
    | Order
    | ValueOrder
    | Veto
    | AlarmOrder
    | FlexOrder
    | Booted
    | Stopping
    | JournalGap
    | StepFailed
    | Told
    | Answer
)
