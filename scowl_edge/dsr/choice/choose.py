"""The choice: one profile and start for each appliance, so that the sum follows the target under nested ratings.

The objective, for bound and plan alike, is the *squared deviation from the target plus costs*: the sum over slots of
(target - sum of the chosen powers)^2, in W^2, plus the cost of each choice. Ratings are hard: of two plans the one that
exceeds them less is better, whatever its objective.

Few plans are all tried. Else appliances are placed one after the other, improved in turn (coordinate descent), and, up
to some thousands of them, drawn anew by annealing, several times over; few ones also in pairs. Effort is counted in
*moves*, one for each time that all choices of an appliance are valued: the same seed and budget give the same plan.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from scowl_edge.dsr.choice.anneal import anneal, gumbel
from scowl_edge.dsr.choice.board import I64, Board, Course, copied, course_of, idle_course, total_excess
from scowl_edge.dsr.choice.bound import Prices, approach, mixture_of, prices_of, proven
from scowl_edge.dsr.choice.descent import descend, place
from scowl_edge.dsr.choice.enumeration import enumerate_plans, plans_but_last
from scowl_edge.dsr.choice.limits import check, steepest
from scowl_edge.dsr.choice.pairs import descend_pairs

PPM = 1_000_000
MANY = 20_000
"""From so many appliances on placing and descent alone come near enough to the bound."""
FEW = 64
"""Up to so many are also improved in pairs."""
_LEAST_SWEEPS, _MOST_SWEEPS = 20, 4_000
_HOT_PPM, _COLD = 1_000_000, 1_000
"""Annealing begins at the mean square of a profile and ends a thousand times colder."""
_STEEPER = 16
NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a choice may take, in moves; wall time follows from the machine (about 1 us a move, compiled)."""

    moves: int
    """For the plan. Placing everybody once is not counted: without it there is no plan."""
    bound_moves: int = 0
    """For the certified bound; one that is less than the number of appliances certifies the plan's own prices."""


