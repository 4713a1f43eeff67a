"""What must hold in every market with an order book, whatever dealers and traders do in it, and what must not matter."""

import numpy as np
import pytest

import marketsim
from marketsim.book.state import FILLED
from marketsim.types import Order, Reason

TRADERS = [
    {
        "kind": "zero_intelligence",
        "count": 3,
        "limit_rate": 0.1,
        "market_rate": 0.6,
        "cancel_rate": 0.2,
        "band": 6,
        "size": 2,
    },
    {
        "kind": "value",
        "count": 2,
        "rate": 0.5,
        "noise": 3,
        "cancel_rate": 0.1,
        "latency": {"median": 0.2, "sigma": 1.0},
    },
    {"kind": "maker", "rate": 1.0, "half_spread": 2.0, "skew": 0.2, "size": 3, "position": 20},
]
BOOK = {
    "tick": 0.5,
    "levels": 256,
    "orders": 512,
    "maker_fee": -0.01,
    "taker_fee": 0.03,
    "opening": {"levels": 4, "lots": 3},
    "warm_up": 2.0,
}
H, WORST, DESK, SIZE = 6.0, 5.0, 8.0, 3.0
LIMITS = {"position": {"hard": H}, "worst_case": {"hard": WORST}, "size": {"hard": SIZE}, "pace": 10}
SEEN = ["bid_open", "ask_open", "spread", "inventory", "trades"]
BID_OPEN, ASK_OPEN = 0, 1
POISON = [np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e308, -1e308, 1e17, -5.0]


def experiment(dealers, traders=TRADERS, steps=20, value=None, desk=None, **book):
    """``dealers``: their blocks, or how many plain ones."""
    if isinstance(dealers, int):
        dealers = [quoting(f"dealer_{k}") for k in range(dealers)]
    market = {
        "kind": "book",
        "steps": steps,
        "price": {"kind": "book", "value": value or {"kind": "brownian", "mid": 100.0, "volatility": 0.3}},
        "book": BOOK | book,
        "traders": traders,
    }
    return {"market": market, "dealers": dealers} | ({"desk": desk} if desk else {})


def quoting(name, limits=LIMITS, latency=0.0, size=(0, 5), offset=(-1.0, 4.0), hedge=3):
    action = {"kind": "offsets", "offset": list(offset), "size": list(size), "hedge": hedge, "latency": latency}
    return {"name": name, "action": action, "limits": limits, "observation": SEEN}


def batch_of(config, markets=8, **more):
    return marketsim.MarketBatch(marketsim.load_config(config), markets, seed=5, **more)


def worth(batch):
    """cash + q*S, (M, N)."""
    state = batch.state
    return state["cash"] + state["inventory"][:, :, 0] * state["mid"]


def keeps_the_identity(before, step, batch):
    ledger = step.ledger
    explained = ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]
    scale = np.maximum(
        1.0, np.abs(batch.state["cash"]) + np.abs(batch.state["inventory"][:, :, 0] * batch.state["mid"])
    )
    assert np.all(np.abs(worth(batch) - before - explained) <= 1e-12 * scale + 1e-12)


def played(batch, actions, steps=None):
    """Every observation, reward and ledger of the steps, as copies."""
    out = []
    for action in actions[:steps]:
        step = batch.step(action)
        out += [step.observation.copy(), step.reward.copy(), *(term.copy() for term in step.ledger.values())]
    return out


def random_actions(markets, dealers, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, markets, dealers, 6)).astype(np.float32)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# --- what must hold --------------------------------------------------------------------------------


def hostile(rng, markets, steps):
    """Actions of two dealers and quotes of two more: one side of the market is bought or sold for a whole episode."""
    side = rng.integers(-1, 2, (markets, 4))
    for _ in range(steps):
        actions = rng.uniform(-1.5, 1.5, (markets, 4, 6))
        actions[:, :, 5] = np.where(side == 0, actions[:, :, 5], side)
        actions = np.where(rng.random(actions.shape) < 0.02, rng.choice(POISON, actions.shape), actions)
        quotes = {}
        for i in (2, 3):
            markups = rng.choice([-2.0, -0.5, 0.0, 0.25, 1.0], (markets, 2, 1, 1))  # the first are marketable
            markups = np.where(rng.random(markups.shape) < 0.1, rng.choice(POISON, markups.shape), markups)
            hedge = side[:, i] * rng.choice([1.0, 3.0, 1e308], markets)
            quotes[i] = markups, np.where(rng.random(markets) < 0.2, rng.choice(POISON, markets), hedge)[:, None]
        with np.errstate(over="ignore"):
            yield actions.astype(np.float32), quotes


