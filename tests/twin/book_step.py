"""The order of events of one market with an order book: what docs/book-market.md changes in the step, in plain Python."""

import math

from pydantic import TypeAdapter

from marketsim.book.config import Book, Traders
from marketsim.types import MAX_LOTS, Message, Outcome, TimeInForce
from tests.twin import traders
from twin import book_observations, observations, requests
from twin.book_dealer import BookDealer, BookDesk, BookLimits
from twin.step import Step, TwinMarket

RECENT = 1.0 / 20.0


class Around(traders.TwinMarket):
    """The book and the traders around it, in which the dealers of a ``BookMarket`` trade."""

    def __init__(self, outer, *arguments, **more):
        self.outer, self.bought = outer, 0  # lots that incoming orders bought less those they sold
        super().__init__(*arguments, **more)
        self.bought = 0

    def deliver(self, owner, message):
        kind, side, tif, price, size, number = message
        prevented = self.book.prevented
        outcome = super().deliver(owner, (kind, side, tif, price, size, number))
        if owner < self.dealers:
            self.outer.dealers[owner].limits.self_trades += self.book.prevented - prevented
        return outcome

    def settle(self, side, trades):
        super().settle(side, trades)
        for _, _, price, lots, maker, taker in trades:
            self.bought += side * lots
            for owner, signed, fee, passive in (
                (maker, -side * lots, self.settings.maker_fee, True),
                (taker, side * lots, self.settings.taker_fee, False),
            ):
                if 0 <= owner < self.dealers:
                    money = price * self.settings.tick
                    self.outer.dealers[owner].trade(signed, money, self.mark, fee, passive)


class BookMarket(TwinMarket):
    """One market of an experiment whose ``price`` is ``book``; every call of ``step`` plays t -> t+1."""

    kinds = BookDealer, BookLimits, BookDesk

    def __init__(self, config, seed, episode, market):
        rules = Book.model_validate(config["market"].get("book", {}))
        self.tick, self.taker_fee = rules.tick, rules.taker_fee
        super().__init__(in_words_of_dealers(config, rules), seed, episode, market)
        self.reference = {cell.side: cell.reference for cell in reversed(self.cells)}  # of the first cell of a side
        price = config["market"].get("price", {})
        if price.get("volatility") is not None:
            self.sd = price["volatility"] * math.sqrt(self.dt)
        for i, dealer in enumerate(self.dealers):
            dealer.owner, dealer.market, dealer.limits.sd = i, self, self.sd
        self.in_book = self.venue.get("kind") == "book"
        if self.in_book:
            self.venue["book"] = self
        desks = {dealer.owner: 0 for dealer in self.dealers if dealer.limits.desk}
        population = TypeAdapter(Traders).validate_python(config["market"].get("traders", []))
        self.around = Around(
            self, rules, population, self.F[0], seed, episode, market, dealers=len(self.dealers), desks=desks
        )
        self.book, self.flow = self.around.book, 0.0
        self.mids = [self.around.mid]
        self.feed.seen = [self.around.mid]

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
        done = Step()
        self.around.time, self.around.mark, self.around.bought = self.t * self.dt, self.mid, 0
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
        value, next_value = (F + self.impact for F in self.F[self.t : self.t + 2])
        self.around.play((self.t + 1) * self.dt, value, next_value)

        self.flow += RECENT * (self.around.bought - self.flow)
        self.t += 1
        self.mids.append(self.around.mid)
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
        worst = (self.mid + side * (slippage - self.taker_fee)) / self.tick
        price = math.floor(worst + 1e-9) if side > 0 else math.ceil(worst - 1e-9)
        self.send(dealer, Message.LIMIT, side, price, min(abs(int(lots)), MAX_LOTS), number, TimeInForce.IOC)

    # --- the book ----------------------------------------------------------------------------------

    def send(self, dealer, kind, side, price, lots, number, tif=TimeInForce.GTC):
        """To the book at once, or with the dealer's latency."""
        dealer.messages += 1
        outcome = self.around.send(
            dealer.owner, tuple(map(int, (kind, side, tif, price, lots, number))), dealer.latency
        )
        if kind == Message.AMEND and outcome not in (None, Outcome.ACCEPTED):
            self.send(dealer, Message.CANCEL, side, 0, 0, number)

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
        decay = {"kind": "exponential", "rate": book.fill_decay or 1.0 / book.tick}
        market["segments"] = [{"name": "book", "rates": [0.0], "choice": {"kind": "best_price", "reservation": decay}}]
        market["venue"] = {"kind": "book"}
    dealers = [({"action": {"kind": "offsets"}} if alone else {}) | settings for settings in config["dealers"]]
    return config | {"market": market | {"price": price.get("value", {})}, "dealers": dealers}
