"""What each party claims of each actuator in this step: the tracker's targets, what a device needs for its own
fail-safe, and what a stop leaves behind."""

from __future__ import annotations

from collections.abc import Sequence

from scowl_edge.capacity import ShedState
from scowl_edge.control.arbiter import Claim, Klass
from scowl_edge.control.entry import Entry, Stage
from scowl_edge.control.ledger import beat_ms
from scowl_edge.control.memory import Memory
from scowl_edge.model.command import GUARDS, Verb
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Actuator, BusKind, OnStop, Site
from scowl_edge.tracker import Condition, Observation, Tracker
from scowl_edge.tracker.steering import wished

RELEASE = declare("release", "the daemon stops; back to the value found at the first take-over")
RELEASE_WITHIN = declare(
    "release-within", "the daemon stops; the value found, {}, must not be written: as near as may be"
)
GUARD = declare("guard", "kept in the device, so that it falls back by itself when nobody commands it any more")
BEAT = declare("beat", "tells the device that it is commanded")
ORPHAN = declare("orphan", "it holds a shed that nobody here asked for")


def of_tracker(site: Site, memory: Memory, tracker: Tracker, seen: Observation) -> list[list[Claim]]:
    """Claims of the tracker, by actuator."""
    region = memory.region
    offered: list[list[Claim]] = [[] for _ in site.actuators]

    def claim(
        actuator: int, wish: int, klass: Klass, device: int, safety: bool = False, why: Reason | None = None
    ) -> None:
        if actuator != NONE:
            a = site.actuators[actuator]
            reason = why if why is not None else memory.reasons[device]
            offered[actuator].append(
                Claim(klass=klass, low=a.low, high=a.high, wish=wish, reason=reason, safety=safety)
            )

    def protects(*actuators: int) -> bool:
        return any(a != NONE and region.protective[a] for a in actuators)

    def kept_alive(actuator: int) -> bool:
        """A device that falls back by itself is told regularly that nothing is asked of it."""
        return actuator != NONE and site.actuators[actuator].heartbeat_ms > 0

    for gi, g in enumerate(site.generators):
        limit, setpoint, online = (
            region.generator_limit_w[gi],
            region.generator_setpoint_w[gi],
            region.generator_online[gi],
        )
        if wished(limit) or kept_alive(g.do_limit):
            limit = limit if wished(limit) else g.rated_w
            curtailed = limit < g.rated_w
            claim(g.do_limit, limit, Klass.SAFETY if curtailed else Klass.ECONOMY, g.device, protects(g.do_limit))
        if wished(online):
            claim(g.do_connect, online, Klass.ECONOMY, g.device, protects(g.do_connect, g.do_setpoint))
        if wished(setpoint):
            claim(g.do_setpoint, setpoint, Klass.ECONOMY, g.device, protects(g.do_connect, g.do_setpoint))
    for si, s in enumerate(site.storages):
        setpoint = region.storage_setpoint_w[si]
        if wished(setpoint):
            claim(s.do_setpoint, setpoint, Klass.ECONOMY, s.device, protects(s.do_setpoint))
            if s.do_mode != NONE:
                idle, charging, discharging, sleeping = s.modes
                asleep = region.storage_sleeping[si] and setpoint == 0
                mode = charging if setpoint > 0 else discharging if setpoint < 0 else sleeping if asleep else idle
                claim(s.do_mode, mode, Klass.ECONOMY, s.device, protects(s.do_setpoint))
    for ci, c in enumerate(site.consumers):
        shed = memory.book.sheds.get(ci)
        if c.do_shed != NONE:
            entry = memory.ledger[c.do_shed]
            if shed is not None:
                ending = shed.state is ShedState.ENDING or seen.now_ms >= shed.expires_at
                claim(c.do_shed, 0 if ending else shed.requested_w, Klass.SHED, c.device, safety=not ending)
            elif entry.written:
                claim(c.do_shed, 0, Klass.SHED, c.device)
            elif seen.fresh(c.shed_granted) and seen.value(c.shed_granted, 0) > 0:
                claim(c.do_shed, 0, Klass.SHED, c.device, why=Reason(ORPHAN))
        protected = c.klass == 0 or not c.interruptible
        starved = region.condition[ci] == Condition.STARVED and not protected
        if wished(region.consumer_limit_w[ci]) or kept_alive(c.do_limit):
            limit = region.consumer_limit_w[ci] if wished(region.consumer_limit_w[ci]) else c.rated_w
            limit = 0 if starved and c.do_connect == NONE else limit
            claim(c.do_limit, limit, Klass.SHED, c.device, safety=limit < c.rated_w)
        if wished(region.consumer_connect[ci]):
            claim(c.do_connect, region.consumer_connect[ci], Klass.SHED, c.device, safety=starved)
        # Whoever may not be cut off keeps the tree that it is on, even a dark one, until there is another.
        kept = protected and region.tree[ci] == NONE
        if c.do_supply != NONE and site.buses[c.bus].kind is BusKind.SEPARATE and not kept:
            claim(c.do_supply, tree_number(site, int(region.tree[ci])), Klass.ECONOMY, c.device)
    return offered


