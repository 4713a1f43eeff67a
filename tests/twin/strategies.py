"""Random small experiments and random actions for them, for hypothesis.

Markups, bands and reservations are multiples of 1/4, so that ties between dealers are frequent and exact in any order
of arithmetic; everything else is drawn from short lists of plain numbers, so that a failing example can be read.
"""

import random
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from marketsim.types import Order
from twin import actions, observations
from twin.rewards import TERMS
from twin.step import TwinMarket


def maybe(strategy):
    return st.one_of(st.none(), strategy)


def any_of(*values):
    return st.sampled_from(values)


def present(**items):
    """A dict without the keys whose value is None."""
    return {key: value for key, value in items.items() if value is not None}


@st.composite
def prices(draw, longest):
    """A price block; a replay carries its path, at least ``longest`` prices of it."""
    kind = draw(any_of("brownian", "gbm", "ou", "regime", "replay"))
    mid = draw(any_of(100.0, 1.25))
    if kind == "brownian":
        volatility = draw(any_of(0.0, 0.5, 1.0))
        return {"kind": kind, "mid": mid, "volatility": volatility, "drift": draw(any_of(0.0, 0.0, -0.75))}
    if kind == "gbm":
        return {
            "kind": kind,
            "mid": mid,
            "volatility": draw(any_of(0.01, 0.2)),
            "drift": draw(any_of(0.0, 0.1)),
        }
    if kind == "ou":
        mean, reversion = draw(maybe(any_of(0.0, 101.0))), draw(any_of(0.0, 0.2, 3.0))
        return present(kind=kind, mid=mid, mean=mean, reversion=reversion, volatility=draw(any_of(0.0, 0.5)))
    if kind == "regime":
        regimes = draw(st.integers(1, 3))
        rows = [draw(st.lists(st.integers(1, 6), min_size=regimes, max_size=regimes)) for _ in range(regimes)]
        return {
            "kind": kind,
            "mid": mid,
            "transition": [[weight / sum(row) for weight in row] for row in rows],
            "drift": [draw(any_of(0.0, -0.5, 0.5)) for _ in range(regimes)],
            "volatility": [draw(any_of(0.0, 0.5, 2.0)) for _ in range(regimes)],
        }
    walk = random.Random(draw(st.integers(0, 99)))
    path = [100.0]
    while len(path) < longest + draw(st.integers(0, 5)):
        path.append(round(path[-1] + walk.choice([0.0, walk.gauss(0.0, 1.0)]), 3))  # some moves are zero
    return present(kind=kind, path=path, volatility=draw(maybe(any_of(0.5))))


@st.composite
def choices(draw, sizes):
    if draw(st.booleans()):
        reservation = draw(
            any_of(
                None,
                {"kind": "none"},
                {"kind": "fixed", "value": 0.75},
                {"kind": "exponential", "rate": 0.5},
                {"kind": "exponential", "rate": 1.5},
            )
        )
        return present(kind="best_price", reservation=reservation)
    per_size = draw(st.booleans())

    def parameter(*values):
        return [draw(any_of(*values)) for _ in range(sizes)] if per_size else draw(any_of(*values))

    return {"kind": "logit", "intercept": parameter(-1.0, 0.0, 0.5), "sensitivity": parameter(0.5, 2.0, 8.0)}


@st.composite
def segments(draw, name, dealers):
    sizes = draw(st.lists(any_of(1, 2, 5), min_size=1, max_size=3, unique=True))
    bid = [draw(any_of(0.1, 0.4, 1.0)) for _ in sizes]
    ask = list(bid) if draw(st.booleans()) else [draw(any_of(0.0, 0.1, 0.4)) for _ in sizes]
    informed = {
        "share": draw(any_of(0.3, 1.0)),
        "accuracy": draw(any_of(0.0, 0.7, 1.0)),
        "lead": draw(st.integers(1, 3)),
    }
    return present(
        name=name,
        sizes=sizes,
        rates={"bid": bid, "ask": ask},
        panel=draw(maybe(st.integers(1, dealers))),
        choice=draw(maybe(choices(len(sizes)))),
        informed=informed if draw(st.booleans()) else None,
    )


