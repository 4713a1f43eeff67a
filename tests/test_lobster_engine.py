"""The matching engine follows LOBSTER files: a made one of which everything is known, and the real piece."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.feed import feed, lines
from marketsim.document import InputError
from marketsim.feeds.lobster import Type
from marketsim.feeds.lobster_check import Driver, check

LOBSTER = Path("../shared/data/lobster_aapl_2012-06-21")
real = pytest.mark.skipif(not LOBSTER.exists(), reason="the samples of real markets are not part of the repository")
VIEW = 4  # levels of the made files


class Market:
    """A plain book of which LOBSTER would write a file: only what changes the first levels is written."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.queues: dict[int, dict[int, list[list[int]]]] = {1: {}, -1: {}}
        self.next_order, self.time = 1, 34200.0
        self.messages: list[str] = []
        self.rows: list[str] = []
        for _ in range(60):
            side = int(self.rng.choice([1, -1]))
            self.rest(side, 10_000 - side * int(self.rng.integers(1, 12)))

    def rest(self, side: int, price: int) -> tuple[int, int]:
        order, lots = self.next_order, int(self.rng.integers(1, 9)) * 10
        self.queues[side].setdefault(price, []).append([order, lots])
        self.next_order += 1
        return order, lots

    def best(self, side: int) -> int:
        return side * max(side * price for price in self.queues[side])

    def row(self) -> str:
        cells = []
        asks, bids = sorted(self.queues[-1])[:VIEW], sorted(self.queues[1], reverse=True)[:VIEW]
        for k in range(VIEW):
            for side, prices, none in ((-1, asks, "9999999999,0"), (1, bids, "-9999999999,0")):
                if k < len(prices):
                    cells.append(f"{prices[k] * 100},{sum(lots for _, lots in self.queues[side][prices[k]])}")
                else:
                    cells.append(none)
        return ",".join(cells)

    def write(self, kind: int, order: int, lots: int, price: int, side: int, before: str) -> None:
        if (after := self.row()) != before or kind == 5:
            self.messages.append(f"{self.time:.6f},{kind},{order},{lots},{price * 100},{side}")
            self.rows.append(after)

    def take(self, side: int, price: int, place: int, lots: int) -> tuple[int, int]:
        entry = self.queues[side][price][place]
        lots = min(lots, entry[1])
        entry[1] -= lots
        if entry[1] == 0:
            self.queues[side][price].pop(place)
            if not self.queues[side][price]:
                del self.queues[side][price]
        return entry[0], lots

    def step(self) -> None:
        self.time += 0.01
        side = int(self.rng.choice([1, -1]))
        doing, before = self.rng.random(), self.row()
        if doing < 0.5 or sum(map(len, self.queues[side].values())) < 12:
            price = self.best(-side) - side * int(self.rng.integers(1, 12))
            self.write(1, *self.rest(side, price), price, side, before)
        elif doing < 0.8:
            price = int(self.rng.choice(list(self.queues[side])))
            place = int(self.rng.integers(len(self.queues[side][price])))
            lots = self.queues[side][price][place][1]
            less = lots if self.rng.random() < 0.6 else max(lots // 2, 1)
            order, less = self.take(side, price, place, less)
            self.write(3 if less == lots else 2, order, less, price, side, before)
        elif doing < 0.97:
            left = int(self.rng.integers(1, 25)) * 10
            while left and len(self.queues[side]) > 1:
                price, before = self.best(side), self.row()
                order, lots = self.take(side, price, 0, left)
                left -= lots
                self.write(4, order, lots, price, side, before)
        else:
            self.write(5, 0, 7, self.best(side), side, before)


def made(folder: Path, seed: int, steps: int = 1500) -> tuple[Path, Path]:
    market = Market(seed)
    for _ in range(steps):
        market.step()
    folder.mkdir(exist_ok=True)
    files = folder / "message.csv", folder / "orderbook.csv"
    for file, text in zip(files, (market.messages, market.rows), strict=True):
        file.write_text("\n".join(text) + "\n")
    return files


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_engine_follows_a_made_market_row_by_row(tmp_path, seed):
    """Every level of every row once it has come into view; from the first row alone what rested outside is unknown."""
    message, book = made(tmp_path / "piece", seed)
    whole = check(message, book, 0.01, revealed=True)
    assert whole.rows > 1500 and whole.executions > 600
    assert whole.levels == (1.0,) * VIEW and whole.best == 1.0 and whole.first_levels == VIEW
    assert (
        100 < whole.named < whole.executions == whole.makers
        and set(whole.outcomes) == {"accepted"}
        and whole.unseen == 0
    )
    seeded = check(message, book, 0.01)
    assert seeded.rows == whole.rows and 0.2 < seeded.best < 1 and seeded.unseen > 0 and seeded.stale > 0
    assert seeded.levels[0] == seeded.best > seeded.levels[-1]


def test_what_a_message_shows_to_be_gone_is_taken_out():
    driver = Driver()
    for order, price in ((1, 101), (2, 102), (3, 103), (4, 104)):
        driver.step(Type.NEW, -1, order, 10, price)
    driver.step(Type.EXECUTION, -1, 2, 10, 102)  # which order 1 would have met
    assert (driver.stale, driver.makers, set(driver.left)) == (1, 1, {3, 4})
    driver.step(Type.NEW, 1, 5, 10, 103)  # rests where order 3 should be
    assert (driver.stale, set(driver.left), driver.book.best_bid, driver.book.best_ask) == (2, {4, 5}, 103, 104)
    driver.step(Type.DELETE, 1, 99, 10, 90)
    driver.step(Type.EXECUTION, 1, 98, 10, 90)
    assert driver.unseen == 2 and set(driver.left) == {4, 5}


def test_a_wrong_book_is_noticed(tmp_path):
    message, book = made(tmp_path / "piece", 0, 400)
    rows = book.read_text().splitlines()
    cells = rows[200].split(",")
    rows[200] = ",".join([cells[0], str(int(cells[1]) + 1), *cells[2:]])
    book.write_text("\n".join(rows))
    found = check(message, book, 0.01, revealed=True)
    assert found.best == (found.rows - 1) / found.rows
    book.write_text("\n".join(rows[:-1]))
    with pytest.raises(InputError, match=rf"orderbook.csv: holds {len(rows) - 1} rows, .*message.csv has more$"):
        check(message, book, 0.01)
    book.write_text("\n".join([*rows, rows[-1]]))
    with pytest.raises(InputError, match=rf"orderbook.csv: holds more than the {len(rows)} rows of "):
        check(message, book, 0.01)


@real
def test_the_real_piece_is_followed_as_far_as_it_can_be():
    """From the first row alone: what a plain replay of the levels reaches. With the levels that come into view: all."""
    message, book = LOBSTER / "message_10.csv", LOBSTER / "orderbook_10.csv"
    seeded = check(message, book, 0.01)
    assert (seeded.rows, round(seeded.best * 999), seeded.executions, seeded.makers) == (999, 955, 98, 94)
    revealed = check(message, book, 0.01, revealed=True)
    assert revealed.levels == (1.0,) * 10 and revealed.makers == revealed.executions == 98 and revealed.unseen == 0
    assert revealed.named == 90  # the others met what rested before the file began, or came back into view


def test_the_verb_says_what_a_file_holds(tmp_path):
    made(tmp_path / "piece", 4, 300)
    found = feed(tmp_path / "piece")
    assert found["format"] == "lobster" and found["checks"]["revealed"]["best"] == 1.0
    said = "\n".join(lines(found))
    assert "on 100.0% of" in said and "messages: " in said and json.loads(json.dumps(found))["checks"]["seeded"]
    (tmp_path / "trades.csv").write_text("time,price,size,side\n1,10,3,buy\n3,11,1,sell\n")
    found = feed(tmp_path / "trades.csv")
    assert (
        found["events"] == {"trade": 2} and found["span"] == 2.0 and found["bought"] == 0.75 and found["volume"] == 4.0
    )
    assert "never quoted on both sides" in "\n".join(lines(found))


def test_the_mean_spread_is_over_time(tmp_path):
    text = "time,bid,bid_size,ask,ask_size\n0,10,1,12,1\n6,10,1,11,1\n10,10,1,11,2\n"
    (tmp_path / "quotes.csv").write_text(text)
    found = feed(tmp_path / "quotes.csv", tick=1.0)
    assert found["spread"] == pytest.approx(1.6) and found["lost"] == {"beyond": 0, "left": 0, "crossed": 0}
