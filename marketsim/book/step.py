"""The order of events of a step in a market with a book, and nothing else (docs/book-market.md).

The stages of ``engine``, where in stage 4 dealers quote and hedge in the book, and in stage 6 the book of every market is
played from t to t+1 and leaves its mid as S_{t+1}.
"""

from marketsim import scratch as at
from marketsim.book.dealers import hedge_at_curve, hedge_in_book, quote_in_book, recheck_hedges
from marketsim.book.play import mid
from marketsim.book.rows import play_step
from marketsim.book.show import liquidation_in_book, show_book
from marketsim.compiled import kernel, stage
from marketsim.engine import begin, end, request_rounds
from marketsim.ledger import liquidation_at_curve
from marketsim.observe import observe
from marketsim.types import HISTORY, HISTORY_LENGTH, MID, Ledger

FEW = 16  # markets at once: what their books touch in a step stays in the nearest cache from stage to stage


@kernel
def begin_episode(params, dealers, columns, wanted, market, dealer, observation, books, work, lo, hi):
    """After ``engine.reset`` and the books' opening: dealers of markets ``lo:hi`` see what they opened at."""
    p = params[0]
    zero = 0 * lo
    for start in range(lo, hi, at.BLOCK):
        n = min(at.BLOCK, hi - start)
        for m in range(start, start + n):
            books.flow[m] = 0.0
            market[MID, m] = mid(books.book[0], books.clock[m])
            for row in range(HISTORY_LENGTH):
                market[HISTORY + row, m] = market[MID, m]
        observe(
            p, dealers, columns, wanted, market, dealer, work, work.shape[0] - at.FEATURES, observation, zero, start, n
        )
        show_book(p, dealers, columns, books, market, observation, start, n)


@stage
def no_hedge(ledger, lo, n):
    """Nothing was hedged at a curve."""
    for term in (Ledger.HEDGE_COST, Ledger.FEES, Ledger.HEDGE):
        for i in range(ledger.shape[1]):
            row = ledger[term, i, lo : lo + n]
            for j in range(n):
                row[j] = 0.0


@kernel
def step(
    params, cells, dealers, weights, columns, wanted, regimes, path, slots, key, market, dealer, actions, quotes, hedges,
    observation, ledger, reward, terminated, reasons_out, warnings_out, log, count, work, ints, keys, first, lo, hi, t,
    books,
):  # fmt: skip
    """Carry markets ``lo:hi`` from step t to t+1, as ``engine.step`` does; ``books``: see ``book.market``."""
    p = params[0]
    for start in range(lo, hi, FEW):
        n = min(FEW, hi - start)
        begin(
            params, dealers, cells, actions, quotes, hedges, slots, regimes, path, key, market, dealer, ledger, work, ints,
            keys, t, start, n,
        )  # fmt: skip
        no_hedge(ledger, start, n)
        quote_in_book(p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, books, t, start, n)
        recheck_hedges(p, dealers, dealer, work, ints, books, t, start, n)
        if p.hedged_in_book:
            hedge_in_book(p, dealers, market, dealer, ledger, work, books, t, start, n)
        else:
            hedge_at_curve(p, market, dealer, ledger, work, start, n)
        request_rounds(
            p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, keys, log, count, t,
            first, start, n,
        )  # fmt: skip
        for j in range(n):
            work[at.NEXT, j] = play_step(p, market, dealer, ledger, key[start + j], books, t, start + j)
        if p.liquidate and t + 1 == p.steps:
            if p.hedged_in_book:
                liquidation_in_book(p, books, dealer, work, start, n)
            else:
                liquidation_at_curve(p, dealer, work, start, n)
        end(
            p, dealers, weights, columns, wanted, market, dealer, ledger, reward, terminated, reasons_out, warnings_out,
            observation, work, ints, t, start, n,
        )  # fmt: skip
        show_book(p, dealers, columns, books, market, observation, start, n)
