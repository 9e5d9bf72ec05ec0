"""How much is missing, where, on which phase: now that all promises are in, and within the ride-through."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.capacity.ratings import Member, phase_count
from scowl_edge.model.site import PPM


@dataclass(slots=True)
class Scope:
    """The part of a region that one need is about: a bus, or what hangs below one rating."""

    name: str
    bus: int
    rating: int
    """NONE for a bus without a grid connection."""
    phases: int
    """1 counts watts as they are; 3 counts each phase."""
    generators: list[int]
    consumers: list[int]
    storages: list[int]
    margin_ppm: int
    """Part of new generation that may not be used."""
    protective: bool
    """A rating is at stake: commands are safety commands."""
    evident: bool = False
    """The shortage rests on a fresh measurement: shedding and starving are allowed."""
    inside: frozenset[int] = frozenset()
    """Ratings (NONE: the site) below which appliances that offer flexibility count for this scope."""


@dataclass(slots=True)
class Need:
    """Excess of net consumption per phase (+ = too much), in VA or W; a relief of 1 W counts as 1 VA."""

    phases: int
    final: list[int] = field(default_factory=lambda: [0, 0, 0])
    """After everything that is promised has come."""
    soon: list[int] = field(default_factory=lambda: [0, 0, 0])
    """At the end of the ride-through."""

    def _over(self, amounts: list[int], mask: int) -> int:
        if self.phases == 1:
            return amounts[0]
        if mask == 7:
            return max(amounts) * 3
        return max(amounts[p] for p in range(3) if mask >> p & 1) * phase_count(mask)

    def final_w(self, mask: int) -> int:
        """Relief in W that a device on these phases would have to give in the end; <= 0 = none."""
        return self._over(self.final, mask)

    def soon_w(self, mask: int) -> int:
        """The same within the ride-through."""
        return self._over(self.soon, mask)

    def wanted_w(self, mask: int) -> int:
        """The larger of both."""
        return max(self.final_w(mask), self.soon_w(mask))

    @property
    def worst_w(self) -> int:
        """The larger need as seen by a device on all phases."""
        return self.wanted_w(7)

    @property
    def open(self) -> bool:
        """Whether anything is missing."""
        return self.worst_w > 0

    def relieve(self, mask: int, final_w: int, soon_w: int) -> None:
        """Takes a relief (positive W) off the need."""
        if self.phases == 1:
            mask = 1
        count = phase_count(mask)
        for p in range(3):
            if mask >> p & 1:
                self.final[p] -= final_w // count
                self.soon[p] -= soon_w // count

    def add(self, power_w: int, soon_w: int, member: Member) -> None:
        """Counts a promised change of net power (signed): increases at the worst power factor, relief as plain W."""
        if power_w <= 0 and soon_w <= 0:
            self.relieve(member.phases, -power_w, -soon_w)
            return
        mask = 1 if self.phases == 1 else member.phases
        divisor = phase_count(mask) * (PPM if self.phases == 1 else member.power_factor_ppm)
        for p in range(3):
            if mask >> p & 1:
                self.final[p] += -(-power_w * PPM // divisor)
                self.soon[p] += -(-soon_w * PPM // divisor)
