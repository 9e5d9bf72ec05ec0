"""Profiles by their powers, each kept once, as the slots at which the power changes."""

from __future__ import annotations

from collections.abc import Sequence


class Bank:
    """Columns of a board that belong to profiles, growing."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], int] = {}
        self.edge_start = [0]
        self.edge_at, self.edge_by = list[int](), list[int]()
        self.square, self.highest, self.lowest, self.length = list[int](), list[int](), list[int](), list[int]()

    def __len__(self) -> int:
        return len(self._known)

    def number(self, powers: Sequence[int]) -> int:
        """Position of a profile, given by its powers in W, slot by slot."""
        key = tuple(powers)
        known = self._known.get(key)
        if known is not None:
            return known
        at, by = self.edge_at, self.edge_by
        # The first edge is where it begins, even with 0 W.
        before = key[0] if key else 0
        at.append(0)
        by.append(before)
        square = highest = lowest = slot = 0
        for power in key:
            if power != before:
                at.append(slot)
                by.append(power - before)
                before = power
                if power > highest:
                    highest = power
                elif power < lowest:
                    lowest = power
            square += power * power
            slot += 1
        at.append(slot or 1)
        by.append(-before)
        first = key[0] if key else 0
        self.edge_start.append(len(at))
        self.square.append(square)
        self.highest.append(max(highest, first))
        self.lowest.append(min(lowest, first))
        self.length.append(slot or 1)
        number = self._known[key] = len(self._known)
        return number
