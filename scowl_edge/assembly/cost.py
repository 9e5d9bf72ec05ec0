"""What a configuration asks of its links, and how fast it can react: worked out, no device is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.devices.declaration import DeviceLink, ModbusDevice, ModbusLink, OpcuaDevice, OpcuaLink
from scowl_edge.drivers.modbus.link import link_cost
from scowl_edge.model.command import Verb
from scowl_edge.model.site import NONE, Actuator, Consumer, Generator, Site, Storage

ROUND_TRIP_MS = 20.0
"""Assumed time from a request to its reply: on a network in all (a line behind a gateway takes more), on a serial line
beside the frames' own time, which is worked out."""


class Term(NamedTuple):
    """One part of a time."""

    what: str
    ms: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """From the moment a rating is exceeded until it is seen that it no longer is, all units answering."""

    rating: str
    terms: tuple[Term, ...]
    controllable: bool
    """Whether anything below the rating can be commanded; else the terms only cover detection."""

    @property
    def total_ms(self) -> int:
        """Sum of the terms."""
        return sum(term.ms for term in self.terms)


def cost_lines(assembly: Assembly, *, round_trip_ms: float = ROUND_TRIP_MS) -> Iterator[str]:
    """The text of `check --cost`: a line a link, a line a rating."""
    for link in assembly.links:
        yield _link_line(link, round_trip_ms)
    for rating in assembly.site.ratings:
        yield reaction_line(reaction_ms(assembly, rating.name))


def _link_line(link: DeviceLink, round_trip_ms: float) -> str:
    return _opcua_line(link, round_trip_ms) if isinstance(link, OpcuaLink) else _modbus_line(link, round_trip_ms)


