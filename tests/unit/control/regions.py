"""Random regions for the laws of the core: every kind of device, rating and bus, within what a configuration allows."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

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

FRESH_MS, HOLD_MS = 3_000, 10_000
POWERS = st.sampled_from([2_000, 7_400, 11_000, 30_000, 55_500, 200_000])
MASKS = st.sampled_from([7, 7, 7, 1, 2, 4, 3])
FACTORS = st.sampled_from([1_000_000, 950_000, 800_000])
FLAGS = st.booleans()
CLASSES = st.sampled_from([0, 1, 1, 2, 3, 3, 7])


@dataclass
class Parts:
    """What grows while a region is drawn."""

    devices: list[Device] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    actuators: list[Actuator] = field(default_factory=list)

    def device(self, name: str) -> int:
        self.devices.append(Device(name=name, link=f"link-{len(self.devices) % 3}", mode=DeviceMode.AUTO))
        return len(self.devices) - 1

    def signal(self, device: int, name: str) -> int:
        self.signals.append(Signal(device=device, name=name, fresh_ms=FRESH_MS, hold_ms=HOLD_MS))
        return len(self.signals) - 1

    def actuator(
        self, device: int, verb: Verb, low: int, high: int, power: int, drawn: Drawn, feedback: int | None = None
    ) -> int:
        if feedback is None:
            feedback = self.signal(device, verb.value) if drawn.with_feedback else NONE
        self.actuators.append(
            Actuator(
                device=device,
                verb=verb,
                feedback=feedback,
                effect=power,
                tolerance=max(50, high // 20) if verb in (Verb.LIMIT, Verb.SETPOINT, Verb.SHED) else 0,
                settle_ms=drawn.settle_ms,
                hold_polls=2,
                write_class=drawn.write_class,
                low=low,
                high=high,
                ramp_w_s=drawn.ramp_w_s,
                daily_budget=50 if drawn.write_class is WriteClass.STORED else 0,
                failsafe=None,
                device_timeout_ms=0,
                heartbeat_ms=drawn.heartbeat_ms,
                on_stop=drawn.on_stop,
            )
        )
        return len(self.actuators) - 1


@dataclass(frozen=True)
class Drawn:
    """How the actuators of one device behave."""

    with_feedback: bool
    settle_ms: int
    write_class: WriteClass
    ramp_w_s: int
    heartbeat_ms: int
    on_stop: OnStop


ACTING = st.builds(
    Drawn,
    with_feedback=st.sampled_from([True, True, True, False]),
    settle_ms=st.sampled_from([0, 500, 2_000]),
    write_class=st.sampled_from([WriteClass.VOLATILE, WriteClass.VOLATILE, WriteClass.STORED, WriteClass.PULSE]),
    ramp_w_s=st.sampled_from([0, 0, 500, 10_000]),
    heartbeat_ms=st.sampled_from([0, 0, 20_000]),
    on_stop=st.sampled_from(list(OnStop)),
)

POLICIES = st.builds(
    Policy,
    mode=st.sampled_from([RegionMode.AUTO] * 5 + [RegionMode.ADVISORY]),
    period_ms=st.just(1_000),
    margin_ppm=st.sampled_from([0, 100_000, 100_000, 333_333]),
    ride_through_ms=st.sampled_from([0, 2_000, 2_000, 10_000]),
    restore_step_w=st.sampled_from([1_000, 5_000, 500_000]),
    restore_every_ms=st.sampled_from([1_000, 5_000]),
    restore_after_ms=st.sampled_from([0, 2_000]),
    dead_band_w=st.sampled_from([0, 300, 1_000]),
    reserve_ppm=st.sampled_from([0, 100_000]),
    answer_ms=st.sampled_from([1_000, 5_000]),
    retry_ms=st.sampled_from([5_000, 60_000]),
    max_contests=st.sampled_from([1, 3]),
    charge_from_grid=FLAGS,
    stop_timeout_ms=st.just(5_000),
    move_budget=st.sampled_from([0, 2, 10]),
)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """A region of 0 to 6 generators, 0 to 10 consumers and 0 to 3 stores below 0 to 4 ratings."""
    parts = Parts()
    buses = draw(
        st.sampled_from(
            [
                (Bus(name="main", kind=BusKind.SYNCHRONOUS),),
                (Bus(name="main", kind=BusKind.SYNCHRONOUS), Bus(name="island", kind=BusKind.SEPARATE)),
                (Bus(name="island", kind=BusKind.SEPARATE),),
            ]
        )
    )
    policy = draw(POLICIES)
    ratings = _ratings(draw, parts, buses)
    below = st.sampled_from([NONE, *range(len(ratings)), *range(len(ratings))])

    def place() -> tuple[int, int]:
        rating = draw(below)
        return (ratings[rating].bus if rating != NONE else draw(st.integers(0, len(buses) - 1))), rating

    generators = tuple(_generator(draw, parts, i, *place()) for i in range(draw(st.integers(0, 6))))
    consumers = tuple(
        _consumer(draw, parts, i, buses, *place()) for i in range(draw(st.sampled_from([0, 1, 2, 3, 4, 6, 10])))
    )
    storages = tuple(
        _storage(draw, parts, i, len(generators) + i + 1, *place()) for i in range(draw(st.sampled_from([0, 1, 2, 3])))
    )
    return Site(
        name="law",
        policy=policy,
        devices=tuple(parts.devices),
        signals=tuple(parts.signals),
        actuators=tuple(parts.actuators),
        buses=buses,
        ratings=ratings,
        generators=generators,
        consumers=consumers,
        storages=storages,
    )


def _ratings(draw: st.DrawFn, parts: Parts, buses: tuple[Bus, ...]) -> tuple[Rating, ...]:
    ratings: list[Rating] = []
    for i in range(draw(st.sampled_from([0, 1, 1, 2, 3, 4]))):
        inside = draw(st.integers(NONE, i - 1)) if i else NONE
        # The first is the grid connection of the synchronous bus; a separate bus has none.
        grid = i == 0 and buses[0].kind is BusKind.SYNCHRONOUS
        bus = ratings[inside].bus if inside != NONE else 0 if grid else draw(st.integers(0, len(buses) - 1))
        phases = ratings[inside].phases if inside != NONE else draw(st.sampled_from([3, 3, 1]))
        name = f"rating-{i}"
        metered = draw(st.sampled_from(["power", "power", "currents", "none"]))
        power, currents = NONE, (NONE, NONE, NONE)
        if metered != "none":
            meter = parts.device(f"{name}-meter")
            power = parts.signal(meter, "power")
            if metered == "currents":
                count = 1 if phases == 1 else 3
                bound = [parts.signal(meter, f"current_{p}") for p in "abc"[:count]]
                currents = (bound[0], *(bound[1:] if count == 3 else (NONE, NONE)))  # type: ignore[assignment]
        ratings.append(
            Rating(
                name=name,
                kind=RatingKind.GRID if grid else draw(st.sampled_from([RatingKind.FEEDER, RatingKind.BUILDING])),
                within=inside,
                bus=bus,
                import_va=draw(st.sampled_from([-1, 3_000, 10_000, 25_000, 60_000])),
                export_va=draw(st.sampled_from([-1, 0, 5_000, 20_000])),
                phases=phases,
                voltage_mv=230_000,
                power=power,
                currents=currents,
                margin_ppm=draw(st.sampled_from([0, 50_000])),
                residue_w=draw(st.sampled_from([0, 700])) if metered == "none" else 0,
            )
        )
    return tuple(ratings)


def _generator(draw: st.DrawFn, parts: Parts, i: int, bus: int, rating: int) -> Generator:
    device = parts.device(f"generator-{i}")
    dispatch, rated, acting = draw(st.sampled_from(list(Dispatch))), draw(POWERS), draw(ACTING)
    power = parts.signal(device, "power")
    commandable = draw(st.sampled_from([True, True, True, False]))
    limit = connect = setpoint = available = NONE
    if dispatch is Dispatch.STOCHASTIC:
        available = parts.signal(device, "available") if draw(FLAGS) else NONE
        limit = parts.actuator(device, Verb.LIMIT, 0, rated, power, acting) if commandable else NONE
    elif dispatch is Dispatch.FIXED:
        connect = parts.actuator(device, Verb.CONNECT, 0, 1, power, acting) if commandable else NONE
    else:
        setpoint = parts.actuator(device, Verb.SETPOINT, 0, rated, power, acting) if commandable else NONE
        if commandable and draw(FLAGS):
            connect = parts.actuator(device, Verb.CONNECT, 0, 1, power, acting)

    def feedback(actuator: int) -> int:
        return parts.actuators[actuator].feedback if actuator != NONE else NONE

    return Generator(
        device=device,
        bus=bus,
        rating=rating,
        phases=draw(MASKS),
        dispatch=dispatch,
        rated_w=rated,
        minimum_w=rated // 4 if dispatch is Dispatch.CONTINUOUS else 0,
        ramp_w_s=acting.ramp_w_s,
        start_ms=draw(st.sampled_from([0, 0, 5_000])),
        min_up_ms=draw(st.sampled_from([0, 10_000])),
        min_down_ms=draw(st.sampled_from([0, 10_000])),
        power_factor_ppm=draw(FACTORS),
        tree=i + 1,
        power=power,
        available=available,
        limit=feedback(limit),
        connect=feedback(connect),
        setpoint=feedback(setpoint),
        do_limit=limit,
        do_connect=connect,
        do_setpoint=setpoint,
    )


def _consumer(draw: st.DrawFn, parts: Parts, i: int, buses: tuple[Bus, ...], bus: int, rating: int) -> Consumer:
    device = parts.device(f"consumer-{i}")
    klass, rated, acting = draw(CLASSES), draw(POWERS), draw(ACTING)
    power = parts.signal(device, "power")
    responsive = rated // 2 if draw(FLAGS) else 0
    granted = do_shed = do_limit = do_connect = do_supply = NONE
    if responsive and draw(FLAGS):
        granted = parts.signal(device, "shed_granted") if acting.with_feedback else NONE
        do_shed = parts.actuator(device, Verb.SHED, 0, responsive, power, acting, granted)
    if draw(FLAGS):
        do_limit = parts.actuator(device, Verb.LIMIT, 0, rated, power, acting)
    if draw(FLAGS):
        do_connect = parts.actuator(device, Verb.CONNECT, 0, 1, power, acting)
    if buses[bus].kind is BusKind.SEPARATE and draw(FLAGS):
        do_supply = parts.actuator(device, Verb.SUPPLY, 0, 65_535, power, acting)

    def feedback(actuator: int) -> int:
        return parts.actuators[actuator].feedback if actuator != NONE else NONE

    return Consumer(
        device=device,
        bus=bus,
        rating=rating,
        phases=draw(MASKS),
        rated_w=rated,
        deferrable_w=responsive,
        demand_responsive_w=responsive,
        klass=klass,
        interruptible=klass > 0 and draw(st.sampled_from([True, True, True, False])),
        deferral_ms=draw(st.sampled_from([4_000, 20_000, 180_000])),
        rest_ms=draw(st.sampled_from([0, 5_000])),
        times_a_day=draw(st.sampled_from([0, 2])),
        rebound_ppm=draw(st.sampled_from([0, 250_000])),
        power_factor_ppm=draw(FACTORS),
        power=power,
        deferrable=parts.signal(device, "deferrable") if responsive and draw(FLAGS) else NONE,
        shed_granted=granted,
        limit=feedback(do_limit),
        connect=feedback(do_connect),
        supply=feedback(do_supply),
        do_shed=do_shed,
        do_limit=do_limit,
        do_connect=do_connect,
        do_supply=do_supply,
    )


def _storage(draw: st.DrawFn, parts: Parts, i: int, tree: int, bus: int, rating: int) -> Storage:
    device = parts.device(f"storage-{i}")
    charge, discharge, acting = draw(POWERS), draw(POWERS), draw(ACTING)
    power = parts.signal(device, "power")
    soc = parts.signal(device, "soc") if draw(st.sampled_from([True, True, False])) else NONE
    commandable = draw(st.sampled_from([True, True, True, False]))
    setpoint = parts.actuator(device, Verb.SETPOINT, -discharge, charge, power, acting) if commandable else NONE
    mode = parts.actuator(device, Verb.MODE, 0, 65_535, power, acting) if commandable and draw(FLAGS) else NONE
    return Storage(
        device=device,
        bus=bus,
        rating=rating,
        phases=draw(MASKS),
        capacity_wh=20_000,
        charge_w=charge,
        discharge_w=discharge,
        floor_ppm=100_000,
        ceiling_ppm=950_000,
        wake_ppm=300_000,
        protection_ppm=draw(st.sampled_from([0, 80_000])),
        trickle_w=300,
        dead_time_ms=draw(st.sampled_from([0, 3_000])),
        ramp_w_s=acting.ramp_w_s,
        power_factor_ppm=draw(FACTORS),
        tree=tree,
        power=power,
        soc=soc,
        mode=parts.actuators[mode].feedback if mode != NONE else NONE,
        do_setpoint=setpoint,
        do_mode=mode,
        modes=(0, 1, 2, 3),
    )
