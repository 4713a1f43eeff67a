"""Adam (Kingma and Ba 2015, algorithm 1) by torch's own fused kernel.

``torch.optim`` would do the same, bit for bit, but imports torch's compiler first: 1 to 2 s before the first update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-5  # epsilon of PPO's reference implementations


class Adam:
    """Moves parameters against their gradients.

    ``m``, ``v``: the moments of each parameter's gradient, before their bias is corrected; ``t``: steps so far.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        self.parameters = list(parameters)
        self.m = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.v = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.t = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One step; every parameter must have a gradient, the kernel raises RuntimeError otherwise."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_add_(self.t, 1)
        torch._fused_adam_(
            self.parameters, gradients, self.m, self.v, [], self.t, lr=learning_rate, beta1=BETA_1, beta2=BETA_2,
            weight_decay=0.0, eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """The moments and the number of steps, by name and parameter."""
        return {
            f"{name}.{index}": tensor
            for name, tensors in (("m", self.m), ("v", self.v), ("t", self.t))
            for index, tensor in enumerate(tensors)
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from such a state."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
