"""Text tables, plain or gzip, in blocks of bounded memory through pyarrow; every refusal names its line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marketsim.yaml_text import InputError

if TYPE_CHECKING:
    import pyarrow

BLOCK = 1 << 21  # bytes of text
INTEGER, NUMBER, WORD = "int64", "float64", "string"


@dataclass(frozen=True)
class Block:
    """Some rows: ``place(row)`` is ``file:line``; ``columns`` by name, int64, float64, or text as a pyarrow array."""

    place: Callable[[int], str]
    columns: dict[str, pyarrow.Array | np.ndarray]


def head(path: Path, lines: int = 2) -> list[list[str]]:
    """The cells of the first lines of a file, fewer where it has fewer. Raises InputError: no file, no text, no rows."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        # a byte that is no text is found again, with its line, where the rows are read
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", newline="", errors="replace") as file:
            texts = [line for line in (file.readline(1 << 16) for _ in range(lines)) if line]
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is not a table of text: {_one_line(error)}") from None
    if not texts:
        raise InputError(f"{path}: is empty")
    return [[cell.strip().strip('"') for cell in text.rstrip("\r\n").split(",")] for text in texts]


def blocks(path: Path, names: list[str], types: dict[str, str], header: bool = True) -> Iterator[Block]:
    """The columns named in ``types``, some rows at a time; ``names`` of all columns, which a ``header`` repeats.

    Raises InputError with the line: another number of cells, a cell that is empty or of another type, a file cut off.
    """
    import pyarrow
    from pyarrow import csv

    first = 2 if header else 1  # an editor counts the header as line 1
    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=None if header else names),
            parse_options=csv.ParseOptions(ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types={name: pyarrow.type_for_alias(kind) for name, kind in types.items()},
                include_columns=list(types),
            ),
        )
        for batch in reader:
            if len(batch):
                yield _block(path, first, batch, types)
            first += len(batch)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(_where(path, error, names)) from None


def _block(path: Path, first: int, batch: pyarrow.RecordBatch, types: dict[str, str]) -> Block:
    def place(row: int) -> str:
        return f"{path}:{first + row}"

    columns: dict[str, pyarrow.Array | np.ndarray] = {}
    for name, kind in types.items():
        column = batch.column(name)
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise InputError(f"{place(row)}: {name}: got NaN or nothing, it must be {_MUST[kind]}")
        columns[name] = column if kind == WORD else column.to_numpy(zero_copy_only=False)
    return Block(place, columns)


_MUST = {INTEGER: "a whole number", NUMBER: "a finite number", WORD: "a word"}


def _where(path: Path, error: Exception, names: list[str]) -> str:
    """pyarrow's message as one line that begins with the place."""
    text = _one_line(error)
    row = re.search(r"Row #(\d+): ", text)
    place = f"{path}:{row[1]}" if row else f"{path}"
    cells = re.search(r"Expected (\d+) columns, got (\d+)", text)
    if cells:
        return f"{place}: got {cells[2]} columns, it must have {cells[1]}"
    value = re.search(r"CSV column #(\d+): .*conversion error to (\w+): invalid value '(.*)'", text)
    if value:
        kind = INTEGER if value[2].startswith("int") else NUMBER
        return f"{place}: {_column(int(value[1]), names)}: got {value[3]!r}, it must be {_MUST[kind]}"
    bytes_ = re.search(r"CSV column #(\d+): .*invalid UTF8", text)
    if bytes_:
        return f"{place}: {_column(int(bytes_[1]), names)}: holds bytes that are no text (UTF-8)"
    if "runcated" in text:
        return f"{path}: the gzip file is cut off"
    return f"{place}: {text}"


def _column(number: int, names: list[str]) -> str:
    return names[number] if number < len(names) else f"column {number + 1}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
