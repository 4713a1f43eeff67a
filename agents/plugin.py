"""A policy of somebody else's, played in a process of its own: it sees observations and answers with actions.

It cannot reach the batch, the limits or the ledger. What it answers late, wrongly or not at all counts as an action that
is not finite, which the guardrails withdraw and count; a late one is not waited for again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import PluginSpec
from agents.plugin_host import receive, send
from agents.policy import Seat
from marketsim.tables import Tables

_START = 60.0  # seconds to import and make the policy
_HOST = [sys.executable, "-m", "agents.plugin_host"]


class Plugin:
    """The policy that ``spec.factory`` makes, in a child process.

    ``native``: it answers ``quote`` in prices, else ``act`` in [-1, 1]; its methods are those of ``agents.Policy``.
    Raises ValueError where the factory cannot be imported or called: the child's last line says why.
    """

    def __init__(self, spec: PluginSpec, seat: Seat):
        self.native, self._timeout = spec.native, spec.timeout
        tables = Tables.of(seat.config)
        self._components = int(tables.dealers["width"][seat.agent])
        self._quotes = tables.quote_shape
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (os.getcwd(), root, os.environ.get("PYTHONPATH"))))
        said = tempfile.TemporaryFile()  # a pipe that nobody reads would hold up a talkative child
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        self._child = subprocess.Popen(_HOST, env=os.environ | {"PYTHONPATH": path}, **pipes)  # type: ignore[call-overload]
        self._over = False
        weakref.finalize(self, _end, self._child)
        facts = {
            "factory": spec.factory,
            "dealer": seat.name,
            "observation": list(seat.dealer.observation),
            "components": self._components,
            "quote_shape": list(self._quotes),
            "steps": seat.config.market.steps,
        }
        if self._ask(facts, None, _START) is None:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or [f"no answer within {_START:g} s"]
            raise ValueError(f"dealers.{seat.dealer.name}.policy.factory: {spec.factory} does not start: {lines[-1]}")

    def reset(self, seed: int, episode: int, first_market: int, markets: int, step: int = 0) -> None:
        """An episode starts, or is taken up at a step; the child's policy is told if it wants to know."""
        self._ask({"call": "reset", "arguments": [seed, episode, first_market, markets, step]}, None)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """float32 (M, components); NaN where the child did not answer as it must."""
        shape = (len(observation), self._components)
        answer = self._ask({"call": "act"}, observation)
        return np.full(shape, np.nan, np.float32) if answer is None or answer.shape != shape else answer

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Markups (M, 2, segments, sizes) and hedge (M, 1); NaN likewise."""
        M, cells = len(observation), int(np.prod(self._quotes))
        answer = self._ask({"call": "quote"}, observation)
        if answer is None or answer.shape != (M, cells + 1):
            answer = np.full((M, cells + 1), np.nan)
        return answer[:, :cells].reshape(M, *self._quotes).astype(np.float64), answer[:, cells:].astype(np.float64)

    def _ask(self, header: dict[str, Any], array: np.ndarray | None, timeout: float | None = None) -> np.ndarray | None:
        """One question and its answer; None, now and ever after, once the child has failed."""
        if self._over:
            return None
        answers: list[np.ndarray] = []
        thread = threading.Thread(target=self._exchange, args=(header, array, answers), daemon=True)
        thread.start()
        thread.join(timeout or self._timeout)
        if not answers:
            self._over = True
            self._child.kill()
            thread.join()
            return None
        return answers[0]

    def _exchange(self, header: dict[str, Any], array: np.ndarray | None, answers: list[np.ndarray]) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            pipe = self._child.stdin, self._child.stdout
            assert pipe[0] is not None and pipe[1] is not None
            send(pipe[0], header, array)
            answers.append(receive(pipe[1])[1])


def _end(child: subprocess.Popen) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