def attack(markets, steps, seed, self_trade):
    """An episode of it; returns the reasons met and what was held at most."""
    desk = {"dealers": ["late", "driven", "acting"], "position": {"hard": DESK}}
    loose = {"position": {"hard": H}, "pace": 10}
    dealers = [
        quoting("acting", loose),
        quoting("late", latency=0.4),
        quoting("driven", loose, size=(2, 5)),
        quoting("alone", size=(2, 5)),
    ]
    batch = batch_of(experiment(dealers, steps=steps, desk=desk, self_trade=self_trade), markets)
    rng, met = np.random.default_rng(seed), Reason(0)
    highest = {"position": 0.0, "worst": 0.0, "desk": 0.0}
    batch.reset(episode=seed)
    for actions, quotes in hostile(rng, markets, steps):
        for i in range(4):
            drawn = rng.choice([0, 0, *map(int, Order)], markets)
            batch.order(i, np.where(rng.random(markets) < 0.1, drawn, 0))
        before = worth(batch)
        step = batch.step(actions, quotes=quotes)
        keeps_the_identity(before, step, batch)
        q = batch.state["inventory"][:, :, 0]
        for sign, column in ((1.0, BID_OPEN), (-1.0, ASK_OPEN)):
            opened = np.rint(step.observation[:, :, column] * H)
            held = sign * q + opened
            worst = np.where(opened > 0, held, 0)[:, [1, 3]]  # hedges are not held to it, what is quoted is
            for name, now in (("position", held), ("worst", worst), ("desk", held[:, :3].sum(axis=1))):
                highest[name] = max(highest[name], now.max())
        met |= Reason(int(np.bitwise_or.reduce(step.reasons, axis=None)))
    return met, highest


@pytest.mark.parametrize("self_trade", ["cancel_resting", "allow"])
def test_hostile_dealers_pass_no_limit_of_theirs_or_their_desk(self_trade):
    """10^5 dealer-steps: with all that is open, nothing is beyond a limit, and each was pressed against."""
    met, highest = attack(markets=250, steps=50, seed=1, self_trade=self_trade)
    assert highest == {"position": H, "worst": WORST, "desk": DESK}
    assert met >= Reason.NON_FINITE | Reason.POSITION | Reason.WORST_CASE | Reason.SIZE | Reason.DESK | Reason.HEDGE


def test_cash_of_all_sums_to_minus_the_fees_and_lots_to_nothing():
    """Where nothing is anonymous: dealers and traders trade with each other alone."""
    batch = batch_of(experiment(3, opening={"levels": 0}))
    batch.reset()
    played(batch, random_actions(8, 3, 20))
    books = batch._book_of
    traders, lots = books.agents[:, 3:], books.head[:, FILLED] / 2
    assert np.all(lots > 50) and np.any(batch.state["inventory"])
    assert np.all(batch.state["inventory"][:, :, 0].sum(axis=1) + traders["inventory"].sum(axis=1) == 0)
    fees = (BOOK["maker_fee"] + BOOK["taker_fee"]) * lots
    np.testing.assert_allclose(batch.state["cash"].sum(axis=1) + traders["cash"].sum(axis=1), -fees, atol=1e-8)


# --- what must not matter --------------------------------------------------------------------------


def test_a_market_alone_is_that_market_among_64():
    actions = random_actions(64, 2, 20)
    many, alone = batch_of(experiment(2), 64), batch_of(experiment(2), 1, first_market=7)
    many.reset()
    alone.reset()
    same([a[7:8] for a in played(many, actions)], played(alone, actions[:, 7:8]))


