"""What people ordered: taken in, ended when its time is over, and offered to the arbiter as claims."""

from __future__ import annotations

from scowl_edge.capacity import ShedState
from scowl_edge.capacity.ratings import Member
from scowl_edge.control.arbiter import Claim, Klass
from scowl_edge.control.chronicle import note
from scowl_edge.control.memory import Held, Memory, ModeState, Word
from scowl_edge.model.command import Verb
from scowl_edge.model.event import AlarmAction, AlarmOrder, DeviceMode, Rank, ValueOrder, Veto
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Actuator, Consumer, Generator, Site, Storage
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import Observation

HELD = declare("held", "{} held at {} by {}: {}")
BACK = declare("value-back", "{} no longer held at a value, by {}: {}")
VETOED = declare("vetoed", "not to be made use of, by {}: {}")
VETO_LIFTED = declare("veto-lifted", "may be made use of again, by {}: {}")
TIME_OVER = declare("time-over", "the time of {} by {} is over")
BEYOND = declare("beyond", "{} by {} has ended: under this configuration only {} to {} can be ordered")
ACKNOWLEDGED = declare("acknowledged", "acknowledged by {}: {}")
SHELVED = declare("shelved", "shelved by {}: {}")
UNSHELVED = declare("unshelved", "no longer shelved, by {}: {}")
NOT_ORDERABLE = declare("not-orderable", "{} cannot be ordered here: {}")
ROOM_LEFT = declare("room-left", "what is left below the ratings above it")

ORDERABLE = {
    Rank.OPERATOR: (Verb.LIMIT, Verb.SETPOINT, Verb.CONNECT, Verb.SHED),
    Rank.USER: (Verb.LIMIT, Verb.SETPOINT),
}
"""What a person may set to a value. Trees are given by the region, modes of stores follow their setpoint; a user who
wants to stay connected gives a veto."""


def take_value(site: Site, memory: Memory, event: ValueOrder, tick: Tick) -> int:
    """Takes in a value; returns the device, NONE where it does not fit the site."""
    device = next((i for i, d in enumerate(site.devices) if d.name == event.device), NONE)
    actuator = next((i for i, a in enumerate(site.actuators) if a.device == device and a.verb == event.verb), NONE)
    if actuator == NONE or site.actuators[actuator].verb not in ORDERABLE[event.rank]:
        text = Reason(NOT_ORDERABLE, (event.verb, f"not of {event.device} by the {event.rank.value}"))
        note(memory, tick, "order", event.device, text, who=event.who)
        return NONE
    if event.value is not None and memory.situation.device_modes[device].mode == DeviceMode.OUT_OF_SERVICE:
        # Somebody may work on it: it must be taken back into service first, knowingly.
        text = Reason(NOT_ORDERABLE, (event.verb, f"{event.device} is out of service"))
        note(memory, tick, "order", event.device, text, who=event.who)
        return NONE
    a, people = site.actuators[actuator], memory.people
    held = people.operator if event.rank is Rank.OPERATOR else people.user
    if event.value is None:
        _let_go(site, memory, actuator, held.pop(actuator, None))
        text = Reason(BACK, (event.verb, event.who, event.why))
    elif not a.low <= event.value <= a.high:
        why = f"{event.value} is outside of {a.low} to {a.high}"
        note(memory, tick, "order", event.device, Reason(NOT_ORDERABLE, (event.verb, why)), who=event.who)
        return NONE
    else:
        value = event.value
        held[actuator] = Held(value=value, word=_word(event.who, event.why, event.until_utc_ms, tick))
        text = Reason(HELD, (event.verb, value, event.who, event.why))
        if event.rank is Rank.OPERATOR:
            memory.situation.device_modes[device] = ModeState(
                mode=DeviceMode.MANUAL.value, who=event.who, why=event.why, until_utc_ms=event.until_utc_ms
            )
    note(memory, tick, "order", event.device, text, who=event.who)
    return device


def take_veto(site: Site, memory: Memory, event: Veto, tick: Tick) -> None:
    """Takes in a veto, and ends the shed that it is against."""
    device = next((i for i, d in enumerate(site.devices) if d.name == event.device), NONE)
    consumer = next((i for i, c in enumerate(site.consumers) if c.device == device), NONE)
    store = any(s.device == device for s in site.storages)
    if device == NONE or (consumer == NONE and not store):
        text = Reason(NOT_ORDERABLE, ("a veto", f"{event.device} is neither a consumer nor a store"))
    elif event.active:
        memory.people.vetoes[device] = _word(event.who, event.why, event.until_utc_ms, tick)
        text = Reason(VETOED, (event.who, event.why))
    else:
        memory.people.vetoes.pop(device, None)
        text = Reason(VETO_LIFTED, (event.who, event.why))
    note(memory, tick, "order", event.device, text, who=event.who)


