"""The typed reader of a run folder: the only place in ``reports`` that knows its file names.

What a run did not leave behind is None, here and in the tables; whoever shows it says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reports.audit import Audit
from reports.overrides import changed_by

REPORT = "report.html"


class NotARun(ValueError):
    """The folder cannot be read as a run; the message is one line that says why."""


class Estimate(NamedTuple):
    """A figure with its 95% interval; NaN where unknown. ``sd``: of the figure across episodes, where given."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    sd: float = math.nan

    @classmethod
    def of(cls, entry: Any) -> Estimate:
        if not isinstance(entry, Mapping):
            return cls(number(entry))
        return cls(*(number(entry.get(key)) for key in cls._fields))

    @property
    def known(self) -> bool:
        return math.isfinite(self.value)

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


class Difference(NamedTuple):
    """A paired difference, learner minus the other, and what it amounts to."""

    estimate: Estimate
    verdict: str  # better, worse, cannot tell; empty where it was not judged


class Optimum(NamedTuple):
    """Against the exact optimum: J of the policy, J*, the best of the action class, and why if empty."""

    percent: float
    value: float
    optimal: float
    ceiling: float
    reason: str


class Limits(NamedTuple):
    """The levels set for a dealer; inf where there is none."""

    position_soft: float = math.inf
    position_hard: float = math.inf


def number(value: Any) -> float:
    """A float, NaN for whatever is not a number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


class Scenario(NamedTuple):
    """The stress overlay under which it was evaluated, and from which step of a market on."""

    overlay: str
    begins: int


@dataclass(frozen=True)
class Dealer:
    """The summary of one dealer in one design."""

    name: str
    entry: Mapping[str, Any]

    def estimate(self, figure: str) -> Estimate:
        """``objective pnl var_95 cvar_95 var_99 cvar_99 drawdown max_inventory hit_ratio interventions_per_1000``."""
        return Estimate.of(self.entry.get(figure))

    @property
    def reward(self) -> str:
        """What its objective adds up, in words; empty where the run did not say."""
        return str(self.entry.get("reward") or "")

    @property
    def markout(self) -> dict[int, Estimate]:
        """Steps after the trade -> mark-out (+ = the dealer gained)."""
        return {int(horizon): Estimate.of(entry) for horizon, entry in (self.entry.get("markout") or {}).items()}

    @property
    def attribution(self) -> dict[str, float]:
        """Mean per episode of spread, inventory, hedge_cost and fees (costs are positive)."""
        return {term: Estimate.of(entry).value for term, entry in (self.entry.get("attribution") or {}).items()}

    @property
    def optimum(self) -> Optimum:
        entry = self.entry.get("optimum") or {}
        reason = entry.get("reason") or ""
        percent, value, optimal, ceiling = (number(entry.get(k)) for k in ("percent", "value", "optimal", "ceiling"))
        return Optimum(percent, value, optimal, ceiling, str(reason))


@dataclass(frozen=True)
class Seed:
    """What one training seed of a design left behind; tables are read when asked for, None where missing."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def training(self) -> pd.DataFrame | None:
        return self._table("training")

    @cached_property
    def episodes(self) -> pd.DataFrame | None:
        return self._table("episodes")

    @cached_property
    def steps(self) -> pd.DataFrame | None:
        return self._table("steps")

    @cached_property
    def best_quotes(self) -> pd.DataFrame | None:
        return self._table("best_quotes")

    @cached_property
    def prints(self) -> pd.DataFrame | None:
        return self._table("prints")

    @cached_property
    def quantiles(self) -> pd.DataFrame | None:
        return self._table("quantiles")

    @cached_property
    def quotes(self) -> pd.DataFrame | None:
        return self._table("quotes")

    @cached_property
    def benchmarks(self) -> pd.DataFrame | None:
        return self._table("benchmarks")

    @cached_property
    def interventions(self) -> pd.DataFrame | None:
        return self._table("interventions")

    @cached_property
    def drift(self) -> pd.DataFrame | None:
        return self._table("drift")

    @cached_property
    def states(self) -> pd.DataFrame | None:
        return self._table("states")

    @cached_property
    def cases(self) -> pd.DataFrame | None:
        return self._table("cases")

    @cached_property
    def audit(self) -> Audit | None:
        path = self.path / "audit.jsonl"
        return Audit.read(path) if path.is_file() else None

    @cached_property
    def acceptance(self) -> dict[str, Any] | None:
        return _json(self.path / "acceptance.json")

    def kept(self, name: str) -> bool:
        """Whether there is such a table, be it an empty one."""
        return (self.path / f"{name}.parquet").is_file()

    def _table(self, name: str) -> pd.DataFrame | None:
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            return None
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise NotARun(f"{path}: not readable as Parquet: {str(error).splitlines()[0]}") from None
        return table if len(table) else None


