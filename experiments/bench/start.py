"""How long one waits for the command line, and for a run to train its first step; processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.bench.rows import Row
from marketsim.document import InputError

COMMAND = [sys.executable, "-c", "from experiments.cli import main; main()"]
REPEATS = 5


def measure() -> list[Row]:
    """The figures of starting: warm is with the step compiled before, cold with an empty NUMBA_CACHE_DIR."""
    with tempfile.TemporaryDirectory() as scratch:
        cold = first_update(Path(scratch))
        warm = min(first_update(Path(scratch)) for _ in range(3))
    return [
        Row("marketsim --help", min(_help() for _ in range(REPEATS)), "s", 0.5),
        Row("run quickstart to its first update, warm", warm, "s", 5.0),
        Row("the same, cold: the step is compiled first", cold, "s", 60.0),
    ]


def _help() -> float:
    began = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], env=_environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def first_update(cache: Path) -> float:
    """Seconds from the command to the end of the first update of training, its kernels cached in ``cache``.

    A run of one update says so as soon as it is done: no line is shown earlier than five seconds otherwise.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [*COMMAND, "run", "quickstart", "--set", "train.steps=1", "--out", out]
        environment = _environment() | {"NUMBA_CACHE_DIR": str(cache)}
        began = time.perf_counter()
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            said = b""
            for line in process.stderr:
                said = line
                if line.startswith(b"training"):
                    seconds = time.perf_counter() - began
                    process.kill()
                    return seconds
    raise InputError(f"bench start: the run ended before its first update: {said.decode(errors='replace').strip()}")


def _environment() -> dict[str, str]:
    """Ours, with the packages found from anywhere."""
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
