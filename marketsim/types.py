"""The contract of the compiled step: its enumerations, its tables, and the rows of its state.

Units: prices in price units, sizes and inventory in whole lots, time in the experiment's unit.
Signs: inventory + = long; markup + = dealer-favourable; hedge + = the dealer buys at the venue;
``BID`` = the dealer buys (a client sells), ``ASK`` = the dealer sells (a client buys).
"""

from enum import IntEnum, IntFlag

import numpy as np

BID, ASK = 0, 1
UNLIMITED = np.inf
MAX_DEALERS = 256  # the panel's draws are indexed by request * 256 + dealer


class Price(IntEnum):
    BROWNIAN = 0
    GBM = 1
    REGIME = 2
    REPLAY = 3
    OU = 4


class Arrivals(IntEnum):
    AT_MOST_ONE = 0
    BERNOULLI = 1
    POISSON = 2


class Choice(IntEnum):
    LOGIT = 0
    BEST_PRICE = 1


class Action(IntEnum):
    LADDER = 0
    SKEW = 1
    OFFSETS = 2  # two limit orders in the book


class Hedge(IntEnum):
    FRACTION = 0
    LOTS = 1


class OnBreach(IntEnum):
    """What a limit does to what was asked for; the orders that follow are ``guardrails.limits.RESPONSE``."""

    REJECT = 0  # not at all
    CLIP = 1  # as far as the limit lets it
    REDUCE_ONLY = 2
    FLATTEN = 3
    WIDEN = 4
    HALT = 5  # as reject, and until reset


class Order(IntFlag):
    """What the guardrails hold a dealer to in a step: by a limit that failed, or from outside (``MarketBatch.order``)."""

    NO_QUOTES = 1
    NO_HEDGE = 2
    REDUCE_ONLY = 4  # hedges and requests only towards flat
    FLATTEN = 8  # the hedge is -q, ``pace`` lots a step at most
    WIDEN = 16  # markups grow by ``widen`` reference markups
    QUARTER = 32  # of the limits in lots
    HALVE = 64  # the hedge is -q/2, half to even


class Reason(IntFlag):
    """Why the guardrails intervened in a dealer's step; one bit each."""

    NON_FINITE = 1  # a NaN or inf in an action: all quotes and the hedge withdrawn
    MARKUP = 2  # a markup outside the band: the cell withdrawn, or the markup clipped
    HEDGE = 4  # the approved hedge is not the one that was asked for
    POSITION = 8  # a request not quoted: it would carry the dealer past its limit, or away from flat under reduce-only
    LOSS = 16  # the episode loss stop is in force
    SIZE = 32  # a request not quoted: larger than the dealer may quote
    WORST_CASE = 64  # a request not quoted: the largest size quoted on its side might carry the dealer past the limit
    DESK = 128  # a hedge or request held back by the desk's position limit
    ROLLING_LOSS = 256
    DRAWDOWN = 512
    FEED = 1024  # the price seen jumped, stood still, or is no price
    TIME_AT_LIMIT = 2048
    HEDGE_SIZE = 4096
    SLIPPAGE = 8192  # a hedge whose cost a lot is above the limit
    ORDERED = 16384  # orders from outside are in force
    ORDER_RATE = 32768  # a message that did not go to the book: as many had gone as may
    SELF_TRADE = 65536
    REPEATED_EXECUTION = 131072


OF_A_BOOK = Reason.ORDER_RATE | Reason.SELF_TRADE | Reason.REPEATED_EXECUTION  # reasons that only a book gives


