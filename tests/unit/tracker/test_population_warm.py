"""After warming nothing is compiled any more, whatever a population goes through."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from scowl_edge.compiled import COMPILED
from scowl_edge.tracker.population.columns import Columns


@pytest.mark.skipif(not COMPILED, reason="kernels are not compiled here: the extra `scale` is not installed")
def test_nothing_is_compiled_in_a_step() -> None:
    from scowl_edge.assembly import assemble
    from scowl_edge.tracker.population.population import Population
    from scowl_edge.tracker.population.warm import warm

    warm()
    before = loaded()
    assert len(before) > 200
    for supply in (60, 160, 250):
        text = f"{{site: {{id: s}}, populations: {{t: {{consumers: 5000, trees: 20, supply: {supply} %}}}}}}"
        population = Population(assemble(text, "s.yaml").site.populations[0])
        for second in range(130):
            population.columns.zone_limit[1] = 10**9 if second % 40 < 30 else 10
            population.step((5_000 + second) * 1_000, (), deciding=True, advisory=second % 50 == 49)
        population.restore(population.snapshot())
        population.view()
        population.section()
    assert loaded() == before


def loaded() -> dict[str, list[Any]]:
    """What each kernel is compiled for in this process, were it now or loaded from what an earlier one has kept."""
    package = Columns.__module__.rpartition(".")[0]
    return {
        f"{kernel.__module__}.{kernel.__name__}": list(kernel.overloads)
        for name, module in list(sys.modules.items())
        if name.startswith(package)
        for kernel in vars(module).values()
        if hasattr(kernel, "overloads") and kernel.__module__ == name
    }
