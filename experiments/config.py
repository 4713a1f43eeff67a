"""The experiment file: a desk, how long it trains, how it is measured, and the designs that are compared."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from agents.config import Desk, PluginSpec, TradingDealer
from marketsim import scenarios
from marketsim.config import Reward, RewardTerm
from marketsim.document import Document, InputError, apply, locate, parse, read, read_value
from marketsim.guardrails import streams
from marketsim.guardrails.escalation import Escalation
from marketsim.model import NAME, Listed, Model, NonNegative, Probability

MAX_DESIGNS = 200
BASE = "base"  # the design that the file itself is


class Training(Model):
    """``steps``: market steps summed over ``markets``, for each of the ``seeds``; ``checkpoint_every``: updates."""

    steps: Annotated[int, Field(ge=1, le=10**12)] = 1_000_000
    markets: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every: Annotated[int, Field(ge=1, le=1_000_000)] = 20


class Scenario(Model):
    """A stress overlay of ``marketsim.scenarios`` over the evaluation: in every episode of a market but the first
    ``after``, from this share of the episode on."""

    overlay: str
    after: Annotated[int, Field(ge=0, le=100_000)] = 0
    begin: Probability = 1 / 3

    def begins(self, steps: int) -> int:
        """The first step under it of a market, counted on over its episodes of ``steps``."""
        return self.after * steps + int(self.begin * steps + 1e-9)


class Evaluation(Model):
    """``sample``: episodes whose every step and request is kept; ``stochastic``: learners keep exploring;
    ``in_a_row``: episodes that one market plays one after another, which drift detection and escalation need;
    ``acceptance``: fresh episodes on which a learner's constraints are tried; fewer than the default accept nobody.
    """

    episodes: Annotated[int, Field(ge=2, le=10_000_000)] = 20_000
    sample: Annotated[int, Field(ge=1, le=1_000)] = 20
    stochastic: bool = False
    acceptance: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    in_a_row: Annotated[int, Field(ge=1, le=100_000)] = 1
    scenario: Scenario | None = None

    @property
    def markets(self) -> int:
        return self.episodes // self.in_a_row

    @model_validator(mode="after")
    def _whole_rows(self):
        if self.episodes % self.in_a_row:
            raise ValueError(f"episodes: {self.episodes} is no multiple of in_a_row, {self.in_a_row}")
        if self.scenario is not None and self.scenario.after >= self.in_a_row:
            raise ValueError(f"scenario.after: {self.scenario.after} of {self.in_a_row} episodes leave none for it")
        return self


class TailCharge(Model):
    """``weight`` times the CVaR of an episode's loss at ``level``."""

    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    weight: NonNegative = 0.1


class TrueObjective(Model):
    """What the desk is after and no learner is paid for: the mean of these terms, less the charge for the tail."""

    reward: Listed[RewardTerm] = (Reward(kind="pnl"), Reward(kind="inventory_penalty", weight=0.01))
    cvar: TailCharge = TailCharge()


class ExperimentConfig(Desk):
    """One experiment file, or one of its designs."""

    PASSED_OVER: ClassVar[frozenset[str]] = frozenset()

    description: str = ""
    train: Training = Training()
    evaluate: Evaluation = Evaluation()
    escalation: Escalation | None = None
    true_objective: TrueObjective | None = None  # of ``audit-reward``; default: TrueObjective()
    designs: dict[Annotated[str, Field(pattern=NAME)], dict[str, Any]] = {}
    sweep: dict[str, Listed[Any]] = {}

    @model_validator(mode="after")
    def _governed(self):
        if self.escalation is not None:
            self.escalation.refuse_agents(self.agents)
            given = [name for name in self.escalation.watch if name in streams.GIVEN]
            if given and not self.learners:
                dealer = self.dealers[0]
                raise ValueError(
                    f"escalation.watch: {given[0]} is of a policy that has learned, {dealer.name} is {dealer.policy.kind}; "
                    f"where nobody learns, all but {' and '.join(streams.GIVEN)} may be watched"
                )
        if self.evaluate.scenario is not None:
            try:
                scenarios.overlay(self.evaluate.scenario.overlay, self, begin=self.evaluate.scenario.begin)
            except ValueError as error:
                raise ValueError(f"evaluate.scenario.overlay: {error}") from None
        return self


@dataclass(frozen=True)
class Experiment:
    """What is run: the base of the file and its designs, all against the same clients and evaluation seed."""

    file: ExperimentConfig  # as written
    designs: dict[str, ExperimentConfig]  # as run
    changes: dict[str, dict[str, Any]]  # design -> what it changes in the base, path -> value
    document: Document  # where things stand, for refusals

    @property
    def base(self) -> ExperimentConfig:
        return self.designs[BASE]

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """One for each training; never the evaluation's, or learners would be measured on clients they know."""
        return tuple(self.base.seed + 1 + k for k in range(self.base.train.seeds if self.base.learners else 1))

    def resolved(self) -> dict[str, Any]:
        """The whole experiment with every default written out; loading it gives this experiment again."""
        tree = self.file.model_dump(mode="json", exclude_none=True, exclude={"designs", "sweep"})
        for dealer, block in zip(self.file.dealers, tree["dealers"], strict=True):
            if not _has_reward(dealer):
                del block["reward"]
        return tree | ({"designs": self.changes} if self.changes else {})


