"""The whole daemon commands a server on libmodbus: every type and order, judged by what the server takes it for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from libmodbus_peer import Mbpoll, Peer
from register_plant import (
    FORMATS,
    POWER_SCALINGS,
    SIGNED,
    Device,
    Place,
    Scaling,
    distinct,
    second_opinion,
)
from whole_daemon import SOON_S, Start, WholeDaemon, wait_for

METER = Device(
    "grid-meter", 1, [Place("grid-meter", "power", 1, 50, "int32", "CDAB", "input", "unit: W")], "kind: grid",
    "meter grid-meter.power", poll="200 ms", values={"power": 1000},
)  # fmt: skip
ARRIVED = {"shed": ("confirmed",)}
"""Stages by verb where a command has come to rest; the tracker judges what a shed is worth, not its register."""
IN_EFFECT = ("effective", "holding")
EXACT = tuple(how for how in POWER_SCALINGS if how.watts * how.scale in (0.5, 1))


def in_format(
    device: str,
    point: str,
    unit: int,
    address: int,
    number: int,
    rated_w: int,
    *,
    sign: int = 1,
    table: str = "holding",
    ways: Sequence[Scaling] = POWER_SCALINGS,
) -> Place:
    """A power in the type and order of that number, scaled in one of the ways."""
    kind, order = FORMATS[number]
    how = ways[number % len(ways)]
    access = "" if table == "input" else ", access: rw"
    return Place(
        device, point, unit, address, kind, order, table, how.keys(sign) + access, sign * how.factor(rated_w)
    )  # fmt: skip


def settled(daemon: WholeDaemon, verb: str, places: dict[str, Place]) -> dict[str, dict[str, Any]]:
    """Device -> its actuator, once every one of them has been confirmed and seen to work.

    What is confirmed is what was read back: the target, as exactly as the register can hold it.
    """

    def late() -> list[str]:
        return [
            f"{name}: {found['target']} -> {found['confirmed']}, {found['state']}"
            for name, place in places.items()
            if (found := daemon.actuators(name)[verb])["state"] not in ARRIVED.get(verb, IN_EFFECT)
            or not agrees(found["confirmed"], place, found["target"], 1)
        ]

    try:
        wait_for(lambda: not late(), SOON_S, "every command is confirmed and in effect")
    except AssertionError as failed:
        raise AssertionError(f"{failed}: {late()}; {daemon.get('region')}; {daemon.alarms()}") from None
    return {name: daemon.actuators(name)[verb] for name in places}


def agrees(value: float, place: Place, watts: float, rounding_w: float = 0.5) -> bool:
    """Whether a register says so many W (or s, or 0 and 1), as exactly as it can; targets are whole W."""
    return abs(value - watts) <= rounding_w + place.step * 1.001 + abs(watts) * 1e-6


def sees_power(daemon: WholeDaemon, device: Device, peer: Peer) -> bool:
    """Whether the daemon counts with the power that the server shows; powers are rounded up to whole W."""
    power_w = daemon.get(f"devices/{device.name}")["power_w"]
    return power_w is not None and abs(power_w - peer.show(f"{device.name}.power")) <= 1


def judge(peer: Peer, places: dict[str, Place], targets: dict[str, dict[str, Any]]) -> int:
    """Each target against the server's own truth, and against mbpoll where that knows the type; how many it knew."""
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("no mbpoll; as root run: sh tests/system-packages.sh")
    seconds = 0
    for device, place in places.items():
        target, confirmed = targets[device]["target"], targets[device]["confirmed"]
        held = peer.show(place.name)
        assert abs(held - confirmed) <= 0.501, (place, held, confirmed)
        assert agrees(held, place, target), (place, held, target)
        seen = second_opinion(Mbpoll(program, peer.port, place.unit), place)
        if seen is not None:
            seconds += 1
            # It prints floats with six digits.
            assert abs(seen - held) <= abs(held) * 1e-5, (place, seen, held)
    return seconds


def region(ratings: str = "") -> str:
    """Quick for a plant that obeys at once; what was taken is not given back within the test."""
    return (
        "region: {mode: advisory, period: 200 ms, margin: 0 %, answer: 2 s, restore_after: 1 h, ride_through: 1 s}\n"
        + ratings
    )


def grid(import_w: int) -> str:
    """A grid connection with a meter."""
    return f"ratings:\n  grid: {{kind: grid, import: {import_w} W, meter: grid-meter}}\n"


def switch_on(daemon: WholeDaemon) -> None:
    """The daemon may write from now on."""
    daemon.order("region/mode", "auto")
    wait_for(lambda: daemon.get("region")["mode"] == "auto", SOON_S, "the region is in auto")


