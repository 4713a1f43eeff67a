"""The single dealer's problem in (step, inventory), and the exact value of any deterministic policy of these two.

Where a dealer trades alone in a mid whose expected move does not depend on the state, its expected reward from a
step on depends on the step and its inventory alone. The rules are those of docs/market.md; docs/optimum.md derives
what is here. A policy map gives markups (T, Q, C), cells in arrival order, NaN = not quoted, and hedge (T, Q), both
for the inventory *before* that step's hedge; Q = 2 K + 1 inventories -K .. K.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, ndtr

from marketsim import rewards
from marketsim.config import MarketConfig
from marketsim.tables import Tables
from marketsim.types import Choice, OnBreach

NEGLIGIBLE = 1e-9  # largest probability of leaving the grid, and relative change of a value, that are let pass
_NOT_OF_STEP_AND_INVENTORY = ("tail_loss", "flow_target", "intervention", "own_quote", "presence", "pooled_spread")
_SHAPED_BY_THE_MOVE = ("downside", "asymmetric_dampening")
_LOGIT = int(Choice.LOGIT)


def support(config: MarketConfig, agent: int = 0) -> str | None:
    """Why this dealer has no exact answer here, in a phrase; None where it has one."""
    market, dealer, cells = config.market, config.dealer_of[agent], Tables.of(config).cells
    price, limits = market.price, dealer.limits
    weight = dict(zip(rewards.KINDS, Tables.of(config).weights[agent], strict=True))
    if market.has_book:
        return "prices and fills come from an order book, for which no optimum is known"
    if len(config.agents) > 1:
        return f"{len(config.agents)} dealers compete, the optimum is known for one alone"
    if market.arrivals.kind == "poisson":
        return "arrivals are poisson; known are at_most_one, and bernoulli with one cell a side"
    if market.arrivals.kind == "bernoulli" and max(np.bincount(cells["side"][cells["rate"] > 0], minlength=1)) > 1:
        return "arrivals are bernoulli with several cells a side; known is one cell a side, or at_most_one"
    if np.any(cells["share"] > 0):
        return "informed clients know more of the mid than inventory and step tell"
    if price.kind in ("replay", "ou") or (price.kind == "gbm" and price.drift != 0) or len(_drifts(price)) > 1:
        return f"the expected move of price {price.kind} depends on more than the step"
    for kind in _NOT_OF_STEP_AND_INVENTORY:
        if weight[kind] != 0:
            return f"reward {kind} depends on more than step and inventory"
    if weight["sampled_inventory_penalty"] != 0:
        return "reward sampled_inventory_penalty depends on the step in a way that is not solved for here"
    for kind in _SHAPED_BY_THE_MOVE:
        if weight[kind] != 0 and not _one_normal_move(price):
            return f"the expectation of reward {kind} under price {price.kind} depends on more than the inventory"
    if weight["pnl"] + weight["spread"] <= 0:
        return "the reward pays nothing for spread, so no markup is best"
    if limits.loss is not None or market.ruin is not None:
        return "a loss limit or ruin depends on more than step and inventory"
    known = ("markup", "position")
    other = [name for name, value in limits if name not in known and value != type(limits).model_fields[name].default]
    if other or (limits.position and limits.position.on_breach == "widen") or config.desk is not None:
        which = other[0] if other else "position with widen" if config.desk is None else "desk"
        return f"limit {which}: the optimum is known under markup and position limits alone"
    if np.any(np.isinf(cells["reservation_floor"])) and limits.markup is None:
        return "clients without a reservation pay any markup; limits.markup would bound it"
    return None


def _drifts(price) -> set[float]:
    return set(price.drift) if price.kind == "regime" else {getattr(price, "drift", 0.0)}


def _one_normal_move(price) -> bool:
    return price.kind == "brownian" or (price.kind == "regime" and len(set(price.volatility)) == 1)


class Problem:
    """A dealer's control problem as functions of inventory ``x`` or ``q`` and hedge ``h``, lots; all broadcast.

    Raises ValueError where there is no exact answer.
    """

    def __init__(self, config: MarketConfig, agent: int = 0):
        reason = support(config, agent)
        if reason is not None:
            raise ValueError(f"dealers.{config.dealer_of[agent].name}: there is no exact optimum: {reason}")
        tables = Tables.of(config)
        self.market, self.dealer, self.cells = tables.market[0], tables.dealers[agent], tables.cells
        self.name, self.steps = config.agents[agent], config.market.steps
        self.limit = float(self.dealer["position_hard"])
        price = config.market.price
        drifting = price.kind in ("brownian", "regime")
        self._mean_move = _drifts(price).pop() * config.market.dt if drifting else 0.0
        weight = dict(zip(rewards.KINDS, tables.weights[agent], strict=True))
        self._weight = weight
        self.revenue = (weight["pnl"] + weight["spread"]) * self.cells["size"]  # of a win, per unit of markup; (C,)
        requested = np.flatnonzero(self.cells["rate"])
        sequential = config.market.arrivals.kind == "bernoulli" and len(requested) == 2
        self.pair = tuple(int(c) for c in requested) if sequential else None  # cells that may both come in one step

    @property
    def impact(self) -> float:
        return float(self.market["impact"])

    def approve(self, q, h):
        """Guardrails on the hedge: what is approved, and whether the dealer is held to reducing."""
        limit, on_breach = self.limit, self.dealer["position_on_breach"]
        if on_breach == OnBreach.REJECT:
            approved = np.where(np.abs(q + h) <= limit, h, 0.0)
        else:
            approved = np.clip(h, -limit - q, limit - q)
        full = (np.abs(q) >= limit) & (on_breach >= OnBreach.REDUCE_ONLY)
        approved = np.where(full & (on_breach == OnBreach.FLATTEN), -q, approved)
        towards_flat = np.clip(approved, np.minimum(-q, 0.0), np.maximum(-q, 0.0))
        return np.where(full, towards_flat, approved), full

    def band(self, markups):
        """Guardrails on markups: clipped into the band, or NaN where the band rejects."""
        low, high = self.dealer["band_low"], self.dealer["band_high"]
        clipped = np.clip(markups, low, high)
        if self.dealer["markup_on_breach"] == OnBreach.CLIP:
            return clipped
        return np.where(clipped == markups, markups, np.nan)

    def quoted(self, x, reducing):
        """Which cells the position limit lets through at inventory ``x``: (..., C)."""
        size = self.cells["signed_size"]
        after = np.asarray(x)[..., None] + size
        return (np.abs(after) <= self.limit) & (~np.asarray(reducing)[..., None] | (size * after <= 0))

    def hedge_reward(self, h):
        """Stage 4: what trading ``h`` at the venue costs, as the reward weighs it; <= 0."""
        market, weight = self.market, self._weight
        cost = market["half_spread"] * np.abs(h) + market["slope"] * np.square(h)
        fees = market["fee"] * np.abs(h)
        return -(weight["pnl"] + weight["hedge_cost"]) * cost - (weight["pnl"] + weight["fees"]) * fees

    def potential(self, q):
        """The potential of the shaping term: a step from ``q`` to ``x`` is paid potential(x) - potential(q); 0 at the end."""
        return -self._weight["potential"] * np.square(q)

    def holding_reward(self, x, h):
        """Stage 7: the expected reward of holding ``x`` through the move, which the step's hedge pushed by impact.

        With the potential that a step leads to; the one it came from is subtracted where its inventory is known.
        """
        weight = self._weight
        gain = x * (self._mean_move + self.impact * h)
        reward = (weight["pnl"] + weight["inventory"]) * gain - weight["inventory_penalty"] * self.market["dt"] * x * x
        if weight["downside"] != 0 or weight["asymmetric_dampening"] != 0:
            losses = _mean_of_negative_part(gain, np.abs(x) * self.market["move_sd"])
            reward = reward + weight["downside"] * losses - weight["asymmetric_dampening"] * (gain - losses)
        return reward + self.potential(x)

    def final_reward(self, x):
        """Stages 7 and 8 of the last step: the terminal penalty, and liquidation."""
        penalty = -self._weight["terminal_inventory_penalty"] * np.square(x) - self.potential(x)
        return penalty + self.hedge_reward(-x) if self.market["liquidate"] else penalty


def _mean_of_negative_part(mean, sd):
    """E[min(Y, 0)] of a normal Y: mean Phi(-mean / sd) - sd phi(mean / sd)."""
    z = mean / np.where(sd > 0, sd, 1.0)
    smooth = mean * ndtr(-z) - sd * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.where(sd > 0, smooth, np.minimum(mean, 0.0))


def win_probability(cells: np.ndarray, markups: np.ndarray) -> np.ndarray:
    """P(a request of each cell trades at this markup) with one dealer; 0 where it is NaN. ``cells`` broadcasts.

    logit 1 / (1 + e^(a + b m));  best_price P(R >= m), 1 for m <= floor.
    """
    logit = cells["choice"] == _LOGIT
    if np.all(logit):
        won = expit(-(cells["intercept"] + cells["sensitivity"] * markups))
    else:
        floor, scale = cells["reservation_floor"], cells["reservation_scale"]
        beyond = np.maximum(markups - floor, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            won = np.where(beyond > 0, np.exp(-beyond / scale), 1.0)
        if np.any(logit):
            won = np.where(logit, expit(-(cells["intercept"] + cells["sensitivity"] * markups)), won)
    return np.where(np.isnan(markups), 0.0, won)


class Requests:
    """Stage 5 from inventory ``x`` (after the hedge ``h``): where each win leads, and which wins can be.

    ``x``, ``h``, ``reducing`` broadcast to one shape (...). Outcomes, (..., 1 + C) or (..., 2 + C): nothing won, each
    cell alone, and both cells of ``problem.pair``. ``edge``: nothing is quoted that would leave -edge .. edge.
    """

    def __init__(self, problem: Problem, x, h, reducing, edge: int):
        self.problem = problem
        size = problem.cells["signed_size"]
        held = np.asarray(x)[..., None]
        self.quoted = problem.quoted(x, reducing) & (np.abs(held + size) <= edge)
        shifts = np.concatenate([[0.0], size])
        if problem.pair is not None:
            pair = list(problem.pair)
            inside = np.abs(x + size[pair].sum()) <= np.minimum(problem.limit, edge)
            # (...): the pair's other cell after one was won; a dealer that may only reduce has one side alone
            self.quoted_second = inside & ~np.asarray(reducing)
            shifts = np.append(shifts, size[pair].sum())
        outcome = np.clip(held + shifts, -edge, edge)
        self.place = (outcome + edge).astype(np.int64)
        self._reward = problem.holding_reward(outcome, np.asarray(h)[..., None])
        self._final = problem.final_reward(outcome)

    def worth(self, value: np.ndarray, last: bool) -> np.ndarray:
        """The worth of each outcome, (..., outcomes); ``value`` (2 edge + 1,) is that of the next step's states."""
        worth = value[self.place] + self._reward
        return worth + self._final if last else worth

    def expected(self, worth: np.ndarray, markups: np.ndarray) -> np.ndarray:
        """The expected reward from stage 5 on, (...), at ``markups`` (..., C) that the band lets stand, NaN = none."""
        cells = self.problem.cells
        win = cells["rate"] * win_probability(cells, markups)
        return self.mean(worth, win, np.where(np.isnan(markups), 0.0, self.problem.revenue * markups))

    def mean(self, worth: np.ndarray, win: np.ndarray, revenue: np.ndarray) -> np.ndarray:
        """The same from probabilities (..., C) that a cell comes and would trade if quoted, and the revenue then."""
        cells = len(self.problem.cells)
        nothing, alone = worth[..., 0], worth[..., 1 : cells + 1]
        first = self.quoted * win
        gain = first * (revenue + alone - nothing[..., None])
        if self.problem.pair is None:
            return nothing + gain.sum(axis=-1)
        i, j = self.problem.pair
        both = worth[..., -1]
        total = 0.0
        for c, o in ((i, j), (j, i)):  # c is visited first, o then meets the inventory that c left
            second = self.quoted_second * win[..., o] * (revenue[..., o] + both - alone[..., c])
            total = total + gain[..., c] + (1.0 - first[..., c]) * gain[..., o] + first[..., c] * second
        return nothing + 0.5 * total


