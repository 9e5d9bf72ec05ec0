"""Standing alarms: what is wrong now, since when, and why. Derived each step; only `since` is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scowl_edge.capacity import ShedState
from scowl_edge.control.arbiter import Ruling
from scowl_edge.control.chronicle import note
from scowl_edge.control.entry import Entry, Stage
from scowl_edge.control.ledger import NOT_SENT
from scowl_edge.control.memory import Alarm, Memory
from scowl_edge.control.restraint import INTERLOCK_STALE, INTERLOCKED, SPENT
from scowl_edge.model.command import WriteClass
from scowl_edge.model.event import DeviceMode
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Actuator, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import Condition, Observation

LINK_DOWN = declare("link-down", "{}; {} devices behind it: {}")
MORE_LINKS = declare("more-links-down", "{} more links: {}; look at what they have in common: a switch, a cable, power")
LINK_SILENT = declare("link-silent", "it connects, but none of its {} devices answers: {}")
MORE_DEVICES = declare("more-devices-down", "{} more of its devices: {}")
DEVICE_DOWN = declare("device-down", "no answer: {}")
CONTESTED = declare("contested", "somebody else writes its {}; left alone after {} tries, wants {} but reads {}")
PULSE_LOST = declare(
    "pulse-lost", "its {} was set to {} once but reads {}; it is not repeated by itself: look, and order it again"
)
NO_EFFECT = declare("no-effect", "its {} reads {} as written, but its power does not follow")
REJECTED = declare("rejected", "it refuses to set its {} to {}")
DOUBT = declare("doubt", "it is not known whether its {} was written")
DOUBTS = declare("sheds-in-doubt", "{} devices that do not answer may or may not be shedding: {}")
OVER = declare("over-rating", "worst phase {} VA above its import limit")
OVER_EXPORT = declare("over-export", "worst phase {} VA above its export limit")
METER_STALE = declare("meter-stale", "its meter is not fresh; it counts as full both ways")
METERS_STALE = declare("meters-stale", "{} ratings count as full both ways, their meters are not fresh: {}")
STARVING = declare("starving", "{} consumers are disconnected, {:W} not served")
BLACKED_OUT = declare("blacked-out", "the tree is without power since it was over-loaded")
NOT_DURABLE = declare("journal-late", "the journal cannot be written in time; only safety commands leave before it")
CLOCK_UNSET = declare(
    "clock-unset", "the wall clock is not synchronised; schedules wait, times shown are not to be trusted"
)
OVERRULED = declare("conflict", "its {}: {}")
STEP_FAILED = declare(
    "step-failed", "a fault in the program: step failed {} times, last with {}; report it with the journal"
)
WORN = declare("wear-budget", "its {} cannot be set to {}: {}")
WITHHELD = declare("withheld", "its {} is not set to {}: {}")

FAILURE_SHOWN_MS = 3_600_000
"""How long a failed step stands as an alarm."""
SINGLY = 2
"""Links that are down, devices of one link, or stale meters that get an alarm of their own; more of them share one."""
HEARD_BY_MS = 5_000
"""After a link came up its devices have so long to answer before their silence is an alarm."""
REFUSALS_BORNE = 3
"""Times in a row that a driver may not send a command before that is an alarm."""
NAMED = 8
"""Names that one alarm lists."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is wrong in this step."""

    key: str
    source: str
    priority: str
    cause: Reason
    at_ms: int = -1
    """When it began, monotonic; -1: when this step began."""


def update(
    site: Site,
    memory: Memory,
    seen: Observation,
    rulings: Sequence[Ruling | None],
    tick: Tick,
    more: Iterable[Found] = (),
) -> None:
    """Brings the standing alarms up to date, and notes what was raised and what has gone; `more` is wrong as well."""
    current: dict[str, Found] = {}
    for found in (
        *_unreachable(site, memory, tick),
        *_of_commands(site, memory, rulings, tick),
        *_of_ratings(site, memory, seen),
        *_of_region(site, memory, tick),
        *more,
    ):
        current.setdefault(found.key, found)
    # Sorted: a restored memory has its keys in another order, and events are numbered.
    for key in sorted(k for k in memory.alarms if k not in current):
        gone = memory.alarms.pop(key)
        note(memory, tick, "alarm-cleared", key, gone.cause, priority=gone.priority)
    for key, found in current.items():
        standing = memory.alarms.get(key)
        if standing is not None:
            standing.priority, standing.cause = found.priority, found.cause
            continue
        memory.alarms[key] = Alarm(
            priority=found.priority,
            source=found.source,
            since_utc_ms=tick.utc_ms - (max(0, tick.mono_ms - found.at_ms) if found.at_ms >= 0 else 0),
            since_utc_ok=tick.utc_ok,
            cause=found.cause,
        )
        note(memory, tick, "alarm-raised", key, found.cause, priority=found.priority, at_ms=found.at_ms)


