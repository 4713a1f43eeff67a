"""The best markups of one step, given what each outcome of its requests is worth.

One cell: maximise P(m) (m + g) over the markup m, ``g`` the worth of winning beyond its revenue, per unit of revenue.
docs/optimum.md derives each formula, and why the joint maximum over two cells is the global one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import wrightomega

from agents.exact import Problem, Requests, win_probability
from marketsim.types import Choice, OnBreach

_AGREE = 1e-9  # lowest and highest fixed point are one if the probabilities differ by less: values then by ~1e-18
_ROUNDS = 200
_STARTS = 65  # tried where they are not one
_COARSE = 17  # points along half-spread, and along skew
_FINEST = 1e-6  # of the action range: the last step of the search in skew actions
_TINY = 1e-100
_LOGIT = int(Choice.LOGIT)


@dataclass(frozen=True)
class LadderQuotes:
    """Markups that may stand, cell by cell: low .. high, and none where ``withdraw``."""

    low: float
    high: float
    withdraw: bool

    @staticmethod
    def free(problem: Problem) -> LadderQuotes:
        """All that the band lets stand: a dealer that thinks in prices."""
        return LadderQuotes(float(problem.dealer["band_low"]), float(problem.dealer["band_high"]), True)

    @staticmethod
    def ranged(problem: Problem) -> LadderQuotes:
        """What the band leaves of the action range; a band that rejects lets the action withdraw by leaving it."""
        band = problem.dealer["band_low"], problem.dealer["band_high"]
        asked = problem.dealer["markup_low"], problem.dealer["markup_high"]
        if problem.dealer["markup_on_breach"] == OnBreach.CLIP:
            return LadderQuotes(float(np.clip(asked[0], *band)), float(np.clip(asked[1], *band)), False)
        low, high = max(band[0], asked[0]), min(band[1], asked[1])
        outside = asked[0] < band[0] or asked[1] > band[1]
        return LadderQuotes(float(low), float(high), outside) if low <= high else LadderQuotes(np.nan, np.nan, True)

    def best(self, requests: Requests, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The highest expected reward (...) and the markups (..., C) that earn it, NaN = not quoted."""
        problem = requests.problem
        alone = worth[..., 1 : len(problem.cells) + 1] - worth[..., :1]
        markups = self.respond(problem.cells, alone / problem.revenue)
        markups = np.where(requests.quoted, markups, np.nan)
        if problem.pair is not None:
            markups[..., list(problem.pair)] = self._best_pair(requests, worth)
        return requests.expected(worth, markups), markups

    def respond(self, cells: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """argmax P(m) (m + gain), both (..., C) or of one cell; the product rises up to it and falls after it.

        logit: b (m + g) = 1 + y with y e^y = e^(b g - a - 1), y = omega(b g - a - 1) of Wright.
        best_price: m = scale - g, the client's floor at least.
        """
        logit = cells["choice"] == _LOGIT
        by_price = np.maximum(cells["reservation_floor"], cells["reservation_scale"] - gain)
        if np.any(logit):
            b = np.where(logit, cells["sensitivity"], 1.0)
            by_logit = (1.0 + wrightomega(b * gain - cells["intercept"] - 1.0)) / b - gain
            best = np.where(logit, by_logit, by_price)
        else:
            best = by_price
        best = np.clip(best, self.low, self.high)
        return np.where(best + gain > 0, best, np.nan) if self.withdraw else best

    def _best_pair(self, requests: Requests, worth: np.ndarray) -> np.ndarray:
        """The two markups (..., 2) of cells that may both come in one step.

        Each cell's best win probability is monotone in the other's, both rising or both falling, so that answering
        twice is a rising map. From below and above it tends to its lowest and highest fixed point; every maximum is
        a fixed point. Where the two are one, it is the maximum; where not, many starts between them are tried.
        """
        shape = np.broadcast_shapes(worth.shape[:-1], requests.quoted.shape[:-1])
        pair = _Pair(self, requests, worth)
        starts = np.zeros((2, *shape))
        starts[1] = pair.rate[0]
        markups, win = pair.iterate(starts)
        best = markups[0]
        apart = win[1] - win[0] > _AGREE
        if np.any(apart):
            between = np.linspace(0.0, 1.0, _STARTS).reshape(-1, *(1,) * len(shape))
            markups, _ = pair.iterate(win[0] + between * (win[1] - win[0]))
            all_markups = np.full((*markups.shape[:-1], len(requests.problem.cells)), np.nan)
            all_markups[..., list(pair.cells)] = markups
            winner = np.argmax(requests.expected(worth, all_markups), axis=0)
            found = np.take_along_axis(markups, winner[None, ..., None], axis=0)[0]
            best = np.where(apart[..., None], found, best)
        return best


class _Pair:
    """Two cells that answer one another.

    The expected reward is linear in the win probability p_c of a cell that asks m_c: p_c (weight revenue m_c + gain),
    where weight = D + p_o E and gain = A + p_o (B + r_o C) in the other cell's p_o and revenue r_o.
    """

    def __init__(self, ladder: LadderQuotes, requests: Requests, worth: np.ndarray):
        problem = requests.problem
        assert problem.pair is not None
        self.cells = problem.pair
        self._respond = ladder.respond
        self._rows = [problem.cells[c] for c in self.cells]
        self._revenue = [problem.revenue[c] for c in self.cells]
        self.rate = [float(row["rate"]) for row in self._rows]
        self._answers = []
        both, second = worth[..., -1], 1.0 * requests.quoted_second
        for c, o in (self.cells, self.cells[::-1]):
            quoted, other = 1.0 * requests.quoted[..., c], 1.0 * requests.quoted[..., o]
            nothing, c_won, o_won = worth[..., 0], worth[..., 1 + c], worth[..., 1 + o]
            A = quoted * (c_won - nothing)
            B = 0.5 * second * (quoted * (both - c_won) + other * (both - o_won))
            B = B - 0.5 * quoted * other * (c_won + o_won - 2.0 * nothing)
            C = 0.5 * quoted * (second - other)
            E = 0.5 * other * (second - quoted)
            self._answers.append((A, B, C, quoted, E))

    def _answer(self, k: int, other_win: np.ndarray, other_revenue: np.ndarray) -> tuple[np.ndarray, ...]:
        A, B, C, D, E = self._answers[k]
        p = np.maximum(other_win, _TINY)  # a cell that waits for the other's win: only the ratio counts
        weight = D + p * E
        quoted = weight > 0
        gain = (A + p * (B + other_revenue * C)) / np.where(quoted, weight * self._revenue[k], 1.0)
        markup = np.where(quoted, self._respond(self._rows[k], gain), np.nan)
        win = self.rate[k] * win_probability(self._rows[k], markup)
        return markup, win, np.where(np.isnan(markup), 0.0, self._revenue[k] * markup)

    def iterate(self, win: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From win probabilities (n, ...) of the first cell: markups (n, ..., 2) and its probabilities at rest."""
        revenue = np.zeros(win.shape)
        for _ in range(_ROUNDS):
            second, second_win, second_revenue = self._answer(1, win, revenue)
            first, new, revenue = self._answer(0, second_win, second_revenue)
            moved = np.max(np.abs(new - win))
            win = new
            if moved < 1e-13 or (len(win) == 2 and np.max(win[1] - win[0]) < 0.1 * _AGREE):
                break
        return np.stack([first, second], axis=-1), win


@dataclass(frozen=True)
class SkewQuotes:
    """Two numbers for all cells, half-spread and skew; what the band lets stand of them.

    No closed form: a grid of 17 x 17 over the action range, then a compass search from its best point down to steps
    of 1e-6 of the range.
    """

    half_spread: tuple[float, float]
    skew_max: float

    def best(self, requests: Requests, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``LadderQuotes.best``; a cell that the position limit holds back keeps its markup."""
        problem = requests.problem
        lean = np.where(problem.cells["signed_size"] > 0, 1.0, -1.0)  # + on bids
        low, high = self.half_spread

        def markups(half: np.ndarray, skew: np.ndarray) -> np.ndarray:
            return problem.band(half[..., None] + skew[..., None] * lean)

        shape = np.broadcast_shapes(worth.shape[:-1], requests.quoted.shape[:-1])
        column = (-1, *(1,) * len(shape))
        best, half, skew = np.full(shape, -np.inf), np.zeros(shape), np.zeros(shape)
        states = int(np.prod(shape)) * len(problem.cells)
        skews = np.linspace(-self.skew_max, self.skew_max, _COARSE)
        for levels in np.array_split(np.linspace(low, high, _COARSE), min(_COARSE, 1 + states // 5_000)):
            grid = np.repeat(levels, _COARSE), np.tile(skews, len(levels))
            value = requests.expected(worth, markups(*(axis.reshape(column) for axis in grid)))
            winner, found = np.argmax(value, axis=0), np.max(value, axis=0)
            half = np.where(found > best, grid[0][winner], half)
            skew = np.where(found > best, grid[1][winner], skew)
            best = np.maximum(best, found)
        reach = max(high - low, 2.0 * self.skew_max)
        step = np.full(shape, reach / (_COARSE - 1))
        across, along = (grid.reshape(column) for grid in np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]))
        while np.any(step > _FINEST * reach):
            halves = np.clip(half + across * step, low, high)
            skews = np.clip(skew + along * step, -self.skew_max, self.skew_max)
            value = requests.expected(worth, markups(halves, skews))
            winner = np.argmax(value, axis=0)[None]
            found = np.take_along_axis(value, winner, axis=0)[0]
            better = found > best
            half = np.where(better, np.take_along_axis(halves, winner, axis=0)[0], half)
            skew = np.where(better, np.take_along_axis(skews, winner, axis=0)[0], skew)
            best = np.where(better, found, best)
            step = np.where(better, step, 0.5 * step)
        return best, markups(half, skew)
