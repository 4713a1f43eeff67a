"""The story that an audit file tells, in sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_fixture import STORY, write

from marketsim import InputError
from marketsim.guardrails.audit import INCOMPLETE, nonces, rows, verify
from marketsim.guardrails.identity import ASSERTED, AUTHENTICATED
from marketsim.guardrails.story import story

ROOT = Path(__file__).parent.parent


def test_the_story_in_sentences(tmp_path):
    path = tmp_path / "audit.jsonl"
    head = write(path)
    assert story(path) == [
        f"The audit file is consistent; completeness not established (14 rows, head {head}).",
        "row 1: the run was configured (digest: ab12; identity: identity asserted, not authenticated).",
        "row 2, step 118: learner in market 0 went from NORMAL to WARN, event drift (version: 1).",
        "row 3, step 118: case 1 was opened, for learner in market 0, cause markout: Mark-outs fell; figures: markout -0.5; "
        "done: NORMAL to WARN at step 118; exposure: inventory 3, pnl -2.5; options at their cost: halt unknown, keep 4.5; "
        "to be acknowledged by step 130; to be decided by step 160; if nobody answers: hedge.",
        "row 4, step 119: case 2 was opened, for rival, cause volatility.",
        "row 5, step 120: a decision of Mallory (desk) in case 1 was refused: forged: it is not signed.",
        "row 6, step 121: first (risk, identity asserted, not authenticated) acknowledged case 1.",
        "row 7, step 125: first (risk) signed widen in case 1, seeing version 1, because toxic \\u001b[31mflow\\u202e\\u000a {who}.",
        "row 8, step 125: learner in market 1 went from NORMAL to WARN, event drift.",
        "row 9, step 125: learner in market 0 went from HALTED to PROBATION, event resume, by first and second.",
        "row 10, step 125: case 1: closed, widen by first.",
        "row 11, step 126: anyone (identity asserted, not authenticated) killed rival in market 0, because now.",
        "row 12, step 130: a fault: the hook hung.",
        "row 13, step 131: keep by first (risk) in case 2, seeing version 3, was accepted, because over.",
        "row 14, step 132: first acknowledged case 2.",
    ]  # fmt: skip
    assert [line.split(",")[0] for line in story(path, 1)[1:]] == [f"row {n}" for n in (3, 5, 6, 7, 9, 10)]
    with pytest.raises(InputError, match=r"audit.jsonl: no row is of case 7$"):
        story(path, 7)


def test_the_story_of_a_broken_file_ends_at_the_break(tmp_path):
    path = tmp_path / "audit.jsonl"
    write(path)
    path.write_bytes(path.read_bytes().replace(b"Mallory", b"Malory"))
    told = story(path)
    assert len(told) == 6 and told[0].startswith("The audit file is broken at row 5")
    assert told[-1].startswith("Row 5 and what follows it are not told: its content")


def test_nonces_are_those_of_the_answers_that_were_taken(tmp_path):
    write(tmp_path / "audit.jsonl", [*STORY, ("refusal", {"case": 1, "nonce": "n3"})])
    assert nonces(tmp_path / "audit.jsonl") == {"n1", "n2"}


def test_no_file_is_one_line(tmp_path):
    for read in (verify, lambda path: list(rows(path)), story, nonces):
        with pytest.raises(InputError, match=r"none.jsonl: cannot be read: No such file or directory$"):
            read(tmp_path / "none.jsonl")


def test_the_documentation_says_it_in_the_same_words():
    text = (ROOT / "docs" / "audit.md").read_text()
    for sentence in (
        INCOMPLETE,
        ASSERTED,
        AUTHENTICATED,
        "consistent and complete up to the head given",
        "no row has the head given",
    ):
        assert sentence in text
    for path in (ROOT / "docs" / "audit.md", ROOT / "SECURITY.md", *(ROOT / "marketsim" / "guardrails").glob("*.py")):
        assert "compliant" not in path.read_text()
