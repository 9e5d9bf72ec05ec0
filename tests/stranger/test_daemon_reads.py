"""The whole daemon shows over HTTP what a server on libmodbus says of its own registers, in every type and order."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from register_plant import FORMATS, Device, Place
from whole_daemon import SOON_S, Start, WholeDaemon, wait_for

RANGES = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**53), 2**53),
    "uint64": (0, 2**53),
    "float32": (-3.5e30, 1.25e-30),
    "float64": (-1.5e300, 3e-300),
}
"""The ends of each type; whole numbers of 64 bits as far as they are exact."""


@dataclass(frozen=True)
class Meant:
    """Keys of a point, and base unit = raw * factor + offset."""

    keys: str
    factor: float
    offset: float


MEANT = (
    Meant("", 1, 0),
    Meant("scale: 0.1, offset: -40, unit: degC", 0.1, -40),
    Meant("scale: -0.01, unit: A", -0.01, 0),
    Meant("scale: 10, offset: 5, unit: kW", 10_000, 5_000),
    Meant("unit: mHz", 0.001, 0),
    Meant('scale: 0.5, offset: 1.5, unit: "%"', 0.005, 0.015),
)


def near(value: float, truth: float) -> bool:
    """The same but for the last digits of a double."""
    return math.isclose(value, truth, rel_tol=1e-12, abs_tol=1e-12 * abs(truth) + 1e-300)


def everything(table: str, unit: int) -> Device:
    """Every type and order of a register table, with gaps between some."""
    places, address = [], 100
    for number, (kind, order) in enumerate(FORMATS):
        meant = MEANT[(number + unit) % len(MEANT)]
        name = f"{kind}_{order}"
        places.append(Place(table, name, unit, address, kind, order, table, meant.keys, meant.factor, meant.offset))
        address += {"16": 1, "32": 2, "64": 4}[kind[-2:]] + number % 3
    return Device(table, unit, places, poll="100 ms")


def draw(kind: str, turn: int, noise: random.Random) -> str:
    """Raw values as text: the ends of the type, then anything in it."""
    low, high = RANGES[kind]
    if kind.startswith("float"):
        return repr((low, high)[turn] if turn < 2 else noise.uniform(-1e6, 1e6))
    return str((low, high)[turn] if turn < 2 else noise.randint(int(low), int(high)))


def shown_as(daemon: WholeDaemon, place: Place, truth: float) -> bool:
    """Whether the API shows this value as a good one."""
    shown = daemon.point(place.device, place.point)
    return shown["quality"] == "good" and near(shown["value"], truth)


def test_every_table_type_and_order_is_shown_as_the_server_means_it(start: Start) -> None:
    bits = [
        Place("bits", f"{table}_{at}", 3, at, table=table) for table in ("coil", "discrete") for at in (0, 7, 8, 33)
    ]
    bits += [
        Place("bits", f"{table}_{bit}_{order}", 3, 200, f"bit{bit}", order, table)
        for table, order in (("holding", "ABCD"), ("input", "BADC"))
        for bit in (0, 3, 8, 15)
    ]
    words = [Place("bits", "word", 3, 201, "bits", "DCBA"), Place("bits", "word_in", 3, 202, "bits", "CDAB", "input")]
    devices = [everything("holding", 1), everything("input", 2), Device("bits", 3, [*bits, *words], poll="100 ms")]
    peer, daemon = start(devices)
    noise = random.Random(11)
    for turn in range(4):
        for device in devices[:2]:
            peer.tell(*(f"raw {place.name} {draw(place.type, turn, noise)}" for place in device.places))
        peer.tell(*(f"raw {place.name} {noise.getrandbits(1)}" for place in bits))
        peer.tell(*(f"raw {place.name} {noise.getrandbits(16)}" for place in words))
        truths = {place: peer.show(place.name) for device in devices for place in device.places}

        def wrong(truths: dict[Place, float] = truths) -> list[str]:
            return [place.name for place, truth in truths.items() if not shown_as(daemon, place, truth)]

        wait_for(lambda: not wrong(), SOON_S, "everything is shown as the server means it")
        metrics = daemon.metrics()
        shown = {series.split("unit=")[0]: value for series, value in metrics.items()}
        for place, truth in truths.items():
            value = shown[f'scowl_point_value{{device="{place.device}",point="{place.point}",']
            assert near(value, truth), place
    assert metrics['scowl_link_requests_total{link="peer",result="ok"}'] > 0
    assert [result for result in metrics if "scowl_link_requests_total" in result and 'result="ok"' not in result] == []


NOT_AVAILABLE = {
    "int16": ("0x8000", "-32768"),
    "uint16": ("0xFFFF", "65535"),
    "int32": ("0x80000000", "-2147483648"),
    "uint32": ("0xFFFFFFFF", "4294967295"),
    "int64": ("0x8000000000000000", "-9223372036854775808"),
    "uint64": ("0xFFFFFFFFFFFFFFFF", "18446744073709551615"),
    "float32": ("", "nan"),
    "float64": ("", "nan"),
}
"""By type: how the configuration lists it (bits of the register), and what the server puts there."""


def bad(daemon: WholeDaemon, place: Place, reason: str) -> bool:
    """Whether it has no value anywhere, and says why."""
    shown = daemon.point(place.device, place.point)
    return (shown["value"], shown["quality"], shown["reason"]) == (None, "bad", reason)


def test_what_is_not_available_has_no_value_and_no_metric(start: Start) -> None:
    places = [
        Place("probe", f"{kind}_{order}", 1, 10 + 5 * n, kind, order, "input", f"nan: [{NOT_AVAILABLE[kind][0]}]")
        for n, (kind, order) in enumerate(FORMATS)
    ]
    peer, daemon = start([Device("probe", 1, places, poll="100 ms")])
    peer.tell(*(f"raw {place.name} 77" for place in places))
    wait_for(lambda: all(shown_as(daemon, place, 77) for place in places), SOON_S, "all are read")
    assert all(daemon.metric_of("probe", place.point) == 77 for place in places[::7])
    peer.tell(*(f"raw {place.name} {NOT_AVAILABLE[place.type][1]}" for place in places))
    wait_for(lambda: all(bad(daemon, place, "sentinel") for place in places), SOON_S, "all are not available")
    assert not [series for series in daemon.metrics() if series.startswith("scowl_point_value")]
    peer.tell(*(f"raw {place.name} 78" for place in places))
    wait_for(lambda: all(shown_as(daemon, place, 78) for place in places), SOON_S, "all are back")
    assert daemon.metric_of("probe", places[-1].point) == 78


@pytest.mark.parametrize("order", ["ABCD", "BADC"])
def test_powers_of_ten_and_bounds(start: Start, order: str) -> None:
    power = Place("inverter", "power", 1, 40, "int16", order, "input", "scale: -1, scale_factor: power_sf, unit: kW")
    factor = Place("inverter", "power_sf", 1, 41, "int16", order, "input", "nan: [0x8000]")
    heat = Place(
        "inverter", "heat", 1, 50, "uint16", order, "input", "scale: 0.1, offset: -40, unit: degC, min: -20, max: 90",
        0.1, -40,
    )  # fmt: skip
    peer, daemon = start([Device("inverter", 1, [power, factor, heat], poll="100 ms")])

    for raw, exponent in ((1234, -1), (-20000, 2), (7, -10), (-1, 0)):
        peer.tell(f"raw {power.name} {raw}", f"raw {factor.name} {exponent}")
        truth = -1000 * peer.show(power.name) * 10 ** peer.show(factor.name)
        wait_for(lambda want=truth: shown_as(daemon, power, want), SOON_S, f"the power is {truth}")
    peer.tell(f"raw {factor.name} -32768")
    wait_for(lambda: bad(daemon, power, "sentinel"), SOON_S, "a power without its factor is none")
    assert daemon.metric_of("inverter", "power") is None

    for degrees, plausible in ((25.5, True), (90.1, False), (90.0, True), (-20.1, False), (-20.0, True)):
        peer.tell(f"set {heat.name} {degrees}")
        wait_for(
            lambda want=degrees, good=plausible: (
                shown_as(daemon, heat, want) if good else bad(daemon, heat, "implausible")
            ),
            SOON_S,
            f"{degrees} degrees are {plausible}",
        )


def test_a_text_is_shown(start: Start) -> None:
    serial = Place("inverter", "serial", 1, 60, "string", "BADC", "input", "length: 8")
    peer, daemon = start([Device("inverter", 1, [serial], poll="100 ms")])
    # The server lays texts out with the first character in the high byte, so each pair is given the other way round.
    peer.tell(f"raw {serial.name} ES7-")
    wait_for(lambda: daemon.point("inverter", "serial")["receive_time"], SOON_S, "it is read")
    wait_for(lambda: daemon.point("inverter", "serial")["value"] == "SE-7", SOON_S, "the text is shown")
