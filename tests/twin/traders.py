"""The slow twin of the market around a book: plain Python, written from docs/traders.md.

It shares with the compiled market the draws and their table (marketsim/rng.py) and the words of marketsim.types; the
book is the slow twin of the book. It looks at every trader and every message in flight to find what comes next.
"""

import math
from collections import Counter, defaultdict

from marketsim.rng import TRADER, draw
from marketsim.types import ANONYMOUS, Message, SelfTrade, TimeInForce
from tests.twin.book import Book as TwinBook

LIMIT, CANCEL, MARKET, AMEND = map(int, Message)
GTC, IOC, POST_ONLY = int(TimeInForce.GTC), int(TimeInForce.IOC), int(TimeInForce.POST_ONLY)
CROWDS = ("zero_intelligence", "hawkes")


class Trader:
    """Its file's block, and what it remembers."""

    def __init__(self, number, block, draws, start, mid):
        self.number, self.block, self.draws = number, block, draws
        self.event, self.inventory, self.cash = 0, 0, 0.0
        self.mind = []  # orders it has in mind; of a maker {side: order}
        self.quotes = {}
        self.excitation = {+1: 0.0, -1: 0.0}
        self.fast = self.slow = mid
        self.since = start
        self.room = self.room_in_mind()
        self.rate = self.event_rate()
        self.wake = self.after(start, self.rate)

    def u(self, component):
        return self.draws(self.event, 8 * self.number + component)

    def z(self, component):
        return math.sqrt(-2 * math.log(self.u(component))) * math.cos(2 * math.pi * self.u(component + 1))

    def after(self, time, rate):
        return time - math.log(self.u(0)) / rate if rate > 0 else math.inf

    def cancels(self):
        return getattr(self.block, "cancel_rate", 0.0) * len(self.mind)

    def acts(self):
        """The rate of its acts."""
        b = self.block
        if b.kind == "zero_intelligence":
            return b.market_rate + 2 * b.band * b.limit_rate
        return b.rate + (sum(self.excitation.values()) if b.kind == "hawkes" else 0.0)

    def event_rate(self):
        return self.acts() + self.cancels()

    def room_in_mind(self):
        b = self.block
        cancel_rate = getattr(b, "cancel_rate", 0.0)
        if not cancel_rate:
            return 0
        placed, bursts = self.acts(), 1.0
        if b.kind == "zero_intelligence":
            placed -= b.market_rate
        if b.kind == "hawkes":
            bursts = 1 / (1 - sum(b.excitation))
            placed *= bursts
        mean = placed / cancel_rate
        return math.ceil(mean + bursts * (10 * math.sqrt(mean) + 16))

    def size(self):
        if isinstance(self.block.size, int):
            return self.block.size
        m = self.block.size.mean
        return 1 + math.floor(math.log(self.u(3)) / math.log(1 - 1 / m)) if m > 1 else 1

    def latency(self):
        given = self.block.latency
        return given if isinstance(given, float) else given.median * math.exp(given.sigma * self.z(4))

    def may(self, side, size):
        limit = getattr(self.block, "position", None)
        return limit is None or abs(self.inventory + side * size) <= limit

    def order(self, which=0):
        return 2**40 + self.number * 2**32 + 2 * self.event + which


