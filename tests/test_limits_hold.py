"""Hostile actions against the limits: nothing past a hard limit at any instant, read from requests and ledger alone."""

import numpy as np
import pytest

import marketsim
from marketsim.types import BID, Order, Reason

H, WORST, DESK, SIZE, HEDGE, SLIPPAGE, LOW, HIGH = 6.0, 5.0, 4.0, 2.0, 3.0, 0.215, -0.25, 0.75
SIZES = (1, 2, 5)
ON_DESK = [0, 1, 2]
MARKETS, STEPS = 500, 50  # of 4 dealers: 10^5 dealer-steps


def limits(on_breach):
    return {
        "markup": {"low": LOW, "high": HIGH, "on_breach": on_breach},
        "size": {"hard": SIZE},
        "position": {"hard": H, "on_breach": on_breach},
        "worst_case": {"hard": WORST},
        "hedge": {"hard": HEDGE, "on_breach": on_breach},
        "slippage": {"hard": SLIPPAGE, "on_breach": on_breach},
        "pace": 10,
    }


EXPERIMENT = {
    "market": {
        "steps": STEPS,
        "venue": {"half_spread": 0.15, "slope": 0.02, "fee": 0.02, "impact": 0.01},
        "segments": [
            {"name": "fast", "sizes": SIZES, "rates": [1.0, 0.6, 0.3]},
            {"name": "slow", "sizes": SIZES, "rates": [0.3, 0.3, 0.1], "choice": {"kind": "logit"}, "panel": 3},
        ],
    },
    "dealers": [
        {"name": "acting", "action": {"markup": [-1.0, 1.0], "hedge": 9}, "limits": limits("clip")},
        {"name": "clipped", "limits": limits("clip")},
        {"name": "rejected", "limits": limits("reject")},
        {"name": "bare", "limits": {"position": {"hard": H, "on_breach": "flatten"}}},  # nothing else, and no desk
    ],
    "desk": {"dealers": ["acting", "clipped", "rejected"], "position": {"hard": DESK}},
}
DEALERS = len(EXPERIMENT["dealers"])
POISON = [np.nan, np.inf, -np.inf, -0.0, 5e-324, -5e-324, 1e308, -1e308, 1e17, -1e17, 0.5, 1.5, 2.0**53 + 2]


class Attack:
    """Buyers, sellers and the confused, a kind for each market and dealer for a whole episode."""

    def __init__(self, rng, markets):
        self.rng, self.markets = rng, markets
        self.side = rng.integers(-1, 2, (markets, DEALERS))  # -1 sells, +1 buys, 0 anything

    def poisoned(self, values, share):
        chosen = self.rng.choice(POISON, values.shape)
        return np.where(self.rng.random(values.shape) < share, chosen, values)

    def quotes(self, i):
        """Markups (M, 2, 2, 3) that give away on the dealer's side, and a hedge that pushes the same way."""
        rng, side = self.rng, self.side[:, i]
        markups = rng.normal(0.2, 0.5, (self.markets, 2, 2, len(SIZES)))
        markups[side > 0, BID] = LOW
        markups[side < 0, 1 - BID] = LOW
        hedge = np.where(side == 0, rng.normal(0.0, 4.0, self.markets), side * rng.choice([1.0, 3.0, 1e308]))
        return self.poisoned(markups, 0.15), self.poisoned(hedge, 0.2)[:, None]

    def actions(self, width):
        actions = self.rng.uniform(-1.5, 1.5, (self.markets, DEALERS, width))
        actions = np.where(self.side[:, :, None] != 0, self.side[:, :, None], actions)
        rows = self.rng.random((self.markets, DEALERS, 1)) < 0.1
        with np.errstate(over="ignore"):
            return np.where(rows, self.poisoned(actions, 0.3), actions).astype(np.float32)

    def orders(self):
        drawn = self.rng.choice([0, 0, 0, *map(int, Order)], self.markets)
        return np.where(self.rng.random(self.markets) < 0.5, drawn, 0)


class Witness:
    """Inventories as the recorded trades make them, from zero; every change is held against every limit."""

    def __init__(self, markets):
        self.q = np.zeros((markets, DEALERS))
        self.orders = np.zeros((markets, DEALERS), dtype=int)
        self.highest = {"position": 0.0, "desk": 0.0, "worst": 0.0}

    def desk(self):
        return self.q[:, ON_DESK].sum(axis=1)

    def see_hedges(self, ledger):
        h = ledger["hedge"]
        assert np.all(h == np.rint(h)) and np.all(np.abs(h[:, ON_DESK]) <= HEDGE)
        cost = (ledger["hedge_cost"] + ledger["fees"])[:, ON_DESK]
        assert np.all(cost <= SLIPPAGE * np.abs(h[:, ON_DESK]) + 1e-12)
        still = (self.orders & Order.NO_HEDGE > 0) & (self.orders & (Order.FLATTEN | Order.HALVE) == 0)
        assert not np.any(h[:, ON_DESK][still[:, ON_DESK]])  # the bare dealer is flattened by its own limit
        reducing = self.orders & Order.REDUCE_ONLY > 0
        assert np.all(np.abs(self.q + h)[reducing] <= np.abs(self.q)[reducing])
        self.q += h
        self.hold()

    def see_requests(self, requests, offered):
        """Round by round; ``offered`` (M, N, 2): the largest size each dealer asked to quote on each side."""
        won = requests[requests["winner"] >= 0]
        place = np.arange(len(won)) - np.searchsorted(won["market"], won["market"])
        for r in range(place.max(initial=-1) + 1):
            row = won[place == r]
            m, i, side = row["market"], row["winner"], row["side"]
            sign = np.where(side == BID, 1.0, -1.0)
            limited = np.isin(i, ON_DESK)
            assert np.all(row["size"][limited] <= SIZE)
            assert np.all((LOW <= row["markup"][limited]) & (row["markup"][limited] <= HIGH))
            worst = (sign * self.q[m, i] + offered[m, i, side])[limited]
            assert np.all(worst <= WORST)
            self.highest["worst"] = max(self.highest["worst"], worst.max(initial=0.0))
            orders, after = self.orders[m, i], self.q[m, i] + sign * row["size"]
            assert not np.any(orders & Order.NO_QUOTES)
            assert np.all((sign * after <= 0) | (orders & Order.REDUCE_ONLY == 0))
            self.q[m, i] = after
            self.hold()

    def hold(self):
        position, desk = np.abs(self.q).max(), np.abs(self.desk()).max()
        assert position <= H and desk <= DESK
        self.highest["position"] = max(self.highest["position"], position)
        self.highest["desk"] = max(self.highest["desk"], desk)