def test_two_threads_do_what_one_does():
    actions = random_actions(20, 2, 20)
    one, two = batch_of(experiment(2), 20), batch_of(experiment(2), 20, threads=2)
    same([one.reset().copy()], [two.reset().copy()])
    same(played(one, actions), played(two, actions))


def test_an_episode_goes_on_from_a_snapshot_in_another_batch():
    """With messages on their way, orders in the book and traders in mid-life."""
    config = experiment([quoting("prompt"), quoting("late", latency=0.4)])
    actions = random_actions(8, 2, 20)
    batch, other = batch_of(config), batch_of(config)
    batch.reset()
    played(batch, actions, 9)
    kept = {name: array.copy() for name, array in batch.snapshot().items()}
    rest = played(batch, actions[9:])
    other.reset(episode=3)
    played(other, actions, 4)
    other.restore(kept)
    same(played(other, actions[9:]), rest)
    batch.restore(kept)
    same(played(batch, actions[9:]), rest)


def test_a_reset_leaves_nothing_of_the_episode_before():
    actions = random_actions(8, 2, 20)
    batch = batch_of(experiment(2))
    first = [batch.reset(episode=4).copy(), *played(batch, actions)]
    batch.reset(episode=5)
    other = played(batch, actions, 7)
    same([batch.reset(episode=4).copy(), *played(batch, actions)], first)
    assert any(np.any(a != b) for a, b in zip(first[1:], other, strict=False))


def test_a_dealer_who_never_quotes_changes_nothing_for_the_one_before_it():
    """Beside it, only whose turn is first would change, which one dealer alone cannot tell."""
    actions = random_actions(8, 2, 20)
    actions[:, :, 1, 2:4], actions[:, :, 1, 5] = -1.0, 0.0  # no lots, no hedge
    one, two = batch_of(experiment(1)), batch_of(experiment(2))
    one.reset()
    two.reset()
    alone, beside = played(one, actions[:, :, :1]), played(two, actions)
    same(alone, [a[:, :1] for a in beside])
    assert sum(np.abs(a).sum() for a in alone) > 0 and not np.any(two.state["cash"][:, 1])


def test_a_market_some_ticks_higher_is_the_same_market():
    """Everything in the book stands in whole ticks from everything else; binary fractions keep it exact."""
    still = {"kind": "brownian", "volatility": 0.0}
    actions = random_actions(8, 2, 20)
    low, high = (batch_of(experiment(2, value=still | {"mid": mid})) for mid in (100.0, 100.0 + 37 * BOOK["tick"]))
    same([low.reset().copy()], [high.reset().copy()])
    for one, other in zip(played(low, actions), played(high, actions), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    assert np.all(high.state["mid"] - low.state["mid"] == 37 * BOOK["tick"])


def test_bids_and_asks_are_mirror_images():
    """Sides swapped, the same money is made; quotes that nobody's mid reaches, so that no bid comes first at an ask."""
    dealers = [quoting(f"dealer_{k}", offset=(1.0, 4.0)) for k in range(3)]
    still = {"kind": "brownian", "mid": 100.0, "volatility": 0.0}
    config = experiment(dealers, traders=[], value=still, opening={"levels": 4, "lots": 100})  # no side is ever empty
    actions = random_actions(8, 3, 20)
    mirrored = actions[:, :, :, [1, 0, 3, 2, 4, 5]] * np.array([1, 1, 1, 1, 1, -1], np.float32)
    one, other = batch_of(config), batch_of(config)
    one.reset()
    other.reset()
    for action, image in zip(actions, mirrored, strict=True):
        this, that = one.step(action), other.step(image)
        for term in ("spread", "inventory", "hedge_cost", "fees"):
            np.testing.assert_allclose(this.ledger[term], that.ledger[term], rtol=0, atol=1e-9, err_msg=term)
        np.testing.assert_array_equal(this.ledger["bought"], that.ledger["sold"])
        np.testing.assert_array_equal(this.ledger["hedge"], -that.ledger["hedge"])
        np.testing.assert_array_equal(one.state["inventory"], -other.state["inventory"])
        np.testing.assert_array_equal(one.state["mid"] - 100.0, 100.0 - other.state["mid"])
    assert np.any(this.ledger["hedge"]) and np.any(one.state["cash"])
