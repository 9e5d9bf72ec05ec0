"""Few large items into few trees: best fit, largest first, then exchanges until nothing fits better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel


@kernel
def fit(sizes: NDArray[np.int64], order: NDArray[np.int64], want: NDArray[np.int64]) -> NDArray[np.int64]:
    """A tree for each item, -1 where none has room: best fit decreasing.

    Args:
        sizes: int64[items] quanta.
        order: int64[...] trees that take part.
        want: int64[trees] room in each, quanta; left as it is.
    """
    room = want.copy()
    trees = np.full(len(sizes), -1, np.int64)
    ranks = np.argsort(-sizes, kind="mergesort")
    for rank in ranks:
        size = int(sizes[rank])
        best = -1
        for tree in order:
            if int(room[tree]) >= size and (best < 0 or int(room[tree]) < int(room[best])):
                best = int(tree)
        if best >= 0:
            room[best] -= size
            trees[rank] = best
    return trees
