"""The command line as it is typed: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import experiments
from experiments import cli

COMMAND = [sys.executable, "-c", "from experiments.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(experiments.__file__).parent.parent)}


def call(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """``marketsim WORDS`` in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["marketsim", *words])
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = left.code
    return (code, *capsys.readouterr())


def marketsim(folder: Path, *words: str, **options) -> subprocess.CompletedProcess:
    """``marketsim WORDS`` in a process that stands in ``folder``."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,
    )
