"""The order of events of a market step, and nothing else.

Markets go through the step in blocks, stage by stage; each stage is a plain loop over the block, and a
``kind`` is branched on once per block. Requests go in rounds: the r-th request of every market of the
block, so that the next one still meets the new inventory. All state is in two arrays whose rows are
named in ``types``: ``market`` (rows, M) and ``dealer`` (rows, N, M).
"""

import numpy as np

from marketsim import scratch as at
from marketsim.act import all_finite, asked_hedge, asked_markups, finite_actions
from marketsim.arrivals import ask_panel, begin_arrivals, inform, next_arrivals
from marketsim.choice import choose_best, choose_logit, rank_quotes
from marketsim.compiled import kernel, stage
from marketsim.guardrails.limits import approve, sum_desk
from marketsim.guardrails.quoting import (
    check_band_of_actions,
    check_band_of_quotes,
    largest_quoted,
    let_through,
    sum_desk_at,
)
from marketsim.ledger import (
    book_hedge,
    book_liquidation,
    book_mark,
    book_requests,
    liquidation_at_curve,
    note_quotes,
    note_rivals,
    open_books,
    record_requests,
    terminate_ruined,
)
from marketsim.observe import mislead, observe, remember_dealer, remember_market
from marketsim.price import move_price, start_price
from marketsim.rewards import reward_stage
from marketsim.rng import market_key, step_key
from marketsim.types import (
    AHEAD,
    ALIVE,
    CASH,
    HISTORY,
    HISTORY_LENGTH,
    IMPACT,
    INVENTORY,
    MID,
    ORDERS,
    RECENT_ASKED,
    RECENT_WON,
    STALE,
    VARIANCE,
    Action,
    Arrivals,
    Choice,
)

_BERNOULLI, _AT_MOST_ONE = int(Arrivals.BERNOULLI), int(Arrivals.AT_MOST_ONE)
_LOGIT_CHOICE = int(Choice.LOGIT)
_OFFSETS = int(Action.OFFSETS)


@stage
def _keys(key, out, step, lo, n):
    for j in range(n):
        out[j] = step_key(key[lo + j], step)


@kernel
def reset(
    params, dealers, columns, wanted, regimes, path, key, market, dealer, observation, work, keys, seed, episode, first,
    lo, hi,
):  # fmt: skip
    """Start an episode of markets ``lo:hi``: keys, F_0 and the steps ahead, empty books, the first observation."""
    p = params[0]
    N = dealer.shape[1]
    zero = np.int64(0)  # not a literal, for which every stage that takes it would be compiled once more
    for start in range(lo, hi, at.BLOCK):
        n = min(at.BLOCK, hi - start)
        for j in range(n):
            key[start + j] = market_key(seed, episode, first + start + j)
        _keys(key, keys[0], zero, start, n)
        start_price(p, path, keys[0], market, start, n)
        for k in range(p.ahead - 1):
            _keys(key, keys[0], k, start, n)
            move_price(p, regimes, path, keys[0], market, k, start, n)
        mid = market[AHEAD, start : start + n]
        for row in range(HISTORY_LENGTH):
            for j in range(n):
                market[HISTORY + row, start + j] = mid[j]
        for j in range(n):
            market[MID, start + j] = mid[j]
        market[IMPACT, start : start + n] = 0.0
        market[VARIANCE, start : start + n] = 1.0
        market[STALE, start : start + n] = 0.0
        for i in range(N):
            for row in range(dealer.shape[0]):
                if row != ORDERS:
                    dealer[row, i, start : start + n] = 0.0
            dealer[ALIVE, i, start : start + n] = 1.0
            dealer[RECENT_ASKED, i, start : start + n] = dealers[i].expected_requests
            dealer[RECENT_WON, i, start : start + n] = 0.5 * dealers[i].expected_requests
        observe(
            p, dealers, columns, wanted, market, dealer, work, work.shape[0] - at.FEATURES, observation, zero, start, n
        )


