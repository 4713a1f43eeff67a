"""From what a user names to tapes: a file of market data holds one, a market with a book is simulated, a seed a tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from experiments.config import find
from experiments.store import EXPERIMENT
from marketsim.book.config import Book, Traders
from marketsim.config import Brownian
from marketsim.document import parse, read
from marketsim.model import Model, Positive
from marketsim.rng import PRICE, draw
from marketsim.tape import Tape


class BookMarket(Model):
    """What of ``market:`` the book and its traders need; the rest is about dealers."""

    PASSED_OVER: ClassVar[frozenset[str]] = frozenset(
        {"steps", "horizon", "inventory_limit", "ruin", "liquidate", "venue", "arrivals", "segments", "reference"}
    )

    kind: Literal["book"]
    dt: Positive = 1.0
    price: Brownian = Brownian()
    book: Book = Book()
    traders: Annotated[Traders, Field(min_length=1)]


class BookExperiment(Model):
    """The part of an experiment file that says what trades in its book when its dealers do not."""

    PASSED_OVER: ClassVar[frozenset[str]] = frozenset(
        {"name", "seed", "description", "units", "dealers", "desk", "train", "evaluate", "escalation", "true_objective",
         "designs", "sweep"}
    )  # fmt: skip

    market: BookMarket


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

    market = parse(BookExperiment, read(file)).market
    for seed in seeds:
        value = exogenous(market.price, steps, market.dt, seed)
        yield f"seed {seed}", simulate(market.book, market.traders, value, steps, market.dt, seed=seed)


def exogenous(price: Brownian, steps: int, dt: float, seed: int) -> np.ndarray:
    """F (steps + 1,) of the first market of episode 0, as the engine draws it (Box and Muller 1958)."""
    u = np.array([[draw(seed, 0, 0, PRICE, step, i) for i in range(2)] for step in range(steps)]).reshape(-1, 2)
    z = np.sqrt(-2 * np.log(u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
    moves = price.drift * dt + price.volatility * np.sqrt(dt) * z
    return price.mid + np.concatenate([[0.0], np.cumsum(moves)])
