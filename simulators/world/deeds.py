"""How each kind of fault is done to a region. A deed gives what ends it, if it lasts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scowl_edge.model.batch import ROWS, BatchKind
from simulators.world.joining import Comer
from simulators.world.mail import CALM_DELAY_MS
from simulators.world.peers import Lie
from simulators.world.region import GATEWAYS, STATIONS, Region
from simulators.world.schedule import mix
from simulators.world.trouble import Fault, Trouble

_WEATHERS = {
    Trouble.LOSS: ("loss_ppm", 0),
    Trouble.DELAY: ("delay_ms", CALM_DELAY_MS),
    Trouble.DOUBLE: ("double_ppm", 0),
    Trouble.REORDER: ("late_ppm", 0),
}
Undo = Callable[[], None] | None
Deed = Callable[[Region, Fault], Undo]


def _network(region: Region, fault: Fault) -> Undo:
    """One kind of bad weather on all lines, or on every third."""
    lines = [line for i, line in enumerate(region.mail.lines) if fault.draw % 2 or i % 3 == fault.draw % 3]
    name, calm = _WEATHERS[fault.kind]
    hard = 2_000 + fault.draw % 40_000 if fault.kind is Trouble.DELAY else 20_000 + fault.draw % 300_000
    for line in lines:
        setattr(line, name, hard)

    def undo() -> None:
        for line in lines:
            setattr(line, name, calm)

    return undo


def _partition(region: Region, fault: Fault) -> Undo:
    until = region.schedule.now_ms + fault.lasts_ms
    lines = region.mail.lines
    every = fault.kind is Trouble.BLACKOUT_OF_WORDS
    for line in lines if every else [lines[fault.draw % len(lines)]]:
        line.cut_until_ms = max(line.cut_until_ms, until)
    return None


_LIES = {
    Trouble.FROZEN: Lie.FROZEN,
    Trouble.OVER: Lie.OVER,
    Trouble.NEGATIVE: Lie.NEGATIVE,
    Trouble.ABSURD: Lie.ABSURD,
    Trouble.NAN: Lie.NAN,
}


def _lie(region: Region, fault: Fault) -> Undo:
    """One meter, or as many as every fortieth, goes wrong."""
    lie = region.peers.lie
    who = np.flatnonzero(region.peers.present)
    liars = who[fault.draw % len(who) :: 40] if fault.draw % 5 == 0 else who[fault.draw % len(who) :][:1]
    lie[liars] = _LIES[fault.kind]

    def undo() -> None:
        lie[liars] = Lie.NONE

    return undo


def _torn(region: Region, fault: Fault) -> Undo:
    line = fault.draw % (region.peers.gateways - 1)
    region.send(line, BatchKind.DEMAND, region.peers.report(line, 0)[: -1 - fault.draw % 7])
    return None


def _stranger(region: Region, fault: Fault) -> Undo:
    gateways = region.peers.gateways
    line = fault.draw % (gateways + STATIONS)
    numbers = [2**32 - 1, region.peers.slots, region.peers.slots + region.peers.feeds, region.trees, 2**31]
    kind = BatchKind.OUTPUT if line >= gateways else BatchKind.FEED if line == gateways - 1 else BatchKind.DEMAND
    rows = np.zeros(len(numbers), ROWS[kind])
    names = ROWS[kind].names
    assert names is not None
    rows[names[0]], rows["value"] = numbers, 777
    region.send(line, kind, rows.tobytes())
    return None


def _old(region: Region, fault: Fault) -> Undo:
    if region.kept:
        line, kind, sender, sequence, rows = region.kept[fault.draw % len(region.kept)]
        region.post(line, kind, sender, sequence, rows)
    return None


def _plant_silent(region: Region, fault: Fault) -> Undo:
    region.silent_plants[fault.draw % region.trees] = region.schedule.now_ms + fault.lasts_ms
    return None


def _plant_lies(region: Region, fault: Fault) -> Undo:
    region.lying_plants[fault.draw % region.trees] = region.schedule.now_ms + fault.lasts_ms
    return None


def _forgets(region: Region, fault: Fault) -> Undo:
    """Devices that lost their power know no tree afterwards, and say so."""
    region.peers.forget(fault.draw % (len(region.peers.block_start) - 1))
    return None


def _newcomer(region: Region, draw: int) -> Comer:
    zone, klass = region.seats[mix(draw, 1) % len(region.seats)]
    return Comer(
        identity=(mix(draw, 2) << 30 | mix(draw, 3), mix(draw, region.schedule.now_ms) << 30 | mix(draw, 4)),
        zone=zone,
        klass=klass,
        nominal=1 + mix(draw, 5) % region.small,
        gateway=mix(draw, 6) % GATEWAYS,
        asked_ms=region.schedule.now_ms,
    )


def _join(region: Region, fault: Fault) -> Undo:
    """One comes; or very many, who go again after a while."""
    count = 60 if fault.kind is Trouble.BURST else 1
    comers = [_newcomer(region, mix(fault.draw, k)) for k in range(count)]
    for comer in comers:
        region.joining.ask(comer)
    if fault.kind is not Trouble.BURST:
        return None

    def undo() -> None:
        for comer in comers:
            if comer.identity in region.joining.members:
                region.joining.leave(comer.identity, comer.gateway, region.schedule.now_ms)

    return undo


def _twin(region: Region, fault: Fault) -> Undo:
    # Half of them under that of a newcomer: who was there from the start came through no gateway.
    known = (fault.draw & 1 and region.joining.newcomers) or list(region.joining.members)
    region.joining.twin(known[fault.draw % len(known)], _newcomer(region, fault.draw))
    return None


def _leave(region: Region, fault: Fault) -> Undo:
    known = list(region.joining.members)
    region.joining.leave(known[fault.draw % len(known)], fault.draw % GATEWAYS, region.schedule.now_ms)
    return None


def _trip(region: Region, fault: Fault) -> Undo:
    count = 1 if fault.kind is Trouble.TRIP else 3
    for k in range(count):
        tree = mix(fault.draw, k) % region.trees
        region.plants.trip(tree, region.schedule.now_ms, fault.lasts_ms)
        region.tell_output(tree % STATIONS)
    return None


def _calm(region: Region, fault: Fault) -> Undo:
    region.plants.calm_until_ms = region.schedule.now_ms + fault.lasts_ms
    return None


def _short(region: Region, fault: Fault) -> Undo:
    region.plants.short_until_ms = region.schedule.now_ms + fault.lasts_ms
    region.plants.short_ppm = 50_000 + fault.draw % 400_000
    return None


def _surge(region: Region, fault: Fault) -> Undo:
    region.peers.level_ppm = 1_100_000 + fault.draw % 300_000

    def undo() -> None:
        region.peers.level_ppm = 1_000_000

    return undo


def _crash(region: Region, fault: Fault) -> Undo:
    region.tracker.die_after(fault.draw % 12, fault.draw >> 8, 500 + fault.draw % 30_000)
    return None


def _crash_twice(region: Region, fault: Fault) -> Undo:
    region.tracker.die_starting = True
    return _crash(region, fault)


def _reboot(region: Region, fault: Fault) -> Undo:
    """The machine's monotonic clock begins anew, while nothing of the tracker runs."""
    region.tracker.reboot(fault.draw % 5_000 + 1_000, 20_000 + fault.draw % 40_000)
    return None


