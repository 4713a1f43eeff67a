"""agents: the dealers that quote in a market, and how they learn. Torch is imported where learning starts."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.checkpoint import LearnedPolicy as LearnedPolicy
    from agents.checkpoint import load_policy as load_policy
    from agents.config import Desk as Desk
    from agents.env import learner_env as learner_env
    from agents.policy import Policy as Policy
    from agents.policy import Seat as Seat
    from agents.policy import build as build
    from agents.trainer import Trainer as Trainer

# Where each public name lives; imported when first asked for, so that a command line's help stays quick.
_HOMES = {
    "Desk": "agents.config",
    "LearnedPolicy": "agents.checkpoint",
    "Policy": "agents.policy",
    "Seat": "agents.policy",
    "Trainer": "agents.trainer",
    "build": "agents.policy",
    "learner_env": "agents.env",
    "load_policy": "agents.checkpoint",
}
__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")
