"""Laws that the traders around a book obey, each in a market where it holds exactly or in the limit."""

import numpy as np
import pytest

from marketsim.book.config import Book
from marketsim.book.market import BookMarkets
from marketsim.traders.state import LAST_ASK, LAST_BID
from marketsim.types import Outcome
from tests.traders_fixture import population


def markets_of(book, traders, markets, value=100.0):
    m = BookMarkets(Book.model_validate(book), population(*traders), markets=markets)
    m.reset(value, seed=11)
    return m


def play(m, steps, dt=1.0, value=100.0, first=0):
    return m.play(np.full((first + steps + 1, m.markets), value), dt, first)


def test_depth_far_from_the_touch_is_poisson_with_mean_limit_rate_over_cancel_rate():
    """Where the touch does not come, orders arrive at ``limit_rate`` and each stays an exponential time: M/M/infinity.

    Lots at 60 prices of 96 markets at 20 times, three lifetimes apart: mean and variance are within 2% of 4.
    """
    flow = {"kind": "zero_intelligence", "limit_rate": 4.0, "market_rate": 2.0, "cancel_rate": 1.0, "band": 60}
    wall = {"levels": 1, "lots": 2**31 - 1}  # the touch stays at 99 to 101
    book = {"tick": 1.0, "levels": 256, "orders": 2048, "opening": wall, "warm_up": 9.0}
    m = markets_of(book, [flow], markets=96)
    prices = np.r_[60:90, 111:141] & 255
    samples = []
    for t in range(20):
        play(m, 1, 3.0, first=t)
        samples.append(m.levels["lots"][:, prices])
    lots = np.array(samples)
    assert m.counts()["held_back"] == 0
    assert lots.mean() == pytest.approx(4.0, rel=0.02)
    assert lots.var() == pytest.approx(4.0, rel=0.02)
    for k, probability in enumerate(np.exp(-4.0) * np.cumprod([1, *(4.0 / np.arange(1, 8))])):
        assert (lots == k).mean() == pytest.approx(probability, abs=0.005), k


def test_the_events_of_traders_are_a_poisson_process():
    """Of 20,000 traders who act at rate 0.3 and do nothing: mean and variance of their events in 40 units of time are 12."""
    quiet = {"kind": "momentum", "rate": 0.3, "threshold": 1e6, "count": 20_000}
    m = markets_of({"orders": 20, "opening": {"levels": 0}}, [quiet], markets=1)
    play(m, 40)
    events = m.agents["event"][0]
    assert m.counts()["events"] == events.sum() and m.counts()["requests"] == 0
    assert events.mean() == pytest.approx(12.0, abs=4 * np.sqrt(12 / 20_000))
    assert events.var() == pytest.approx(12.0, rel=4 * np.sqrt((2 + 1 / 12) / 20_000))


@pytest.mark.parametrize("excitation", [[0.5, 0.2], [0.0, 0.7], [0.7, 0.0]])
def test_hawkes_orders_come_at_the_stationary_rate_and_cluster(excitation):
    """rate / (1 - n) on average, n = .7, and variance of counts over their mean 1 / (1 - n)^2 (Hawkes, Oakes 1974)."""
    flow = {"kind": "hawkes", "rate": 1.0, "excitation": excitation, "decay": 4.0, "market_share": 1.0}
    book = {"orders": 2, "levels": 64, "opening": {"levels": 0}, "warm_up": 30.0}
    m = markets_of(book, [flow], markets=1000)
    play(m, 200)
    orders = np.array([m.counts(i)["requests"] for i in range(m.markets)])
    rate, fano = 1 / 0.3, 1 / 0.3**2
    assert orders.mean() / 200 == pytest.approx(rate, abs=4 * np.sqrt(fano * rate / 200 / 1000))
    assert orders.var() / orders.mean() == pytest.approx(fano, rel=0.18)  # 4 sd of the estimate


