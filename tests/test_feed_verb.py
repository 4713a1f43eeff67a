"""``marketsim feed`` from outside, the example of its page, its benchmark, and the memory of a long file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_feeds import BOTH, BUY, HFT, SELL

from experiments import cli
from experiments.bench import feed as bench
from experiments.bench.rows import Row
from marketsim.feeds.types import Kind

PAGE = Path(__file__).parent.parent / "docs" / "feeds.md"


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["marketsim", *words])
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def event_array(n: int) -> np.ndarray:
    """A touch at 100 and 101 that is told again and again, and traded at."""
    array = np.zeros(n, HFT)
    turn = np.arange(n) % 4
    array["ev"] = BOTH | np.where(turn % 2 == 0, BUY, SELL) | np.where(turn < 2, 1, 2)
    array["exch_ts"] = array["local_ts"] = 1_000_000 * np.arange(n)
    array["px"] = np.choose(turn, [100, 101, 101, 100])
    array["qty"] = 5
    return array


def test_a_file_is_told_in_lines_or_as_json(monkeypatch, capsys, tmp_path):
    np.savez_compressed(tmp_path / "day.npz", data=event_array(400))
    code, out, err = run(monkeypatch, capsys, "feed", str(tmp_path / "day.npz"))
    assert (code, err) == (0, "") and out.splitlines() == [
        "hftbacktest: tick 1, lot 1",
        "400 events in 0.399 s: 200 depth, 200 trade",
        "200 prints of 1,000 in all, 50.0% bought",
        "2 changes of the best quotes, mean spread 1 ticks",
    ]
    code, out, _ = run(monkeypatch, capsys, "feed", str(tmp_path / "day.npz"), "--tick", "0.5", "--json")
    assert code == 0 and json.loads(out)["spread"] == 2.0 and json.loads(out)["tick"] == 0.5


def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    array = event_array(9)
    array["px"][4] = np.nan
    np.savez_compressed(tmp_path / "day.npz", data=array)
    code, out, err = run(monkeypatch, capsys, "feed", str(tmp_path / "day.npz"))
    assert (code, out, err) == (2, "", f"{tmp_path}/day.npz: row 4: px: got nan, it must be finite\n")
    (tmp_path / "quotes.csv").write_text("time,bid,ask\n1,2,3\n")
    code, out, err = run(monkeypatch, capsys, "feed", str(tmp_path / "quotes.csv"))
    assert (code, out) == (2, "") and err.startswith(
        f"{tmp_path}/quotes.csv:1: no column for bid_size and ask_size among "
    )
    for words in (["none.csv"], [str(tmp_path)], [str(tmp_path / "quotes.csv"), "--book", "book.csv"]):
        code, out, err = run(monkeypatch, capsys, "feed", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_maker_of_the_page_runs(monkeypatch, capsys, tmp_path):
    np.savez_compressed(tmp_path / "day.npz", data=event_array(4000))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) > 20 and {line.split()[1] for line in said[:-1]} == {"bought", "sold"}
    assert "'accepted'" in said[-1]


def test_the_benchmark_measures_a_market_with_trades_in_it(monkeypatch):
    for name, value in {"EVENTS": 20_000, "CHUNK": 4096, "REPEATS": 1, "LONG_CHUNKS": 3}.items():
        monkeypatch.setattr(bench, name, value)
    rows = bench.rows()
    assert [(row.at_least, row.aim) for row in rows if row.at_least] == [(8e6, 17e6), (0.3e6, 0.5e6), (500.0, None)]
    assert all(row.value and row.value > 0 for row in rows)
    assert Row("memory", 600.0, "MB", 500.0).met is False
    chunks = list(bench.synthetic(3))
    replay = bench.FeedReplay(chunks, 0.01, 0.001, "power", latency=1_000_000)
    fills = replay.play(bench.maker, bench.EVERY, np.zeros(1))
    assert len(fills) > 50 and fills["maker"].all() and replay._account[bench.execution.ACTS] > 600
    kinds = np.concatenate(chunks)["kind"]
    assert np.mean(kinds == Kind.TRADE) == pytest.approx(1 / 8, abs=0.02)


@pytest.mark.long
def test_a_file_larger_than_the_memory_allowed_is_replayed(tmp_path):
    """12 million rows are 768 MB: held whole, they alone would be too much."""
    part = event_array(1_000_000)
    with zipfile.ZipFile(tmp_path / "day.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("data.npy", "w", force_zip64=True) as file:
            header = {"descr": np.lib.format.dtype_to_descr(HFT), "fortran_order": False, "shape": (12_000_000,)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(12):
                file.write(part.tobytes())
                part["exch_ts"] += 10**12
    code = """
import resource, sys
from marketsim.feeds import FeedReplay, open_feed
feed = open_feed(sys.argv[1])
replay = FeedReplay(feed.chunks(), feed.tick, feed.lot, queue="power")
order = replay.submit(1, 100, 3)
replay.elapse(12 * 10**12)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024), replay.over, replay.position)
"""
    environment = os.environ | {"PYTHONPATH": str(PAGE.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "day.npz")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    largest, over, position = done.stdout.split()
    assert int(largest) < 500e6 and (over, position) == ("True", "3.0")