def take_alarm_order(memory: Memory, event: AlarmOrder, tick: Tick) -> None:
    """Takes in what somebody did to an alarm."""
    alarm, people = memory.alarms.get(event.key), memory.people
    if event.action is AlarmAction.UNSHELVE:
        if people.shelved.pop(event.key, None) is None:
            return
        kind, text = "alarm-unshelved", Reason(UNSHELVED, (event.who, event.why))
    elif alarm is None:
        return
    elif event.action is AlarmAction.SHELVE:
        people.shelved[event.key] = _word(event.who, event.why, event.until_utc_ms, tick)
        kind, text = "alarm-shelved", Reason(SHELVED, (event.who, event.why))
    else:
        alarm.acknowledged_by, alarm.acknowledged_why = event.who, event.why
        alarm.acknowledged_utc_ms = tick.utc_ms
        kind, text = "alarm-acknowledged", Reason(ACKNOWLEDGED, (event.who, event.why))
    priority = alarm.priority if alarm is not None else ""
    note(memory, tick, kind, event.key, text, priority=priority, who=event.who)


def _let_go(site: Site, memory: Memory, actuator: int, held: Held | None) -> None:
    """A limit that nobody holds any more is the region's to raise, as room allows."""
    a, region = site.actuators[actuator], memory.region
    if held is None or a.verb is not Verb.LIMIT:
        return
    for g, gen in enumerate(site.generators):
        if gen.do_limit == actuator and held.value < gen.rated_w:
            region.generator_limit_w[g] = held.value
    for c, con in enumerate(site.consumers):
        if con.do_limit == actuator and held.value < con.rated_w:
            region.consumer_limit_w[c] = held.value


def _word(who: str, why: str, until_utc_ms: int, tick: Tick) -> Word:
    until_at = tick.mono_ms + max(0, until_utc_ms - tick.utc_ms) if until_utc_ms else -1
    return Word(who=who, why=why, until_utc_ms=until_utc_ms, until_at=until_at)


def mode_changed(site: Site, memory: Memory, device: int) -> None:
    """An operator's values end with the MANUAL that they were given in."""
    if memory.situation.device_modes[device].mode != DeviceMode.MANUAL:
        for actuator in [i for i in memory.people.operator if site.actuators[i].device == device]:
            del memory.people.operator[actuator]


def due(site: Site, memory: Memory, tick: Tick) -> None:
    """Ends what has lasted as long as it was to."""
    people = memory.people

    def over(word: Word, device: str, what: str) -> bool:
        if not 0 <= word.until_at <= tick.mono_ms:
            return False
        note(memory, tick, "order-ended", device, Reason(TIME_OVER, (what, word.who)), who=word.who)
        return True

    for held in (people.operator, people.user):
        for i in sorted(held):
            a = site.actuators[i]
            name, what = site.devices[a.device].name, f"{a.verb.value} at {held[i].value}"
            if not a.low <= held[i].value <= a.high:
                text = Reason(BEYOND, (what, held[i].word.who, a.low, a.high))
                note(memory, tick, "order-ended", name, text, who=held.pop(i).word.who)
            elif over(held[i].word, name, what):
                _let_go(site, memory, i, held.pop(i))
    for device in sorted(people.vetoes):
        if over(people.vetoes[device], site.devices[device].name, "the veto"):
            del people.vetoes[device]
    for key in sorted(people.shelved):
        if 0 <= people.shelved[key].until_at <= tick.mono_ms:
            note(memory, tick, "alarm-unshelved", key, Reason(TIME_OVER, ("shelving", people.shelved[key].who)))
            del people.shelved[key]


def end_vetoed_sheds(site: Site, memory: Memory, now_ms: int) -> None:
    """What a vetoed consumer gave up is its own again; it comes back whole."""
    for c, con in enumerate(site.consumers):
        shed = memory.book.sheds.get(c)
        if shed is None or con.device not in memory.people.vetoes or shed.state is ShedState.ENDING:
            continue
        shed.state, shed.requested_w, shed.granted_w = ShedState.ENDING, 0, 0
        shed.answer_by_at = now_ms + site.policy.answer_ms
        if con.do_shed == NONE:
            memory.region.consumer_limit_w[c] = con.rated_w


def held_actuators(site: Site, memory: Memory) -> frozenset[int]:
    """Actuators in AUTO that the region cannot count on: a user holds them, or a vetoed store rests."""
    resting = {
        a for s in site.storages if s.device in memory.people.vetoes for a in (s.do_setpoint, s.do_mode) if a != NONE
    }
    return frozenset(memory.people.user) | resting


