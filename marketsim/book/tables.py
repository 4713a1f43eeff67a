"""The parameters of a book and its traders, as the compiled market reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from marketsim.book.config import Book, Geometric, Hawkes, LogNormal, Maker, Trader, ZeroIntelligence
from marketsim.traders.state import BLOCK, CROWDS, ROSTER, Family, Latency, Size, crowd

# One row: the book's.
BOOK = np.dtype(
    [
        ("tick", "f8"),  # price units
        ("maker_fee", "f8"),  # price units a lot
        ("taker_fee", "f8"),
        ("warm_up", "f8"),  # units of time before step 0
        ("opening_levels", "i8"),
        ("opening_lots", "i8"),
    ]
)


def book_table(book: Book) -> np.ndarray:
    table = np.zeros(1, BOOK)
    for name in ("tick", "maker_fee", "taker_fee", "warm_up"):
        table[name] = getattr(book, name)
    table["opening_levels"], table["opening_lots"] = book.opening.levels, book.opening.lots
    return table


def block_table(traders: Sequence[Trader]) -> np.ndarray:
    """A row of ``BLOCK`` each; one of nobody where there is none."""
    table = np.zeros(max(1, len(traders)), BLOCK)
    for row, trader in zip(table, traders, strict=False):
        row["family"] = Family[trader.kind.upper()]
        row["position"] = math.inf
        for name in BLOCK.names or ():
            given = getattr(trader, name, None)
            if isinstance(given, int | float):
                row[name] = given
        if isinstance(trader.size, Geometric):
            row["sizes"] = Size.GEOMETRIC if trader.size.mean > 1 else Size.FIXED
            row["size"] = 1 / math.log1p(-1 / trader.size.mean) if trader.size.mean > 1 else 1
        if isinstance(trader.latency, LogNormal):
            row["latencies"] = Latency.LOG_NORMAL
            row["latency"], row["latency_sigma"] = trader.latency.median, trader.latency.sigma
        if isinstance(trader, Hawkes):
            row["own_excitation"], row["cross_excitation"] = (n * trader.decay for n in trader.excitation)
        row["room"] = _room(trader)
    return table


def _room(trader: Trader) -> int:
    """Orders that a trader keeps in mind, done ones that it has not noticed among them: Poisson in number, of mean
    orders placed / cancel rate. A Hawkes trader's come in bursts.
    """
    if isinstance(trader, Maker):
        return 2
    cancel_rate = getattr(trader, "cancel_rate", 0.0)
    if not cancel_rate:
        return 0
    placed = trader.rate
    bursts = 1.0
    if isinstance(trader, Hawkes):
        calm = 1 - sum(trader.excitation)
        placed, bursts = placed / calm, 1 / calm
    if isinstance(trader, ZeroIntelligence):
        placed -= trader.market_rate
    mean = placed / cancel_rate
    return min(math.ceil(mean + bursts * (10 * math.sqrt(mean) + 16)), 2**24)


def roster_table(traders: Sequence[Trader], blocks: np.ndarray, dealers: int) -> tuple[np.ndarray, int]:
    """A row of ``ROSTER`` an owner, and how many orders all of them together keep in mind."""
    block = np.repeat(np.arange(len(traders)), [trader.count for trader in traders]).astype(np.int64)
    ends = np.cumsum(blocks["room"][block], dtype=np.int64) if len(block) else np.zeros(0, np.int64)
    roster = np.zeros(dealers + len(block), ROSTER)
    roster["block"] = -1
    roster["block"][dealers:] = block
    roster["own"][dealers:] = ends - blocks["room"][block]
    owner = np.arange(len(roster))
    crowds = np.isin(blocks["family"][roster["block"]], CROWDS) & (owner >= dealers)
    roster["name"] = np.where(crowds, crowd(owner), owner)
    return roster, int(ends[-1]) if len(block) else 0
