"""What an energy manager holds, and how it speaks to its provider and to its appliances."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.attention import Attention
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now, WallClock
from scowl_edge.dsr.lifecycle import Lifecycle
from scowl_edge.dsr.limiting import Fallback, Limiting
from scowl_edge.dsr.member import Member
from scowl_edge.dsr.mirror import Copy, Mirror
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Code,
    Deregister,
    Heartbeat,
    InitDone,
    LimitStatus,
    Message,
    Override,
    Report,
    ReportKind,
    SelectStatus,
    State,
)
from scowl_edge.model.flexibility import LimitState, OfferSet, OverrideScope

LIMIT_AGAIN_MS = 10_000
"""An appliance that did not take a limit is told it again after so long, or when it hears that somebody lives."""
MOST_UNSENT = 3_000
"""Reports that wait for a provider; beyond that the oldest go, and their slots stay holes in the books."""


class CemError(ScowlError):
    """An appliance that this manager does not have, or has already."""


@dataclass(slots=True, kw_only=True)
class CemState:
    """State of an energy manager. `node` is its address, `cem:...`, `provider` that of its provider."""

    node: str
    provider: str
    seed: int
    site: Limiting
    """The site's own limit; make it with the fail-safe values of the site's configuration."""
    each: Fallback | None = None
    """What the site's configuration lets each appliance do by itself; None: as the site."""
    members: dict[str, Member] = field(default_factory=dict)
    """By appliance."""
    clock: WallClock = field(default_factory=WallClock)
    up: bool = False
    """The link to the provider."""
    other_w: int = 0
    """Load of the site that is not an appliance's; takes from what the site may draw."""
    waiting: dict[str, Report] = field(default_factory=dict)
    """ACTUAL reports by message id, until the provider says that it has them."""
    dropped: int = 0
    """Reports that waited too long."""
    state_told: LimitState = LimitState.INIT
    """Of the site, as appliances on links know it."""
    attention: Attention = field(default_factory=Attention)
    numbered: int = 0

    # Appliances

    def drawn_w(self) -> int:
        return sum(a.p_now_w for _, a in self.driven())

    def driven(self) -> list[tuple[Member, Appliance]]:
        """Those that the manager drives itself, in order."""
        driven = ((m, m.appliance) for m in (self.members[e] for e in sorted(self.attention.driven)))
        return [(m, appliance) for m, appliance in driven if appliance is not None]

    def everybody(self) -> list[Member]:
        return [self.members[e] for e in sorted(self.members)]

    def member(self, esa_id: str) -> Member:
        if esa_id not in self.members:
            self.members[esa_id] = Member(
                esa_id=esa_id, life=Lifecycle(esa_id=esa_id), mirror=Mirror(esa_id=esa_id, asks=False)
            )
        self.attention.touch(esa_id)
        return self.members[esa_id]

    def known(self, esa_id: str) -> Member:
        member = self.members.get(esa_id)
        if member is None:
            raise CemError(f"appliance {esa_id}: {self.node} has none of this id; it has {len(self.members)} others")
        self.attention.touch(esa_id)
        return member

    def own(self, esa_id: str) -> tuple[Member, Appliance]:
        member = self.known(esa_id)
        if member.appliance is None:
            raise CemError(f"appliance {esa_id} is behind a link; it tells by itself what it offers and takes")
        return member, member.appliance

    def ack(self, message: Message, code: Code | None, now: Now) -> Message:
        ack = Ack(status=AckStatus.OK) if code is None else Ack(status=code.status, code=code)
        return self.message(message.src, ack, now, message.id)

    def message(self, dst: str, body: Body, now: Now, corr: str = "") -> Message:
        self.numbered += 1
        wall_ms = self.clock.read(now)
        return Message(
            id=identity(self.seed, self.node, self.numbered),
            ts_ms=now.utc_ms if wall_ms is None else wall_ms,
            src=self.node,
            dst=dst,
            body=body,
            corr=corr,
        )

    # Speaking

    def vital(self) -> Heartbeat:
        """What the manager says of itself: its limits are those of the site."""
        return Heartbeat(limit_state=self.site.state, rev=0)

    def from_appliance(self, member: Member, bodies: tuple[Body, ...], now: Now) -> list[Message]:
        """What an appliance tells: kept here, and handed on."""
        send: list[Message] = []
        for body in bodies:
            member.life.told(body, now)
            member.mirror.told(body, now)
            if isinstance(body, LimitStatus) and not body.applied and member.limits_again_mono_ms is None:
                # Not at once: one that always refuses would be answered without end.
                member.limits_again_mono_ms = now.mono_ms + LIMIT_AGAIN_MS
            if isinstance(body, LimitStatus) and not any(
                b.limit.limit_id == body.limit_id for b in member.bounds.values()
            ):
                # The site's own share is nobody else's affair.
                continue
            if isinstance(
                body, OfferSet | SelectStatus | LimitStatus | Override | State | Report | InitDone | Deregister
            ):
                send += self.upward(member, body, now)
        return send

    def upward(self, member: Member, body: Body, now: Now) -> list[Message]:
        if isinstance(body, OfferSet):
            body = member.handed_on(body)
        if isinstance(body, Report) and body.kind is ReportKind.ACTUAL:
            message = self.message(self.provider, body, now)
            self.waiting[message.id] = body
            while len(self.waiting) > MOST_UNSENT:
                del self.waiting[next(iter(self.waiting))]
                self.dropped += 1
            return [message] if self.up else []
        return self.to_provider(body, now)

    def to_provider(self, body: Body, now: Now) -> list[Message]:
        return [self.message(self.provider, body, now)] if self.up else []

    def to_appliance(self, member: Member, body: Body, now: Now) -> list[Message]:
        """To an appliance: a message where a link lies between, else its answer at once."""
        if member.appliance is None:
            return [self.message(member.node, body, now)]
        answer = member.appliance.receive(body, now)
        return self.from_appliance(member, answer.tell, now)


def known_of(member: Member) -> list[Body]:
    """What is known of an appliance behind a link."""
    mirror = member.mirror
    known: list[Body] = []
    if mirror.offer_set is not None:
        known.append(mirror.offer_set)
    scope = OverrideScope.NONE if mirror.override is None else mirror.override.scope
    known.append(State(esa_id=member.esa_id, value=mirror.running, override=scope))
    if mirror.override is not None:
        known.append(mirror.override)
    known += [status_of(member, copy) for copy in mirror.copies]
    return known


def status_of(member: Member, copy: Copy) -> SelectStatus:
    """What is known of one selection."""
    return SelectStatus(
        select_id=copy.select_id,
        esa_id=member.esa_id,
        state=copy.state,
        code=copy.code,
        applied_offset_s=copy.offset_s,
        progress_s=copy.progress_s,
    )
