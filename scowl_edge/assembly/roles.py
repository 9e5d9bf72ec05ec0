"""Roles of the configuration to generators, consumers and stores of the site."""

from __future__ import annotations

from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, StorageRole
from scowl_edge.assembly.wiring import Wiring, share_w
from scowl_edge.model.quantity import FRACTION
from scowl_edge.model.site import NONE, PPM, Consumer, Dispatch, Generator, Storage

_WAKE_ABOVE_FLOOR_PPM = FRACTION("5 %")


def generator(wiring: Wiring, device: int, name: str, role: GeneratorRole, tree: int) -> Generator:
    """One generator; its signals and actuators are bound already."""
    return Generator(
        device=device,
        bus=wiring.bus(role),
        rating=wiring.rating(role),
        phases=wiring.phase_mask(role),
        dispatch=Dispatch(role.dispatch),
        rated_w=role.rated,
        minimum_w=role.minimum,
        ramp_w_s=role.ramp or 0,
        start_ms=role.start_time,
        min_up_ms=role.min_up,
        min_down_ms=role.min_down,
        power_factor_ppm=role.power_factor,
        tree=tree,
        power=wiring.signal(name, "power"),
        available=wiring.signal(name, "available"),
        limit=wiring.signal(name, "limit"),
        connect=wiring.signal(name, "connect"),
        setpoint=wiring.signal(name, "setpoint"),
        do_limit=wiring.actuator(name, "limit"),
        do_connect=wiring.actuator(name, "connect"),
        do_setpoint=wiring.actuator(name, "setpoint"),
    )


def consumer(wiring: Wiring, device: int, name: str, role: ConsumerRole) -> Consumer:
    """One consumer; its signals and actuators are bound already."""
    granted = wiring.signal(name, "shed_granted")
    return Consumer(
        device=device,
        bus=wiring.bus(role),
        rating=wiring.rating(role),
        phases=wiring.phase_mask(role),
        rated_w=role.rated,
        deferrable_w=role.deferrable,
        demand_responsive_w=role.demand_responsive,
        klass=role.klass,
        interruptible=is_interruptible(role),
        deferral_ms=role.deferral,
        rest_ms=role.rest,
        times_a_day=role.times_a_day,
        rebound_ppm=role.rebound,
        power_factor_ppm=role.power_factor,
        power=wiring.signal(name, "power"),
        deferrable=wiring.signal(name, "deferrable"),
        # A device that has no word for what it grants grants what its request register keeps.
        shed_granted=granted if granted != NONE else wiring.signal(name, "shed_request"),
        limit=wiring.signal(name, "limit"),
        connect=wiring.signal(name, "connect"),
        supply=wiring.signal(name, "supply"),
        do_shed=wiring.actuator(name, "shed_request"),
        do_limit=wiring.actuator(name, "limit"),
        do_connect=wiring.actuator(name, "connect"),
        do_supply=wiring.actuator(name, "supply"),
    )


def is_interruptible(role: ConsumerRole) -> bool:
    """Whether software may shed or cut off a consumer: as it says, else where it has demand-responsive load."""
    return role.demand_responsive > 0 if role.interruptible is None else role.interruptible


def storage(wiring: Wiring, device: int, name: str, role: StorageRole, tree: int) -> Storage:
    """One store; its signals and actuators are bound already."""
    return Storage(
        device=device,
        bus=wiring.bus(role),
        rating=wiring.rating(role),
        phases=wiring.phase_mask(role),
        capacity_wh=role.capacity,
        charge_w=role.rated if role.charge is None else role.charge,
        discharge_w=role.rated if role.discharge is None else role.discharge,
        floor_ppm=role.floor,
        ceiling_ppm=role.ceiling,
        wake_ppm=wake_ppm(role),
        protection_ppm=role.protection,
        trickle_w=share_w(role.trickle, role.rated),
        dead_time_ms=role.dead_time,
        ramp_w_s=role.ramp or 0,
        power_factor_ppm=role.power_factor,
        tree=tree,
        power=wiring.signal(name, "power"),
        soc=wiring.signal(name, "soc"),
        mode=wiring.signal(name, "mode"),
        do_setpoint=wiring.actuator(name, "setpoint"),
        do_mode=wiring.actuator(name, "mode"),
        modes=(role.modes.idle, role.modes.charging, role.modes.discharging, role.modes.sleeping),
    )


def wake_ppm(role: StorageRole) -> int:
    """State of charge above which a store that fell asleep discharges again."""
    return min(role.floor + _WAKE_ABOVE_FLOOR_PPM, PPM) if role.wake is None else role.wake
