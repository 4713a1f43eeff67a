"""A dealer in an order book: what it asks for, what its limits leave of that, and the messages that bring it about."""

import math

from marketsim.types import ASK, BID, Message, Order, Reason
from twin import actions, book_observations, observations
from twin.dealer import Dealer
from twin.limits import Desk, Limits

OFFSETS = {"kind": "offsets", "offset": [0.0, 10.0], "size": [1, 5], "hedge": 0.0, "latency": 0.0}
PLACE = {+1: BID, -1: ASK}
NO_MARKUPS = [[[math.nan] * 8] * 8] * 2
FARTHEST = 1e12  # ticks


class BookDesk(Desk):
    """The hedges that are approved and still to go count as done; orders in the book as if they traded."""

    @property
    def inventory(self):
        return sum(dealer.inventory + dealer.to_go for dealer in self.dealers)

    def held(self, side):
        return sum(dealer.held(side) + dealer.open_lots(side) for dealer in self.dealers)


class BookLimits(Limits):
    """``desk`` may be None; ``position`` is the lower of the dealer's and the market's."""

    def lots_within_slippage(self):
        """In the book the price of a hedge is bounded, not its lots."""
        return math.inf if self.venue.get("kind") == "book" else super().lots_within_slippage()

    def within_band(self, x):
        band = self.settings.get("markup", {})
        return band.get("low", -math.inf) <= x <= band.get("high", math.inf)

    def approve_distance(self, x, reference):
        """The distance that remains of the one asked for, None: no order."""
        if Order.WIDEN in self.orders:
            x += self.wider * reference
        if self.within_band(x):
            return x
        self.reasons |= Reason.MARKUP
        band = self.settings["markup"]
        return None if self.response("markup") == "reject" else min(max(x, band["low"]), band["high"])

    def approve_lots(self, lots, held, desk_held):
        """``held``, ``desk_held``: what is there already on the order's side, without the order."""
        for reason, most in (
            (Reason.SIZE, self.level("size", "hard") / (4 if Order.QUARTER in self.orders else 1)),
            (Reason.POSITION, -held if Order.REDUCE_ONLY in self.orders else math.inf),
            (Reason.POSITION, self.quartered(self.position) - held),
            (Reason.WORST_CASE, self.quartered(self.level("worst_case", "hard")) - held),
            (Reason.DESK, self.desk.limit - desk_held if self.desk else math.inf),
        ):
            if lots > most:
                self.reasons |= reason
                lots = math.floor(most)  # below 0: the rows that follow take away no more
        return max(lots, 0)


