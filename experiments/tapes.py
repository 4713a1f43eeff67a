"""From what a user names to tapes: a file of market data holds one, a market with a book is simulated, a seed a tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.config import find
from experiments.store import EXPERIMENT
from marketsim.config import MarketConfig
from marketsim.document import load_config, pointed
from marketsim.tape import Tape


def experiment_file(source: str | Path) -> Path | None:
    """The file of an experiment, by path, gallery name or the folder of its run; None: the source is market data.

    Raises InputError.
    """
    path = Path(source)
    if (path / EXPERIMENT).is_file():
        return path / EXPERIMENT
    if path.suffix in (".yaml", ".yml") or not path.exists() and path.name == str(source) and not path.suffix:
        return find(source)
    return None


def tapes_of(source: str | Path, seeds: Sequence[int], steps: int) -> Iterator[tuple[str, Tape]]:
    """A name and a tape, one after the other: of each seed ``steps`` steps of the market's background traders alone, or
    the file's own. Raises InputError.
    """
    file = experiment_file(source)
    if file is None:
        from marketsim.feeds import tape

        yield Path(source).name, tape(source)
        return
    from marketsim.book.market import simulate

    config = load_config(file)
    market = config.market
    if not (market.has_book and market.traders):
        place = "market.traders" if market.has_book else "market.price"
        raise pointed(config._document, f"{place}: what is measured are traders in a book, and there are none")
    for seed in seeds:
        value = exogenous(config, steps, seed)
        yield f"seed {seed}", simulate(market.book, market.traders, value, steps, market.dt, seed=seed)


def exogenous(config: MarketConfig, steps: int, seed: int) -> np.ndarray:
    """F (steps + 1,) of the first market of episode 0, price units: the one that dealers in it would have."""
    from marketsim import price
    from marketsim.tables import Tables
    from marketsim.types import AHEAD

    tables = Tables.of(config)
    rows = AHEAD + 2 * (int(tables.market["ahead"][0]) + 1)
    value = np.empty(steps + 1)
    scratch, key = np.zeros((rows, 1)), np.zeros(1, np.uint64)
    price.exogenous(tables.market, tables.regimes, tables.path, seed, 0, 0, scratch, key, value)
    return value