@st.composite
def limits(draw, inventory_limit):
    """Any of the limits; a position limit is not above the market's inventory limit."""

    def block(**items):
        return draw(maybe(st.just(present(**items))))

    def responding(*on_breach, **items):
        return block(**items, on_breach=draw(maybe(any_of(*on_breach))))

    def measured(hard, on_breach, **items):
        return responding(*on_breach, soft=draw(maybe(st.just(hard / 2))), hard=hard, **items)

    orders = ("reject", "reduce_only", "flatten", "widen", "halt")
    position = draw(any_of(*(hard for hard in (1, 3, 6.5) if hard <= (inventory_limit or 7))))
    low, high = draw(any_of((0.25, 1.5), (-0.5, 0.75)))
    level = draw(any_of(1, 2))
    return present(
        markup=responding("reject", "clip", low=low, high=high),
        size=block(hard=draw(any_of(1, 2, 4))),
        position=measured(position, ("reject", "clip", "reduce_only", "flatten", "widen")),
        worst_case=block(hard=draw(any_of(2, 4.5, 7))),
        loss=measured(draw(any_of(0.3, 2.1, 7.3)), orders),
        rolling_loss=measured(draw(any_of(0.317, 1.713)), orders, steps=draw(maybe(st.integers(1, 4)))),
        drawdown=measured(draw(any_of(0.317, 2.113)), orders),
        feed=responding(
            *orders,
            jump=draw(maybe(any_of(0.5, 1.5, 3.0))),
            frozen=draw(maybe(st.integers(1, 3))),
            above=draw(maybe(any_of(-5.0, 1.1, 99.7))),
        ),
        time_at_limit=measured(draw(any_of(1, 2)), orders, level=level),
        hedge=responding("reject", "clip", hard=draw(any_of(0, 1, 2.5, 5))),
        slippage=responding("reject", "clip", hard=draw(any_of(0.1, 0.185, 0.205))),
        widen=draw(maybe(any_of(0.0, 0.5))),
        pace=draw(maybe(any_of(1, 2))),
    )


