"""The guardrails: what of a dealer's quotes and hedge goes on to the market. NaN fails every check."""

import math

from marketsim.types import BID, Order, Reason

RESPONSE = {
    "reject": Order.NO_QUOTES | Order.NO_HEDGE,
    "reduce_only": Order.REDUCE_ONLY,
    "flatten": Order.NO_QUOTES | Order.FLATTEN,
    "widen": Order.WIDEN,
    "halt": Order.NO_QUOTES | Order.NO_HEDGE,
}
AT_POSITION_LIMIT = {  # what full dealers are held to
    "reject": Order(0),
    "clip": Order(0),
    "reduce_only": Order.REDUCE_ONLY,
    "widen": Order.WIDEN,
    "flatten": Order.REDUCE_ONLY | Order.FLATTEN,
}
ON_STATE = {  # looked at when a step begins: the reason, and the response unless another is given
    "loss": (Reason.LOSS, "flatten"),
    "drawdown": (Reason.DRAWDOWN, "flatten"),
    "rolling_loss": (Reason.ROLLING_LOSS, "reduce_only"),
    "time_at_limit": (Reason.TIME_AT_LIMIT, "reduce_only"),
    "feed": (Reason.FEED, "reject"),
    "self_trade": (Reason.SELF_TRADE, "halt"),
    "repeated_execution": (Reason.REPEATED_EXECUTION, "halt"),
}


def rounded_down(lots):
    return math.floor(lots) if math.isfinite(lots) else lots


class Desk:
    """Dealers whose inventories together are limited."""

    def __init__(self, limit, dealers):
        self.limit, self.dealers = limit, dealers

    @property
    def inventory(self):
        return sum(dealer.inventory for dealer in self.dealers)


