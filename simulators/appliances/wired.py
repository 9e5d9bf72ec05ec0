"""A simulated appliance on a real link: it dials its manager with a certificate of its own, and lives on the clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scowl_edge.contracts import Clock
from scowl_edge.drivers.flex.delivery import FlexLinkChanged
from scowl_edge.drivers.flex.dialer import FlexDialer
from scowl_edge.drivers.flex.link_tls import FlexTls
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Code,
    Message,
    NodeRole,
    Outcome,
    Override,
    RegisterResult,
    Report,
    ReportKind,
)
from simulators.appliances.simulated import SimulatedAppliance

MOST_UNSENT = 1_500
"""Reports of a minute that are kept for a manager that is away; beyond that the oldest go."""

MOST_REFUSALS = 20


class WiredAppliance:
    """One appliance and its link. Implements the drivers' `FlexSink`."""

    def __init__(
        self,
        appliance: SimulatedAppliance[Any],
        manager: str,
        url: str,
        tls: FlexTls,
        clock: Clock,
        *,
        rate: float = 1.0,
        timers: Timers | None = None,
    ) -> None:
        """`manager` is the manager's node id, `url` where it listens; `rate` how much faster the clock runs."""
        self.appliance = appliance
        self.node = f"esa:{appliance.esa_id}"
        self.manager = manager
        self.refusals: list[str] = []
        """What the manager did not take, and why; the latest."""
        self._clock = clock
        self._numbered = 0
        self._begun_ms = clock.mono_ms()
        self._unsent: dict[str, Report] = {}
        """Reports by message id, until the manager says that it has them."""
        self.dialer = FlexDialer(
            manager,
            self.node,
            NodeRole.ESA,
            manager,
            url,
            tls,
            self,
            clock,
            seed=self._begun_ms,
            timers=timers,
            clock_rate=rate,
        )

    @property
    def power_w(self) -> int:
        """As of the last step."""
        return self.appliance.power_w

    @property
    def up(self) -> bool:
        """Whether the link stands."""
        return self.dialer.link.session.state in (LinkState.UP, LinkState.STALE)

    def live(self) -> None:
        """Lets time pass up to the present, and tells what that brought."""
        self._say(self.appliance.live(self._now()))
        self.dialer.link.session.vital = self.appliance.esa.heartbeat()

    def override(self, override: Override) -> None:
        """Its user takes over, or gives it back (scope NONE)."""
        self._say(self.appliance.override(override, self._now()))

    def _now(self) -> Now:
        return Now(mono_ms=self._clock.mono_ms(), utc_ms=self._clock.utc_ms(), utc_ok=True)

    def _say(self, bodies: Iterable[Body]) -> None:
        """What is not told while the link is away is told again when it is there, in one piece; reports are kept."""
        for body in bodies:
            if isinstance(body, Ack):
                continue
            message = self._message(body)
            if isinstance(body, Report) and body.kind is ReportKind.ACTUAL:
                self._unsent[message.id] = body
                while len(self._unsent) > MOST_UNSENT:
                    del self._unsent[next(iter(self._unsent))]
            if self.up:
                self.dialer.link.send(message)

    def _message(self, body: Body) -> Message:
        self._numbered += 1
        return Message(
            id=identity(self.node, self._begun_ms, self._numbered),
            ts_ms=self._clock.utc_ms(),
            src=self.node,
            dst=self.manager,
            body=body,
        )

    # From the link.

    def message(self, link: str, message: Message) -> None:
        """Takes what the manager says."""
        body = message.body
        if isinstance(body, RegisterResult):
            # What follows from it comes by `init`.
            if body.outcome is Outcome.REJECTED:
                self._refused(f"registration {body.outcome.value}")
            self.dialer.link.stored(message.id)
            return
        told = self.appliance.hear(body, self._now())
        ack = next(body for body in told if isinstance(body, Ack))
        if ack.status is AckStatus.OK:
            self.dialer.link.stored(message.id)
        else:
            self.dialer.link.refused(message.id, ack.code or Code.INTERNAL, ack.detail)
        self._say(told)

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        """A report that the manager has is his; what he refused is kept for whoever looks."""
        if ack is None or ack.status is not AckStatus.OK:
            self._refused(cause if ack is None else f"{ack.code}: {ack.detail}")
        if ack is not None:
            # Refused or stored: told again it would be answered the same.
            self._unsent.pop(message_id, None)

    def _refused(self, why: str) -> None:
        self.refusals = [*self.refusals, why][-MOST_REFUSALS:]

    def link_changed(self, changed: FlexLinkChanged) -> None:
        """A new link begins with who this is, and all that stands."""
        now = self._now()
        if changed.state is LinkState.UP:
            told = [*self.appliance.live(now), *self.appliance.esa.link_up(now)]
            again, self._unsent = list(self._unsent.values()), {}
            self._say((self.appliance.register, *told, *again))
        elif changed.state is LinkState.DOWN:
            self.appliance.esa.link_lost(now)

    def resync(self, link: str, cause: str) -> None:
        """Something may have been missed."""
        self._say(self.appliance.esa.resync(self._now()))
