"""How this project compiles: one set of options, and an on-disk cache that notices every change.

numba stamps a cached kernel with the one file it stands in, so that a change in ``price.py`` would
leave a stale ``engine.step`` behind. Here the stamp covers every source that compiled code is made of.
"""

import hashlib
from pathlib import Path
from typing import Any

from numba import njit

# No reference counting inside (``_nrt``): kernels only make views of arrays that their caller holds, and counting
# those views costs as much as the work at a batch of one market. So kernels allocate nothing.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def _sources_digest() -> str:
    """SHA-256 of the files with compiled parts, of this one, and of the constants they are compiled with."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if (
            b"\n@stage\n" in source
            or b"\n@formula\n" in source
            or path.name in ("compiled.py", "scratch.py", "state.py", "types.py")
        ):
            digest.update(path.name.encode() + source)
    return digest.hexdigest()


_STAMP = _sources_digest()

# A scalar formula: inlined into the loop that calls it, so that the loop still vectorises.
formula = njit(inline="always", **_OPTIONS)

# A plain loop over one block of markets. LLVM vectorises it where it can prove that its rows do not overlap, which
# it gives up on beyond eight pairs (one written row with up to eight read, two with three) and wherever an index is
# read from memory: so gather first, into a row, and write one row a loop.
stage = njit(**_OPTIONS)

# A stage that LLVM puts where it is called, for work done millions of times a second on many arrays: handing on six of
# them costs 10 ns a call. Not for loops that should vectorise, nor for many places: each is compiled anew.
inlined = njit(forceinline=True, **_OPTIONS)


def kernel(function):
    """Compile an entry point, cached on disk under that stamp and one of the file it stands in."""
    dispatcher = njit(cache=True, **_OPTIONS)(function)
    own_file = Path(function.__code__.co_filename).read_bytes()
    dispatcher._cache._cache_file._source_stamp = _STAMP + hashlib.sha256(own_file).hexdigest()
    return dispatcher


class Direct:
    """An entry point called without numba's search for a signature once it is compiled: 2 us less, never a second one.

    For entry points that always meet arguments of the same types; it is their caller's task to see to that.
    """

    def __init__(self, dispatcher):
        self._dispatcher = dispatcher
        self.call = self._first

    def _first(self, *arguments):
        self._dispatcher(*arguments)
        (signature,) = self._dispatcher.signatures
        self.call = self._dispatcher.overloads[signature].entry_point