@st.composite
def desks(draw, names):
    """A limit on the inventories of some dealers, or all, together."""
    some = draw(maybe(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    return present(dealers=some, position={"hard": draw(any_of(1, 2, 5))})


@st.composite
def reward_terms(draw):
    """At least one term, by its name or with a weight and the parameter that it needs."""
    parameters = {
        "tail_loss": {"threshold": 1.5},
        "flow_target": {"target": 0.4},
        "sampled_inventory_penalty": {"every": 3},
        "presence": {"within": 0.75},
    }
    terms = []
    for kind in draw(st.lists(st.sampled_from(sorted(TERMS)), min_size=1, max_size=4, unique=True)):
        weight = draw(maybe(any_of(0.5, 2.0)))
        named = kind in parameters or weight is not None
        terms.append(present(kind=kind, weight=weight, **parameters.get(kind, {})) if named else kind)
    return terms


@st.composite
def dealers(draw, name, count, inventory_limit):
    hedge = draw(any_of("fraction", 3))
    ladder = {"kind": "ladder", "markup": draw(any_of([0.0, 2.0], [-0.5, 1.5])), "hedge": hedge}
    skew = {"kind": "skew", "half_spread": [0.0, 1.0], "skew_max": draw(any_of(0.5, 2.0)), "hedge": hedge}
    names = observations.DEFAULT + observations.BY_NAME
    some = st.lists(st.sampled_from(names), min_size=1, unique=True)
    return present(
        name=name,
        count=count if count > 1 else None,
        observation=draw(st.one_of(st.just("default"), st.just(names), some)),
        action=draw(any_of(None, ladder, skew)),
        reward=draw(maybe(reward_terms())),
        limits=draw(limits(inventory_limit)),
    )


@st.composite
def configs(draw):
    """An experiment file as a plain dict; a replayed price carries its path instead of a file name."""
    counts = draw(any_of([1], [1, 1], [2], [1, 2], [1, 3, 1]))
    steps, dt = draw(st.integers(3, 12)), draw(any_of(1.0, 0.25))
    arrivals = draw(any_of("at_most_one", "bernoulli", "poisson"))
    inventory_limit = draw(maybe(any_of(2, 5)))
    blocks = [draw(segments(name, sum(counts))) for name in ["fast", "slow", "rare"][: draw(st.integers(1, 3))]]
    if arrivals == "at_most_one":
        share_out(blocks, 0.9)
    for block in blocks:
        if block["rates"]["bid"] == block["rates"]["ask"]:
            block["rates"] = block["rates"]["bid"]  # the short form
    costs = {"kind": "curve", "half_spread": 0.15, "slope": 0.01, "impact": 0.05, "fee": 0.02}
    names = [f"dealer_{'abc'[k]}" for k in range(len(counts))]
    desk = draw(maybe(desks(names)))
    return {
        "market": present(
            steps=steps,
            dt=dt,
            price=draw(prices(longest=steps + 3)),
            venue=draw(maybe(st.just(costs))),
            arrivals={"kind": arrivals},
            segments=blocks,
            inventory_limit=inventory_limit,
            liquidate=draw(st.booleans()),
            ruin=draw(maybe(any_of(1.7, 6.3))),
            reference=draw(references(blocks)),
        ),
        "dealers": [draw(dealers(name, count, inventory_limit)) for name, count in zip(names, counts, strict=True)],
    } | ({"desk": desk} if desk else {})


def share_out(blocks, total):
    """Scale the rates, which are probabilities, to this total."""
    by_side = [rates for block in blocks for rates in block["rates"].values()]
    scale = total / sum(map(sum, by_side))
    for rates in by_side:
        rates[:] = [rate * scale for rate in rates]


def references(blocks):
    """``market.reference``: none where the risk-neutral markup exists, one number, or one for each cell."""
    cells = sum(2 * len(block["sizes"]) for block in blocks)
    given = any_of(0.5, [0.25 * (1 + k % 4) for k in range(cells)])
    unlimited = any((block.get("choice") or {}).get("reservation") == {"kind": "none"} for block in blocks)
    return given if unlimited else maybe(given)


def random_play(config, markets, seed):
    """Random play, step by step: (actions (M, N, width), quotes {dealer: (markups, hedge)}, governing).

    Mostly plain; now and then an action with NaN or infinities. Some dealers are driven in prices for the whole episode: their
    action is NaN, which nobody may look at.
    """
    rng = np.random.default_rng(seed)
    twin = TwinMarket(config, seed=0, episode=0, market=0)
    cells, blocks, count = twin.cells, config["market"]["segments"], len(twin.dealers)
    width = max(actions.width(dealer.action, cells) for dealer in twin.dealers)
    shape = (markets, 2, len(blocks), max(len(block["sizes"]) for block in blocks))
    native = [i for i in range(count) if rng.random() < 0.2]
    governed = rng.random() < 0.5
    for _ in range(twin.steps):
        chosen = numbers(rng, (markets, count, width), 0.5).astype(np.float32)
        broken = spoiled(rng, chosen, 0.5)
        chosen = np.where(rng.random((markets, count, 1)) < 0.06, broken, chosen)
        chosen[:, native] = np.nan
        yield (
            chosen,
            {
                i: (
                    spoiled(rng, 0.5 + numbers(rng, shape, 1.0), 0.1),
                    spoiled(rng, np.round(2.0 * rng.normal(size=(markets, 1)), 1), 0.1),
                )
                for i in native
            },
            random_governing(rng, count, markets) if governed else Governing(),
        )


@dataclass
class Governing:
    """What happens before a step: orders {dealer: bits (M,)} from outside, and how the feed is from then on."""

    orders: dict = field(default_factory=dict)
    feed: dict | None = None

    def of_batch(self, batch):
        for agent, bits in self.orders.items():
            batch.order(agent, bits)
        if self.feed is not None:
            batch.set_feed(**self.feed)

    def of_market(self, m, twin):
        for agent, bits in self.orders.items():
            twin.order(agent, int(bits[m]))
        if self.feed is not None:
            twin.feed.set(**self.feed)


def random_governing(rng, dealers, markets):
    """Seldom anything; as often the end of orders as new ones."""
    orders = {}
    for i in range(dealers):
        if rng.random() < 0.15:
            bits = rng.choice([int(order) for order in Order], (markets, 2)).sum(axis=1)  # one, or a sum of two
            orders[i] = np.where(rng.random(markets) < 0.5, 0, bits & int(~Order(0)))
    feed = [{}, {"frozen": True}, {"lag": 2}, {"offset": 0.25}, {"offset": -1.5, "lag": 1}]
    return Governing(orders, feed[rng.integers(len(feed))] if rng.random() < 0.2 else None)


def of_market(m, actions, quotes):
    """What the dealers of one market do in such a step: an action each, or markups and a hedge."""
    return [(quotes[i][0][m], quotes[i][1][m, 0]) if i in quotes else actions[m, i] for i in range(actions.shape[1])]


def numbers(rng, shape, scale):
    """Half of them multiples of 1/4, so that quotes tie; the others normal."""
    normal = scale * rng.normal(size=shape)
    return np.where(rng.random(shape) < 0.5, np.round(4.0 * normal) / 4.0, normal)


def spoiled(rng, values, share):
    """The values, a share of them replaced by NaN or infinities."""
    return np.where(rng.random(values.shape) < share, rng.choice([np.nan, np.inf, -np.inf], values.shape), values)