def evaluate(config: MarketConfig, markups: np.ndarray, hedge: np.ndarray, agent: int = 0) -> np.ndarray:
    """The exact expected reward of a policy map from each state to the end, (T+1, Q) in the units of the summed reward.

    ``markups`` (T, Q, C) and ``hedge`` (T, Q) are what the policy asks for; the guardrails decide here as in the
    engine. Raises ValueError where there is no exact answer, and where the policy started flat leaves the grid with a
    probability above 1e-9.
    """
    problem = Problem(config, agent)
    markups, hedge = np.asarray(markups, dtype=np.float64), np.asarray(hedge, dtype=np.float64)
    steps, size = hedge.shape
    if steps != problem.steps or size % 2 != 1 or markups.shape != (steps, size, len(problem.cells)):
        raise ValueError(
            f"a policy map of {problem.steps} steps and {len(problem.cells)} cells has markups (T, Q, C) and hedge "
            f"(T, Q) with an odd Q, not {markups.shape} and {hedge.shape}"
        )
    edge = size // 2
    q = np.arange(-edge, edge + 1.0)
    standing = problem.band(np.where(np.isfinite(markups), markups, np.nan))
    hedge, reducing = problem.approve(q, np.rint(np.where(np.isfinite(hedge), hedge, 0.0)))
    value = np.zeros((steps + 1, size))
    leak = np.zeros(size) if edge < problem.limit else None  # probability of leaving the grid from here on
    for t in reversed(range(steps)):
        x = np.clip(q + hedge[t], -edge, edge)
        requests = Requests(problem, x, hedge[t], reducing, edge)
        worth = requests.worth(value[t + 1], t == steps - 1)
        value[t] = problem.hedge_reward(hedge[t]) + requests.expected(worth, standing[t]) - problem.potential(q)
        if leak is not None:
            leak = _leak(problem, leak, x, reducing, standing[t])
            leak[np.abs(q + hedge[t]) > edge] = 1.0
    if leak is not None and leak[edge] > NEGLIGIBLE:
        raise ValueError(
            f"inventories -{edge} .. {edge} are too few: the policy of {problem.name} leaves them with probability "
            f"{leak[edge]:.2g}"
        )
    return value


def _leak(problem: Problem, leak: np.ndarray, x: np.ndarray, reducing: np.ndarray, markups: np.ndarray) -> np.ndarray:
    """One step back of the probability of leaving the grid: 1 beyond its edges."""
    beyond = 2 * int(problem.cells["size"].max())
    padded = np.pad(leak, beyond, constant_values=1.0)
    requests = Requests(problem, x, 0.0, reducing, len(padded) // 2)
    win = problem.cells["rate"] * win_probability(problem.cells, markups)
    return requests.mean(padded[requests.place], win, np.zeros_like(win))
