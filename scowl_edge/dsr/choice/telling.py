"""What a choice says: which selections it means, why each was made, and which ratings it could not keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scowl_edge.dsr.choice.board import I64, course_of, total_excess
from scowl_edge.dsr.choice.choose import Chosen, objective_of
from scowl_edge.dsr.choice.expand import Instance
from scowl_edge.dsr.slotted import slot_powers


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """What one appliance is to run."""

    esa_id: str
    offer_id: str
    profile_id: str
    start_ms: int
    """UTC."""
    as_intended: bool
    """What it would run anyway: nothing needs to be selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Slots in a row, and how many W in each on average."""

    first: int
    last: int
    mean_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an appliance runs what it does, all others staying as chosen."""

    gain: int
    """By how much the objective would be worse if it ran as intended, in W^2."""
    relieved: tuple[Stretch, ...]
    """Where it takes less (or feeds in more) than intended."""
    filled: tuple[Stretch, ...]
    """Where it takes more."""
    ratings: tuple[str, ...]
    """Ratings that would be exceeded if it ran as intended."""

    def __str__(self) -> str:
        if not (self.relieved or self.filled):
            return "runs as intended: no other choice of its own comes nearer to the target"
        said = [f"{s.mean_w} W less in slots {s.first} to {s.last}" for s in self.relieved]
        said += [f"{s.mean_w} W more in slots {s.first} to {s.last}" for s in self.filled]
        text = ", ".join(said)
        if self.ratings:
            return f"{text}: else {', '.join(self.ratings)} would be exceeded"
        return f"{text}: nearer to the target by {self.gain:,} W^2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """A rating that even the best plan found exceeds: a limit has to be sent."""

    rating: str
    slot: int
    over_w: int
    """Above the import limit; negative below the export limit."""

    def __str__(self) -> str:
        kind = "import" if self.over_w > 0 else "export"
        return f"{self.rating}: {abs(self.over_w):,} W above its {kind} limit in slot {self.slot}"


def picked(instance: Instance, chosen: Chosen, who: int) -> Picked:
    """What an appliance, given by its position, is to run."""
    board = instance.board
    span = int(chosen.span[who])
    offer, number = instance.sources[span]
    turns = int(chosen.at[who]) - int(board.span_first[span])
    return Picked(
        esa_id=instance.appliances[who],
        offer_id=offer.offer_id,
        profile_id=offer.profiles[number].profile_id,
        start_ms=int(instance.span_start_ms[span]) + turns * instance.horizon.slot_s * 1000,
        as_intended=span == int(board.idle_span[who]),
    )


def powers(instance: Instance, span: int, at: int) -> I64:
    """(T) W of a choice by slot."""
    board = instance.board
    profile = int(board.span_profile[span])
    first, after = int(board.edge_start[profile]), int(board.edge_start[profile + 1])
    changes = np.zeros(len(board.target) + 1, np.int64)
    np.add.at(changes, at + board.edge_at[first:after], board.edge_by[first:after])
    return np.cumsum(changes)[:-1]


def reason(instance: Instance, chosen: Chosen, who: int) -> Reason:
    """Why an appliance, given by its position, runs what it does."""
    board = instance.board
    idle_span = int(board.idle_span[who])
    span = int(chosen.span[who])
    more = powers(instance, span, int(chosen.at[who])) - powers(instance, idle_span, int(board.idle_at[who]))
    without = [r + m for r, m in zip(chosen.residual_w.tolist(), more.tolist(), strict=True)]
    cost = int(board.span_cost[idle_span]) - int(board.span_cost[span])
    gain = cost + sum(w * w for w in without) - sum(r * r for r in chosen.residual_w.tolist())
    return Reason(
        gain=gain,
        relieved=_stretches(-more),
        filled=_stretches(more),
        ratings=_exceeded(instance, chosen, who, more) if more.any() else (),
    )


def overloads(instance: Instance, chosen: Chosen) -> tuple[Overload, ...]:
    """Where the plan exceeds ratings, and by how much; nothing for a plan that can be used as it is."""
    if not chosen.excess_w:
        return ()
    board = instance.board
    below = course_of(board, chosen.span, chosen.at).below
    over = np.maximum(0, below - board.most) - np.maximum(0, board.least - below)
    return tuple(
        Overload(rating=instance.ratings[node], slot=slot, over_w=int(over[node, slot]))
        for node, slot in np.argwhere(over).tolist()
    )


def weigh(instance: Instance, chosen: Chosen, setpoints_w: Mapping[int, Sequence[int]]) -> tuple[int, int]:
    """(W above ratings, objective) of a plan with powers that are set, one an element, by position of the appliance."""
    board, horizon = instance.board, instance.horizon
    course = course_of(board, chosen.span, chosen.at)
    for who, powers_w in setpoints_w.items():
        span = int(chosen.span[who])
        turns = int(chosen.at[who]) - int(board.span_first[span])
        start_ms = int(instance.span_start_ms[span]) + turns * horizon.slot_s * 1000
        first, within = divmod(horizon.offset_s(start_ms), horizon.slot_s)
        offer, number = instance.sources[span]
        elements = offer.profiles[number].elements
        after = slot_powers(elements, within, horizon.slot_s, 0, powers_w)
        before = slot_powers(elements, within, horizon.slot_s)
        for slot in range(max(0, first), min(horizon.slots, first + len(after))):
            more = after[slot - first] - before[slot - first]
            course.residual[slot] -= more
            node = int(board.rating[who])
            while node >= 0:
                course.below[node, slot] += more
                node = int(board.parent[node])
    return int(total_excess(board, course)), objective_of(board, course)


def _exceeded(instance: Instance, chosen: Chosen, who: int, more: I64) -> tuple[str, ...]:
    board = instance.board
    found, node = list[str](), int(board.rating[who])
    if node < 0:
        return ()
    below = course_of(board, chosen.span, chosen.at).below - more
    while node >= 0:
        if (below[node] > board.most[node]).any() or (below[node] < board.least[node]).any():
            found.append(instance.ratings[node])
        node = int(board.parent[node])
    return tuple(found)


def _stretches(power: I64) -> tuple[Stretch, ...]:
    """Runs of slots with a positive power."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (power > 0).astype(np.int64), [0]])))
    pairs = edges.reshape(-1, 2).tolist()
    return tuple(
        Stretch(first=first, last=after - 1, mean_w=int(power[first:after].sum()) // (after - first))
        for first, after in pairs
    )
