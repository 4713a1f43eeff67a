"""Files of market data -> arrays. CSV and Parquet through pyarrow, only the columns that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marketsim.yaml_text import InputError

if TYPE_CHECKING:
    import pyarrow

TIME = ("time", "time_ms", "time_us", "time_ns", "timestamp", "datetime", "date", "ts")
PRICE = ("mid", "price", "close", "last")
BID = ("bid", "best_bid", "bid_price")
ASK = ("ask", "best_ask", "ask_price")
MAX_PRICES = 50_000_000


def read_prices(
    path: str | Path,
    time: str | None = None,
    price: str | None = None,
    bid: str | None = None,
    ask: str | None = None,
    every: float | None = None,
) -> np.ndarray:
    """The price of a file with a time and a price, or a bid and an ask whose mean is taken. float64 (n,).

    ``time``, ``price``, ``bid``, ``ask``: column names; found by the usual names where not given, a bid and an ask
    before a price. ``every``: time units of the file (seconds where it holds dates) from one price to the next, each
    the last one known at its time; without it every row is a price. Raises InputError with the file and its row: a
    price that is not finite and above 0, a time that runs backwards.
    """
    path = Path(path)
    header = _columns(path)
    wanted = _choose(path, header, time, price, bid, ask)
    if every is not None and "time" not in wanted:
        raise InputError(f"{path}: every: no time column among {', '.join(header)}, name it with time:")
    columns = {role: _numbers(path, name, column) for role, name, column in _read(path, wanted)}
    prices = columns["price"] if "price" in columns else (columns["bid"] + columns["ask"]) / 2
    for role in [role for role in columns if role != "time"]:
        _refuse_rows(path, ~((columns[role] > 0) & np.isfinite(columns[role])), wanted[role], columns[role], "above 0")
    if len(prices) == 0:
        raise InputError(f"{path}: holds no rows")
    if "time" not in columns:
        return prices
    times = columns["time"]
    _refuse_rows(path, ~np.isfinite(times), wanted["time"], times, "finite")
    _refuse_rows(path, np.diff(times, prepend=times[0]) < 0, wanted["time"], times, "at least the time before it")
    if every is None:
        return prices
    n = (times[-1] - times[0]) // every + 1
    if n > MAX_PRICES:
        raise InputError(f"{path}: every: {every:g} makes {n:.3g} prices, at most {MAX_PRICES:.0e} are allowed")
    grid = times[0] + every * np.arange(int(n))
    return prices[np.searchsorted(times, grid, side="right") - 1]


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _columns(path: Path) -> list[str]:
    import pyarrow
    from pyarrow import csv, parquet

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        if _is_parquet(path):
            return list(parquet.read_schema(path).names)
        with csv.open_csv(path) as reader:
            return list(reader.schema.names)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: is not a CSV or Parquet table: {' '.join(str(error).split())[:200]}") from None


def _choose(
    path: Path, header: list[str], time: str | None, price: str | None, bid: str | None, ask: str | None
) -> dict[str, str]:
    """Role -> column name."""
    for role, name in (("time", time), ("price", price), ("bid", bid), ("ask", ask)):
        if name is not None and name not in header:
            raise InputError(f"{path}: {role}: there is no column {name!r}, allowed are {', '.join(header)}")
    if (bid is None) != (ask is None):
        raise InputError(f"{path}: a bid and an ask are needed, only the {'bid' if ask is None else 'ask'} is named")

    def usual(names: tuple[str, ...]) -> str | None:
        return next((column for name in names for column in header if column.lower() == name), None)

    chosen = {"time": time or usual(TIME)}
    if price is None:
        chosen |= {"bid": bid or usual(BID), "ask": ask or usual(ASK)}
    if chosen.get("bid") is None or chosen.get("ask") is None:
        chosen = {"time": chosen["time"], "price": price or usual(PRICE)}
        if chosen["price"] is None:
            raise InputError(
                f"{path}: no price and no bid and ask among the columns {', '.join(header)}, name them with price: "
                "or with bid: and ask:"
            )
    return {role: name for role, name in chosen.items() if name is not None}


def _read(path: Path, wanted: dict[str, str]) -> list[tuple[str, str, pyarrow.ChunkedArray]]:
    import pyarrow
    from pyarrow import csv, parquet

    names = list(dict.fromkeys(wanted.values()))
    try:
        if _is_parquet(path):
            table = parquet.read_table(path, columns=names)
        else:
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(include_columns=names))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    return [(role, name, table[name]) for role, name in wanted.items()]


def _numbers(path: Path, name: str, column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column as float64 (n,), NaN where it is empty; dates in seconds."""
    import pyarrow
    from pyarrow import compute

    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind):
        nanoseconds = column.cast(pyarrow.timestamp("ns", getattr(kind, "tz", None))).cast(pyarrow.int64())
        return nanoseconds.to_numpy().astype(np.float64) / 1e9
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        number = compute.match_substring_regex(column, r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")
        bad = np.flatnonzero(~number.fill_null(True).to_numpy())
        if len(bad):
            value = column[int(bad[0])].as_py()
            raise InputError(f"{_row(path, int(bad[0]))}: {name}: got {value!r}, it must be a number")
    try:
        return column.cast(pyarrow.float64(), safe=False).to_numpy().astype(np.float64)
    except pyarrow.ArrowException:
        raise InputError(f"{path}: the column {name} holds {kind}, it must hold numbers") from None


def _refuse_rows(path: Path, bad: np.ndarray, name: str, values: np.ndarray, allowed: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{_row(path, row)}: {name}: got {values[row]:.17g}, it must be {allowed}")


def _row(path: Path, row: int) -> str:
    """A row as an editor counts it: the header of a CSV file is its line 1."""
    return f"{path}: row {row}" if _is_parquet(path) else f"{path}:{row + 2}"
