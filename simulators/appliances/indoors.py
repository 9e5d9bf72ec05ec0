"""Appliances inside the homes of a simulated plant, each on a link of its own: their power is part of the homes'.

A home that is cut off takes nothing, though its appliances go on as if they had power: nobody tells them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from scowl_edge.contracts import Clock
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.issuing import Issuer
from simulators.appliances.households import Member
from simulators.appliances.neighbourhood import LIVE_S, ManagedBy, certified, grown_up
from simulators.appliances.wired import WiredAppliance
from simulators.plant import Plant


class Indoors:
    """Homes and what is in them."""

    def __init__(
        self,
        homes: Mapping[str, tuple[Member, ...]],
        plant: Plant,
        manager: ManagedBy,
        authority: Path,
        clock: Clock,
        *,
        failsafe_w: int,
        rate: int = 1,
        timers: Timers | None = None,
        valid_s: int = 300,
        min_notice_s: int = 60,
    ) -> None:
        """Gives each appliance a certificate, in the folder of the authority.

        Args:
            homes: Device of the plant -> appliances in it, as they are now.
            plant: Whose devices they are.
            manager: Of all of them.
            authority: Folder with `authority.pem` and `authority.key`.
            clock: Of everything.
            failsafe_w: Most that each takes when nobody is heard.
            rate: How much faster than the machine the clock runs.
            timers: Of the links.
            valid_s: How long offers stand at least.
            min_notice_s: Least time from a selection to its start.

        Raises:
            OSError: certificates cannot be written.
        """
        issuer = Issuer(authority / "authority.pem", authority / "authority.key")
        utc_ms, mono_ms = clock.utc_ms(), clock.mono_ms()
        self._plant = plant
        self.homes: dict[str, tuple[WiredAppliance, ...]] = {}
        for home, members in homes.items():
            wired = []
            for member in members:
                node = f"esa:{member.adapter.esa_id}"
                tls = certified(issuer, node, authority / "authority.pem", authority)
                appliance = grown_up(
                    member, utc_ms, utc_ms, mono_ms, failsafe_w, tls, valid_s=valid_s, min_notice_s=min_notice_s
                )
                wired.append(WiredAppliance(appliance, manager.node, manager.url, tls, clock, rate=rate, timers=timers))
            self.homes[home] = tuple(wired)

    async def run(self) -> None:
        """Lives until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in (one for wired in self.homes.values() for one in wired):
                group.create_task(one.dialer.run(), name=one.node)
            while True:
                await self.look()
                await asyncio.sleep(LIVE_S)

    async def look(self) -> None:
        """Lets time pass up to now; the homes take what their appliances take."""
        for home, wired in self.homes.items():
            for one in wired:
                one.live()
                # Devices are served between two appliances, one of which may be making its offers.
                await asyncio.sleep(0)
            self._plant.set_inside(home, sum(one.power_w for one in wired))