def test_geometric_sizes_have_their_mean_and_latencies_their_median():
    """Lots of a crowd's market orders against an opening too deep to exhaust, and when the first of each arrives."""
    flow = {
        "kind": "zero_intelligence", "market_rate": 1.0, "size": {"mean": 3.0},
        "latency": {"median": 2.0, "sigma": 0.8}, "count": 10_000,
    }  # fmt: skip
    book = {"tick": 1.0, "orders": 4, "opening": {"levels": 1, "lots": 2**31 - 1}, "in_flight": 2**17}
    m = BookMarkets(Book.model_validate(book), population(flow), log=2**17)
    m.reset(100.0)
    play(m, 8)
    sizes = m.tape().prints["size"]
    n = len(sizes)
    assert n > 10_000 and m.counts()["lost"] == 0
    assert sizes.mean() == pytest.approx(3.0, abs=4 * np.sqrt(6.0 / n))  # variance m (m - 1)
    assert (sizes == 1).mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / n))
    latency = m.agents["latency"][0]
    assert (latency < 2.0).mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 10_000))
    assert np.log(latency).std() == pytest.approx(0.8, rel=4 / np.sqrt(2 * 10_000))


def test_value_traders_bring_the_mid_to_the_value():
    flow = {"kind": "zero_intelligence", "limit_rate": 0.5, "market_rate": 1.0, "cancel_rate": 0.2, "band": 20}
    value = {"kind": "value", "rate": 0.5, "noise": 2.0, "cancel_rate": 0.2, "count": 8}
    book = {"tick": 1.0, "opening": {"levels": 0}, "warm_up": 30.0}
    m = markets_of(book, [flow, value], markets=40)
    assert np.abs(play(m, 1)[1].mean() - 100) < 1
    moved = play(m, 60, value=140.0)[-1]
    assert np.abs(moved.mean() - 140) < 1


def test_informed_traders_gain_and_value_is_what_they_know():
    """They trade only where the value at the step's end pays for it: marked there, they never lose."""
    flow = {"kind": "zero_intelligence", "limit_rate": 0.5, "market_rate": 1.0, "cancel_rate": 0.2, "band": 20}
    book = {"tick": 1.0, "opening": {"levels": 0}, "warm_up": 30.0}
    m = markets_of(book, [flow, {"kind": "informed", "rate": 2.0, "threshold": 1.0}], markets=20)
    for t, value in enumerate([107.3, 95.1, 100.0]):
        before = m.agents[["inventory", "cash"]][:, 1].copy()
        values = np.full((t + 2, 20), 100.0)
        values[t + 1] = value
        m.play(values, 1.0, t, t + 1)
        traded = m.agents["inventory"][:, 1] - before["inventory"]
        gain = m.agents["cash"][:, 1] - before["cash"] + traded * value
        assert (gain >= np.abs(traded)).all()
        assert (np.sign(traded) == np.sign(value - 100.0)).mean() > 0.5 if value != 100.0 else True


def test_makers_narrow_the_spread_and_return_to_flat():
    flow = {"kind": "zero_intelligence", "limit_rate": 0.05, "market_rate": 1.0, "cancel_rate": 0.1, "band": 20}
    maker = {"kind": "maker", "rate": 5.0, "half_spread": 1.0, "skew": 0.2, "size": 3, "position": 30}
    book = {"tick": 1.0, "opening": {"levels": 0}, "warm_up": 30.0}

    def spread(m):
        spreads = []
        for t in range(50):
            play(m, 1, first=t)
            spreads.append(np.mean(m.clock[:, LAST_ASK] - m.clock[:, LAST_BID]))
        return np.mean(spreads)

    alone, made = markets_of(book, [flow], markets=30), markets_of(book, [flow, maker], markets=30)
    assert spread(made) < 0.75 * spread(alone)
    inventory = made.agents["inventory"][:, 1]
    assert np.abs(inventory).max() <= 30 and np.abs(inventory.mean()) < 4
    assert all(made.counts(i)[Outcome.NOT_OWNER.name.lower()] == 0 for i in range(30))
