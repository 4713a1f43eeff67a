"""Orders of dealers in the book, steps worked out by hand: a thin book around 100, half a price unit a tick."""

import numpy as np

import marketsim
from marketsim.types import Order, Reason

SEEN = ["bid_open", "ask_open", "bid_distance", "ask_distance"]
SCALE = 20.0  # of inventories, where no position limit is given


def batch_of(*dealers, desk=None, reference=None):
    """Dealers of these limits and latencies, who may quote 0 to 5 lots 0 to 4 ticks from the mid and hedge 4."""
    blocks = []
    for k, (limits, latency) in enumerate(dealers):
        action = {"kind": "offsets", "offset": [0, 4], "size": [0, 5], "hedge": 4, "latency": latency}
        blocks.append({"name": f"dealer_{k}", "action": action, "limits": limits, "observation": SEEN})
    market = {"kind": "book", "steps": 4, "book": {"tick": 0.5, "opening": {"levels": 1, "lots": 3}}}
    if reference:
        market["reference"] = reference
    config = {"market": market, "dealers": blocks} | ({"desk": {"position": {"hard": desk}}} if desk else {})
    batch = marketsim.MarketBatch(marketsim.load_config(config), 1)
    batch.reset()
    return batch


def action(bid=0.0, ask=0.0, bid_lots=0, ask_lots=0, hedge=0):
    """Ticks from the mid and lots as an action."""
    return [bid / 2 - 1, ask / 2 - 1, bid_lots / 2.5 - 1, ask_lots / 2.5 - 1, -1.0, hedge / 4]


def step(batch, *actions):
    """Reasons, inventories and open lots [bid, ask] of each dealer."""
    done = batch.step(np.array([actions], np.float32))
    scales = batch.tables.dealers["inventory_scale"]
    opened = np.rint(done.observation[0, :, :2] * scales[:, None]).astype(int).tolist()
    return done.reasons[0].tolist(), batch.state["inventory"][0, :, 0].tolist(), opened


def test_an_infinite_markup_is_no_order_where_there_is_a_band_either():
    action = {"kind": "offsets", "size": [2, 2]}
    limits = {"markup": {"low": 0.0, "high": 1.0}}
    dealers = [{"name": "driven", "action": action, "limits": limits, "observation": SEEN}]
    batch = marketsim.MarketBatch(marketsim.load_config({"market": {"kind": "book"}, "dealers": dealers}), 1)
    for markup, lots, reason in ((np.inf, 0, 0), (-np.inf, 0, 0), (np.nan, 0, 0), (5.0, 2, Reason.MARKUP)):
        batch.reset()
        done = batch.step_quotes(np.full((1, 1, 2, 1, 1), markup), np.zeros((1, 1, 1)))
        assert np.rint(done.observation[0, 0, :2] * SCALE).tolist() == [lots, lots] and done.reasons[0, 0] == reason


def test_each_side_widens_by_its_own_reference_markup():
    """Bids by 1, asks by 2 price units: 2 and 4 ticks beyond the one that was asked for."""
    batch = batch_of(({"widen": 1.0}, 0.0), reference=[1.0, 2.0])
    batch.order(0, Order.WIDEN)
    done = batch.step(np.array([[action(bid=1, ask=1, bid_lots=1, ask_lots=1)]], np.float32))
    np.testing.assert_allclose(done.observation[0, 0, 2:], [0.3, 0.5], atol=1e-6)


def test_what_is_on_its_way_counts_against_the_desk():
    """Of a desk that may buy 5, the first asks for 3 and the second for 5, both late: 3 and 2."""
    batch = batch_of(({}, 0.4), ({}, 0.4), desk=5)
    reasons, _, opened = step(batch, action(bid=1, bid_lots=3), action(bid=1, bid_lots=5))
    assert reasons == [0, Reason.DESK] and opened == [[3, 0], [2, 0]]


def test_fewer_lots_asked_for_late_add_nothing_to_what_traded_on_the_way():
    """5 lots rest; 4 are sold to them before the wish for 3 arrives: 1 rests, not 3, for 4 and 3 would pass the limit."""
    batch = batch_of(({"position": {"hard": 5}}, 0.4), ({}, 0.0))
    assert step(batch, action(bid_lots=5), action()) == ([0, 0], [0.0, 0.0], [[5, 0], [0, 0]])
    assert step(batch, action(bid_lots=3), action(hedge=-4)) == ([0, 0], [4.0, -4.0], [[1, 0], [0, 0]])


def test_an_order_keeps_its_place_and_is_not_topped_up():
    """Behind 3 lots of the opening at 99.5: 2 stay 2 where 5 are asked for, and are less where 1 is."""
    batch = batch_of(({}, 0.0))
    opened = [step(batch, action(bid=1, bid_lots=lots))[2][0][0] for lots in (2, 5, 1)]
    assert opened == [2, 2, 1]


def test_reasons_of_rows_that_take_nothing_more_are_not_given():
    """Beside a hedge of 4, size leaves 3 lots of 5, position 2, and worst_case, which would leave 4, takes nothing more."""
    batch = batch_of(({"size": {"hard": 3}, "position": {"hard": 6}, "worst_case": {"hard": 8}}, 0.0))
    reasons, _, opened = step(batch, action(bid=1, bid_lots=5, hedge=4))
    assert reasons == [Reason.SIZE | Reason.POSITION] and opened == [[2, 0]]
