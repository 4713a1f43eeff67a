"""Money and lots: how a step's events are booked, term by term.

Identity of every step and dealer: d(cash + q S) = spread + inventory - hedge_cost - fees.
"""

import numpy as np

from marketsim import scratch as at
from marketsim.compiled import stage
from marketsim.types import (
    ALIVE,
    CASH,
    INVENTORY,
    OWN_ASK,
    OWN_BID,
    PRESENT,
    RECENT,
    RECENT_COVER,
    RECENT_RIVAL_MARKUP,
    Ledger,
)
from marketsim.venue import venue_cost, venue_fee


@stage
def open_books(ledger, i, lo, n):
    """Nothing has happened yet in this step."""
    for term in (Ledger.SPREAD, Ledger.BOUGHT, Ledger.SOLD, Ledger.REQUESTED, Ledger.WON, Ledger.ASKED):
        row = ledger[term, i, lo : lo + n]
        for j in range(n):
            row[j] = 0.0


@stage
def book_hedge(p, dealer, ledger, i, mid, hedge, total_hedge, lo, n):
    """Stage 4: h lots at S_t and the venue's cost."""
    inventory = dealer[INVENTORY, i, lo : lo + n]
    cash = dealer[CASH, i, lo : lo + n]
    costs = ledger[Ledger.HEDGE_COST, i, lo : lo + n]
    fees = ledger[Ledger.FEES, i, lo : lo + n]
    lots = ledger[Ledger.HEDGE, i, lo : lo + n]
    half_spread, slope, fee = p.half_spread, p.slope, p.fee
    for j in range(n):
        costs[j] = venue_cost(half_spread, slope, hedge[j])
    for j in range(n):
        fees[j] = venue_fee(fee, hedge[j])
    for j in range(n):
        lots[j] = hedge[j]
    for j in range(n):
        inventory[j] += hedge[j]
    for j in range(n):
        total_hedge[j] += hedge[j]
    for j in range(n):
        cash[j] -= hedge[j] * mid[j] + costs[j] + fees[j]


@stage
def book_requests(
    cells, dealer, ledger, who, cell, winner, work, markup, asked, best, second, leader, mid, panels, k, lo
):
    """Stage 5: a round of requests: lots and cash of the winners, and what they learn of the cover."""
    dealers = dealer.shape[1]
    for a in range(k):
        i = int(winner[a])
        if i < dealers:
            c = cell[a]
            m = lo + who[a]
            size = cells[c].size
            signed = cells[c].signed_size
            gain = size * work[markup + i, a]
            dealer[INVENTORY, i, m] += signed
            dealer[CASH, i, m] += gain - signed * mid[who[a]]
            ledger[Ledger.SPREAD, i, m] += gain
            ledger[Ledger.WON, i, m] += 1.0
            if signed > 0.0:
                ledger[Ledger.BOUGHT, i, m] += size
            else:
                ledger[Ledger.SOLD, i, m] += size
            cover = second[a] if leader[a] == i else best[a]
            if cover < np.inf:
                dealer[RECENT_COVER, i, m] += (cover * cells[c].per_reference - dealer[RECENT_COVER, i, m]) * RECENT
    for i in range(dealers if panels else 1):
        row = work[asked + i]
        for a in range(k):
            m = lo + who[a]
            ledger[Ledger.ASKED, i, m] += row[a]
            ledger[Ledger.REQUESTED, i, m] += row[a] * cells[cell[a]].size


@stage
def note_rivals(cells, dealer, who, cell, work, asked, best, second, leader, k, lo):
    """What each dealer asked sees of the best quote among the others."""
    for i in range(dealer.shape[1]):
        row = work[asked + i]
        for a in range(k):
            other = second[a] if leader[a] == i else best[a]
            if row[a] > 0.0 and other < np.inf:
                m = lo + who[a]
                seen = dealer[RECENT_RIVAL_MARKUP, i, m]
                dealer[RECENT_RIVAL_MARKUP, i, m] = seen + (other * cells[cell[a]].per_reference - seen) * RECENT


@stage
def note_quotes(d, dealer, i, who, signed_size, markup, can, k, lo):
    """What dealer i quotes in a round, filled or not."""
    for a in range(k):
        if can[a] > 0.0:
            m = lo + who[a]
            dealer[OWN_BID if signed_size[a] > 0.0 else OWN_ASK, i, m] = markup[a]
            dealer[PRESENT, i, m] += 1.0 if markup[a] <= d.within else 0.0


