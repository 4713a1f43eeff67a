"""One market with an order book and no traders around it: what docs/book-market.md changes in the step, in plain Python."""

import math

from marketsim.types import ANONYMOUS, MAX_LOTS, Message, Outcome, SelfTrade, TimeInForce
from twin import book_observations, observations, requests
from twin.book import Book
from twin.book_dealer import BookDealer, BookDesk, BookLimits
from twin.step import Step, TwinMarket

BOOK = {
    "tick": 0.01,
    "levels": 4096,
    "orders": 16_384,
    "self_trade": "cancel_resting",
    "maker_fee": 0.0,
    "taker_fee": 0.0,
}
OPENING = {"levels": 10, "lots": 10}
FIRST_OF_OPENING = 2**61
RECENT = 1.0 / 20.0


class BookMarket(TwinMarket):
    """One market of an experiment whose ``price`` is ``book``; every call of ``step`` plays t -> t+1."""

    kinds = BookDealer, BookLimits, BookDesk

    def __init__(self, config, seed, episode, market):
        rules = BOOK | config["market"].get("book", {})
        self.tick = rules["tick"]
        super().__init__(in_words_of_dealers(config, rules), seed, episode, market)
        self.reference = {cell.side: cell.reference for cell in reversed(self.cells)}  # of the first cell of a side
        price = config["market"].get("price", {})
        if price.get("volatility") is not None:
            self.sd = price["volatility"] * math.sqrt(self.dt)
        for i, dealer in enumerate(self.dealers):
            dealer.owner, dealer.market, dealer.limits.sd = i, self, self.sd
        on_desk = {dealer.owner: 0 for dealer in self.dealers if dealer.limits.desk}
        self.in_book = self.venue.get("kind") == "book"
        self.book = Book(
            rules["levels"],
            rules["orders"],
            SelfTrade[rules["self_trade"].upper()],
            on_desk,
            rules["maker_fee"],
            rules["taker_fee"],
        )
        if self.in_book:
            self.venue["book"] = self.book
        self.flow, self.bought, self.flight = 0.0, 0, []
        self.open(OPENING | rules.get("opening", {}))

    def open(self, opening):
        """Anonymous orders on either side of F_0."""
        F = self.F[0] / self.tick
        bid, ask = math.ceil(F) - 1, math.floor(F) + 1
        self.now = self.tick * (bid + ask) / 2  # the mid at this instant
        for k in range(opening["levels"]):
            for side, price in ((+1, bid - k), (-1, ask + k)):
                number = FIRST_OF_OPENING + 2 * k + (side < 0)
                self.enter((Message.LIMIT, side, TimeInForce.GTC, price, opening["lots"], number, ANONYMOUS))
        self.mids = [self.now]
        self.feed.seen = [self.now]

    def observe(self):
        return [
            [
                book_observations.of_the_book(name, self, dealer)
                if name in book_observations.NAMES
                else observations.observation(name, self, dealer)
                for name in dealer.observation
            ]
            for dealer in self.dealers
        ]

    # --- the step ----------------------------------------------------------------------------------

    def step(self, chosen):
        """Play a step. For each dealer an action, or (markups[side][segment][size], hedge)."""
        if self.t == self.steps:
            raise ValueError("the episode is over")
        done, self.bought = Step(), 0
        for dealer in self.dealers:
            dealer.to_go = 0.0
        for dealer, action in zip(self.dealers, chosen, strict=True):
            dealer.begin_step(action, self.cells, self.mid, self.feed)
        first = self.t % len(self.dealers)
        turn = self.dealers[first:] + self.dealers[:first]
        for dealer in turn:
            if dealer.offsets:
                dealer.quote()
        for dealer in turn:
            dealer.recheck_hedge()
        for dealer in turn:
            self.hedge(dealer)
        for r, cell in requests.arrivals(self.arrivals, self.cells, self.u, self.t):
            done.requests.append(self.serve(r, cell))
        for _, _, message in sorted(self.flight):
            self.enter(message)
        self.flight = []

        self.flow += RECENT * (self.bought - self.flow)
        self.t += 1
        self.mids.append(self.now)
        self.feed.end_step(self.mids)
        for dealer in self.dealers:
            self.end_step(dealer, done)
        done.observation = self.observe()
        return done

    def hedge(self, dealer):
        """Stage 4c: at the curve, or a market order; a limit on slippage bounds its price."""
        lots, dealer.to_go = dealer.to_go, 0.0
        if not lots:
            return
        if not self.in_book:
            dealer.trade_at_venue(lots, self.mid, self.venue)
            return
        side, number = (+1 if lots > 0 else -1), 2 * len(self.dealers) + dealer.owner
        slippage = dealer.limits.level("slippage", "hard")
        if slippage == math.inf:
            self.send(dealer, Message.MARKET, side, 0, min(abs(int(lots)), MAX_LOTS), number)
            return
        worst = (self.mid + side * (slippage - self.book.taker_fee)) / self.tick
        price = math.floor(worst + 1e-9) if side > 0 else math.ceil(worst - 1e-9)
        self.send(dealer, Message.LIMIT, side, price, min(abs(int(lots)), MAX_LOTS), number, TimeInForce.IOC)

    # --- the book ----------------------------------------------------------------------------------

    def send(self, dealer, kind, side, price, lots, number, tif=TimeInForce.GTC):
        """To the book at once, or with the dealer's latency."""
        dealer.messages += 1
        message = (kind, side, tif, price, lots, number, dealer.owner)
        if dealer.latency:
            self.flight.append((dealer.latency, len(self.flight), message))
        elif self.enter(message) != Outcome.ACCEPTED and kind == Message.AMEND:
            self.send(dealer, Message.CANCEL, side, 0, 0, number)

    def enter(self, message):
        """A message comes to the book; its outcome."""
        _, side, _, _, _, _, owner = message
        prevented = self.book.prevented
        outcome, trades = self.book.process(message)
        if owner >= 0:
            self.dealers[owner].limits.self_trades += self.book.prevented - prevented
        for _, _, price, lots, maker, taker in trades:
            self.bought += side * lots
            for who, signed, fee, passive in (
                (maker, -side * lots, self.book.maker_fee, True),
                (taker, side * lots, self.book.taker_fee, False),
            ):
                if who >= 0:
                    self.dealers[who].trade(signed, price * self.tick, self.mid, fee, passive)
        bid, ask = self.book.best(+1), self.book.best(-1)
        if bid is not None and ask is not None:
            self.now = self.tick * (bid + ask) / 2
        return outcome

    def charge(self, lots, mid):
        """What the other side would charge beyond the mid for all of these lots, its last price for those beyond it."""
        side, left, cost, price = (+1 if lots > 0 else -1), abs(lots), 0.0, None
        for price, there in self.book.depth(-side):
            taken = min(left, there)
            cost += taken * side * (price * self.tick - mid)
            left -= taken
        return cost + (left * side * (price * self.tick - mid) if price is not None else 0.0)


def in_words_of_dealers(config, book):
    """The experiment as a dealer market: the value as its price; one segment that never requests where there is none."""
    market = dict(config["market"])
    price = market.pop("price", {})
    alone = market.get("kind") == "book"
    if alone:
        decay = {"kind": "exponential", "rate": book.get("fill_decay") or 1.0 / book["tick"]}
        market["segments"] = [{"name": "book", "rates": [0.0], "choice": {"kind": "best_price", "reservation": decay}}]
        market["venue"] = {"kind": "book"}
    dealers = [({"action": {"kind": "offsets"}} if alone else {}) | settings for settings in config["dealers"]]
    return config | {"market": market | {"price": price.get("value", {})}, "dealers": dealers}