# One row: the market. Per-step figures are already multiplied by dt.
MARKET = np.dtype(
    [
        ("price", "i8"),  # Price
        ("arrivals", "i8"),  # Arrivals
        ("steps", "i8"),
        ("ahead", "i8"),  # how many steps the price model runs ahead of the market, >= 1
        ("liquidate", "i8"),
        ("informed", "i8"),  # any segment with informed clients
        ("panels", "i8"),  # any segment that asks fewer than all dealers
        ("logit", "i8"),  # any segment with this choice
        ("best_price", "i8"),
        ("rival_markup", "i8"),  # any dealer observes it
        ("quotes_kept", "i8"),  # any dealer is rewarded by what it quotes: own_quote, presence
        ("feed", "i8"),  # any dealer has limits on the feed
        ("misled", "i8"),  # what dealers see of the mid is not, or was not, the mid: ``MarketBatch.set_feed``
        ("frozen", "i8"),  # the feed stands still
        ("lag", "i8"),  # steps by which it is late
        ("hedged_in_book", "i8"),  # the venue is the book
        ("dt", "f8"),
        ("mid", "f8"),  # F_0 (unused by replay)
        (
            "drift",
            "f8",
        ),  # brownian: price units a step; gbm: log-drift a step, -sigma^2 dt/2 included; ou: mean (1 - decay)
        ("volatility", "f8"),  # brownian, ou: price units a step; gbm: log units a step
        ("decay", "f8"),  # ou: e^(-reversion dt), what a step leaves of the distance from the mean
        ("move_sd", "f8"),  # price units: the sd by which observed moves are scaled; 0 = unknown
        ("half_spread", "f8"),
        ("slope", "f8"),
        ("impact", "f8"),
        ("fee", "f8"),
        ("offset", "f8"),  # price units by which the feed is wrong
        ("tick", "f8"),  # of the book, price units
        ("desk_position", "f8"),  # lots: limit on the sum over the dealers of the desk
        ("intensity", "f8"),  # sum of the cells' rates: expected requests a step
        ("survival", "f8"),  # e^-intensity
    ]
)

# One row a cell, in arrival order: (segment, side, size).
CELL = np.dtype(
    [
        ("segment", "i8"),
        ("side", "i8"),
        ("other_side", "i8"),  # the cell of the same segment and size on the other side
        ("quote", "i8"),  # its place in a dense (side, segment, size) quote array
        ("ladder", "i8"),  # its place in a ladder action: bids then asks, segment-major
        ("choice", "i8"),  # Choice
        ("panel", "i8"),  # dealers asked
        ("lead", "i8"),  # steps that informed clients see ahead
        ("size", "f8"),
        ("signed_size", "f8"),  # what a win adds to inventory: + for bids
        ("rate", "f8"),  # a step
        ("cumulative", "f8"),  # sum of rates up to and including this cell
        ("survival", "f8"),  # e^-cumulative: poisson points are compared as products of uniforms, without a logarithm
        ("survival_back", "f8"),  # e^-(intensity - cumulative), for a step that runs backwards
        ("intercept", "f8"),
        ("sensitivity", "f8"),
        ("reservation_floor", "f8"),  # R = floor - log(u) * scale: none (inf, 0), fixed (value, 0),
        ("reservation_scale", "f8"),  # exponential (0, 1/rate)
        ("share", "f8"),
        ("accuracy", "f8"),
        ("reference", "f8"),  # price units: the reference markup
        ("per_reference", "f8"),  # its inverse, 0 where it is 0
    ]
)

# All that the guardrails act by; nobody changes it during an episode.
LIMITS = [
    ("markup_on_breach", "i8"),  # OnBreach of each limit
    ("position_on_breach", "i8"),
    ("loss_on_breach", "i8"),
    ("rolling_loss_on_breach", "i8"),
    ("drawdown_on_breach", "i8"),
    ("feed_on_breach", "i8"),
    ("time_at_limit_on_breach", "i8"),
    ("hedge_on_breach", "i8"),
    ("slippage_on_breach", "i8"),
    ("self_trade_on_breach", "i8"),
    ("repeated_execution_on_breach", "i8"),
    ("order_rate_steps", "i8"),  # in this many steps, counted afresh at their multiples
    ("repeated_execution_steps", "i8"),
    ("desk", "i8"),  # 1: the desk's limit counts it
    ("window", "i8"),  # steps of the rolling loss, 0 = no such limit
    ("lasting", "i8"),  # Reason bits of the limits whose orders stay in force until reset
    ("band_low", "f8"),
    ("band_high", "f8"),
    ("position_soft", "f8"),
    ("position_hard", "f8"),
    ("loss_soft", "f8"),
    ("loss_hard", "f8"),
    ("rolling_loss_soft", "f8"),
    ("rolling_loss_hard", "f8"),
    ("drawdown_soft", "f8"),
    ("drawdown_hard", "f8"),
    ("size_hard", "f8"),  # lots of a request
    ("worst_case_hard", "f8"),  # lots
    ("jump", "f8"),  # price units that the feed may move in a step
    ("stale", "f8"),  # steps that it may stand still
    ("low_price", "f8"),  # the feed must be above it
    ("limit_level", "f8"),  # lots: from here on a dealer is at its limit
    ("time_at_limit_soft", "f8"),  # steps
    ("time_at_limit_hard", "f8"),
    ("hedge_hard", "f8"),  # lots a step
    ("slippage_lots", "f8"),  # the most lots whose cost a lot at the curve is within the limit
    ("slippage_hard", "f8"),  # price units a lot: in the book, how far from S a hedge may trade
    ("order_rate_hard", "f8"),  # messages to the book
    ("self_trade_hard", "f8"),  # trades with oneself or the desk that the book prevented, since reset
    ("repeated_execution_soft", "f8"),  # trades of its orders
    ("repeated_execution_hard", "f8"),
    ("widen", "f8"),  # reference markups
    ("pace", "f8"),  # lots a step in which a dealer is flattened
    ("ruin", "f8"),
]

