"""The slow twin by itself: steps worked out by hand, the laws of the market, and the statistics of its clients."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import requests
from twin.by_hand import NONE, ledger_of, market_of, quote
from twin.cells import lambert_w
from twin.prices import move_sd
from twin.step import TwinMarket
from twin.strategies import configs, of_market, random_play

from marketsim.rng import draw
from marketsim.types import ASK, BID, LEDGER, Reason

# --- by hand -------------------------------------------------------------------------------------------------------


def test_bid_win_by_hand():
    """Buys 2 at 100 - 0.75; the mid rises to 101."""
    market = market_of(bid=1.0, size=2, drift=1.0)
    step = market.step([quote(0.75, NONE)])
    assert (market.inventory, market.cash, market.mid) == ([2.0], [-198.5], 101.0)
    assert ledger_of(step) == {"spread": 1.5, "inventory": 2.0, "bought": 2, "requested": 2, "won": 1, "asked": 1}
    assert step.reward == [3.5]
    (request,) = step.requests
    assert (request["side"], request["winner"], request["markup"]) == (BID, 0, 0.75)
    assert math.isnan(request["cover"])


def test_ask_win_by_hand():
    """The second dealer sells 2 at 100 + 0.5, the first having asked for 0.75; the mid rises to 101."""
    market = market_of({}, {}, ask=1.0, size=2, drift=1.0)
    step = market.step([quote(NONE, 0.75), quote(NONE, 0.5)])
    assert (market.inventory, market.cash) == ([0.0, -2.0], [0.0, 201.0])
    assert ledger_of(step, 0) == {"requested": 2, "asked": 1}
    assert ledger_of(step, 1) == {
        "spread": 1.0, "inventory": -2.0, "sold": 2, "requested": 2, "won": 1, "asked": 1
    }  # fmt: skip
    assert step.reward == [0.0, -1.0]
    (request,) = step.requests
    assert (request["side"], request["winner"], request["markup"], request["cover"]) == (ASK, 1, 0.5, 0.75)


def test_hedge_by_hand():
    """Buys 3.4, rounded to 3, and moves the mid by 0.25 a lot: 100 -> 101.75."""
    venue = {"half_spread": 0.5, "slope": 0.125, "fee": 0.25, "impact": 0.25}
    market = market_of(drift=1.0, venue=venue)
    step = market.step([quote(NONE, NONE, hedge=3.4)])
    assert (market.exogenous, market.impact, market.mid) == (101.0, 0.75, 101.75)
    assert (market.inventory, market.cash) == ([3.0], [-300.0 - 2.625 - 0.75])
    assert ledger_of(step) == {"hedge": 3, "hedge_cost": 2.625, "fees": 0.75, "inventory": 5.25}
    assert step.reward == [5.25 - 2.625 - 0.75]


@pytest.mark.parametrize(("drift", "accuracy", "side"), [(1, 1, ASK), (1, 0, BID), (-1, 1, BID), (-1, 0, ASK)])
def test_informed_client_replaces_the_side_by_hand(drift, accuracy, side):
    """Whichever side the request would have had, a client who knows buys before a rise and sells before a fall."""
    informed = {"share": 1.0, "accuracy": float(accuracy), "lead": 2}
    for rates in ({"bid": 1.0}, {"ask": 1.0}):
        step = market_of(**rates, drift=float(drift), informed=informed).step([quote(1.0, 1.0)])
        assert [(request["side"], request["informed"]) for request in step.requests] == [(side, 1)]


def test_liquidation_and_final_penalties_by_hand():
    """3 lots, held to the end at 101, are sold there for half a unit each; the penalties count them before that."""
    terms = ["pnl", {"kind": "inventory_penalty", "weight": 0.5}, {"kind": "terminal_inventory_penalty", "weight": 2.0}]
    market = market_of({"reward": terms}, drift=1.0, steps=1, liquidate=True, dt=1.0, venue={"half_spread": 0.5})
    step = market.step([quote(NONE, NONE, hedge=3)])
    assert (market.inventory, market.cash) == ([0.0], [-300.0 - 1.5 + 303.0 - 1.5])
    assert ledger_of(step) == {"inventory": 3.0, "hedge_cost": 3.0}  # bought 3 and sold 3: hedge 0
    assert step.reward == [0.0 - 0.5 * 9 - 2.0 * 9]


def test_ruin_ends_quoting_but_not_marking_by_hand():
    """The loss of 10 is above 5: that step is still rewarded, the next is not, but its loss stands in the ledger."""
    market = market_of(bid=1.0, drift=-1.0, ruin=5.0)
    first = market.step([quote(NONE, NONE, hedge=10)])
    assert (first.reward, first.terminated) == ([-10.0], [True])
    second = market.step([quote(0.0, 0.0, hedge=-10)])
    assert (second.reward, second.terminated, second.reasons) == ([0.0], [True], [0])
    assert ledger_of(second) == {"inventory": -10.0, "requested": 1, "asked": 1}


def test_action_maps_by_hand():
    """Bids then asks on 0..2; half-spread and skew; a hedged half of 3 lots rounds to the even 2."""
    ladder, skew = {"action": {"kind": "ladder"}}, {"action": {"kind": "skew", "half_spread": [0, 2], "skew_max": 0.5}}
    market = market_of(ladder, skew, bid=1.0, ask=1.0)
    market.step([quote(NONE, NONE, hedge=3), quote(NONE, NONE, hedge=5)])
    step = market.step([[-0.5, 3.0, 0.0], [0.0, -1.0, 0.0]])
    # bids: 0.5 and 1 - 0.5; asks: 2 (an action of 3 is clipped to 1) and 1 + 0.5
    quoted = {r["side"]: {r["markup"], r["cover"]} for r in step.requests}
    assert quoted == {BID: {0.5}, ASK: {2.0, 1.5}}
    assert [ledger["hedge"] for ledger in step.ledger] == [-2.0, -2.0]
    step = market.step([[math.nan, 0.0, 1.0], [0.0, 0.0, -1.0]])
    assert step.reasons == [Reason.NON_FINITE, 0] and step.ledger[0]["hedge"] == 0
    assert all(request["winner"] == 1 for request in step.requests)


def test_observations_by_hand():
    """A lot bought at 100 - 1 in the first step and held while the mid rises by 1 a step, its sd, to 105."""
    names = [
        "time_left",
        "inventory",
        "mid_move_1",
        "mid_move_5",
        "markout",
        "requests",
        "imbalance",
        "hit_ratio",
        "pnl",
    ]
    path = {"kind": "replay", "path": [100.0 + k for k in range(7)], "volatility": 1.0}
    market = market_of({"observation": names}, bid=1.0, price=path, steps=6)
    market.step([quote(1.0, NONE)])
    for _ in range(4):
        step = market.step([quote(NONE, NONE)])
    assert dict(zip(names, step.observation[0], strict=True)) == pytest.approx(
        {
            "time_left": 1 / 6,
            "inventory": 1 / 20,
            "mid_move_1": 1.0,
            "mid_move_5": 5 / math.sqrt(5),
            "markout": 5 / math.sqrt(5),  # the weights of the gain and of the lots cancel
            "requests": 0.0,
            "imbalance": 0.95**5 - 1,  # from 0 towards -1: every client sold
            "hit_ratio": (0.5 + 0.5 / 20) * 0.95**4 - 0.5,
            "pnl": 6 / (20 * math.sqrt(6)),
        },
        rel=1e-6,
    )


# --- laws ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(config=configs(), play=st.integers(0, 2**32))
def test_ledger_and_lots(config, play):
    """d(cash + q*S) = spread + inventory - hedge_cost - fees, and every lot that moves was traded by somebody."""
    market = TwinMarket(config, seed=1, episode=0, market=5)
    for actions, quotes, governing in random_play(config, 1, play):
        governing.of_market(0, market)
        before = [(d.cash, d.inventory, d.inventory * market.mid) for d in market.dealers]
        step = market.step(of_market(0, actions, quotes))
        for dealer, ledger, (cash, lots, value) in zip(market.dealers, step.ledger, before, strict=True):
            assert tuple(ledger) == LEDGER
            gain = (dealer.cash + dealer.inventory * market.mid) - (cash + value)
            explained = ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]
            largest = max(
                1.0, *(abs(x) + abs(y) for x, y in ((cash, value), (dealer.cash, dealer.inventory * market.mid)))
            )
            assert abs(gain - explained) <= 1e-12 * largest
            assert dealer.inventory - lots == ledger["bought"] - ledger["sold"] + ledger["hedge"]
        won = [request for request in step.requests if request["winner"] >= 0]
        assert sum(r["size"] for r in won) == sum(ledger["bought"] + ledger["sold"] for ledger in step.ledger)
        assert len(won) == sum(ledger["won"] for ledger in step.ledger)
        assert sum(r["asked"] for r in step.requests) == sum(ledger["asked"] for ledger in step.ledger)


@settings(max_examples=40, deadline=None)
@given(config=configs())
def test_clients_and_prices_do_not_depend_on_actions(config):
    """Two ways to play meet the same F and the same requests, and a position limit is never passed."""
    seen = []
    for play in (1, 2):
        market, history = TwinMarket(config, seed=3, episode=1, market=2), []
        for actions, quotes, governing in random_play(config, 1, play):
            governing.of_market(0, market)
            step = market.step(of_market(0, actions, quotes))
            history.append(
                (market.exogenous, [(r["number"], r["segment"], r["side"], r["size"]) for r in step.requests])
            )
            assert all(abs(dealer.inventory) <= dealer.limits.position for dealer in market.dealers)
        seen.append(history)
    assert seen[0] == seen[1]


# --- statistics: within 4 standard deviations; the draws are fixed, so a pass stays a pass -------------------------


def z_score(count, trials, probability):
    return (count - trials * probability) / math.sqrt(trials * probability * (1.0 - probability))


def test_poisson_counts_are_independent_poisson():
    """Each cell's count has the mean and variance rate*dt, whichever way the cells are visited."""
    cells = market_of(bid=0.3, ask=1.2, arrivals={"kind": "poisson"}, dt=0.5).cells
    counts = np.zeros((6000, 2))
    for step in range(len(counts)):
        found = requests.arrivals("poisson", cells, lambda *key: draw(7, 0, 0, *key), step)
        assert [number for number, _ in found] == list(range(len(found)))
        order = [cell.index for _, cell in found]
        assert order in (sorted(order), sorted(order, reverse=True))
        for index in order:
            counts[step, index] += 1
    for mean, of_cell in zip((0.15, 0.6), counts.T, strict=True):
        assert abs(of_cell.mean() - mean) < 4 * math.sqrt(mean / len(counts))
        spread = math.sqrt((mean + 2 * mean**2) / len(counts))  # the sd of a sample variance
        assert abs(of_cell.var() - mean) < 4 * spread
    assert abs(np.corrcoef(counts.T)[0, 1]) < 4 / math.sqrt(len(counts))


