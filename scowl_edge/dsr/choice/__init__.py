"""The choice among offers: one profile and start for each appliance, so that the sum follows a target under ratings.

`expand` makes a board of offers (an `Expander` keeps what did not change), `choose` a plan with a certified gap,
`replan` and `improved` keep one up to date (`hold`: an appliance can no longer be moved), `fill` sets what can be
modulated; `picked`, `reason` and `overloads` say what it means. All of it is integers: the same seed and budget give
the same plan, compiled or not.

Importing it loads the compiler, where there is one: import it in the worker that chooses.
"""

from scowl_edge.dsr.choice.choose import Budget, Chosen, budget_for, choose, improved, replan
from scowl_edge.dsr.choice.expand import Expander, Instance, expand, hold
from scowl_edge.dsr.choice.limits import TooLarge
from scowl_edge.dsr.choice.question import BadInstance, Candidate, Question, Rates, SlotRating, Standing
from scowl_edge.dsr.choice.telling import Overload, Picked, Reason, overloads, picked, reason, weigh
from scowl_edge.dsr.choice.water import fill
from scowl_edge.dsr.slotted import Horizon

__all__ = [
    "BadInstance",
    "Budget",
    "Candidate",
    "Chosen",
    "Expander",
    "Horizon",
    "Instance",
    "Overload",
    "Picked",
    "Question",
    "Rates",
    "Reason",
    "SlotRating",
    "Standing",
    "TooLarge",
    "budget_for",
    "choose",
    "expand",
    "fill",
    "hold",
    "improved",
    "overloads",
    "picked",
    "reason",
    "replan",
    "weigh",
]
