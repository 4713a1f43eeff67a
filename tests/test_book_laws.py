"""Laws that queues, sweeps and fills in a random book obey, each against its exact answer."""

import numpy as np
import pytest
from scipy.stats import poisson

from marketsim import OrderBook
from marketsim.book.config import Book
from marketsim.book.market import BookMarkets
from marketsim.book.show import sweep_cost
from marketsim.traders.state import LAST_BID
from marketsim.types import INVENTORY, MESSAGE, Message
from tests.traders_fixture import population

# Unit orders at the touch: limit orders to either side, market orders of either side, cancels of each order.
LIMIT_RATE, MARKET_RATE, CANCEL_RATE = 2.0, 0.7, 0.7
QUEUES = [(b, a) for b in (1, 2, 3) for a in (1, 2, 3)]
LONGEST = 30  # orders of a queue: longer ones are too rare to matter


def markets_of(band, markets, warm_up, dealers=0, log=0):
    """Books with a zero-intelligence crowd of those rates, which fills them from empty ones with the touch at 100 and 101."""
    flow = {"kind": "zero_intelligence", "limit_rate": LIMIT_RATE, "cancel_rate": CANCEL_RATE, "band": band}
    flow["market_rate"] = 2 * MARKET_RATE
    book = {"tick": 1.0, "levels": 1024, "orders": 128, "opening": {"levels": 0}, "warm_up": warm_up, "in_flight": 1}
    m = BookMarkets(Book.model_validate(book), population(flow), dealers, markets, log)
    m.reset(100.5, seed=5)
    return m


def play(m, t, dt):
    m.play(np.full((t + 2, m.markets), 100.5), dt, t, t + 1)


# --- the next move of the mid ------------------------------------------------------------------------


def first_empty():
    """P(ask queue is empty before the bid queue), by (b - 1, a - 1): two birth-death chains, births at L, deaths M + k C.

    h(b, a) is its mean after the next event; h(b, 0) = 1, h(0, a) = 0.
    """
    n = LONGEST
    place = np.arange(n * n).reshape(n, n)
    system, ends = np.zeros((n * n, n * n)), np.zeros(n * n)
    for b in range(1, n + 1):
        for a in range(1, n + 1):
            row = place[b - 1, a - 1]
            for rate, bids, asks in (
                (LIMIT_RATE, b + 1, a),
                (LIMIT_RATE, b, a + 1),
                (MARKET_RATE + CANCEL_RATE * b, b - 1, a),
                (MARKET_RATE + CANCEL_RATE * a, b, a - 1),
            ):
                if max(bids, asks) > n:
                    continue
                system[row, row] += rate
                if asks == 0:
                    ends[row] += rate
                elif bids > 0:
                    system[row, place[bids - 1, asks - 1]] -= rate
    return np.linalg.solve(system, ends).reshape(n, n)


def time_to_empty(s, queue):
    """E e^(-s T), T the time until a queue of so many orders is empty: the product over k of the transforms of the times
    from k to k - 1, each a continued fraction (Cont, Stoikov, Talreja 2010, Operations Research 58:549, section 4)."""
    from_above, product = 0.0, 1.0
    for k in range(4 * LONGEST, 0, -1):
        death = MARKET_RATE + CANCEL_RATE * k
        from_above = death / (LIMIT_RATE + death + s - LIMIT_RATE * from_above)
        if k <= queue:
            product = product * from_above
    return product


def test_the_chance_of_a_rise_is_the_same_by_linear_equations_and_by_laplace_transforms():
    """Theirs for the mid to go up at spread 1: the transform of D = T_ask - T_bid, inverted for P(D < 0), here along the
    imaginary axis (Gil-Pelaez 1951): 1/2 - (1/pi) * integral of Im E e^(i w D) / w."""
    chances = first_empty()
    log_w = np.linspace(-20, 20, 4001)
    w = np.exp(log_w)
    for b, a in [*QUEUES, (5, 2), (1, 8)]:
        of_difference = time_to_empty(-1j * w, a) * time_to_empty(1j * w, b)
        inverted = 0.5 - np.trapezoid(of_difference.imag, log_w) / np.pi
        assert chances[b - 1, a - 1] == pytest.approx(inverted, abs=1e-6)


