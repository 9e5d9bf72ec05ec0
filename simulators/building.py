"""From a site's declarations to machines: which model stands for which device, with which numbers."""

from __future__ import annotations

from scowl_edge.model.site import NONE, PPM, Consumer, Dispatch, Generator, Site, Storage
from simulators.consumption import SHAPES, Charger, Household
from simulators.consumption import Consumer as ConsumerMachine
from simulators.generation import BlockLoaded, Continuous, Weathered
from simulators.generation import Generator as GeneratorMachine
from simulators.machine import Machine
from simulators.settings import DeviceSettings, SimulationSettings
from simulators.storage import Battery
from simulators.weather import Drift

_PURPOSE_WEATHER = 1
_PURPOSE_LOAD = 2
_NOISE = 0.03
_NOISE_PERIOD_MS = 5000.0
_TYPICAL = 0.7
"""Of its rating, what a consumer wants at load 100 % if nothing is said."""


def build_machines(site: Site, settings: SimulationSettings) -> dict[int, Machine]:
    """A machine for every device with a role of its own, by device index (meters are built from ratings)."""
    machines: dict[int, Machine] = {}
    for generator in site.generators:
        machines[generator.device] = _generator(site, generator, settings)
    for storage in site.storages:
        machines[storage.device] = _battery(site, storage, settings)
    for consumer in site.consumers:
        machines[consumer.device] = _consumer(site, consumer, settings)
    for index, machine in machines.items():
        for signal, value in settings.devices.get(site.devices[index].name, DeviceSettings()).initial.items():
            if signal in machine.registers and isinstance(value, float):
                machine.registers[signal] = value
    return machines


def _own(site: Site, device: int, settings: SimulationSettings) -> DeviceSettings:
    return settings.devices.get(site.devices[device].name, DeviceSettings())


def _generator(site: Site, role: Generator, settings: SimulationSettings) -> GeneratorMachine:
    own = _own(site, role.device, settings)
    numbers = own.numbers
    name = site.devices[role.device].name
    power_factor = numbers.get("power_factor", 1.0)
    ramp_w_s = numbers.get("ramp", float(role.ramp_w_s))
    model = own.model or {Dispatch.STOCHASTIC: "wind", Dispatch.FIXED: "chp", Dispatch.CONTINUOUS: "gas"}[role.dispatch]
    if model == "chp":
        block = BlockLoaded(
            name,
            start_ms=role.start_ms,
            minimum_up_ms=role.min_up_ms,
            minimum_down_ms=role.min_down_ms,
            bus=role.bus,
            phase_mask=role.phases,
            power_factor=power_factor,
            tree_number=role.tree,
            rated_w=float(role.rated_w),
            ramp_w_s=ramp_w_s,
        )
        block.registers["connect"] = 0.0
        return block
    if model == "gas":
        return Continuous(
            name,
            minimum_w=float(role.minimum_w),
            start_ms=role.start_ms,
            minimum_up_ms=role.min_up_ms,
            minimum_down_ms=role.min_down_ms,
            bus=role.bus,
            phase_mask=role.phases,
            power_factor=power_factor,
            tree_number=role.tree,
            rated_w=float(role.rated_w),
            ramp_w_s=ramp_w_s,
        )
    period_ms = int(numbers.get("noise_period", _NOISE_PERIOD_MS))
    return Weathered(
        name,
        source="solar" if model == "solar" else "wind",
        drift=Drift(settings.seed, _PURPOSE_WEATHER, role.device, period_ms),
        noise=numbers.get("noise", _NOISE),
        bus=role.bus,
        phase_mask=role.phases,
        power_factor=power_factor,
        tree_number=role.tree,
        rated_w=float(role.rated_w),
        ramp_w_s=ramp_w_s,
    )


def _battery(site: Site, role: Storage, settings: SimulationSettings) -> Battery:
    numbers = _own(site, role.device, settings).numbers
    return Battery(
        site.devices[role.device].name,
        bus=role.bus,
        phase_mask=role.phases,
        power_factor=numbers.get("power_factor", 1.0),
        tree_number=role.tree,
        capacity_wh=float(role.capacity_wh),
        soc_fraction=numbers.get("soc", 0.5),
        charge_w=float(role.charge_w),
        discharge_w=float(role.discharge_w),
        floor_fraction=numbers.get("floor", role.floor_ppm / PPM),
        ceiling_fraction=numbers.get("ceiling", role.ceiling_ppm / PPM),
        protection_fraction=role.protection_ppm / PPM,
        trickle_w=float(role.trickle_w),
        dead_time_ms=role.dead_time_ms,
        ramp_w_s=numbers.get("ramp", float(role.ramp_w_s)),
        charge_efficiency=numbers.get("charge_efficiency", 0.95),
        discharge_efficiency=numbers.get("discharge_efficiency", 0.95),
        standby_w=numbers.get("standby", 20.0),
        modes=role.modes,
        mode_commanded=role.do_mode != NONE,
        setpoint_commanded=role.do_setpoint != NONE,
    )


def _consumer(site: Site, role: Consumer, settings: SimulationSettings) -> ConsumerMachine:
    own = _own(site, role.device, settings)
    numbers = own.numbers
    name = site.devices[role.device].name
    power_factor = numbers.get("power_factor", 1.0)
    declared_ramp = float(site.actuators[role.do_limit].ramp_w_s) if role.do_limit != NONE else 0.0
    if own.model == "charger":
        return Charger(
            name,
            bus=role.bus,
            phase_mask=role.phases,
            power_factor=power_factor,
            rated_w=float(role.rated_w),
            ramp_w_s=numbers.get("ramp", declared_ramp),
            car_w=numbers.get("car", float(role.rated_w)),
            minimum_w=numbers.get("minimum", 0.0),
            session_wh=numbers.get("session", 0.0),
        )
    return Household(
        name,
        model=own.model or "building",
        bus=role.bus,
        phase_mask=role.phases,
        power_factor=power_factor,
        rated_w=float(role.rated_w),
        ramp_w_s=0.0,
        base_w=numbers.get("base", _TYPICAL * (role.rated_w - role.deferrable_w)),
        deferrable_w=numbers.get("deferrable", _TYPICAL * role.deferrable_w),
        demand_responsive_w=float(role.demand_responsive_w),
        deferral_ms=role.deferral_ms,
        rebound_fraction=role.rebound_ppm / PPM,
        grant_delay_ms=int(numbers.get("answer", 0.0)),
        drift=Drift(settings.seed, _PURPOSE_LOAD, role.device, int(numbers.get("noise_period", _NOISE_PERIOD_MS))),
        noise=numbers.get("noise", _NOISE),
        shape=SHAPES[own.shape],
        start_hour=settings.start_hour,
    )
