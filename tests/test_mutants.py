"""Nearly every mutant of the matching engine is killed, and of each that is not docs/proof/mutants.md says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import mutants

ROOT = Path(__file__).parent.parent
SOURCE = '''
def f(a, b):
    """Words."""
    while a < 2:
        a += b
    return -b
'''


def test_mutants_are_made_of_every_comparison_sign_number_and_assignment():
    assert [said for said, _ in mutants(SOURCE)] == [
        "f: while a < 2: -> while a <= 2:",
        "f: while a < 2: -> while a >= 2:",
        "f: while a < 2: -> while a < 3:",
        "f: while a < 2: -> while a < 1:",
        "f: return -b -> return +b",
        "f: a += b -> a -= b",
        "f: a += b -> nothing",
    ]


@pytest.mark.long
def test_nearly_all_mutants_are_killed_and_the_others_are_listed():
    said = subprocess.run(
        [sys.executable, "-m", "tests.mutants"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    listed = (ROOT / "docs" / "proof" / "mutants.md").read_text()
    *survivors, counts = said
    made = int(counts.split()[0])
    assert made > 600
    assert [survivor for survivor in survivors if f"`{survivor}`" not in listed] == []