def _late_disk(region: Region, fault: Fault) -> Undo:
    region.tracker.late_until_ms = region.schedule.now_ms + fault.lasts_ms
    return None


def _full_disk(region: Region, fault: Fault) -> Undo:
    region.tracker.full_until_ms = region.schedule.now_ms + fault.lasts_ms
    return None


def _torn_snapshot(region: Region, fault: Fault) -> Undo:
    region.tracker.tear_next = True
    return _crash(region, fault)


def _clock(region: Region, fault: Fault) -> Undo:
    tracker = region.tracker
    if fault.kind is Trouble.CLOCK_LOST:
        tracker.utc_ok = False

        def undo() -> None:
            tracker.utc_ok = True

        return undo
    step = 1_000 + fault.draw % 7_200_000
    tracker.utc_shift_ms += step if fault.kind is Trouble.CLOCK_AHEAD else -step
    return None


DEEDS: dict[Trouble, Deed] = {
    **dict.fromkeys(_WEATHERS, _network),
    **dict.fromkeys((Trouble.PARTITION, Trouble.BLACKOUT_OF_WORDS), _partition),
    **dict.fromkeys(_LIES, _lie),
    Trouble.TORN: _torn,
    Trouble.STRANGER: _stranger,
    Trouble.OLD: _old,
    Trouble.PLANT_SILENT: _plant_silent,
    Trouble.PLANT_LIES: _plant_lies,
    Trouble.FORGETS: _forgets,
    **dict.fromkeys((Trouble.JOIN, Trouble.BURST), _join),
    Trouble.TWIN: _twin,
    Trouble.LEAVE: _leave,
    **dict.fromkeys((Trouble.TRIP, Trouble.TRIPS), _trip),
    Trouble.CALM: _calm,
    Trouble.SHORT: _short,
    Trouble.SURGE: _surge,
    Trouble.CRASH: _crash,
    Trouble.CRASH_TWICE: _crash_twice,
    Trouble.REBOOT: _reboot,
    Trouble.LATE_DISK: _late_disk,
    Trouble.FULL_DISK: _full_disk,
    Trouble.TORN_SNAPSHOT: _torn_snapshot,
    **dict.fromkeys((Trouble.CLOCK_AHEAD, Trouble.CLOCK_BACK, Trouble.CLOCK_LOST), _clock),
}
"""One deed for each kind."""


def befall(region: Region, fault: Fault) -> None:
    """A fault happens now, and ends when its time is over."""
    undo = DEEDS[fault.kind](region, fault)
    region.faults[fault.kind.name] += 1
    if undo is not None:
        region.schedule.at(region.schedule.now_ms + fault.lasts_ms, undo)
