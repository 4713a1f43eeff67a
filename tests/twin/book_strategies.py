"""Random small markets with an order book and no traders around it, and random actions for them, for hypothesis.

The book is shallow and its opening thin, so that dealers meet each other, its empty sides and its limits.
"""

import numpy as np
from hypothesis import strategies as st

from twin import book_observations, observations
from twin.strategies import any_of, desks, maybe, present, random_governing, reward_terms, segments, spoiled

WIDTH = 6  # components of an action
TRADERS = (
    (
        "zero_intelligence",
        {"limit_rate": 0.1, "market_rate": 1.0, "cancel_rate": 0.2, "band": 6, "size": {"mean": 2.5}},
    ),
    ("hawkes", {"rate": 1.5, "cancel_rate": 0.2, "band": 5, "latency": 0.3}),
    ("momentum", {"rate": 1.0, "position": 5}),
    ("value", {"rate": 1.5, "noise": 3, "cancel_rate": 0.1, "latency": {"median": 0.2, "sigma": 1.0}}),
    ("informed", {"rate": 1.0, "threshold": 0.5, "size": 2}),
    ("maker", {"rate": 2.0, "half_spread": 1.5, "skew": 0.3, "size": 3, "position": 10}),
)


@st.composite
def books(draw):
    return {
        "tick": draw(any_of(0.5, 0.1, 0.01)),
        "levels": draw(any_of(16, 64, 4096)),
        "orders": draw(any_of(12, 64)),
        "in_flight": draw(any_of(2, 1024)),
        "self_trade": draw(any_of("allow", "cancel_resting", "cancel_resting", "cancel_incoming", "cancel_both")),
        "maker_fee": draw(any_of(0.0, -0.01)),
        "taker_fee": draw(any_of(0.0, 0.03)),
        "warm_up": draw(any_of(0.0, 0.0, 2.5)),
        "opening": {"levels": draw(any_of(0, 1, 3, 5)), "lots": draw(any_of(1, 3, 20))},
    } | ({"fill_decay": 2.0} if draw(st.booleans()) else {})


@st.composite
def limits(draw, tick, inventory_limit):
    """Those that say something about orders and hedges in the book; the others are docs/market.md's."""

    def block(**items):
        return draw(maybe(st.just(items)))

    orders = ("reject", "reduce_only", "flatten", "widen", "halt")
    hard = draw(any_of(*(hard for hard in (2, 4.5, 9) if hard <= (inventory_limit or 9))))
    low, high = draw(any_of((0, 3), (-2, 1), (1.25, 6)))
    return present(
        markup=block(low=low * tick, high=high * tick, on_breach=draw(any_of("clip", "reject"))),
        size=block(hard=draw(any_of(1, 2.5, 4))),
        position=block(soft=hard / 2, hard=hard, on_breach=draw(any_of("reject", "clip", *orders[1:4]))),
        worst_case=block(hard=draw(any_of(2, 3.5, 8))),
        loss=block(soft=4.3 * tick, hard=11.7 * tick, on_breach=draw(any_of(*orders))),
        hedge=block(hard=draw(any_of(0, 2, 3.5)), on_breach=draw(any_of("clip", "reject"))),
        slippage=block(hard=draw(any_of(0.0, 1.3, 2.7)) * tick),
        order_rate=block(hard=draw(any_of(1, 2, 5.5)), steps=draw(any_of(1, 3))),
        self_trade=block(hard=draw(any_of(0, 1, 2.5)), on_breach=draw(any_of(*orders))),
        repeated_execution=block(
            soft=2, hard=draw(any_of(3, 6)), steps=draw(any_of(1, 4)), on_breach=draw(any_of(*orders))
        ),
        widen=draw(maybe(any_of(0.0, 1.0))),
        pace=draw(maybe(any_of(1, 2))),
    )


@st.composite
def quoting(draw, name, count, book, inventory_limit, dt):
    names = observations.DEFAULT + observations.BY_NAME + book_observations.NAMES
    action = present(
        kind="offsets",
        offset=draw(any_of([0.0, 4.0], [-3.0, 3.0], [-0.5, 2.0])),
        size=draw(any_of([1, 5], [0, 3], [2, 2])),
        hedge=draw(maybe(any_of("fraction", 3))),
        latency=draw(any_of(None, None, 0.25 * dt, 0.5 * dt)),
    )
    return present(
        name=name,
        count=count if count > 1 else None,
        observation=draw(any_of(None, "book", names)),
        action=action,
        reward=draw(maybe(reward_terms())),
        limits=draw(limits(book["tick"], inventory_limit)),
    )