def limited(number: int) -> tuple[Device, int, int]:
    """A consumer with a limit in one type and order; with what it wants and what of that can wait, in W."""
    name, unit, rated_w = f"limited-{'-'.join(FORMATS[number])}", 2 + number, 4000 + 10 * number
    want_w, deferrable_w = 2000 + 37 * number, 700 + 13 * number
    power = in_format(name, "power", unit, 10 + number, number, rated_w, table="input")
    limit = in_format(name, "limit", unit, 100 + 3 * number, number, rated_w)
    role = (
        f"kind: consumer, rated: {rated_w} W, deferrable: {deferrable_w} W, class: 3, interruptible: true, on: grid, "
        "settle: 200 ms, power_factor: 100 %"
    )
    rule = f"cap {power.name} {want_w} {limit.name}"
    return Device(name, unit, [power, limit], role, rule, values={"limit": rated_w}), want_w, deferrable_w


def switched(number: int, connect: Place) -> tuple[Device, int]:
    """A consumer that can only be connected or not; with what it wants, in W."""
    want_w = 1500 + 100 * number
    power = Place(connect.device, "power", connect.unit, 5, "uint32", "BADC", "input", "unit: W")
    role = "kind: consumer, rated: 3 kW, class: 6, interruptible: true, on: grid, settle: 200 ms, power_factor: 100 %"
    rule = f"gate {power.name} {want_w} {connect.name}"
    return Device(connect.device, connect.unit, [power, connect], role, rule, values={"connect": 1}), want_w


def test_limits_and_connections_hold_what_the_daemon_says_was_confirmed(start: Start) -> None:
    by_limit = [limited(number) for number in range(len(FORMATS))]
    first = 2 + len(FORMATS)
    switches = [Place("on-coil", "connect", first, 33, table="coil", keys="access: rw")]
    switches += [
        Place(f"on-bit-{bit}-{order}", "connect", first + 1 + n, 60 + n, f"bit{bit}", order, keys="access: rw")
        for n, (bit, order) in enumerate(((0, "ABCD"), (7, "BADC"), (8, "CDAB"), (15, "DCBA")))
    ]
    by_switch = [switched(number, place) for number, place in enumerate(switches)]
    devices = [*(device for device, _, _ in by_limit), *(device for device, _ in by_switch)]
    wants_w = sum(want for _, want, _ in by_limit) + sum(want for _, want in by_switch)
    relief_w = sum(deferrable for _, _, deferrable in by_limit) + sum(want for _, want in by_switch)
    import_w = wants_w - relief_w + 200
    peer, daemon = start([*devices, METER], region(grid(import_w)))
    for place in switches:
        # Its neighbours in the register belong to somebody else.
        if place.bit is not None:
            peer.tell(f"name {place.name}.word {place.unit} holding uint16 {place.order} {place.address} 1 0")
            peer.tell(f"set {place.name}.word {0b1010_0101_0101_1010 | 1 << place.bit}")
    wait_for(lambda: all(sees_power(daemon, device, peer) for device in devices), SOON_S, "every power is as it is")
    assert peer.writes() == 0
    switch_on(daemon)
    peer.tell("frozen 0")
    places = {device.name: device.place("limit") for device, _, _ in by_limit}
    limits = settled(daemon, "limit", places)
    connections = settled(daemon, "connect", {place.device: place for place in switches})
    targets = {name: each["target"] for name, each in limits.items()}
    assert distinct(list(targets.values()), 1)
    # The last one to be asked has a little less to give.
    assert sum(abs(targets[d.name] - (want - part)) > 10 for d, want, part in by_limit) <= 1
    assert judge(peer, places, limits) == 2 * 4
    assert [each["confirmed"] for each in connections.values()] == [0] * len(switches)
    judge(peer, {place.device: place for place in switches}, connections)
    assert Mbpoll(str(shutil.which("mbpoll")), peer.port, first).read("0", 33, 1) == ["0"]
    for place in switches:
        if place.bit is not None:
            assert peer.show(f"{place.name}.word") == 0b1010_0101_0101_1010 & ~(1 << place.bit)
    assert peer.show("grid-meter.power") <= import_w
    shown = daemon.metrics()
    assert shown["scowl_conservation_error_watts"] == 0
    assert all(sees_power(daemon, device, peer) for device in devices)


def shedding(number: int, ways: Sequence[Scaling]) -> tuple[Device, int, int]:
    """A consumer that sheds, all its registers in one type and order; with what it wants and gives up, in W."""
    kind, order = FORMATS[number]
    name, unit, rated_w = f"shedding-{kind}-{order}", 2 + number, 4000 + 10 * number
    want_w, part_w = 2000 + 37 * number, 700 + 13 * number
    power = in_format(name, "power", unit, 10, number, rated_w, table="input", ways=ways)
    granted = in_format(name, "shed_granted", unit, 20, number, rated_w, table="input", ways=ways)
    request = in_format(name, "shed_request", unit, 30, number, rated_w, ways=ways)
    expiry = Place(name, "shed_expiry", unit, 40, kind, order, keys="unit: s, access: rw")
    role = (
        f"kind: consumer, rated: {rated_w} W, deferrable: {part_w} W, demand_responsive: {part_w} W, class: 4, "
        f"deferral: {600 + 7 * number} s, on: grid, settle: 200 ms, power_factor: 100 %"
    )
    rule = f"shed {power.name} {want_w} {request.name} {granted.name} {expiry.name}"
    return Device(name, unit, [power, granted, request, expiry], role, rule), want_w, part_w


