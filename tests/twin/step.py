"""The order of events of one market: stages 1 to 8 of docs/market.md, in plain Python."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from marketsim.rng import draw
from marketsim.types import BID, LEDGER, Order, Reason
from twin import actions, observations, requests
from twin.cells import cells_of
from twin.feed import Feed
from twin.limits import Desk, Limits
from twin.prices import exogenous, move_sd
from twin.rewards import Facts, reward

MARKET = {"steps": 96, "dt": 1.0, "inventory_limit": None, "liquidate": False, "ruin": None, "reference": None}
PRICE = {"kind": "brownian", "mid": 100.0, "volatility": 1.0, "drift": 0.0}
VENUE = {"half_spread": 0.0, "slope": 0.0, "impact": 0.0, "fee": 0.0}
ARRIVALS = {"kind": "poisson"}


@dataclass
class Step:
    """What one step did; one item a dealer, but for ``requests``: one dict a request, in order of execution."""

    observation: list = field(default_factory=list)
    reward: list = field(default_factory=list)
    terminated: list = field(default_factory=list)
    ledger: list = field(default_factory=list)
    reasons: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    requests: list = field(default_factory=list)


class Dealer:
    """One dealer: its settings, its account, and what it does in the present step."""

    def __init__(self, name, settings, limits, expected_requests):
        self.name = name
        self.action = {**actions.DEFAULT, **settings.get("action", {})}
        self.reward = settings.get("reward", ["pnl"])
        names = settings.get("observation", "default")
        self.observation = observations.DEFAULT if names == "default" else names
        self.limits = limits
        self.memory = observations.Memory(expected_requests)
        self.inventory = self.cash = 0.0
        self.won_lots = self.requested_lots = 0.0
        self.nu = self.kappa = 0.0  # the risk state, set from outside
        self.own = (0.0, 0.0)
        self.terminated = False

    def loss(self, mid):
        """The loss since reset."""
        return -(self.cash + self.inventory * mid)

    def begin_step(self, action, cells, mid, feed):
        """Act, under the guardrails; ``markups`` are those that clients meet, measured from the mid."""
        self.ledger = dict.fromkeys(LEDGER, 0.0)
        self.asked_to_sell = self.asked_to_buy = 0
        self.loss_before = self.loss(mid)
        self.inventory_before, self.own_before, self.quoted = self.inventory, self.own, []
        self.rewarded = not self.terminated
        self.markups, self.hedge = [None] * len(cells), 0.0
        if self.terminated:
            self.limits.reasons = self.limits.warnings = Reason(0)
            return
        self.limits.begin_step(self.inventory, self.loss_before, feed)
        if isinstance(action, tuple):
            self.markups, self.hedge = actions.from_quotes(*action, cells)
        elif (asked_for := actions.from_action(self.action, action, cells, self.inventory)) is not None:
            self.markups, self.hedge = asked_for
        else:
            self.limits.reasons |= Reason.NON_FINITE
        self.hedge = self.limits.approve_hedge(self.hedge, self.inventory)
        approved = self.limits.approve_quotes(self.markups, cells)
        self.markups = actions.from_the_mid(approved, cells, feed.price - mid)

    def trade_at_venue(self, lots, mid, venue):
        cost, fee = venue["half_spread"] * abs(lots) + venue["slope"] * lots**2, venue["fee"] * abs(lots)
        self.inventory += lots
        self.cash -= lots * mid + cost + fee
        self.ledger["hedge"] += lots
        self.ledger["hedge_cost"] += cost
        self.ledger["fees"] += fee

    def be_asked(self, cell, cells):
        """A request reaches the dealer: its quote, or None."""
        self.ledger["asked"] += 1
        self.ledger["requested"] += cell.size
        self.requested_lots += cell.size
        if cell.side == BID:
            self.asked_to_buy += 1
        else:
            self.asked_to_sell += 1
        markup = self.markups[cell.index]
        if markup is not None and not self.limits.let_through(cell, self.inventory, self.markups, cells):
            return None
        if markup is not None:
            self.quoted.append(markup)
            self.own = (markup, self.own[1]) if cell.side == BID else (self.own[0], markup)
        return markup

    def win(self, cell, markup, cover, mid):
        self.inventory += cell.signed_size
        self.cash -= cell.signed_size * (mid - markup if cell.side == BID else mid + markup)
        self.ledger["bought" if cell.side == BID else "sold"] += cell.size
        self.ledger["spread"] += cell.size * markup
        self.ledger["won"] += 1
        self.won_lots += cell.size
        if cover is not None:
            self.memory.see_cover(cover, cell.reference)


class TwinMarket:
    """One market of an experiment, reset to an episode; every call of ``step`` plays t -> t+1."""

    def __init__(self, config, seed, episode, market):
        rules = {**MARKET, "price": {}, "venue": {}, "arrivals": ARRIVALS, **config["market"]}
        if rules["price"].get("kind") != "replay":
            rules["price"] = PRICE | rules["price"]
        self.number = market
        self.steps, self.dt, self.liquidate = rules["steps"], rules["dt"], rules["liquidate"]
        self.ruin = float("inf") if rules["ruin"] is None else rules["ruin"]
        self.venue, self.arrivals = VENUE | rules["venue"], rules["arrivals"]["kind"]
        self.u = partial(draw, seed, episode, market)

        named = [
            (settings["name"] + (f"_{k}" if settings.get("count", 1) > 1 else ""), settings)
            for settings in config["dealers"]
            for k in range(settings.get("count", 1))
        ]
        self.cells = cells_of(rules, len(named))
        expected = sum(cell.rate * cell.panel / len(named) for cell in self.cells)
        self.sd = move_sd(rules["price"], self.dt)
        self.dealers = []
        for name, settings in named:
            limits = Limits(settings.get("limits", {}), rules["inventory_limit"], self.venue, self.sd)
            self.dealers.append(Dealer(name, settings, limits, expected))
        if "desk" in config:
            blocks = config["desk"].get("dealers") or [settings["name"] for settings in config["dealers"]]
            members = [d for d, (_, settings) in zip(self.dealers, named, strict=True) if settings["name"] in blocks]
            for dealer in members:
                dealer.limits.desk = Desk(config["desk"]["position"]["hard"], members)

        ahead = max([1] + [cell.informed["lead"] for cell in self.cells if cell.informed])
        self.F, self.regimes = exogenous(rules["price"], self.dt, self.steps + ahead - 1, self.u)
        self.t, self.impact, self.mids = 0, 0.0, [self.F[0]]
        self.feed = Feed(self.mid)

    @property
    def mid(self):
        return self.mids[-1]

    @property
    def exogenous(self):
        return self.F[self.t]

    @property
    def inventory(self):
        return [dealer.inventory for dealer in self.dealers]

    @property
    def cash(self):
        return [dealer.cash for dealer in self.dealers]

    def order(self, agent, orders):
        """Hold a dealer to these orders from outside, until changed."""
        self.dealers[agent].limits.outside = Order(orders)

    def observe(self):
        """For each dealer the list of its observations, float32."""
        return [
            [np.float32(observations.observation(name, self, dealer)) for name in dealer.observation]
            for dealer in self.dealers
        ]

    def step(self, chosen):
        """Play a step. For each dealer an action, or (markups[side][segment][size], hedge)."""
        if self.t == self.steps:
            raise ValueError("the episode is over")
        mid, done = self.mid, Step()
        for dealer, action in zip(self.dealers, chosen, strict=True):
            dealer.begin_step(action, self.cells, mid, self.feed)
            dealer.trade_at_venue(dealer.hedge, mid, self.venue)
        for r, cell in requests.arrivals(self.arrivals, self.cells, self.u, self.t):
            done.requests.append(self.serve(r, cell))

        self.impact += self.venue["impact"] * sum(dealer.hedge for dealer in self.dealers)
        self.t += 1
        self.mids.append(self.exogenous + self.impact)
        self.feed.end_step(self.mids)
        for dealer in self.dealers:
            self.end_step(dealer, done)
        done.observation = self.observe()
        return done

    def serve(self, r, cell):
        """Request number r of the step, from the client's side to the winner's account."""
        informed = requests.is_informed(cell, self.u, self.t, r)
        side = requests.side_asked(cell, informed, self.F, self.u, self.t, r)
        cell = next(c for c in self.cells if (c.segment, c.side, c.bucket) == (cell.segment, side, cell.bucket))
        asked = requests.panel(cell.panel, len(self.dealers), self.u, self.t, r)
        quotes = {i: quote for i in asked if (quote := self.dealers[i].be_asked(cell, self.cells)) is not None}
        winner = requests.winner(cell.choice, quotes, self.u, self.t, r)
        cover = min((markup for i, markup in quotes.items() if i != winner), default=None)
        for i in asked:
            best_other = min((markup for j, markup in quotes.items() if j != i), default=None)
            if best_other is not None:
                self.dealers[i].memory.see_rival_markup(best_other, cell.reference)
        if winner is not None:
            self.dealers[winner].win(cell, quotes[winner], cover, self.mid)
        return {
            "market": self.number,
            "step": self.t,
            "number": r,
            "segment": cell.segment,
            "side": cell.side,
            "size": cell.size,
            "informed": int(informed),
            "asked": len(asked),
            "winner": -1 if winner is None else winner,
            "markup": float("nan") if winner is None else quotes[winner],
            "cover": float("nan") if cover is None else cover,
        }

    def end_step(self, dealer, done):
        """Mark, liquidate at the end, reward, and terminate on ruin."""
        before, mid = self.mids[-2:]
        ledger, held, last = dealer.ledger, dealer.inventory, self.t == self.steps
        ledger["inventory"] = held * (mid - before)
        ledger["interventions"] = int(dealer.limits.reasons).bit_count()
        if last and self.liquidate:
            dealer.trade_at_venue(-held, mid, self.venue)
        facts = Facts(
            ledger=ledger,
            inventory=held,
            move=mid - before,
            dt=self.dt,
            last=last,
            loss_before=dealer.loss_before,
            loss_after=dealer.loss(mid),
            won_lots=dealer.won_lots,
            requested_lots=dealer.requested_lots,
            nu=dealer.nu,
            kappa=dealer.kappa,
            end=self.t,
            inventory_before=dealer.inventory_before,
            own_before=dealer.own_before,
            own=dealer.own,
            quoted=tuple(dealer.quoted),
            spreads=tuple(other.ledger["spread"] for other in self.dealers),
        )
        dealer.terminated = dealer.terminated or not facts.loss_after <= self.ruin
        dealer.memory.end_step(ledger, dealer.asked_to_sell, dealer.asked_to_buy, self.mids, self.feed.move, self.sd)
        done.reward.append(reward(dealer.reward, facts) if dealer.rewarded else 0.0)
        done.terminated.append(dealer.terminated)
        done.ledger.append(ledger)
        done.reasons.append(int(dealer.limits.reasons))
        done.warnings.append(int(dealer.limits.warnings))
