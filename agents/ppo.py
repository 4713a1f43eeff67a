"""Proximal policy optimisation (Schulman et al. 2017): one policy, learned from what its dealers lived through.

The names are the literature's; docs/ppo.md says what was chosen and why. Randomness is counted: the noise and the
permutations of update u are functions of (seed, first agent, u), so that a resumed run is the same run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agents.adam import Adam
from agents.checkpoint import load_policy, save_policy
from agents.config import Desk, PPOSpec
from agents.network import Actor, Critic, Normaliser
from agents.policy import Seat
from agents.valuation import Valuation
from marketsim.tables import Tables

RETURN_MEMORY = 0.1  # weight of the newest rollout in the critic's running shift and scale


# --- the Gaussian policy, in closed form -------------------------------------------------------------


def log_probability(action: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """Log density (rows,) of actions (components, rows); the action is the sample before it is clipped."""
    z = (action - mean) * torch.exp(-log_sd)[:, None]
    return -0.5 * z.square().sum(0) - (log_sd.sum() + 0.5 * math.log(2 * math.pi) * log_sd.numel())


def entropy(log_sd: Tensor) -> Tensor:
    """Differential entropy, summed over components."""
    return (log_sd + 0.5 * math.log(2 * math.pi * math.e)).sum()


def kl_divergence(mean: Tensor, log_sd: Tensor, other_mean: Tensor, other_log_sd: Tensor) -> Tensor:
    """KL(N(mean, sd) || N(other_mean, other_sd)), (rows,)."""
    moved = (mean - other_mean).square() * torch.exp(-2 * other_log_sd)[:, None]
    ratio = 2 * (log_sd - other_log_sd)
    return 0.5 * (moved.sum(0) + (torch.exp(ratio) - ratio - 1).sum())


def gae(
    reward: np.ndarray,
    value: np.ndarray,
    next_value: np.ndarray,
    ended: np.ndarray,
    gamma: float | np.ndarray,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16); arrays (steps, ...), gamma one too or a number.

    ``next_value``: of the state a step leads to; 0 where nothing can be earned any more, the value of the last
    state where an episode is cut. ``ended`` stops the sum: the next row belongs to another episode.
    """
    gamma = np.broadcast_to(gamma, reward.shape)
    delta = reward + gamma * next_value - value
    advantage = np.empty_like(delta)
    ahead = np.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        ahead = delta[t] + gamma[t] * gae_lambda * np.where(ended[t], 0.0, ahead)
        advantage[t] = ahead
    return advantage


# --- what is learned from ----------------------------------------------------------------------------


class Rollout:
    """What the dealers of one policy live through: arrays (steps, markets, dealers, ...)."""

    def __init__(self, steps: int, markets: int, dealers: int, inputs: int, outputs: int):
        shape = (steps, markets, dealers)
        self.observation = np.empty((*shape, inputs), np.float32)  # before the step, as the market gives it
        self.noise = np.empty((*shape, outputs), np.float32)  # standard normals
        self.mean = np.empty((*shape, outputs), np.float32)  # of the policy that acted
        self.action = np.empty((*shape, outputs), np.float32)  # the sample; the market clips it
        self.reward = np.empty(shape)
        self.discount = np.ones(shape)  # of everything after the step, beside gamma
        self.alive = np.empty(shape, bool)  # the step counts: not after ruin
        self.ended = np.empty(shape, bool)  # the dealer's episode ends with this step
        self.worth = np.empty(shape, bool)  # the state after this step has a value
        self.after: dict[int, np.ndarray] = {}  # the observation after a step, where it is not the next row


# --- one policy --------------------------------------------------------------------------------------


