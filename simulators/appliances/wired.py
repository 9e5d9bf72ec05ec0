"""Simulated appliances on real links: each dials its manager with a certificate of its own, and lives on the clock."""

from __future__ import annotations

import asyncio
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
from scowl_edge.model.exchange import Ack, AckStatus, Body, Code, Message, NodeRole
from simulators.appliances.simulated import SimulatedAppliance

LIVE_S = 0.5
"""Real seconds between two looks at the physics; messages are taken at once."""


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
        self.refusals: list[str] = []
        """What the manager did not take, and why."""
        self._manager = manager
        self._clock = clock
        self._numbered = 0
        self._begun_ms = clock.mono_ms()
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

    async def run(self) -> None:
        """Lives until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.dialer.run())
            while True:
                self._say(self.appliance.live(self._now()))
                self.dialer.link.session.vital = self.appliance.esa.heartbeat()
                await asyncio.sleep(LIVE_S)

    def _now(self) -> Now:
        return Now(mono_ms=self._clock.mono_ms(), utc_ms=self._clock.utc_ms(), utc_ok=True)

    def _say(self, bodies: Iterable[Body]) -> None:
        if self.dialer.link.session.state is not LinkState.UP:
            # All that stands is told when the link is there.
            return
        for body in bodies:
            if not isinstance(body, Ack):
                self.dialer.link.send(self._message(body))

    def _message(self, body: Body) -> Message:
        self._numbered += 1
        return Message(
            id=identity(self.node, self._begun_ms, self._numbered),
            ts_ms=self._clock.utc_ms(),
            src=self.node,
            dst=self._manager,
            body=body,
        )

    # From the link.

    def message(self, link: str, message: Message) -> None:
        """Takes what the manager says."""
        now = self._now()
        told = self.appliance.hear(message.body, now)
        ack = next(body for body in told if isinstance(body, Ack))
        if ack.status is AckStatus.OK:
            self.dialer.link.stored(message.id)
        else:
            self.dialer.link.refused(message.id, ack.code or Code.INTERNAL, ack.detail)
        self._say(told)

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        """Keeps what was refused."""
        if ack is None or ack.status is not AckStatus.OK:
            self.refusals.append(cause if ack is None else f"{ack.code}: {ack.detail}")

    def link_changed(self, changed: FlexLinkChanged) -> None:
        """A new link begins with who this is."""
        now = self._now()
        if changed.state is LinkState.UP:
            self._say((self.appliance.register, *self.appliance.live(now), *self.appliance.esa.link_up(now)))
        elif changed.state is LinkState.DOWN:
            self.appliance.esa.link_lost(now)

    def resync(self, link: str, cause: str) -> None:
        """Something may have been missed."""
        self._say(self.appliance.esa.resync(self._now()))
