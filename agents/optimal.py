"""The optimum of a single dealer with integer lots, by dynamic programming, and the policy that plays it.

    U_t(x) = max over markups of E[what stage 5 earns + G_t(inventory after it)]
    V_t(q) = max over hedges h of -cost(h) + U_t(q + h),     G_t = holding reward + V_{t+1},   V_T = 0

Bellman (1957); for market making Gueant, Lehalle and Fernandez-Tapia (2013) in continuous time. Here time is the
engine's own, so that nothing is approximated. docs/optimum.md has the derivations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.best_quotes import LadderQuotes, SkewQuotes
from agents.config import OptimalSpec
from agents.exact import NEGLIGIBLE, Problem, Requests
from agents.policy import Seat
from agents.reading import Reading
from marketsim.actions import Skew
from marketsim.config import MarketConfig
from marketsim.tables import Tables
from marketsim.types import Hedge

ALL = 200  # lots: up to this position limit the grid is all that the limit allows
WIDEST = 1024  # lots: the automatic grid's last width
_MOST_ENTRIES = 30_000_000  # outcomes times states of one step that are held in memory


@dataclass(frozen=True)
class Solution:
    """What is best in each state. Cells in arrival order; inventory before that step's hedge.

    ``value`` (T+1, Q) is the expected reward from each state to the end; ``markups`` (T, Q, C) in price units, NaN =
    better not quoted; ``hedge`` (T, Q) in lots; ``inventory`` (Q,) in lots; ``optimal`` the value at the start, flat,
    in the units of the engine's summed reward.
    """

    value: np.ndarray
    markups: np.ndarray
    hedge: np.ndarray
    inventory: np.ndarray

    @property
    def optimal(self) -> float:
        return float(self.value[0, len(self.inventory) // 2])


def solve(config: MarketConfig, agent: int = 0, max_inventory: int | None = None) -> Solution:
    """The optimum over all markups and whole hedges that the dealer's limits let pass.

    The grid is that of the position limit or, without one of at most 200 lots, is doubled until the value no longer
    changes by more than 1e-9 of itself; ``max_inventory`` fixes it. Raises ValueError where there is no exact answer (see ``exact.support``), where the
    value grows with every grid, and where ``max_inventory`` is too small by the same measure.
    """
    problem = Problem(config, agent)
    return _widened(problem, LadderQuotes.free(problem), None, max_inventory)


def ceiling(config: MarketConfig, agent: int = 0) -> float:
    """The best value within the dealer's action class: its markup range and its hedge rule, under its limits.

    Exact for a ladder; for skew actions to the search of ``SkewQuotes``.
    """
    problem = Problem(config, agent)
    action = config.dealer_of[agent].action
    quotes = (
        SkewQuotes(action.half_spread, action.skew_max) if isinstance(action, Skew) else LadderQuotes.ranged(problem)
    )
    return _widened(problem, quotes, int(problem.dealer["hedge"]), None).optimal


def _widened(
    problem: Problem, quotes: LadderQuotes | SkewQuotes, hedge_rule: int | None, max_inventory: int | None
) -> Solution:
    """The solution on a grid wide enough. ``hedge_rule``: a ``types.Hedge``, or None for any hedge."""
    start = problem.limit if problem.limit <= ALL else max(64.0, 4.0 * problem.cells["size"].max())
    edge = int(min(problem.limit, max_inventory or start))
    solution = _backward(problem, quotes, hedge_rule, edge)
    while edge < problem.limit:
        edge = int(min(problem.limit, 2 * edge))
        wider = _backward(problem, quotes, hedge_rule, edge)
        change = wider.optimal - solution.optimal
        if abs(change) <= NEGLIGIBLE * max(1.0, abs(wider.optimal)):
            return wider if max_inventory is None else solution
        if max_inventory is not None:
            raise ValueError(
                f"max_inventory {max_inventory} is too small: the optimum is {solution.optimal:.9g} with it and "
                f"{wider.optimal:.9g} with {edge}"
            )
        if edge >= WIDEST:
            raise ValueError(
                f"dealers.{problem.name}: the optimum still grows at {edge} lots (from {solution.optimal:.6g} to "
                f"{wider.optimal:.6g}); market.inventory_limit would bound it"
            )
        solution = wider
    return solution


def _backward(problem: Problem, quotes: LadderQuotes | SkewQuotes, hedge_rule: int | None, edge: int) -> Solution:
    inventory = np.arange(-edge, edge + 1.0)
    size, cells = len(inventory), len(problem.cells)
    lots = inventory - inventory[:, None]  # the hedge from q (rows) to q + h (columns)
    reachable, reducing = _approved(problem, hedge_rule, inventory)
    cost = np.where(reachable, problem.hedge_reward(lots), -np.inf)

    # stage 5 depends on more than q + h where impact moves the mid with h, and where a full dealer may only reduce
    pushes = np.arange(-2.0 * edge, 2.0 * edge + 1) if problem.impact != 0 else np.zeros(1)
    modes = np.array([False, True]) if reducing.any() else np.array([False])
    push, mode = (grid.reshape(-1, 1) for grid in np.meshgrid(pushes, modes))
    if len(push) * size * (cells + 2) > _MOST_ENTRIES:
        raise ValueError(
            f"dealers.{problem.name}: with impact, {size} inventories are too many; market.inventory_limit narrows them"
        )
    row = len(pushes) * reducing[:, None] + (lots + 2 * edge if problem.impact != 0 else 0 * lots)
    row = row.astype(np.int64)
    requests = Requests(problem, inventory[None], push, mode, edge)

    steps, here, columns = problem.steps, np.arange(size), np.arange(size)[None]
    value = np.zeros((steps + 1, size))
    markups = np.empty((steps, size, cells))
    hedge = np.empty((steps, size))
    for t in reversed(range(steps)):
        best, asked = quotes.best(requests, requests.worth(value[t + 1], t == steps - 1))
        total = cost + best[row, columns]
        value[t] = total.max(axis=1)
        as_good = total >= (value[t] - 1e-13 * np.maximum(1.0, np.abs(value[t])))[:, None]
        target = np.where(as_good, np.abs(lots), np.inf).argmin(axis=1)  # of equals the smallest hedge
        hedge[t] = lots[here, target]
        markups[t] = asked[row[here, target], target]
        value[t] -= problem.potential(inventory)
    return Solution(value, markups, hedge, inventory)


def _approved(problem: Problem, hedge_rule: int | None, inventory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Q, Q): which inventories each can be hedged to, under the guardrails; and (Q,): who may only reduce."""
    edge = len(inventory) // 2
    q = inventory[:, None]
    asked = np.arange(-2.0 * edge, 2.0 * edge + 1)[None]
    if hedge_rule == Hedge.FRACTION:
        can_ask = (asked * q <= 0) & (np.abs(asked) <= np.abs(q))
    elif hedge_rule == Hedge.LOTS:
        can_ask = np.broadcast_to(np.abs(asked) <= np.rint(problem.dealer["hedge_lots"]), (len(q), asked.size))
    else:
        can_ask = np.ones((len(q), asked.size), dtype=bool)
    approved, reducing = problem.approve(q, asked)
    target = q + approved
    can = can_ask & (np.abs(target) <= edge)
    reachable = np.zeros((len(q), len(q)), dtype=bool)
    reachable[np.nonzero(can)[0], (target[can] + edge).astype(np.int64)] = True
    return reachable, reducing[:, 0]


class Optimal:
    """Plays the optimum: looks up step and inventory. Raises ValueError where there is none.

    Past the edge of the grid, where it comes with a probability below 1e-9, it quotes as at the edge.
    """

    native = True

    def __init__(self, spec: OptimalSpec, seat: Seat):
        self._reading = Reading(seat, "inventory", "time_left")
        self.solution = solve(seat.config, seat.agent, spec.max_inventory)
        tables = Tables.of(seat.config)
        shape = self.solution.hedge.shape
        self._markups = np.full((*shape, int(np.prod(tables.quote_shape))), np.nan)
        self._markups[..., tables.cells["quote"]] = self.solution.markups
        self._markups = self._markups.reshape(*shape, *tables.quote_shape)

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Markups (M, 2, segments, sizes) in price units, NaN = no quote; hedge (M, 1) in lots."""
        steps, size = self.solution.hedge.shape
        step = np.clip(steps - self._reading.steps_left(observation), 0, steps - 1).astype(np.int64)
        place = np.clip(self._reading.inventory(observation) + size // 2, 0, size - 1).astype(np.int64)
        return self._markups[step, place], self.solution.hedge[step, place][:, None]