def load(
    source: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | Iterable[str] | None = None,
    seed: int | None = None,
    allow_plugins: bool = False,
) -> Experiment:
    """The experiment of a YAML file, a dict or a name in the gallery.

    ``set``: paths -> values, or ``path=value`` texts as on the command line. ``allow_plugins``: policies may name code
    that is imported. Raises InputError, one line.
    """
    document = Document.of(source) if isinstance(source, Mapping) else read(find(source))
    document = apply(document, set if isinstance(set, Mapping) else dict(_assignment(text) for text in set or ()))
    if seed is not None:
        document = apply(document, {"seed": seed}, "--seed")
    document = locate(document)
    base = parse(ExperimentConfig, document)
    changes = base.designs | _cartesian(base.sweep, document)
    if BASE in base.designs:
        raise document.refusal(("designs", BASE), "this name is kept for the file without changes")
    if len(changes) >= MAX_DESIGNS:
        raise document.refusal(("sweep",), f"makes {len(changes)} designs, fewer than {MAX_DESIGNS} are allowed")
    alone = Document(
        {key: value for key, value in document.tree.items() if key not in ("designs", "sweep")},
        document.lines,
        document.path,
    )
    file = base.model_copy(update={"designs": {}, "sweep": {}})
    designs = {BASE: _scored(file)} | {
        name: _design(alone, base, name, change, document) for name, change in changes.items()
    }
    if not allow_plugins:
        _refuse_plugins(designs, base.designs, document)
    return Experiment(file, designs, changes, document)


def _refuse_plugins(designs: Mapping[str, ExperimentConfig], named: Collection[str], document: Document) -> None:
    for name, desk in designs.items():
        for index, dealer in enumerate(desk.dealers):
            if isinstance(dealer.policy, PluginSpec):
                place: tuple[str | int, ...] = ("designs", name) if name in named else ("sweep",)
                place = ("dealers", index, "policy") if name == BASE else place
                what = f"imports {dealer.policy.factory} in a process of its own; --allow-plugins lets it"
                raise document.refusal(place, what)


def gallery() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    folder = Path(str(files("experiments") / "gallery"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(source: str | Path) -> Path:
    """The file of that path, else the gallery's of that name."""
    path, names = Path(source), gallery()
    if path.exists() or str(source) not in names and (path.suffix or path.name != str(source)):
        return path
    if str(source) in names:
        return names[str(source)]
    near = get_close_matches(str(source), names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"{source}: no file and nothing in the gallery has this name, allowed are {', '.join(names)}{hint}"
    )


def _assignment(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set: got {text!r}, it must be path=value, as in train.steps=200_000")
    return path.strip(), read_value(value, f"--set {path.strip()}")


def _design(
    alone: Document, base: ExperimentConfig, name: str, change: dict[str, Any], document: Document
) -> ExperimentConfig:
    place = ("designs", name) if name in base.designs else ("sweep",)
    for path in change:
        if path.split(".")[0] not in ("dealers", "train", "escalation") or path in ("dealers", "train", "train.seeds"):
            what = "a design may change dealers, train and escalation, all else is shared by all"
            raise document.refusal((*place, path), what)
    said = document.lines.get(place, "designs." + name)
    config = parse(ExperimentConfig, apply(alone, change, said))
    if config.agents != base.agents:
        raise document.refusal(place, f"a design may not change who the dealers are: {', '.join(base.agents)}")
    return _scored(config)


def _scored(config: ExperimentConfig) -> ExperimentConfig:
    """Dealers that do not learn and name no reward are scored by the first learner's, so that like meets like."""
    if not config.learners:
        return config
    reward = config.dealer_of[config.learners[0]].reward

    def scored(dealer: TradingDealer) -> TradingDealer:
        return dealer if _has_reward(dealer) else dealer.model_copy(update={"reward": reward})

    return config.model_copy(update={"dealers": tuple(scored(dealer) for dealer in config.dealers)})


def _has_reward(dealer: TradingDealer) -> bool:
    return dealer.policy.learns or "reward" in dealer.model_fields_set


def _cartesian(sweep: Mapping[str, tuple[Any, ...]], document: Document) -> dict[str, dict[str, Any]]:
    """Every combination of the swept values, named after what differs."""
    for path, values in sweep.items():
        if not values:
            raise document.refusal(("sweep", path), "the list is empty, at least one value is needed")
    designs = {}
    for values in product(*sweep.values()) if sweep else ():
        change = dict(zip(sweep, values, strict=True))
        name = "_".join(f"{'.'.join(path.split('.')[-2:])}-{_word(value)}" for path, value in change.items())
        if name in designs:
            raise document.refusal(("sweep",), f"two designs are named {name}")
        designs[name] = change
    return designs


def _word(value: Any) -> str:
    """A value as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(value)).strip("-") or "none"