def tree_number(site: Site, tree: int) -> int:
    """The number that is written to `supply`; 0 = no tree."""
    if tree == NONE:
        return 0
    if tree < len(site.generators):
        return site.generators[tree].tree
    tree -= len(site.generators)
    return site.storages[tree].tree if tree < len(site.storages) else 0


def of_devices(site: Site, memory: Memory, seen: Observation, commanded: Sequence[bool]) -> list[list[Claim]]:
    """What a device needs for its own fail-safe while it is commanded: its value, its time-out, and a heartbeat.

    `commanded` is a flag a device. A heartbeat goes out even when the journal is late: it changes nothing in what a
    device does, and without it all devices would fall back because of one slow disk.
    """
    offered: list[list[Claim]] = [[] for _ in site.actuators]
    for i, a in enumerate(site.actuators):
        if not commanded[a.device]:
            continue
        if a.verb is Verb.HEARTBEAT:
            wish, why, safety = next_beat(a, memory.ledger[i], seen, site.policy.answer_ms), BEAT, True
        elif a.constant is not None:
            wish, why, safety = a.constant, GUARD, False
        else:
            continue
        offered[i].append(
            Claim(klass=Klass.SAFETY, low=a.low, high=a.high, wish=wish, reason=Reason(why), safety=safety)
        )
    return offered


def next_beat(a: Actuator, e: Entry, seen: Observation, answer_ms: int) -> int:
    """The number that a heartbeat shows now: the last one until it is time, then one that differs from it and from
    what the register holds."""
    last = e.target if e.target is not None else e.written
    failed = e.stage in (Stage.TIMED_OUT, Stage.REJECTED, Stage.IN_DOUBT)
    pace = min(beat_ms(a), answer_ms) if failed else beat_ms(a)
    if last is not None and (e.outstanding or (e.written == last and seen.now_ms - e.sent_at < pace)):
        return last
    held = seen.value(a.feedback, 0) if seen.known(a.feedback) else None
    number = last if last is not None else a.low if held is None else held
    for _ in range(2):
        number = number + 1 if a.low <= number < a.high else a.low
        if number != held:
            break
    return number


def on_stop(site: Site, memory: Memory) -> list[list[Claim]]:
    """What the configuration says that a stop leaves behind: hold (no claim), or the value first found.

    The fail-safe that was set in a device stays, and its heartbeat ends: it falls back by itself, whatever was left.
    """
    offered: list[list[Claim]] = [[] for _ in site.actuators]
    for i, a in enumerate(site.actuators):
        entry = memory.ledger[i]
        if a.verb in (*GUARDS, Verb.HEARTBEAT):
            continue
        if a.on_stop is not OnStop.RELEASE or (entry.written is None and entry.command is None):
            continue
        found = 0 if a.verb is Verb.SHED else entry.found
        if found is None:
            continue
        value = max(a.low, min(a.high, found))
        why = Reason(RELEASE) if value == found else Reason(RELEASE_WITHIN, (found,))
        offered[i].append(Claim(klass=Klass.SAFETY, low=a.low, high=a.high, wish=value, reason=why, safety=True))
    return offered


def lasts_ms(site: Site, memory: Memory, actuator: int, now_ms: int) -> int:
    """How long the device is told to hold a shed: what is left of it."""
    for ci, c in enumerate(site.consumers):
        if c.do_shed == actuator:
            shed = memory.book.sheds.get(ci)
            if shed is None:
                return 0
            left = max(0, shed.expires_at - now_ms)
            # Devices count whole seconds: rounded down, so that a raised shed does not outlast the deferral.
            return left // 1000 * 1000 if left >= 1000 else left
    return 0