# One row a dealer: its action map, its limits and its scales.
DEALER = np.dtype(
    [
        *LIMITS,
        ("action", "i8"),  # Action
        ("hedge", "i8"),  # Hedge
        ("width", "i8"),  # components of its action
        ("hedge_column", "i8"),  # where the hedge stands in its action
        (
            "markup_low",
            "f8",
        ),  # action map: range of a ladder's markup, of the half-spread, or of the distance in a book
        ("markup_high", "f8"),
        ("skew_max", "f8"),
        ("hedge_lots", "f8"),
        ("size_low", "f8"),  # lots of an order in the book
        ("size_high", "f8"),
        ("latency", "f8"),  # units of time until its orders reach the book
        ("inventory_scale", "f8"),  # observation scales
        ("pnl_scale", "f8"),
        ("expected_requests", "f8"),  # a step, of those this dealer is asked
        ("tail_threshold", "f8"),  # reward tail_loss: c
        ("flow_target", "f8"),  # reward flow_target
        ("within", "f8"),  # reward presence: the highest markup that counts
        ("every", "i8"),  # reward sampled_inventory_penalty: steps from one sample to the next
        ("nu", "f8"),  # risk state: the loss from which observation tail is measured, and beyond which it is charged
        ("kappa", "f8"),  # risk state: the charge on that excess, >= 0
    ]
)


class Ledger(IntEnum):
    """What a step writes for each dealer. Money in price units x lots, quantities in lots or counts."""

    SPREAD = 0  # sum(size * markup) of the requests won
    INVENTORY = 1  # q * (S_{t+1} - S_t), q held after the requests
    HEDGE_COST = 2  # + = paid to the venue, the final liquidation included
    FEES = 3  # + = paid
    BOUGHT = 4  # lots won on the bid side
    SOLD = 5  # lots won on the ask side
    HEDGE = 6  # signed lots traded at the venue, the final liquidation included
    REQUESTED = 7  # lots of the requests it was asked for
    WON = 8  # requests won
    ASKED = 9  # requests it was asked for
    INTERVENTIONS = 10  # reasons that fired


LEDGER = tuple(term.name.lower() for term in Ledger)

# One row a request, in order of execution; recorded on demand.
REQUEST = np.dtype(
    [
        ("market", "i8"),
        ("step", "i8"),
        ("number", "i8"),  # request number r within the step, as the random streams count it
        ("segment", "i8"),
        ("side", "i8"),
        ("size", "f8"),
        ("informed", "i8"),
        ("asked", "i8"),  # dealers on the panel
        ("winner", "i8"),  # dealer, or -1
        ("markup", "f8"),  # the winner's; NaN if nobody won
        ("cover", "f8"),  # best losing quote; NaN if there was none
    ]
)

# --- the limit-order book (docs/book.md) -----------------------------------------------------------


class Message(IntEnum):
    """What an order message asks for: field ``kind`` of ``MESSAGE``."""

    LIMIT = 1
    CANCEL = 2
    MARKET = 3
    AMEND = 4


class TimeInForce(IntEnum):
    GTC = 0  # what does not trade rests
    IOC = 1  # what does not trade at once is cancelled
    FOK = 2  # all at once, or rejected
    POST_ONLY = 3  # rests, or rejected


class SelfTrade(IntEnum):
    """What happens where an order meets one of the same owner, or of the same desk."""

    ALLOW = 0
    CANCEL_RESTING = 1  # and the incoming order goes on
    CANCEL_INCOMING = 2  # what is left of it
    CANCEL_BOTH = 3