def _opcua_line(link: OpcuaLink, round_trip_ms: float) -> str:
    cost = opcua_cost(link, reply_ms=round_trip_ms)
    read = f"{cost.requests_per_s:.4g} requests a second, load {100 * cost.load_fraction:.3g} %"
    asked = f"at most {read} while all of them are silent" if link.subscribe else f"{read} by list reads"
    nodes = f"{cost.items} node{'' if cost.items == 1 else 's'}{' subscribed to' if link.subscribe else ''}"
    if cost.sessions > 1:
        nodes += f" in at least {cost.sessions} sessions"
    return (
        f"link {link.name}: {nodes}, {asked}, at "
        f"{round_trip_ms:g} ms a request, a silent server delays its devices by at most {seconds(cost.worst_delay_ms)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaCost:
    """What a session is asked to do, from its link's declaration alone."""

    items: int
    """Nodes that are subscribed to, or read each poll; elements of one array count once."""
    sessions: int
    """Fewest sessions that hold them; some more where devices do not fit beside each other."""
    requests_per_s: float
    """List reads when every value has to be asked for: no subscription, or a silent one."""
    load_fraction: float
    """Share of the time in which such a read is under way when every reply takes `reply_ms`."""
    worst_delay_ms: int
    """Until a server that stays silent is taken for down: one time-out; its devices wait for nobody else."""


def opcua_cost(link: OpcuaLink, *, reply_ms: float) -> OpcuaCost:
    """Works out a session's load without touching it; devices of the same poll are read together."""
    items: dict[int, int] = {}
    for device in link.devices:
        readable = len({point.node for point in device.points if "r" in point.access})
        items[device.poll_ms] = items.get(device.poll_ms, 0) + readable
    requests_per_s = sum(-(-count // (link.max_items or count)) * 1000 / poll for poll, count in items.items() if count)
    total = sum(items.values())
    return OpcuaCost(
        items=total,
        sessions=max(-(-total // link.session_items), 1) if link.session_items and link.subscribe else 1,
        requests_per_s=requests_per_s,
        load_fraction=requests_per_s * reply_ms / 1000,
        worst_delay_ms=link.timeout_ms,
    )


def _modbus_line(link: ModbusLink, round_trip_ms: float) -> str:
    cost = link_cost(link, reply_ms=round_trip_ms)
    units = len({device.unit for device in link.devices})
    line = (
        f"link {link.name}: {cost.requests_per_s:.4g} requests a second, load {100 * cost.load_fraction:.3g} % "
        f"{pace_words(link, round_trip_ms)}"
    )
    if units < 2:
        return f"{line}, one unit, so a silent one delays no other"
    return (
        f"{line}, silent units delay a healthy one by at most {seconds(cost.worst_delay_ms)} and are asked again "
        f"within {seconds(cost.next_probe_ms)}"
    )


def pace_words(link: ModbusLink, round_trip_ms: float) -> str:
    """What is assumed of the time that a request takes."""
    if link.serial is None:
        return f"at {round_trip_ms:g} ms a request"
    return f"at {link.serial.baud} baud and {round_trip_ms:g} ms until a device replies"


def reaction_line(reaction: Reaction) -> str:
    """`rating NAME: detection and reaction at most 7.5 s (...)`."""
    listed = " + ".join(f"{term.what} {seconds(term.ms)}" for term in reaction.terms)
    if not reaction.controllable:
        return (
            f"rating {reaction.rating}: detection at most {seconds(reaction.total_ms)} ({listed}), "
            "nothing below it can be commanded"
        )
    return f"rating {reaction.rating}: detection and reaction at most {seconds(reaction.total_ms)} ({listed})"


def reaction_ms(assembly: Assembly, rating_name: str) -> Reaction:
    """The detection-and-reaction time of a rating.

    Detection is the poll of the rating's meter, or of the slowest device below it where it has none, one request
    time-out, and the region's period. Reaction is one time-out for the command and the slowest device below that can be
    commanded: its answer where it can only be asked, its settling, its ramp over the rated power (a store's over its
    whole range, and its pause between), and the poll that shows the effect.

    Raises:
        KeyError: there is no such rating.
    """
    site = assembly.site
    index = next((i for i, rating in enumerate(site.ratings) if rating.name == rating_name), NONE)
    if index == NONE:
        raise KeyError(f"there is no rating {rating_name}")
    rating = site.ratings[index]
    timeout_ms = {device.name: _timeout_ms(link, device) for link in assembly.links for device in link.devices}
    members = [member for member in _members(site) if _hangs_below(site, member.rating, index)]
    terms: list[Term] = []
    metered = next((signal for signal in (rating.power, *rating.currents) if signal != NONE), NONE)
    if metered != NONE:
        terms += _detection(assembly, metered, timeout_ms, "poll of its meter")
    else:
        powers = [member.power for member in members if member.power != NONE]
        if powers:
            slowest = max(powers, key=lambda signal: assembly.points[assembly.signals[signal].point].poll_ms)
            terms += _detection(assembly, slowest, timeout_ms, "poll of its slowest device")
    terms.append(Term("period", site.policy.period_ms))
    reactions = [reaction for member in members if (reaction := _reaction(assembly, member, timeout_ms)) is not None]
    if not reactions:
        return Reaction(rating_name, tuple(terms), controllable=False)
    slowest_reaction = max(reactions, key=lambda parts: sum(part.ms for part in parts))
    return Reaction(rating_name, (*terms, *slowest_reaction), controllable=True)


def _timeout_ms(link: DeviceLink, device: ModbusDevice | OpcuaDevice) -> int:
    return (device.timeout_ms if isinstance(device, ModbusDevice) else 0) or link.timeout_ms


_Member = Generator | Consumer | Storage


def _members(site: Site) -> tuple[_Member, ...]:
    return (*site.generators, *site.consumers, *site.storages)


def _hangs_below(site: Site, at: int, rating: int) -> bool:
    while at not in (NONE, rating):
        at = site.ratings[at].within
    return at == rating


def _detection(assembly: Assembly, signal: int, timeout_ms: dict[str, int], what: str) -> list[Term]:
    point = assembly.points[assembly.signals[signal].point]
    return [Term(what, point.poll_ms), Term("its time-out", timeout_ms[point.device])]


def _actuators(assembly: Assembly, member: _Member) -> list[Actuator]:
    match member:
        case Generator():
            indices = [member.do_limit, member.do_connect, member.do_setpoint]
        case Consumer():
            indices = [member.do_shed, member.do_limit, member.do_connect]
        case Storage():
            indices = [member.do_setpoint, member.do_mode]
    return [assembly.site.actuators[index] for index in indices if index != NONE]


def _reaction(assembly: Assembly, member: _Member, timeout_ms: dict[str, int]) -> tuple[Term, ...] | None:
    actuators = _actuators(assembly, member)
    if not actuators:
        return None
    device = assembly.site.devices[member.device]
    terms = [Term(f"command to {device.name}", timeout_ms[device.name])]
    if all(actuator.verb is Verb.SHED for actuator in actuators):
        terms.append(Term("its answer", assembly.site.policy.answer_ms))
    terms.append(Term("its settling", max(actuator.settle_ms for actuator in actuators)))
    ramp_w_s = max(actuator.ramp_w_s for actuator in actuators)
    if ramp_w_s:
        # A store may have to swing from full charge to full discharge.
        swing_w = member.charge_w + member.discharge_w if isinstance(member, Storage) else member.rated_w
        terms.append(Term("its ramp", -(-swing_w * 1_000 // ramp_w_s)))
    if isinstance(member, Storage) and member.dead_time_ms:
        terms.append(Term("its reversal", member.dead_time_ms))
    if member.power != NONE:
        terms.append(Term("the poll of its power", assembly.points[assembly.signals[member.power].point].poll_ms))
    return tuple(terms)


def seconds(ms: int) -> str:
    """`7.5 s`."""
    return f"{ms / 1_000:g} s"
