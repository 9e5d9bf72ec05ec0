"""The published state: all that metrics, the page, the API and `status` ever read.

Built by the core after a step (region part) and completed by the shell (points). Plain values; powers in W.
"""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.flex_view import FlexView
from scowl_edge.model.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeView:
    """One distribution tree."""

    name: str
    """Name of its generator, store or grid connection."""
    bus: str
    output_w: int
    safe_w: int
    load_w: int
    over_assigned_w: int
    members: tuple[str, ...]
    blackout: bool
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorView:
    """What should be, what was said, what is."""

    verb: str
    target: int | None
    confirmed: int | None
    state: str
    """idle, intended, sent, acknowledged, confirmed, effective, holding, rejected, timed_out, no_effect, reverted,
    contested, in_doubt."""
    klass: int
    """Class of the claim that won, 1..9; 0 = none."""
    reason: Reason | None
    stays_as_left: bool
    """What is written stays so when nobody commands the device any more: it has no time-out of its own."""
    low: int = 0
    high: int = 0
    """Envelope of what may be ordered, in the actuator's quantum."""
    withheld: Reason | None = None
    """Why the target is not written now, though it is wanted; None where nothing is in its way."""
    writes_today: int = 0
    writes_total: int = 0
    """Writes that may have reached the device since the journal began."""
    daily_budget: int = 0
    """Most writes a day; 0 = no limit."""
    ordered: int | None = None
    """Value that a person ordered and that still counts."""
    ordered_rank: str = ""
    """operator, user or nothing."""
    ordered_who: str = ""
    ordered_why: str = ""
    ordered_until_utc_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device as the region sees it."""

    name: str
    link: str
    kind: str
    """generator, consumer, storage, meter."""
    mode: str
    mode_who: str
    mode_why: str
    mode_until_utc_ms: int
    up: bool | None
    """None until the first answer or failure."""
    since_utc_ms: int
    state: str
    """generator: producing, offline, curtailed ...; consumer: served, shed, starved, choked; storage: charging ..."""
    klass: int
    tree: str
    power_w: int | None
    wanted_w: int
    shed_w: int
    unserved_w: int
    why: Reason | None
    actuators: tuple[ActuatorView, ...]
    stays_as_left: bool | None = None
    """It can be commanded, and nothing in it falls back by itself; None where there is nothing to command."""
    down_cause: str = ""
    """Why it does not answer; empty while it does."""
    vetoed: bool = False
    """A user keeps it from being made use of."""
    veto_who: str = ""
    veto_why: str = ""
    veto_until_utc_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingView:
    """One rating and its head-room."""

    name: str
    kind: str
    within: str
    load_va: tuple[int, int, int]
    """Per phase, signed."""
    import_va: int
    export_va: int
    headroom_w: int
    unmetered_w: int
    metered: bool
    fresh: bool
    uses: tuple[tuple[str, int], ...] = ()
    """(device, net W) of what flows through it, the largest first; the rest is `unmetered_w` and smaller ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """One standing alarm."""

    key: str
    """Stable name: kind and object, e.g. `device-down:wind-1`."""
    priority: str
    """critical, high, medium, low."""
    since_utc_ms: int
    since_utc_ok: bool
    cause: Reason
    source: str = ""
    """Name of the device, link or rating that it is about; empty for the daemon itself."""
    acknowledged_by: str = ""
    acknowledged_why: str = ""
    acknowledged_utc_ms: int = 0
    """0: nobody has."""
    shelved_by: str = ""
    shelved_why: str = ""
    shelved_until_utc_ms: int = 0
    """0: not shelved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One thing that happened; never changed once it is written."""

    seq: int
    """Counts up by one from the first boot of the journal."""
    source_utc_ms: int
    """When it happened, as the place where it happened knows it."""
    utc_ms: int
    """When the region took it in."""
    utc_ok: bool
    """Whether the wall clock was to be trusted."""
    kind: str
    """alarm-raised, alarm-cleared, alarm-acknowledged, alarm-shelved, alarm-unshelved, link-up, link-down, device-up,
    device-down, order, order-ended, boot, stop, journal-gap, step-failed, batches-refused."""
    source: str
    """Name of the device, link or rating; empty for the region itself."""
    priority: str
    """Of the alarm; empty for other kinds."""
    who: str
    """Person who did it; empty where nobody did."""
    text: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """One thing that the region decided, newest first in lists."""

    step: int
    utc_ms: int
    rung: str
    device: str
    amount_w: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationTreeView:
    """One tree of a population."""

    plant: str
    """wind, sun, fixed, continuous."""
    output_w: int
    safe_w: int
    load_w: int
    members: int
    alive: bool
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampedView:
    """One who reports more than can be true."""

    place: str
    """`slot N`, `feed N`, or the name of a plant's tree."""
    identity: str
    """Of the consumer, 32 hex digits; empty for a plant."""
    times: int
    """How many reports were clamped since it came; of a consumer 255 stands for more as well."""
    most_w: int
    """What is counted instead: its nameplate, or the plant's rating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederView:
    """One place in a population's tree of ratings."""

    name: str
    load_w: int
    limit_w: int
    """-1 = none."""

    @property
    def use_ppm(self) -> int:
        """Load of the limit; -1 where there is none."""
        return max(0, self.load_w) * 1_000_000 // max(1, self.limit_w) if self.limit_w >= 0 else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationView:
    """Consumers by the thousand, in sums. Tuples by class have eight entries."""

    name: str
    kind: str
    """simulated or reported."""
    compiled: bool
    members: tuple[int, ...]
    """By class; a big consumer counts once for each of its feeds."""
    starved: tuple[int, ...]
    """By class."""
    wanted_w: int
    served_w: int
    unserved_w: tuple[int, ...]
    """By class."""
    generation_w: int
    safe_w: int
    trees: tuple[PopulationTreeView, ...]
    feeders: tuple[FeederView, ...]
    margin: Reason
    """Why as much is kept free as is."""
    score: tuple[tuple[str, int], ...]
    """(what, number) since the start, or now: see docs of the metrics."""
    refused: tuple[tuple[str, int], ...]
    """(why, how many) rows of batches that were refused or clamped."""
    shed_w: int = 0
    """Load that consumers leave out because they were asked to; `wanted_w` holds it."""
    clamped: tuple[ClampedView, ...] = ()
    """Those whose reports were clamped most often; not all where they are many."""
    late_steps: tuple[tuple[str, int], ...] = ()
    """(level, steps that came so late) since the journal began."""

    def tree_name(self, number: int) -> str:
        """How one of its trees is called wherever trees of devices stand beside it."""
        return f"{self.name}/{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionView:
    """The region after one step."""

    site: str
    step: int
    utc_ms: int
    utc_ok: bool
    mode: str
    mode_who: str
    mode_why: str
    mode_until_utc_ms: int
    """0: until changed."""
    rung: str
    """Where the ladder stands: balanced, or the name of the last rung used."""
    generation_w: int
    demand_w: int
    served_w: int
    deferred_w: int
    shed_w: int
    unserved_w: tuple[int, ...]
    """By class 0..7."""
    unmetered_w: int
    grid_net_w: int | None
    headroom_w: int
    conservation_error_w: int
    consumers: tuple[tuple[str, int], ...]
    """(state, count) for served, shed, starved, choked, unassigned."""
    pledged_w: int
    commands: tuple[tuple[str, str, int], ...]
    """(verb, outcome, count since boot)."""
    trees: tuple[TreeView, ...]
    devices: tuple[DeviceView, ...]
    ratings: tuple[RatingView, ...]
    alarms: tuple[AlarmView, ...]
    decisions: tuple[DecisionView, ...]
    events: tuple[EventView, ...] = ()
    """The last ones, newest first."""
    populations: tuple[PopulationView, ...] = ()
    """Their sums are in the region's."""
    stray_rows: int = 0
    """Rows of batches for a population that does not exist, since the journal began."""
    flex: FlexView | None = None
    """Its part in flexibility; None where it has none."""


@dataclass(frozen=True, slots=True)
class TrendRow:
    """What one point did in one stretch of time. All three are None where it had no good value."""

    utc_ms: int
    """Begin of the stretch."""
    low: float | None
    mean: float | None
    high: float | None
