"""Randomness by counters: a draw is a pure function of (seed, episode, market, stream, step, index).

Every draw is a uniform in (0, 1). The table says what each (stream, index) means and how the uniform
becomes a decision; r is the request number within the step.

| stream      | index       | meaning                                    | transform                                    |
|-------------|-------------|--------------------------------------------|----------------------------------------------|
| PRICE       | 0, 1        | the normal z of the move t -> t+1          | sqrt(-2 log u0) * cos(2 pi u1)               |
| PRICE       | 2           | regime switch before that move             | first regime whose cumulated row exceeds u   |
| START       | 0 (step 0)  | replay: where in the file an episode starts | floor(u * number of possible starts)         |
| ARRIVAL     | 0           | order of the cells in this step            | u < 0.5: reversed                            |
| ARRIVAL     | 1           | at_most_one: which cell, if any            | first cell whose cumulated rate exceeds u    |
| ARRIVAL     | 1 + cell    | bernoulli: the cell's coin                 | u < rate                                     |
| ARRIVAL     | 1 + r       | poisson: gap to the r-th point             | -log u, laid along the cumulated rates       |
| CLIENT      | 4 r         | is request r informed?                     | u < share                                    |
| CLIENT      | 4 r + 1     | does it guess right?                       | u < accuracy                                 |
| CLIENT      | 4 r + 2     | its side where the price does not move     | u < 0.5: bid                                 |
| PANEL       | 256 r + i   | is dealer i asked?                         | u * (N - i) < places left (selection sampling) |
| RESERVATION | r           | the client's reservation markup            | floor - scale * log u                        |
| CHOICE      | r           | logit: the winner                          | dealers in order, then nobody                |
| TIE         | r           | best price: which of k equal quotes        | floor(u * k)-th in order                     |
| POLICY      | dealer      | a randomised policy's own draws            | index = dealer * 65536 + component           |
| OPERATOR    | 64 c + 4 a     | how long approver a takes to acknowledge | median * exp(sigma * z), z the normal quantile of u |
| OPERATOR    | 64 c + 4 a + 1 | and then to decide                      | the same                                     |
| OPERATOR    | 64 c + 4 a + 2 | does approver a judge rightly?          | u < accuracy                                 |
| TRADER      | 8 k         | time to trader k's next event              | -log u / rate                                |
| TRADER      | 8 k + 1     | what the event is                          | u * rate, laid along the rates of what it may be |
| TRADER      | 8 k + 2     | hawkes: market or limit order, at which price | u < market_share; the rest along the band |
| TRADER      | 8 k + 3     | lots of its order                          | geometric: 1 + floor(log u / log(1 - 1/mean)) |
| TRADER      | 8 k + 4, 5  | the normal z of its latency                | as of PRICE; median * exp(sigma z)           |
| TRADER      | 8 k + 6, 7  | value: the normal z of what it sees        | as of PRICE; F + noise z                     |

Request numbers: at_most_one has r = 0; bernoulli visits the cells in the step's order and r counts the
cells visited; poisson counts its points. The price model's draw for the move t -> t+1 has step t, also
where it is made ahead of time or past the horizon. Traders are counted from 0 without the dealers, and the step of a
trader's draws is the number of its own event: of event 0 only the time to event 1 is drawn. Operators: c is the number of the case in its market, and the
step the one at which it was last asked.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from marketsim.compiled import formula, kernel

PRICE, START, ARRIVAL, CLIENT, PANEL, RESERVATION, CHOICE, TIE, POLICY, OPERATOR, TRADER = (
    np.uint64(s << 32) for s in range(1, 12)
)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S12 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(12)
_ONE = np.uint64(0x3FF0000000000000)  # the bits of 1.0


@intrinsic
def float_of_bits(typing, bits):
    """Reinterpret the 64 bits of an integer as a float64."""
    return types.float64(bits), lambda context, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def bits_of_float(typing, x):
    """Reinterpret a float64 as the int64 of the same bits."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(64)
    )


@formula
def mix(z):
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits."""
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@formula
def market_key(seed, episode, market):
    """The key of one episode of one market."""
    return mix(mix(mix(np.uint64(seed) + _GOLDEN) + np.uint64(episode) * _GOLDEN) + np.uint64(market) * _GOLDEN)


@formula
def step_key(key, step):
    """The key of one step of it."""
    return mix(key + (np.uint64(step) + np.uint64(1)) * _GOLDEN)


@formula
def uniform(key, stream, index):
    """A uniform in (0, 1) with 52 bits and half a bit: (k + 1/2) / 2^52, never 0 or 1."""
    bits = mix(key + (stream + np.uint64(index)) * _GOLDEN)
    return (float_of_bits((bits >> _S12) | _ONE) - 1.0) + 1.1102230246251565e-16


@kernel
def draw(seed, episode, market, stream, step, index):
    """The uniform of these six counters: what the compiled step uses, one at a time."""
    return uniform(step_key(market_key(seed, episode, market), step), stream, index)


@kernel
def draws(seed, episode, first_market, stream, step, index, out):
    """Fill ``out`` (markets, n) with the uniforms of the markets from ``first_market`` and indices from ``index``."""
    for m in range(out.shape[0]):
        key = step_key(market_key(seed, episode, first_market + m), step)
        for k in range(out.shape[1]):
            out[m, k] = uniform(key, stream, index + k)


@kernel
def market_keys(seed, episode, first_market, out):
    """Fill ``out`` (markets,) with the market keys of an episode."""
    for m in range(out.shape[0]):
        out[m] = market_key(seed, episode, first_market + m)
