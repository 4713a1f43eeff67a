"""The escalation of a design, played in its evaluation: who watches, who answers, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agents.policy import Policy
from experiments import quiet, store
from experiments.desk.live import Live
from marketsim.batch import MarketBatch
from marketsim.guardrails import streams
from marketsim.guardrails.audit import Audit, rows
from marketsim.guardrails.governor import Governor, Operator
from marketsim.guardrails.hook import Hook, registered
from marketsim.guardrails.identity import Approver, Approvers, fingerprint, read_key
from marketsim.guardrails.operator import Replay, Scripted
from marketsim.guardrails.states import State

if TYPE_CHECKING:
    from experiments.config import ExperimentConfig

AUDIT = "audit.jsonl"
_EARLIER = "audit.earlier.jsonl"  # of a run that was stopped, while it is played again
_STATES = [state.name.lower() for state in State]


class Governance:
    """Governs the learners of a design, or its first dealer where nobody learns.

    ``folder``: of the design and seed. ``resume``: what people decided before the run was stopped is played again.
    Raises InputError where a stream cannot be calibrated or a key file cannot be used.
    """

    def __init__(self, desk: ExperimentConfig, policies: Mapping[int, Policy], folder: Path, resume: bool = False):
        assert desk.escalation is not None
        self._desk, self.escalation, self._folder = desk, desk.escalation, folder
        self.agents = list(desk.learners) or [0]
        self.records = any(name in streams.RECORDED for name in self.escalation.watch)
        self._calibrations = quiet.calibrate(desk, policies, self.agents, self.escalation.watch, desk.seed, folder)
        self.approvers = Approvers(
            Approver(a.name, a.role, read_key(a.key) if a.key else None) for a in self.escalation.approvers
        )
        self._earlier = self._set_aside(resume)
        self._audit = Audit(folder / AUDIT, durable=self.escalation.operator is None)
        self._audit.record("configuration", self._configuration())
        self._governor: Governor | None = None

    def _set_aside(self, resume: bool) -> list[tuple[str, dict[str, Any]]]:
        """The records of a run that asked people and was stopped; an earlier file that does not matter is removed."""
        path, earlier = self._folder / AUDIT, self._folder / _EARLIER
        if not resume or self.escalation.operator is not None:
            path.unlink(missing_ok=True)
            earlier.unlink(missing_ok=True)
            return []
        if path.exists() and not earlier.exists():  # else this was stopped while it was played again
            path.replace(earlier)
        path.unlink(missing_ok=True)
        return [(row.kind, row.body) for row in rows(earlier)] if earlier.exists() else []

    def _configuration(self) -> dict[str, Any]:
        return {
            "dealers": [self._desk.agents[agent] for agent in self.agents],
            "escalation": self.escalation.model_dump(mode="json", exclude_none=True),
            "identity": self.approvers.sentence,
            "keys": {a.name: fingerprint(a.key) for a in self.approvers.approvers if a.key},
        }

    def over(self, batch: MarketBatch) -> Governor:
        """The governor of the batch in which all is played."""
        evaluation = self._desk.evaluate
        drifted = evaluation.scenario.begins(batch.steps) if evaluation.scenario else np.inf
        self._governor = Governor(
            batch, self.escalation, self._calibrations, self._audit.record, self._operator(), drifted,
            self.approvers.person,
        )  # fmt: skip
        return self._governor

    def _operator(self) -> Operator:
        """Who answers: the file's script, a hook of the user's, or people."""
        if self.escalation.operator is not None:
            return Scripted(self.escalation, self._desk.seed)
        hook = registered()
        now: Operator
        if hook is not None:
            now = Hook(hook, self.escalation.hook_timeout, self.escalation.pace)
        else:
            now = Live(self._folder, self.escalation, self.approvers, self._audit, self._configuration()["dealers"])
        return _Resumed(self._earlier, now) if self._earlier else now

    def write(self, folder: Path) -> None:
        """Close the audit file and write the tables ``drift``, ``states`` and ``cases``."""
        assert self._governor is not None
        governor = self._governor
        self._audit.close()
        (self._folder / _EARLIER).unlink(missing_ok=True)
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


class _Resumed:
    """What was answered before a run was stopped, at the steps at which it was; from then on, whoever answers now."""

    def __init__(self, records: list[tuple[str, dict[str, Any]]], now: Operator):
        self._replay, self._now = Replay(records), now
        self._last = max((body.get("step", -1) for _, body in records), default=-1)

    def attend(self, book: Any, step: int, drifted: Any) -> None:
        self._replay.attend(book, step, drifted)
        if step > self._last:
            self._now.attend(book, step, drifted)