@stage
def _ask_and_approve(p, dealers, cells, actions, quotes, hedges, slots, market, dealer, work, ints, t, lo, n):
    """Stages 2 and 3: what every dealer asks for, and what its limits approve."""
    N = dealer.shape[1]
    mid = market[MID, lo : lo + n]
    clean = all_finite(actions, lo, n)
    desk = work[at.DESK]
    if p.desk_position < np.inf:
        sum_desk(dealers, dealer, desk, lo, n)
    for i in range(N):
        d = dealers[i]
        inventory = dealer[INVENTORY, i, lo : lo + n]
        cash = dealer[CASH, i, lo : lo + n]
        hedge = work[at.GROUPS + at.HEDGE * N + i]
        quoting = work[at.GROUPS + at.QUOTING * N + i]
        limit = work[at.GROUPS + at.LIMIT * N + i]
        loss = work[at.GROUPS + at.LOSS * N + i]
        rewarded = work[at.GROUPS + at.REWARDED * N + i]
        alive = dealer[ALIVE, i, lo : lo + n]
        finite = work[at.FINITE]
        reasons = ints[at.INTEGER_GROUPS + at.REASONS * N + i]
        warnings = ints[at.INTEGER_GROUPS + at.WARNINGS * N + i]
        orders = ints[at.INTEGER_GROUPS + at.ORDERS * N + i]
        for j in range(n):
            loss[j] = -(cash[j] + inventory[j] * mid[j])
        for j in range(n):
            rewarded[j] = alive[j]
        slot = slots[i]
        if slot < 0:
            if clean:
                for j in range(n):
                    finite[j] = 1.0
            else:
                finite_actions(d, actions, i, finite, lo, n)
            asked_hedge(d, actions, i, inventory, hedge, finite, lo, n)
        else:
            for j in range(n):
                h = hedges[slot, lo + j]
                hedge[j] = np.rint(h) if abs(h) < np.inf else 0.0
                finite[j] = 1.0
        fired = approve(
            p, d, i, t, market, dealer, loss, hedge, finite, limit, desk, work[at.VALUE], quoting, orders, reasons,
            warnings, lo, n,
        )  # fmt: skip
        ints[at.INTEGER_GROUPS + at.FIRED * N + i, 0] = fired
        if d.action == _OFFSETS:  # what it quotes is approved where it goes to the book
            continue
        if slot < 0:
            check_band_of_actions(d, cells, actions, i, quoting, work[at.VALUE], reasons, lo, n)
        else:
            check_band_of_quotes(d, cells, quotes, slot, quoting, reasons, lo, n)
        if d.worst_case_hard < np.inf:
            bid, ask = work[at.GROUPS + at.LARGEST_BID * N + i], work[at.GROUPS + at.LARGEST_ASK * N + i]
            largest_quoted(d, i, cells, actions, quotes, slot, orders, fired, bid, ask, lo, n)


