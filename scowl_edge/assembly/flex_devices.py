"""Devices of the site that take part in flexibility, as the core knows them."""

from __future__ import annotations

from scowl_edge.assembly.flex_device_fit import GAINS, currents, failsafe_w, further, nameplate_w
from scowl_edge.assembly.flex_device_kinds import of_day_ms
from scowl_edge.assembly.flex_device_schema import FlexDevice
from scowl_edge.assembly.flex_device_sense import band, esa_id_of
from scowl_edge.assembly.flex_schema import FlexManager
from scowl_edge.assembly.role_schema import PowerRole, StorageRole
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.wiring import Wiring, tolerance_w
from scowl_edge.model.flexibility import Mode
from scowl_edge.model.part import (
    BatteryPart,
    ChargerPart,
    DeviceKind,
    DevicePart,
    SolarPart,
    ThermalPart,
    WasherPart,
)
from scowl_edge.model.quantity import FRACTION, POINT_UNITS, TEMPERATURE
from scowl_edge.model.site import NONE

WH_J = 3_600
_SERVICES = {
    "all": (Mode.ROUTINE, Mode.RESPONSE),
    "routine": (Mode.ROUTINE,),
    "response": (Mode.RESPONSE,),
    "none": (),
}


def device_parts(configuration: Configuration, manager: FlexManager, wiring: Wiring) -> tuple[DevicePart, ...]:
    """Of all devices that a manager names, in the order of the file; binds what tells more of them than their role."""
    places = {name: index for index, name in enumerate(configuration.devices)}
    return tuple(
        _part(configuration, manager, name, section, places[name], wiring) for name, section in manager.devices.items()
    )


def _part(
    configuration: Configuration, manager: FlexManager, name: str, section: FlexDevice, index: int, wiring: Wiring
) -> DevicePart:
    device = configuration.devices[name]
    role = device.role
    assert isinstance(role, PowerRole), f"the roles of flex devices were checked, and {name} has none of power"
    bound = {
        signal: wiring.further(index, name, point, GAINS[POINT_UNITS[device.points[point].unit].base])
        for signal, point in further(section, device).items()
    }
    draws_w, feeds_w = failsafe_w(configuration, manager, section, device)
    offset_ms = manager.random_offset if section.random_offset is None else section.random_offset
    modes = (
        (role.modes.idle, role.modes.charging, role.modes.discharging) if isinstance(role, StorageRole) else (0,) * 3
    )
    return DevicePart(
        device=index,
        esa_id=esa_id_of(manager, name),
        kind=DeviceKind(section.kind),
        physics=_physics(configuration, name, section, role, bound, wiring),
        power=wiring.signal(name, "power"),
        do_setpoint=wiring.actuator(name, "setpoint") if isinstance(role, StorageRole) else NONE,
        do_limit=wiring.actuator(name, "limit"),
        do_connect=wiring.actuator(name, "connect"),
        do_mode=wiring.actuator(name, "mode"),
        modes=modes,
        failsafe_p_upper_w=draws_w,
        failsafe_p_lower_w=-feeds_w,
        tolerance_w=tolerance_w(role),
        ramp_w_s=role.ramp or 0,
        consent_ref=section.consent,
        services=_SERVICES[section.services],
        random_offset_max_s=offset_ms // 1_000,
    )


def _physics(
    configuration: Configuration,
    name: str,
    section: FlexDevice,
    role: PowerRole,
    bound: dict[str, int],
    wiring: Wiring,
) -> BatteryPart | SolarPart | ChargerPart | ThermalPart | WasherPart:
    draws_w, feeds_w = nameplate_w(configuration, section, role)
    capacity_wh = role.capacity if isinstance(role, StorageRole) else 0
    match section.kind:
        case "battery":
            assert isinstance(role, StorageRole)
            return BatteryPart(
                soc=wiring.signal(name, "soc"),
                capacity_wh=capacity_wh,
                charge_w=draws_w,
                discharge_w=feeds_w,
                floor_ppm=role.floor,
                ceiling_ppm=role.ceiling,
                efficiency_ppm=FRACTION("95 %") if section.efficiency is None else section.efficiency,
            )
        case "solar":
            return SolarPart(available=wiring.signal(name, "available"), rated_w=role.rated, ahead_ms=section.ahead)
        case "charger":
            c = currents(configuration, section, role)
            return ChargerPart(
                soc=bound.get("soc", wiring.signal(name, "soc")),
                present=bound.get("present", NONE),
                capacity_wh=capacity_wh if section.capacity is None else section.capacity,
                phases=c.phases,
                voltage_v=c.voltage_v,
                current_min_a=c.least_a,
                current_max_a=c.most_a,
                efficiency_ppm=FRACTION("93 %") if section.efficiency is None else section.efficiency,
                export_w=feeds_w,
                floor_ppm=section.floor,
                target_ppm=section.target,
                arrival_ppm=section.arrival,
                leave_ms=of_day_ms(section.leave),
            )
        case "washer":
            return WasherPart(
                loaded=bound["loaded"],
                programme=section.programme or (),
                max_pause_s=section.pause // 1_000,
                done_by_ms=of_day_ms(section.done_by),
                wait_ms=section.wait,
            )
        case _:
            cold = section.kind == "cold_store"
            low, preferred, high = band(section)
            gain = FRACTION("200 %" if cold else "320 %") if section.gain is None else section.gain
            around = TEMPERATURE("20 degC" if cold else "8 degC") if section.ambient is None else section.ambient
            return ThermalPart(
                temperature=bound["temperature"],
                ambient=bound.get("ambient", NONE),
                rated_w=role.rated,
                gain_ppm=-gain if cold else gain,
                capacity_j_per_k=(section.heat_capacity or 0) * WH_J,
                loss_mw_per_k=1_000 * (section.loss or 0),
                low_milli=low,
                high_milli=high,
                preferred_milli=preferred,
                ambient_milli=around,
            )
