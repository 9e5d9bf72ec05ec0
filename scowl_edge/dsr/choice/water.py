"""After the choice: elements whose power may be set are raised or lowered towards the target, like water into hollows.

Each adjustable element in turn takes the one power that leaves the least squared deviation over its slots, within its
bounds, the energy bounds of its profile, and what the ratings leave. Where a rating is exceeded, it gives way first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import I64, Board, Course, course_of
from scowl_edge.dsr.choice.choose import Chosen
from scowl_edge.dsr.choice.expand import Instance

PASSES = 4
_HOUR_S = 3_600
_WHOLE = 1 << 20
"""A slot that an element covers from end to end."""


class _Pieces(NamedTuple):
    """K adjustable elements of chosen profiles, with the slots (L in all) that they touch."""

    who: I64
    low: I64
    """(K) W below the expected power, 0 or less."""
    high: I64
    """(K) W above it, 0 or more."""
    dur_s: I64
    slot_start: I64
    """(K + 1) first of its slots."""
    slot: I64
    """(L)"""
    share: I64
    """(L) part of the slot that it covers, times 2^20."""
    set_w: I64
    """(K) what comes out: W added to the expected power."""


def fill(instance: Instance, chosen: Chosen) -> dict[int, tuple[int, ...]]:
    """Powers to be set, in W, one an element, by position of the appliance; only where they are not as expected."""
    board = instance.board
    pieces, elements, energy = _pieces(instance, chosen)
    if not len(pieces.who):
        return {}
    course = course_of(board, chosen.span, chosen.at)
    _fill(board, course, pieces, energy, PASSES)
    found: dict[int, list[int]] = {}
    for k in np.flatnonzero(pieces.set_w).tolist():
        who, element = int(pieces.who[k]), elements[k]
        offer, number = instance.sources[int(chosen.span[who])]
        expected = [e.p_nom_w for e in offer.profiles[number].elements]
        found.setdefault(who, expected)[element] += int(pieces.set_w[k])
    return {who: tuple(powers) for who, powers in found.items()}


def _pieces(instance: Instance, chosen: Chosen) -> tuple[_Pieces, list[int], I64]:
    """(pieces, which element each is, (N, 2) W s that each appliance may still lose and gain)."""
    board, horizon = instance.board, instance.horizon
    rows: list[tuple[int, int, int, int]] = []
    elements, starts, slots, shares = list[int](), [0], list[int](), list[int]()
    energy = np.zeros((len(board.begin), 2), np.int64)
    for who in range(len(instance.appliances)):
        span, at = int(chosen.span[who]), int(chosen.at[who])
        if span == int(board.idle_span[who]):
            continue  # nobody asked it: nothing is set
        offer, number = instance.sources[span]
        profile = offer.profiles[number]
        start_ms = int(instance.span_start_ms[span]) + (at - int(board.span_first[span])) * horizon.slot_s * 1000
        from_s = horizon.offset_s(start_ms)
        used = sum(e.p_nom_w * e.dur_s for e in profile.elements)
        least = used if profile.e_min_wh is None else profile.e_min_wh * _HOUR_S
        most = used if profile.e_max_wh is None else profile.e_max_wh * _HOUR_S
        # Without bounds of its energy, only those of its elements' powers hold.
        free = sum((e.p_max_w - e.p_min_w) * e.dur_s for e in profile.elements)
        energy[who] = (
            min(0, least - used) if profile.e_min_wh is not None else -free,
            max(0, most - used) if profile.e_max_wh is not None else free,
        )
        for place, element in enumerate(profile.elements):
            until_s = from_s + element.dur_s
            if element.p_min_w < element.p_max_w and from_s >= 0 and until_s <= horizon.slots * horizon.slot_s:
                rows.append((who, element.p_min_w - element.p_nom_w, element.p_max_w - element.p_nom_w, element.dur_s))
                elements.append(place)
                for slot in range(from_s // horizon.slot_s, -(-until_s // horizon.slot_s)):
                    covered = min(until_s, (slot + 1) * horizon.slot_s) - max(from_s, slot * horizon.slot_s)
                    slots.append(slot)
                    shares.append(covered * _WHOLE // horizon.slot_s)
                starts.append(len(slots))
            from_s = until_s
    table = np.asarray(rows, np.int64).reshape(len(rows), 4)
    return (
        _Pieces(
            who=table[:, 0].copy(), low=table[:, 1].copy(), high=table[:, 2].copy(), dur_s=table[:, 3].copy(),
            slot_start=np.asarray(starts, np.int64), slot=np.asarray(slots, np.int64),
            share=np.asarray(shares, np.int64), set_w=np.zeros(len(rows), np.int64),
        ),
        elements,
        energy,
    )  # fmt: skip


@kernel
def _fill(board: Board, course: Course, pieces: _Pieces, energy: I64, passes: int) -> None:
    for _ in range(passes):
        for k in range(len(pieces.who)):
            _set(board, course, pieces, energy, k)


@inner_kernel
def _set(board: Board, course: Course, pieces: _Pieces, energy: I64, k: int) -> None:
    who = int(pieces.who[k])
    first, after = int(pieces.slot_start[k]), int(pieces.slot_start[k + 1])
    wish, weight = 0, 0
    low, high = int(pieces.low[k]) - int(pieces.set_w[k]), int(pieces.high[k]) - int(pieces.set_w[k])
    dur_s = int(pieces.dur_s[k])
    low = max(low, -((0 - int(energy[who, 0])) // dur_s))
    high = min(high, int(energy[who, 1]) // dur_s)
    for at in range(first, after):
        slot, share = int(pieces.slot[at]), int(pieces.share[at])
        wish += share * int(course.residual[slot])
        weight += (share * share) >> 20
        node = int(board.rating[who])
        while node >= 0 and share > 0:
            up = int(board.most[node, slot]) - int(course.below[node, slot])
            down = int(course.below[node, slot]) - int(board.least[node, slot])
            if share < _WHOLE:
                # A part of a slot is rounded, by less than a W.
                up, down = up - min(1, max(0, up)), down - min(1, max(0, down))
            # Where it has to give way it does, as far as it can; else it stays within.
            high = min(high, max(low, (up << 20) // share))
            low = max(low, min(high, 0 - (down << 20) // share))
            node = int(board.parent[node])
    change = 0
    if weight > 0:
        change = min(max((wish + weight // 2) // weight, low), high)
    if change == 0:
        return
    pieces.set_w[k] += change
    energy[who, 0] -= change * dur_s
    energy[who, 1] -= change * dur_s
    for at in range(first, after):
        slot = int(pieces.slot[at])
        power = ((int(pieces.share[at]) * int(pieces.set_w[k])) >> 20) - (
            (int(pieces.share[at]) * (int(pieces.set_w[k]) - change)) >> 20
        )
        course.residual[slot] -= power
        node = int(board.rating[who])
        while node >= 0:
            course.below[node, slot] += power
            node = int(board.parent[node])
