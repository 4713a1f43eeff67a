"""What everybody sees of a market: its trades and its best quotes, into logs of fixed length."""

from marketsim.book.ladder import lots_at
from marketsim.book.state import BEST_ASK, BEST_BID, NO_ASK, NO_BID, TRADES
from marketsim.compiled import stage
from marketsim.traders.state import LAST_ASK, LAST_BID, PRINTS, QUOTES


@stage
def record(head, levels, trades, clock, prints, quotes, time, side):
    """After a message: its trades as prints (aggressor ``side``), and the best quotes if they have changed.

    Rows beyond the end of a log are counted, and not written.
    """
    for i in range(head[TRADES]):
        if clock[PRINTS] < prints.shape[0]:
            row = prints[clock[PRINTS]]
            row.time = time
            row.price = trades[i].price
            row.size = trades[i].size
            row.side = side
        clock[PRINTS] += 1
    bid, ask = clock[LAST_BID], clock[LAST_ASK]
    bid_size = lots_at(head, levels, bid) if head[BEST_BID] > NO_BID else 0
    ask_size = lots_at(head, levels, ask) if head[BEST_ASK] < NO_ASK else 0
    n = clock[QUOTES]
    if n > 0 and n <= quotes.shape[0]:
        last = quotes[n - 1]
        if last.bid == bid and last.ask == ask and last.bid_size == bid_size and last.ask_size == ask_size:
            return
    if n < quotes.shape[0]:
        row = quotes[n]
        row.time = time
        row.bid = bid
        row.bid_size = bid_size
        row.ask = ask
        row.ask_size = ask_size
    clock[QUOTES] += 1
