"""What a worker's process is given to do; importing this loads no compiler, doing it does."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scowl_edge.dsr.planning import Job
    from scowl_edge.dsr.proposing import Planner
    from scowl_edge.model.flexibility import Proposal


def plan(job: Job) -> Proposal:
    """The best plan within the job's budget; what the process keeps from one job to the next only saves time."""
    return _planner().propose(job)


def warm() -> None:
    """Has everything compiled that `plan` needs."""
    from scowl_edge.dsr.choice.warm import warm as warm_choice

    warm_choice()


@cache
def _planner() -> Planner:
    """One for each process; it ends with it."""
    from scowl_edge.dsr.proposing import Planner

    return Planner()