class Limits:
    """The limits of one dealer, and what they hold it to in the present step."""

    def __init__(self, settings, inventory_limit, venue, sd):
        self.settings = {name: block or {} for name, block in settings.items() if name not in ("widen", "pace")}
        self.wider, self.pace = settings.get("widen", 1.0), self.or_inf(settings.get("pace"))
        self.position = min(self.level("position", "hard"), self.or_inf(inventory_limit))
        self.venue, self.sd = venue, sd
        self.desk = None
        self.peak, self.losses, self.steps_at_limit = 0.0, [], 0
        self.lasting, self.lasting_reasons = Order(0), Reason(0)  # until reset
        self.outside = Order(0)
        self.self_trades = self.executions = 0  # in the order book

    @staticmethod
    def or_inf(level):
        return math.inf if level is None else level

    def level(self, limit, which):
        return self.or_inf(self.settings.get(limit, {}).get(which))

    def response(self, limit, default="clip"):
        return self.settings.get(limit, {}).get("on_breach") or default

    def quartered(self, lots):
        return rounded_down(lots / 4 if Order.QUARTER in self.orders else lots)

    # --- on the state ------------------------------------------------------------------------------

    def begin_step(self, inventory, loss, feed):
        """Look at the state; ``orders``, ``reasons`` and ``warnings`` are those of the step from now on."""
        self.peak = max(self.peak, -loss)
        self.losses.append(loss)
        self.steps_at_limit = 0 if abs(inventory) < self.level("time_at_limit", "level") else self.steps_at_limit + 1
        window = self.settings.get("rolling_loss", {}).get("steps", 20)
        value = {
            "loss": loss,
            "drawdown": self.peak + loss,
            "rolling_loss": loss - (self.losses[-1 - window] if len(self.losses) > window else 0.0),
            "time_at_limit": self.steps_at_limit,
            "self_trade": self.self_trades,
            "repeated_execution": self.executions,
        }
        self.orders, self.reasons, self.warnings = self.outside, Reason(0), Reason(0)
        if self.outside:
            self.reasons |= Reason.ORDERED
        for name, (reason, default) in ON_STATE.items():
            if name == "feed":
                fails = "feed" in self.settings and not self.is_good(feed)
            else:
                fails = not value[name] <= self.level(name, "hard")
                self.warnings |= reason if not value[name] <= self.level(name, "soft") else Reason(0)
            if fails:
                response = self.response(name, default)
                self.reasons |= reason
                self.orders |= RESPONSE[response]
                if name in ("loss", "drawdown") or response == "halt":
                    self.lasting |= RESPONSE[response]
                    self.lasting_reasons |= reason
        self.orders |= self.lasting
        self.reasons |= self.lasting_reasons
        if not abs(inventory) <= self.level("position", "soft"):
            self.warnings |= Reason.POSITION
        if not abs(inventory) < self.quartered(self.position):
            self.orders |= AT_POSITION_LIMIT[self.response("position")]

    def is_good(self, feed):
        """A price that moves, not too far, and is one."""
        settings = self.settings["feed"]
        jump = settings.get("jump")
        return (
            (jump is None or abs(feed.move) <= jump * self.sd)
            and feed.stale <= self.level("feed", "frozen")
            and settings.get("above", 0.0) < feed.price < math.inf
        )

    # --- on the hedge and the quotes ---------------------------------------------------------------

    def approve_hedge(self, asked, inventory):
        """The hedge that remains of the one asked for, 0 where the action was not finite."""
        hedge = asked
        if Order.REDUCE_ONLY in self.orders:
            hedge = min(max(hedge, min(0.0, -inventory)), max(0.0, -inventory))
        if Order.NO_HEDGE in self.orders:
            hedge = 0.0
        if Order.HALVE in self.orders:
            hedge = float(round(-inventory / 2.0))
        if Order.FLATTEN in self.orders:
            hedge = min(max(-inventory, -self.pace), self.pace)

        most = max(self.quartered(self.position), abs(inventory))
        if self.response("position") == "reject":
            hedge = hedge if abs(inventory + hedge) <= most else 0.0
        else:
            hedge = min(max(hedge, -most - inventory), most - inventory)

        if self.desk:
            D = self.desk.inventory
            most = max(self.desk.limit, abs(D))
            hedge = self.changed(hedge, min(max(hedge, -most - D), most - D), Reason.DESK)
        for name, lots, reason in (
            ("slippage", self.lots_within_slippage(), Reason.SLIPPAGE),
            ("hedge", self.quartered(self.level("hedge", "hard")), Reason.HEDGE_SIZE),
        ):
            less = 0.0 if self.response(name) == "reject" else math.copysign(lots, hedge)
            hedge = self.changed(hedge, hedge if abs(hedge) <= lots else less, reason)
        return self.changed(asked, hedge, Reason.HEDGE)

    def changed(self, before, after, reason):
        if after != before:
            self.reasons |= reason
        return after

    def lots_within_slippage(self):
        """The most lots whose cost a lot, half_spread + slope*abs(h) + fee, is within the limit."""
        room = self.level("slippage", "hard") - self.venue["half_spread"] - self.venue["fee"]
        if room < 0:
            return 0
        return rounded_down(room / self.venue["slope"]) if self.venue["slope"] else math.inf

    def approve_quotes(self, markups, cells):
        """The markups that remain: None where the dealer does not quote."""
        if Order.NO_QUOTES in self.orders:
            return [None] * len(markups)
        band = self.settings.get("markup", {})
        low, high = band.get("low", -math.inf), band.get("high", math.inf)
        if any(m is not None and not low <= m <= high for m in markups):
            self.reasons |= Reason.MARKUP
            rejected = self.response("markup") == "reject"
            markups = [
                m if m is None or low <= m <= high else None if rejected else min(max(m, low), high) for m in markups
            ]
        if Order.WIDEN in self.orders:
            markups = [
                None if m is None else min(m + self.wider * cell.reference, high)
                for m, cell in zip(markups, cells, strict=True)
            ]
        return markups

    # --- on each request ---------------------------------------------------------------------------

    def let_through(self, cell, inventory, markups, cells):
        """May the dealer quote a request for this cell, with the inventory that it has by now?"""
        after = inventory + cell.signed_size
        largest_size = self.level("size", "hard") / (4 if Order.QUARTER in self.orders else 1)
        quoted = [
            other.size
            for other, markup in zip(cells, markups, strict=True)
            if other.side == cell.side and markup is not None and other.size <= largest_size
        ]
        worst = max(quoted, default=0.0) + (inventory if cell.side == BID else -inventory)
        within_position = abs(after) <= self.quartered(self.position) or abs(after) < abs(inventory)
        reduces = cell.signed_size * after <= 0 or Order.REDUCE_ONLY not in self.orders
        checks = {
            Reason.SIZE: cell.size <= largest_size,
            Reason.POSITION: within_position and reduces,
            Reason.WORST_CASE: worst <= self.quartered(self.level("worst_case", "hard")),
        }
        if self.desk:
            D = self.desk.inventory
            within = abs(D + cell.signed_size) <= self.desk.limit
            checks[Reason.DESK] = within or abs(D + cell.signed_size) < abs(D)
        for reason, passes in checks.items():
            self.reasons |= Reason(0) if passes else reason
        return all(checks.values())