class PPO:
    """One policy and its value function, for one dealer or for several of a block that share them.

    ``learners``: the agents that it plays.
    """

    def __init__(self, desk: Desk, learners: Sequence[int], seed: int, device: str = "cpu"):
        first = learners[0]
        dealer = desk.dealer_of[first]
        assert isinstance(dealer.policy, PPOSpec)
        self.seat = Seat(desk, first)
        self.learners, self.seed, self.device = list(learners), seed, torch.device(device)
        self.spec = spec = dealer.policy
        self.inputs = len(dealer.observation)
        self.outputs = int(Tables.of(desk).dealers["width"][first])
        generator = torch.Generator().manual_seed(int(self._stream(0).integers(2**63)))
        self.normaliser = Normaliser(self.inputs)
        self.actor = Actor(self.inputs, spec.hidden, self.outputs, spec.activation, spec.initial_sd, generator)
        self.critic = Critic(self.inputs, spec.hidden, spec.activation, generator)
        self.network = nn.ModuleDict({"normaliser": self.normaliser, "actor": self.actor, "critic": self.critic})
        self.network.to(self.device)
        self.adam = Adam(self.network.parameters())
        self.reference = _reference(spec, self.seat, self.device)

    def _stream(self, purpose: int, update: int = 0) -> np.random.Generator:
        """Random numbers that depend on these counters alone; 0: initial weights, 1: noise, 2: permutations."""
        counters = np.random.SeedSequence((self.seed, self.learners[0], purpose, update))
        return np.random.Generator(np.random.Philox(counters))

    def explore(self, rollout: Rollout, update: int) -> None:
        """Draw the noise of a whole rollout."""
        self._stream(1, update).standard_normal(dtype=np.float32, out=rollout.noise)

    @torch.inference_mode()
    def act(self, rollout: Rollout, t: int) -> np.ndarray:
        """Sample the actions (markets, dealers, components) of step ``t`` from its observations and noise."""
        observation = torch.from_numpy(rollout.observation[t]).to(self.device)
        mean = self.actor(self.normaliser(observation.flatten(0, 1)))
        rollout.mean[t] = mean.t().reshape(rollout.mean[t].shape).cpu().numpy()
        sd = self.actor.log_sd.exp().cpu().numpy()
        return np.add(rollout.mean[t], sd * rollout.noise[t], out=rollout.action[t])

    @torch.inference_mode()
    def value(self, observation: np.ndarray) -> np.ndarray:
        """The value (...,) float64, in the reward's units, of observations (..., width)."""
        rows = torch.from_numpy(observation).to(self.device).flatten(0, -2)
        return self.critic.value(self.normaliser(rows)).cpu().numpy().reshape(observation.shape[:-1])

    def advantages(self, rollout: Rollout) -> tuple[np.ndarray, np.ndarray]:
        """Advantages and the value's targets, the lambda-returns, (steps, markets, dealers)."""
        value = self.value(rollout.observation)
        next_value = np.empty_like(value)
        next_value[:-1] = value[1:]
        for t, observation in rollout.after.items():
            next_value[t] = self.value(observation)
        next_value[~rollout.worth] = 0.0
        gamma = self.spec.gamma * rollout.discount
        advantage = gae(rollout.reward, value, next_value, rollout.ended, gamma, self.spec.gae_lambda)
        return advantage, advantage + value

    def learn(self, rollout: Rollout, update: int, remaining: float) -> dict[str, float]:
        """Improve the policy on one rollout; ``remaining``: the share of training still to come."""
        spec, alive = self.spec, rollout.alive
        learning_rate = spec.learning_rate * (remaining if spec.anneal else 1.0)
        advantages, returns = (array[alive] for array in self.advantages(rollout))
        explained = 1.0 - advantages.var() / max(returns.var(), 1e-300)
        self._follow(returns)

        def rows(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.astype(np.float32, copy=False)).to(self.device)

        seen = rows(rollout.observation[alive])
        action, old_mean = rows(rollout.action[alive]).t().contiguous(), rows(rollout.mean[alive]).t().contiguous()
        old_log_sd = self.actor.log_sd.detach().clone()
        data = [
            self.normaliser(seen),
            action,
            old_mean,
            log_probability(action, old_mean, old_log_sd),
            rows((advantages - advantages.mean()) / (advantages.std() + 1e-8)),
            rows((returns - float(self.critic.shift)) / float(self.critic.scale)),
        ]
        if self.reference is not None:
            data.append(self.reference.mean(seen))

        permutations = self._stream(2, update)
        bounds = np.linspace(0, len(seen), min(spec.minibatches, len(seen)) + 1).astype(int)
        figures = []
        for _ in range(spec.epochs):
            order = torch.from_numpy(permutations.permutation(len(seen))).to(self.device)
            # one gather an epoch: minibatches are contiguous
            shuffled = [column.index_select(-1, order) for column in data]
            for low, high in zip(bounds[:-1], bounds[1:], strict=True):
                loss, figure = self.loss(*(column[..., low:high] for column in shuffled), old_log_sd=old_log_sd)
                self.adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), spec.max_grad_norm)
                self.adam.step(learning_rate)
                figures.append(figure)
            if spec.target_kl is not None:
                kl = torch.stack([figure[2] for figure in figures[1 - len(bounds) :]]).mean()
                if float(kl) > 1.5 * spec.target_kl:
                    break
        self.normaliser.learn(seen)
        names = ("policy_loss", "value_loss", "kl", "clip_fraction")
        measured = dict(zip(names, torch.stack(figures).mean(0).tolist(), strict=True))
        log_sd = self.actor.log_sd.detach()
        return measured | {
            "entropy": float(entropy(log_sd)),
            "explained_variance": float(explained),
            "sd": float(log_sd.exp().mean()),
        }

    def loss(
        self,
        observation: Tensor,
        action: Tensor,
        old_mean: Tensor,
        old_log_probability: Tensor,
        advantage: Tensor,
        target: Tensor,
        reference_mean: Tensor | None = None,
        *,
        old_log_sd: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The loss of a minibatch, and its policy loss, value loss, KL from the old policy and clipped share."""
        spec, log_sd = self.spec, self.actor.log_sd
        mean = self.actor(observation)
        ratio = torch.exp(log_probability(action, mean, log_sd) - old_log_probability)
        clipped = ratio.clamp(1.0 - spec.clip, 1.0 + spec.clip)
        policy_loss = -torch.minimum(advantage * ratio, advantage * clipped).mean()
        value_loss = 0.5 * (self.critic(observation) - target).square().mean()
        loss = policy_loss + spec.value * value_loss - spec.entropy * entropy(log_sd)
        if reference_mean is not None and self.reference is not None:
            loss = loss + spec.reference_kl * kl_divergence(mean, log_sd, reference_mean, self.reference.log_sd).mean()
        with torch.no_grad():
            kl = kl_divergence(old_mean, old_log_sd, mean, log_sd).mean()
            clip_fraction = (ratio != clipped).float().mean()
            return loss, torch.stack((policy_loss, value_loss, kl, clip_fraction))

    def _follow(self, returns: np.ndarray) -> None:
        """Move the critic's shift and scale towards the moments of these returns."""
        memory = 1.0 if float(self.normaliser.count) == 0 else RETURN_MEMORY
        shift, scale = float(self.critic.shift), float(self.critic.scale)
        mean = shift + memory * (returns.mean() - shift)
        square = (1 - memory) * (shift**2 + scale**2) + memory * np.square(returns).mean()
        self.critic.rescale(torch.as_tensor(mean), torch.as_tensor(math.sqrt(max(square - mean**2, 1e-12))))

    # --- keeping and restoring ---

    def state(self) -> dict[str, Tensor]:
        """Networks, normaliser and Adam's moments, by name."""
        return dict(self.network.state_dict()) | {f"adam.{name}": t for name, t in self.adam.state().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from such a state."""
        self.network.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("adam.")})
        self.adam.restore({name[5:]: t for name, t in tensors.items() if name.startswith("adam.")})

    def save(
        self,
        folder: str | Path,
        networks: tuple[Normaliser, Actor] | None = None,
        valuation: Valuation | None = None,
    ) -> None:
        """Write what was learned, as ``agents.load_policy`` reads it; ``networks``: kept copies, default its own."""
        save_policy(folder, self.spec, self.seat, *(networks or (self.normaliser, self.actor)), valuation)


def _reference(spec: PPOSpec, seat: Seat, device: torch.device):
    """The policy that the learner is held near to, or None."""
    if not spec.reference_kl:
        return None
    if spec.reference is None:
        raise ValueError(f"dealer {seat.name}: policy.reference_kl needs policy.reference, a checkpoint folder")
    return load_policy(spec.reference, seat).to(device)
