"""What dealers see of the mid: the mid itself, unless somebody makes it late, wrong or frozen."""


class Feed:
    """The prices seen, P_0 to P_t, and how the coming ones are made of the mids."""

    def __init__(self, mid):
        self.seen = [mid]
        self.set()

    def set(self, frozen=False, lag=0, offset=0.0):
        """From the end of the next step on; without arguments it is the mid again."""
        self.frozen, self.lag, self.offset = frozen, lag, offset

    def end_step(self, mids):
        """``mids``: S_0 to the S that ends this step."""
        late = mids[max(len(mids) - 1 - self.lag, 0)]
        self.seen.append(self.seen[-1] if self.frozen else late + self.offset)

    @property
    def price(self):
        return self.seen[-1]

    @property
    def move(self):
        """P_t - P_{t-1}; before the start there was no move."""
        return self.seen[-1] - self.seen[-2] if len(self.seen) > 1 else 0.0

    @property
    def stale(self):
        """How many moves in a row, up to now, were exactly 0."""
        count = 0
        while count + 1 < len(self.seen) and self.seen[-1 - count] - self.seen[-2 - count] == 0:
            count += 1
        return count
