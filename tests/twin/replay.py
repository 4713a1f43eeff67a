"""The slow twin of the replay with own orders: plain Python from docs/feeds.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marketsim.feeds.types import Ask, Kind
from marketsim.types import MAX_LOTS, MAX_TICKS, Outcome


@dataclass
class Own:
    order: int
    side: int
    price: int
    left: int
    ahead: float
    traded: int = 0


class Replay:
    def __init__(self, events, queue, exponent, latency, levels, orders):
        self.events, self.queue, self.exponent, self.latency = list(events), queue, exponent, latency
        self.levels, self.room = levels, orders
        self.low, self.book = 0, {1: {}, -1: {}}
        self.own, self.sent, self.fills = [], [], []
        self.time = self.events[0][0]
        self.position = self.cash = self.made = self.taken = self.beyond = self.left = self.crossed = 0
        self.orders, self.outcomes = 0, {}
        self.elapse(0)

    def best(self, side):
        level = self.book[side]
        return None if not level else max(level) if side > 0 else min(level)

    def inside(self, price):
        return self.low <= price < self.low + self.levels

    # --- the feed's book ---

    def clear(self, side, price):
        for which in (1, -1):
            if side in (0, which):
                gone = [p for p in self.book[which] if side == 0 or which * (p - price) >= 0]
                for p in gone:
                    del self.book[which][p]

    def lay(self, side, price, lots):
        """Lots before, None where the level is not kept."""
        other = self.best(-side)
        if lots > 0 and other is not None and side * (price - other) >= 0:
            before = len(self.book[-side])
            self.clear(-side, price)
            self.crossed += before - len(self.book[-side])
        if not self.inside(price):
            if lots == 0:
                return None
            if not self.reach(side, price):
                self.beyond += 1
                return None
        before = self.book[side].pop(price, 0)
        if lots > 0:
            self.book[side][price] = lots
        return before

    def reach(self, side, price):
        touch = {s: self.best(s) for s in (1, -1)}
        own = touch[side]
        touch[side] = price if own is None else side * max(side * own, side * price)
        bid, ask = touch[1], touch[-1]
        if bid is not None and ask is not None:
            if ask - bid >= self.levels - 1:
                return False
            centre = (bid + ask) // 2
        else:
            centre = ask if bid is None else bid
        low = centre - self.levels // 2
        if not low <= price < low + self.levels:
            return False
        self.low = low
        for s in (1, -1):
            for p in [p for p in self.book[s] if not self.inside(p)]:
                del self.book[s][p]
                self.left += 1
        return True

    # --- own orders ---

    def submit(self, kind, side, price, size):
        return self.send(self.orders, kind, side, price, size)

    def cancel(self, order):
        self.send(order, Ask.CANCEL, 0, 0, 0)

    def send(self, order, kind, side, price, size):
        if len(self.sent) == self.room:
            self.count(Outcome.BOOK_FULL)
            return -1
        self.sent.append((self.time + self.latency, order, kind, side, price, size))
        if kind != Ask.CANCEL:
            self.orders += 1
        return order

    def count(self, outcome):
        name = outcome.name.lower()
        self.outcomes[name] = self.outcomes.get(name, 0) + 1

    def fill(self, order, side, price, size, maker):
        self.fills.append((self.time, order, side, int(maker), price, size))
        self.position += side * size
        self.cash -= side * price * size
        if maker:
            self.made += abs(price) * size
        else:
            self.taken += abs(price) * size

    def arrive(self, order, kind, side, price, size):
        if kind not in list(Ask):
            return Outcome.BAD_KIND
        if kind == Ask.CANCEL:
            kept = [own for own in self.own if own.order != order]
            gone = len(kept) < len(self.own)
            self.own = kept
            return Outcome.ACCEPTED if gone else Outcome.UNKNOWN_ORDER
        if side not in (1, -1):
            return Outcome.BAD_SIDE
        if not 1 <= size <= MAX_LOTS:
            return Outcome.BAD_SIZE
        if kind == Ask.MARKET:
            price = side * MAX_TICKS
        elif abs(price) > MAX_TICKS:
            return Outcome.BAD_PRICE
        touch = self.best(-side)
        if kind == Ask.POST_ONLY and touch is not None and side * (price - touch) >= 0:
            return Outcome.WOULD_CROSS
        rests = kind in (Ask.LIMIT, Ask.POST_ONLY)
        if rests and not self.inside(price):
            return Outcome.OFF_LADDER
        if rests and len(self.own) == self.room:
            return Outcome.BOOK_FULL
        while size and (touch := self.best(-side)) is not None and side * (price - touch) >= 0:
            lots = min(size, self.book[-side][touch])
            self.fill(order, side, touch, lots, maker=False)
            self.book[-side][touch] -= lots
            if not self.book[-side][touch]:
                del self.book[-side][touch]
            size -= lots
        if size and rests:
            self.own.append(Own(order, side, price, size, float(self.book[side].get(price, 0))))
        return Outcome.ACCEPTED

    def depth(self, side, price, lots):
        before = self.lay(side, price, lots)
        for own in list(self.own):
            if own.side == side and own.price == price and before is not None:
                self.requeue(own, before, lots)
            elif own.side == -side and lots > 0 and own.side * (own.price - price) >= 0:
                self.fill(own.order, own.side, own.price, own.left, maker=True)
                self.own.remove(own)

    def requeue(self, own, before, now):
        cancelled = before - now - own.traded
        own.traded = 0
        if self.queue == "power" and cancelled > 0:
            behind = max(before - own.ahead, 0.0)
            share = (
                1.0 if own.ahead == 0 else behind**self.exponent / (behind**self.exponent + own.ahead**self.exponent)
            )
            own.ahead -= (1 - share) * cancelled + max(share * cancelled - behind, 0.0)
        own.ahead = max(min(own.ahead, now), 0.0)

    def trade(self, side, price, size):
        bid, ask = self.best(1), self.best(-1)
        if side == 0:
            side = 1 if ask is not None and price >= ask else -1 if bid is not None and price <= bid else 0
        volume = size
        for own in list(self.own):
            if side == 0 or own.side != -side:
                continue
            filled = 0
            if own.side * (own.price - price) > 0:
                filled = own.left
            elif own.price == price:
                filled = min(own.left, math.floor(max(volume - own.ahead, 0) + 1e-9))
                own.ahead = max(own.ahead - volume, 0.0)
                own.traded += size
                volume -= filled
            if filled:
                self.fill(own.order, own.side, own.price, filled, maker=True)
                own.left -= filled
                if not own.left:
                    self.own.remove(own)

    # --- time ---

    def elapse(self, ns):
        until = self.time + ns
        while True:
            told = self.events[0][0] if self.events else math.inf
            arrives = self.sent[0][0] if self.sent else math.inf
            if min(told, arrives) > until:
                break
            if told <= arrives:
                self.time, kind, side, price, size = self.events.pop(0)
                if kind == Kind.DEPTH:
                    self.depth(side, price, size)
                elif kind == Kind.TRADE:
                    self.trade(side, price, size)
                elif kind == Kind.CLEAR:
                    self.clear(side, price)
            else:
                self.time, *request = self.sent.pop(0)
                self.count(self.arrive(*request))
        self.time = until
