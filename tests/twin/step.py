"""The order of events of one market: stages 1 to 8 of docs/market.md, in plain Python."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from marketsim.rng import draw
from marketsim.types import Order
from twin import observations, requests
from twin.cells import cells_of
from twin.dealer import Dealer
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


class TwinMarket:
    """One market of an experiment, reset to an episode; every call of ``step`` plays t -> t+1."""

    kinds = Dealer, Limits, Desk

    def __init__(self, config, seed, episode, market):
        rules = {**MARKET, "price": {}, "venue": {}, "arrivals": ARRIVALS, **config["market"]}
        if rules["price"].get("kind") != "replay":
            rules["price"] = PRICE | rules["price"]
        self.number = market
        self.steps, self.dt, self.liquidate = rules["steps"], rules["dt"], rules["liquidate"]
        self.ruin = float("inf") if rules["ruin"] is None else rules["ruin"]
        self.venue, self.arrivals = VENUE | rules["venue"], rules["arrivals"]["kind"]
        self.u = partial(draw, seed, episode, market)
        dealer_of_kind, limits_of_kind, desk_of_kind = self.kinds

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
            limits = limits_of_kind(settings.get("limits", {}), rules["inventory_limit"], self.venue, self.sd)
            self.dealers.append(dealer_of_kind(name, settings, limits, expected))
        if "desk" in config:
            blocks = config["desk"].get("dealers") or [settings["name"] for settings in config["dealers"]]
            members = [d for d, (_, settings) in zip(self.dealers, named, strict=True) if settings["name"] in blocks]
            for dealer in members:
                dealer.limits.desk = desk_of_kind(config["desk"]["position"]["hard"], members)

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
