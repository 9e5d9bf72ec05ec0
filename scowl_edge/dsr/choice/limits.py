"""How large an instance may be: all that is computed has to fit into 64 bits, whatever is chosen."""

from __future__ import annotations

import numpy as np

from scowl_edge.dsr.choice.board import Board
from scowl_edge.dsr.choice.bound import FINE, RIGID
from scowl_edge.model.errors import ScowlError

_ROOM = 1 << 62


class TooLarge(ScowlError):
    """The powers of an instance, or its costs, do not fit into what the kernels count with."""


def reach_w(board: Board) -> int:
    """No residual and no load of a rating is ever larger than this, in W."""
    highest = np.maximum(board.highest, -board.lowest)
    target = int(np.abs(board.target).max(initial=0))
    return target + int(highest.sum()) + 1


def steepest(board: Board) -> int:
    """Largest penalty for a W above a rating that still fits."""
    reach, power, slots, depth = _sizes(board)
    return min(8 * reach, _ROOM // (4 * (power + 1) * slots * (depth + 1)))


def check(board: Board) -> None:
    """Refuses what does not fit.

    Raises:
        TooLarge: says what is too large, and by how much.
    """
    reach, power, slots, depth = _sizes(board)
    edges = int(np.diff(board.edge_start).max(initial=2))
    costs = int(np.abs(board.span_cost).max(initial=0))
    # Running sums of the residual times the changes of a profile; the same finer, with prices of ratings, in the bound.
    needed = max(
        4 * edges * power * slots * reach,
        2 * FINE * slots * power * reach * (1 + 2 * RIGID * depth),
        (FINE * power) ** 2 * slots * (1 + RIGID * depth) * 2,
    )
    if needed >= _ROOM:
        raise TooLarge(
            f"{len(board.begin):,} appliances of up to {power:,} W, {reach:,} W together, over {slots} slots do not "
            f"fit into 64 bits ({needed // _ROOM + 1} times too large); choose in parts, or count in kW"
        )
    if costs * FINE >= 1 << 60:
        raise TooLarge(f"a cost of {costs:,} does not fit (at most {(1 << 60) // FINE:,}); lower its weight")


def _sizes(board: Board) -> tuple[int, int, int, int]:
    depth = 0
    for node in range(len(board.parent)):
        steps, at = 1, int(board.parent[node])
        while at >= 0:
            steps, at = steps + 1, int(board.parent[at])
        depth = max(depth, steps)
    power = int(np.maximum(board.highest, -board.lowest).max(initial=0))
    return reach_w(board), power, len(board.target), depth
