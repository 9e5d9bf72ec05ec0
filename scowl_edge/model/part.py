"""What part a site has in flexibility: an energy manager, a provider, or both. Frozen, from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.model.flexibility import Mode


class DeviceKind(StrEnum):
    """As what a device of the site takes part."""

    BATTERY = "battery"
    SOLAR = "solar"
    CHARGER = "charger"
    HEAT_PUMP = "heat_pump"
    COLD_STORE = "cold_store"
    WASHER = "washer"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPart:
    """A store, as its role says it."""

    soc: int
    """Signal."""
    capacity_wh: int
    charge_w: int
    discharge_w: int
    floor_ppm: int
    ceiling_ppm: int
    efficiency_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarPart:
    """A generator that can be curtailed."""

    available: int
    """Signal of what the sun would give, or -1: then what it gives."""
    rated_w: int
    ahead_ms: int
    """The sun is taken to give so long what it gives now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargerPart:
    """A charge point and the vehicle that stands there."""

    soc: int
    """Signal of the vehicle's level, or -1: then it is reckoned from `arrival_ppm`."""
    present: int
    """Signal, 0 = nobody is plugged in, or -1: somebody always is."""
    capacity_wh: int
    phases: int
    voltage_v: int
    current_min_a: int
    current_max_a: int
    efficiency_ppm: int
    export_w: int
    """0: it never discharges."""
    floor_ppm: int
    target_ppm: int
    """Wanted when it leaves."""
    arrival_ppm: int
    leave_ms: int
    """When it leaves, after midnight UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalPart:
    """What is kept warm or cold within a band, in thousandths of a degree."""

    temperature: int
    """Signal."""
    ambient: int
    """Signal of the surroundings, or -1: they are `ambient_milli`."""
    rated_w: int
    gain_ppm: int
    """Heat moved for each W."""
    capacity_j_per_k: int
    loss_mw_per_k: int
    low_milli: int
    high_milli: int
    preferred_milli: int
    ambient_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WasherPart:
    """A machine with a programme that is to be done by a time of the day."""

    loaded: int
    """Signal, other than 0 while it waits for its start or runs."""
    programme: tuple[tuple[int, int], ...]
    """(seconds, W)."""
    max_pause_s: int
    done_by_ms: int
    """After midnight UTC."""
    wait_ms: int
    """How long it waits for a selection before it begins by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePart:
    """A device of the site that takes part in flexibility as an appliance of its own manager."""

    device: int
    """Index in `Site.devices`."""
    esa_id: str
    kind: DeviceKind
    physics: BatteryPart | SolarPart | ChargerPart | ThermalPart | WasherPart
    power: int
    """Signal."""
    do_setpoint: int
    do_limit: int
    do_connect: int
    do_mode: int
    """Actuators, or -1; the first that is there sets the power, the mode goes with it."""
    modes: tuple[int, int, int]
    """What the mode says for idle, charging, discharging."""
    failsafe_p_upper_w: int
    failsafe_p_lower_w: int
    """While nobody who sets limits is heard; the latter at most 0."""
    tolerance_w: int
    ramp_w_s: int
    consent_ref: str
    services: tuple[Mode, ...]
    """What its owner lets it be used for."""
    random_offset_max_s: int | None
    """None: as the provider says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPart:
    """What the user of one appliance lets others do."""

    esa_id: str
    routine: bool
    """Whether it may be selected for ROUTINE."""
    response: bool
    random_offset_max_s: int | None
    """None: as for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerPart:
    """An energy manager (CEM)."""

    node: str
    """`cem:...`."""
    provider: str
    """Node id of whoever selects; empty: nobody."""
    appliances: int
    """Most that may connect."""
    failsafe_p_upper_w: int
    """Of each appliance while nobody who sets limits is heard."""
    failsafe_p_lower_w: int
    """At most 0."""
    failsafe_min_s: int
    autonomous_p_upper_w: int | None = None
    """Of each appliance, once that lasted; None: as the fail-safe value."""
    autonomous_p_lower_w: int | None = None
    autonomous_unlimited: bool = False
    random_offset_max_s: int = 600
    devices: tuple[DevicePart, ...] = ()
    """Of the site itself, beside those `appliances` that connect."""
    users: tuple[UserPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPart:
    """A provider (DSRSP)."""

    node: str
    """`dsrsp:...`."""
    failsafe_p_upper_w: int
    """That each appliance is told."""
    max_ramp_w_per_s: int
    """0: not bounded."""
    slot_ms: int
    slots: int
    replan_ms: int
    moves: int
    level_w: int | None
    """That the sum should keep to; None: nothing is selected by itself."""
    response: bool
    """Whether selections for it are RESPONSE."""
    rating: int = -1
    """Index of the rating below which the appliances are; -1: the site's first bus."""
    below: tuple[tuple[str, int], ...] = ()
    """Nodes (`cem:...` for all appliances of a manager) that are below another rating: (node id, index)."""
    accept_ms: int = 10_000
    """How long an appliance may take to answer a selection."""
    job_ms: int = 60_000
    """How long a plan may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPart:
    """The site's part."""

    manager: ManagerPart | None = None
    provider: ProviderPart | None = None
