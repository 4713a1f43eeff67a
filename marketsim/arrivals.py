"""Requests arriving in a step: which cells, in which order, from which side after informed clients have chosen.

Every stage handles the r-th request of all markets of a block at once: ``who`` lists the markets that
have one, ``cell`` its cell. So the next request still meets the inventory that this one left.

at_most_one  one uniform against the cumulated probabilities
bernoulli    one coin a cell, cells visited in the step's order
poisson      a unit-rate Poisson process laid along the cumulated intensities: points are the requests;
             the r-th is at -log of the product of r + 1 uniforms
"""

from marketsim.compiled import stage
from marketsim.rng import ARRIVAL, CLIENT, PANEL, uniform
from marketsim.types import AHEAD, ASK, BID, Arrivals

_AT_MOST_ONE, _BERNOULLI, _POISSON = int(Arrivals.AT_MOST_ONE), int(Arrivals.BERNOULLI), int(Arrivals.POISSON)


@stage
def begin_arrivals(p, key, request_key, who, position, backwards, n):
    """Before the first round: every market is a candidate; cells run backwards where the order coin says so."""
    for j in range(n):
        who[j] = j
    for j in range(n):
        position[j] = 1.0
    for j in range(n):
        request_key[j] = key[j]
    if p.arrivals != _AT_MOST_ONE:
        for j in range(n):
            backwards[j] = 1.0 if uniform(key[j], ARRIVAL, 0) < 0.5 else 0.0


@stage
def next_arrivals(p, cells, key, request_key, r, who, cell, position, backwards, runs_back, candidates, n):
    """Round r: fill ``who``, ``cell`` and ``request_key``, the step keys of the markets that have an r-th request.

    ``position`` of a market is, poisson: e^-x of its last point x; else its last draw. ``runs_back`` is scratch.
    Returns how many have one (bernoulli: in how many the r-th cell visited has one).
    """
    k = 0
    if p.arrivals == _POISSON:
        end = p.survival
        for a in range(candidates):
            position[a] *= uniform(request_key[a], ARRIVAL, 1 + r)
        for a in range(candidates):
            j, x, own = who[a], position[a], request_key[a]  # read before the writes, or each turn waits for the last
            who[k] = j
            position[k] = x
            request_key[k] = own
            k += 1 if x > end else 0
        for a in range(k):
            runs_back[a] = backwards[who[a]]
        for a in range(k):
            cell[a] = 0
        for c in range(cells.shape[0] - 1):
            edge, edge_back = cells[c].survival, cells[c].survival_back
            for a in range(k):
                beyond = position[a] >= edge_back if runs_back[a] > 0.0 else position[a] <= edge
                cell[a] += 1 if beyond else 0
    elif p.arrivals == _BERNOULLI:
        last = cells.shape[0] - 1
        rate, rate_back = cells[r].rate, cells[last - r].rate
        for j in range(n):
            back = backwards[j] > 0.0
            coin = uniform(key[j], ARRIVAL, 1 + (last - r if back else r))
            position[j] = coin - (rate_back if back else rate)
        for j in range(n):
            x = position[j]
            who[k] = j
            cell[k] = last - r if backwards[j] > 0.0 else r
            request_key[k] = key[j]
            k += 1 if x < 0.0 else 0
    elif r == 0:
        total = p.intensity
        for j in range(n):
            position[j] = uniform(key[j], ARRIVAL, 1)
        for j in range(n):
            x, own = position[j], key[j]
            who[k] = j
            position[k] = x
            request_key[k] = own
            k += 1 if x < total else 0
        for a in range(k):
            cell[a] = 0
        for c in range(cells.shape[0] - 1):
            edge = cells[c].cumulative
            for a in range(k):
                cell[a] += 1 if position[a] >= edge else 0
    return k


@stage
def inform(p, cells, key, market, t, r, who, cell, informed, k, lo):
    """An informed client replaces its side by the one that profits from F_{t+lead} - F_t (or errs)."""
    ring = p.ahead + 1
    for a in range(k):
        j = who[a]
        c = cell[a]
        informed[a] = 0
        if uniform(key[a], CLIENT, 4 * r) < cells[c].share:
            informed[a] = 1
            move = market[AHEAD + (t + cells[c].lead) % ring, lo + j] - market[AHEAD + t % ring, lo + j]
            side = ASK if move > 0.0 else BID
            if move == 0.0:
                side = BID if uniform(key[a], CLIENT, 4 * r + 2) < 0.5 else ASK
            elif not uniform(key[a], CLIENT, 4 * r + 1) < cells[c].accuracy:
                side = ASK + BID - side
            if side != cells[c].side:
                cell[a] = cells[c].other_side


@stage
def ask_panel(cells, key, r, who, cell, taken, work, asked, k, dealers):
    """Which dealers are asked, into rows ``asked + i`` of ``work``: selection sampling without replacement (Fan, Muller, Rezucha 1962)."""
    for a in range(k):
        taken[a] = 0.0
    for i in range(dealers):
        left = dealers - i
        row = work[asked + i]
        for a in range(k):
            places = cells[cell[a]].panel - taken[a]
            row[a] = 1.0 if uniform(key[a], PANEL, 256 * r + i) * left < places else 0.0
            taken[a] += row[a]