def names_of(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _unreachable(site: Site, memory: Memory, tick: Tick) -> Iterator[Found]:
    """Links and devices that do not answer: one alarm for one cause, however many devices share it."""
    situation = memory.situation
    behind: dict[str, list[int]] = {}
    for d, device in enumerate(site.devices):
        if situation.device_modes[d].mode != DeviceMode.OUT_OF_SERVICE:
            behind.setdefault(device.link, []).append(d)
    dead = sorted(
        (name for name, link in situation.links.items() if link.up is False),
        key=lambda name: (situation.links[name].changed_at, name),
    )
    for name in dead[:SINGLY] if len(dead) > SINGLY + 1 else dead:
        names = [site.devices[d].name for d in behind.get(name, ())]
        cause = Reason(LINK_DOWN, (situation.links[name].cause, len(names), names_of(names)))
        yield Found(f"link-down:{name}", name, "high", cause, situation.links[name].changed_at)
    if len(dead) > SINGLY + 1:
        rest = dead[SINGLY:]
        at_ms = situation.links[rest[0]].changed_at
        yield Found("more-links-down", "", "high", Reason(MORE_LINKS, (len(rest), names_of(rest))), at_ms)
    for link, devices in sorted(behind.items()):
        reopened = situation.links.get(link)
        just_up = reopened is not None and tick.mono_ms - reopened.changed_at < HEARD_BY_MS
        if link in dead or just_up:
            continue
        silent = sorted(
            (d for d in devices if situation.devices[d].up is False),
            key=lambda d: (situation.devices[d].changed_at, d),
        )
        names = [site.devices[d].name for d in silent]
        if len(silent) == len(devices) > 1:
            at_ms = situation.devices[silent[-1]].changed_at
            yield Found(f"link-silent:{link}", link, "high", Reason(LINK_SILENT, (len(silent), names_of(names))), at_ms)
            continue
        alone = silent[:SINGLY] if len(silent) > SINGLY + 1 else silent
        for d in alone:
            reach = situation.devices[d]
            cause = Reason(DEVICE_DOWN, (reach.cause,))
            yield Found(f"device-down:{site.devices[d].name}", site.devices[d].name, "high", cause, reach.changed_at)
        if len(silent) > len(alone):
            rest = names[len(alone) :]
            at_ms = situation.devices[silent[len(alone)]].changed_at
            cause = Reason(MORE_DEVICES, (len(rest), names_of(rest)))
            yield Found(f"more-devices-down:{link}", link, "high", cause, at_ms)


def _of_commands(site: Site, memory: Memory, rulings: Sequence[Ruling | None], tick: Tick) -> Iterator[Found]:
    """What stands in the way of a command. Of a device that does not answer nothing more is said."""
    situation = memory.situation
    for i, a in enumerate(site.actuators):
        e, name, ruling = memory.ledger[i], site.devices[a.device].name, rulings[i]
        held = ruling is not None and situation.device_modes[a.device].mode == DeviceMode.MANUAL
        if (situation.device_modes[a.device].mode != DeviceMode.AUTO and not held) or not _answers(memory, a.device):
            continue
        read = e.confirmed if e.confirmed is not None else -1
        if e.stage is Stage.CONTESTED and a.write_class is WriteClass.PULSE:
            yield Found(f"contested:{name}", name, "high", Reason(PULSE_LOST, (a.verb.value, e.written or 0, read)))
        elif e.stage is Stage.CONTESTED:
            cause = Reason(CONTESTED, (a.verb.value, site.policy.max_contests, e.target or 0, read))
            yield Found(f"contested:{name}", name, "high", cause)
        elif e.stage is Stage.NO_EFFECT:
            yield Found(f"no-effect:{name}", name, "medium", Reason(NO_EFFECT, (a.verb.value, read)))
        elif e.stage is Stage.REJECTED and tick.mono_ms < e.closed_until_at:
            yield Found(f"rejected:{name}", name, "low", Reason(REJECTED, (a.verb.value, e.written or 0)))
        elif e.stage in (Stage.IN_DOUBT, Stage.TIMED_OUT) and situation.devices[a.device].up:
            yield Found(f"in-doubt:{name}", name, "medium", Reason(DOUBT, (a.verb.value,)))
        yield from _kept_back(a, e, name)
        if ruling is not None and ruling.conflict is not None:
            cause = Reason(OVERRULED, (a.verb.value, str(ruling.conflict)))
            yield Found(f"conflict:{name}", name, "medium", cause)
    silent = []
    for c, shed in sorted(memory.book.sheds.items()):
        device = site.consumers[c].device
        name = site.devices[device].name
        if shed.state is ShedState.IN_DOUBT:
            if not _answers(memory, device):
                silent.append(name)
                continue
            yield Found(f"in-doubt:{name}", name, "high", Reason(DOUBT, ("shed",)))
        elif shed.failed and _answers(memory, device):
            yield Found(f"no-effect:{name}", name, "medium", Reason(NO_EFFECT, ("shed", shed.granted_w)))
    if len(silent) == 1:
        yield Found(f"in-doubt:{silent[0]}", silent[0], "high", Reason(DOUBT, ("shed",)))
    elif silent:
        yield Found("in-doubt", "", "high", Reason(DOUBTS, (len(silent), names_of(silent))))


def _kept_back(a: Actuator, e: Entry, name: str) -> Iterator[Found]:
    """A write that is wanted and does not go, unless it will soon."""
    why = e.kept_back
    if why is None or e.target is None:
        return
    args = (a.verb.value, e.target, str(why))
    if why.code == SPENT:
        yield Found(f"wear-budget:{name}", name, "high" if e.safety else "medium", Reason(WORN, args))
    elif why.code in (INTERLOCKED, INTERLOCK_STALE) or (why.code == NOT_SENT and e.withheld > REFUSALS_BORNE):
        yield Found(f"withheld:{name}", name, "medium" if e.safety else "low", Reason(WITHHELD, args))


def _answers(memory: Memory, device: int) -> bool:
    return memory.situation.devices[device].up is not False


def _of_ratings(site: Site, memory: Memory, seen: Observation) -> Iterator[Found]:
    """Ratings that are exceeded, and those of which nobody knows."""
    stale = []
    for r, rating in enumerate(site.ratings):
        over, over_export = seen.ratings.excess_import_va(r), seen.ratings.excess_export_va(r)
        if not seen.ratings.fresh[r]:
            if (rating.power != NONE or rating.currents[0] != NONE) and memory.region.settled:
                stale.append(rating.name)
        elif over > 0:
            yield Found(f"rating:{rating.name}", rating.name, "critical", Reason(OVER, (over,)))
        elif over_export > 0:
            yield Found(f"rating:{rating.name}", rating.name, "critical", Reason(OVER_EXPORT, (over_export,)))
    if len(stale) > SINGLY + 1:
        yield Found("meters-stale", "", "high", Reason(METERS_STALE, (len(stale), names_of(stale))))
        return
    for name in stale:
        yield Found(f"meter-stale:{name}", name, "high", Reason(METER_STALE))


def _of_region(site: Site, memory: Memory, tick: Tick) -> Iterator[Found]:
    """What concerns all: people without power, the journal, the clock, the program itself."""
    situation = memory.situation
    starved = [c for c in range(len(site.consumers)) if memory.region.condition[c] != Condition.SERVED]
    if starved:
        unserved = sum(memory.region.wanted_w[c] for c in starved)
        yield Found("starving", "", "critical", Reason(STARVING, (len(starved), unserved)))
    for g, generator in enumerate(site.generators):
        if memory.region.tree_blackout_at[g] >= 0:
            name = site.devices[generator.device].name
            yield Found(f"blackout:{name}", name, "critical", Reason(BLACKED_OUT), memory.region.tree_blackout_at[g])
    if situation.failed_at >= 0 and tick.mono_ms - situation.failed_at < FAILURE_SHOWN_MS:
        cause = Reason(STEP_FAILED, (situation.failed_steps, situation.failure))
        yield Found("step-failed", "", "critical", cause, situation.failed_at)
    if not tick.journal_ok:
        yield Found("journal", "", "critical", Reason(NOT_DURABLE))
    if not tick.utc_ok:
        yield Found("clock", "", "low", Reason(CLOCK_UNSET))
