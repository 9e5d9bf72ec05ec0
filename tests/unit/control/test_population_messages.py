"""What leaves for the peers of a population: one row for a block that changes hands, and for each place just one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from test_reported_population import District, assignments, started

from scowl_edge.model.batch import Assign, BatchKind
from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, NO_TREE, SLOT


def held(district: District) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tree of each slot that somebody has (NO_TREE elsewhere), and of each feed."""
    columns = district.town.columns
    tree = np.repeat(columns.block_tree, np.diff(columns.block_start))
    tree = np.where(tree == MIXED, columns.tree, tree)
    return np.where(columns.demand == 0, NO_TREE, tree).astype(np.int64), columns.big_tree.astype(np.int64)


def heed(district: District, told: Assign, slots: NDArray[np.int64], feeds: NDArray[np.int64]) -> None:
    """What receivers hold after a message, who take each row at its word."""
    columns = district.town.columns
    for kind, number, tree in zip(told.kind.tolist(), told.number.tolist(), told.tree.tolist(), strict=True):
        if kind == BLOCK:
            slots[columns.block_start[number] : columns.block_start[number + 1]] = tree
        elif kind == SLOT:
            slots[number] = tree
        else:
            assert kind == BIG
            feeds[number] = tree


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_lost_plant_is_one_message_with_one_row_a_block(share: float) -> None:
    district = started()
    columns, rated = district.town.columns, district.town.fleet.rated.tolist()
    slots, feeds = held(district)
    members = [int(m) for m in district.town.standing.tree_members]
    lost = int(np.argmax(members))
    rows = [(t, 0 if t == lost else int(w * share)) for t, w in enumerate(rated)]
    district.tell(BatchKind.OUTPUT, rows, sender=2)
    told = assignments(district.step())
    assert len(told) == 1, "one message a step"
    (message,) = told
    keys = list(zip(message.kind.tolist(), message.number.tolist(), strict=True))
    assert len(set(keys)) == len(keys), "each place once"
    for kind, number in keys:
        block = number if kind == BLOCK else int(columns.row_block[number // 16]) if kind == SLOT else -1
        assert kind == BIG or (columns.block_tree[block] == MIXED) == (kind == SLOT)
    before = slots.copy()
    heed(district, message, slots, feeds)
    now = held(district)
    there = columns.demand != 0
    assert np.array_equal(slots[there], now[0][there]), "who heeds every row holds what the plan says"
    assert np.array_equal(feeds, now[1])
    changed = int((before != now[0])[there].sum())
    of_blocks = sum(kind == BLOCK for kind, _ in keys)
    behind = sum(int(columns.block_members[number]) for kind, number in keys if kind == BLOCK)
    assert changed > 0
    assert behind > of_blocks > 0


def test_a_message_that_was_lost_is_made_up_for_by_its_repetition() -> None:
    district = started()
    slots, feeds = held(district)
    rated = district.town.fleet.rated.tolist()
    lost = int(np.argmax(rated))
    district.tell(BatchKind.OUTPUT, [(t, 0 if t == lost else w) for t, w in enumerate(rated)], sender=2)
    assert assignments(district.step()), "and nobody receives it"
    for _ in range(40):
        district.now_ms += 10_000
        district.tell(BatchKind.OUTPUT, [(t, 0 if t == lost else w) for t, w in enumerate(rated)], sender=2)
        plan = district.step()
        for message in assignments(plan):
            heed(district, message, slots, feeds)
        district.everybody_holds(plan)
    there = district.town.columns.demand != 0
    assert np.array_equal(slots[there], held(district)[0][there])
    assert np.array_equal(feeds, held(district)[1])
    assert lost not in set(slots[there].tolist())
