"""The networks of a learner: a Gaussian policy and a value function, each a small perceptron of its own.

Inside, arrays are (features, rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

OBSERVATION_CLIP = 10.0  # in running standard deviations; observations only, never rewards


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, as 2 sigmoid(2x) - 1: exact to 2e-7 in float32. torch's own costs more than the products."""
    return x.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def tanh_backward_(gradient: Tensor, y: Tensor) -> Tensor:
    """In place, gradient * (1 - y^2)."""
    return torch.ops.aten.tanh_backward.grad_input(gradient, y, grad_input=gradient)


def relu_backward_(gradient: Tensor, y: Tensor) -> Tensor:
    """In place, gradient where y > 0."""
    return torch.ops.aten.threshold_backward.grad_input(gradient, y, 0.0, grad_input=gradient)


# activation -> itself, and the gradient of its input from that of its output and the output y; both in place
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "tanh": (tanh_, tanh_backward_),
    "relu": (torch.relu_, relu_backward_),
}


class _Layers(torch.autograd.Function):
    """y_l = f(W_l y_{l-1} + b_l) with no f at the head, and its derivatives, on arrays (features, rows).

    With the rows inside, products of narrow layers and sums over features run at the speed of wide ones.
    """

    @staticmethod
    def forward(ctx, activation: str, x: Tensor, *parameters: Tensor) -> Tensor:
        activate_, _ = ACTIVATIONS[activation]
        weights, biases = parameters[0::2], parameters[1::2]
        y = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            y.append(activate_(torch.addmm(bias[:, None], weight, y[-1])))
        ctx.activation, ctx.depth = activation, len(weights)
        ctx.save_for_backward(*weights, *y)
        return torch.addmm(biases[-1][:, None], weights[-1], y[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        _, backward_ = ACTIVATIONS[ctx.activation]
        weights, y = ctx.saved_tensors[: ctx.depth], ctx.saved_tensors[ctx.depth :]
        gradients: list[Tensor | None] = []
        for layer in reversed(range(ctx.depth)):
            gradients = [gradient @ y[layer].t(), gradient.sum(1), *gradients]
            if layer > 0:
                gradient = backward_(weights[layer].t() @ gradient, y[layer])
        return None, None, *gradients


class Perceptron(nn.Module):
    """Linear layers of these widths with an activation between them; orthogonal weights, zero biases.

    Gain sqrt(2) inside and ``last_gain`` at the head (Saxe et al. 2014; the gains of PPO's reference
    implementations). No gradient flows to its input.
    """

    def __init__(self, widths: tuple[int, ...], activation: str, last_gain: float, generator: torch.Generator):
        super().__init__()
        self.activation = activation
        self.layers = nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=2):
            gain = last_gain if layer == len(widths) else math.sqrt(2.0)
            weight = nn.init.orthogonal_(torch.empty(outputs, inputs), gain, generator=generator)
            self.layers.extend([weight, torch.zeros(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        """(inputs, rows) -> (outputs, rows)."""
        return _Layers.apply(self.activation, x, *self.layers)


class Normaliser(nn.Module):
    """Running mean and variance of each observation (Chan, Golub and LeVeque 1979), in float64.

    Before the first ``learn`` observations pass unchanged. One that has never varied becomes 0.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(width, dtype=torch.float64))  # sum of squared deviations

    @torch.no_grad()
    def learn(self, rows: Tensor) -> None:
        """Merge the moments of ``rows`` (n, width) into the running ones."""
        rows = rows.double()
        n, mean = rows.shape[0], rows.mean(0)
        delta, total = mean - self.mean, self.count + n
        self.squares += (rows - mean).square().sum(0) + delta.square() * (self.count * n / total)
        self.mean += delta * (n / total)
        self.count.copy_(total)

    def forward(self, observation: Tensor) -> Tensor:
        """Observations (rows, width) in running standard deviations, clipped and turned: (width, rows)."""
        sd = torch.where(self.count > 0, (self.squares / self.count.clamp(min=1)).sqrt() + 1e-6, 1.0)
        scaled = (observation.t() - self.mean.float()[:, None]) / sd.float()[:, None]
        return scaled.clamp(-OBSERVATION_CLIP, OBSERVATION_CLIP).contiguous()


class Actor(nn.Module):
    """A Gaussian policy whose standard deviation does not depend on the state."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, activation: str, sd: float, generator):
        super().__init__()
        self.body = Perceptron((inputs, *hidden, outputs), activation, 0.01, generator)
        self.log_sd = nn.Parameter(torch.full((outputs,), math.log(sd)))

    def forward(self, observation: Tensor) -> Tensor:
        """The mean action (outputs, rows) of normalised observations (inputs, rows)."""
        return self.body(observation)


class Critic(nn.Module):
    """A value function whose output is in standard deviations of the return (Pop-Art, van Hasselt et al. 2016).

    Values are ``shift + scale * output``. ``rescale`` moves both and mends the last layer so that no value
    changes; so the loss keeps unit scale whatever the rewards' scale, and not one reward is touched.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, inputs: int, hidden: tuple[int, ...], activation: str, generator: torch.Generator):
        super().__init__()
        self.body = Perceptron((inputs, *hidden, 1), activation, 1.0, generator)
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, observation: Tensor) -> Tensor:
        """The scaled value (rows,) of normalised observations (inputs, rows)."""
        return self.body(observation)[0]

    def value(self, observation: Tensor) -> Tensor:
        """The value (rows,) float64 in the reward's units, of normalised observations."""
        return self.shift + self.scale * self(observation).double()

    @torch.no_grad()
    def rescale(self, shift: Tensor, scale: Tensor) -> None:
        """Take a new shift and scale, keeping every value."""
        weight, bias = self.body.layers[-2:]
        weight.mul_(self.scale / scale)
        bias.mul_(self.scale / scale).add_((self.shift - shift) / scale)
        self.shift.copy_(shift)
        self.scale.copy_(scale)
