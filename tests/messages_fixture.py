"""Order messages for the tests of the book: seeded mixes that reach every rule of docs/book.md."""

from dataclasses import dataclass, field

import numpy as np

from marketsim.types import ANONYMOUS, MAX_LOTS, MAX_TICKS, MESSAGE, Message, SelfTrade, TimeInForce

INT64 = np.iinfo(np.int64)
BAD = [  # of each field, what is refused or just not; the owners are all allowed
    ("kind", [0, 5, -1, 127, -128]),
    ("side", [0, 2, -2, 127, -128]),
    ("tif", [4, -1, 127, -128]),
    ("price", [MAX_TICKS + 1, -MAX_TICKS - 1, MAX_TICKS, -MAX_TICKS, INT64.max, INT64.min]),
    ("size", [0, -1, MAX_LOTS, MAX_LOTS + 1, -MAX_LOTS, 2**40, INT64.max, INT64.min]),
    ("order", [-1, INT64.min, INT64.max]),
    ("owner", [-2, -(2**31), 2**31 - 1]),
]


@dataclass(frozen=True)
class Mix:
    """A book, and how the messages that it meets are drawn."""

    levels: int = 64
    orders: int = 128
    self_trade: SelfTrade = SelfTrade.ALLOW
    desks: dict[int, int] = field(default_factory=dict)
    owners: int = 4  # and the anonymous
    kinds: tuple[float, ...] = (0.55, 0.25, 0.1, 0.1)  # shares, in the order of Message
    tifs: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)  # shares, in the order of TimeInForce
    centre: int = 1000  # the price around which orders come
    drift: float = 0.0  # ticks a message
    swing: float = 0.0  # ticks by which the centre goes up and down, over 1,000 messages
    reach: int = 12  # ticks from the centre; orders reach a third of it across
    sizes: int = 9
    sweeps: float = 0.02  # share of the market orders that empty a side
    far: float = 0.01  # share of the prices that lie about a ladder away
    ids: int = 400  # after so many messages an id comes again
    memory: int = 40  # cancels and amends mean one of so many orders before them
    bad: float = 0.02


MIXES = {
    "plain": Mix(),
    "cancel resting": Mix(self_trade=SelfTrade.CANCEL_RESTING),
    "cancel incoming": Mix(self_trade=SelfTrade.CANCEL_INCOMING),
    "cancel both": Mix(self_trade=SelfTrade.CANCEL_BOTH),
    "desks, cancel resting": Mix(self_trade=SelfTrade.CANCEL_RESTING, desks={0: 1, 1: 1, 2: 0}, owners=5),
    "desks, cancel incoming": Mix(self_trade=SelfTrade.CANCEL_INCOMING, desks={0: 0, 1: 1, 2: 0, 3: 1}, owners=5),
    "desks, cancel both": Mix(self_trade=SelfTrade.CANCEL_BOTH, desks={0: 7, 2: 7}, owners=3),
    "fill or kill among few owners": Mix(
        self_trade=SelfTrade.CANCEL_RESTING, owners=2, tifs=(0.5, 0.05, 0.4, 0.05), sizes=30
    ),
    "fill or kill that stops": Mix(
        self_trade=SelfTrade.CANCEL_INCOMING, owners=8, tifs=(0.5, 0.05, 0.4, 0.05), sizes=30
    ),
    "fill or kill to the lot": Mix(
        self_trade=SelfTrade.CANCEL_INCOMING, owners=3, tifs=(0.55, 0.05, 0.4, 0.0), sizes=2, reach=3, sweeps=0.3
    ),
    "one level of many orders": Mix(reach=1, orders=512, memory=300, ids=3000, kinds=(0.6, 0.3, 0.02, 0.08)),
    "full pool": Mix(orders=8, kinds=(0.8, 0.1, 0.05, 0.05)),
    "one order": Mix(orders=1),
    "small ladder": Mix(levels=8, reach=6, far=0.05),
    "drifts up": Mix(drift=0.1, sweeps=0.1),
    "drifts down through zero": Mix(drift=-0.25, sweeps=0.1, centre=2000),
    "swings": Mix(swing=90.0, sweeps=0.2, memory=60),
    "negative": Mix(centre=-1000, drift=-0.01),
    "highest prices": Mix(centre=MAX_TICKS - 6, levels=32),
    "lowest prices": Mix(centre=6 - MAX_TICKS, levels=32),
    "large sizes": Mix(sizes=MAX_LOTS),
    "ids at once used again": Mix(ids=50, memory=50),
    "amends": Mix(kinds=(0.3, 0.1, 0.05, 0.55), self_trade=SelfTrade.CANCEL_BOTH),
    "mostly bad": Mix(bad=0.6),
    "wide book": Mix(levels=4096, orders=2048, reach=1500, memory=1500, ids=9000, kinds=(0.6, 0.3, 0.05, 0.05)),
    "few orders on a very wide ladder": Mix(levels=16384, orders=6, reach=14000, memory=9, drift=20.0),
}


