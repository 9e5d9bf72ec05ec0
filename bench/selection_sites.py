"""Instances for the selection benchmark, by seed: 5 profiles x 16 starts x 96 slots, one nested rating.

A quarter of an hour a slot. Each appliance has 5 profiles, 4 to 16 slots long with 1 to 4 levels of power, around a
size of its own (lognormal, about 2 kW), and 16 starts in a row. Left alone it runs its first profile, most of them in
the evening. The target is a day with much sun, with 5 % more energy than that. Half of the appliances are below a
feeder, whose rating is 46 % of the target's peak (more where there are few appliances, whose loads do not even out);
the site around it has 110 %.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.dsr.choice.board import Board, idle_course

PROFILES, STARTS, SLOTS = 5, 16, 96


def site(people: int, seed: int) -> Board:
    """An instance of so many appliances."""
    rng = np.random.default_rng([seed, people])
    spans = people * PROFILES
    size = np.exp(rng.normal(7.4, 0.6, people))
    levels = rng.integers(1, 5, spans)
    length = rng.integers(4, 17, spans)
    edges, at, by, squares = [0], [], [], []
    for span in range(spans):
        n = int(levels[span])
        cuts = np.sort(rng.choice(np.arange(1, length[span]), n - 1, replace=False)) if n > 1 else np.zeros(0, int)
        bounds = np.concatenate([[0], cuts, [length[span]]])
        power = np.rint(size[span // PROFILES] * rng.uniform(0.2, 1.8, n)).astype(np.int64)
        at += bounds.tolist()
        by += np.diff(np.concatenate([[0], power, [0]])).tolist()
        squares.append(int((power**2 * np.diff(bounds)).sum()))
        edges.append(len(at))
    evening = rng.random(people) < 0.6
    first = np.where(evening, rng.normal(66, 5, people), rng.uniform(0, 64, people))
    first = np.clip(np.rint(first), 0, SLOTS - 16 - STARTS + 1).astype(np.int64)
    evening_back = rng.integers(0, STARTS, people)
    first = np.clip(first - evening_back, 0, None)
    span_first = np.repeat(first, PROFILES)
    end = first + STARTS - 1 + length.reshape(people, PROFILES).max(1)
    peak = np.asarray([np.cumsum(by[edges[s] : edges[s + 1]]).max() for s in range(spans)])
    i64 = np.int64
    board = Board(
        target=np.zeros(SLOTS, i64),
        edge_start=np.asarray(edges, i64),
        edge_at=np.asarray(at, i64),
        edge_by=np.asarray(by, i64),
        square=np.asarray(squares, i64),
        span_start=np.arange(0, spans + 1, PROFILES, dtype=i64),
        span_profile=np.arange(spans, dtype=i64),
        span_first=span_first,
        span_step=np.ones(spans, i64),
        span_count=np.full(spans, STARTS, i64),
        span_cost=np.zeros(spans, i64),
        idle_span=np.arange(0, spans, PROFILES, dtype=i64),
        idle_at=first + evening_back,
        begin=first,
        end=end,
        highest=peak.reshape(people, PROFILES).max(1),
        lowest=np.zeros(people, i64),
        rating=rng.integers(0, 2, people),
        parent=np.asarray([1, -1], i64),
        most=np.full((2, SLOTS), 1 << 40, i64),
        least=np.full((2, SLOTS), -(1 << 40), i64),
    )
    idle = idle_course(board)
    slot = np.arange(SLOTS)
    sun = np.clip(np.cos((slot - 50) / 24 * np.pi / 2), 0, None) ** 1.5
    shape = 0.35 + sun + 0.25 * np.exp(-(((slot - 76) / 6) ** 2))
    shape *= 1 + 0.05 * rng.normal(size=SLOTS)
    energy = -int(idle.residual.sum())
    board.target[:] = np.rint(shape / shape.sum() * energy * 1.05)
    board.most[0] = int(board.target.max()) * int(46 + 200 / np.sqrt(people)) // 100
    board.most[1] = int(board.target.max()) * int(110 + 200 / np.sqrt(people)) // 100
    return board
