"""All homes of a street, their appliances on links dealt to managers in turn, and the feeder's meter above them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from scowl_edge.contracts import Clock
from scowl_edge.drivers.flex.link_tls import FlexTls
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import SILENCE_MS, Fallback
from scowl_edge.issuing import Issuer
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import Override
from scowl_edge.model.profile import NANO, nearest
from simulators.appliances.feeder_meter import UNIT, FeederMeter
from simulators.appliances.households import DAY_MS, Member, base_load, street
from simulators.appliances.simulated import QUARTER_MS, SimulatedAppliance, grown, registration
from simulators.appliances.wired import WiredAppliance

LIVE_S = 0.5
"""Real seconds between two looks at the physics; messages are taken at once."""
DAYS = 2
CLOCKS_APART_MS = 1_000


class StreetError(ScowlError):
    """A street cannot be made as it was asked for, or has no such appliance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedBy:
    """A manager, and where it listens."""

    node: str
    """`cem:...`."""
    url: str
    """`https://HOST:PORT`."""


class Neighbourhood:
    """A street that lives on the clock."""

    def __init__(
        self,
        *,
        homes: int,
        seed: int,
        midnight_ms: int,
        managers: Sequence[ManagedBy],
        authority: Path,
        folder: Path,
        clock: Clock,
        rate: float = 1.0,
        timers: Timers | None = None,
        failsafe_w: int = 4_200,
    ) -> None:
        """Makes homes, grown from midnight to the present, and a certificate for each appliance.

        Args:
            homes: How many.
            seed: Of the street.
            midnight_ms: UTC at which the homes' first day began.
            managers: Home 0 belongs to the first, 1 to the second, and so on in turn.
            authority: Folder with `authority.pem` and `authority.key`.
            folder: Where the certificates go.
            clock: Of everything.
            rate: How much faster than the machine it runs.
            timers: Of the links.
            failsafe_w: Most that an appliance may take when nobody is heard; a manager may say less.

        Raises:
            StreetError: there is no authority, no manager, or the present is no part of the homes' days.
        """
        self.clock = clock
        self.meter = FeederMeter()
        self.meters = {UNIT: self.meter, **{UNIT + 1 + i: FeederMeter() for i in range(len(managers))}}
        """By unit: the feeder's, then one above the appliances of each manager."""
        # One moment for all: the time that making them takes must not lie between their clocks.
        utc_ms, mono_ms = clock.utc_ms(), clock.mono_ms()
        if not managers:
            raise StreetError("a street without managers: name at least one")
        if not midnight_ms <= utc_ms < midnight_ms + DAYS * DAY_MS:
            raise StreetError(
                f"it is {(utc_ms - midnight_ms) / 3_600_000:.1f} h after the midnight that was named; a street lives "
                f"for {DAYS} days from then on"
            )
        if not (authority / "authority.key").is_file():
            raise StreetError(
                f"there is no authority in {authority}; make one: scowl-edge pki authority --authority {authority}"
            )
        households = street(seed, homes, midnight_ms, DAYS)
        self._base = base_load(households)
        issuer = Issuer(authority / "authority.pem", authority / "authority.key")
        self.appliances: dict[str, WiredAppliance] = {}
        for number, household in enumerate(households):
            manager = managers[number % len(managers)]
            for member in household.members:
                tls = _certified(issuer, f"esa:{member.adapter.esa_id}", authority / "authority.pem", folder)
                self.appliances[member.adapter.esa_id] = WiredAppliance(
                    _appliance(member, midnight_ms, utc_ms, mono_ms, failsafe_w, tls),
                    manager.node,
                    manager.url,
                    tls,
                    clock,
                    rate=rate,
                    timers=timers,
                )
        self._below = {
            UNIT + 1 + i: [one for _, one in sorted(self.appliances.items()) if one.manager == manager.node]
            for i, manager in enumerate(managers)
        }
        self.begun_ms = self._counted_ms = utc_ms
        self._counted_wms = 0
        self._manager_wms = dict.fromkeys(self._below, 0)
        self.base_wms = 0
        """What cannot be moved, since the start."""
        self.look_ms = round(1_000 * LIVE_S * rate)
        """Between two looks at the physics, by the street's clock."""
        self.reaction_ms = SILENCE_MS + self.look_ms
        """Longest time from a manager's last word to fail-safe power, the machine's own pauses aside."""

    @property
    def power_w(self) -> int:
        """Of all homes, as of the last look."""
        return sum(one.power_w for one in self.appliances.values()) + (self._base.power_w(self._counted_ms) or 0)

    def appliance(self, esa_id: str) -> WiredAppliance:
        """By its id.

        Raises:
            StreetError: there is none.
        """
        found = self.appliances.get(esa_id)
        if found is None:
            raise StreetError(f"{esa_id} is no appliance of this street; GET /truth lists all {len(self.appliances)}")
        return found

    def override(self, override: Override) -> None:
        """A user at an appliance takes over, or gives it back.

        Raises:
            StreetError: there is no such appliance.
        """
        self.appliance(override.esa_id).override(override)

    async def run(self, begun: Callable[[], None]) -> None:
        """Lives until cancelled; calls `begun` when everything has been looked at once."""
        async with asyncio.TaskGroup() as group:
            for one in self.appliances.values():
                group.create_task(one.dialer.run(), name=one.node)
            await self.look()
            begun()
            while True:
                await asyncio.sleep(LIVE_S)
                await self.look()

    async def look(self) -> None:
        """Lets time pass everywhere up to now, and the meter count it."""
        utc_ms = self.clock.utc_ms()
        for one in self.appliances.values():
            one.live()
            # Links are served between two appliances, one of which may be making its offers.
            await asyncio.sleep(0)
        # They have lived beyond it, each by a little more; clocks that are read apart differ by a ms.
        quarter_ms = (utc_ms - CLOCKS_APART_MS) // QUARTER_MS * QUARTER_MS
        if quarter_ms > max(self.begun_ms, self.meter.quarter_ms):
            flexible_wms = sum(one.appliance.quarters_wms[quarter_ms] for one in self.appliances.values())
            self.meter.quarter(quarter_ms, flexible_wms + self._base_until(quarter_ms))
            for unit, below in self._below.items():
                self.meters[unit].quarter(quarter_ms, sum(one.appliance.quarters_wms[quarter_ms] for one in below))
        self.base_wms, self._counted_ms = self._base_until(utc_ms), utc_ms
        total_wms = self.base_wms + sum(one.appliance.energy_wms for one in self.appliances.values())
        self.meter.show(self.power_w, total_wms - self._counted_wms, utc_ms)
        self._counted_wms = total_wms
        for unit, below in self._below.items():
            self.meters[unit].parts_w = tuple(one.power_w for one in below)
            counted_wms = sum(one.appliance.energy_wms for one in below)
            self.meters[unit].show(sum(self.meters[unit].parts_w), counted_wms - self._manager_wms[unit], utc_ms)
            self._manager_wms[unit] = counted_wms

    def _base_until(self, utc_ms: int) -> int:
        return nearest(self._base.energy_quanta(self.begun_ms, utc_ms), 2 * NANO)


def _appliance(
    member: Member, midnight_ms: int, utc_ms: int, mono_ms: int, failsafe_w: int, tls: FlexTls
) -> SimulatedAppliance[Any]:
    adapter = member.adapter
    return SimulatedAppliance(
        adapter,
        grown(adapter, member.state, member.events, midnight_ms, utc_ms),
        registration(adapter, consent_ref="simulated", cert_fp=_fingerprint(tls.certificate)),
        Fallback(failsafe_p_upper_w=failsafe_w, failsafe_p_lower_w=-failsafe_w),
        Now(mono_ms=mono_ms, utc_ms=utc_ms, utc_ok=True),
        events=[event for event in member.events if event[0] > utc_ms],
    )


def _certified(issuer: Issuer, node: str, authority: Path, folder: Path) -> FlexTls:
    stem = node.replace(":", "-")
    tls = FlexTls(ca=authority, certificate=folder / f"{stem}.pem", key=folder / f"{stem}.key")
    issuer.issue(node, (), tls.certificate, tls.key, node=node, days=2)
    return tls


def _fingerprint(certificate: Path) -> str:
    return sha256(PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