def messages(mix, count, seed):
    """``count`` messages of a mix, MESSAGE."""
    rng = np.random.default_rng(seed)
    out = np.zeros(count, MESSAGE)
    index = np.arange(count)
    kind = rng.choice(list(Message), count, p=mix.kinds)
    side = rng.choice([-1, 1], count)
    centre = mix.centre + mix.drift * index + mix.swing * np.sin(index * (2 * np.pi / 1000))
    price = np.rint(centre).astype(np.int64) - side * rng.integers(-(mix.reach // 3), mix.reach + 1, count)
    far = rng.random(count) < mix.far
    price[far] += (rng.choice([-1, 1], count) * rng.integers(mix.levels // 2, 2 * mix.levels, count))[far]
    size = rng.integers(1, mix.sizes + 1, count)
    size[(kind == Message.MARKET) & (rng.random(count) < mix.sweeps)] = MAX_LOTS
    number, owner = index % mix.ids, rng.integers(ANONYMOUS, mix.owners, count)

    follow = (kind == Message.CANCEL) | (kind == Message.AMEND)
    tif = rng.choice(list(TimeInForce), count, p=mix.tifs)
    rests = (kind == Message.LIMIT) & ((tif == TimeInForce.GTC) | (tif == TimeInForce.POST_ONLY))
    target = earlier(rng, rests, mix.memory)
    number[follow] = number[target][follow]
    owners_own = follow & (rng.random(count) < 0.9)
    owner[owners_own] = owner[target][owners_own]
    moved = rng.integers(-2, 3, count) * (rng.random(count) < 0.6)
    amended = (kind == Message.AMEND) & (rng.random(count) < 0.8)
    price[amended] = (price[target] + moved)[amended]
    size[amended] = np.maximum(size[target] + rng.integers(-3, 3, count), 1)[amended]
    repeated = ~follow & (rng.random(count) < 0.02)
    number[repeated] = number[target][repeated]

    columns = {"kind": kind, "side": side, "tif": tif, "price": price, "size": size, "order": number, "owner": owner}
    for name, values in columns.items():
        out[name] = values
    spoil(rng, out, mix.bad)
    return out


def earlier(rng, meant, memory):
    """For each message the index of one of the ``memory`` before it that are ``meant``; its own where there is none."""
    meant, index = np.flatnonzero(meant), np.arange(len(meant))
    before = np.searchsorted(meant, index)
    back = np.minimum(rng.integers(1, memory + 1, len(index)), before)
    return np.where(before > 0, meant[np.maximum(before - back, 0)], index)


def spoil(rng, out, share):
    """In that share of the messages one field is one of ``BAD``."""
    for row in np.flatnonzero(rng.random(len(out)) < share):
        name, values = BAD[rng.integers(len(BAD))]
        out[name][row] = values[rng.integers(len(values))]
