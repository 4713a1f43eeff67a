"""One thread, a constraint on the tail, and what an episode came to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.episodes import Totals

TAIL = {"kind": "cvar_constrained", "limit": 1.0, "level": 0.9, "episodes": 1000}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def totals(reward, loss, time_at_limit=0.0, turnover=0.0) -> Totals:
    return Totals(
        *(np.broadcast_to(np.asarray(a, float), np.shape(loss)) for a in (reward, loss, time_at_limit, turnover))
    )
