"""One dealer of the twin: its settings, its account, and what it does in a step."""

from marketsim.types import BID, LEDGER, Reason
from twin import actions, observations


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
        self.shown = self.limits.approve_quotes(self.markups, cells)  # measured from the price that it sees
        self.markups = actions.from_the_mid(self.shown, cells, feed.price - mid)

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
            shown = self.shown[cell.index]
            self.quoted.append(shown)
            self.own = (shown, self.own[1]) if cell.side == BID else (self.own[0], shown)
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
