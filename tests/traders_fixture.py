"""Populations of traders for tests, and the compiled market beside its slow twin."""

import numpy as np
from hypothesis import strategies as st
from pydantic import TypeAdapter

from marketsim.book.config import Book, Traders
from marketsim.book.market import BookMarkets
from marketsim.types import CASH, INVENTORY, LEDGER, Outcome
from tests.twin.traders import TwinMarket

KINDS = ("zero_intelligence", "hawkes", "momentum", "value", "informed", "maker")


def population(*blocks):
    """Traders of a list as the file would have it."""
    return TypeAdapter(Traders).validate_python(list(blocks))


@st.composite
def blocks(draw, kind):
    """A random block: rates of some events a unit of time, latencies from none to longer than the time between events."""

    def number(low, high):
        return draw(st.floats(low, high))

    size = draw(st.sampled_from([1, 3, {"mean": 1.0}, {"mean": 2.5}]))
    latency = draw(st.sampled_from([0.0, 0.0, 0.3, {"median": 0.2, "sigma": 1.0}]))
    block = {"kind": kind, "count": draw(st.integers(1, 3)), "size": size, "latency": latency}
    if kind != "zero_intelligence":
        block["rate"] = draw(st.sampled_from([0.0, 0.5, 2.0]))
    if kind in ("zero_intelligence", "hawkes", "value"):
        block["cancel_rate"] = draw(st.sampled_from([0.0, 0.2, 1.5]))
    if kind in ("zero_intelligence", "hawkes"):
        block["band"] = draw(st.integers(1, 12))
    if kind in ("momentum", "value", "informed", "maker"):
        block["position"] = draw(st.sampled_from([None, 2, 10]))
    if kind in ("momentum", "value", "informed"):
        block["threshold"] = draw(st.sampled_from([0.0, 0.5, 2.0]))
    if kind == "zero_intelligence":
        block |= {"limit_rate": number(0.0, 0.3), "market_rate": number(0.0, 2.0)}
    if kind == "hawkes":
        block |= {"excitation": [number(0, 0.5), number(0, 0.45)], "decay": number(0.2, 5.0)}
        block |= {"market_share": draw(st.sampled_from([0.0, 0.4, 1.0]))}
    if kind == "momentum":
        block |= {"fast": number(0.1, 1.0), "slow": number(2.0, 10.0)}
    if kind == "value":
        block["noise"] = draw(st.sampled_from([0.0, 4.0]))
    if kind == "maker":
        block |= {"half_spread": number(0.1, 4.0), "skew": draw(st.sampled_from([0.0, 0.3]))}
    return block


@st.composite
def books(draw):
    """Small enough that the ladder, the orders and the messages in flight run out now and then."""
    return Book.model_validate(
        {
            "tick": draw(st.sampled_from([0.01, 0.25, 1.0])),
            "levels": draw(st.sampled_from([24, 64, 1024])),
            "orders": draw(st.sampled_from([20, 1000])),
            "in_flight": draw(st.sampled_from([2, 5, 100])),
            "self_trade": draw(st.sampled_from(["allow", "cancel_resting", "cancel_incoming", "cancel_both"])),
            "opening": {"levels": draw(st.sampled_from([0, 1, 8])), "lots": draw(st.integers(1, 6))},
            "warm_up": draw(st.sampled_from([0.0, 2.5])),
            "maker_fee": draw(st.sampled_from([0.0, -0.002])),
            "taker_fee": draw(st.sampled_from([0.0, 0.003])),
        }
    )


class Pair:
    """The compiled markets ``first`` .. and their twins."""

    def __init__(self, book, traders, values, seed, episode, first, dealers=0, log=20_000):
        self.values = values  # (steps + 1, M)
        self.dt = 0.7
        M = values.shape[1]
        self.markets = BookMarkets(book, traders, dealers, M, log)
        self.markets.reset(values[0], seed, episode, first)
        self.twins = [TwinMarket(book, traders, values[0, m], seed, episode, first + m, dealers) for m in range(M)]
        self.t = 0

    def send(self, m, owner, message, latency):
        kind, side, tif, price, size, order = message
        twin = self.twins[m]
        mark = twin.mark = twin.mid
        time = twin.time = self.t * self.dt
        mine = self.markets.send(m, owner, kind, side, price, size, order, tif, time, latency, mark)
        outcome = twin.send(owner, message, latency)
        assert mine == outcome if outcome is not None else mine < 0

    def step(self):
        mids = self.markets.play(self.values, self.dt, self.t, self.t + 1)
        for m, twin in enumerate(self.twins):
            twin.step(self.t, self.dt, self.values[self.t, m], self.values[self.t + 1, m])
            assert mids[self.t + 1, m] == twin.mid
        self.t += 1

    def check(self):
        for m, twin in enumerate(self.twins):
            self._check(m, twin)

    def _check(self, m, twin):
        counts = self.markets.counts(m)
        assert {name: counts[name] for name in twin.counts} == twin.counts
        for outcome in Outcome:
            assert counts[outcome.name.lower()] == twin.book.outcomes[outcome], outcome.name
        tape = self.markets.tape(m)
        for rows, wanted in ((tape.prints, twin.prints), (tape.quotes, twin.quotes)):
            times = [row[0] for row in wanted]
            np.testing.assert_allclose(rows["time"], times, rtol=0, atol=1e-9)
            assert [tuple(row)[1:] for row in rows.tolist()] == [row[1:] for row in wanted]
        agents = self.markets.agents[m, len(twin.dealer) :]
        assert agents["inventory"].tolist() == [trader.inventory for trader in twin.traders]
        assert agents["event"].tolist() == [trader.event for trader in twin.traders]
        np.testing.assert_allclose(agents["cash"], [trader.cash for trader in twin.traders], rtol=1e-12, atol=1e-9)
        for owner, account in enumerate(twin.dealer):
            assert self.markets.dealer[INVENTORY, owner, m] == account["inventory"]
            assert abs(self.markets.dealer[CASH, owner, m] - account["cash"]) < 1e-9
            mine = dict(zip(LEDGER, self.markets.ledger[:, owner, m], strict=True))
            for term in ("spread", "hedge_cost", "fees", "bought", "sold", "hedge"):
                assert abs(mine[term] - account[term]) < 1e-9, term
