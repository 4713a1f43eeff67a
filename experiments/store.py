"""What a run writes, and under which names: the writing half of docs/run-folder.md. Every write is atomic."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ruamel.yaml import YAML

from experiments.config import Experiment

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT, MANIFEST, SUMMARY, REPORT = "experiment.yaml", "manifest.json", "summary.json", "report.html"
ACCEPTANCE = "acceptance.json"  # of a design and seed whose learners have constraints
DONE = "done.json"  # of a design and seed, the last that is written of them
# the tables of a design and seed, in the order in which the digest reads them
TABLES = (
    "training", "episodes", "steps", "requests", "best_quotes", "prints", "quantiles", "quotes", "benchmarks", "interventions",
    "drift", "states", "cases", "behaviour",
)  # fmt: skip
STRESS = "stress"  # a table and a JSON file in the run's own folder
PACKAGES = ("dealer-marketsim", "numpy", "numba", "scipy", "pydantic", "torch", "pandas", "pyarrow")


# --- where ------------------------------------------------------------------------------------------


def run_folder(experiment: Experiment, out: Path) -> Path:
    """``out/<name>-<hash8>``: another file or seed is another folder."""
    return out / f"{experiment.name}-{config_digest(experiment)[:8]}"


def design_folder(run: Path, design: str, seed: int) -> Path:
    return run / design / str(seed)


def checkpoint_folder(folder: Path, dealer: str) -> Path:
    """Where the policy of a learner of one design and seed is."""
    return folder / "checkpoints" / dealer


def training_folder(folder: Path) -> Path:
    """Where the resumable state of its training is."""
    return folder / "training"


# --- writing ----------------------------------------------------------------------------------------


def write_text(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    try:
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def write_json(path: Path, tree: Any) -> None:
    """JSON as everyone reads it: a figure that is not finite is null."""
    write_text(path, json.dumps(finite(tree), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """None where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_yaml(path: Path, tree: Any) -> None:
    from io import StringIO

    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 1000
    yaml.dump(tree, text)
    write_text(path, text.getvalue())


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """One of ``TABLES`` of a design and seed, or ``STRESS`` of a run."""
    assert name in (*TABLES, STRESS), name
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{name}.parquet.half"
    try:
        table.to_parquet(half, index=False, compression="zstd")
        half.replace(folder / f"{name}.parquet")
    finally:
        half.unlink(missing_ok=True)


def read_table(folder: Path, name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(folder / f"{name}.parquet")


def finite(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {str(key): finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [finite(value) for value in tree]
    if isinstance(tree, np.generic):
        tree = tree.item()
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


# --- digests ----------------------------------------------------------------------------------------


def inputs(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of every file that the experiment reads."""
    file = getattr(experiment.base.market.price, "file", None)
    return {file: hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {}


def config_digest(experiment: Experiment) -> str:
    """Of what the experiment says; a file counts by its content, wherever it lies."""
    return _digest(_by_content(experiment.resolved(), inputs(experiment)))


def market_digest(experiment: Experiment) -> str:
    """Of what two runs must share to be compared: market, evaluation and who the other dealers are."""
    base = experiment.base
    learners = {base.agents[i] for i in base.learners}
    tree = base.model_dump(mode="json", include={"market", "evaluate", "seed"})
    tree["others"] = [agent for agent in base.agents if agent not in learners]
    return _digest(_by_content(tree, inputs(experiment)))


def result_digest(run: Path, experiment: Experiment) -> str:
    """Of the values of every result table, not of the bytes they are stored in."""
    digest = hashlib.sha256()
    for design in experiment.designs:
        for seed in experiment.training_seeds:
            folder = design_folder(run, design, seed)
            for name in TABLES:
                if (folder / f"{name}.parquet").exists():
                    digest.update(f"{design}/{seed}/{name}".encode())
                    _update(digest, read_table(folder, name))
    return digest.hexdigest()


def _update(digest: Any, table: pd.DataFrame) -> None:
    for name, column in table.items():
        digest.update(f"|{name}|{len(column)}|".encode())
        values = column.to_numpy()
        if values.dtype.kind in "biu":
            digest.update(values.astype("<i8").tobytes())
        elif values.dtype.kind == "f":
            canonical = values.astype("<f8") + 0.0  # -0.0 is 0.0
            canonical[np.isnan(canonical)] = np.nan
            digest.update(canonical.tobytes())
        else:
            digest.update(json.dumps([None if v is None or v != v else str(v) for v in values]).encode())


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _by_content(tree: dict[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    price = tree["market"]["price"]
    if "file" in price:
        price["file"] = hashes[price["file"]]
    return tree


# --- the manifest -----------------------------------------------------------------------------------


def manifest(experiment: Experiment, digest: str | None = None, complete: bool = False) -> dict[str, Any]:
    """What made the results; ``digest``: theirs, None while the run is going on."""
    return {
        "name": experiment.name,
        "digest": digest,
        "market_digest": market_digest(experiment),
        "config_digest": config_digest(experiment),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "cpu": cpu(),
        "threads": 1,
        "seeds": list(experiment.training_seeds),
        "inputs": inputs(experiment),
        "designs": list(experiment.designs),
        "complete": complete,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> str | None:
    """The commit of the code that ran, with a + where it was changed since."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        call = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