def offers(markups):
    """The largest size within the limit with a markup that may be quoted, (M, 2); markups (M, 2, segments, sizes)."""
    sizes = np.where(np.array(SIZES) <= SIZE, SIZES, 0)
    return (np.isfinite(markups) * sizes).max(axis=(2, 3))


def attack(markets, seed, episode):
    """One episode of it; returns the reasons met and what the witness saw at most."""
    batch = marketsim.MarketBatch(marketsim.load_config(EXPERIMENT), markets, seed=seed, record=True)
    batch.reset(episode=episode)
    hostile, witness, met = Attack(np.random.default_rng([seed, episode]), markets), Witness(markets), Reason(0)
    width = max(batch.action_widths)
    for _ in range(STEPS):
        for i in range(DEALERS):
            if hostile.rng.random() < 0.2:
                witness.orders[:, i] = hostile.orders()
                batch.order(i, witness.orders[:, i])
        actions, quotes = hostile.actions(width), {i: hostile.quotes(i) for i in (1, 2, 3)}
        step = batch.step(actions, quotes=quotes)
        offered = np.zeros((markets, DEALERS, 2))
        offered[:, 0] = max(size for size in SIZES if size <= SIZE)  # a finite action quotes every cell
        for i, (markups, _) in quotes.items():
            inside = (LOW <= markups) & (markups <= HIGH)
            offered[:, i] = offers(np.where(inside, markups, np.nan) if i == 2 else markups)
        witness.see_hedges(step.ledger)
        witness.see_requests(batch.requests, offered)
        np.testing.assert_array_equal(witness.q, np.asarray(batch.state["inventory"])[:, :, 0])
        met |= Reason(int(np.bitwise_or.reduce(step.reasons, axis=None)))
    return met, witness.highest


ACTING = (
    Reason.NON_FINITE | Reason.MARKUP | Reason.HEDGE | Reason.POSITION | Reason.SIZE | Reason.WORST_CASE
    | Reason.DESK | Reason.HEDGE_SIZE | Reason.SLIPPAGE | Reason.ORDERED
)  # fmt: skip


def check_attack(markets, episodes):
    for episode in range(episodes):
        met, highest = attack(markets, seed=11, episode=episode)
        assert met == ACTING and highest == {"position": H, "desk": DESK, "worst": WORST}  # each was pressed against


def test_hostile_actions_pass_no_hard_limit():
    check_attack(MARKETS, episodes=1)


@pytest.mark.long
def test_hostile_actions_pass_no_hard_limit_in_ten_million_dealer_steps():
    check_attack(4 * MARKETS, episodes=25)


# --- the table of limits, and orders -------------------------------------------------------------------------------


def small():
    batch = marketsim.MarketBatch(marketsim.load_config(EXPERIMENT), 2, seed=1)
    batch.reset()
    return batch


def to_the_end(batch):
    for _ in range(STEPS):
        batch.step(None)


def test_the_limits_are_read_only():
    for name in ("position_hard", "markup_on_breach"):
        with pytest.raises(ValueError, match="read-only"):
            small().tables.dealers[name] = 1


def test_limits_changed_by_force_are_found_at_the_end_of_the_episode():
    to_the_end(small())
    for table, name in (("dealers", "position_hard"), ("dealers", "loss_hard"), ("params", "desk_position")):
        batch = small()
        array = batch._params if table == "params" else batch._settings
        array.flags.writeable = True
        array[name] = 7.0
        with pytest.raises(RuntimeError, match="limits"):
            to_the_end(batch)


def test_what_a_step_shows_of_the_limits_does_not_steer_them():
    """Reasons and warnings wiped out by whoever sees them come back in the next step."""
    batch = small()
    batch.order(1, Order.NO_QUOTES)
    for _ in range(2):
        step = batch.step(None)
        assert np.all(step.reasons[:, 1] & Reason.ORDERED) and np.all(step.ledger["interventions"][:, 1] >= 1)
        step.reasons[:] = 0
        step.ledger["interventions"][:] = 0


def test_orders_outlive_a_reset_and_a_misleading_feed_does_not():
    batch = small()
    batch.order(2, np.array([0, int(Order.NO_HEDGE)]))
    batch.set_feed(offset=50.0)
    batch.step(None)
    moves = [batch.observation_names["acting"].index("mid_move_1")]
    assert np.all(batch.results[0].observation[:, 0, moves] > 40)
    batch.reset()
    step = batch.step(None)
    assert np.all(np.abs(step.observation[:, 0, moves]) < 10)
    np.testing.assert_array_equal(step.reasons[:, 2] & Reason.ORDERED, [0, Reason.ORDERED])


def test_orders_that_nobody_knows_are_none():
    batch = small()
    batch.order(0, 1 << 20)
    assert not np.any(batch.step(None).reasons & Reason.ORDERED)
