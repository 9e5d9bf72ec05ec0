"""What a region is made of, as frozen declarations: the core's whole knowledge of the configuration.

All power in W, energy in Wh, time in ms, fractions in ppm (millionths). Indices point into the tuples of `Site`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.part import FlexPart

PPM = 1_000_000
NONE = -1
"""Index that points nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One value that the core is bound to."""

    device: int
    name: str
    """Standard name: power, available, limit, setpoint, soc, shed_granted, current_a, ..."""
    fresh_ms: int
    """Age up to which it counts as fresh."""
    hold_ms: int
    """Age after `fresh_ms` up to which its last value is held."""


class OnStop(StrEnum):
    """What a device is left with when the daemon stops."""

    HOLD = "hold"
    RELEASE = "release"
    """The value found at the first take-over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interlock:
    """What must be so for a write to be allowed: a signal is fresh and lies between two values, both included."""

    signal: int
    low: int
    high: int
    """In the signal's quantum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actuator:
    """One thing that can be commanded."""

    device: int
    verb: Verb
    feedback: int
    """Signal that reads the register back (for SHED: what is granted), or NONE."""
    effect: int
    """Signal that shows the effect, the device's power, or NONE."""
    tolerance: int
    """In the actuator's quantum, of feedback and effect."""
    settle_ms: int
    """From acknowledgement until feedback and, after the ramp, power can be judged."""
    hold_polls: int
    """Read-backs that must agree before the command counts as holding."""
    write_class: WriteClass
    low: int
    high: int
    ramp_w_s: int
    """W per second; 0 means at once."""
    daily_budget: int
    """Writes a day for stored registers; 0 = unlimited."""
    failsafe: int | None
    """Value that the device falls back to by itself, None if it stays as left."""
    device_timeout_ms: int
    """The device's own time-out towards `failsafe`; 0 if it has none."""
    heartbeat_ms: int
    """Re-assert at least this often; 0 never. Of HEARTBEAT: the pace of its numbers; 0 = a third of the time-out."""
    on_stop: OnStop
    """Without meaning for FAILSAFE, FAILSAFE_TIMEOUT and HEARTBEAT: the first two stay, the last one ends."""
    min_interval_ms: int = 0
    """Least time between two writes; 0 = none. One safety command may jump it, the next one waits for it in full."""
    interlock: Interlock | None = None
    constant: int | None = None
    """Of FAILSAFE (W) and FAILSAFE_TIMEOUT (ms): what is kept there while the daemon commands the device."""
    expires: bool = False
    """Of SHED: the device is told how long it lasts, and ends it by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A name, and what may be done to it."""

    name: str
    link: str
    mode: DeviceMode


class BusKind(StrEnum):
    """See the design: on a synchronous bus a tree is bookkeeping, on a separate one it is physics."""

    SYNCHRONOUS = "synchronous"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """Where generators and consumers meet."""

    name: str
    kind: BusKind


class RatingKind(StrEnum):
    """What a rating protects."""

    GRID = "grid"
    FEEDER = "feeder"
    BUILDING = "building"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """A limit on the signed flow through one place: + into it (import), - out of it (export)."""

    name: str
    kind: RatingKind
    within: int
    """Index of the rating above, or NONE. A rating stands after the one it is within."""
    bus: int
    import_va: int
    """Per phase; -1 = unlimited."""
    export_va: int
    """Per phase, magnitude; -1 = unlimited."""
    phases: int
    """1 or 3."""
    voltage_mv: int
    """Nominal, phase to neutral."""
    power: int
    """Signal of the meter's signed power, or NONE."""
    currents: tuple[int, int, int]
    """Signals current_a, b, c in mA, or NONE."""
    margin_ppm: int
    """Kept free below the limit."""
    residue_w: int
    """Assumed unmetered load where there is no meter."""


