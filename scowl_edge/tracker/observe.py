"""What a step knows of its region: the one place where stale values become something else.

A signal is FRESH, then HELD (its last value stands, but nobody gets more because of it), then LOST. A lost value keeps
its last number for the record; what it counts as depends on the decision and is said by the methods here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.capacity import RatingLoads, RatingTree
from scowl_edge.capacity.ratings import Member, spread_va
from scowl_edge.model.signal import Image
from scowl_edge.model.site import NONE, PPM, Site


class Grade(IntEnum):
    """How old a signal is."""

    FRESH = 0
    HELD = 1
    LOST = 2


class Observation:
    """The frozen view of one step; powers in W, signed (+ consumption), generation as magnitudes."""

    def __init__(
        self,
        site: Site,
        tree: RatingTree,
        image: Image,
        fresh_ms: NDArray[np.int64],
        hold_ms: NDArray[np.int64],
        now_ms: int,
        recent: Mapping[int, Sequence[Sequence[int]]],
    ) -> None:
        """`recent` holds the last [receive time, value] pairs of each power signal, oldest first."""
        age = now_ms - image.received_ms
        grade = np.where(age <= fresh_ms, Grade.FRESH, np.where(age <= fresh_ms + hold_ms, Grade.HELD, Grade.LOST))
        grade[image.received_ms < 0] = Grade.LOST
        self.now_ms = now_ms
        self._grade: list[int] = grade.tolist()
        self._value: list[int] = image.value.tolist()
        self._received: list[int] = image.received_ms.tolist()
        self._site = site
        self._recent = recent
        self._power_of = {
            **{g.device: g.power for g in site.generators},
            **{c.device: c.power for c in site.consumers},
            **{s.device: s.power for s in site.storages},
        }
        self.generation_w = [max(0, -self.value(g.power, 0)) for g in site.generators]
        self.consumption_w = [self.value(c.power, 0) for c in site.consumers]
        self.storage_w = [self.value(s.power, 0) for s in site.storages]
        self.ratings = self._loads(tree)

    def value(self, signal: int, default: int) -> int:
        """The last value of a signal, however old; `default` if it was never read or is not bound."""
        return self._value[signal] if signal != NONE and self._received[signal] >= 0 else default

    def grade(self, signal: int) -> Grade:
        """How far it can be trusted; LOST where not bound."""
        return Grade(self._grade[signal]) if signal != NONE else Grade.LOST

    def fresh(self, signal: int) -> bool:
        """Whether it may justify more load, or a measure that hurts."""
        return signal != NONE and self._grade[signal] == Grade.FRESH

    def known(self, signal: int) -> bool:
        """Fresh or held."""
        return signal != NONE and self._grade[signal] != Grade.LOST

    def received_ms(self, signal: int) -> int:
        """Monotonic ms of the last good value, -1 never."""
        return self._received[signal] if signal != NONE else -1

    def net_w(self, device: int) -> int:
        """Signed measured power of a generator, consumer or store, by device index."""
        return self._net.get(device, 0)

    def net_w_at(self, device: int, at_ms: int) -> int:
        """The same as it was last known at a time: what a meter that was read then could have seen of it."""
        power = self._power_of.get(device, NONE)
        if power == NONE or self._received[power] <= at_ms:
            return self.net_w(device)
        known = self._recent.get(power, ())
        for received, value in reversed(known):
            if received <= at_ms:
                return value
        return known[0][1] if known else self.net_w(device)

    def measured_ms(self, rating: int) -> int:
        """When the flow through a rating was last measured; now, where it is added up from its members."""
        r = self._site.ratings[rating]
        times = [self._received[s] for s in (r.power, *r.currents) if s != NONE and self._received[s] >= 0]
        return min(times) if times else self.now_ms

    def demand_worst_w(self, consumer: int) -> int:
        """A consumer's power for whoever wants to add load beside it: its rating once it is lost."""
        c = self._site.consumers[consumer]
        return self.consumption_w[consumer] if self.known(c.power) else max(c.rated_w, self.consumption_w[consumer])

    def potential_w(self, generator: int) -> int | None:
        """What a stochastic generator could give now; None if nobody knows. Stale counts as what it gives."""
        g = self._site.generators[generator]
        if g.available == NONE:
            return None
        if not self.fresh(g.available):
            return self.generation_w[generator]
        return max(0, min(g.rated_w, self.value(g.available, 0)))

    def soc_ppm(self, storage: int, *, for_discharge: bool) -> int:
        """State of charge; once lost it is empty for discharge and full for charge."""
        s = self._site.storages[storage]
        if self.known(s.soc):
            return self.value(s.soc, 0)
        if s.soc == NONE:
            return PPM // 2
        return 0 if for_discharge else PPM

    def _loads(self, tree: RatingTree) -> RatingLoads:
        site = self._site
        loads = RatingLoads(tree)
        self._net: dict[int, int] = {}
        parts: list[tuple[int, int, int, Member, bool]] = []
        for gi, g in enumerate(site.generators):
            parts.append(
                (
                    g.device,
                    g.rating,
                    -self.generation_w[gi],
                    Member(g.device, g.phases, g.power_factor_ppm),
                    self.fresh(g.power),
                )
            )
        for ci, c in enumerate(site.consumers):
            parts.append(
                (
                    c.device,
                    c.rating,
                    self.consumption_w[ci],
                    Member(c.device, c.phases, c.power_factor_ppm),
                    self.fresh(c.power),
                )
            )
        for si, s in enumerate(site.storages):
            parts.append(
                (
                    s.device,
                    s.rating,
                    self.storage_w[si],
                    Member(s.device, s.phases, s.power_factor_ppm),
                    self.fresh(s.power),
                )
            )
        known_w = [0] * len(tree.ratings)
        all_fresh = [True] * len(tree.ratings)
        summed = [[0, 0, 0] for _ in tree.ratings]
        for device, above, power_w, member, fresh in parts:
            self._net[device] = power_w
            for r in tree.chain(above):
                known_w[r] += power_w
                all_fresh[r] = all_fresh[r] and fresh
                spread = spread_va(power_w, member.phases, member.power_factor_ppm, tree.ratings[r].phases)
                for p in range(3):
                    summed[r][p] += spread[p]
        for r, rating in enumerate(tree.ratings):
            metered = self.received_ms(rating.power) >= 0
            currents = [self.received_ms(s) >= 0 for s in rating.currents]
            count = 1 if rating.phases == 1 else 3
            if metered:
                loads.net_w[r] = self.value(rating.power, 0)
                loads.unmetered_w[r] = loads.net_w[r] - known_w[r]
            else:
                loads.net_w[r] = known_w[r] + rating.residue_w
                loads.unmetered_w[r] = rating.residue_w
            if all(currents[:count]):
                sign = -1 if metered and loads.net_w[r] < 0 else 1
                loads.load_va[r] = [
                    sign * (abs(self.value(s, 0)) * rating.voltage_mv // PPM) if p < count else 0
                    for p, s in enumerate(rating.currents)
                ]
                loads.fresh[r] = all(self.fresh(s) for s in rating.currents[:count]) and (
                    not metered or self.fresh(rating.power)
                )
            elif metered:
                loads.load_va[r] = spread_va(loads.net_w[r], 7, PPM, rating.phases)
                loads.fresh[r] = self.fresh(rating.power)
            else:
                residue = spread_va(rating.residue_w, 7, PPM, rating.phases)
                loads.load_va[r] = [a + b for a, b in zip(summed[r], residue, strict=True)]
                loads.fresh[r] = all_fresh[r] and rating.power == NONE
        return loads
