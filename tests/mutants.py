"""Mutants of the matching engine: every comparison, sign, whole number and assignment changed, one at a time.

    nice python -m tests.mutants [every]        about 10 minutes

Each mutant meets a few thousand messages in plain Python, in a process of its own, beside the slow twin. It is
killed if anything differs, if it raises, or if it runs on. Those that survive are printed; docs/proof/mutants.md says
of each why it is no other engine. With ``every`` n only each n-th mutant is made.
"""

import ast
import importlib
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np

BOOK = Path(__file__).parent.parent / "marketsim" / "book"
PARTS = ("bits", "index", "ladder", "matching")
SECONDS = 1  # of computing on one mix, which takes a tenth of it, after which a mutant is killed
WORKERS = 2
SURVIVED, KILLED = 0, 1
SWAPS = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.USub: [ast.UAdd],
}


# --- making them -----------------------------------------------------------------------------------


def mutants(source):
    """(function: statement -> what it became, tree) of each mutant of a source."""
    for place, (_, _, node) in enumerate(places(ast.parse(source))):
        for change in range(len(changes(node))):
            tree = ast.parse(source)
            function, statement, mutated = places(tree)[place]
            before = text(statement)
            changes(mutated)[change]()
            yield f"{function.name}: {before} -> {text(statement)}", tree


def places(tree):
    """(function, statement, node) of all that stands in functions, in an order that only depends on the source.

    Without intrinsics, which have no body in plain Python, and without the 0 of ``array.shape[0]``, for which
    -1 says the same of arrays of one dimension.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not is_intrinsic(node)]
    return [
        (function, statement, node)
        for function in functions
        for statement in ast.walk(function)
        if isinstance(statement, ast.stmt) and statement is not function
        for node in own_nodes(statement)
    ]


def is_intrinsic(function):
    return any(ast.unparse(decorator) == "intrinsic" for decorator in function.decorator_list)


def own_nodes(node):
    """A statement and what belongs to it alone, not to the statements inside it."""
    yield node
    if not (isinstance(node, ast.Subscript) and ast.unparse(node).endswith(".shape[0]")):
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.stmt):
                yield from own_nodes(child)


def text(statement):
    """A statement in one line, of an ``if`` or a loop the first."""
    return "nothing" if isinstance(statement, ast.Pass) else ast.unparse(statement).splitlines()[0]


def changes(node):
    """What can be changed in this node: functions that do it in place."""
    if isinstance(node, ast.Compare):
        return [
            lambda place=place, other=other: node.ops.__setitem__(place, other())
            for place, operator in enumerate(node.ops)
            for other in SWAPS.get(type(operator), [])
        ]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [lambda by=by: setattr(node, "value", node.value + by) for by in (+1, -1)]
    swaps = [
        lambda other=other: setattr(node, "op", other()) for other in SWAPS.get(type(getattr(node, "op", None)), [])
    ]
    if isinstance(node, ast.Assign | ast.AugAssign):
        swaps.append(lambda: setattr(node, "__class__", ast.Pass))
    return swaps


# --- killing them ----------------------------------------------------------------------------------


def leading_zeros(word):
    return 64 - (int(word) & (2**64 - 1)).bit_length()


def trailing_zeros(word):
    return (int(word) & -int(word)).bit_length() - 1


INTRINSICS = {"_leading_zeros": leading_zeros, "_trailing_zeros": trailing_zeros}


def without_compiler():
    """Let ``marketsim.book`` be imported as plain Python. For a process of its own: it cannot be undone."""
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # read when numba is imported
    extending = importlib.import_module("numba.extending")
    plain = ModuleType("marketsim.compiled")
    plain.formula = plain.stage = plain.inlined = plain.kernel = lambda function: function
    sys.modules["marketsim.compiled"] = plain
    extending.intrinsic = lambda function: INTRINSICS[function.__name__]
    np.seterr(over="ignore")  # int64 wraps, as it does compiled


def begin(name, tree):
    """Let a mutant meet the twin in a child process, whose exit tells its fate; returns the process id."""
    child = os.fork()
    if child:
        return child
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # which ends the process
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")
        install(name, tree)
        for _ in importlib.import_module("tests.book_pair").agree_quickly():
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
    except BaseException:
        os._exit(KILLED)
    os._exit(SURVIVED)


def install(name, tree):
    """Let the book, and what was imported from it, be imported anew, with this tree in the place of one module."""
    for module in [m for m in sys.modules if m.startswith(("marketsim.book.", "tests.book_"))]:
        del sys.modules[module]
    module = ModuleType(f"marketsim.book.{name}")
    sys.modules[module.__name__] = module
    setattr(sys.modules["marketsim.book"], name, module)
    exec(compile(tree, str(BOOK / f"{name}.py"), "exec"), module.__dict__)


def run(every=1):
    """Print the survivors, and how many met which fate."""
    without_compiler()
    for _ in importlib.import_module("tests.book_pair").agree_quickly():
        pass  # the engine as it is agrees; the children find all but the book imported
    running, fates, began = {}, Counter(), time.monotonic()

    def wait():
        child, status = os.wait()
        said = running.pop(child)
        if os.WIFSIGNALED(status):
            fates["timeout"] += 1
        elif os.WEXITSTATUS(status) == KILLED:
            fates["killed"] += 1
        else:
            fates["survived"] += 1
            print(said, flush=True)

    for name in PARTS:
        for number, (said, tree) in enumerate(mutants((BOOK / f"{name}.py").read_text())):
            if number % every:
                continue
            if len(running) == WORKERS:
                wait()
            running[begin(name, tree)] = f"{name}.py, {said}"
    while running:
        wait()
    made = sum(fates.values())
    print(f"{made} mutants in {time.monotonic() - began:.0f} s:", ", ".join(f"{n} {f}" for f, n in fates.items()))


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
