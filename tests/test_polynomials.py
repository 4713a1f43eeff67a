"""exp, log and cos as polynomials, and the stream they are fed with, against the standard library."""

import math

import numpy as np
import pytest

from marketsim import polynomials, rng
from marketsim.compiled import kernel
from marketsim.price import normal


@kernel
def _apply(which, x, out):
    for k in range(x.shape[0]):
        if which == 0:
            out[k] = polynomials.exp(x[k])
        elif which == 1:
            out[k] = polynomials.log(x[k])
        else:
            out[k] = polynomials.cos_two_pi(x[k])


@kernel
def _normals(seed, out):
    for m in range(out.shape[0]):
        out[m] = normal(rng.step_key(rng.market_key(seed, 0, m), 0))


def applied(which, x):
    out = np.empty_like(x)
    _apply(which, x, out)
    return out


def test_a_kernel_is_stamped_with_its_own_file_too():
    """Else a change of a kernel outside the compiled sources would run as it was before."""
    ours, engines = (k._cache._cache_file._source_stamp for k in (_apply, rng.draw))
    assert ours[:64] == engines[:64] and ours[64:] != engines[64:]


def test_errors_stay_below_1e_13():
    x = np.concatenate([np.linspace(-700, 700, 200_001), np.linspace(-1, 1, 20_001)])
    assert np.max(np.abs(applied(0, x) / np.exp(x) - 1)) < 1e-13
    x = np.concatenate([np.exp(np.linspace(-36.7, 36, 200_001)), np.linspace(0.5, 2, 20_001), [2.0**-53, 1 - 2.0**-53]])
    error = np.abs(applied(1, x) - np.log(x)) / np.maximum(np.abs(np.log(x)), 1e-3)
    assert np.max(error) < 1e-13
    x = np.linspace(0, 1, 200_001)
    assert np.max(np.abs(applied(2, x) - np.cos(2 * math.pi * x))) < 1e-13


def test_exp_is_clamped_instead_of_overflowing():
    out = applied(0, np.array([1e9, -1e9]))
    assert out == pytest.approx([math.exp(700), math.exp(-700)], rel=1e-12)


def test_the_stream_is_uniform_uncorrelated_and_a_pure_function():
    out = np.empty((100_000, 4))
    rng.draws(7, 1, 0, rng.CLIENT, 3, 0, out)
    assert out.min() > 0 and out.max() < 1
    counts = np.histogram(out, bins=100, range=(0, 1))[0]
    assert np.sum((counts - 4000) ** 2 / 4000) < 160  # chi-squared with 99 degrees of freedom: p < 1e-4
    assert np.max(np.abs(np.corrcoef(out.T) - np.eye(4))) < 0.015
    assert abs(np.corrcoef(out[1:, 0], out[:-1, 0])[0, 1]) < 0.015
    assert rng.draw(7, 1, 41, rng.CLIENT, 3, 2) == out[41, 2]
    others = [(8, 1, 41, 3, 2), (7, 0, 41, 3, 2), (7, 1, 42, 3, 2), (7, 1, 41, 4, 2), (7, 1, 41, 3, 3)]
    assert all(rng.draw(s, e, m, rng.CLIENT, t, k) != out[41, 2] for s, e, m, t, k in others)
    assert rng.draw(0, 0, 0, rng.PRICE, 0, 0) != rng.draw(1, 0, 0, rng.PRICE, 0, 0)  # seed 0 is a seed


def test_normals_have_the_moments_and_tails_of_normals():
    z = np.empty(2_000_000)
    _normals(3, z)
    n = len(z)
    assert abs(z.mean()) < 4 / math.sqrt(n) and abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    for level in (2.0, 3.0, 4.0):
        p = math.erfc(level / math.sqrt(2))
        assert abs((np.abs(z) > level).mean() - p) < 4 * math.sqrt(p / n)
