"""The streams that are watched for drift: one value a step and market of one dealer, NaN where there is nothing to say.

What a stream is made of stays within a step, or is marked a fixed number of steps later, so that what is left of the
dependence between steps is the market's own. Scales do not matter: the detector ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from marketsim.batch import MarketBatch, Step
from marketsim.types import BID

Name = Literal[
    "requests",  # requests asked of the dealer in the step
    "hit_ratio",  # won / asked of the step, where it was asked
    "segment_hit_ratio",  # the same a segment, as a share of all its requests; one stream a segment. Needs record=True
    "cover",  # best losing quote over the reference markup, mean of the step's wins that had one. Needs record=True
    "markout_1",  # per lot: gain of the trades of one step, 1, 5 and 20 moves later; + = the dealer gained
    "markout_5",
    "markout_20",
    "segment_markout_1",  # the same of the trades with one segment; one stream a segment. Needs record=True
    "segment_markout_5",
    "segment_markout_20",
    "segment_flow_1",  # the same of all requests of a segment, won or not: where its clients are right. Needs record=True
    "segment_flow_5",
    "segment_flow_20",
    "volatility",  # the size of the mid's move, price units
    "trend",  # the mid's move over its recent root mean square
    "spread",  # spread income per lot won, price units
    "hedge_slippage",  # cost per lot hedged, price units; the final liquidation is left out
    "inputs",  # how far the observation is from its quiet mean, see Inputs; by default from its neutral values
    "critic_error",  # given by the agent: the temporal-difference error of the step, + = better than its critic expected
    "entropy",  # given by the agent: of the distribution that its action comes from
]
NAMES: tuple[Name, ...] = get_args(Name)
GIVEN: tuple[Name, ...] = ("critic_error", "entropy")
RECORDED: tuple[Name, ...] = tuple(name for name in NAMES if name.startswith("segment_") or name == "cover")
DEFAULT: tuple[Name, ...] = (
    "requests", "hit_ratio", "markout_1", "markout_5", "markout_20", "volatility", "trend", "spread",
)  # fmt: skip
_MARKED = ("markout", "segment_markout", "segment_flow")
HORIZONS = {f"{which}_{k}": k for which in _MARKED for k in (1, 5, 20)}  # in moves
_RECENT = 1.0 / 20.0  # weight of the newest move in the mean square that scales ``trend``


class Inputs:
    """The quiet mean and sd of each component of an observation, and the distance of an observation from them."""

    def __init__(self, mean: np.ndarray, sd: np.ndarray):
        self.mean, self.sd = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64)

    @classmethod
    def of(cls, observations: np.ndarray) -> Inputs:
        """Of quiet observations (..., width)."""
        flat = np.asarray(observations, dtype=np.float64).reshape(-1, observations.shape[-1])
        return cls(flat.mean(axis=0), flat.std(axis=0))

    def distance(self, observation: np.ndarray) -> np.ndarray:
        """Mean over the components of ((o - mean) / sd)^2, of observations (M, width) -> (M,)."""
        per_sd = np.divide(1.0, self.sd, out=np.zeros_like(self.sd), where=self.sd > 0)
        return np.mean(((observation - self.mean) * per_sd) ** 2, axis=-1)


class Streams:
    """The streams ``names`` of one dealer of a batch, in ``self.names``, where ``segment_hit_ratio`` is one a segment.

    ``begin()`` after every reset of the batch and ``update(step)`` after every step. Trades that wait for their mark-out
    at the end of an episode are dropped, since the next begins at another mid; all else carries over. ``batch`` may be
    replaced by one of the same shape that was restored from its snapshot: the same markets under other rules.
    """

    def __init__(
        self, batch: MarketBatch, dealer: int | str, names: Sequence[Name] = DEFAULT, inputs: Inputs | None = None
    ):
        for name in names:
            if name not in NAMES:
                raise ValueError(f"no stream is named {name!r}, allowed are {', '.join(NAMES)}")
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"streams {', '.join(names)}: each once, and at least one")
        recorded = [name for name in names if name in RECORDED]
        if recorded and not len(batch._log):
            raise ValueError(f"stream {recorded[0]} reads single requests: it needs MarketBatch(..., record=True)")
        self.batch, self._watched = batch, tuple(names)
        self._dealer = batch.agents.index(dealer) if isinstance(dealer, str) else int(dealer)
        self._width = batch.widths[self._dealer]
        # where no quiet mean is given, the neutral values of the catalogue, in its scales
        self._inputs = inputs or Inputs(np.zeros(self._width), np.ones(self._width))
        self._segments = [segment.name for segment in batch.config.market.cells]
        self.names = tuple(each for name in names for each in self._expand(name))
        # whose lots are marked: the dealer's trades, those of each segment, and all requests of each segment
        M, S = batch.markets, len(self._segments)
        single = any(name in HORIZONS and name in RECORDED for name in names)
        groups = 1 + 2 * S * single
        self._groups = {"markout": slice(1), "segment_markout": slice(1, 1 + S), "segment_flow": slice(1 + S, None)}
        self.values = np.full((len(self.names), M), np.nan)
        self._mids = np.zeros((max(HORIZONS.values()) + 1, M))  # rings of mids, and of lots bought - sold and of both
        self._net, self._lots = (np.zeros((len(self._mids), groups, M)) for _ in range(2))
        sd = float(batch.tables.market["move_sd"][0])
        self._square = np.full(M, sd * sd if sd > 0.0 else np.nan)
        self._reference = _references(batch)

    def _expand(self, name: str) -> list[str]:
        return [f"{name[8:]}.{s}" for s in self._segments] if name.startswith("segment_") else [name]

    def begin(self) -> None:
        """An episode begins: remember its first mid."""
        self._lots[:] = 0.0
        self._mids[0] = self._mid()
        self._t = 0

    def update(self, step: Step, given: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """The values (streams, M) of the step that the batch has just made; valid until the next.

        ``given``: the streams that the agent supplies, ``critic_error`` and ``entropy``, (M,) each.
        """
        i, ring = self._dealer, len(self._mids)
        ledger = {term: step.ledger[term][:, i] for term in step.ledger}
        before, now = self._t % ring, (self._t + 1) % ring
        self._net[before, 0] = ledger["bought"] - ledger["sold"]
        self._lots[before, 0] = ledger["bought"] + ledger["sold"]
        if self._net.shape[1] > 1:
            self._net[before, 1:], self._lots[before, 1:] = self._segment_lots()
        self._mids[now] = self._mid()
        self._t += 1
        move = self._mids[now] - self._mids[before]
        row = 0
        for name in self._watched:
            if name in HORIZONS:
                values = self._markout(HORIZONS[name], self._groups[name.rpartition("_")[0]])
            elif name == "segment_hit_ratio":
                values = self._segment_hit_ratio()
            elif name == "cover":
                values = self._cover()
            elif name == "volatility":
                values = np.abs(move)
            elif name == "trend":
                values = _ratio(move, np.sqrt(self._square))
            elif name == "requests":
                values = ledger["asked"]
            elif name == "hit_ratio":
                values = _ratio(ledger["won"], ledger["asked"])
            elif name == "spread":
                values = _ratio(ledger["spread"], self._lots[before, 0])
            elif name == "hedge_slippage":
                hedged = np.abs(ledger["hedge"])
                values = _ratio(ledger["hedge_cost"], hedged * (not (step.truncated[0, i] and self._liquidates)))
            elif name == "inputs":
                values = self._inputs.distance(step.observation[:, i, : self._width])
            else:
                if given is None or name not in given:
                    raise ValueError(f"stream {name} is the agent's: update(step, given={{{name!r}: ...}})")
                values = given[name]
            rows = values if values.ndim == 2 else values[None]
            self.values[row : row + len(rows)] = rows
            row += len(rows)
        fresh = np.isnan(self._square)
        self._square += np.where(fresh, 0.0, move * move - self._square) * _RECENT
        self._square[fresh] = (move * move)[fresh]
        return self.values

    @property
    def _liquidates(self) -> bool:
        return self.batch.config.market.liquidate

    def _mid(self) -> np.ndarray:
        return self.batch.state["mid"][:, 0]  # type: ignore[index]

    def _markout(self, horizon: int, groups: slice) -> np.ndarray:
        """Gain per lot of the trades that are ``horizon`` moves old: net (S_now - S_then) / lots, (groups, M)."""
        then, now = (self._t - horizon) % len(self._mids), self._t % len(self._mids)
        lots = self._lots[then, groups]
        if self._t < horizon:
            return np.full(lots.shape, np.nan)
        return _ratio(self._net[then, groups] * (self._mids[now] - self._mids[then]), lots)

    def _segment_lots(self) -> tuple[np.ndarray, np.ndarray]:
        """Lots bought - sold and of both in this step's trades and requests of each segment, (2 segments, M) each."""
        requests, M, S = self.batch.requests, self.batch.markets, len(self._segments)
        place = requests["segment"] * M + requests["market"] - self.batch.first_market
        size = requests["size"]
        signed = np.where(requests["side"] == BID, size, -size)
        won = requests["winner"] == self._dealer
        net, lots = (
            np.stack([np.bincount(place, x * counted, minlength=S * M) for counted in (won, 1.0)]).reshape(2 * S, M)
            for x in (signed, size)
        )
        return net, lots

    def _segment_hit_ratio(self) -> np.ndarray:
        requests, M, S = self.batch.requests, self.batch.markets, len(self._segments)
        place = requests["segment"] * M + requests["market"] - self.batch.first_market
        asked = np.bincount(place, minlength=S * M)
        won = np.bincount(place, requests["winner"] == self._dealer, minlength=S * M)
        return _ratio(won, asked.astype(float)).reshape(S, M)

    def _cover(self) -> np.ndarray:
        requests, M = self.batch.requests, self.batch.markets
        won = requests[(requests["winner"] == self._dealer) & np.isfinite(requests["cover"])]
        market = won["market"] - self.batch.first_market
        keys = zip(won["segment"].tolist(), won["side"].tolist(), won["size"].tolist(), strict=True)
        reference = np.array([self._reference[key] for key in keys], dtype=float)
        number = np.bincount(market, minlength=M).astype(float)
        return _ratio(np.bincount(market, won["cover"] / reference, minlength=M), number)


def _references(batch: MarketBatch) -> dict[tuple[int, int, float], float]:
    """(segment, side, size) -> the reference markup, 1 where it is 0."""
    cells = batch.tables.cells
    return {(int(c["segment"]), int(c["side"]), float(c["size"])): float(c["reference"]) or 1.0 for c in cells}


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, NaN where bottom is 0."""
    return np.divide(top, bottom, out=np.full(np.shape(bottom), np.nan), where=bottom > 0)