def test_logit_frequencies():
    """Dealers win with e^-(a + b*markup) / (1 + sum of these); what is left trades with nobody."""
    choice, quotes, trials = {"kind": "logit", "intercept": -0.5, "sensitivity": 2.0}, {0: 0.5, 2: 0.25, 3: 1.0}, 8000
    won = [requests.winner(choice, quotes, lambda *key: draw(7, 0, 0, *key), step, 3) for step in range(trials)]
    weights = {i: math.exp(0.5 - 2.0 * markup) for i, markup in quotes.items()} | {None: 1.0}
    for who, weight in weights.items():
        assert abs(z_score(won.count(who), trials, weight / sum(weights.values()))) < 4


def test_best_price_trades_below_the_reservation_and_splits_ties():
    choice = {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}}
    trials = 8000

    def winners(quotes):
        return [requests.winner(choice, quotes, lambda *key: draw(7, 0, 0, *key), step, 1) for step in range(trials)]

    won = winners({0: 0.5, 1: 0.4, 4: 0.4})
    traded = trials - won.count(None)
    assert won.count(0) == 0 and abs(z_score(traded, trials, math.exp(-1.5 * 0.4))) < 4
    assert abs(z_score(won.count(1), traded, 0.5)) < 4
    assert set(winners({2: 0.0, 3: 0.1})) == {2} and set(winners({})) == {None}