@dataclass(frozen=True)
class Design:
    """One design of the experiment: its dealers' summaries and its seeds' tables."""

    name: str
    entry: Mapping[str, Any]
    seeds: tuple[Seed, ...]
    experiment: Mapping[str, Any] = field(repr=False)

    @cached_property
    def dealers(self) -> dict[str, Dealer]:
        return {name: Dealer(name, entry or {}) for name, entry in (self.entry.get("dealers") or {}).items()}

    @property
    def doubts(self) -> list[str]:
        return [str(doubt) for doubt in self.entry.get("doubts") or []]

    def best_rival(self, dealer: str) -> str | None:
        """The other dealer with the highest objective."""
        return (self.entry.get("best_rival") or {}).get(dealer)

    def against(self, dealer: str, rival: str, figure: str) -> Difference:
        """The paired difference dealer - rival of ``objective`` or ``pnl`` on the same clients."""
        entry = ((self.entry.get("against") or {}).get(dealer) or {}).get(rival) or {}
        entry = entry.get(figure) or {}
        return Difference(Estimate.of(entry), str(entry.get("verdict") or ""))

    def table(self, name: str, dealer: str | None = None) -> pd.DataFrame | None:
        """A table of all seeds, one below the other with a column ``seed``; only the dealer's rows if one is named."""
        if name not in self._tables:
            tables = [(seed.name, getattr(seed, name)) for seed in self.seeds]
            found = [rows.assign(seed=seed) for seed, rows in tables if rows is not None]
            self._tables[name] = pd.concat(found, ignore_index=True) if found else None
        table = self._tables[name]
        if table is not None and dealer is not None:
            table = table[table["dealer"] == dealer]
        return table if table is not None and len(table) else None

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame | None]:
        return {}

    @property
    def escalation(self) -> Mapping[str, Any]:
        """The block of that name; empty where nobody watched."""
        return self.experiment.get("escalation") or {}

    @property
    def has_book(self) -> bool:
        """Whether the mid is that of an order book, in which dealers hedge or quote."""
        return (self._market.get("price") or {}).get("kind") == "book"

    @property
    def has_clients(self) -> bool:
        """Whether somebody requests quotes."""
        return self._market.get("kind") != "book"

    def in_book(self, dealer: str) -> bool:
        """Whether its quotes are orders in the book."""
        action = self.block(dealer).get("action") or {}
        return not self.has_clients or (action.get("kind") if isinstance(action, Mapping) else action) == "offsets"

    @property
    def tick(self) -> float:
        """Of the order book, price units; NaN where there is none."""
        return number((self._market.get("book") or {}).get("tick"))

    @property
    def _market(self) -> Mapping[str, Any]:
        return self.experiment.get("market") or {}

    @property
    def in_a_row(self) -> int:
        """Episodes that each market played one after another."""
        return int((self.experiment.get("evaluate") or {}).get("in_a_row") or 1)

    @property
    def scenario(self) -> Scenario | None:
        """Counted from the begin of the first episode under it, where the file does not say when in it."""
        entry = (self.experiment.get("evaluate") or {}).get("scenario") or {}
        steps = number(self._market.get("steps"))
        if not entry.get("overlay") or not math.isfinite(steps):
            return None
        within = int(float(entry.get("begin") or 0.0) * steps + 1e-9)
        return Scenario(str(entry["overlay"]), int(entry.get("after") or 0) * int(steps) + within)

    def block(self, dealer: str) -> Mapping[str, Any]:
        """The dealer's block of the experiment file, as this design has it."""
        for block in self.experiment.get("dealers") or []:
            name, count = block.get("name", "dealer"), block.get("count", 1) or 1
            if dealer == name or (count > 1 and dealer in {f"{name}_{k}" for k in range(count)}):
                return block
        return {}

    def limits(self, dealer: str) -> Limits:
        """The dealer's position limit: the lower of its own and the market's."""
        position = (self.block(dealer).get("limits") or {}).get("position") or {}
        market = number(self._market.get("inventory_limit"))
        levels = [number(position.get("soft")), min_known(number(position.get("hard")), market)]
        return Limits(*(level if math.isfinite(level) else math.inf for level in levels))


def min_known(a: float, b: float) -> float:
    """The lower of two numbers, NaN counting as none."""
    return b if math.isnan(a) else a if math.isnan(b) else min(a, b)


@dataclass(frozen=True)
class Run:
    """A run folder, opened."""

    path: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    experiment: str  # the resolved experiment file, as text

    @property
    def name(self) -> str:
        return str(self.summary.get("name") or self.path.name)

    @property
    def units(self) -> dict[str, str]:
        return {str(k): str(v) for k, v in (self.summary.get("units") or {}).items()}

    @property
    def learners(self) -> list[str]:
        return [str(name) for name in self.summary.get("learners") or []]

    @property
    def episodes(self) -> int:
        """Evaluation episodes of each seed."""
        return int(number(self.summary.get("episodes")) or 0) if self.summary.get("episodes") else 0

    @cached_property
    def designs(self) -> dict[str, Design]:
        tree = self._tree()
        overrides = tree.get("designs") or {}
        designs = {}
        for name, entry in (self.summary.get("designs") or {}).items():
            folder = self.path / name
            inside = folder.is_dir() and folder.resolve().parent == self.path.resolve()
            seeds = sorted((p for p in folder.iterdir() if p.is_dir()), key=seed_order) if inside else []
            changed = changed_by(tree, overrides.get(name) or {})
            designs[str(name)] = Design(str(name), entry or {}, tuple(Seed(p) for p in seeds), changed)
        return designs

    def _tree(self) -> dict[str, Any]:
        try:
            tree = YAML(typ="safe", pure=True).load(self.experiment)
        except YAMLError:
            return {}
        return tree if isinstance(tree, dict) else {}


def seed_order(path: Path) -> tuple[int, str]:
    """Seeds by number: 10 after 9."""
    return (int(path.name) if path.name.isdigit() else -1, path.name)


def open_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises ``NotARun`` with one line where there is no readable ``summary.json``. A missing manifest or
    experiment file is an empty one.
    """
    path = Path(path)
    if not path.is_dir():
        raise NotARun(f"{path}: not a folder")
    summary = _json(path / "summary.json")
    if summary is None:
        raise NotARun(f"{path}: not a finished run: it has no summary.json")
    experiment = path / "experiment.yaml"
    text = experiment.read_text(encoding="utf-8", errors="replace") if experiment.is_file() else ""
    return Run(path, _json(path / "manifest.json") or {}, summary, text)


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotARun(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise NotARun(f"{path}: a JSON object is expected")
    return content
