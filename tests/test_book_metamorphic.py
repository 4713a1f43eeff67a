"""What must not matter to a book: the sign of prices, where zero is, the size of a lot, names, orders that come and go."""

from dataclasses import replace

import numpy as np
import pytest

from marketsim import OrderBook
from marketsim.types import ANONYMOUS, MESSAGE, Message, TimeInForce
from tests.messages_fixture import MIXES, messages

COUNT = 4000
PLAYED = {
    name: replace(MIXES[name], bad=0.0, sweeps=0.0)
    for name in ("plain", "desks, cancel resting", "cancel incoming", "desks, cancel both", "small ladder", "amends")
} | {"swings": replace(MIXES["swings"], bad=0.0)}
every_mix = pytest.mark.parametrize("mix", PLAYED.values(), ids=PLAYED)


def book_of(mix, desks=None):
    return OrderBook(
        levels=mix.levels,
        orders=mix.orders,
        self_trade=mix.self_trade.name.lower(),
        desks=mix.desks if desks is None else desks,
        maker_fee=-0.25,
        taker_fee=0.5,
    )


def play(book, sent):
    """(outcomes, trades, {order: (owner, side, price, lots, lots ahead)}) of these messages."""
    trades = book.process(sent.copy())
    standing = {
        order: (owner, side, price, lots, book.queue_ahead(order))
        for order, owner, side, price, lots in book.open_orders().tolist()
    }
    return book.outcomes.tolist(), trades.tolist(), standing


@every_mix
def test_a_mirror_changes_nothing_but_the_side_and_the_sign_of_prices(mix):
    sent = messages(mix, COUNT, seed=1)
    outcomes, trades, standing = play(book_of(mix), sent)
    sent["side"], sent["price"] = -sent["side"], -sent["price"]
    assert play(book_of(mix), sent) == (
        outcomes,
        [(maker, taker, -price, *rest) for maker, taker, price, *rest in trades],
        {order: (owner, -side, -price, *rest) for order, (owner, side, price, *rest) in standing.items()},
    )


@every_mix
@pytest.mark.parametrize("ticks", [1, 37, -1003, 2**39, -(2**39)])
def test_prices_may_begin_anywhere(mix, ticks):
    sent = messages(mix, COUNT, seed=2)
    outcomes, trades, standing = play(book_of(mix), sent)
    sent["price"] += ticks
    assert play(book_of(mix), sent) == (
        outcomes,
        [(maker, taker, price + ticks, *rest) for maker, taker, price, *rest in trades],
        {order: (owner, side, price + ticks, *rest) for order, (owner, side, price, *rest) in standing.items()},
    )


@every_mix
@pytest.mark.parametrize("scale", [3, 1_000_000])
def test_a_lot_may_be_any_size(mix, scale):
    sent = messages(replace(mix, sweeps=0.0), COUNT, seed=3)
    outcomes, trades, standing = play(book_of(mix), sent)
    sent["size"] *= scale
    assert play(book_of(mix), sent) == (
        outcomes,
        [(maker, taker, price, scale * size, *owners) for maker, taker, price, size, *owners in trades],
        {
            order: (owner, side, price, scale * lots, scale * ahead)
            for order, (owner, side, price, lots, ahead) in standing.items()
        },
    )


@every_mix
def test_ids_and_owners_are_but_names(mix):
    rng = np.random.default_rng(4)
    sent = messages(mix, COUNT, seed=4)
    outcomes, trades, standing = play(book_of(mix), sent)
    ids = dict(enumerate(rng.permutation(2**62 // mix.ids * np.arange(mix.ids) + 11).tolist()))
    owners = dict(enumerate(rng.permutation(1000)[: mix.owners].tolist())) | {ANONYMOUS: -17}
    sent["order"] = [ids[order] for order in sent["order"].tolist()]
    sent["owner"] = [owners[owner] for owner in sent["owner"].tolist()]
    book = book_of(mix, {owners[owner]: 9 - desk for owner, desk in mix.desks.items()})
    assert play(book, sent) == (
        outcomes,
        [(ids[m], ids[t], price, size, owners[a], owners[b]) for m, t, price, size, a, b in trades],
        {ids[order]: (owners[owner], *rest) for order, (owner, *rest) in standing.items()},
    )


@every_mix
def test_orders_that_come_and_go_away_from_the_touch_leave_no_trace(mix):
    """Each is post-only and cancelled by the next message, so that it can neither trade nor be in anybody's way."""
    rng = np.random.default_rng(5)
    sent = messages(mix, COUNT, seed=5)
    outcomes, trades, standing = play(book_of(mix), sent)
    crowded = np.zeros(3 * COUNT, MESSAGE)
    crowded[0::3] = sent
    come, go = crowded[1::3], crowded[2::3]
    come["kind"], come["tif"], go["kind"] = Message.LIMIT, TimeInForce.POST_ONLY, Message.CANCEL
    come["side"], come["size"] = rng.choice([-1, 1], COUNT), rng.integers(1, 100, COUNT)
    come["price"] = sent["price"] - come["side"] * rng.integers(0, mix.levels, COUNT)
    come["order"] = go["order"] = 10**9 + np.arange(COUNT)
    come["owner"] = go["owner"] = rng.integers(ANONYMOUS, mix.owners, COUNT)
    crowded_outcomes, *rest = play(book_of(mix), crowded)
    assert (crowded_outcomes[0::3], *rest) == (outcomes, trades, standing)
    assert crowded_outcomes[1::3].count(0) > COUNT // 10


@every_mix
def test_a_snapshot_in_the_middle_goes_on_as_the_book_does(mix):
    first, second = np.split(messages(mix, 2 * COUNT, seed=6), 2)
    book, other = book_of(mix), book_of(mix)
    play(book, first)
    snapshot = book.snapshot()
    expected = play(book, second), book.counts, book.accounts
    play(other, second)  # something else stands in it
    for restored in (other, book):
        restored.restore(snapshot)
        assert (play(restored, second), restored.counts, restored.accounts) == expected


@every_mix
def test_cash_sums_to_the_fees_and_inventory_to_zero(mix):
    book = book_of(mix)
    _, trades, _ = play(book, messages(mix, COUNT, seed=7))
    accounts = book.accounts.values()
    assert sum(account.lots for account in accounts) == 0
    assert sum(account.fees for account in accounts) == 0.25 * sum(size for _, _, _, size, *_ in trades) > 0
    assert sum(account.cash for account in accounts) == -sum(account.fees for account in accounts)