def test_panels_are_uniform_without_replacement():
    """Each of the 10 panels of 2 among 5 dealers is equally likely."""
    trials = 6000
    asked = [tuple(requests.panel(2, 5, lambda *key: draw(7, 0, 0, *key), step, 1)) for step in range(trials)]
    panels = list(combinations(range(5), 2))
    assert set(asked) == set(panels)
    for panel in panels:
        assert abs(z_score(asked.count(panel), trials, 0.1)) < 4


def test_informed_share_accuracy_and_coin():
    """With share 0.4 and accuracy 0.75 of a flow that only sells, 0.4 * 0.75 buy before a rise; without a move half."""
    for drift, expected in ((1.0, 0.4 * 0.75), (0.0, 0.4 * 0.5)):
        informed = {"share": 0.4, "accuracy": 0.75, "lead": 1}
        market = market_of(bid=1.0, drift=drift, informed=informed, steps=3000)
        sides = [request["side"] for _ in range(3000) for request in market.step([quote(NONE, NONE)]).requests]
        assert len(sides) == 3000 and abs(z_score(sides.count(ASK), 3000, expected)) < 4


def test_price_moves_have_the_sd_that_scales_observations():
    """Brownian and geometric moves, and regimes in their stationary distribution (here 1/3 and 2/3)."""
    regimes = {"transition": [[0.6, 0.4], [0.2, 0.8]], "drift": [0.0, 0.0], "volatility": [0.5, 2.0]}
    for price, sd in (
        ({"kind": "brownian", "mid": 100.0, "volatility": 1.5, "drift": 0.0}, 0.75),
        ({"kind": "gbm", "mid": 50.0, "volatility": 0.01, "drift": 0.0}, 0.25),
        ({"kind": "regime", "mid": 100.0, **regimes}, math.sqrt(0.25 * (0.25 / 3 + 4.0 * 2 / 3))),
    ):
        assert move_sd(price, dt=0.25) == pytest.approx(sd)
        F = np.array(market_of(price=price, dt=0.25, steps=6000).F)
        moves = np.diff(np.log(F)) * price["mid"] if price["kind"] == "gbm" else np.diff(F)
        assert moves.std() == pytest.approx(sd, rel=0.06)


def test_lambert_w_solves_its_equation():
    for x in (1e-9, 0.1, math.e, 1e6):
        assert lambert_w(x) * math.exp(lambert_w(x)) == pytest.approx(x, rel=1e-12)