@stage
def _serve(
    p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, key, log, count, t, r, k, first, lo, n
):  # fmt: skip
    """Stage 5, one round: k requests, one a market, from the client's side to the books."""
    N = dealer.shape[1]
    mid = market[MID, lo : lo + n]
    who, cell, informed = ints[at.WHO], ints[at.CELL], ints[at.INFORMED]
    best, second, leader, winner = work[at.BEST], work[at.SECOND], work[at.LEADER], work[at.WINNER]
    signed_size = work[at.SIGNED_SIZE]
    markups, cans, weights, asked = (
        at.GROUPS + at.MARKUP * N,
        at.GROUPS + at.CAN * N,
        at.GROUPS + at.WEIGHT * N,
        at.GROUPS + at.ASKED * N,
    )
    if p.informed:
        inform(p, cells, key, market, t, r, who, cell, informed, k, lo)
    desk = work[at.DESK]
    if p.desk_position < np.inf:
        sum_desk_at(dealers, dealer, who, desk, k, lo)
    if p.panels:
        ask_panel(cells, key, r, who, cell, work[at.TAKEN], work, asked, k, N)
    column, reference = ints[at.COLUMN], work[at.REFERENCE]
    for a in range(k):
        signed_size[a] = cells[cell[a]].signed_size
        column[a] = cells[cell[a]].ladder
        reference[a] = cells[cell[a]].reference
    for i in range(N if p.panels else 1):
        skew, row = work[at.GROUPS + at.SKEW * N + i], work[asked + i]
        for a in range(k):
            skew[who[a]] += -row[a] if signed_size[a] > 0.0 else row[a]
    for i in range(N):
        d = dealers[i]
        markup = work[markups + i]
        slot = slots[i]
        if slot < 0:
            asked_markups(d, actions, i, who, column, signed_size, markup, k, lo)
        else:
            for a in range(k):
                markup[a] = quotes[slot, lo + who[a], cells[cell[a]].quote]
        inventory = dealer[INVENTORY, i, lo : lo + n]
        let_through(
            p, d, who, signed_size, reference, inventory, work[at.GROUPS + at.LIMIT * N + i], desk,
            work[at.GROUPS + at.LARGEST_BID * N + i], work[at.GROUPS + at.LARGEST_ASK * N + i],
            work[at.GROUPS + at.QUOTING * N + i], ints[at.INTEGER_GROUPS + at.ORDERS * N + i],
            ints[at.INTEGER_GROUPS + at.FIRED * N + i, 0], work[asked + i], markup, work[cans + i], work[at.SECOND],
            work[at.BEST], ints[at.INTEGER_GROUPS + at.REASONS * N + i], k,
        )  # fmt: skip
        if p.quotes_kept:
            note_quotes(d, dealer, i, who, signed_size, markup, work[cans + i], k, lo)
        if p.misled:
            mislead(market, t, who, signed_size, markup, k, lo)
    rank_quotes(work, markups, N, best, second, leader, k)
    if p.logit:
        intercept, sensitivity = work[at.INTERCEPT], work[at.SENSITIVITY]
        for a in range(k):
            intercept[a] = cells[cell[a]].intercept
            sensitivity[a] = cells[cell[a]].sensitivity
        choose_logit(intercept, sensitivity, key, r, work, markups, cans, weights, N, work[at.TOTAL], winner, k)
    if p.best_price:
        floor, scale, by_logit = work[at.INTERCEPT], work[at.SENSITIVITY], work[at.LOGIT]
        for a in range(k):
            floor[a] = cells[cell[a]].reservation_floor
            scale[a] = cells[cell[a]].reservation_scale
            by_logit[a] = 1.0 if cells[cell[a]].choice == _LOGIT_CHOICE else 0.0
        choose_best(floor, scale, by_logit, key, r, work, markups, N, best, leader, work[at.TOTAL], winner, k)
    book_requests(
        cells, dealer, ledger, who, cell, winner, work, markups, asked, best, second, leader, mid, p.panels, k, lo
    )
    if p.rival_markup:
        note_rivals(cells, dealer, who, cell, work, asked, best, second, leader, k, lo)
    if log.shape[0] > 0:
        record_requests(
            p, cells, log, count, t, r, who, cell, informed, work, markups, asked, winner, best, second, leader, first, k,
            lo, N,
        )  # fmt: skip


@stage
def request_rounds(
    p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, keys, log, count, t, first, lo, n
):
    """Stage 5: rounds until no market of the block has another request."""
    N = dealer.shape[1]
    position = work[at.POSITION]
    key = keys[0]
    for i in range(N):
        asked, skew = work[at.GROUPS + at.ASKED * N + i], work[at.GROUPS + at.SKEW * N + i]
        for j in range(n):
            asked[j] = 1.0
            skew[j] = 0.0
    begin_arrivals(p, key, keys[2], ints[at.WHO], position, work[at.BACKWARDS], n)
    k = n
    r = np.int64(0)  # not a literal, for which every stage below would be compiled once more
    while k > 0:
        if p.arrivals == _BERNOULLI and r == cells.shape[0]:
            break
        if p.arrivals == _AT_MOST_ONE and r == 1:
            break
        found = next_arrivals(
            p, cells, key, keys[2], r, ints[at.WHO], ints[at.CELL], position, work[at.BACKWARDS], work[at.BEST], k, n
        )
        if found > 0:
            _serve(
                p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, keys[2], log, count, t, r,
                found, first, lo, n,
            )  # fmt: skip
        k = n if p.arrivals == _BERNOULLI else found
        r += 1


@stage
def begin(
    params, dealers, cells, actions, quotes, hedges, slots, regimes, path, key, market, dealer, ledger, work, ints, keys,
    t, lo, n,
):  # fmt: skip
    """Up to stage 3: the step's keys, F one step further ahead, what dealers ask for and what is approved of it."""
    p = params[0]
    _keys(key, keys[0], t, lo, n)
    _keys(key, keys[1], t + p.ahead - 1, lo, n)
    move_price(p, regimes, path, keys[1], market, t + p.ahead - 1, lo, n)
    _ask_and_approve(p, dealers, cells, actions, quotes, hedges, slots, market, dealer, work, ints, t, lo, n)
    for i in range(dealer.shape[1]):
        open_books(ledger, i, lo, n)


