"""Boards for tests of the choice: small ones by seed; all plans of one; and an uncompiled copy of the kernels."""

from __future__ import annotations

import importlib
import os
import sys
from itertools import product
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.dsr.choice.board import Board, idle_course

KERNELS = "scowl_edge.dsr.choice"


def small_board(
    seed: int, *, people: int = 0, choices: int = 12, slots: int = 24, costs: int = 0, room_ppm: int = 0
) -> Board:
    """A board by seed: up to 6 appliances (or `people`) with up to `choices` choices each, some of them producing.

    `costs` > 0 draws costs up to that; `room_ppm` > 0 puts half of them below a rating, inside another one, with that
    part of the load that they have if nobody is asked.
    """
    rng = np.random.default_rng([seed, 77])
    people = people or int(rng.integers(2, 7))
    at, by, edges, squares, lengths, peaks = list[int](), list[int](), [0], list[int](), list[int](), list[int]()
    profile, first, step, count, start = list[int](), list[int](), list[int](), list[int](), [0]
    for _ in range(people):
        left = int(rng.integers(2, choices + 1))
        sign = -1 if rng.random() < 0.2 else 1
        while left:
            length = int(rng.integers(1, 9))
            power = sign * rng.integers(100, 4_000, length)
            power[1:] = np.where(rng.random(length - 1) < 0.5, power[:-1], power[1:])
            turns, gap = int(rng.integers(1, min(left, 5) + 1)), int(rng.integers(1, 3))
            profile.append(len(squares))
            first.append(int(rng.integers(0, slots - length - (turns - 1) * gap + 1)))
            step.append(gap)
            count.append(turns)
            at += range(length + 1)
            by += np.diff(np.concatenate([[0], power, [0]])).tolist()
            edges.append(len(at))
            squares.append(int((power**2).sum()))
            lengths.append(length)
            peaks.append(int(power[np.argmax(np.abs(power))]))
            left -= turns
        start.append(len(profile))
    own = [range(start[w], start[w + 1]) for w in range(people)]

    def column(values: list[int]) -> NDArray[np.int64]:
        return np.asarray(values, np.int64)

    board = Board(
        target=rng.integers(-500, 2_500 * people, slots),
        edge_start=column(edges),
        edge_at=column(at),
        edge_by=column(by),
        square=column(squares),
        span_start=column(start),
        span_profile=column(profile),
        span_first=column(first),
        span_step=column(step),
        span_count=column(count),
        span_cost=rng.integers(-costs, costs + 1, len(profile)),
        idle_span=column(start[:-1]),
        idle_at=column([first[s] for s in start[:-1]]),
        begin=column([min(first[s] for s in o) for o in own]),
        end=column([max(first[s] + (count[s] - 1) * step[s] + lengths[s] for s in o) for o in own]),
        highest=column([max(0, *(peaks[s] for s in o)) for o in own]),
        lowest=column([min(0, *(peaks[s] for s in o)) for o in own]),
        rating=rng.integers(0, 2, people) if room_ppm else np.full(people, -1),
        parent=column([-1, 0] if room_ppm else []),
        most=np.full((2 if room_ppm else 0, slots), 1 << 40),
        least=np.full((2 if room_ppm else 0, slots), -(1 << 40)),
    )
    if room_ppm:
        below = idle_course(board).below
        board.most[:] = np.maximum(0, below.max(axis=1) * room_ppm // 1_000_000)[:, None]
        board.least[:] = np.minimum(0, below.min(axis=1) * room_ppm // 1_000_000)[:, None]
    return board


class Choices(NamedTuple):
    """All choices of one appliance, written out."""

    power: NDArray[np.int64]
    """(choices, slots) W."""
    cost: NDArray[np.int64]


def choices_of(board: Board, who: int) -> Choices:
    """The choices of an appliance, read from its spans anew, without the kernels."""
    rows, costs = [], []
    for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
        number = int(board.span_profile[span])
        edges = slice(int(board.edge_start[number]), int(board.edge_start[number + 1]))
        for turn in range(int(board.span_count[span])):
            row = np.zeros(len(board.target) + 1, np.int64)
            begin = int(board.span_first[span]) + turn * int(board.span_step[span])
            for at, by in zip(board.edge_at[edges].tolist(), board.edge_by[edges].tolist(), strict=True):
                row[begin + at :] += by
            rows.append(row[:-1])
            costs.append(int(board.span_cost[span]))
    return Choices(np.asarray(rows), np.asarray(costs))


def best_of_all(board: Board) -> tuple[int, int]:
    """(excess, objective) of the best of all plans, by trying them all; without the kernels."""
    people = [choices_of(board, who) for who in range(len(board.begin))]
    half = len(people) // 2
    nodes = len(board.parent)

    def within(who: int, node: int) -> bool:
        at = int(board.rating[who])
        while at >= 0 and at != node:
            at = int(board.parent[at])
        return at == node

    def sums(some: range) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        plans = np.asarray(list(product(*(range(len(people[w].cost)) for w in some))), np.int64)
        load = sum(people[w].power[plans[:, k]] for k, w in enumerate(some))
        cost = sum(people[w].cost[plans[:, k]] for k, w in enumerate(some))
        below = np.zeros((nodes, len(plans), len(board.target)), np.int64)
        for node in range(nodes):
            for k, w in enumerate(some):
                if within(w, node):
                    below[node] += people[w].power[plans[:, k]]
        return np.asarray(load), np.asarray(cost), below

    one, one_cost, one_below = sums(range(half))
    other, other_cost, other_below = sums(range(half, len(people)))
    best = (1 << 60, 1 << 60)
    rest = board.target - other
    squares = (rest**2).sum(axis=1) + other_cost
    for k in range(len(one)):
        over = np.zeros(len(other), np.int64)
        for node in range(nodes):
            below = other_below[node] + one_below[node, k]
            over += (np.maximum(0, below - board.most[node]) + np.maximum(0, board.least[node] - below)).sum(axis=1)
        least = int(over.min())
        if least > best[0]:
            continue
        worth = squares - 2 * (rest @ one[k]) + int((one[k] ** 2).sum()) + int(one_cost[k])
        best = min(best, (least, int(worth[over == least].min())))
    return best


def uncompiled_choice(name: str) -> ModuleType:
    """A fresh copy of a module of the choice and all that it calls, as plain Python."""
    kept = {n: m for n, m in sys.modules.items() if n.startswith(KERNELS) or n == "scowl_edge.compiled"}
    for n in kept:
        del sys.modules[n]
    before = os.environ.get("SCOWL_KERNELS")
    os.environ["SCOWL_KERNELS"] = "plain"
    try:
        return importlib.import_module(f"{KERNELS}.{name}")
    finally:
        if before is None:
            del os.environ["SCOWL_KERNELS"]
        else:
            os.environ["SCOWL_KERNELS"] = before
        for n in [n for n in sys.modules if n.startswith(KERNELS) or n == "scowl_edge.compiled"]:
            del sys.modules[n]
        sys.modules.update(kept)
        # A package remembers the last module that was imported into it.
        for n, module in kept.items():
            parent, _, child = n.rpartition(".")
            setattr(sys.modules[parent], child, module)