@st.composite
def populations(draw):
    """Traders of all kinds, of whom few are there at a time; none half of the time."""
    chosen = draw(st.lists(st.sampled_from(TRADERS), max_size=2)) if draw(st.booleans()) else []
    return [{"kind": kind, **keys} for kind, keys in chosen]


@st.composite
def markets_with_a_book(draw):
    """``kind: book``: an experiment file as a plain dict."""
    counts = draw(any_of([1], [2], [1, 1], [1, 2], [3]))
    steps, dt = draw(st.integers(3, 12)), draw(any_of(1.0, 0.5))
    book, inventory_limit = draw(books()), draw(maybe(any_of(5, 9)))
    names = [f"dealer_{'abc'[k]}" for k in range(len(counts))]
    desk = draw(maybe(desks(names)))
    value = {"kind": "brownian", "mid": draw(any_of(100.0, 100.25, 3.0)), "volatility": draw(any_of(0.0, 0.5))}
    return {
        "market": present(
            kind="book",
            steps=steps,
            dt=dt,
            price=present(kind="book", value=value, volatility=draw(maybe(any_of(0.4)))),
            book=book,
            traders=draw(populations()),
            inventory_limit=inventory_limit,
            liquidate=draw(st.booleans()),
            ruin=draw(maybe(any_of(13.7, 40.3))),
            reference=draw(maybe(any_of(0.5))),
        ),
        "dealers": [
            draw(quoting(name, count, book, inventory_limit, dt)) for name, count in zip(names, counts, strict=True)
        ],
    } | ({"desk": desk} if desk else {})


@st.composite
def hybrids(draw):
    """``kind: dealer`` with a book: dealers who quote in it beside dealers who serve clients and hedge in it, or at a curve."""
    config = draw(markets_with_a_book())
    market, venue = config["market"] | {"kind": "dealer"}, draw(any_of("book", "curve"))
    market["venue"] = {"kind": venue} | ({} if venue == "book" else {"half_spread": 0.15, "slope": 0.01, "fee": 0.02})
    serving = {"name": "server", "action": {"kind": "skew", "half_spread": [0.0, 1.0], "skew_max": 0.5, "hedge": 3}}
    serving["limits"] = draw(limits(market["book"]["tick"], market.get("inventory_limit")))
    for name in ("order_rate", "self_trade", "repeated_execution"):
        serving["limits"].pop(name, None)
    dealers = [*config["dealers"], serving]
    market["segments"] = [draw(segments("clients", sum(dealer.get("count", 1) for dealer in dealers)))]
    market["segments"][0].pop("informed", None)
    market["reference"] = 0.5
    config |= {"market": market, "dealers": dealers}
    if "desk" in config:
        config["desk"] = {"dealers": draw(any_of(["server"], ["dealer_a"])), "position": config["desk"]["position"]}
    return config


def random_play(config, dealers, markets, seed):
    """Random play, step by step: (actions (M, N, 6), quotes {dealer: (markups, hedge)}, governing); as ``strategies.random_play``."""
    rng = np.random.default_rng(seed)
    tick, native = config["market"]["book"]["tick"], [i for i in range(dealers) if rng.random() < 0.2]
    sizes = max((len(block["sizes"]) for block in config["market"].get("segments", [])), default=1)
    governed, keeping = rng.random() < 0.5, rng.random()
    for _ in range(config["market"]["steps"]):
        chosen = rng.uniform(-1.2, 1.2, (markets, dealers, WIDTH))
        chosen = np.where(rng.random(chosen.shape) < 0.5, np.round(4.0 * chosen) / 4.0, chosen)
        chosen[:, :, 4] = np.where(rng.random((markets, dealers)) < 0.5 * keeping, 1.0, -1.0)
        chosen = np.where(rng.random((markets, dealers, 1)) < 0.05, spoiled(rng, chosen, 0.5), chosen)
        chosen[:, native] = np.nan
        quotes = {
            i: (
                spoiled(rng, tick * rng.choice([-2.0, 0.0, 0.3, 1.0, 2.5], (markets, 2, 1, sizes)), 0.15),
                spoiled(rng, np.round(2.0 * rng.normal(size=(markets, 1)), 1), 0.1),
            )
            for i in native
        }
        governing = random_governing(rng, dealers, markets)
        if not governed:
            governing.orders = {}
        if governing.feed and not (governed and rng.random() < 0.5):
            governing.feed = None
        yield chosen.astype(np.float32), quotes, governing