class Outcome(IntEnum):
    """Accepted, or why a message was rejected: the book is then as it was. Checked in this order."""

    ACCEPTED = 0
    BAD_KIND = 1
    BAD_SIDE = 2  # limit, market: neither +1 nor -1
    BAD_SIZE = 3  # limit, market, amend: not 1 to MAX_LOTS
    BAD_PRICE = 4  # limit, amend: beyond +-MAX_TICKS
    BAD_TIF = 5  # limit, market: none of the four; a market order that is post-only
    BAD_ORDER = 6  # an order id below 0
    DUPLICATE_ORDER = 7  # limit, market: the id rests in the book
    UNKNOWN_ORDER = 8  # cancel, amend: no such order rests, be it that it never came, was filled or cancelled
    NOT_OWNER = 9  # cancel, amend: the order is another owner's (an anonymous message may cancel any)
    WOULD_CROSS = 10  # post-only
    WOULD_NOT_FILL = 11  # fill or kill
    OFF_LADDER = 12  # a GTC or post-only limit, an amend: its price and those that rest span more than the ladder
    BOOK_FULL = 13  # a GTC or post-only limit: as many orders rest as there is room for


ANONYMOUS = -1  # an owner that no self-trade prevention knows; every owner below 0 is one
MAX_LOTS = 2**31 - 1
MAX_TICKS = 2**40

MESSAGE = np.dtype(
    [
        ("kind", "i1"),  # Message
        ("side", "i1"),  # +1 buy, -1 sell; not read by cancel and amend
        ("tif", "i1"),  # TimeInForce; read by limit and market
        ("price", "i8"),  # ticks; read by limit and amend
        ("size", "i8"),  # lots; of an amend: what is to be left open
        ("order", "i8"),  # id, >= 0
        ("owner", "i4"),
    ],
    align=True,
)

# One row an execution, in order.
TRADE = np.dtype(
    [
        ("maker", "i8"),  # order id
        ("taker", "i8"),
        ("price", "i8"),  # ticks: the maker's
        ("size", "i8"),  # lots
        ("maker_owner", "i4"),
        ("taker_owner", "i4"),
    ],
    align=True,
)

# Rows of the state. ``market`` is (rows, M): the rings at its end hold S and what dealers saw of it over the last 20
# steps and, for F and the regime, the steps that the price model has run ahead. ``dealer`` is (rows, N, M).
MID, IMPACT, VARIANCE, START, STALE, HISTORY = range(6)  # STALE: steps since the feed last moved
HISTORY_LENGTH = 21
SEEN = HISTORY + HISTORY_LENGTH  # kept only while dealers are misled
AHEAD = SEEN + HISTORY_LENGTH  # F_k in row AHEAD + k % (ahead + 1); the regime of its move ahead + 1 rows further

(
    INVENTORY,
    CASH,
    ALIVE,  # 1, or 0 once terminated by ruin
    STOPPED,  # Order bits in force until reset
    STOPPED_BY,  # Reason bits of the limits that gave them
    ORDERS,  # Order bits from outside, in force until changed, across resets too
    PEAK,  # highest P&L since reset
    AT_LIMIT,  # steps in a row that began at the limit
    WON_LOTS,  # since reset, kept for a dealer rewarded by flow_target
    REQUESTED_LOTS,
    OWN_BID,  # markup it last quoted to a client on each side, kept for rewards made of quotes
    OWN_ASK,
    PRESENT,  # requests of this step quoted at a markup within ``within``
    OWN_MARK,  # what marking at its own quote adds to its P&L
    POTENTIAL,  # -q^2 where the step begins
    RECENT_ASKED,  # the averages behind the observations
    RECENT_IMBALANCE,
    RECENT_WON,
    RECENT_COVER,
    RECENT_RIVAL_MARKUP,
    RECENT_GAIN,
    RECENT_LOTS,
    MESSAGES,  # to the book in this window of the order-rate limit
    EXECUTIONS,  # of its orders in this window of the limit on them
    SELF_TRADES,  # that the book prevented, since reset
    NET,  # a ring of MARKOUT_STEPS rows: lots bought - sold, for the mark-out
) = range(26)
MARKOUT_STEPS = 5
LOTS = NET + MARKOUT_STEPS  # a ring: lots bought + sold
LOSSES = LOTS + MARKOUT_STEPS  # a ring of as many rows as the longest window of a rolling loss: the loss since reset
RECENT = 1.0 / 20.0  # weight of the newest step in those averages
