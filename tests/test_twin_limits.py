"""The limits, the orders and the feed of the slow twin: steps worked out by hand."""

import math

import numpy as np
import pytest
from twin.by_hand import NONE, market_of, quote

from marketsim.types import ASK, BID, Order, Reason


def test_position_limit_refuses_a_request_by_hand():
    """A lot more would be one too many: the better quote is not given, and the other dealer trades."""
    market = market_of({"limits": {"position": {"hard": 1}}}, {}, bid=1.0, size=2)
    step = market.step([quote(0.0, NONE), quote(0.5, NONE)])
    assert market.inventory == [0.0, 2.0]
    assert step.reasons == [Reason.POSITION, 0]
    assert [ledger["interventions"] for ledger in step.ledger] == [1, 0]
    assert step.requests[0]["asked"] == 2 and math.isnan(step.requests[0]["cover"])


def test_loss_stop_flattens_by_hand():
    """10 lots lose 10 in the first step, above 5: the second sells them, the third has nothing left to sell."""
    market = market_of({"limits": {"loss": {"hard": 5.0}}}, bid=1.0, drift=-1.0)
    market.step([quote(NONE, NONE, hedge=10)])
    assert market.inventory == [10.0]
    step = market.step([quote(0.0, 0.0, hedge=2)])
    assert market.inventory == [0.0] and step.ledger[0]["hedge"] == -10
    assert step.reasons == [Reason.LOSS | Reason.HEDGE] and step.requests[0]["winner"] == -1
    step = market.step([quote(0.0, 0.0)])
    assert step.reasons == [Reason.LOSS] and step.reward == [0.0]


def test_orders_of_two_limits_come_together_by_hand():
    """The loss stop forbids a hedge, the full position demands one: flattening beats it. What was asked for is done."""
    limits = {"loss": {"hard": 1.0, "on_breach": "reject"}, "position": {"hard": 2, "on_breach": "flatten"}}
    market = market_of({"limits": limits}, drift=-1.0)
    market.step([quote(NONE, NONE, hedge=2)])
    step = market.step([quote(0.0, 0.0, hedge=-2)])
    assert market.inventory == [0.0] and step.reasons == [Reason.LOSS]  # asked for -2, and got it


def test_a_broken_policy_is_still_flattened_by_hand():
    """An action with NaN hedges 0; the loss stop makes that a sale of what is held, and counts it."""
    market = market_of({"limits": {"loss": {"hard": 1.0}}}, drift=-1.0)
    market.step([quote(NONE, NONE, hedge=2)])
    step = market.step([[math.nan, 0.0, 0.0]])
    assert market.inventory == [0.0] and step.reasons == [Reason.NON_FINITE | Reason.LOSS | Reason.HEDGE]


def test_loss_stop_and_warning_by_hand():
    """2 lots lose 2 a step: past the soft 1.5 at 2, past the hard 3 at 4; halted, they stay, and so does the reason."""
    market = market_of({"limits": {"loss": {"soft": 1.5, "hard": 3.0, "on_breach": "halt"}}}, bid=1.0, drift=-1.0)
    market.step([quote(NONE, NONE, hedge=2)])
    step = market.step([quote(NONE, 0.0)])
    assert (step.reasons, step.warnings) == ([0], [Reason.LOSS])
    step = market.step([quote(0.0, 0.0, hedge=-1)])
    assert (step.reasons, step.warnings) == ([Reason.LOSS | Reason.HEDGE], [Reason.LOSS])
    assert market.inventory == [2.0] and step.requests[0]["winner"] == -1


def test_drawdown_counts_from_the_highest_gain_by_hand():
    """A lot gains 1, 1 and 1, then loses 1 and 2: 3 below the highest, above 2, with a loss since reset of 0."""
    path = {"kind": "replay", "path": [100.0, 101.0, 102.0, 103.0, 102.0, 100.0, 100.0], "volatility": 1.0}
    market = market_of({"limits": {"drawdown": {"hard": 2.0}}}, price=path, steps=6)
    market.step([quote(NONE, NONE, hedge=1)])
    assert [market.step([quote(NONE, NONE)]).reasons for _ in range(4)] == [[0]] * 4
    step = market.step([quote(NONE, NONE)])
    assert step.reasons == [Reason.DRAWDOWN | Reason.HEDGE] and market.inventory == [0.0]


def test_rolling_loss_by_hand():
    """A lot loses 1 a step: 2 in the two before t = 2, above 1.5; sold there, it is 2 - 1 = 1 by t = 3, 2 - 2 = 0 by t = 4."""
    limits = {"rolling_loss": {"steps": 2, "hard": 1.5}}
    market = market_of({"limits": limits}, drift=-1.0, steps=6)
    met = [market.step([quote(NONE, NONE, hedge=h)]).reasons[0] for h in (1, 0, -1, 0, 1)]
    assert met == [0, 0, Reason.ROLLING_LOSS, 0, 0]


