"""Structured arrays for kernels that run uncompiled: numpy reads ``row.size`` as the row's length, not as its field."""

import numpy as np
from numba import config


class Row:
    def __init__(self, names, values):
        self.__dict__.update(zip(names, values, strict=True))


class Rows(list):
    """A list of rows that also tells its ``shape``; numbers are int64, so that they wrap as in compiled code."""

    def __init__(self, array):
        self.dtype, self.shape = array.dtype, array.shape
        super().__init__(Row(array.dtype.names, map(np.int64, row)) for row in array.tolist())


def rows(array):
    """What the kernels take for a structured array: itself, if they are compiled."""
    return Rows(array) if config.DISABLE_JIT else array


def table(rows):
    """It as a structured array."""
    if not isinstance(rows, Rows):
        return rows
    return np.array([tuple(row.__dict__[name] for name in rows.dtype.names) for row in rows], rows.dtype)
