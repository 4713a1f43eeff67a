"""The escalation of a design, played in its evaluation: who watches, who answers, and what is kept of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agents.policy import Policy
from agents.supply import Supply, supplies
from experiments import quiet, store
from experiments.desk.channel import require_terminal
from experiments.desk.live import Live
from experiments.retrace import Retrace
from marketsim.batch import MarketBatch
from marketsim.document import InputError
from marketsim.guardrails import streams
from marketsim.guardrails.audit import Audit, nonces, rows, verify
from marketsim.guardrails.canonical import canonical
from marketsim.guardrails.escalation import Approver as Seat
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.governor import Governor, Operator
from marketsim.guardrails.hook import Hook, registered
from marketsim.guardrails.identity import Approver, Approvers, fingerprint, read_key
from marketsim.guardrails.operator import Scripted
from marketsim.guardrails.states import State

if TYPE_CHECKING:
    from experiments.config import ExperimentConfig

AUDIT = "audit.jsonl"
_STATES = [state.name.lower() for state in State]


def approvers(escalation: Escalation, seen: Iterable[str] = ()) -> Approvers:
    """Those who may decide, with their keys. Raises ValueError that begins with the path of a key that cannot be used."""
    return Approvers([_approver(seat) for seat in escalation.approvers], seen)


def ready(escalation: Escalation) -> None:
    """Raises ValueError, with the path of the key, where those who shall answer cannot be asked or known."""
    approvers(escalation)
    if escalation.channel == "terminal" and escalation.operator is None and registered() is None:
        try:
            require_terminal()
        except InputError as error:
            raise ValueError(f"escalation.channel: {error}") from None


def heads(folders: Mapping[str, Path]) -> dict[str, str]:
    """Of the audit files in these folders, those that have one: name -> head."""
    return {name: verify(folder / AUDIT).head for name, folder in folders.items() if (folder / AUDIT).exists()}


def _approver(seat: Seat) -> Approver:
    try:
        return Approver(seat.name, seat.role, read_key(seat.key) if seat.key else None)
    except InputError as error:
        raise ValueError(f"escalation.approvers.{seat.name}.key: {error}") from None


class Governance:
    """Governs the learners of a design, or its first dealer where nobody learns.

    ``folder``: of the design and seed. ``resume``: what people decided before the run was stopped happens again; scripted
    operators, who decide the same again, begin anew. Raises InputError where a stream cannot be calibrated.
    """

    def __init__(self, desk: ExperimentConfig, policies: Mapping[int, Policy], folder: Path, resume: bool = False):
        assert desk.escalation is not None
        self._desk, self.escalation, self._folder = desk, desk.escalation, folder
        self.agents = list(desk.learners) or [0]
        self.records = any(name in streams.RECORDED for name in self.escalation.watch)
        self._calibrations = quiet.calibrate(desk, policies, self.agents, self.escalation.watch, desk.seed, folder)
        file, asks = folder / AUDIT, self.escalation.operator is None
        if not (resume and asks):
            file.unlink(missing_ok=True)
        self._audit = Audit(file, durable=asks)
        self._approvers = approvers(self.escalation, nonces(file))
        self._trace = Retrace(self._audit)
        self._trace.record("configuration", self._configuration())
        self._closed = False
        self._governor: Governor | None = None
        self._live: Live | None = None

    def _configuration(self) -> dict[str, Any]:
        design = canonical(self._desk.model_dump(mode="json", exclude_none=True))
        limits = {self._desk.agents[i]: self._desk.dealer_of[i].limits for i in self.agents}
        return {
            "digest": hashlib.sha256(design.encode()).hexdigest(),
            "seed": self._desk.seed,
            "limits": {name: own.model_dump(mode="json", exclude_none=True) for name, own in limits.items()},
            "dealers": [self._desk.agents[agent] for agent in self.agents],
            "escalation": self.escalation.model_dump(mode="json", exclude_none=True),
            "identity": self._approvers.sentence,
            "keys": {a.name: fingerprint(a.key) for a in self._approvers.approvers if a.key},
        }

    def over(self, batch: MarketBatch) -> Governor:
        """The governor of the batch in which all is played."""
        self._governor = Governor(
            batch, self.escalation, self._calibrations, self._trace.record, self._operator(), self._drifted(),
            self._approvers.person,
        )  # fmt: skip
        return self._governor

    def supplies(self, batch: MarketBatch, policies: Mapping[int, Policy]) -> dict[int, Supply]:
        """Who is asked to say something about itself in that batch."""
        return supplies(batch, policies, self.agents, self.escalation.watch)

    def _drifted(self) -> float:
        """The first step in which the market is another one."""
        scenario = self._desk.evaluate.scenario
        return np.inf if scenario is None else scenario.begins(self._desk.market.steps)

    def _operator(self) -> Operator:
        """Who answers: the file's script, a hook of the user's, or people."""
        if self.escalation.operator is not None:
            return Scripted(self.escalation, self._desk.seed)
        if hook := registered():
            return self._trace.attended_by(Hook(hook, self.escalation.function_timeout, self.escalation.pace))
        head = next(row.hash for row in rows(self._audit.path) if row.kind == "configuration")
        dealers = [self._desk.agents[agent] for agent in self.agents]
        self._live = Live(self._folder, self.escalation, self._approvers, self._audit, dealers, head)
        return self._trace.attended_by(self._live)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._audit.close()

    def write(self, folder: Path) -> None:
        """Close the audit file and write the tables ``drift``, ``states`` and ``cases``."""
        assert self._governor is not None
        governor = self._governor
        self._trace.end()
        if self._live is not None:
            self._live.close(governor.book)
        self.close()
        alarms = pd.DataFrame(governor.alarms, columns=["step", "market", "dealer", "stream", "level"])
        store.write_table(folder, "drift", alarms)
        shares = np.stack(governor.occupation)  # (steps, states, dealers)
        steps, _, dealers = shares.shape
        states = {name: shares[:, k].ravel() for k, name in enumerate(_STATES)}
        keys = {"step": np.repeat(np.arange(steps), dealers), "dealer": list(governor.names) * steps}
        store.write_table(folder, "states", pd.DataFrame(keys | states))
        columns = ("id", "market", "dealer", "cause", "opened", "since", "what", "repeats", "closed", "outcome", "did")
        cases = [{name: asdict(case)[name] for name in columns} for case in governor.book.cases]
        table = pd.DataFrame(cases, columns=list(columns))
        table["did"] = ["; ".join(did) for did in table["did"]]
        for name in ("since", "closed"):
            table[name] = table[name].astype("float64")
        store.write_table(folder, "cases", table)
