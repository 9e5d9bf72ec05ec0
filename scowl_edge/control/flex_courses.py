"""What all that is selected comes to in the coming hours, slot by slot: a sum of thousands, kept up cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scowl_edge.dsr.portfolio import Asked
from scowl_edge.dsr.settlement import Account
from scowl_edge.model.flex_view import FlexSlotView
from scowl_edge.model.profile import Timeline
from scowl_edge.model.profile_slots import slot_means

AT_ONCE = 100
"""Selections that are taken in or out at one look."""
MOST_SLOTS = 192
"""Slots ahead that are shown, and of one selection that are counted."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one selection adds."""

    account: Account
    first: int
    """Number of its first slot."""
    promised_w: tuple[int, ...]
    intended_w: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class FlexCourses:
    """Sums over the open selections of a provider, by slot."""

    slot_ms: int = 0
    parts: dict[str, _Part] = field(default_factory=dict)
    promised_w: dict[int, int] = field(default_factory=dict)
    """By number of the slot since 1970."""
    intended_w: dict[int, int] = field(default_factory=dict)

    def follow(self, asked: Mapping[str, Asked], slot_ms: int) -> None:
        """Takes in what changed, of so many selections at a time."""
        if slot_ms != self.slot_ms:
            self.slot_ms = slot_ms
            self.parts, self.promised_w, self.intended_w = {}, {}, {}
        for select_id in [s for s in self.parts if s not in asked][:AT_ONCE]:
            self._count(self.parts.pop(select_id), -1)
        changed = [s for s, a in asked.items() if s not in self.parts or self.parts[s].account is not a.account]
        for select_id in changed[:AT_ONCE]:
            known = self.parts.get(select_id)
            if known is not None:
                self._count(known, -1)
            self.parts[select_id] = part = self._part(asked[select_id].account)
            self._count(part, 1)

    def ahead(self, wall_ms: int, target: Timeline | None) -> tuple[FlexSlotView, ...]:
        """From the present slot to the last in which anything is selected; nothing if nothing is."""
        first = wall_ms // self.slot_ms if self.slot_ms else 0
        last = max((slot for sums in (self.promised_w, self.intended_w) for slot, w in sums.items() if w), default=-1)
        count = min(MOST_SLOTS, last - first + 1)
        if count <= 0:
            return ()
        wanted: tuple[int | None, ...] = (None,) * count
        if target is not None:
            wanted = slot_means(target, start_ms=first * self.slot_ms, slot_ms=self.slot_ms, count=count)
        return tuple(
            FlexSlotView(
                start_utc_ms=slot * self.slot_ms,
                length_s=self.slot_ms // 1000,
                promised_w=self.promised_w.get(slot, 0),
                intended_w=self.intended_w.get(slot, 0),
                target_w=wanted_w,
            )
            for slot, wanted_w in zip(range(first, first + count), wanted, strict=True)
        )

    def _part(self, account: Account) -> _Part:
        first = account.begin_ms // self.slot_ms
        count = min(MOST_SLOTS, max(1, -(-account.end_ms // self.slot_ms) - first))
        promised, intended = (
            tuple(w or 0 for w in slot_means(course, start_ms=first * self.slot_ms, slot_ms=self.slot_ms, count=count))
            for course in (account.promised, account.baseline)
        )
        return _Part(account, first, promised, intended)

    def _count(self, part: _Part, sign: int) -> None:
        for sums, powers_w in ((self.promised_w, part.promised_w), (self.intended_w, part.intended_w)):
            for slot, power_w in enumerate(powers_w, part.first):
                left = sums.get(slot, 0) + sign * power_w
                if left:
                    sums[slot] = left
                else:
                    sums.pop(slot, None)