def budget_for(people: int) -> Budget:
    """A budget that serves well: half a second, compiled, up to 100,000 appliances."""
    if people >= MANY:
        return Budget(moves=people, bound_moves=2 * people)
    return Budget(moves=400_000, bound_moves=max(4 * people, 100_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A plan, how good it is, and what proves it."""

    span: I64
    """(N) span chosen for each appliance."""
    at: I64
    """(N) slot in which it starts."""
    residual_w: I64
    """(T) target less what all chosen profiles have."""
    objective: int
    """Squared deviation plus costs."""
    idle_objective: int
    """The same if nothing is asked of anybody."""
    bound: int | None
    """No plan within the ratings is better than this; None if not computed."""
    excess_w: int
    """W above ratings, summed over ratings and slots: 0 for a plan that can be used as it is."""
    idle_excess_w: int
    moves: int
    """Used for the plan."""
    exhaustive: bool
    """All plans were tried: it is the best one."""
    prices: Prices | None
    """What proves the bound; a later choice begins from them."""

    @property
    def gap_ppm(self) -> int | None:
        """At most so much above the best plan, in millionths of the bound, rounded up.

        None where nothing was proven: no bound, one that is not above 0, or a plan beyond the ratings.
        """
        if self.bound is None or (self.excess_w > 0 and not self.exhaustive):
            return None
        over = self.objective - self.bound
        if over == 0:
            return 0
        return None if self.bound <= 0 else -(-over * PPM // self.bound)

    @property
    def improvement_ppm(self) -> int | None:
        """Of what the bound would leave to gain over doing nothing, at least so much is gained; rounded down."""
        if self.bound is None or self.idle_objective <= self.bound:
            return None
        return (self.idle_objective - self.objective) * PPM // (self.idle_objective - self.bound)


def objective_of(board: Board, course: Course) -> int:
    """Squared deviation from the target plus costs, exactly."""
    squares: list[int] = [r * r for r in course.residual.tolist()]
    costs = board.span_cost[course.span]
    # Whole numbers of any size, where there are any.
    return sum(squares) + (sum(costs.tolist()) if costs.any() else 0)


def choose(board: Board, seed: int, budget: Budget, present: tuple[I64, I64] | None = None) -> Chosen:
    """The best plan that the budget finds; never worse than doing nothing, nor than the present plan (spans, starts).

    Where no other plan is better than the present one, it stays.

    Raises:
        TooLarge: powers or costs do not fit into 64 bits.
    """
    check(board)
    search = _Search(board, seed, budget)
    if not len(board.begin):
        return search.done(search.idle, exhaustive=True)
    standing = None if present is None else course_of(board, *_still_there(board, *present))
    if standing is not None:
        search.stay(standing)
    looked = plans_but_last(board, budget.moves)
    if looked <= budget.moves:
        course = copied(search.idle)
        search.used += enumerate_plans(board, course)
        search.offer(course)
        return search.done(search.best, exhaustive=True)
    if standing is not None:
        course = copied(standing)
        search.used += descend(board, course, search.steep, search.left // 4, NOBODY)
        search.offer(course)
    course = copied(search.idle)
    place(board, course, search.steep)
    search.descend(course)
    if len(board.begin) < MANY:
        search.anneal()
    if len(board.begin) <= FEW:
        course = copied(search.best)
        search.used += descend_pairs(board, course, search.steep, search.left)
        search.offer(course)
    return search.done(search.best)


def replan(board: Board, before: Chosen, budget: Budget, changed: I64 | None = None) -> Chosen:
    """A plan for what has changed a little, from the plan before; never worse than doing nothing, nor than that plan.

    `board` has the same appliances and spans as before, but other targets, ratings, costs, or starts. Whoever's choice
    is gone begins from doing nothing. With `changed` those appliances are looked at first, then all in turn.
    """
    return improved(board, (before.span, before.at), budget, changed, before.prices)


def improved(
    board: Board, present: tuple[I64, I64], budget: Budget, changed: I64 | None = None, prices: Prices | None = None
) -> Chosen:
    """The same from any plan (spans, starts). Only what makes it better is changed."""
    check(board)
    search = _Search(board, 0, budget)
    course = course_of(board, *_still_there(board, *present))
    search.stay(copied(course))
    search.descend(course, NOBODY if changed is None else changed)
    return search.done(search.best, prices=prices)


def _still_there(board: Board, span: I64, at: I64) -> tuple[I64, I64]:
    """A plan in which whoever's choice is not among the choices of the board does nothing."""
    own = (span >= board.span_start[:-1]) & (span < board.span_start[1:])
    span = np.where(own, span, board.idle_span)
    turn, rest = np.divmod(at - board.span_first[span], board.span_step[span])
    there = own & (rest == 0) & (turn >= 0) & (turn < board.span_count[span])
    return np.where(there, span, board.idle_span), np.where(there, at, board.idle_at)


class _Search:
    """The best plan so far, and what is left of the budget."""

    def __init__(self, board: Board, seed: int, budget: Budget) -> None:
        self.board, self.budget, self.seed, self.used = board, budget, seed, 0
        self.idle = idle_course(board)
        self.best, self.key = self.idle, self._key(self.idle)
        self.idle_key = self.key
        self.limit = steepest(board)
        # No rating is worth more than what the worst slot costs.
        self.steep = min(self.limit, 4 * int(np.abs(self.idle.residual).max(initial=0)) + 1)

    @property
    def left(self) -> int:
        """Moves that may still be used."""
        return max(0, self.budget.moves - self.used)

    def _key(self, course: Course) -> tuple[int, int]:
        return int(total_excess(self.board, course)), objective_of(self.board, course)

    def offer(self, course: Course) -> None:
        """Keeps a plan if it is better than the best so far."""
        key = self._key(course)
        if key < self.key:
            self.best, self.key = course, key

    def stay(self, course: Course) -> None:
        """Begins with a plan that stands, unless doing nothing is better."""
        key = self._key(course)
        if key <= self.key:
            self.best, self.key = course, key

    def descend(self, course: Course, first: I64 = NOBODY) -> None:
        """Improves a plan appliance by appliance, with penalties steep enough to stay within the ratings if need be."""
        self.used += descend(self.board, course, self.steep, self.left, first)
        self.offer(course)
        while self.key[0] > 0 and self.steep < self.limit and self.left:
            self.steep = min(self.limit, self.steep * _STEEPER)
            course = copied(course)
            self.used += descend(self.board, course, self.steep, self.left, first)
            self.offer(course)

    def anneal(self) -> None:
        """Draws plans anew until the budget is used up; each is then improved, and kept if it is the best."""
        people = len(self.board.begin)
        hot = int(self.board.square.sum()) // len(self.board.square) * _HOT_PPM // PPM + 1
        turns = 1 if people > 1_000 else 2 if people > FEW else 8
        # A few sweeps are for the descent after it.
        sweeps = min(_MOST_SWEEPS, self.left // turns // people - 6)
        turn = 0
        while sweeps >= _LEAST_SWEEPS and self.left >= (sweeps + 2) * people:
            course = copied(self.best)
            drawn = int.from_bytes(hashlib.blake2b(f"{self.seed}:{turn}".encode(), digest_size=4).digest())
            cooling = _cooling(sweeps)
            self.used += anneal(self.board, course, self.steep, gumbel(), drawn, hot, cooling, sweeps)
            self.descend(course)
            turn += 1

    def done(self, course: Course, *, exhaustive: bool = False, prices: Prices | None = None) -> Chosen:
        """The plan with its bound."""
        assert self.key <= self.idle_key, "doing nothing is always among the plans"
        bound: int | None = None
        if exhaustive:
            bound = self.key[1]
        elif self.budget.bound_moves:
            bound, prices = self._bound(course)
        return Chosen(
            span=course.span,
            at=course.at,
            residual_w=course.residual,
            objective=self.key[1],
            idle_objective=self.idle_key[1],
            bound=bound,
            excess_w=self.key[0],
            idle_excess_w=self.idle_key[0],
            moves=self.used,
            exhaustive=exhaustive,
            prices=prices,
        )

    def _bound(self, course: Course) -> tuple[int, Prices]:
        mixture = mixture_of(self.board, course)
        scratch = copied(course)
        approach(self.board, scratch, mixture, self.budget.bound_moves // len(self.board.begin))
        prices = prices_of(self.board, mixture)
        return proven(self.board, scratch, prices), prices


def _cooling(sweeps: int) -> int:
    """The factor, times 2^20, that makes a thousandth in so many sweeps."""
    low, high = 0, 1 << 20
    while high - low > 1:
        middle, rest = (low + high) // 2, 1 << 40
        for _ in range(sweeps):
            rest = (rest * middle) >> 20
        low, high = (middle, high) if rest * _COLD <= 1 << 40 else (low, middle)
    return high
