"""The highest and the lowest one of a word of 64 bits: an instruction each, which numba has no name for."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from marketsim.compiled import formula


@intrinsic
def _leading_zeros(typing, word):
    return types.int64(types.int64), lambda context, builder, signature, args: builder.ctlz(
        args[0], ir.Constant(ir.IntType(1), 1)
    )


@intrinsic
def _trailing_zeros(typing, word):
    return types.int64(types.int64), lambda context, builder, signature, args: builder.cttz(
        args[0], ir.Constant(ir.IntType(1), 1)
    )


@formula
def highest_one(word):
    """The place, 0 to 63, of the highest bit that is set in an int64 other than 0."""
    return 63 - _leading_zeros(word)


@formula
def lowest_one(word):
    return _trailing_zeros(word)
