"""Exact simulations of the models that are calibrated, in plain numpy, each on a generator of its own."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from marketsim.feeds.lobster import ROW, Type
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


def zero_intelligence_book(
    key: int, alpha: float, mu: float, delta: float, events: int, window: int = 15
) -> tuple[Tape, np.ndarray]:
    """Unit orders at random prices within ``window`` ticks of the other side, cancelled at random: tape and messages."""
    rng = generator(key)
    alive = [(side * k, side, 100 - (side + 1) // 2 - side * (k % 10)) for side in (1, -1) for k in range(1, 31)]
    book: dict[int, dict[int, list[int]]] = {1: {}, -1: {}}  # side -> price -> orders
    for order, side, price in alive:
        book[side].setdefault(price, []).append(order)
    t, quotes, prints, messages, last = 0.0, [], [], [], None
    for number in range(100, 100 + events):
        bid, ask = max(book[1]), min(book[-1])
        quote = (bid, len(book[1][bid]), ask, len(book[-1][ask]))
        if quote != last:
            quotes.append((t, *quote))
            last = quote
        limit, market = 2 * alpha * window, 2 * mu
        total = limit + market + delta * len(alive)
        t += rng.exponential(1 / total)
        u = rng.random() * total
        if u < limit:
            side, away = (1 if rng.random() < 0.5 else -1), int(rng.integers(1, window + 1))
            price = (ask if side > 0 else bid) - side * away
            book[side].setdefault(price, []).append(number)
            alive.append((number, side, price))
            messages.append((round(t * 1e9), Type.NEW, side, number, 1, price))
            continue
        if u < limit + market:
            side = 1 if rng.random() < 0.5 else -1  # that rests
            price = bid if side > 0 else ask
            gone, kind = (book[side][price][0], side, price), Type.EXECUTION
            prints.append((t, price, 1, -side))
        else:
            gone, kind = alive[int(rng.integers(len(alive)))], Type.DELETE
        order, side, price = gone
        alive.remove(gone)
        messages.append((round(t * 1e9), kind, side, order, 1, price))
        book[side][price].remove(order)
        if not book[side][price]:
            del book[side][price]
    quotes.append((t, *last))
    return Tape(np.array(quotes, QUOTE), np.array(prints, PRINT)), np.array(messages, ROW)