@stage
def hedge_at_curve(p, market, dealer, ledger, work, lo, n):
    """Stage 4: every dealer's hedge at the venue's curve, and what they move the mid by."""
    N = dealer.shape[1]
    mid, impact = market[MID, lo : lo + n], market[IMPACT, lo : lo + n]
    total_hedge = work[at.TOTAL_HEDGE]
    for j in range(n):
        total_hedge[j] = 0.0
    for i in range(N):
        book_hedge(p, dealer, ledger, i, mid, work[at.GROUPS + at.HEDGE * N + i], total_hedge, lo, n)
    for j in range(n):
        impact[j] += p.impact * total_hedge[j]


@stage
def end(
    p, dealers, weights, columns, wanted, market, dealer, ledger, reward, terminated, reasons_out, warnings_out,
    observation, work, ints, t, lo, n,
):  # fmt: skip
    """Stages 7 and 8: everything is marked at S_{t+1}, which stands in row ``NEXT``, rewarded and shown."""
    N = dealer.shape[1]
    mid, after, move = market[MID, lo : lo + n], work[at.NEXT], work[at.MOVE]
    for j in range(n):
        move[j] = after[j] - mid[j]
    for j in range(n):
        mid[j] = after[j]
    last = t + 1 == p.steps
    for i in range(N):
        d = dealers[i]
        inventory = dealer[INVENTORY, i, lo : lo + n]
        cash = dealer[CASH, i, lo : lo + n]
        reasons, warnings = at.INTEGER_GROUPS + at.REASONS * N + i, at.INTEGER_GROUPS + at.WARNINGS * N + i
        book_mark(dealer, ledger, i, move, ints[reasons], reasons_out, p.panels, lo, n)
        for j in range(n):
            warnings_out[i, lo + j] = ints[warnings, j]
        held, loss_after = work[at.HELD], work[at.LOSS_AFTER]
        for j in range(n):
            held[j] = inventory[j]
        if last and p.liquidate:
            book_liquidation(p, dealer, ledger, i, mid, work[at.GROUPS + at.LIQUIDATION * N + i], lo, n)
        for j in range(n):
            loss_after[j] = -(cash[j] + inventory[j] * mid[j])
        if d.ruin < np.inf:
            terminate_ruined(d, dealer, terminated, i, mid, lo, n)
        reward_stage(
            p, d, weights[i], ledger, i, held, move, work[at.GROUPS + at.LOSS * N + i], loss_after, dealer,
            work[at.GROUPS + at.REWARDED * N + i], t + 1, reward, lo, n,
        )  # fmt: skip
        skew = work[at.GROUPS + at.SKEW * N + (i if p.panels else 0)]
        remember_dealer(market, dealer, ledger, i, t, mid, skew, lo, n)
    remember_market(p, market, t, mid, move, lo, n)  # last: it takes the move for what dealers saw of it
    observe(p, dealers, columns, wanted, market, dealer, work, work.shape[0] - at.FEATURES, observation, t + 1, lo, n)


@kernel
def step(
    params, cells, dealers, weights, columns, wanted, regimes, path, slots, key, market, dealer, actions, quotes, hedges,
    observation, ledger, reward, terminated, reasons_out, warnings_out, log, count, work, ints, keys, first, lo, hi, t,
):  # fmt: skip
    """Carry markets ``lo:hi`` from step t to t+1: the eight stages of docs/market.md.

    ``quotes`` (driven, M, cells) and ``hedges`` (driven, M) hold the prices of dealers whose ``slots`` entry
    is not negative; the others follow ``actions`` (M, N, width). Writes the state, ``observation`` (N, width, M)
    of t+1, ``ledger`` (terms, N, M), ``reward`` and flags (N, M), and appends requests to ``log``.
    """
    p = params[0]
    for start in range(lo, hi, at.BLOCK):
        n = min(at.BLOCK, hi - start)
        begin(
            params, dealers, cells, actions, quotes, hedges, slots, regimes, path, key, market, dealer, ledger, work, ints,
            keys, t, start, n,
        )  # fmt: skip
        hedge_at_curve(p, market, dealer, ledger, work, start, n)
        request_rounds(
            p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, keys, log, count, t,
            first, start, n,
        )  # fmt: skip
        price = market[AHEAD + (t + 1) % (p.ahead + 1), start : start + n]
        impact, after = market[IMPACT, start : start + n], work[at.NEXT]
        for j in range(n):
            after[j] = price[j] + impact[j]
        if p.liquidate and t + 1 == p.steps:
            liquidation_at_curve(p, dealer, work, start, n)
        end(
            p, dealers, weights, columns, wanted, market, dealer, ledger, reward, terminated, reasons_out, warnings_out,
            observation, work, ints, t, start, n,
        )  # fmt: skip
