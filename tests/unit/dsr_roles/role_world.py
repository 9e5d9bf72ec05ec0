"""A provider, three managers and thirty appliances with their devices, in virtual time, over links that can be cut."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.course import Course
from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.proposing import propose
from scowl_edge.dsr.provider import Provider, Step
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import (
    Ack,
    Body,
    Message,
    Register,
    Report,
    ReportKind,
    ReportSlot,
    Select,
    SlotQuality,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    Mode,
    Offer,
    OfferSet,
    Profile,
    ProfileKind,
)

DAY = 1_700_006_400_000
"""A midnight, UTC."""
MIN, HOUR = 60_000, 3_600_000
STEP = 30_000
FALLBACK = Fallback(failsafe_p_upper_w=8_000, failsafe_p_lower_w=0)
SITE = Fallback(failsafe_p_upper_w=80_000, failsafe_p_lower_w=0)
DSRSP = "dsrsp:main"


def at(hour: int, minute: int = 0) -> int:
    """Monotonic ms of a time of the day; the clocks differ by DAY."""
    return hour * HOUR + minute * MIN


def now(mono_ms: int) -> Now:
    return Now(mono_ms=mono_ms, utc_ms=DAY + mono_ms, utc_ok=True)


@dataclass
class Device:
    """A job of constant power that starts by itself at a time, unless it is told another one."""

    esa_id: str
    power_w: int
    length_ms: int
    intended_at: int
    latest_at: int
    obeys: bool = True
    done_ms: int = 0
    used_w_ms: int = 0
    minutes: dict[int, int] = field(default_factory=dict)
    """Begin of each minute -> W·ms taken: the meter that nobody else reads."""
    reported_w_ms: int = 0
    power_now_w: int = 0

    def offer_set(self, rev: int) -> OfferSet:
        element = Element(
            dur_s=self.length_ms // 1000, p_nom_w=self.power_w, p_min_w=self.power_w, p_max_w=self.power_w
        )
        profiles = tuple(
            Profile(
                profile_id=identity(self.esa_id, rev, kind.value),
                kind=kind,
                elements=(element,),
                start_fixed_ms=DAY + start,
            )
            for kind, start in ((ProfileKind.IO, self.intended_at), (ProfileKind.MD, self.latest_at))
        )
        free = Profile(profile_id=identity(self.esa_id, rev, "free"), kind=ProfileKind.OTHER, elements=(element,))
        offer = Offer(
            offer_id=identity(self.esa_id, rev),
            valid_from_ms=DAY,
            valid_until_ms=DAY + self.intended_at - 2 * MIN,
            start_earliest_ms=DAY + self.intended_at,
            start_latest_ms=DAY + self.latest_at,
            min_notice_s=60,
            modes=(Mode.ROUTINE, Mode.RESPONSE),
            default_profile_id=profiles[0].profile_id,
            profiles=(*profiles, free),
        )
        return OfferSet(esa_id=self.esa_id, rev=rev, offers=(offer,))

    def run(self, mono_ms: int, course: Course, promised_later: bool) -> None:
        """Takes power for one step from `mono_ms` on."""
        minute = mono_ms // MIN * MIN
        self.minutes.setdefault(minute, 0)
        wish = self.power_w if mono_ms >= self.intended_at else 0
        if self.obeys:
            if course.setpoint_w is not None:
                wish = course.setpoint_w
            elif promised_later:
                wish = 0
            if course.p_upper_w is not None:
                wish = min(wish, max(0, course.p_upper_w))
        power = 0 if self.done_ms >= self.length_ms else wish
        if power:
            self.done_ms += STEP
        self.power_now_w = power
        self.minutes[minute] += power * STEP
        self.used_w_ms += power * STEP


def registered(device: Device) -> Register:
    return Register(
        esa_id=device.esa_id,
        esa_type=EsaType.EVSE,
        p_max_w=8_000,
        p_min_w=0,
        modes=(Mode.ROUTINE, Mode.RESPONSE),
        controls=(Control.PROFILE, Control.LIMIT, Control.PAUSE),
        consent_ref="consent",
        cert_fp="0" * 64,
    )


@dataclass
class World:
    """Everybody, and what is on its way between them."""

    terms: Terms
    seed: int
    provider: Provider = field(init=False)
    cems: dict[str, Cem] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    alone: dict[str, Appliance] = field(default_factory=dict)
    """Appliances behind a link of their own."""
    owner: dict[str, str] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    """Managers that the provider cannot reach."""
    queue: list[tuple[int, int, Message]] = field(default_factory=list)
    sent: int = 0
    mono_ms: int = at(16)
    steps: list[Step] = field(default_factory=list)
    site_w: dict[int, int] = field(default_factory=dict)
    told: list[Message] = field(default_factory=list)
    watch: list[Callable[[World], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = Provider(node=DSRSP, seed=self.seed, terms=self.terms)
        for n in range(3):
            node = f"cem:{n}"
            self.cems[node] = Cem.first(node, DSRSP, SITE, self.now, seed=self.seed)
            self.provider.link(node, True, self.now)
            self.send(self.cems[node].link(True, self.now))
        for n in range(30):
            self.join(n)

    @property
    def now(self) -> Now:
        return now(self.mono_ms)

    def join(self, n: int) -> None:
        start = at(17) + (n * 7 % 12) * 10 * MIN
        power, hours = (7_000, 2) if n % 3 == 0 else (2_000, 1)
        device = Device(f"esa-{n:04}-abc", power, hours * HOUR, start, at(21) - n * 2 * MIN)
        node = f"cem:{n % 3}"
        appliance = Appliance.first(
            registered(device), FALLBACK, self.now, seed=self.seed, tolerance=Tolerance(power_w=300)
        )
        self.devices[device.esa_id], self.owner[device.esa_id] = device, node
        if node != "cem:2":
            self.send(self.cems[node].add(appliance, self.now))
            self.send(self.cems[node].offers(device.offer_set(1), self.now))
        else:
            self.alone[device.esa_id] = appliance
            self.from_esa(device.esa_id, (appliance.register,))
            while device.esa_id not in self.cems[node].members:
                self.deliver()
            self.send(self.cems[node].authenticated(device.esa_id, True, self.now))
            self.from_esa(device.esa_id, appliance.offers(device.offer_set(1), self.now))

    def appliance(self, esa_id: str) -> Appliance:
        found = self.alone.get(esa_id) or self.cems[self.owner[esa_id]].members[esa_id].appliance
        assert found is not None
        return found

    def from_esa(self, esa_id: str, bodies: tuple[Body, ...], corr: str = "") -> None:
        for body in bodies:
            self.sent += 1
            self.send(
                [
                    Message(
                        id=identity("esa", self.sent),
                        ts_ms=self.now.utc_ms,
                        src=f"esa:{esa_id}",
                        dst=self.owner[esa_id],
                        body=body,
                        corr=corr,
                    )
                ]
            )

    def send(self, messages: list[Message]) -> None:
        for message in messages:
            self.sent += 1
            # Some arrive twice, as they do where an acknowledgement is lost.
            for copy in range(1 + (self.sent % 17 == 0)):
                delay = 200 + self.sent * 37 % 1500 + copy * 4_000
                heapq.heappush(self.queue, (self.mono_ms + delay, self.sent * 2 + copy, message))

    def passes(self, message: Message) -> bool:
        ends = {message.src, message.dst}
        return not (DSRSP in ends and ends & self.cut) and not ends & self.dead

    def deliver(self) -> None:
        message = heapq.heappop(self.queue)[2]
        if not self.passes(message):
            return
        self.told.append(message)
        if message.dst == DSRSP:
            self.took(self.provider.receive(message, self.now))
        elif message.dst.startswith("cem:"):
            self.send(self.cems[message.dst].receive(message, self.now))
        else:
            esa_id = message.dst.removeprefix("esa:")
            if not isinstance(message.body, Ack):
                answer = self.alone[esa_id].receive(message.body, self.now)
                self.from_esa(esa_id, (answer.ack, *answer.tell), message.id)

    def took(self, step: Step) -> None:
        self.steps.append(step)
        self.send(step.send)

    def until(self, mono_ms: int) -> None:
        while self.mono_ms < mono_ms:
            self.step()

    def step(self) -> None:
        end = self.mono_ms + STEP
        if DSRSP not in self.dead:
            self.took(self.provider.advance(self.now))
            if self.mono_ms % MIN == 0:
                self.took(self.provider.heartbeats(self.now))
            job = self.provider.question(self.now)
            if job is not None:
                self.took(self.provider.answered(propose(job), self.now))
        for node, cem in self.cems.items():
            if node not in self.dead:
                self.send(cem.advance(self.now))
                if self.mono_ms % MIN == 0:
                    self.send(cem.heartbeats(self.now))
        total = 0
        for esa_id, device in self.devices.items():
            total += self.drive(esa_id, device)
        self.site_w[self.mono_ms] = total
        for look in self.watch:
            look(self)
        while self.queue and self.queue[0][0] <= end:
            self.mono_ms = max(self.mono_ms, self.queue[0][0])
            self.deliver()
        self.mono_ms = end
        if end % (5 * MIN) == 0:
            for esa_id, device in self.devices.items():
                self.report(esa_id, device, end)

    def drive(self, esa_id: str, device: Device) -> int:
        appliance = self.appliance(esa_id)
        if esa_id in self.alone:
            self.from_esa(
                esa_id, (*appliance.advance(self.now), *([appliance.heartbeat()] * (self.mono_ms % MIN == 0)))
            )
        course = appliance.course(self.now)
        later = any(s.select is not None and s.due_utc_ms > self.now.utc_ms for s in appliance.selections.open())
        device.run(self.mono_ms, course, later)
        appliance.power_now(device.power_now_w)
        return device.power_now_w

    def report(self, esa_id: str, device: Device, end: int) -> None:
        """Five minutes of a meter that counts whole W·min and carries the rest."""
        slots = []
        for begin in range(end - 5 * MIN, end, MIN):
            taken = device.minutes.get(begin, 0)
            slots.append(ReportSlot(p_avg_w=taken // MIN, q=SlotQuality.OK))
            device.reported_w_ms += taken // MIN * MIN
        report = Report(
            esa_id=esa_id, kind=ReportKind.ACTUAL, start_ms=DAY + end - 5 * MIN, slot_s=60, slots=tuple(slots)
        )
        node = self.owner[esa_id]
        if esa_id in self.alone:
            told: list[Body] = []
            for slot in slots:
                told += self.alone[esa_id].measured(slot.p_avg_w, self.now)
            self.from_esa(esa_id, (*told, report))
        elif node not in self.dead:
            self.send(self.cems[node].measured(report, self.now))

    def sever(self, node: str) -> None:
        """The link between a manager and the provider is cut, and both find out."""
        self.cut.add(node)

    def noticed(self, node: str) -> None:
        self.took(self.provider.link(node, False, self.now))
        self.send(self.cems[node].link(False, self.now))

    def mend(self, node: str) -> None:
        self.cut.discard(node)
        self.took(self.provider.link(node, True, self.now))
        self.send(self.cems[node].link(True, self.now))

    def kill(self, node: str) -> None:
        """What is not in the stored state is gone."""
        self.dead.add(node)

    def revive(self, node: str) -> None:
        self.dead.discard(node)
        restart = Restart(mono_base_ms=0, gap_known=True)
        if node == DSRSP:
            self.provider = decode(Provider, encode(self.provider))
            self.took(self.provider.restarted(restart, self.now))
            for cem in self.cems:
                self.noticed(cem)
                self.mend(cem)
        else:
            self.cems[node] = decode(Cem, encode(self.cems[node]))
            self.send(self.cems[node].restarted(restart, self.now))
            self.took(self.provider.link(node, False, self.now))
            for esa_id in self.alone:
                if self.owner[esa_id] == node:
                    self.from_esa(esa_id, self.alone[esa_id].link_up(self.now))
                    self.send(self.cems[node].link_of(esa_id, True, self.now))
            self.mend(node)

    def selects(self) -> list[Select]:
        return [m.body for m in self.told if isinstance(m.body, Select) and m.src == DSRSP]
