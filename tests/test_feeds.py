"""Feeds: every format -> the same events, whatever the size of the chunks; every mistake in a file is one line."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from marketsim.document import InputError
from marketsim.feeds import events, hftbacktest, open_feed, table, tape
from marketsim.feeds.types import EVENT, Kind

DATA = Path("../shared/data")
LOBSTER, ETHUSDT = DATA / "lobster_aapl_2012-06-21", DATA / "ethusdt_perp_2024-08-08"
real = pytest.mark.skipif(not DATA.exists(), reason="the samples of real markets are not part of the repository")

DEPTH, TRADE, CLEAR, HALT = Kind


def told(feed) -> list[tuple]:
    return [event for chunk in feed.chunks() for event in chunk.tolist()]


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


# --- LOBSTER ---------------------------------------------------------------------------------------

MESSAGES = """\
34200.000000001,1,11,100,1000100,1
34200.5,1,12,30,1000200,-1
34201,4,11,40,1000100,1
34201,2,11,10,1000100,1
34202,5,0,7,1000150,-1
34203,3,12,30,1000200,-1
34204,7,0,0,-1,-1
34205,6,-1,500,1000100,-1
34206,3,99,5,999900,1
"""
BOOK = "9999999999,0,1000100,150,9999999999,0,999900,20\n" + "1000200,30,1000100,150,9999999999,0,999900,20\n" * 8


def test_lobster_messages_become_depth_and_trades(tmp_path):
    feed = open_feed(write(tmp_path / "message.csv", MESSAGES))
    assert (feed.format, feed.tick, feed.lot) == ("lobster", 0.01, 1.0)
    s = 10**9
    assert told(feed) == [
        (34200 * s + 1, DEPTH, 1, 10001, 100),
        (34200 * s + s // 2, DEPTH, -1, 10002, 30),
        (34201 * s, TRADE, -1, 10001, 40),  # a resting buy was hit
        (34201 * s, DEPTH, 1, 10001, 60),
        (34201 * s, DEPTH, 1, 10001, 50),
        (34202 * s, TRADE, 1, 10002, 7),  # hidden, between two ticks: half to even
        (34203 * s, DEPTH, -1, 10002, 0),
        (34204 * s, HALT, 0, -1, 0),
        (34205 * s, TRADE, 0, 10001, 500),  # an auction has no aggressor
        (34206 * s, DEPTH, 1, 9999, 0),  # of an order that nobody told of
    ]


def test_the_first_row_of_the_book_seeds_the_depth(tmp_path):
    feed = open_feed(write(tmp_path / "message.csv.gz", MESSAGES), book=write(tmp_path / "orderbook.csv", BOOK))
    events = told(feed)
    assert [event[1:] for event in events[:3]] == [(DEPTH, 1, 10001, 150), (DEPTH, 1, 9999, 20), (DEPTH, -1, 10002, 30)]
    assert events[-1][1:] == (DEPTH, 1, 9999, 15)
    assert open_feed(tmp_path).book == tmp_path / "orderbook.csv"  # the folder knows both


@real
def test_the_tape_of_a_real_lobster_piece_is_its_book_and_its_executions():
    found = tape(LOBSTER)
    book = np.loadtxt(LOBSTER / "orderbook_10.csv", delimiter=",", dtype=np.int64)
    message = np.loadtxt(LOBSTER / "message_10.csv", delimiter=",")
    for quote in found.quotes:
        row = book[np.flatnonzero(np.abs(message[:, 0] - quote["time"]) < 1e-9)[-1]]
        assert [quote["ask"] * 100, quote["ask_size"], quote["bid"] * 100, quote["bid_size"]] == row[:4].tolist()
    executed = message[np.isin(message[:, 1], (4, 5))]
    assert np.array_equal(found.prints["size"], executed[:, 3]) and np.array_equal(
        found.prints["side"], -executed[:, 5]
    )
    assert np.abs(found.prints["price"] * 100 - executed[:, 4]).max() == 0
    rebuilt = tape(LOBSTER / "message_10.csv")
    assert np.array_equal(rebuilt.prints, found.prints)
    assert np.mean(np.isin(rebuilt.quotes["time"], found.quotes["time"])) > 0.9


# --- CSV -------------------------------------------------------------------------------------------


def test_updates_of_the_book_in_csv(tmp_path):
    text = "Timestamp,is_snapshot,side,price,amount\n1700000000000001,false,bid,10.05,1.5\n"
    text += "1700000000000002,true,ask,10.1,2\n1700000000000002,true,bid,10,.25\n1700000000000003,false,ask,10.1,0\n"
    feed = open_feed(write(tmp_path / "l2.csv.gz", text))
    t = 1_700_000_000_000_000_000
    assert (feed.tick, feed.lot) == (0.01, 0.01)
    assert told(feed) == [
        (t + 1000, DEPTH, 1, 1005, 150),
        (t + 2000, CLEAR, 0, 0, 0),  # a snapshot begins
        (t + 2000, DEPTH, -1, 1010, 200),
        (t + 2000, DEPTH, 1, 1000, 25),
        (t + 3000, DEPTH, -1, 1010, 0),
    ]


def test_a_column_may_say_what_a_row_is(tmp_path):
    text = "time,kind,side,price,size\n1.5,depth,1,10,3\n2,trade,-1,10,1\n2.25,clear,1,10,0\n"
    assert told(open_feed(write(tmp_path / "all.csv", text), tick=0.5)) == [
        (1_500_000_000, DEPTH, 1, 20, 3), (2_000_000_000, TRADE, -1, 20, 1), (2_250_000_000, CLEAR, 1, 20, 0)
    ]  # fmt: skip


def test_quotes_are_a_book_of_what_was_shown(tmp_path):
    text = (
        "time_ms,bid,bid_size,ask,ask_size\n1,100,5,101,6\n2,102,4,103,6\n3,102,4,103,6\n4,99,7,103,9\n5,99,0,103,9\n"
    )
    ms = 10**6
    assert told(open_feed(write(tmp_path / "q.csv", text), tick=1.0)) == [
        (1 * ms, DEPTH, 1, 100, 5), (1 * ms, DEPTH, -1, 101, 6),
        (2 * ms, DEPTH, -1, 101, 0), (2 * ms, CLEAR, -1, 102, 0),  # what ends comes first
        (2 * ms, DEPTH, 1, 102, 4),  # better: the old best stays behind it
        (2 * ms, DEPTH, -1, 103, 6),
        (4 * ms, DEPTH, 1, 102, 0), (4 * ms, CLEAR, 1, 100, 0), (4 * ms, DEPTH, 1, 99, 7), (4 * ms, DEPTH, -1, 103, 9),
        (5 * ms, DEPTH, 1, 99, 0), (5 * ms, CLEAR, 1, -(2**40), 0),
    ]  # fmt: skip


def test_quotes_and_trades_share_a_tick_and_are_merged_in_time(tmp_path):
    quotes = "".join(f"{t},{10 + t * 0.05:.2f},1,{10.05 + t * 0.05:.2f},1\n" for t in range(10))
    write(tmp_path / "quotes.csv", "time,bid,bid_size,ask,ask_size\n" + quotes)
    write(
        tmp_path / "trades.csv.gz",
        "time,price,size,side\n" + "".join(f"{t},{10 + t * 0.05:.2f},.5,1\n" for t in range(11)),
    )
    feed = open_feed(tmp_path)
    assert (feed.tick, feed.lot) == (0.05, 0.1)
    events = told(feed)
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    assert events[0] == (0, TRADE, 1, 200, 5) and events[1] == (
        0,
        DEPTH,
        1,
        200,
        10,
    )  # at one time the trade comes first
    assert sum(event[1] == TRADE for event in events) == 11
    write(tmp_path / "trades.csv.gz", "time,price,size,side\n1,10.025,.5,1\n")
    feed = open_feed(tmp_path)
    assert (feed.tick, feed.lot) == (0.001, 0.1) and told(feed)[0][3] == 10_000


@real
def test_the_tape_of_quotes_and_trades_is_the_two_files(monkeypatch):
    found = tape(ETHUSDT)
    quotes = np.genfromtxt(ETHUSDT / "quotes.csv", delimiter=",", names=True)
    trades = np.genfromtxt(ETHUSDT / "trades.csv", delimiter=",", names=True)
    at = quotes[np.searchsorted(quotes["time_ms"], found.quotes["time"] * 1e3 + 1723075200000 + 0.5, side="right") - 1]
    for name, unit in (("bid", found.tick), ("bid_size", found.lot), ("ask", found.tick), ("ask_size", found.lot)):
        np.testing.assert_allclose(found.quotes[name] * unit, at[name], rtol=1e-12)
    for name, unit in (("price", found.tick), ("size", found.lot), ("side", 1)):
        np.testing.assert_allclose(found.prints[name] * unit, trades[name], rtol=1e-12)
    assert len(found.quotes) > 0.99 * len(quotes)
    monkeypatch.setattr(table, "BLOCK", 4096)
    small = tape(ETHUSDT)
    assert np.array_equal(small.quotes, found.quotes) and np.array_equal(small.prints, found.prints)


def test_a_tape_of_nothing_is_refused_and_one_of_a_row_is_not(tmp_path):
    path = write(tmp_path / "q.csv", "time,bid,bid_size,ask,ask_size\n1,0,0,0,0\n2,0,0,0,0\n")
    with pytest.raises(InputError, match=r"q.csv: tells of no quote and no trade$"):
        tape(path, tick=1.0)
    message = write(tmp_path / "message.csv", "34200,1,11,100,1000100,1\n")
    book = write(tmp_path / "orderbook.csv", "1000200,50,1000100,100\n")
    found = tape(message, book=book)
    assert found.quotes.tolist() == [(34200.0, 10001, 100, 10002, 50)] and len(found.prints) == 0
    write(book, "1000200,50,1000100,100\n" * 2)
    with pytest.raises(InputError, match=r"orderbook.csv: holds 2 rows, the messages of .*message.csv are 1$"):
        tape(message, book=book)


# --- hftbacktest -----------------------------------------------------------------------------------

HFT = np.dtype(
    [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")],
    align=True,
)  # fmt: skip
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = EXCH | LOCAL


def hft(rows) -> np.ndarray:
    array = np.zeros(len(rows), HFT)
    for k, row in enumerate(rows):
        array[k] = (*row, 0, 0, 0.0)
    return array


ROWS = hft([
    (BOTH | 3, 10, 15, np.nan, 0), (BOTH | BUY | 4, 10, 15, 10.5, 2), (BOTH | SELL | 1, 11, 17, 11.0, 3),
    (EXCH | BUY | 2, 12, 99, 11.0, 1), (LOCAL | BUY | 2, 12, 18, 11.0, 1), (BOTH | BUY | 3, 13, 19, 10.0, 0),
])  # fmt: skip


def test_event_arrays_by_either_clock(tmp_path):
    path = tmp_path / "day.npz"
    np.savez_compressed(path, data=ROWS)
    feed = open_feed(path)
    assert (feed.tick, feed.lot) == (0.1, 1.0)
    feed = open_feed(path, tick=0.5)
    assert told(feed) == [
        (10, CLEAR, 0, 0, 0), (10, DEPTH, 1, 21, 2), (11, DEPTH, -1, 22, 3), (12, TRADE, 1, 22, 1), (13, CLEAR, 1, 20, 0)
    ]  # fmt: skip
    assert [event[0] for event in told(hftbacktest.feed(path, clock="local", tick=0.5))] == [15, 15, 17, 18, 19]
    np.save(tmp_path / "day.npy", ROWS)
    assert told(open_feed(tmp_path / "day.npy", tick=0.5)) == told(feed)


def test_chunks_do_not_change_an_event_array(tmp_path, monkeypatch):
    path = tmp_path / "day.npz"
    np.savez_compressed(path, data=ROWS)
    whole = told(open_feed(path, tick=0.5))
    monkeypatch.setattr(hftbacktest, "CHUNK", 1)
    assert told(open_feed(path, tick=0.5, lot=1.0)) == whole


# --- bad input -------------------------------------------------------------------------------------

L2 = "time_ms,kind,side,price,size\n1,depth,1,10.1,3\n"
REFUSED = {
    "nan": ("a.csv", L2 + "2,depth,1,nan,3\n", "a.csv:3: price: got NaN or nothing, it must be a finite number"),
    "inf": ("a.csv", L2 + "2,depth,1,inf,3\n", "a.csv:3: price: got inf, it must be finite"),
    "word": ("a.csv", L2 + "2,depth,1,ten,3\n", "a.csv:3: price: got 'ten', it must be a finite number"),
    "time runs back": ("a.csv", L2 + "0,depth,1,10.1,3\n", "a.csv:3: time: got 0 ns, it must be at least the 1000000 ns of the row above"),
    "few columns": ("a.csv", L2 + "2,depth,1,10\n", "a.csv:3: got 4 columns, it must have 5"),
    "column names": ("a.csv", "when,side,price,size\n1,1,10,3\n", "a.csv:1: no column for time among when, side, price, size, usual names are time: time, time_ms"),
    "empty file": ("a.csv", "", "a.csv: is empty"),
    "no rows": ("a.csv", "time,side,price,size\n", "a.csv: holds no rows"),
    "no whole tick": ("a.csv", L2 + "2,depth,1,10.13,3\n", "a.csv:3: price: got 10.130000000000001, it must be a whole number of ticks of 0.1, or give tick"),
    "negative size": ("a.csv", L2 + "2,depth,1,10.1,-3\n", "a.csv:3: size: got -3, it must be 0 or more"),
    "unknown type": ("a.csv", L2 + "2,quote,1,10.1,3\n", "a.csv:3: kind: got 'quote', it must be one of depth, trade, clear"),
    "unknown side": ("a.csv", L2 + "2,depth,up,10.1,3\n", "a.csv:3: side: got 'up', it must be one of"),
    "empty trade": ("a.csv", L2 + "2,trade,1,10.1,0\n", "a.csv:3: size: got 0, it must be above 0 in a trade"),
    "crossed quotes": ("a.csv", "time,bid,bid_size,ask,ask_size\n1,2,1,2,1\n", "a.csv:2: bid: got 2, it must be below the ask"),
    "lobster type": ("m.csv", MESSAGES + "34300,8,1,1,1000100,1\n", "m.csv:10: type: got 8, it must be 1 to 7"),
    "lobster time": ("m.csv", MESSAGES + "34200,1,1,1,1000100,1\n", "m.csv:10: time: got 34200000000000 ns, it must be at least"),
    "lobster size": ("m.csv", MESSAGES + "34300,1,1,-1,1000100,1\n", "m.csv:10: size: got -1, it must be above 0"),
    "lobster tick": ("m.csv", MESSAGES + "34300,1,1,1,1000150,1\n", "m.csv:10: price: got 1000150, it must be a whole number of ticks of 100, or give tick"),
    "lobster columns": ("m.csv", MESSAGES + "34300,1,1,1,1000100\n", "m.csv:10: got 5 columns, it must have 6"),
    "lobster direction": ("m.csv", MESSAGES + "34300,1,1,1,1000100,0\n", "m.csv:10: direction: got 0, it must be 1 or -1"),
    "lobster nan": ("m.csv", MESSAGES + "nan,1,1,1,1000100,1\n", "m.csv:10: time: got NaN or nothing, it must be a finite number"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "line"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_bad_table_is_one_line(tmp_path, name, text, line, suffix):
    path = write(tmp_path / (name + suffix), text)
    tick = {"a.csv": 0.1, "m.csv": 0.01}[name]
    with pytest.raises(InputError) as refused:
        told(open_feed(path, tick=tick))
    assert str(refused.value).startswith(str(tmp_path / line.replace(".csv", ".csv" + suffix)))


def test_a_gzip_that_is_cut_off_is_said(tmp_path):
    rows = "".join(f"{t},depth,1,{10 + np.sin(t):.6f},3\n" for t in range(20000))
    whole = gzip.compress((L2.split("\n")[0] + "\n" + rows).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a.csv.gz: the gzip file is cut off$"):
        told(open_feed(tmp_path / "a.csv.gz", tick=1e-6))
    (tmp_path / "b.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"b.csv.gz: is not a table of text: "):
        open_feed(tmp_path / "b.csv.gz")


def test_bytes_that_are_no_text_have_a_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(L2.encode() + b"2,de\xffth,1,10.1,3\n")
    with pytest.raises(InputError, match=r"a.csv:3: kind: holds bytes that are no text"):
        told(open_feed(tmp_path / "a.csv", tick=0.1))


@pytest.mark.filterwarnings("error")
def test_whatever_is_damaged_is_one_line(tmp_path):
    """Files of every format, a few bytes of each changed, lost or put in: read, or refused in a line with their name."""
    rng = np.random.default_rng(11)
    raw, alone = io.BytesIO(), io.BytesIO()
    np.savez(raw, data=ROWS)
    np.save(alone, ROWS)
    rows = "".join(f"{t},depth,1,{10 + t % 3 / 10},3\n" for t in range(2, 30))
    whole = {"m.csv": MESSAGES.encode(), "a.csv": (L2 + rows).encode(), "day.npz": raw.getvalue()}
    whole |= {"a.csv.gz": gzip.compress(whole["a.csv"]), "day.npy": alone.getvalue()}
    put_in = [
        b"",
        b"nan",
        b"-1",
        b"1e300",
        b"9" * 20,
        b"\x00",
        b"\n",
        b",",
        b'"',
        b"\xff",
        b"0.00001",
        b"-9223372036854775808",
    ]
    refused = 0
    for turn in range(400):
        name = list(whole)[turn % len(whole)]
        damaged = bytearray(whole[name])
        for _ in range(rng.integers(1, 4)):
            at, lost = int(rng.integers(len(damaged))), int(rng.integers(0, 3))
            damaged[at : at + lost] = put_in[int(rng.integers(len(put_in)))]
        (tmp_path / name).write_bytes(damaged)
        try:
            told(open_feed(tmp_path / name))
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{tmp_path / name}") and "\n" not in str(error)
    assert 200 < refused < 400


def _with(**changed) -> np.ndarray:
    rows = ROWS.copy()
    for name, value in changed.items():
        rows[name][2] = value
    return rows


REFUSED_ARRAYS = {
    "nan": (_with(px=np.nan), r"row 2: px: got nan, it must be finite"),
    "time runs back": (_with(exch_ts=9), r"row 2: time: got 9 ns, it must be at least the 10 ns of the row above"),
    "negative size": (_with(qty=-1), r"row 2: qty: got -1, it must be 0 or more"),
    "unknown type": (_with(ev=BOTH | BUY | 9), r"row 2: ev: got 9, it must be of type 1 to 4"),
    "nobody's clock": (_with(ev=BUY | 1), r"row 2: ev: got \d+, it must be the exchange's or the receiver's"),
    "no side": (_with(ev=BOTH | 1), r"row 2: ev: got \d+, it must be depth with a side"),
    "no whole tick": (_with(px=11.013), r"row 2: px: got 11.013\d*, it must be a whole number of ticks of 0.5, or give tick"),
    "names of columns": (ROWS[["ev", "px", "qty"]].copy(), r"has no column exch_ts, local_ts, it must have"),
    "no columns": (np.zeros((3, 8)), r"has no column ev, "),
    "empty": (ROWS[:0], r"holds no rows"),
    "pickled": (np.array([{"a": 1}], dtype=object), r"holds pickled objects, which are never read"),
}  # fmt: skip


@pytest.mark.parametrize(("array", "line"), REFUSED_ARRAYS.values(), ids=REFUSED_ARRAYS)
def test_a_bad_event_array_is_one_line(tmp_path, array, line):
    np.savez_compressed(tmp_path / "day.npz", data=array)
    with pytest.raises(InputError, match=rf"day.npz: {line}"):
        told(open_feed(tmp_path / "day.npz", tick=0.5, lot=1.0))


def test_an_archive_that_is_cut_off_or_none_is_said(tmp_path):
    np.savez_compressed(tmp_path / "day.npz", data=ROWS)
    whole = (tmp_path / "day.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.npz: is no whole npz or npy file: "):
        open_feed(tmp_path / "cut.npz")
    raw = io.BytesIO()
    np.save(raw, ROWS)
    (tmp_path / "cut.npy").write_bytes(raw.getvalue()[:-10])
    with pytest.raises(InputError, match=r"cut.npy: is cut off, 6 more rows were promised"):
        told(open_feed(tmp_path / "cut.npy", tick=0.5, lot=1.0))
    with zipfile.ZipFile(tmp_path / "two.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(InputError, match=r"two.npz: holds the arrays none, it must hold one"):
        open_feed(tmp_path / "two.npz")
    with pytest.raises(InputError, match=r"none.npz: there is no such file"):
        open_feed(tmp_path / "none.npz")


def test_ticks_and_lots_are_found():
    prices = 10 + 0.25 * np.arange(10)
    grid = events.Grid.of(prices, np.array([0.001, 2.0]), None, None)
    assert (grid.tick, grid.lot) == (0.25, 0.001)
    assert events.Grid.of(prices[:9], np.ones(1), None, None).tick == 0.01  # too few to tell
    assert events.Grid.of(np.array([585.33]), np.ones(1), None, None).tick == 0.01
    with pytest.raises(InputError, match=r"^tick: got -1.0, it must be above 0$"):
        events.Grid.of(np.ones(1), np.ones(1), -1.0, None)
    assert EVENT.itemsize == 32
