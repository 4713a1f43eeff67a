"""Exact simulations of the models that are calibrated, in plain numpy, each on a generator of its own."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from marketsim.tape import PRINT, QUOTE, Tape

REPLICATIONS = 200


def generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def assert_covers(found, truth: float, what: str) -> None:
    """95% intervals of ``found`` (estimates) hold the truth as often as 95% intervals do, and are centred on it."""
    value, error = (np.array([getattr(estimate, part) for estimate in found]) for part in ("value", "error"))
    inside = int((np.abs(value - truth) <= 1.959964 * error).sum())
    low, high = (int(binom.ppf(tail, len(found), 0.95)) for tail in (0.0005, 0.9995))
    assert low <= inside <= high, f"{what}: {inside} of {len(found)} intervals hold {truth}, {low} to {high} should"
    off = (value.mean() - truth) / (value.std() / np.sqrt(len(found)))
    bias = (value.mean() - truth) / value.std()
    assert abs(off) < 4 or abs(bias) < 0.35, (
        f"{what}: the mean {value.mean():.4g} is {off:.1f} of its errors off {truth}"
    )


def quotes_of(time, bid, ask, size=100) -> np.ndarray:
    quotes = np.zeros(len(time), QUOTE)
    quotes["time"], quotes["bid"], quotes["ask"] = time, bid, ask
    quotes["bid_size"] = quotes["ask_size"] = size
    return quotes


def exponential_reaches(key: int, A: float, k: float, tick: float, duration: float) -> Tape:
    """Orders on both sides whose reach from the mid is exponential, against quotes one or two ticks wide.

    An order is seen where it reaches the best price; it prints at every price down to its reach.
    """
    rng = generator(key)
    n = int(rng.poisson(duration))
    time = np.concatenate([[0.0], np.sort(rng.uniform(0, duration, n)), [duration]])
    bid = 10_000 + np.cumsum(rng.integers(-1, 2, n + 2))
    wide = rng.random(n + 2) < 0.3
    quotes = quotes_of(time, bid, bid + 1 + wide)
    prints = []
    for side in (1, -1):
        arrived = np.sort(rng.uniform(0, duration, rng.poisson(A * duration)))
        reach = rng.exponential(1 / k, len(arrived)) / tick  # ticks
        row = np.searchsorted(time, arrived, side="left") - 1
        half = 0.5 * (1 + wide[row])
        touch = np.where(side > 0, quotes["ask"][row], quotes["bid"][row])
        for t, beyond, best in zip(arrived, reach - half, touch, strict=True):
            prints += [(t, best + side * j, 1, side) for j in range(int(np.floor(beyond)) + 1)]
    return Tape(quotes, np.array(sorted(prints), PRINT), tick)


def thinned(key: int, mu, children, decay: float, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """A Hawkes process of two sides by Ogata's thinning (1981): times and sides."""
    rng = generator(key)
    mu, jump = np.array(mu), decay * np.array(children)
    t, excess, times, sides = 0.0, np.zeros(2), [], []
    while True:
        bound = mu.sum() + excess.sum()
        gap = rng.exponential(1 / bound)
        t += gap
        if t > duration:
            return np.array(times), np.array(sides, np.int64)
        excess *= np.exp(-decay * gap)
        u = rng.random() * bound
        rate = mu + excess
        if u < rate.sum():
            side = int(u >= rate[0])
            times.append(t)
            sides.append(side)
            excess += jump[:, side]


def tape_of_orders(time, side, duration: float) -> Tape:
    """Market orders against quotes that stand still."""
    prints = np.zeros(len(time), PRINT)
    prints["time"], prints["side"], prints["size"] = time, 1 - 2 * side, 1
    prints["price"] = np.where(side == 0, 101, 100)
    return Tape(quotes_of([0.0, duration], [100, 100], [101, 101]), prints)


def zero_intelligence_book(key: int, alpha: float, mu: float, delta: float, events: int, window: int = 15) -> Tape:
    """Unit orders at random prices within ``window`` ticks of the other side, cancelled at random: its tape."""
    rng = generator(key)
    book = {1: dict.fromkeys(range(90, 100), 3), -1: dict.fromkeys(range(100, 110), 3)}
    resting = {side: sum(levels.values()) for side, levels in book.items()}
    t, quotes, prints, last = 0.0, [], [], None
    for _ in range(events):
        bid, ask = max(book[1]), min(book[-1])
        quote = (bid, book[1][bid], ask, book[-1][ask])
        if quote != last:
            quotes.append((t, *quote))
            last = quote
        limit, market = 2 * alpha * window, 2 * mu
        total = limit + market + delta * (resting[1] + resting[-1])
        t += rng.exponential(1 / total)
        u = rng.random() * total
        if u < limit:
            side, away = (1 if rng.random() < 0.5 else -1), int(rng.integers(1, window + 1))
            price = (ask if side > 0 else bid) - side * away
            book[side][price] = book[side].get(price, 0) + 1
            resting[side] += 1
            continue
        if u < limit + market:
            side = 1 if rng.random() < 0.5 else -1  # that rests
            price = bid if side > 0 else ask
            prints.append((t, price, 1, -side))
        else:
            left = int(rng.integers(resting[1] + resting[-1]))
            side = 1 if left < resting[1] else -1
            left -= 0 if side > 0 else resting[1]
            for price in book[side]:
                left -= book[side][price]
                if left < 0:
                    break
        if resting[side] == 1:  # never an empty side: the last order stays, a rarity with these rates
            raise AssertionError("the simulated book ran empty")
        book[side][price] -= 1
        resting[side] -= 1
        if not book[side][price]:
            del book[side][price]
    quotes.append((t, *last))
    return Tape(np.array(quotes, QUOTE), np.array(prints, PRINT))