def next_moves(quotes):
    """Of every row, the spell of unmoved best prices in which it lies, and of every spell whether the mid rose at its end.

    At spread 1 the touch moves when, and only when, a queue is empty. The last spell's end is not seen.
    """
    whole = (quotes["bid_size"] > 0) & (quotes["ask_size"] > 0)
    begins = np.ones(len(quotes), bool)
    begins[1:] = whole[1:] != whole[:-1]
    for best in ("bid", "ask"):
        begins[1:] |= quotes[best][1:] != quotes[best][:-1]
    firsts = quotes[begins]
    rises = (firsts["ask"][1:] > firsts["ask"][:-1]) | (firsts["ask_size"][1:] == 0)
    return np.cumsum(begins) - 1, rises


def rises_after(units, markets):
    """{(b, a): whether the mid rose, for every spell of spread 1 in which the queues were b and a at some time}.

    Counted from the first such time in a spell, so that each is an independent draw.
    """
    m = markets_of(band=2, markets=markets, warm_up=10.0, log=2**13)
    found = {queues: [] for queues in QUEUES}
    for t in range(units // 500):
        play(m, t, 500.0)
        for market in range(markets):
            quotes = m.tape(market).quotes
            spell, rises = next_moves(quotes)
            seen = (quotes["ask"] - quotes["bid"] == 1) & (spell < len(rises))
            for b, a in QUEUES:
                there = seen & (quotes["bid_size"] == b) & (quotes["ask_size"] == a)
                found[b, a].append(rises[np.unique(spell[there])])
        m.forget()
    assert m.counts()["held_back"] == 0
    return {queues: np.concatenate(each) for queues, each in found.items()}


def test_the_mid_rises_next_as_often_as_queues_of_cont_stoikov_and_talreja_say():
    """A whole book of zero intelligence, its touch where it will: at spread 1 with b and a orders there, nine (b, a)."""
    chances = first_empty()
    for (b, a), rises in rises_after(units=5000, markets=200).items():
        assert len(rises) > 120_000  # 0.005 is more than 3.4 standard errors
        assert rises.mean() == pytest.approx(chances[b - 1, a - 1], abs=0.005), (b, a)


@pytest.mark.long
def test_the_mid_rises_next_as_often_as_they_say_within_a_thousandth():
    chances = first_empty()
    for (b, a), rises in rises_after(units=100_000, markets=200).items():
        assert len(rises) > 2_400_000
        assert rises.mean() == pytest.approx(chances[b - 1, a - 1], abs=0.001), (b, a)


# --- sweeping a random book --------------------------------------------------------------------------

TICK, MID = 0.5, 50.25  # half a tick below the first ask, above the first bid: sums are exact


def book_of(lots):
    """A book with ``lots`` (2, ticks) of unit orders at the ticks from the mid: of bids 100, 99, ..., of asks 101, ..."""
    side, away = np.nonzero(lots)
    side, away = (np.repeat(each, lots[side, away]) for each in (side, away))
    messages = np.zeros(len(side), MESSAGE)
    messages["kind"], messages["size"], messages["order"], messages["owner"] = Message.LIMIT, 1, range(len(side)), -1
    messages["side"] = np.where(side == 0, 1, -1)
    messages["price"] = np.where(side == 0, 100 - away, 101 + away)
    book = OrderBook(tick=TICK, levels=256, orders=1024)
    book.process(messages)
    return book


def costs_of(book, side, lots):
    """What the first, the first two, ... of so many lots cost beyond the mid by the trades of a market order, and all of
    them by ``sweep_cost`` beforehand."""
    before = book.snapshot()
    asked = sweep_cost(before["head"], before["levels"], TICK, side, float(lots), MID)
    book.market(side, lots)
    prices = np.repeat(book.trades["price"], book.trades["size"])
    assert len(prices) == lots
    return np.cumsum(side * (TICK * prices - MID)), asked


@pytest.mark.parametrize("density", [1, 3, 7])
@pytest.mark.parametrize("side", [1, -1])
def test_sweeping_an_even_book_costs_the_sum_over_its_levels(density, side):
    """n lots at c a tick, f = n // c whole levels and r lots of the next: c f^2 / 2 + r (f + 1/2) ticks."""
    for lots in (1, density, density + 1, 5 * density - 1, 20 * density):
        paid, asked = costs_of(book_of(np.full((2, 20), density)), side, lots)
        f, r = divmod(lots, density)
        assert paid[-1] == asked == TICK * (density * f**2 / 2 + r * (f + 0.5))


@pytest.mark.parametrize("density", [0.4, 3.0])
@pytest.mark.parametrize("side", [1, -1])
def test_sweeping_a_poisson_book_costs_what_its_density_says(density, side):
    """Poisson lots of mean rho at each tick. The i-th lot lies beyond k ticks if fewer than i lie within: it costs
    sum over k >= 0 of P(Poisson(rho k) < i), less 1/2, in ticks. For n lots Euler and Maclaurin sum that up to
    n (n + 1) / (2 rho) + rho / 12: all derivatives but the first vanish, where n is not small.

    Book by book ``sweep_cost`` is what the trades paid, to the last bit. Means of 1,200 books within 4 standard errors.
    """
    lots, ticks = 25, round(60 / density)
    generator = np.random.default_rng([round(10 * density), side + 1])
    paid = np.zeros((1200, lots))
    for row in paid:
        row[:], asked = costs_of(book_of(generator.poisson(density, (2, ticks))), side, lots)
        assert asked == row[-1]
    within = density * np.arange(400 / density)
    lot_by_lot = [poisson.cdf(i, within).sum() - 0.5 for i in range(lots)]
    expected = TICK * np.cumsum(lot_by_lot)
    error = paid.std(axis=0) / np.sqrt(len(paid))
    assert (error < 0.03 * expected).all()
    assert (np.abs(paid.mean(axis=0) - expected) < 4 * error).all()
    assert expected[-1] / TICK == pytest.approx(lots * (lots + 1) / (2 * density) + density / 12, rel=1e-6)


# --- waiting in a queue ------------------------------------------------------------------------------


def test_an_order_at_the_tail_of_a_queue_is_filled_after_the_sum_of_the_times_at_each_place():
    """n orders ahead, each cancelled at rate C, sales at rate M take the first; nobody cancels the last, a dealer's.

    E T = sum over k = 0 .. n of 1 / (M + k C). With a band of one tick the touch never moves.
    """
    m = markets_of(band=1, markets=4000, warm_up=8.0, dealers=1)
    ahead = m.levels["lots"][:, 100].copy()
    for market in range(m.markets):
        m.send(market, 0, Message.LIMIT, 1, 100, 1, 0)
    dt, waited = 0.2, np.full(m.markets, -0.1)  # the sum over t of [not filled by t] dt, but half of its first term
    for t in range(150):
        waited += dt * (m.dealer[INVENTORY, 0] == 0)
        play(m, t, dt)
    assert (m.dealer[INVENTORY, 0] == 1).all()
    assert (m.clock[:, LAST_BID] == 100).all()
    expected = np.cumsum(1 / (MARKET_RATE + CANCEL_RATE * np.arange(ahead.max() + 1)))
    late = waited - expected[ahead]
    for these in (ahead >= 0, *(ahead == n for n in range(6))):
        assert these.sum() > 150
        assert np.abs(late[these].mean()) < 4 * late[these].std() / np.sqrt(these.sum())