def test_sheds_are_asked_for_with_their_expiry_in_every_type_and_order(start: Start) -> None:
    """The server grants only if the expiry lies there before the request."""
    all_of_them = [shedding(number, EXACT) for number in range(len(FORMATS))]
    devices = [device for device, _, _ in all_of_them]
    import_w = sum(want - part for _, want, part in all_of_them) + 200
    peer, daemon = start([*devices, METER], region(grid(import_w)))
    wait_for(lambda: all(sees_power(daemon, device, peer) for device in devices), SOON_S, "every power is as it is")
    switch_on(daemon)
    peer.tell("frozen 0")
    places = {device.name: device.place("shed_request") for device in devices}
    sheds = settled(daemon, "shed", places)
    targets = {name: each["target"] for name, each in sheds.items()}
    assert distinct(list(targets.values()), 1)
    assert sum(abs(targets[device.name] - part) > 10 for device, _, part in all_of_them) <= 1
    assert judge(peer, places, sheds) == 2 * 4
    for number, device in enumerate(devices):
        assert 600 + 7 * number - 30 <= peer.show(f"{device.name}.shed_expiry") <= 600 + 7 * number
        assert daemon.get(f"devices/{device.name}")["state"] == "shed"
    wait_for(lambda: all(sees_power(daemon, device, peer) for device in devices), SOON_S, "every power has followed")
    assert peer.show("grid-meter.power") <= import_w


def test_a_shed_that_the_register_rounds_up_is_granted(start: Start) -> None:
    coarse = Scaling(0.002, "kW", 1000)
    device, want_w, part_w = shedding(FORMATS.index(("uint16", "DCBA")), [coarse])
    assert part_w % 2 == 1
    peer, daemon = start([device, METER], region(grid(want_w - part_w - 200)))
    wait_for(lambda: sees_power(daemon, device, peer), SOON_S, "its power is seen")
    switch_on(daemon)
    peer.tell("frozen 0")
    wait_for(lambda: peer.show(f"{device.name}.shed_granted") == part_w + 1, SOON_S, "the server grants")
    wait_for(lambda: daemon.get(f"devices/{device.name}")["shed_w"] >= part_w, SOON_S, "the grant counts")


def test_generators_are_raised_and_stores_discharged_in_every_type_and_order(start: Start) -> None:
    """No grid connection: what the load takes must be produced, and the setpoints of stores are then negative."""
    devices, places, expected = [], {}, {}
    for number, (kind, order) in enumerate(FORMATS):
        name, unit, rated_w = f"engine-{kind}-{order}", 2 + number, 1000 + 37 * number
        # The meter of this engine counts production as positive: even an unsigned register will do.
        power = in_format(name, "power", unit, 10, number, rated_w, sign=-1, table="input")
        setpoint = in_format(name, "setpoint", unit, 77, number, rated_w)
        role = f"kind: generator, dispatch: continuous, rated: {rated_w} W, settle: 200 ms"
        rule = f"follow {power.name} -1 {setpoint.name}"
        devices.append(Device(name, unit, [power, setpoint], role, rule))
        places[name], expected[name] = setpoint, rated_w
    for at, (kind, order) in enumerate(SIGNED):
        name, unit, rated_w = f"store-{kind}-{order}", 2 + len(FORMATS) + at, 1100 + 41 * at
        number = FORMATS.index((kind, order))
        power = in_format(name, "power", unit, 10, number, rated_w)
        soc = Place(name, "soc", unit, 20, "uint16", "BADC", "input", 'unit: "%"', 0.01)
        setpoint = in_format(name, "setpoint", unit, 31, number, rated_w)
        role = f"kind: storage, rated: {rated_w} W, capacity: 100 kWh, settle: 200 ms"
        rule = f"follow {power.name} 1 {setpoint.name}"
        devices.append(Device(name, unit, [power, soc, setpoint], role, rule, values={"soc": 0.6}))
        places[name], expected[name] = setpoint, -rated_w
    load = Place("town", "power", 1, 10, "int32", "ABCD", "input", "unit: W")
    demand_w = 2 * sum(abs(watts) for watts in expected.values())
    devices.append(
        Device("town", 1, [load], "kind: consumer, rated: 1 MW, class: 0", poll="200 ms", values={"power": demand_w})
    )
    peer, daemon = start(devices, region())
    switch_on(daemon)
    setpoints = settled(daemon, "setpoint", places)
    assert {name: each["target"] for name, each in setpoints.items()} == expected
    assert judge(peer, places, setpoints) == 2 * 4 + 2 * 3