@stage
def book_mark(dealer, ledger, i, move, reasons, out, panels, lo, n):
    """Stage 7: the inventory held through the move, and the step's interventions."""
    inventory = dealer[INVENTORY, i, lo : lo + n]
    marked = ledger[Ledger.INVENTORY, i, lo : lo + n]
    count = ledger[Ledger.INTERVENTIONS, i, lo : lo + n]
    mask = out[i, lo : lo + n]
    for j in range(n):
        marked[j] = inventory[j] * move[j]
    fired = np.uint32(0)
    for j in range(n):
        fired |= reasons[j]
    for j in range(n):
        mask[j] = reasons[j]
    for j in range(n):
        count[j] = 0.0
    if fired:
        for j in range(n):
            r = np.int32(reasons[j])  # its bits are counted in pairs, fours, eights (Warren 2002, 5-1)
            r -= (r >> 1) & 0x55555555
            r = (r & 0x33333333) + ((r >> 2) & 0x33333333)
            r = (r + (r >> 4)) & 0x0F0F0F0F
            count[j] = (r + (r >> 8) + (r >> 16)) & 0x3F
    if not panels and i > 0:
        for term in (Ledger.REQUESTED, Ledger.ASKED):
            first = ledger[term, 0, lo : lo + n]
            own = ledger[term, i, lo : lo + n]
            for j in range(n):
                own[j] = first[j]


@stage
def liquidation_at_curve(p, dealer, work, lo, n):
    """What the venue's curve costs for what every dealer is left with."""
    N = dealer.shape[1]
    for i in range(N):
        inventory, cost = dealer[INVENTORY, i, lo : lo + n], work[at.GROUPS + at.LIQUIDATION * N + i]
        half_spread, slope = p.half_spread, p.slope
        for j in range(n):
            cost[j] = venue_cost(half_spread, slope, inventory[j])


@stage
def book_liquidation(p, dealer, ledger, i, mid, cost, lo, n):
    """Stage 8: what is left is traded at S_T for that cost and the fee, without impact."""
    inventory = dealer[INVENTORY, i, lo : lo + n]
    cash = dealer[CASH, i, lo : lo + n]
    for j in range(n):
        h = -inventory[j]
        fee = venue_fee(p.fee, h)
        cash[j] -= h * mid[j] + cost[j] + fee
        inventory[j] = 0.0
        ledger[Ledger.HEDGE_COST, i, lo + j] += cost[j]
        ledger[Ledger.FEES, i, lo + j] += fee
        ledger[Ledger.HEDGE, i, lo + j] += h


@stage
def terminate_ruined(d, dealer, terminated, i, mid, lo, n):
    """A dealer whose loss since reset is not within ``ruin`` is out."""
    inventory = dealer[INVENTORY, i, lo : lo + n]
    cash = dealer[CASH, i, lo : lo + n]
    alive = dealer[ALIVE, i, lo : lo + n]
    for j in range(n):
        alive[j] = alive[j] if -(cash[j] + inventory[j] * mid[j]) <= d.ruin else 0.0
        terminated[i, lo + j] = not alive[j] > 0.0


@stage
def record_requests(
    p, cells, log, count, t, r, who, cell, informed, work, markups, asked, winner, best, second, leader, first, k, lo, N
):
    """Write down a round's requests; ``count`` runs on past the end of ``log``, so that the caller notices."""
    for a in range(k):
        place = count[0]
        count[0] += 1
        if place >= log.shape[0]:
            continue
        row = log[place]
        c = cell[a]
        i = int(winner[a])
        row.market = first + lo + who[a]
        row.step = t
        row.number = r
        row.segment = cells[c].segment
        row.side = cells[c].side
        row.size = cells[c].size
        row.informed = informed[a] if p.informed else 0
        row.asked = 0
        for l in range(N):
            row.asked += 1 if work[asked + l, a] > 0.0 else 0
        row.winner = i if i < N else -1
        row.markup = work[markups + i, a] if i < N else np.nan
        cover = second[a] if leader[a] == i else best[a]
        row.cover = cover if cover < np.inf else np.nan