class TwinMarket:
    """A book, ``dealers`` and traders. ``prints`` and ``quotes`` are what everybody sees from time 0 on."""

    def __init__(self, book, traders, value, seed, episode=0, market=0, dealers=0, desks=None):
        self.settings, self.dealers = book, dealers
        policy = SelfTrade[book.self_trade.upper()]
        self.book = TwinBook(book.levels, book.orders, policy, desks)
        self.flight, self.sent = [], 0  # (arrival, number, owner, message)
        self.counts = Counter(events=0, requests=0, lost=0, held_back=0)
        self.dealer = [defaultdict(float) for _ in range(dealers)]
        self.prints, self.quotes, self.mids = [], [], []
        self.time, self.mark = -book.warm_up, 0.0
        bid, ask = math.ceil(value / book.tick) - 1, math.floor(value / book.tick) + 1
        self.last = {+1: bid, -1: ask}
        self.middle = (bid + ask) / 2
        self.traders = []
        for k in range(book.opening.levels):
            for which, (side, price) in enumerate([(+1, bid - k), (-1, ask + k)]):
                self.book.process((LIMIT, side, GTC, price, book.opening.lots, 2**61 + 2 * k + which, ANONYMOUS))

        def draws(event, index):
            return draw(seed, episode, market, TRADER, event, index)

        for block in traders:
            for _ in range(block.count):
                self.traders.append(Trader(len(self.traders), block, draws, self.time, self.middle))
        self.play(0.0, value, value)
        self.counts["events"] = self.counts["requests"] = 0
        self.prints, self.quotes = [], []
        self.time = 0.0
        self.see()

    @property
    def mid(self):
        return self.settings.tick * self.middle

    # --- time --------------------------------------------------------------------------------------

    def play(self, end, value, next_value):
        """All that happens before ``end``."""
        self.f, self.f_next = value / self.settings.tick, next_value / self.settings.tick
        while True:
            coming = [(arrival, 0, number, owner) for arrival, number, owner, _ in self.flight]
            coming += [(trader.wake, 1, k, self.dealers + k) for k, trader in enumerate(self.traders)]
            time, is_event, number, owner = min(coming, default=(math.inf, 0, 0, 0))
            if time >= end:
                return
            self.time = time
            if is_event:
                self.act(self.traders[number])
            else:
                (at,) = (i for i, message in enumerate(self.flight) if message[1] == number)
                self.deliver(owner, self.flight.pop(at)[3])

    def step(self, t, dt, value, next_value):
        self.mark = self.mid
        self.play((t + 1) * dt, value, next_value)
        self.mids.append(self.mid)

    def of(self, owner):
        """Its messages in flight."""
        return [message for message in self.flight if message[2] == owner]

    def send(self, owner, message, latency):
        """A message of an owner at the present time: its outcome, or None if it is on its way."""
        mine = self.of(owner)
        if latency == 0 and not mine:
            return self.deliver(owner, message)
        if len(self.flight) >= self.settings.in_flight:
            self.counts["lost"] += 1
            return None
        arrival = max([self.time + latency, *(arrival for arrival, *_ in mine)])
        self.flight.append((arrival, self.sent, owner, message))
        self.sent += 1
        return None

    def deliver(self, owner, message):
        kind, side, tif, price, size, number = message
        known = self.book.orders.get(number)
        if kind == AMEND:
            side = known.side if known else 0
            if known and price == known.limit:
                size = min(size, known.lots)  # it may have traded on the way: fewer lots never add to it
        crowd = owner >= self.dealers and self.traders[owner - self.dealers].block.kind in CROWDS
        outcome, trades = self.book.process((kind, side, tif, price, size, number, -2 - owner if crowd else owner))
        self.counts["requests"] += 1
        if trades:
            self.settle(side, trades)
        best = {side: self.book.best(side) for side in (+1, -1)}
        self.last = {side: self.last[side] if best[side] is None else best[side] for side in best}
        if None not in best.values():
            self.middle = sum(best.values()) / 2
        self.prints += [(self.time, price, size, side) for _, _, price, size, _, _ in trades]
        self.see()
        return outcome

    def see(self):
        lots = {s: sum(lots for p, lots in self.book.depth(s) if p == self.last[s]) for s in (+1, -1)}
        row = (self.last[+1], lots[+1], self.last[-1], lots[-1])
        if not self.quotes or self.quotes[-1][1:] != row:
            self.quotes.append((self.time, *row))

    def settle(self, side, trades):
        for _, _, price, size, maker, taker in trades:
            for owner, lots, passive in ((maker, -side * size, True), (taker, side * size, False)):
                if owner == ANONYMOUS:
                    continue
                owner = -2 - owner if owner < 0 else owner
                money = self.settings.tick * price
                fee = (self.settings.maker_fee if passive else self.settings.taker_fee) * size
                if owner >= self.dealers:
                    trader = self.traders[owner - self.dealers]
                    trader.inventory += lots
                    trader.cash -= lots * money + fee
                    continue
                account = self.dealer[owner]
                account["inventory"] += lots
                account["cash"] -= lots * money + fee
                account["fees"] += fee
                if passive:
                    account["spread"] += lots * (self.mark - money)
                    account["bought" if lots > 0 else "sold"] += size
                else:
                    account["hedge_cost"] += lots * (money - self.mark)
                    account["hedge"] += lots

    # --- an event ----------------------------------------------------------------------------------

    def act(self, trader):
        trader.event += 1
        self.counts["events"] += 1
        if trader.block.kind == "hawkes":
            left = math.exp(-trader.block.decay * (self.time - trader.since))
            trader.excitation = {side: x * left for side, x in trader.excitation.items()}
            trader.since = self.time
        v, cancels = trader.u(1) * trader.rate, trader.cancels()
        if v < cancels:
            messages = self.cancel(trader, math.floor(v / trader.block.cancel_rate))
        else:
            messages = getattr(self, trader.block.kind)(trader, v - cancels)
        owner = self.dealers + trader.number
        latency = trader.latency()
        for message in messages:
            self.send(owner, message, latency)
        trader.rate = trader.event_rate()
        trader.wake = trader.after(self.time, trader.rate)

    def done(self, trader, order):
        """Whether it knows that an order is done."""
        return not self.of(self.dealers + trader.number) and order not in self.book.orders

    def cancel(self, trader, which):
        order = trader.mind[which]
        trader.mind[which] = trader.mind[-1]
        trader.mind.pop()
        return [] if self.done(trader, order) else [(CANCEL, 0, GTC, 0, 0, order)]

    def limit(self, trader, side, price, size):
        if trader.block.cancel_rate > 0:
            if len(trader.mind) >= trader.room:
                self.counts["held_back"] += 1
                return []
            trader.mind.append(trader.order())
        return [(LIMIT, side, GTC, price, size, trader.order())]

    def market(self, trader, side):
        return [(MARKET, side, GTC, 0, trader.size(), trader.order())]

    def behind(self, side, ticks):
        """A price behind the opposite best."""
        return self.last[-side] - side * (1 + math.floor(ticks))

    def zero_intelligence(self, trader, v):
        b = trader.block
        if v < b.market_rate:
            return self.market(trader, +1 if 2 * v < b.market_rate else -1)
        x = (v - b.market_rate) / b.limit_rate
        side, ticks = (+1, x) if x < b.band else (-1, x - b.band)
        return self.limit(trader, side, self.behind(side, ticks), trader.size())

    def hawkes(self, trader, v):
        b, x = trader.block, trader.excitation
        buys, sales = b.rate / 2 + x[+1], b.rate / 2 + x[-1]
        if v >= buys + sales:
            return []
        side = +1 if v < buys else -1
        x[side] += b.excitation[0] * b.decay
        x[-side] += b.excitation[1] * b.decay
        if trader.u(2) < b.market_share:
            return self.market(trader, side)
        ticks = (trader.u(2) - b.market_share) / (1 - b.market_share) * b.band
        return self.limit(trader, side, self.behind(side, ticks), trader.size())

    def momentum(self, trader, v):
        b, passed = trader.block, self.time - trader.since
        trader.since = self.time
        trader.fast += (self.middle - trader.fast) * -math.expm1(-passed / b.fast)
        trader.slow += (self.middle - trader.slow) * -math.expm1(-passed / b.slow)
        trend = trader.fast - trader.slow
        side = +1 if trend > 0 else -1
        if abs(trend) <= b.threshold or not trader.may(side, trader.size()):
            return []
        return self.market(trader, side)

    def value(self, trader, v):
        b = trader.block
        seen = self.f + b.noise * trader.z(6)
        side = +1 if seen > self.middle else -1
        if seen == self.middle or not trader.may(side, trader.size()):
            return []
        price = math.floor(seen - b.threshold) if side > 0 else math.ceil(seen + b.threshold)
        return self.limit(trader, side, price, trader.size())

    def informed(self, trader, v):
        buy = math.floor(self.f_next - trader.block.threshold)
        sell = math.ceil(self.f_next + trader.block.threshold)
        for side, price in ((+1, buy), (-1, sell)):
            if side * price >= side * self.last[-side]:
                if trader.may(side, trader.size()):
                    return [(LIMIT, side, IOC, price, trader.size(), trader.order())]
                return []
        return []

    def maker(self, trader, v):
        b, size = trader.block, trader.size()
        centre = self.middle - b.skew * trader.inventory
        wanted = {+1: math.floor(centre - b.half_spread), -1: math.ceil(centre + b.half_spread)}
        wanted = {side: price for side, price in wanted.items() if trader.may(side, size)}
        cancels, orders = [], []
        for side in (+1, -1):
            quote = trader.quotes.get(side)
            rests = self.book.orders.get(quote)
            if rests and wanted.get(side) == rests.limit and rests.lots == size:
                continue
            if quote is not None and not self.done(trader, quote):
                cancels.append((CANCEL, side, GTC, 0, 0, quote))
            trader.quotes.pop(side, None)
            if side in wanted:
                trader.quotes[side] = trader.order(0 if side > 0 else 1)
                orders.append((LIMIT, side, POST_ONLY, wanted[side], size, trader.quotes[side]))
        return cancels + orders