class Dispatch(StrEnum):
    """Seed 0: stochastic follows the weather, fixed is its block or nothing, continuous obeys."""

    STOCHASTIC = "stochastic"
    FIXED = "fixed"
    CONTINUOUS = "continuous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """One generator: the root of one tree."""

    device: int
    bus: int
    rating: int
    """Rating that it hangs below, or NONE."""
    phases: int
    """Bit mask 1 a, 2 b, 4 c."""
    dispatch: Dispatch
    rated_w: int
    minimum_w: int
    """Stable minimum of a continuous unit."""
    ramp_w_s: int
    """0 = at once."""
    start_ms: int
    min_up_ms: int
    min_down_ms: int
    power_factor_ppm: int
    """Worst."""
    tree: int
    """Number written to `supply` of consumers that it feeds."""
    power: int
    available: int
    limit: int
    connect: int
    setpoint: int
    do_limit: int
    do_connect: int
    do_setpoint: int
    """Actuators, or NONE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """One consumer: one feed."""

    device: int
    bus: int
    rating: int
    phases: int
    rated_w: int
    deferrable_w: int
    demand_responsive_w: int
    klass: int
    """0 protected, larger is less important."""
    interruptible: bool
    deferral_ms: int
    """Longest shed."""
    rest_ms: int
    """Least time between sheds."""
    times_a_day: int
    """0 = unlimited."""
    rebound_ppm: int
    """Extra draw after a return, of the power given up."""
    power_factor_ppm: int
    power: int
    deferrable: int
    shed_granted: int
    limit: int
    connect: int
    supply: int
    do_shed: int
    do_limit: int
    do_connect: int
    do_supply: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """One store: consumer when charging, root of a tree when discharging."""

    device: int
    bus: int
    rating: int
    phases: int
    capacity_wh: int
    charge_w: int
    discharge_w: int
    """Rated magnitudes."""
    floor_ppm: int
    ceiling_ppm: int
    wake_ppm: int
    """Sleeps at the floor; discharges again only above this."""
    protection_ppm: int
    """Below this it trickle-charges whatever the region wants."""
    trickle_w: int
    dead_time_ms: int
    """Between charging and discharging."""
    ramp_w_s: int
    power_factor_ppm: int
    tree: int
    power: int
    soc: int
    mode: int
    do_setpoint: int
    do_mode: int
    modes: tuple[int, int, int, int]
    """Register values for idle, charging, discharging, sleeping."""


class PeerKind(StrEnum):
    """Where a population's demand and the output of its plants come from."""

    SIMULATED = "simulated"
    """From its seed and law, inside the core: only these two enter the journal."""
    REPORTED = "reported"
    """From batches of its peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Consumers by the thousand, and the plants that feed them: one tree a plant, on a network of their own."""

    name: str
    kind: PeerKind
    consumers: int
    trees: int
    seed: int
    """Who there is, and everything that chance decides, follows from it."""
    quantum_w: int
    feeders: int
    """Leaves of its tree of ratings, three levels deep; 1 = no such tree."""
    feeder_limit_ppm: int
    """Limit of a feeder, of the mean demand below it; 0 = none. Those above have half as much to spare."""
    supply_ppm: int
    """Rated output of all plants, of the mean demand."""
    stores_ppm: int = 0
    """Stores (vehicles that may give back), of the number of consumers; only where it is simulated."""
    deferrable_ppm: int = 0
    """Share of the demand that consumers may be asked to shed for a while; only where it is simulated."""
    daily: bool = False
    """Whether demand follows a day's course; only where it is simulated."""
    look_ahead_ms: int = 0
    """How far the ladder looks ahead along that course; 0 = not at all."""
    margin_ppm: int
    """Share of each tree's output that is kept free."""
    sigma_milli: int
    """Thousandths of a standard deviation of its members' demand that are kept free if that is more; 0 = off."""
    correlated_ppm: int
    """Share of the load that is kept free with it for what all members do at once."""
    period_ms: int
    """Time between two simulated steps."""
    fresh_ms: int
    """Age up to which a reported value counts as fresh."""
    hold_ms: int
    """Age after `fresh_ms` up to which the last value is held."""
    dead_band_ppm: int
    """Of the supply: room that must be left over before the starving are fed again."""
    move_budget: int
    """Most consumers that one step moves towards a better whole, beyond what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The region's own numbers."""

    mode: RegionMode
    period_ms: int
    """Longest time between steps."""
    margin_ppm: int
    ride_through_ms: int
    restore_step_w: int
    restore_every_ms: int
    restore_after_ms: int
    """Head-room must have lasted this long before anything is given back."""
    dead_band_w: int
    reserve_ppm: int
    """Of the stochastic load, kept before storage is filled."""
    answer_ms: int
    """Longest wait for the answer to a shed."""
    retry_ms: int
    """Until a device that refused or had no effect is asked again."""
    max_contests: int
    charge_from_grid: bool
    stop_timeout_ms: int
    move_budget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One region with everything in it."""

    name: str
    policy: Policy
    devices: tuple[Device, ...]
    signals: tuple[Signal, ...]
    actuators: tuple[Actuator, ...]
    buses: tuple[Bus, ...]
    ratings: tuple[Rating, ...] = ()
    generators: tuple[Generator, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    storages: tuple[Storage, ...] = ()
    populations: tuple[Population, ...] = ()
    flex: FlexPart | None = None
    """Its part in flexibility; None: none."""
    fingerprint: str = field(default="")
    """Digest of the configuration text it was built from."""
