"""Whom a client trades with, given the markups of the dealers that quote.

logit       P(i) = e^-(a + b markup_i) / (1 + sum_j e^-(a + b markup_j)), nobody with the rest
best_price  the lowest markup, ties split evenly, if it is at most the client's reservation markup
"""

import math

import numpy as np

from marketsim.compiled import stage
from marketsim.polynomials import exp, log
from marketsim.rng import CHOICE, RESERVATION, TIE, uniform


@stage
def rank_quotes(work, markup, dealers, best, second, leader, k):
    """The lowest markup of each request, who shows it (``dealers``: nobody), and the next lowest.

    Rows ``markup + i`` of ``work`` hold dealer i's markups, inf where it does not quote.
    """
    for a in range(k):
        best[a] = np.inf
        second[a] = np.inf
        leader[a] = float(dealers)
    for i in range(dealers):
        row = work[markup + i]
        number = float(i)
        for a in range(k):
            x = row[a]
            better = x < best[a]
            other = best[a] if better else x
            second[a] = other if other < second[a] else second[a]
            leader[a] = number if better else leader[a]
            best[a] = x if better else best[a]


@stage
def choose_logit(intercept, sensitivity, key, r, work, markup, can, weight, dealers, total, winner, k):
    """The winner of each request, or ``dealers`` for nobody."""
    for a in range(k):
        total[a] = 0.0
        winner[a] = 0.0
    for i in range(dealers):
        delta, quotes, running = work[markup + i], work[can + i], work[weight + i]
        for a in range(k):
            x = delta[a] if quotes[a] > 0.0 else 0.0
            running[a] = exp(-(intercept[a] + sensitivity[a] * x)) * quotes[a]
        for a in range(k):
            total[a] += running[a]
            running[a] = total[a]
    for a in range(k):
        total[a] = (1.0 + total[a]) * uniform(key[a], CHOICE, r)
    for i in range(dealers):
        running = work[weight + i]
        for a in range(k):
            winner[a] += 1.0 if total[a] >= running[a] else 0.0


@stage
def choose_best(floor, scale, logit, key, r, work, markup, dealers, best, leader, total, winner, k):
    """The winner of each best-price request, or ``dealers`` for nobody; requests marked ``logit`` keep theirs.

    The client's reservation markup is ``floor - scale log u``.
    """
    nobody = float(dealers)
    for a in range(k):
        total[a] = floor[a] - scale[a] * log(uniform(key[a], RESERVATION, r))
    for a in range(k):
        chosen = leader[a] if best[a] <= total[a] else nobody
        winner[a] = winner[a] if logit[a] > 0.0 else chosen
    if dealers > 1:
        for a in range(k):
            if winner[a] < dealers and logit[a] <= 0.0:
                equal = 0
                for i in range(dealers):
                    equal += 1 if work[markup + i, a] == best[a] else 0
                if equal > 1:
                    place = int(math.floor(uniform(key[a], TIE, r) * equal))
                    for i in range(dealers):
                        if work[markup + i, a] == best[a]:
                            winner[a] = float(i) if place == 0 else winner[a]
                            place -= 1
