"""Populations for tests: drawn from a seed, laid out, with plants; and a second, uncompiled copy of the kernels."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np

from scowl_edge.tracker.population.census import draw, draw_fleet, nested_zones
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Layout, lay_out

KERNELS = "scowl_edge.tracker.population"


def drawn(
    consumers: int, trees: int, seed: int = 1, *, ratio_ppm: int = 1_050_000, leaves: int = 1, quantum_w: int = 10
) -> tuple[Columns, Layout]:
    """A population with all trees alive and nobody in any; safe loads add up to `ratio_ppm` of the demand.

    `leaves` > 1 gives a tree of ratings, three levels deep and without limits.
    """
    census = draw(consumers, seed, zones=leaves, quantum_w=quantum_w)
    parents = None
    if leaves > 1:
        parents, leaf = nested_zones(leaves)
        census = replace(census, zone=leaf[census.zone])
    columns, layout = lay_out(census, trees, zone_parent=parents)
    total = int(census.nominal.sum())
    columns.tree_safe[:] = draw_fleet(trees, total * ratio_ppm // 1_000_000, seed).rated
    columns.tree_alive[:] = 1
    return columns, layout


def copied(columns: Columns) -> Columns:
    """The same state in arrays of its own."""
    return Columns(*(column.copy() for column in columns))


def same(one: Columns, other: Columns) -> bool:
    """Whether two states are equal; what `tree` holds outside of mixed blocks does not count."""
    return all(
        np.array_equal(a, b)
        for name, a, b in zip(one._fields, assignments(one), assignments(other), strict=True)
        if name
    )


def assignments(columns: Columns) -> Columns:
    """The columns with `tree` filled in for every slot."""
    tree = np.repeat(columns.block_tree, np.diff(columns.block_start))
    mixed = tree == 65_534
    tree[mixed] = columns.tree[mixed]
    tree[columns.demand == 0] = NO_TREE
    return columns._replace(tree=tree)


def uncompiled(name: str) -> ModuleType:
    """A fresh copy of a kernel module (`repair`, `fill`, ...) and all that it calls, as plain Python."""
    kept = {n: m for n, m in sys.modules.items() if n.startswith(KERNELS) or n == "scowl_edge.compiled"}
    columns = sys.modules[f"{KERNELS}.columns"]
    for n in kept:
        del sys.modules[n]
    # The shapes stay the same classes, so that states may be handed to either copy.
    sys.modules[f"{KERNELS}.columns"] = columns
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
