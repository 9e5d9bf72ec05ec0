"""Small sites, declared by hand, as the physics sees them."""

from __future__ import annotations

from dataclasses import replace

from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.site import (
    NONE,
    Actuator,
    Bus,
    BusKind,
    Consumer,
    Device,
    Dispatch,
    Generator,
    OnStop,
    Policy,
    Rating,
    RatingKind,
    Signal,
    Site,
    Storage,
)

POLICY = Policy(
    mode=RegionMode.AUTO,
    period_ms=1000,
    margin_ppm=100_000,
    ride_through_ms=2000,
    restore_step_w=5000,
    restore_every_ms=5000,
    restore_after_ms=10_000,
    dead_band_w=500,
    reserve_ppm=50_000,
    answer_ms=3000,
    retry_ms=300_000,
    max_contests=3,
    charge_from_grid=False,
    stop_timeout_ms=10_000,
    move_budget=100,
)
MODES = (1, 2, 3, 0)


class SiteBuilder:
    """Collects devices, signals and actuators, and hands out their indices."""

    def __init__(self, *buses: Bus) -> None:
        self.buses = buses or (Bus(name="main", kind=BusKind.SYNCHRONOUS),)
        self.devices: list[Device] = []
        self.signals: list[Signal] = []
        self.actuators: list[Actuator] = []
        self.ratings: list[Rating] = []
        self.generators: list[Generator] = []
        self.consumers: list[Consumer] = []
        self.storages: list[Storage] = []

    def device(self, name: str) -> int:
        self.devices.append(Device(name=name, link="plc", mode=DeviceMode.AUTO))
        return len(self.devices) - 1

    def signal(self, device: int, name: str) -> int:
        self.signals.append(Signal(device=device, name=name, fresh_ms=3000, hold_ms=60_000))
        return len(self.signals) - 1

    def actuator(
        self,
        device: int,
        verb: Verb,
        *,
        high: int,
        low: int = 0,
        ramp_w_s: int = 0,
        failsafe: int | None = None,
        timeout_ms: int = 0,
    ) -> int:
        self.actuators.append(
            Actuator(
                device=device,
                verb=verb,
                feedback=NONE,
                effect=NONE,
                tolerance=50,
                settle_ms=2000,
                hold_polls=2,
                write_class=WriteClass.VOLATILE,
                low=low,
                high=high,
                ramp_w_s=ramp_w_s,
                daily_budget=0,
                failsafe=failsafe,
                device_timeout_ms=timeout_ms,
                heartbeat_ms=0,
                on_stop=OnStop.HOLD,
            )
        )
        return len(self.actuators) - 1

    def rating(self, name: str, *, within: int = NONE, phases: int = 3) -> int:
        meter = self.device(f"{name}-meter")
        signals = [self.signal(meter, signal) for signal in ("power", "current_a", "current_b", "current_c")]
        self.ratings.append(
            Rating(
                name=name,
                kind=RatingKind.GRID if within == NONE else RatingKind.FEEDER,
                within=within,
                bus=0,
                import_va=23_000,
                export_va=23_000,
                phases=phases,
                voltage_mv=230_000,
                power=signals[0],
                currents=(signals[1], signals[2], signals[3]),
                margin_ppm=0,
                residue_w=0,
            )
        )
        return len(self.ratings) - 1

    def generator(
        self,
        name: str,
        dispatch: Dispatch,
        rated_w: int,
        *,
        minimum_w: int = 0,
        ramp_w_s: int = 0,
        start_ms: int = 0,
        min_up_ms: int = 0,
        min_down_ms: int = 0,
        rating: int = NONE,
        bus: int = 0,
    ) -> int:
        device = self.device(name)
        self.generators.append(
            Generator(
                device=device,
                bus=bus,
                rating=rating,
                phases=0b111,
                dispatch=dispatch,
                rated_w=rated_w,
                minimum_w=minimum_w,
                ramp_w_s=ramp_w_s,
                start_ms=start_ms,
                min_up_ms=min_up_ms,
                min_down_ms=min_down_ms,
                power_factor_ppm=900_000,
                tree=len(self.generators) + len(self.storages) + 1,
                power=self.signal(device, "power"),
                available=NONE,
                limit=NONE,
                connect=NONE,
                setpoint=NONE,
                do_limit=self.actuator(device, Verb.LIMIT, high=rated_w),
                do_connect=self.actuator(device, Verb.CONNECT, high=1),
                do_setpoint=self.actuator(device, Verb.SETPOINT, high=rated_w),
            )
        )
        return device

    def consumer(
        self,
        name: str,
        rated_w: int,
        *,
        deferrable_w: int = 0,
        demand_responsive_w: int = 0,
        deferral_ms: int = 900_000,
        rebound_ppm: int = 0,
        rating: int = NONE,
        bus: int = 0,
        phases: int = 0b111,
        ramp_w_s: int = 0,
        failsafe_w: int | None = None,
        timeout_ms: int = 0,
    ) -> int:
        device = self.device(name)
        self.consumers.append(
            Consumer(
                device=device,
                bus=bus,
                rating=rating,
                phases=phases,
                rated_w=rated_w,
                deferrable_w=deferrable_w,
                demand_responsive_w=demand_responsive_w,
                klass=2,
                interruptible=True,
                deferral_ms=deferral_ms,
                rest_ms=0,
                times_a_day=0,
                rebound_ppm=rebound_ppm,
                power_factor_ppm=900_000,
                power=self.signal(device, "power"),
                deferrable=NONE,
                shed_granted=NONE,
                limit=NONE,
                connect=NONE,
                supply=NONE,
                do_shed=self.actuator(device, Verb.SHED, high=demand_responsive_w),
                do_limit=self.actuator(
                    device, Verb.LIMIT, high=rated_w, ramp_w_s=ramp_w_s, failsafe=failsafe_w, timeout_ms=timeout_ms
                ),
                do_connect=self.actuator(device, Verb.CONNECT, high=1),
                do_supply=self.actuator(device, Verb.SUPPLY, high=65535),
            )
        )
        return device

    def storage(
        self,
        name: str,
        *,
        capacity_wh: int,
        power_w: int,
        ramp_w_s: int = 0,
        dead_time_ms: int = 0,
        rating: int = NONE,
        mode_commanded: bool = True,
    ) -> int:
        device = self.device(name)
        self.storages.append(
            Storage(
                device=device,
                bus=0,
                rating=rating,
                phases=0b111,
                capacity_wh=capacity_wh,
                charge_w=power_w,
                discharge_w=power_w,
                floor_ppm=100_000,
                ceiling_ppm=950_000,
                wake_ppm=150_000,
                protection_ppm=50_000,
                trickle_w=power_w // 50,
                dead_time_ms=dead_time_ms,
                ramp_w_s=ramp_w_s,
                power_factor_ppm=900_000,
                tree=len(self.generators) + len(self.storages) + 1,
                power=self.signal(device, "power"),
                soc=NONE,
                mode=NONE,
                do_setpoint=self.actuator(device, Verb.SETPOINT, low=-power_w, high=power_w),
                do_mode=self.actuator(device, Verb.MODE, high=65535) if mode_commanded else NONE,
                modes=MODES,
            )
        )
        return device

    def build(self, *, ride_through_ms: int = 2000) -> Site:
        return Site(
            name="bench",
            policy=replace(POLICY, ride_through_ms=ride_through_ms),
            devices=tuple(self.devices),
            signals=tuple(self.signals),
            actuators=tuple(self.actuators),
            buses=tuple(self.buses),
            ratings=tuple(self.ratings),
            generators=tuple(self.generators),
            consumers=tuple(self.consumers),
            storages=tuple(self.storages),
        )
