"""Adam: the same bits as torch's, its moments kept, and nothing of torch's compiler imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from agents.adam import EPSILON, Adam

SHAPES = ((7, 3), (7,), (1, 7), (1,))


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [10.0 ** (step % 5 - 2) * torch.randn(shape, generator=generator) for shape in SHAPES]


def walk(mine: list[torch.nn.Parameter], adam: Adam, steps: range) -> None:
    for step in steps:
        for parameter, gradient in zip(mine, gradients(step), strict=True):
            parameter.grad = gradient
        adam.step(1e-3 * (1 - step / 50))


def test_it_is_torchs_bit_for_bit_and_the_papers_in_double_precision():
    mine, theirs, slow = parameters(), parameters(), [p.detach().double() for p in parameters()]
    adam, reference = Adam(mine), torch.optim.Adam(theirs, eps=EPSILON, fused=True)
    m, v = ([torch.zeros_like(p) for p in slow] for _ in range(2))
    for step in range(40):
        walk(mine, adam, range(step, step + 1))
        reference.param_groups[0]["lr"] = rate = 1e-3 * (1 - step / 50)
        for i, gradient in enumerate(gradients(step)):
            theirs[i].grad, g = gradient, gradient.double()
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            m_hat, v_hat = m[i] / (1 - 0.9 ** (step + 1)), v[i] / (1 - 0.999 ** (step + 1))
            slow[i] = slow[i] - rate * m_hat / (v_hat.sqrt() + 1e-5)
        reference.step()
    for parameter, other, exact in zip(mine, theirs, slow, strict=True):
        assert torch.equal(parameter, other)
        torch.testing.assert_close(parameter.double(), exact, rtol=0, atol=1e-6)


def test_it_continues_from_its_state():
    mine = parameters()
    adam = Adam(mine)
    walk(mine, adam, range(5))
    kept = {name: tensor.clone() for name, tensor in adam.state().items()}
    copies = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    resumed = Adam(copies)
    resumed.restore(kept)
    walk(mine, adam, range(5, 9))
    walk(copies, resumed, range(5, 9))
    for parameter, other in zip(mine, copies, strict=True):
        assert torch.equal(parameter, other)


def test_a_parameter_without_a_gradient_is_refused():
    mine = parameters()
    adam = Adam(mine)
    for parameter, gradient in zip(mine[1:], gradients(0)[1:], strict=True):
        parameter.grad = gradient
    with pytest.raises(RuntimeError):
        adam.step(1e-3)


def test_training_does_not_import_torchs_compiler():
    code = (
        "import sys; from agents.config import Desk; from agents.trainer import Trainer\n"
        "desk = Desk.model_validate({'market': {'steps': 2, 'segments': [{'rates': [0.4]}]}, 'dealers': [{'policy': 'ppo'}]})\n"
        "Trainer(desk, 0, 4, 8).update()\n"
        "print([name for name in sys.modules if name.startswith(('torch._dynamo', 'torch._inductor', 'pandas', 'plotly'))])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