def test_time_at_limit_by_hand():
    """Two steps in a row begun with 2 lots are allowed; in the third the dealer may only reduce."""
    market = market_of({"limits": {"time_at_limit": {"level": 2, "hard": 2}}}, steps=6)
    met = [market.step([quote(NONE, NONE, hedge=h)]).reasons[0] for h in (2, 0, 1, 1, -2, 1)]
    assert met == [0, 0, 0, Reason.TIME_AT_LIMIT | Reason.HEDGE, Reason.TIME_AT_LIMIT, 0]
    assert market.inventory == [2.0]  # 2 + 0 + 1 + 0 - 2 + 1


def test_bad_feeds_by_hand():
    """A move of 3 sd where 2 are allowed; a third step without a move where one is; a price of 100 where more is asked."""
    moves = {"kind": "replay", "path": [100.0, 103.0, 104.0, 104.0, 104.0, 100.0, 100.0], "volatility": 1.0}
    for feed, bad in (({"jump": 2}, (1, 5)), ({"frozen": 1}, (4,)), ({"above": 100.0}, (0, 5))):
        market = market_of({"limits": {"feed": feed}}, price=moves, steps=6)
        met = [market.step([quote(0.0, 0.0)]).reasons[0] for _ in range(6)]
        assert met == [Reason.FEED if t in bad else 0 for t in range(6)]


def test_quote_size_by_hand():
    """The dealer who may quote 1 lot does not quote 2; its rival wins without cover."""
    market = market_of({"limits": {"size": {"hard": 1}}}, {}, bid=1.0, size=2)
    step = market.step([quote(0.0, 0.0), quote(0.5, NONE)])
    assert market.inventory == [0.0, 2.0] and step.reasons == [Reason.SIZE, 0]


def test_worst_case_by_hand():
    """With 2 held and bids of 2, a limit of 3 might be passed: 2 + 2 > 3, refused. The ask's 2 - 2 is not."""
    limits = {"worst_case": {"hard": 3}}
    market = market_of({"limits": limits}, bid=1.0, ask=1.0, size=2)
    market.step([quote(NONE, NONE, hedge=2)])
    step = market.step([quote(0.0, NONE)])
    assert market.inventory == [2.0] and step.reasons == [Reason.WORST_CASE]
    step = market.step([quote(NONE, 0.0)])
    assert market.inventory == [0.0] and step.reasons == [0]


@pytest.mark.parametrize(("on_breach", "held"), [("clip", 2.0), ("reject", 0.0)])
def test_hedge_size_and_slippage_by_hand(on_breach, held):
    """2 lots of a hedge of 5: by their number, or because 0.25 + 0.125 * 2 + 0.25 = 0.75 a lot is what may be paid."""
    for name, hard, reason in (("hedge", 2.5, Reason.HEDGE_SIZE), ("slippage", 0.75, Reason.SLIPPAGE)):
        venue = {"half_spread": 0.25, "slope": 0.125, "fee": 0.25}
        market = market_of({"limits": {name: {"hard": hard, "on_breach": on_breach}}}, venue=venue)
        step = market.step([quote(NONE, NONE, hedge=5)])
        assert market.inventory == [held] and step.reasons == [reason | Reason.HEDGE]


def test_desk_limit_by_hand():
    """3 lots for both: the first hedges 2, the second 1 of 2; then neither may buy, the first may still sell 2."""
    market = market_of({}, {}, bid=1.0, desk={"position": {"hard": 3}})
    step = market.step([quote(NONE, NONE, hedge=2)] * 2)
    assert market.inventory == [2.0, 1.0] and step.reasons == [0, Reason.DESK | Reason.HEDGE]
    step = market.step([quote(0.0, NONE, hedge=-2), quote(0.0, NONE, hedge=2)])
    assert market.inventory[1] == 3.0 and step.requests[0]["winner"] == -1  # 1 + 2 again: full before the request
    assert step.reasons == [Reason.DESK, Reason.DESK]


def test_widening_stops_at_the_band_by_hand():
    """0.25 + 0.5 reference markups of 1 is 0.75; 0.75 + 0.5 stops at the band's 1."""
    limits = {"markup": {"low": 0.0, "high": 1.0}, "widen": 0.5}
    for asked, met in ((0.25, 0.75), (0.75, 1.0)):
        market = market_of({"limits": limits}, bid=1.0)
        market.order(0, Order.WIDEN)
        step = market.step([quote(asked, NONE)])
        assert step.requests[0]["markup"] == met and step.reasons == [Reason.ORDERED]


