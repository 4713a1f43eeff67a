"""The slow twin of the limit-order book: dicts and deques in whole Python numbers, written from docs/book.md.

It shares with the compiled book only the words of `marketsim.types`, takes one message at a time, and looks for
everything where it stands: the best price is the largest key, the lots of a level are the sum over its queue.
"""

from collections import Counter, defaultdict, deque

from marketsim.types import MAX_LOTS, MAX_TICKS, Message, Outcome, SelfTrade, TimeInForce

LIMIT, CANCEL, MARKET, AMEND = map(int, Message)  # plain numbers: reading an enumeration's member costs too much
GTC, IOC, FOK, POST_ONLY = map(int, TimeInForce)
ALLOW, CANCEL_RESTING, CANCEL_INCOMING, CANCEL_BOTH = map(int, SelfTrade)
(
    ACCEPTED,
    BAD_KIND,
    BAD_SIDE,
    BAD_SIZE,
    BAD_PRICE,
    BAD_TIF,
    BAD_ORDER,
    DUPLICATE_ORDER,
    UNKNOWN_ORDER,
    NOT_OWNER,
    WOULD_CROSS,
    WOULD_NOT_FILL,
    OFF_LADDER,
    BOOK_FULL,
) = map(int, Outcome)


class Order:
    """An order and what is left of it; ``limit`` None: a market order."""

    __slots__ = ("limit", "lots", "number", "owner", "side")

    def __init__(self, number, side, limit, lots, owner):
        self.number, self.side, self.limit, self.lots, self.owner = number, side, limit, lots, owner

    def reaches(self, price):
        return self.limit is None or self.side * price <= self.side * self.limit


