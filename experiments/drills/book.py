"""The limits of a dealer in the order book, tried: on its messages, its orders that rest, and what trades.

What rests may trade at any time, so it is judged as if it had. Where it matters who trades with the dealer, the
background traders stay; everywhere else the drill's copy of the book is rid of them, and opens with orders of nobody's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.drills import rules
from experiments.drills.limits import HALF
from experiments.drills.stand import MARKETS, STEPS, Control, Copy, Play, Seen, Stand, expect
from marketsim.book.state import BEST_ASK, PREVENTED
from marketsim.traders.state import REQUESTS
from marketsim.types import ASK, BID, Order, Reason

EMPTY = Copy(levels=0)  # the dealer alone
THIN = Copy(levels=120, depth=1)  # an order of one lot at every price
LONG = 60  # more than a drill waits for, or takes out of the book


def order_size(stand: Stand) -> str:
    limit, whose = stand.level("size", {"hard": 3.0})
    most = np.floor(limit["hard"])
    for lots in (most, most + 5):
        step = Play(stand, {"size": limit}, copy=Copy(lots=int(lots))).step(markup=stand.cheap)
        expect(len(step.won) == 2 * MARKETS, "an order was not placed at all")
        expect(step.won["size"] <= limit["hard"], f"an order of {step.won['size'].max():g} lots was placed")
        expect(step.won["size"] == most, "an order within the limit was made smaller")
        expect((step.reasons & Reason.SIZE > 0) == (lots > most), "not exactly the larger orders were noticed")
    return f"asked for {most + 5:g} lots, at most {most:g} rest; {most:g} are left alone ({whose})"


def markup(stand: Stand) -> str:
    tick = stand.desk.market.book.tick
    limit, whose = stand.level("markup", {"low": tick, "high": 10 * tick})
    low, high = limit["low"], limit["high"]
    play = Play(stand, {"markup": limit})
    for asked, noticed in ((low - 5 * tick, True), (high + 5 * tick, True), ((low + high) / 2, False)):
        step = play.step(markup=asked)
        inside = (low - 2e-6 * tick <= step.won["markup"]) & (
            step.won["markup"] < high + tick
        )  # prices are whole ticks
        expect(inside, "an order rests outside the band")
        expect(low <= 0 or np.all(step.after == 0.0), "an order below the band traded")
        expect((step.reasons & Reason.MARKUP > 0) == noticed, f"an order {asked:g} from the mid was judged wrongly")
    expect(len(step.won) == 2 * MARKETS or low + high <= 0, "an order within the band was not placed")
    return f"5 ticks outside of {low:g} to {high:g} from the mid nothing rests, in the middle it does ({whose})"


def _attack(play: Play, t: int, lots: float, hedges: bool, others: bool) -> float:
    """Every order as large as it goes, at prices from far inside the book to far outside. What might be held at most, lots:
    by the dealer, or by all together, if all orders of a side traded."""
    m, tick = np.arange(MARKETS), play.tick
    asked = np.empty((MARKETS, 2, 1, 1))
    asked[:, BID, 0, 0], asked[:, ASK, 0, 0] = (m + 5 * t) % 13 - 6.0, (3 * m + 7 * t) % 13 - 6.0
    hedge = lots * ((m + t) % 3 - 1.0) if hedges else 0.0
    rivals = (tick * asked[::-1], -hedge) if others else (np.nan, 0.0)
    play.step(hedge=hedge, markup=tick * asked, rivals=rivals[0], others=rivals[1])
    agents = range(len(play.batch.agents)) if others else [play.agent]
    q = np.sum([play.batch.state["inventory"][:, i, 0] for i in agents], axis=0)  # type: ignore[index]
    bid, ask = np.sum([play.open_lots(i) for i in agents], axis=0).T
    return float(np.max(np.maximum(q + bid, ask - q)))


def _never_beyond(
    stand: Stand, limits: dict[str, Any], level: float, desk: float | None = None, hedges: bool = True
) -> float:
    """Attack with the limit and without; within it what is asked for is let through."""
    others = desk is not None
    hostile = Copy(traders=True, lots=int(2 * level + 1))
    held, free = Play(stand, limits, desk, copy=hostile), Play(stand, {}, copy=hostile)
    without = 0.0
    for t in range(STEPS // 2):
        most = _attack(held, t, 2 * level + 1, hedges, others)
        expect(most <= level, f"{most:g} lots might be held after step {t}")
        without = max(without, _attack(free, t, 2 * level + 1, hedges, others))
    expect(without > level, "without the limit it went no further")
    step = Play(stand, limits, desk).step(markup=stand.cheap)
    judged = Reason.POSITION | Reason.WORST_CASE | Reason.DESK
    expect(len(step.won) == 2 * MARKETS and not np.any(step.reasons & judged), "an order of a lot was not let through")
    return without


def position(stand: Stand) -> str:
    limit, whose = stand.level("position", {"hard": 12.0})
    level = np.floor(limit["hard"])
    without = _never_beyond(stand, {"position": limit}, level)
    return f"lots held and open never beyond {level:g}, without the limit {without:g} ({whose}; traders stay)"


def worst_case(stand: Stand) -> str:
    limit, whose = stand.level("worst_case", {"hard": 8.0})
    level = np.floor(limit["hard"])
    without = _never_beyond(stand, {"worst_case": limit}, level, hedges=False)
    return f"lots held and open never beyond {level:g}, without the limit {without:g} ({whose}; traders stay)"


def desk(stand: Stand) -> str:
    own = stand.desk.desk
    level = np.floor(own.position.hard) if own is not None else 12.0
    without = _never_beyond(stand, {}, level, desk=level)
    whose = "as configured" if own is not None else "not configured, tried at a default"
    dealers = len(stand.desk.agents)
    return f"{dealers} dealers together never beyond {level:g}, without the limit {without:g} ({whose}; traders stay)"


def _sent(play: Play) -> np.ndarray:
    """Messages that the book has counted, (M,); nobody but the dealer sends any."""
    return play.batch._book_of.clock[:, REQUESTS].copy()  # type: ignore[union-attr]


def order_rate(stand: Stand) -> str:
    limit, whose = stand.level("order_rate", {"hard": 3.0, "steps": 3})
    steps = limit.get("steps", 1)
    if steps > LONG // 4:
        whose, steps = f"{steps} steps are long, tried over 3", 3
    if limit["hard"] + 1 > 2 * steps:  # new prices on both sides, every step
        whose, limit["hard"] = f"{limit['hard']:g} in {steps} steps stop nothing here, tried at {steps}", float(steps)
    limit["steps"], most = steps, int(np.floor(limit["hard"]))
    play = Play(stand, {"order_rate": limit})
    begin = _sent(play)
    for t in range(2 * steps):
        if t % steps == 0:
            begin = _sent(play)
        want = _sent(play) + 2 - begin
        step = play.step(markup=stand.cheap + t * play.tick)
        expect(
            _sent(play) - begin == np.minimum(want, most),
            f"{np.max(_sent(play) - begin)} messages went in {steps} steps",
        )
        expect((step.reasons & Reason.ORDER_RATE > 0) == (want > most), "not exactly those beyond were noticed")
    rests = len(step.won)
    begin, step = _sent(play), play.step()
    expect(len(step.won) == 0 and (_sent(play) - begin).sum() == rests, "an order was not cancelled")
    play = Play(stand, {"order_rate": limit | {"hard": 2.0, "steps": 10}})
    play.step(markup=stand.cheap)
    expect(len(play.step().won) == 0, "with no message left, orders were not cancelled")
    return f"{most} messages in {steps} steps, no more, and as many in the next; cancels always go ({whose})"


def _answer(stand: Stand, step: Seen, fired: np.ndarray, on_breach: str) -> None:
    """What the response to a failed limit leaves in the book, and that nothing is taken where it has not failed."""
    which = step.wins(fired)
    counts = np.bincount(step.won["market"], minlength=MARKETS)
    if on_breach in ("reject", "flatten", "halt"):
        expect(~which, "orders rest past the limit")
    elif on_breach == "reduce_only":
        expect(step.sign[which] * step.before[step.won["market"][which]] < 0, "an order away from flat rests")
    else:
        expect(counts[fired] == 2, "orders past the limit are gone, not wider")
        expect(step.won["markup"][which] > stand.cheap, "orders past the limit are not wider")
    expect(counts[~fired] == 2, "an order was taken away below the limit")


def self_trade(stand: Stand) -> str:
    limit, whose = stand.level("self_trade", {"hard": 3})
    if limit["hard"] > LONG // 2:
        whose, limit["hard"] = f"{limit['hard']:g} are many, tried at 3", 3
    if stand.desk.market.book.self_trade == "allow":
        return "this market's book allows trades with oneself (book.self_trade: allow): nothing is prevented, not tried"
    play, fired = Play(stand, {"self_trade": limit}, copy=EMPTY), np.zeros(MARKETS, bool)
    crossed = np.where(HALF, -1.0, 3.0).reshape(-1, 1, 1, 1) * play.tick  # a bid above the own ask
    for _ in range(LONG):
        prevented = play.batch._book_of.head[:, PREVENTED].copy()  # type: ignore[union-attr]
        fired = prevented > limit["hard"]
        step = play.step(markup=stand.cheap if fired.any() else crossed)
        expect(step.after == 0.0, "it traded with itself")
        expect((step.reasons & Reason.SELF_TRADE > 0) == fired, "not exactly those past the level were noticed")
        if fired.any():
            break
    expect(fired == HALF, "crossing itself did not count")
    on_breach = limit.get("on_breach", "halt")
    _answer(stand, step, fired, on_breach)
    return f"no trade with itself; prevented more than {limit['hard']:g} times: {on_breach}, others go on ({whose}; it is alone)"


def repeated_execution(stand: Stand) -> str:
    limit, whose = stand.level("repeated_execution", {"soft": 3.0, "hard": 6.0, "steps": 5})
    if limit["hard"] > LONG:
        whose = f"{limit['hard']:g} trades are many, tried at 3 and 6"
        limit |= {"soft": 3.0, "hard": 6.0}
    soft, most = np.floor(limit.get("soft", 0.0)), np.floor(limit["hard"])
    play, quarter = Play(stand, {"repeated_execution": limit}, copy=THIN), np.arange(MARKETS) % 4
    trades = np.choose(quarter, (soft, min(soft + 1.0, most), most, most + 1.0))  # an order of a lot each
    step = play.step(hedge=trades)
    expect(step.after == trades, "the book was not deep enough to try")
    step = play.step(markup=stand.cheap if stand.quotes else np.nan, hedge=0.0)
    fired = quarter == 3
    expect(
        (step.reasons & Reason.REPEATED_EXECUTION > 0) == fired, "not exactly those past the hard level were stopped"
    )
    if "soft" in limit:
        warned = (trades > limit["soft"]) & ~(trades > limit["hard"])
        of = step.warnings & Reason.REPEATED_EXECUTION > 0
        expect(of[~fired] == warned[~fired], "not exactly those past the soft level were warned of")
    on_breach = limit.get("on_breach", "halt")
    if stand.quotes:
        _answer(stand, step, fired, on_breach)
    return f"{most + 1:g} trades: {on_breach}, {most:g} go on" + (
        f", past {soft:g} people are warned ({whose}; nobody else trades)" if "soft" in limit else f" ({whose})"
    )


def slippage(stand: Stand) -> str:
    book = stand.desk.market.book
    limit, whose = stand.level("slippage", {"hard": max(0.0, book.taker_fee) + 5 * book.tick})
    held, free = Play(stand, {"slippage": limit}, copy=THIN), Play(stand, {}, copy=THIN)
    first = held.batch._book_of.head[:, BEST_ASK]  # type: ignore[union-attr]
    prices = book.tick * (first[:, None] + np.arange(LONG))  # of one lot each
    cheap = np.sum(prices - held.mid[:, None] + book.taker_fee <= limit["hard"] + 1e-9, axis=1)
    if cheap.max() >= LONG:
        return f"{LONG} ticks are dearer than nothing that {limit['hard']:g} a lot forbids: not tried ({whose})"
    expect(
        Play(stand, {"slippage": limit}, copy=THIN).step(hedge=cheap).hedge == cheap, "a hedge within it was stopped"
    )
    step = held.step(hedge=LONG)
    expect(step.hedge == cheap, f"{step.hedge.max():g} lots traded, {cheap.max()} are cheap enough")
    expect(free.step(hedge=LONG).hedge > cheap, "without the limit it traded no more")
    return f"{LONG} lots at one tick more each: {cheap[0]} traded, none dearer than {limit['hard']:g} ({whose}; nobody else trades)"


def cancelled(stand: Stand) -> str:
    play = Play(stand, {})
    step = play.step(markup=stand.cheap)
    expect(len(step.won) == 2 * MARKETS, "its orders do not rest")
    play.batch.order(stand.agent, np.where(HALF, int(Order.NO_QUOTES), 0))
    step = play.step(markup=stand.cheap)
    expect(~step.wins(HALF), "orders rest after the next step")
    expect(len(step.won) == 2 * np.sum(~HALF), "an order was cancelled where nobody said so")
    play.batch.order(stand.agent, 0)
    expect(len(play.step(markup=stand.cheap).won) == 2 * MARKETS, "let go, it does not quote")
    return "all orders of that dealer are gone in the next step, elsewhere they rest; let go: it quotes"


CONTROLS = (
    Control("order size", "orders above the limit, and at it", rules.VOLUME, order_size, "orders"),
    Control("order markup band", "orders nearer, further and within the band", rules.COLLAR, markup, "orders"),
    Control("position with open orders", "the largest orders at any price, and hedges; an order of a lot", rules.POSITION, position, "orders"),
    Control("worst case of open orders", "the largest orders at any price; an order of a lot", rules.POSITION, worst_case, "orders"),
    Control("desk with open orders", "all dealers send the largest orders and hedges", rules.POSITION, desk, "orders"),
    Control("order rate", "new prices in every step, and cancels", rules.MESSAGES, order_rate, "orders"),
    Control("self-trade", "a bid above its own ask, and one below", rules.SELF_TRADE, self_trade, "orders"),
    Control("repeated execution", "trades past the soft and hard levels, and at them", rules.THROTTLE, repeated_execution, "depth"),
    Control("hedge in the book", "a hedge through dearer and dearer levels, and one within", rules.COLLAR, slippage, "depth"),
    Control("open orders cancelled", "told to quote no more, while orders rest", rules.KILL, cancelled, "orders"),
)  # fmt: skip