def test_flattening_at_a_pace_by_hand():
    """5 lots, 2 a step: 3, 1, 0. No hedge and reduce only do not hold it back."""
    market = market_of({"limits": {"pace": 2}}, steps=4)
    market.step([quote(NONE, NONE, hedge=5)])
    market.order(0, Order.FLATTEN | Order.NO_HEDGE | Order.REDUCE_ONLY)
    left = [(market.step([quote(NONE, NONE)]), market.inventory)[1] for _ in range(3)]
    assert left == [[3.0], [1.0], [0.0]]


def test_orders_from_outside_by_hand():
    """No quotes; no hedge; reduce only; a quarter of 8 lots; and none again."""
    market = market_of({"limits": {"position": {"hard": 8}}}, bid=1.0, steps=5)
    for orders, held, reason in (
        (Order.NO_QUOTES, 2.0, 0),
        (Order.NO_HEDGE, 3.0, Reason.HEDGE),
        (Order.REDUCE_ONLY, 3.0, Reason.HEDGE | Reason.POSITION),
        (Order.QUARTER, 3.0, Reason.HEDGE | Reason.POSITION),  # above its 2: not further
    ):
        market.order(0, orders)
        step = market.step([quote(0.0, NONE, hedge=2)])
        assert market.inventory == [held] and step.reasons == [Reason.ORDERED | reason]
    market.order(0, 0)
    assert market.step([quote(0.0, NONE, hedge=2)]).reasons == [0] and market.inventory == [6.0]


def test_misled_dealers_quote_around_what_they_see_by_hand():
    """Seeing 100.5 for a mid of 100, a bid at 100.5 - 0.75 is 0.25 below the mid, an ask at 100.5 + 0.25 is 0.75 above."""
    market = market_of({"observation": ["mid_move_1", "pnl"]}, bid=1.0, ask=1.0, price={"kind": "brownian"}, steps=4)
    market.feed.set(offset=0.5)
    step = market.step([quote(NONE, NONE)])
    move = market.mid + 0.5 - 100.0
    assert step.observation[0] == [np.float32(move), 0.0]
    mid = market.mid
    step = market.step([quote(0.75, 0.25)])
    assert {r["side"]: r["markup"] for r in step.requests} == pytest.approx({BID: 0.25, ASK: 0.75})
    assert market.cash[0] == pytest.approx((mid + 0.75) - (mid - 0.25))


def test_late_and_frozen_feeds_by_hand():
    """The mid rises by 1 a step from 100: two steps late 100, 100, 100, 101; then frozen at 101; then the mid again."""
    market = market_of(drift=1.0, steps=6)
    market.feed.set(lag=2)
    for seen in (100.0, 100.0, 101.0):
        market.step([quote(NONE, NONE)])
        assert market.feed.price == seen
    market.feed.set(frozen=True)
    market.step([quote(NONE, NONE)])
    assert (market.feed.price, market.feed.stale, market.mid) == (101.0, 1, 104.0)
    market.feed.set()
    market.step([quote(NONE, NONE)])
    assert (market.feed.price, market.feed.move) == (105.0, 4.0)


def test_markup_band_by_hand():
    """Clipped, the quote of 0 becomes 0.5 and wins; rejected, it is withdrawn. Either way it is counted once."""
    for on_breach, winner, markup in (("clip", 0, 0.5), ("reject", 1, 1.0)):
        band = {"markup": {"low": 0.5, "high": 2.0, "on_breach": on_breach}}
        step = market_of({"limits": band}, {}, bid=1.0).step([quote(0.0, 3.0), quote(1.0, 1.0)])
        assert (step.requests[0]["winner"], step.requests[0]["markup"]) == (winner, markup)
        assert step.reasons == [Reason.MARKUP, 0]


def test_reduce_only_at_the_limit_by_hand():
    """Full at 2: it may not buy, may sell, and its hedge may only shrink the position."""
    position = {"position": {"hard": 2, "on_breach": "reduce_only"}}
    market = market_of({"limits": position}, bid=1.0, ask=1.0)
    market.step([quote(NONE, NONE, hedge=2)])
    step = market.step([quote(0.0, NONE, hedge=1)])
    assert market.inventory == [2.0] and step.reasons == [Reason.HEDGE | Reason.POSITION]
    step = market.step([quote(NONE, 0.0, hedge=-5)])
    assert market.inventory == [0.0] and step.ledger[0]["hedge"] == -2
    assert step.reasons == [Reason.HEDGE | Reason.POSITION]  # flat again, a sale would open a position
