"""The rating tree: what flows through each limited place, what room is left, and for whom.

Flows are apparent power per phase in VA, signed (+ import). A planned change of W on a device counts as W divided by
the device's worst power factor, on its own phases; the worst phase decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scowl_edge.model.site import NONE, PPM, Rating, Site

PhaseLoad = list[int]
"""VA on phases a, b, c; a single-phase rating uses a alone."""

UNLIMITED_W = 1 << 50


@dataclass(slots=True)
class Member:
    """Something that hangs below a rating."""

    device: int
    phases: int
    power_factor_ppm: int


def phase_count(mask: int) -> int:
    """Number of phases in a bit mask."""
    return mask.bit_count() or 1


def spread_va(power_w: int, mask: int, power_factor_ppm: int, phases: int) -> PhaseLoad:
    """A signed power as VA on each phase of a rating with `phases` phases, rounded away from zero."""
    if phases == 1:
        mask = 1
    count = phase_count(mask)
    size = -(-abs(power_w) * PPM // (power_factor_ppm * count))
    each = size if power_w >= 0 else -size
    return [each if mask >> p & 1 else 0 for p in range(3)]


class RatingLoads:
    """The state of all ratings in one step: measured loads, then what is planned on top."""

    def __init__(self, tree: RatingTree) -> None:
        size = len(tree.ratings)
        self.tree = tree
        self.load_va: list[PhaseLoad] = [[0, 0, 0] for _ in range(size)]
        self.net_w = [0] * size
        """Signed power through the rating: metered, else the sum of what is known below plus its residue."""
        self.fresh = [False] * size
        """A rating whose load is not fresh is full both ways for whoever wants more of it."""
        self.unmetered_w = [0] * size
        """Meter minus known loads below; the configured residue without a meter."""
        self.planned_va: list[PhaseLoad] = [[0, 0, 0] for _ in range(size)]
        """Increases of import (+) that are ordered and not yet measured; decreases are never counted as room."""
        self.planned_export_va: list[PhaseLoad] = [[0, 0, 0] for _ in range(size)]

    def plan(self, rating: int, power_w: int, member: Member) -> None:
        """Counts an ordered change of net power (signed) on a rating and all above it."""
        for r in self.tree.chain(rating):
            spread = spread_va(power_w, member.phases, member.power_factor_ppm, self.tree.ratings[r].phases)
            target = self.planned_va[r] if power_w > 0 else self.planned_export_va[r]
            for p in range(3):
                target[p] += abs(spread[p])

    def excess_import_va(self, rating: int) -> int:
        """How far the worst phase is above its import limit less margin; negative = room; measured only."""
        limit = self.tree.import_limit_va(rating)
        if limit < 0:
            return -UNLIMITED_W
        return max(self.load_va[rating][p] for p in self.tree.phase_range(rating)) - limit

    def excess_export_va(self, rating: int) -> int:
        """The same for export."""
        limit = self.tree.export_limit_va(rating)
        if limit < 0:
            return -UNLIMITED_W
        return max(-self.load_va[rating][p] for p in self.tree.phase_range(rating)) - limit

    def room_import_w(self, rating: int, member: Member) -> int:
        """Most additional import in W of a device, through all ratings above it; <= 0 = none."""
        return self._room_w(rating, member, export=False)

    def room_export_w(self, rating: int, member: Member) -> int:
        """Most additional export in W of a device, through all ratings above it."""
        return self._room_w(rating, member, export=True)

    def _room_w(self, rating: int, member: Member, *, export: bool) -> int:
        room = UNLIMITED_W
        for r in self.tree.chain(rating):
            limit = self.tree.export_limit_va(r) if export else self.tree.import_limit_va(r)
            if limit < 0:
                continue
            if not self.fresh[r]:
                return 0
            phases = self.tree.ratings[r].phases
            mask = 1 if phases == 1 else member.phases
            planned = self.planned_export_va[r] if export else self.planned_va[r]
            sign = -1 if export else 1
            free = min(limit - sign * self.load_va[r][p] - planned[p] for p in range(3) if mask >> p & 1)
            room = min(room, free * phase_count(mask) * member.power_factor_ppm // PPM)
        return room

    def narrowest_import(self, rating: int, member: Member) -> int:
        """The rating in the chain that leaves the least room, or NONE: for saying why."""
        best, where = UNLIMITED_W, NONE
        for r in self.tree.chain(rating):
            limit = self.tree.import_limit_va(r)
            if limit < 0:
                continue
            mask = 1 if self.tree.ratings[r].phases == 1 else member.phases
            free = min(limit - self.load_va[r][p] - self.planned_va[r][p] for p in range(3) if mask >> p & 1)
            if free < best:
                best, where = free, r
        return where


class RatingTree:
    """The frozen shape: who hangs below what."""

    def __init__(self, site: Site) -> None:
        self.ratings: tuple[Rating, ...] = site.ratings
        self._chains: list[tuple[int, ...]] = []
        for index, rating in enumerate(self.ratings):
            above = self._chains[rating.within] if rating.within != NONE else ()
            self._chains.append((index, *above))
        self.below: list[list[int]] = [[] for _ in self.ratings]
        """For each rating its own index and those of all ratings inside it, outermost first."""
        for index in range(len(self.ratings)):
            for r in self._chains[index]:
                self.below[r].append(index)

    def chain(self, rating: int) -> tuple[int, ...]:
        """The rating and all above it, innermost first; empty for NONE."""
        return self._chains[rating] if rating != NONE else ()

    def phase_range(self, rating: int) -> range:
        """Phases that the rating has."""
        return range(1 if self.ratings[rating].phases == 1 else 3)

    def import_limit_va(self, rating: int) -> int:
        """Per phase, less margin; -1 = unlimited."""
        r = self.ratings[rating]
        return r.import_va * (PPM - r.margin_ppm) // PPM if r.import_va >= 0 else -1

    def export_limit_va(self, rating: int) -> int:
        """Per phase, less margin; -1 = unlimited."""
        r = self.ratings[rating]
        return r.export_va * (PPM - r.margin_ppm) // PPM if r.export_va >= 0 else -1

    def members(self, of: Sequence[int]) -> list[list[int]]:
        """For each rating the positions in `of` (a rating index each) that hang at or below it."""
        result: list[list[int]] = [[] for _ in self.ratings]
        for position, rating in enumerate(of):
            for r in self.chain(rating):
                result[r].append(position)
        return result

    def innermost_first(self) -> Iterable[int]:
        """Ratings from the leaves to the root: what cures a child relieves its parents."""
        return range(len(self.ratings) - 1, -1, -1)
