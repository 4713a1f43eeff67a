"""The guardrails: what of a dealer's quotes and hedge goes on to the market. NaN fails every check."""

import math

from marketsim.types import Reason


class Limits:
    """The limits of one dealer, and what they hold it to in the present step."""

    def __init__(self, settings, inventory_limit):
        markup, position, loss = (settings.get(name) or {} for name in ("markup", "position", "loss"))
        self.low, self.high = markup.get("low", -math.inf), markup.get("high", math.inf)
        self.on_markup = markup.get("on_breach", "clip")
        self.position = min(position.get("hard", math.inf), math.inf if inventory_limit is None else inventory_limit)
        self.on_position = position.get("on_breach", "clip")
        self.loss = loss.get("hard", math.inf)
        self.on_loss = loss.get("on_breach", "flatten")
        self.stopped = False  # by the loss stop, until reset
        self.reduce_only = False  # in this step

    def approve(self, markups, hedge, inventory, loss, reasons):
        """The markups, the hedge and the reasons that remain, with the inventory and loss at the start of the step."""
        asked_for = hedge  # 0 in an action that was not finite

        self.stopped = self.stopped or not loss <= self.loss
        self.reduce_only = self.stopped and self.on_loss == "reduce_only"
        if self.stopped:
            reasons |= Reason.LOSS
            if not self.reduce_only:
                markups = [None] * len(markups)
                hedge = -inventory if self.on_loss == "flatten" else 0.0
        after_loss_stop = hedge

        if any(m is not None and not self.low <= m <= self.high for m in markups):
            reasons |= Reason.MARKUP
            markups = [self.in_band(m) for m in markups]

        H = self.position
        if self.on_position == "reject":
            hedge = hedge if abs(inventory + hedge) <= H else 0.0
        else:
            hedge = min(max(hedge, -H - inventory), H - inventory)
            if abs(inventory) >= H and self.on_position in ("reduce_only", "flatten"):
                self.reduce_only = True
                hedge = -inventory if self.on_position == "flatten" else hedge

        if self.reduce_only:
            hedge = min(max(hedge, min(0.0, -inventory)), max(0.0, -inventory))
        if not asked_for == after_loss_stop == hedge:
            reasons |= Reason.HEDGE
        return markups, hedge, reasons

    def in_band(self, markup):
        """The markup that the band leaves of this one."""
        if markup is None or self.low <= markup <= self.high:
            return markup
        return None if self.on_markup == "reject" else min(max(markup, self.low), self.high)

    def let_through(self, inventory, signed_size):
        """May the dealer quote a request that would add ``signed_size`` to its inventory?"""
        if self.reduce_only and not signed_size * (inventory + signed_size) <= 0:
            return False
        return abs(inventory + signed_size) <= self.position