class Book:
    """``process`` takes MESSAGE rows as tuples; ``desks`` is {owner: desk}, an owner that is not in it has none."""

    def __init__(self, levels, orders, self_trade=ALLOW, desks=None, maker_fee=0.0, taker_fee=0.0):
        self.width, self.room = levels, orders
        self.self_trade, self.desks = int(self_trade), desks or {}
        self.maker_fee, self.taker_fee = maker_fee, taker_fee
        self.levels = {+1: {}, -1: {}}  # of a side: {price: its queue, the first come first}
        self.orders = {}  # those that rest, by id
        self.outcomes = Counter()
        self.lots = Counter(submitted=0, filled=0, cancelled=0, rejected=0)
        self.prevented = 0  # times that an order met one of its own owner or desk
        self.inventory, self.cash, self.fees = defaultdict(int), defaultdict(int), defaultdict(float)  # by owner

    # --- what stands in the book -------------------------------------------------------------------

    def best(self, side):
        """The best price of a side, or None."""
        if not self.levels[side]:
            return None
        return max(self.levels[side]) if side > 0 else min(self.levels[side])

    def prices(self, side):
        """The prices of a side, best first."""
        return sorted(self.levels[side], reverse=side > 0)

    def depth(self, side):
        """[(price, lots)], best first."""
        return [(price, sum(o.lots for o in self.levels[side][price])) for price in self.prices(side)]

    def queue(self, side, price):
        """[(order, lots, owner)] at a price, the first come first."""
        return [(o.number, o.lots, o.owner) for o in self.levels[side].get(price, ())]

    def ahead(self, number):
        """The lots that stand before an order at its price; None where no such order rests."""
        if number not in self.orders:
            return None
        order, lots = self.orders[number], 0
        for other in self.levels[order.side][order.limit]:
            if other is order:
                return lots
            lots += other.lots

    def resting(self):
        """The lots that rest."""
        return sum(order.lots for order in self.orders.values())

    # --- a message ---------------------------------------------------------------------------------

    def process(self, message):
        """A MESSAGE row -> (outcome, [(maker, taker, price, size, maker_owner, taker_owner)])."""
        kind, side, tif, price, size, number, owner = message
        is_order = kind == LIMIT or kind == MARKET
        order = Order(number, side, price if kind == LIMIT else None, size, owner)
        outcome = self.judge(kind, tif, price, order)
        self.outcomes[outcome] += 1
        if is_order:
            lots = size if 1 <= size <= MAX_LOTS else 0
            self.lots["submitted"] += lots
        if outcome != ACCEPTED:
            if is_order:
                self.lots["rejected"] += lots
            return outcome, []
        if kind == CANCEL:
            self.cancel(self.orders[number])
            return outcome, []
        if kind == AMEND:
            return outcome, self.amend(self.orders[number], price, size)
        return outcome, self.enter(order, rests=kind == LIMIT and tif in (GTC, POST_ONLY))

    def judge(self, kind, tif, price, order):
        """The first reason to refuse a message, in the order of ``Outcome``."""
        is_order = kind == LIMIT or kind == MARKET
        known = self.orders.get(order.number)
        if kind not in (LIMIT, CANCEL, MARKET, AMEND):
            return BAD_KIND
        if is_order and order.side not in (+1, -1):
            return BAD_SIDE
        if kind != CANCEL and not 1 <= order.lots <= MAX_LOTS:
            return BAD_SIZE
        if kind in (LIMIT, AMEND) and not -MAX_TICKS <= price <= MAX_TICKS:
            return BAD_PRICE
        if is_order and (tif not in (GTC, IOC, FOK, POST_ONLY) or (kind == MARKET and tif == POST_ONLY)):
            return BAD_TIF
        if order.number < 0:
            return BAD_ORDER
        if is_order and known:
            return DUPLICATE_ORDER
        if not is_order and not known:
            return UNKNOWN_ORDER
        if not is_order and order.owner >= 0 and order.owner != known.owner:
            return NOT_OWNER
        if kind == LIMIT and tif == POST_ONLY:
            best = self.best(-order.side)
            if best is not None and order.reaches(best):
                return WOULD_CROSS
        if is_order and tif == FOK and self.fillable(order) < order.lots:
            return WOULD_NOT_FILL
        may_rest = kind == LIMIT and tif in (GTC, POST_ONLY)
        if (may_rest or kind == AMEND) and self.span(price) >= self.width:
            return OFF_LADDER
        if may_rest and len(self.orders) >= self.room:
            return BOOK_FULL
        return ACCEPTED

    def fillable(self, order):
        """The lots that would trade at once, up to those of the order."""
        lots = 0
        for price in self.prices(-order.side):
            if not order.reaches(price):
                break
            for maker in self.levels[-order.side][price]:
                if not self.same(maker.owner, order.owner):
                    lots += maker.lots
                elif self.self_trade != CANCEL_RESTING:
                    return lots
                if lots >= order.lots:
                    return lots
        return lots

    def span(self, price):
        """The distance from the lowest to the highest of the resting prices and this one."""
        bids, asks = self.levels[+1] or [price], self.levels[-1] or [price]
        return max(price, max(bids), max(asks)) - min(price, min(bids), min(asks))

    def same(self, owner, other):
        """Whether self-trade prevention keeps these two apart."""
        if self.self_trade == ALLOW or owner < 0 or other < 0:
            return False
        desk = self.desks.get(owner, -1)
        return owner == other or (desk >= 0 and desk == self.desks.get(other, -1))

    # --- what an accepted message does -------------------------------------------------------------

    def enter(self, order, rests):
        """Trade, then rest or cancel what is left."""
        trades = self.match(order)
        if order.lots and rests:
            self.levels[order.side].setdefault(order.limit, deque()).append(order)
            self.orders[order.number] = order
        else:
            self.lots["cancelled"] += order.lots
        return trades

    def match(self, taker):
        trades = []
        others = self.levels[-taker.side]
        while taker.lots and others:
            price = self.best(-taker.side)
            if not taker.reaches(price):
                break
            maker = others[price][0]
            if self.same(maker.owner, taker.owner):
                self.prevented += 1
                if self.self_trade in (CANCEL_RESTING, CANCEL_BOTH):
                    self.cancel(maker)
                if self.self_trade in (CANCEL_INCOMING, CANCEL_BOTH):
                    self.lots["cancelled"] += taker.lots
                    taker.lots = 0
                continue
            size = min(maker.lots, taker.lots)
            maker.lots -= size
            taker.lots -= size
            self.lots["filled"] += 2 * size
            self.settle(maker.owner, maker.side * size, price, self.maker_fee)
            self.settle(taker.owner, taker.side * size, price, self.taker_fee)
            trades.append((maker.number, taker.number, price, size, maker.owner, taker.owner))
            if not maker.lots:
                self.leave(maker)
        return trades

    def settle(self, owner, bought, price, fee):
        """``bought`` + = the owner buys."""
        self.inventory[owner] += bought
        self.cash[owner] -= bought * price
        self.fees[owner] += fee * abs(bought)

    def cancel(self, order):
        self.lots["cancelled"] += order.lots
        self.leave(order)

    def leave(self, order):
        """Out of the book, wherever in its queue it stands."""
        queue = self.levels[order.side][order.limit]
        queue.remove(order)
        if not queue:
            del self.levels[order.side][order.limit]
        del self.orders[order.number]

    def amend(self, order, price, size):
        self.lots["submitted"] += max(size - order.lots, 0)
        self.lots["cancelled"] += max(order.lots - size, 0)
        if price == order.limit and size <= order.lots:
            order.lots = size
            return []
        self.leave(order)
        return self.enter(Order(order.number, order.side, price, size, order.owner), rests=True)
