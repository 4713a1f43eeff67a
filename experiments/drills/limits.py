"""The limits of the compiled step, tried: what is past a level is stopped, what is within it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.drills import rules
from experiments.drills.stand import MARKETS, Control, Copy, Play, Seen, Stand, expect
from marketsim.types import Order, Reason

HALF = np.arange(MARKETS) < MARKETS // 2


def size(stand: Stand) -> str:
    limit, whose = stand.level("size", {"hard": stand.smallest})
    if limit["hard"] >= stand.largest > stand.smallest:
        whose = f"its own level {limit['hard']:g} stops no client here, tried at {stand.smallest:g}"
        limit["hard"] = stand.smallest
    elif limit["hard"] >= stand.largest:
        whose, limit["hard"] = f"clients have one size, tried below {stand.largest:g}", stand.largest / 2
    held, free = Play(stand, {"size": limit}), Play(stand, {})
    met, passed = 0, 0
    for _ in range(12):
        won = held.step(markup=stand.cheap).won
        expect(won["size"] <= limit["hard"], f"a request of {won['size'].max(initial=0):g} lots was won")
        met += len(won)
        passed += int(np.sum(free.step(markup=stand.cheap).won["size"] > limit["hard"]))
    expect(passed > 0, "without the limit no larger request came either")
    return f"{met} won, none above {limit['hard']:g} lots; without it {passed} were ({whose})"


def markup(stand: Stand) -> str:
    limit, whose = stand.level("markup", {"low": 0.0, "high": 2.0 * abs(stand.cheap)})
    play, seen = Play(stand, {"markup": limit}), 0
    for _ in range(6):
        step = play.step(markup=limit["low"] - 1.0)
        expect(step.reasons & Reason.MARKUP, "a markup below the band was not noticed")
        inside = (step.won["markup"] >= limit["low"]) & (step.won["markup"] <= limit["high"])
        expect(inside, f"a client traded at {step.won['markup'].min(initial=0):g}, outside the band")
        seen += len(step.won)
        step = play.step(markup=limit["high"] + 1.0)
        expect(step.won["markup"] <= limit["high"], "a markup above the band was traded")
        step = play.step(markup=(limit["low"] + limit["high"]) / 2)
        expect(step.reasons & Reason.MARKUP == 0, "a markup within the band was stopped")
    return f"{seen} trades at a price below {limit['low']:g}, none outside the band ({whose})"


def position(stand: Stand) -> str:
    limit, whose = stand.level("position", {"hard": stand.desk.market.inventory_limit or 20.0})
    limit["hard"] = min(limit["hard"], stand.desk.market.inventory_limit or np.inf)
    level = np.floor(limit["hard"])
    play = Play(stand, {"position": limit}, keeps=True)
    step = play.step(hedge=np.where(HALF, 0.0, np.floor(level / 2)))
    expect(step.hedge[~HALF] == np.floor(level / 2), "a hedge within the limit was stopped")
    step = play.step(hedge=np.where(HALF, 3 * level + 1, 0.0))
    expect(np.abs(step.after) <= level, "a hedge went past the limit")
    expect(step.reasons[HALF] & Reason.HEDGE, "it was not noticed")
    play.step(hedge=level - play.inventory)
    bought = 0
    for _ in range(10):
        step = play.step(markup=stand.cheap)
        expect(np.abs(step.after) <= level, "clients carried it past the limit")
        bought += int(np.sum(step.sign > 0))
    return f"asked for {3 * level + 1:g} lots, never beyond {level:g}, by hedge or by clients ({whose})"


def worst_case(stand: Stand) -> str:
    limit, whose = stand.level("worst_case", {"hard": 2.0 * stand.largest})
    play, level = Play(stand, {"worst_case": limit}), np.floor(limit["hard"])
    play.step(hedge=level - stand.largest + 1)
    refused, sold = False, 0
    for _ in range(10):
        full = play.inventory + stand.largest > level
        step = play.step(markup=stand.cheap)
        expect(step.after <= np.maximum(level, step.before), "a win carried it past the worst case")
        refused |= bool(np.any(step.reasons[full] & Reason.WORST_CASE))
        sold += int(np.sum(step.sign < 0))
    expect(refused and sold, "either nothing was refused, or nothing was let through")
    return f"no bid within {stand.largest} lots of {level:g}, while {sold} asks traded ({whose})"


def desk(stand: Stand) -> str:
    own = stand.desk.desk
    level = np.floor(own.position.hard) if own is not None else 6.0
    play = Play(stand, {}, desk=level)
    total = lambda: play.batch.state["inventory"][:, :, 0].sum(axis=1)  # type: ignore[index]  # noqa: E731
    step = play.step(hedge=np.floor(level / 2))
    expect(step.hedge == np.floor(level / 2), "a hedge within the limit was stopped")
    for _ in range(4):
        play.step(hedge=2 * level, others=2 * level, markup=stand.cheap)
        expect(np.abs(total()) <= level, "the desk went past its limit")
    whose = "as configured" if own is not None else "not configured, tried at a default"
    return f"all dealers buy at once: the sum stops at {level:g} ({whose})"


def hedge(stand: Stand) -> str:
    limit, whose = stand.level("hedge", {"hard": 3.0})
    play, level = Play(stand, {"hedge": limit}), np.floor(limit["hard"])
    step = play.step(hedge=np.where(HALF, 10 * level + 10, level))
    expect(np.abs(step.hedge) <= level, "a larger hedge was traded")
    expect((step.reasons & Reason.HEDGE_SIZE > 0) == HALF, "not exactly the larger hedges were noticed")
    return f"asked for {10 * level + 10:g} lots, at most {level:g} were traded ({whose})"


def slippage(stand: Stand) -> str:
    venue = stand.venue
    cheapest = venue.half_spread + venue.fee
    limit, whose = stand.level("slippage", {"hard": cheapest + 4 * venue.slope})
    level = limit["hard"]
    play = Play(stand, {"slippage": limit})
    most = (
        np.inf
        if not venue.slope and cheapest <= level
        else 0.0
        if cheapest > level
        else (level - cheapest) / venue.slope
    )
    step = play.step(hedge=1e6)
    expect(np.abs(step.hedge) <= most + 1e-9, "a hedge that costs more a lot was traded")
    stopped = "the venue's cost a lot does not rise with size: nothing to stop"
    if most < 1e6:
        expect(step.reasons & Reason.SLIPPAGE, "it was not noticed")
        stopped = f"a hedge of 1,000,000 lots became {step.hedge[0]:g}"
    return f"{stopped}, at most {level:g} a lot ({whose})"


def _held(stand: Stand, step: Seen, fired: np.ndarray, on_breach: str, name: str) -> None:
    """What the response to a failed limit lets the clients have."""
    which = step.wins(fired)
    if on_breach in ("reject", "flatten", "halt"):
        expect(~which, f"it went on quoting past its {name} limit")
    elif on_breach == "reduce_only":
        away = step.sign[which] * step.before[step.won["market"][which]] >= 0
        expect(~away, f"it traded away from flat past its {name} limit")
    else:
        expect(step.won["markup"][which] > stand.cheap, f"it did not quote wider past its {name} limit")


def _money(
    stand: Stand, name: str, reason: Reason, value: Callable[[list[np.ndarray], Any], np.ndarray], lasts: bool
) -> str:
    """Half of the markets lose, as an oracle of its own sees it: exactly those that are past the level are stopped."""
    volatility = float(Play(stand, {}).batch.tables.market["move_sd"][0]) or 1.0
    limit, whose = stand.level(name, {"hard": 20.0 * volatility})
    on_breach = limit.get("on_breach", "reduce_only" if name == "rolling_loss" else "flatten")
    play = Play(stand, {name: limit})
    losses, fired = [], np.zeros(MARKETS, bool)
    for t in range(8):
        losses.append(play.loss.copy())
        now = ~(value(losses, limit) <= limit["hard"])
        fired = now | (fired & (lasts or on_breach == "halt"))
        step = play.step(hedge=np.where(t == 0, 2.0, 0.0), markup=stand.cheap if t > 3 else np.nan)
        expect((step.reasons & reason > 0) == fired, f"the {name} limit did not fire exactly where it is passed")
        if t > 3:
            _held(stand, step, fired, on_breach, name)
        if t == 1:
            play.lose(np.where(HALF, 2.0 * limit["hard"], 0.0))
        if t == 3:
            expect(fired[HALF], "a loss of twice the level did not count")
            expect(~fired[~HALF] | (losses[-1][~HALF] > limit["hard"]), "a small loss counted")
    return f"a loss of {2 * limit['hard']:g} fires, {on_breach}; markets below {limit['hard']:g} go on ({whose})"


def loss(stand: Stand) -> str:
    return _money(stand, "loss", Reason.LOSS, lambda losses, limit: losses[-1], lasts=True)


def drawdown(stand: Stand) -> str:
    def value(losses, limit):
        return losses[-1] - np.minimum.reduce(losses + [np.zeros(MARKETS)])

    return _money(stand, "drawdown", Reason.DRAWDOWN, value, lasts=True)


def rolling_loss(stand: Stand) -> str:
    def value(losses, limit):
        steps = limit.get("steps", 20)
        return losses[-1] - (losses[-1 - steps] if len(losses) > steps else 0.0)

    return _money(stand, "rolling_loss", Reason.ROLLING_LOSS, value, lasts=False)


def time_at_limit(stand: Stand) -> str:
    limit, whose = stand.level("time_at_limit", {"hard": 5, "level": 4.0})
    if limit["hard"] > 40:
        whose, limit["hard"] = f"{limit['hard']:g} steps are long, tried at 5", 5
    limit.pop("soft", None)
    level, most = np.ceil(limit["level"]), int(limit["hard"])
    play = Play(stand, {"time_at_limit": limit})
    play.step(hedge=np.where(HALF, level, level - 1))
    for k in range(1, most + 3):
        step = play.step()
        expect(
            (step.reasons & Reason.TIME_AT_LIMIT > 0) == (HALF & (k > most)),
            f"step {k} at {level:g} lots was judged wrongly",
        )
        if k > most:
            break
    return f"{most + 1} steps at {level:g} lots fire, {most} do not, nor do {level - 1:g} lots ({whose})"


def _feed(stand: Stand, **key: Any) -> tuple[Play, str]:
    own = stand.limits.feed
    named = own is not None and all(getattr(own, name) is not None for name in key)
    limit = own.model_dump(exclude_none=True) if named and own is not None else key
    play = Play(stand, {"feed": limit}, copy=Copy(traders=True))  # a book's mid moves by them alone
    return play, "as configured" if named else "not configured, tried at a default"


def fat_finger(stand: Stand) -> str:
    play, whose = _feed(stand, jump=8.0)
    sd = float(play.batch.tables.market["move_sd"][0]) or 1.0
    jump = float(play.batch.tables.dealers[stand.agent]["jump"])
    play.step()
    moved = play.batch.state["mid"][:, 0].copy()  # type: ignore[index]
    play.step()
    moved = np.abs(play.batch.state["mid"][:, 0] - moved)  # type: ignore[index]
    step = play.step(markup=stand.cheap)
    expect((step.reasons & Reason.FEED > 0) == ~(moved <= jump), "an ordinary move was taken for a wrong one")
    play.batch.set_feed(offset=3 * jump + 10 * sd)
    play.step()
    step = play.step(markup=stand.cheap)
    expect(step.reasons & Reason.FEED, "a price that jumped was believed")
    expect(len(step.won) == 0 or stand.limits.feed is not None, "it quoted around a price that jumped")
    return f"a price that is {3 * jump + 10 * sd:.3g} off is refused, moves up to {jump:.3g} are not ({whose})"


def frozen(stand: Stand) -> str:
    play, whose = _feed(stand, frozen=4)
    most = int(play.batch.tables.dealers[stand.agent]["stale"])
    if most > 40:
        return f"a feed that stands still for {most} steps is refused: longer than a drill ({whose}, not tried)"
    if not float(play.batch.tables.market["move_sd"][0]):
        return "the mid of this market does not move: not tried"
    still, mid = np.zeros(MARKETS), play.mid.copy()  # steps, as the dealer sees it; a book's mid stands still by itself
    for t in range(most + 4):
        expected = still > most
        fired = play.step().reasons & Reason.FEED > 0
        expect(fired == expected, f"it fired in {fired.sum()} markets after {t} steps, not in {expected.sum()}")
        still = np.where((play.mid != mid) & (t == 0), 0.0, still + 1.0)
        mid = play.mid.copy()
        if t == 0:
            play.batch.set_feed(frozen=True)
    expect(fired, "it did not fire")
    return f"it stands still: refused after {most} steps, not before ({whose})"


def bad_price(stand: Stand) -> str:
    play, whose = _feed(stand, above=0.0)
    step = play.step(markup=stand.cheap)
    expect(step.reasons & Reason.FEED == 0, "a good price was refused")
    play.batch.set_feed(offset=-2.0 * float(play.batch.state["mid"].max()) - 1.0)  # type: ignore[union-attr]
    play.step()
    step = play.step(markup=stand.cheap)
    expect(step.reasons & Reason.FEED, "a negative price was believed")
    return f"a price below zero is refused ({whose})"


def non_finite(stand: Stand) -> str:
    play = Play(stand, {})
    step = play.act(np.nan)
    expect(step.reasons & Reason.NON_FINITE, "an action that is no number was not noticed")
    expect(len(step.won) == 0 and not step.hedge.any(), "an action that is no number traded")
    step = play.act(0.0)
    expect(step.reasons & Reason.NON_FINITE == 0, "a finite action was refused")
    return "an action of NaN quotes and hedges nothing; the next, of numbers, does"


def orders(stand: Stand) -> str:
    play = Play(stand, {"pace": 2})
    play.step(hedge=6.0)
    play.batch.order(stand.agent, Order.REDUCE_ONLY | Order.WIDEN)
    for _ in range(5):
        step = play.step(hedge=4.0, markup=stand.cheap)
        expect(step.hedge == 0.0, "restricted, it hedged away from flat")
        expect(step.sign * step.before[step.won["market"]] < 0, "restricted, it traded away from flat")
        expect(step.won["markup"] > stand.cheap, "restricted, it did not quote wider")
    play.batch.order(stand.agent, Order.REDUCE_ONLY | Order.NO_QUOTES | Order.FLATTEN)
    for _ in range(3):
        step = play.step(hedge=4.0, markup=stand.cheap)
        expect(len(step.won) == 0, "halted, it went on quoting")
        expect(
            step.hedge == -np.sign(step.before) * np.minimum(2.0, np.abs(step.before)),
            "it did not close the position at its pace",
        )
    expect(play.inventory == 0.0, "the position is not closed")
    play.batch.reset()
    expect(len(play.step(markup=stand.cheap).won) == 0, "a reset made it forget its orders")
    play.batch.order(stand.agent, 0)
    step = play.step(hedge=3.0, markup=stand.cheap)
    expect(step.hedge == 3.0, "let go, it is still held")
    return "restricted: towards flat and wider; halted: silent, closed at its pace; let go: free"


CONTROLS = (
    Control("request size", "clients ask for more than the limit", rules.VOLUME, size, "clients"),
    Control("markup band", "quotes below, above and within the band", rules.COLLAR, markup, "clients"),
    Control("position", "a hedge and clients that carry it past, and some that do not", rules.POSITION, position, "clients"),
    Control("worst-case position", "quotes whose largest size would carry it past", rules.POSITION, worst_case, "clients"),
    Control("desk position", "all dealers of the desk buy at once", rules.POSITION, desk),
    Control("hedge size", "a hedge ten times too large, and one at the limit", rules.VOLUME, hedge),
    Control("slippage", "a hedge that costs more a lot than the limit", rules.COLLAR, slippage, "curve"),
    Control("loss", "half of the markets lose twice the limit", rules.RISK, loss),
    Control("drawdown", "half of the markets fall by twice the limit", rules.RISK, drawdown),
    Control("rolling loss", "half of the markets lose twice the limit in a step", rules.RISK, rolling_loss),
    Control("time at limit", "an inventory that stays, and one just below", rules.RISK, time_at_limit),
    Control("fat finger", "a price that jumps, and ordinary moves", rules.DATA, fat_finger),
    Control("frozen feed", "a price that stands still", rules.DATA, frozen),
    Control("bad price", "a price below zero", rules.DATA, bad_price),
    Control("action that is no number", "NaN, then numbers", rules.COLLAR, non_finite),
    Control("orders", "restrict, halt, flatten, let go", rules.STOP, orders),
)  # fmt: skip