def offered(site: Site, memory: Memory, seen: Observation, actuator: int) -> list[Claim]:
    """The claims of people on one actuator, and the envelope that the ratings leave them."""
    a, people = site.actuators[actuator], memory.people
    manual = memory.situation.device_modes[a.device].mode == DeviceMode.MANUAL
    held = (people.operator if manual else people.user).get(actuator)
    klass = Klass.OPERATOR if manual else Klass.USER
    if held is None:
        if manual or a.verb is not Verb.SETPOINT or not _is_resting(site, memory, a):
            return []
        return [_wish(a, klass, 0, people.vetoes[a.device])]
    claims = [_wish(a, klass, held.value, held.word)]
    most_w = _bound_w(site, seen, a, held)
    if most_w is not None and most_w < abs(held.value):
        low, high = (-most_w, a.high) if held.value < 0 else (a.low, most_w)
        claims.append(Claim(klass=Klass.SAFETY, low=low, high=high, wish=None, reason=Reason(ROOM_LEFT)))
    return claims


def _wish(a: Actuator, klass: Klass, value: int, word: Word) -> Claim:
    reason = Reason(HELD, (a.verb.value, value, word.who, word.why))
    return Claim(klass=klass, low=a.low, high=a.high, wish=value, reason=reason)


def _is_resting(site: Site, memory: Memory, a: Actuator) -> bool:
    return a.device in memory.people.vetoes and any(s.device == a.device for s in site.storages)


def _bound_w(site: Site, seen: Observation, a: Actuator, held: Held) -> int | None:
    """Magnitude in W that the ratings above leave of an ordered value; None where they do not bound it.

    At first what flows already and the room beside it. Later it grows step by step into room that appears, and is taken
    back where a rating stays exceeded although everybody of a lower class had time to give way. Meters are not read
    together, so each change waits until all of them have seen the last one.
    """
    peers: tuple[Generator | Consumer | Storage, ...] = (*site.generators, *site.consumers, *site.storages)
    peer = next((p for p in peers if p.device == a.device), None)
    if peer is None or peer.rating == NONE or a.verb not in (Verb.LIMIT, Verb.SETPOINT):
        return None
    now, policy, wish_w = seen.now_ms, site.policy, abs(held.value)
    member = Member(peer.device, peer.phases, peer.power_factor_ppm)
    gives = isinstance(peer, Generator) or held.value < 0
    room = seen.ratings.room_export_w(peer.rating, member) if gives else seen.ratings.room_import_w(peer.rating, member)
    flow_w = max(0, -seen.net_w(a.device) if gives else seen.net_w(a.device))
    held.over_at = -1 if room >= 0 else held.over_at if held.over_at >= 0 else now
    if held.bound_w is None:
        held.bound_w, held.bound_at = min(wish_w, max(0, flow_w + room)), now
        return held.bound_w
    travel = abs(a.high - a.low) * 1000 // a.ramp_w_s if a.ramp_w_s else 0
    poll = site.signals[a.effect].fresh_ms if a.effect != NONE else 0
    if now - held.bound_at < a.settle_ms + travel + poll + policy.answer_ms:
        return held.bound_w
    if room < 0 and now - held.over_at >= policy.ride_through_ms + 2 * policy.answer_ms:
        held.bound_w, held.bound_at = max(0, min(held.bound_w, flow_w) + room), now
    elif held.bound_w < wish_w and room > policy.dead_band_w:
        if room >= wish_w - flow_w:
            held.bound_w, held.bound_at = wish_w, now
        elif flow_w >= held.bound_w - max(1, a.tolerance):
            held.bound_w, held.bound_at = held.bound_w + min(room, policy.restore_step_w), now
    return held.bound_w


def adopt(site: Site, memory: Memory, old_site: Site, old: Memory) -> None:
    """Carries over from another configuration what has a name in both; `due` ends what is no longer possible."""
    places = {(site.devices[a.device].name, a.verb): i for i, a in enumerate(site.actuators)}
    values = ((old.people.operator, memory.people.operator), (old.people.user, memory.people.user))
    for before, now in values:
        for i, held in before.items():
            a = old_site.actuators[i]
            place = places.get((old_site.devices[a.device].name, a.verb))
            if place is not None:
                now[place] = Held(value=held.value, word=held.word)
    devices = {d.name: i for i, d in enumerate(site.devices)}
    for d, word in old.people.vetoes.items():
        if (place := devices.get(old_site.devices[d].name)) is not None:
            memory.people.vetoes[place] = word
    memory.people.shelved.update(old.people.shelved)
