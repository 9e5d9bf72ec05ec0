"""Appliances of the demo's six homes: cars, heat pumps, washing machines and freezers that have something to do always.

Everything is small enough for a home's connection and short enough to be watched: a car comes within minutes, and
leaves within half an hour. `pace` stretches all of it, for a clock that runs fast.
"""

from __future__ import annotations

from scowl_edge.dsr.adapters import (
    Charger,
    ChargerState,
    ThermalState,
    Washer,
    WasherState,
    cold_store,
    heat_pump,
)
from simulators.appliances.households import Member

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAYS = 7
"""For how long cars come and machines are loaded."""
FAILSAFE_W = 2_500
"""Each of them may take this much when nobody is heard: none takes more."""
PROGRAMME = ((180, 1_900), (300, 150), (120, 1_700))
STAY_MIN, AWAY_MIN = 28, 5
NEEDS_WH = 500
"""Of each stay, in a battery; for each pace."""
WASH_EVERY_MIN = 25


def village(now_ms: int, pace: int = 1) -> dict[str, tuple[Member, ...]]:
    """Home -> its appliances, as they are at a time.

    Args:
        now_ms: UTC.
        pace: How many times longer everything takes that people do.
    """
    return {
        "home-1": (_heating("home-1", 21_400, now_ms), _freezer("home-1", now_ms)),
        "home-2": (_freezer("home-2", now_ms), _washing("home-2", 4, now_ms, pace)),
        "home-3": (_car("home-3", 1, now_ms, pace),),
        "home-4": (_car("home-4", 2, now_ms, pace), _freezer("home-4", now_ms)),
        "home-5": (_car("home-5", 0, now_ms, pace), _washing("home-5", 2, now_ms, pace)),
        "home-6": (_heating("home-6", 21_000, now_ms),),
    }


def _car(home: str, comes_min: int, now_ms: int, pace: int) -> Member:
    """It needs half of its stay at full power, or most of it at the least; and comes again soon after it left."""
    charger = Charger(esa_id=f"car-{home}", capacity_wh=40_000, phases=1, current_max_a=10)
    needs_wh = NEEDS_WH * pace
    minute_ms = pace * MINUTE_MS
    stays = []
    begin_ms = now_ms + comes_min * minute_ms
    while begin_ms < now_ms + DAYS * 24 * HOUR_MS:
        stay = ChargerState(
            level_j=(30_000 - needs_wh) * 3_600,
            target_wh=30_000,
            arrival_ms=begin_ms,
            departure_ms=begin_ms + STAY_MIN * minute_ms,
        )
        # Nobody knows of it before it is there.
        stays.append((begin_ms, stay))
        begin_ms += (STAY_MIN + AWAY_MIN) * minute_ms
    away = ChargerState(level_j=20_000 * 3_600, target_wh=0, arrival_ms=now_ms, departure_ms=now_ms)
    return Member(charger, away, tuple(stays))


def _washing(home: str, loaded_min: int, now_ms: int, pace: int) -> Member:
    minute_ms = pace * MINUTE_MS
    washer = Washer(esa_id=f"washer-{home}", programme=tuple((pace * s, w) for s, w in PROGRAMME), max_pause_s=0)
    loads = []
    begin_ms = now_ms + loaded_min * minute_ms
    while begin_ms < now_ms + DAYS * 24 * HOUR_MS:
        load = WasherState(
            loaded=True, begin_ms=begin_ms + 3 * minute_ms, end_latest_ms=begin_ms + (WASH_EVERY_MIN - 2) * minute_ms
        )
        loads.append((begin_ms, load))
        begin_ms += WASH_EVERY_MIN * minute_ms
    return Member(washer, WasherState(), tuple(loads))


def _heating(home: str, milli: int, now_ms: int) -> Member:
    pump = heat_pump(f"heating-{home}", rated_w=1_600, capacity_j_per_k=3_000_000, loss_w_per_k=150)
    return Member(pump, ThermalState(temp_micro=1_000 * milli, ambient_milli=(2_000,), forecast_ms=now_ms))


def _freezer(home: str, now_ms: int) -> Member:
    store = cold_store(f"freezer-{home}", rated_w=300, capacity_j_per_k=100_000, loss_mw_per_k=4_000)
    return Member(store, ThermalState(temp_micro=-19_500_000, ambient_milli=(18_000,), forecast_ms=now_ms))
