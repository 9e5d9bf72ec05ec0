"""Homes by seed: a vehicle, a heat pump, a washing machine, a freezer, sun and a battery, and what cannot be moved.

A winter day: people come home between 16 and 19 h, plug in, cook and wash, so that the street's power peaks between 16
and 21 h. The same seed and number is the same home, whatever other homes there are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scowl_edge.dsr.adapters import (
    Adapter,
    Battery,
    BatteryState,
    Charger,
    ChargerState,
    Solar,
    SolarState,
    ThermalState,
    Washer,
    WasherState,
    cold_store,
    heat_pump,
)
from scowl_edge.model.profile import HOUR_MS, Timeline, total
from scowl_edge.model.profile_slots import from_slots

DAY_MS = 24 * HOUR_MS
QUARTER_MS = HOUR_MS // 4
# Share of homes that have one, in percent.
VEHICLES, HEAT_PUMPS, WASHERS, FREEZERS, ROOFS, BATTERIES = 55, 70, 80, 90, 45, 35
# What is not flexible, W by the hour: sleep, breakfast, noon, the evening.
BASE_W = (
    120,
    110,
    110,
    110,
    120,
    180,
    330,
    420,
    330,
    250,
    250,
    300,
    340,
    280,
    260,
    300,
    480,
    700,
    850,
    800,
    650,
    450,
    280,
    170,
)
# A clear winter day, share of the rated power in percent by the hour.
SUN = (0, 0, 0, 0, 0, 0, 0, 0, 6, 18, 30, 38, 40, 34, 22, 8, 0, 0, 0, 0, 0, 0, 0, 0)
PROGRAMMES = (
    ((900, 2_000), (2_700, 150), (900, 1_800), (1_800, 250)),
    ((600, 1_900), (3_600, 120), (1_200, 400)),
    ((1_200, 2_100), (2_400, 100), (1_200, 2_000), (600, 60)),
)


@dataclass(frozen=True, slots=True)
class Member:
    """One appliance of a home, and what happens to it."""

    adapter: Adapter[Any]
    state: Any
    """At the begin of the first day."""
    events: tuple[tuple[int, Any], ...] = ()
    """(UTC ms, the state that then begins), by time."""


@dataclass(frozen=True, slots=True)
class Household:
    """A home."""

    members: tuple[Member, ...]
    base: Timeline
    """What it takes beside its members, by quarters of an hour."""


def household(seed: int, number: int, midnight_ms: int, days: int = 1) -> Household:
    """A home from midnight on.

    Args:
        seed: Of the street.
        number: Of the home in the street.
        midnight_ms: Begin of the first day, UTC (which is taken for local time).
        days: For how many days vehicles come and machines are loaded.
    """
    dice = random.Random(f"home {seed} {number}")
    members: list[Member] = []
    kinds: tuple[tuple[int, Callable[[random.Random, str, int, int], Member]], ...] = (
        (VEHICLES, _vehicle),
        (HEAT_PUMPS, _heating),
        (WASHERS, _washing),
        (FREEZERS, _freezing),
        (ROOFS, _roof),
        (BATTERIES, _battery),
    )
    for share, kind in kinds:
        # Each kind draws from dice of its own, so that one more or less changes nobody else.
        own = random.Random(dice.getrandbits(64))
        if own.randrange(100) < share:
            members.append(kind(own, f"{kind.__name__.strip('_')}-{seed}-{number}", midnight_ms, days))
    return Household(members=tuple(members), base=_base(dice, midnight_ms, days))


def street(seed: int, homes: int, midnight_ms: int, days: int = 1) -> tuple[Household, ...]:
    """Homes 0 to homes - 1."""
    return tuple(household(seed, number, midnight_ms, days) for number in range(homes))


def base_load(homes: tuple[Household, ...]) -> Timeline:
    """What cannot be moved, of all of them."""
    return total(home.base for home in homes)


def _vehicle(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    capacity_wh = dice.choice((40_000, 52_000, 60_000, 77_000))
    charger = Charger(
        esa_id=name,
        capacity_wh=capacity_wh,
        phases=dice.choice((1, 3, 3)),
        current_max_a=dice.choice((16, 16, 32)),
        export_w=3_680,
        export_consent=dice.randrange(100) < 15,
        floor_wh=capacity_wh * 3 // 10,
    )
    stays = []
    for day in range(days):
        arrival_ms = midnight_ms + day * DAY_MS + int(dice.gauss(17.6, 0.9) * HOUR_MS) // 60_000 * 60_000
        departure_ms = midnight_ms + (day + 1) * DAY_MS + int(dice.gauss(7.3, 0.5) * HOUR_MS) // 60_000 * 60_000
        target_wh = capacity_wh * 8 // 10
        used_wh = min(target_wh - capacity_wh * 3 // 10, max(2_000, int(dice.gauss(11_000, 4_000))))
        stays.append(
            ChargerState(
                level_j=(target_wh - used_wh) * 3_600,
                target_wh=target_wh,
                arrival_ms=arrival_ms,
                departure_ms=departure_ms,
            )
        )
    # The next stay is known from noon on.
    events = tuple((midnight_ms + day * DAY_MS + 12 * HOUR_MS, stay) for day, stay in enumerate(stays))
    away = ChargerState(level_j=stays[0].level_j, target_wh=0, arrival_ms=midnight_ms, departure_ms=midnight_ms)
    return Member(charger, away, events)


def _heating(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    loss_w_per_k = dice.randrange(90, 180)
    building = heat_pump(
        name,
        rated_w=dice.randrange(1_900, 2_600, 100),
        capacity_j_per_k=loss_w_per_k * 3_600 * dice.randrange(45, 90),
        loss_w_per_k=loss_w_per_k,
    )
    ambient = tuple(
        2_000 - (3_000 if hour % 24 < 9 or hour % 24 > 20 else 0) + dice.randrange(-300, 300)
        for hour in range(24 * (days + 2))
    )
    return Member(
        building,
        ThermalState(temp_micro=dice.randrange(20_600_000, 21_400_000), ambient_milli=ambient, forecast_ms=midnight_ms),
    )


def _washing(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    washer = Washer(esa_id=name, programme=dice.choice(PROGRAMMES), max_pause_s=dice.choice((0, 600)))
    events = []
    for day in range(days):
        loaded_ms = midnight_ms + day * DAY_MS + int(dice.gauss(17.8, 1.0) * HOUR_MS) // 60_000 * 60_000
        events.append(
            (
                loaded_ms,
                WasherState(
                    loaded=True,
                    begin_ms=loaded_ms + dice.randrange(30, 60) * 60_000,
                    end_latest_ms=midnight_ms + (day + 1) * DAY_MS + 6 * HOUR_MS,
                ),
            )
        )
    return Member(washer, WasherState(), tuple(events))


def _freezing(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    store = cold_store(
        name,
        rated_w=dice.randrange(250, 450, 10),
        capacity_j_per_k=dice.randrange(200_000, 500_000),
        loss_mw_per_k=dice.randrange(2_500, 4_500),
    )
    state = ThermalState(
        temp_micro=dice.randrange(-20_000_000, -19_000_000), ambient_milli=(18_000,), forecast_ms=midnight_ms
    )
    return Member(store, state)


def _roof(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    solar = Solar(esa_id=name, rated_w=dice.randrange(3_000, 9_000, 500))
    slots = [
        -solar.rated_w * SUN[quarter // 4 % 24] * dice.randrange(80, 100) // 10_000
        for quarter in range(96 * (days + 1))
    ]
    return Member(solar, SolarState(available=from_slots(slots, start_ms=midnight_ms, slot_ms=QUARTER_MS)))


def _battery(dice: random.Random, name: str, midnight_ms: int, days: int) -> Member:
    capacity_wh = dice.randrange(5_000, 13_000, 500)
    battery = Battery(
        esa_id=name,
        capacity_wh=capacity_wh,
        charge_w=capacity_wh // 2,
        discharge_w=capacity_wh // 2,
        floor_wh=capacity_wh // 10,
        wear_micro_per_kwh=30_000,
        currency="EUR",
    )
    return Member(battery, BatteryState(level_j=capacity_wh * 36 * dice.randrange(30, 80)))


def _base(dice: random.Random, midnight_ms: int, days: int) -> Timeline:
    scale = dice.randrange(60, 150)
    slots = [
        BASE_W[quarter // 4 % 24] * scale * dice.randrange(80, 120) // 10_000 for quarter in range(96 * (days + 1))
    ]
    return from_slots(slots, start_ms=midnight_ms, slot_ms=QUARTER_MS)
