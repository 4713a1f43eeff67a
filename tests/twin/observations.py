"""What a dealer sees: the catalogue, and the averages over recent steps behind it."""

import math

DEFAULT = (
    "time_left inventory mid_move_1 mid_move_5 mid_move_20 volatility requests imbalance hit_ratio cover markout pnl"
).split()
BY_NAME = ["rival_inventory", "rival_markup", "regime", "tail"]
RECENT = 1.0 / 20.0
MARKOUT_STEPS = 5


def ratio(x, scale):
    """x / scale; a division by a zero scale gives 0."""
    return x / scale if scale else 0.0


class Memory:
    """One dealer's averages; ``end_step`` takes in a step."""

    def __init__(self, expected):
        self.expected = expected  # requests a step that the dealer is asked for
        self.variance = 1.0  # of the moves, in units of the expected one
        self.asked, self.imbalance, self.won = expected, 0.0, expected / 2.0
        self.cover = self.rival_markup = 0.0
        self.gain = self.lots = 0.0
        self.trades = []  # of every step: (bought - sold, bought + sold)

    def see_cover(self, cover, reference):
        self.cover += RECENT * (ratio(cover, reference) - self.cover)

    def see_rival_markup(self, markup, reference):
        self.rival_markup += RECENT * (ratio(markup, reference) - self.rival_markup)

    def end_step(self, ledger, asked_to_sell, asked_to_buy, mids, seen_move, sd):
        """``asked_to_sell``: requests on the ask side; ``mids``: S_0 to the S that ends this step; ``seen_move``: the feed's."""
        self.trades.append((ledger["bought"] - ledger["sold"], ledger["bought"] + ledger["sold"]))
        gain = lots = 0.0
        if len(self.trades) >= MARKOUT_STEPS:
            net, lots = self.trades[-MARKOUT_STEPS]
            gain = net * (mids[-1] - mids[-1 - MARKOUT_STEPS])
        self.gain += RECENT * (gain - self.gain)
        self.lots += RECENT * (lots - self.lots)
        self.variance += RECENT * (ratio(seen_move, sd) ** 2 - self.variance)
        self.asked += RECENT * (ledger["asked"] - self.asked)
        self.imbalance += RECENT * (asked_to_sell - asked_to_buy - self.imbalance)
        self.won += RECENT * (ledger["won"] - self.won)


def observation(name, market, dealer):
    """One named observation of a dealer at the market's present step."""
    memory, sd, seen = dealer.memory, market.sd, market.feed.seen
    position_scale = dealer.limits.position if math.isfinite(dealer.limits.position) else 20.0
    money_scale = position_scale * (sd * math.sqrt(market.steps) if sd else 1.0)
    rivals = [other.inventory for other in market.dealers if other is not dealer]

    def mid_move(k):
        return ratio(seen[-1] - seen[max(len(seen) - 1 - k, 0)], sd * math.sqrt(k))

    catalogue = {
        "time_left": lambda: (market.steps - market.t) / market.steps,
        "inventory": lambda: dealer.inventory / position_scale,
        "mid_move_1": lambda: mid_move(1),
        "mid_move_5": lambda: mid_move(5),
        "mid_move_20": lambda: mid_move(20),
        "volatility": lambda: math.log(max(memory.variance, math.exp(-14.0))) / 2.0 if sd else 0.0,
        "requests": lambda: memory.asked / memory.expected - 1.0 if memory.expected else 0.0,
        "imbalance": lambda: ratio(memory.imbalance, memory.expected),
        "hit_ratio": lambda: memory.won / memory.asked - 0.5 if memory.asked else 0.0,
        "cover": lambda: memory.cover,
        "markout": lambda: ratio(ratio(memory.gain, memory.lots), sd * math.sqrt(MARKOUT_STEPS)),
        "pnl": lambda: -dealer.loss(market.mid) / money_scale,
        "rival_inventory": lambda: ratio(sum(rivals), len(rivals)) / position_scale,
        "rival_markup": lambda: memory.rival_markup,
        "regime": lambda: float(market.regimes[market.t]),
        "tail": lambda: (dealer.loss(market.mid) - dealer.nu) / money_scale,
    }
    return catalogue[name]()