class BookDealer(Dealer):
    """``market`` and ``owner`` are given to it by its market."""

    def __init__(self, name, settings, limits, expected):
        super().__init__(name, settings, limits, expected)
        self.offsets = self.action["kind"] == "offsets"
        if self.offsets:
            self.action = OFFSETS | settings["action"]
            if "observation" not in settings or self.observation == "book":
                self.observation = observations.DEFAULT + book_observations.NAMES
        self.latency = self.action.get("latency", 0.0)
        self.to_go, self.messages = 0.0, 0

    def number(self, side):
        """The id of its bid (+1) or its ask (-1)."""
        return 2 * self.owner + (side < 0)

    def resting(self, side):
        return self.market.book.orders.get(self.number(side))

    def open_lots(self, side):
        """Those that rest on a side, and those on their way to another price."""
        order, total = self.resting(side), 0
        for _, _, _, (kind, _, _, price, lots, number) in self.market.around.flight:
            if number == self.number(side) and (kind == Message.LIMIT or (order and price != order.limit)):
                total += lots
        return total + (order.lots if order else 0)

    def held(self, side):
        """The lots that it holds on a side, its hedge included, if that adds to them."""
        return side * self.inventory + max(side * self.to_go, 0.0)

    # --- what it asks for --------------------------------------------------------------------------

    def begin_step(self, action, cells, mid, feed):
        self.to_go, self.keep = 0.0, False
        if self.offsets:
            finite = self.ask(action)
            super().begin_step((NO_MARKUPS, self.hedge_asked), cells, mid, feed)
            if not finite and not self.terminated:
                self.limits.reasons |= Reason.NON_FINITE
        else:
            super().begin_step(action, cells, mid, feed)
        self.to_go = self.hedge
        if self.market.t % self.limits.settings.get("order_rate", {}).get("steps", 1) == 0:
            self.messages = 0
        if self.market.t % self.limits.settings.get("repeated_execution", {}).get("steps", 20) == 0:
            self.limits.executions = 0

    def ask(self, action):
        """Distance and lots {side: (x, lots)} and a hedge; False where the action is not finite."""
        smallest, largest = self.action["size"]
        self.asked, self.hedge_asked = {+1: (math.nan, 0), -1: (math.nan, 0)}, 0.0
        if isinstance(action, tuple):
            markups, self.hedge_asked = action
            self.asked = {side: (float(markups[PLACE[side]][0][0]), smallest) for side in (+1, -1)}
            return True
        action = [float(component) for component in action[:6]]
        if not all(map(math.isfinite, action)):
            return False
        *quoting, keep, hedging = [min(max(component, -1.0), 1.0) for component in action]
        tick = self.market.tick
        x = [actions.on_range(a, [ticks * tick for ticks in self.action["offset"]]) for a in quoting[:2]]
        lots = [round(actions.on_range(a, (smallest, largest))) for a in quoting[2:]]
        self.asked, self.keep = dict(zip((+1, -1), zip(x, lots, strict=True), strict=True)), keep > 0.0
        if self.action["hedge"] == "fraction":
            self.hedge_asked = float(round(-(hedging + 1.0) / 2.0 * self.inventory))
        else:
            self.hedge_asked = float(round(hedging * self.action["hedge"]))
        return True

    # --- its two orders ----------------------------------------------------------------------------

    def quote(self):
        """Stage 4a: first the bid, then the ask."""
        for side in (+1, -1):
            self.bring(side, *self.approved(side))

    def approved(self, side):
        """(price in ticks, lots) of an order; no lots: none."""
        tick, seen, rests = self.market.tick, self.market.feed.price, self.resting(side)
        if self.terminated or Order.NO_QUOTES in self.limits.orders:
            return None, 0
        x, lots = self.asked[side]
        if self.keep:
            x, lots = (side * (seen - rests.limit * tick), rests.lots) if rests else (math.nan, 0)
        if not lots or not math.isfinite(x):
            return None, 0
        x = self.limits.approve_distance(x, self.market.reference[PLACE[side]])
        if x is None or abs(x / tick) > FARTHEST:
            return None, 0
        price = math.floor((seen - x) / tick + 1e-9) if side > 0 else math.ceil((seen + x) / tick - 1e-9)
        late = rests.lots if rests and self.latency and rests.limit != price else 0  # it may trade before it is gone
        own = self.held(side) + late
        desk = self.limits.desk
        others = desk.held(side) - self.open_lots(side) + late if desk else 0.0
        return price, self.limits.approve_lots(lots, own, others)

    def bring(self, side, price, lots):
        """Send what makes of the order that rests, or of none, one of these lots at this price."""
        rests = self.resting(side)
        if rests and rests.limit == price:
            lots = min(lots, rests.lots)
        elif lots and self.messages + 1 > self.limits.level("order_rate", "hard"):
            self.limits.reasons |= Reason.ORDER_RATE
            if not rests:
                return
            stays = self.limits.within_band(side * (self.market.feed.price - rests.limit * self.market.tick))
            price, lots = rests.limit, min(lots, rests.lots) if stays else 0
        if not rests:
            if lots:
                self.send(Message.LIMIT, side, price, lots)
        elif not lots:
            self.send(Message.CANCEL, side)
        elif (price, lots) != (rests.limit, rests.lots):
            self.send(Message.AMEND, side, price, lots)

    def send(self, kind, side, price=0, lots=0):
        self.market.send(self, kind, side, price, lots, self.number(side))

    # --- hedges and trades -------------------------------------------------------------------------

    def recheck_hedge(self):
        """Stage 4b: orders have traded since the hedge was approved."""
        if not self.to_go:
            return
        side, desk = int(math.copysign(1, self.to_go)), self.limits.desk
        most = abs(self.to_go)
        if self.offsets:
            position = self.limits.quartered(self.limits.position)
            most = min(most, position - side * self.inventory - self.open_lots(side))
        if desk:
            most = min(most, math.floor(desk.limit) - (desk.held(side) - abs(self.to_go)))
        self.to_go = self.limits.changed(self.to_go, side * max(most, 0.0), Reason.HEDGE)

    def trade(self, lots, price, mid, fee, passive):
        """``lots`` + = it buys; ``price`` and ``mid`` in price units, ``mid`` of the step's begin."""
        self.inventory += lots
        self.cash -= lots * price + fee * abs(lots)
        self.ledger["fees"] += fee * abs(lots)
        self.limits.executions += 1
        if passive:
            self.ledger["spread"] += lots * (mid - price)
            self.ledger["bought" if lots > 0 else "sold"] += abs(lots)
            self.won_lots += abs(lots)
        else:
            self.ledger["hedge_cost"] += lots * (price - mid)
            self.ledger["hedge"] += lots

    def trade_at_venue(self, lots, mid, venue):
        """At the curve; what is left at the end of the episode, in the book as it stands, without taking anything."""
        if "book" in venue and lots:
            per_lot = self.market.charge(lots, mid) / abs(lots)
            venue = {"half_spread": per_lot, "slope": 0.0, "fee": self.market.taker_fee}
        super().trade_at_venue(lots, mid, venue)
