"""Faults drawn from a seed: what goes wrong, when, for how long. The plan is data; `region.py` carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulators.world.schedule import mix

MINUTE_MS = 60_000


class Trouble(StrEnum):
    """Every kind of fault. The value is what people read."""

    # On the network.
    LOSS = "messages are lost"
    DELAY = "messages are delayed"
    DOUBLE = "messages come twice"
    REORDER = "messages overtake each other"
    PARTITION = "a gateway is cut off"
    BLACKOUT_OF_WORDS = "all gateways are cut off"
    # At the meters.
    FROZEN = "a meter tells the same value for ever"
    OVER = "a meter tells more than the nameplate"
    NEGATIVE = "a consumer tells that it produces"
    ABSURD = "a meter tells the end of its type"
    NAN = "a meter tells that it has no number"
    TORN = "a message is cut short"
    STRANGER = "a message names places that nobody has"
    OLD = "an old message is sent again"
    PLANT_SILENT = "a plant's meter is silent"
    PLANT_LIES = "a plant tells more than it is rated for, or less than nothing"
    # Among the peers.
    JOIN = "a peer joins"
    LEAVE = "a peer leaves"
    TWIN = "a second peer comes with an identity that is taken"
    BURST = "very many join at once"
    FORGETS = "a group of peers forgets its assignment"
    # In the plants and the weather.
    TRIP = "a plant trips"
    TRIPS = "several plants trip at once"
    CALM = "the wind drops"
    SHORT = "all plants give less"
    SURGE = "everybody wants more"
    # At the tracker.
    CRASH = "the tracker dies at a boundary of its journal"
    CRASH_TWICE = "the tracker dies again while it starts"
    REBOOT = "the machine starts anew, and its monotonic clock with it"
    LATE_DISK = "the disk is late"
    FULL_DISK = "the journal takes nothing"
    TORN_SNAPSHOT = "the last snapshot is damaged"
    CLOCK_AHEAD = "the wall clock steps ahead"
    CLOCK_BACK = "the wall clock steps back"
    CLOCK_LOST = "the wall clock is not synchronised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    at_ms: int
    kind: Trouble
    draw: int
    """32 random bits: whom it meets, how hard."""
    lasts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a kind comes in bad times, and how long one lasts, both in minutes."""

    every: int
    lasts: int = 0


RATES: dict[Trouble, Rate] = {
    Trouble.LOSS: Rate(every=150, lasts=20),
    Trouble.DELAY: Rate(every=150, lasts=15),
    Trouble.DOUBLE: Rate(every=150, lasts=20),
    Trouble.REORDER: Rate(every=150, lasts=20),
    Trouble.PARTITION: Rate(every=120, lasts=12),
    Trouble.BLACKOUT_OF_WORDS: Rate(every=500, lasts=6),
    Trouble.FROZEN: Rate(every=120, lasts=40),
    Trouble.OVER: Rate(every=120, lasts=20),
    Trouble.NEGATIVE: Rate(every=120, lasts=20),
    Trouble.ABSURD: Rate(every=120, lasts=10),
    Trouble.NAN: Rate(every=120, lasts=10),
    Trouble.TORN: Rate(every=120),
    Trouble.STRANGER: Rate(every=120),
    Trouble.OLD: Rate(every=120),
    Trouble.PLANT_SILENT: Rate(every=120, lasts=12),
    Trouble.PLANT_LIES: Rate(every=200, lasts=4),
    Trouble.JOIN: Rate(every=60),
    Trouble.LEAVE: Rate(every=60),
    Trouble.TWIN: Rate(every=200),
    Trouble.BURST: Rate(every=400, lasts=60),
    Trouble.FORGETS: Rate(every=150),
    Trouble.TRIP: Rate(every=60, lasts=20),
    Trouble.TRIPS: Rate(every=300, lasts=15),
    Trouble.CALM: Rate(every=300, lasts=40),
    Trouble.SHORT: Rate(every=240, lasts=25),
    Trouble.SURGE: Rate(every=240, lasts=20),
    Trouble.CRASH: Rate(every=70),
    Trouble.CRASH_TWICE: Rate(every=400),
    Trouble.REBOOT: Rate(every=400),
    Trouble.LATE_DISK: Rate(every=200, lasts=4),
    Trouble.FULL_DISK: Rate(every=400, lasts=2),
    Trouble.TORN_SNAPSHOT: Rate(every=500),
    Trouble.CLOCK_AHEAD: Rate(every=300),
    Trouble.CLOCK_BACK: Rate(every=300),
    Trouble.CLOCK_LOST: Rate(every=300, lasts=30),
}
"""All kinds."""


def draw_faults(seed: int, begin_ms: int, end_ms: int) -> list[Fault]:
    """All faults between two times, in order; none lasts beyond the end. The same seed gives the same faults."""
    faults: list[Fault] = []
    for number, (kind, rate) in enumerate(RATES.items()):
        mean = rate.every * MINUTE_MS
        # The first one is as likely at any time of its mean distance; later ones half to one and a half apart.
        at, count = begin_ms + mix(seed, number, 0) % mean, 0
        while at < end_ms:
            draw = mix(seed, number, count, 1)
            lasts = rate.lasts * MINUTE_MS
            lasts = min(lasts // 2 + draw % (lasts + 1), end_ms - at)
            faults.append(Fault(at_ms=at, kind=kind, draw=draw, lasts_ms=lasts))
            count += 1
            at += mean // 2 + mix(seed, number, count, 2) % mean
    faults.sort(key=lambda f: (f.at_ms, f.kind))
    return faults
