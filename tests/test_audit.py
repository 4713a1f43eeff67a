"""The audit file: every edit is found, and what was written stays written."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
from audit_fixture import STORY, write
from hypothesis import given
from hypothesis import strategies as st

from marketsim import InputError
from marketsim.guardrails.audit import GENESIS, INCOMPLETE, Audit, rows, verify
from marketsim.guardrails.canonical import canonical, parse

ROOT = Path(__file__).parent.parent


# --- the chain --------------------------------------------------------------------------------------


def test_the_chain_is_what_the_documentation_says(tmp_path):
    """The slow twin: json, hashlib and the three sentences of docs/audit.md."""
    head = write(tmp_path / "audit.jsonl")
    previous = 64 * "0"
    for number, (line, (kind, body)) in enumerate(zip((tmp_path / "audit.jsonl").open(), STORY, strict=True), 1):
        tree = json.loads(line)
        assert line == json.dumps(tree, sort_keys=True, separators=(",", ":")) + "\n"
        said = tree.pop("hash")
        assert tree == {"row": number, "previous": previous, "kind": kind, "body": body}
        previous = hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        assert said == previous
    assert head == previous


def test_without_a_head_completeness_is_not_established(tmp_path):
    path = tmp_path / "audit.jsonl"
    head = write(path)
    verdict = verify(path)
    assert verdict.consistent and not verdict.complete and verdict.rows == len(STORY) and verdict.head == head
    assert verdict.sentence.startswith(INCOMPLETE)
    assert verify(path, head).complete
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))  # consistent, and two rows short
    assert verify(path).consistent
    assert not verify(path, head).consistent and "rows were taken away" in verify(path, head).sentence
    path.write_bytes(b"")
    assert verify(path).consistent and verify(path).head == GENESIS and not verify(path, head).consistent


def test_an_earlier_head_vouches_for_what_it_covers(tmp_path):
    path = tmp_path / "audit.jsonl"
    head = write(path, STORY[:3])
    write(path, STORY[3:])
    verdict = verify(path, head)
    assert not verdict.consistent
    assert verdict.sentence == "rows 1 to 3 are those of the head given; 11 follow that it does not cover"


def test_a_file_made_anew_is_found_by_its_head_alone(tmp_path):
    head = write(tmp_path / "true.jsonl")
    kind, body = STORY[6]
    write(tmp_path / "false.jsonl", [*STORY[:6], (kind, body | {"option": "keep"}), *STORY[7:]])
    assert verify(tmp_path / "false.jsonl").consistent
    assert not verify(tmp_path / "false.jsonl", head).consistent


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (lambda lines: [*lines[:4], lines[4].replace(b"Mallory", b"Malory"), *lines[5:]], "row 5: its content"),
        (lambda lines: [*lines[:4], lines[4].replace(b'"row":5', b'"row": 5'), *lines[5:]], "row 5: it is not written"),
        (lambda lines: [*lines[:4], *lines[5:]], "row 5: it does not follow"),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "row 5: it does not follow"),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], "row 6: it does not follow"),
        (lambda lines: [*lines[:4], b"\n", *lines[4:]], "row 5: it is not a row"),
        (lambda lines: [*lines[:13], lines[13][:-1]], "row 14: it is torn"),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], "row 1: it is not written"),
        (lambda lines: [b"\xef\xbb\xbf", *lines], "row 1: it is not a row"),
        (lambda lines: [b"[" * 100_000 + b"\n", *lines], "row 1: it is not a row"),
        (lambda lines: [b"1" * 100_000 + b"\n", *lines], "row 1: it is not a row"),
        (lambda lines: [b" " * 2_000_000, *lines], "row 1: it is longer"),
        (lambda lines: [lines[0].replace(b'"ab12"', b"NaN"), *lines[1:]], "row 1: it is not a row"),
    ],
)  # fmt: skip
def test_a_broken_chain_names_the_row(tmp_path, edit, where):
    path = tmp_path / "audit.jsonl"
    write(path)
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))
    assert verify(path).sentence.startswith(f"broken at {where}")
    assert not verify(path).consistent


def test_ten_thousand_random_edits_are_all_found(tmp_path):
    """Bytes changed, removed, added and moved; rows removed, added, moved, swapped, copied; cut off; rows made anew."""
    path = tmp_path / "audit.jsonl"
    head = write(path)
    whole = path.read_bytes()
    draw = random.Random(11)
    missed, tried = [], 0
    while tried < 10_000:
        edited = _edited(whole, draw)
        if edited == whole:
            continue
        tried += 1
        path.unlink()  # some disks wait where a file is written over
        path.write_bytes(edited)
        if verify(path, head).consistent:
            missed.append(edited)
    assert not missed


def _edited(whole: bytes, draw: random.Random) -> bytes:
    lines = whole.splitlines(keepends=True)
    i, j = draw.randrange(len(whole)), draw.randrange(len(whole))
    k, m = draw.randrange(len(lines)), draw.randrange(len(lines))
    some = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 4)))
    how = draw.randrange(11)
    if how == 0:
        return whole[:i] + some[:1] + whole[i + 1 :]
    if how == 1:
        return whole[:i] + whole[i + draw.randrange(1, 20) :]
    if how == 2:
        return whole[:i] + some + whole[i:]
    if how == 3:
        return whole[:i] + whole[min(i, j) : max(i, j)] + whole[i:]
    if how == 4:
        return whole[:i]
    if how == 5:
        del lines[k]
    elif how == 6:
        lines[k], lines[m] = lines[m], lines[k]
    elif how == 7:
        lines.insert(m, lines[k])
    elif how == 8:
        return whole[:i] + draw.choice([b" ", b"\t", b"0", b"\n"]) + whole[i:]
    elif how == 9:  # a digit or letter for another one
        return whole[:i] + (b"%d" % draw.randrange(10)) + whole[i + 1 :]
    else:  # the rows from k on made anew, each consistent with the one before, row k with another content
        previous = json.loads(lines[k - 1])["hash"] if k else GENESIS
        for n in range(k, len(lines)):
            tree = json.loads(lines[n])
            del tree["hash"]
            tree["previous"] = previous
            if n == k:
                tree["body"]["why"] = draw.random()
            previous = hashlib.sha256(canonical(tree).encode()).hexdigest()
            lines[n] = canonical(tree | {"hash": previous}).encode() + b"\n"
    return b"".join(lines)


# --- what is written ---------------------------------------------------------------------------------


class Level(IntEnum):
    HALTED = 3


def test_whatever_a_run_says_verifies(tmp_path):
    body = {
        "numpy": np.float64(0.1), "count": np.int64(3), "flag": np.bool_(True), "small": np.float32(0.1), "zero": -0.0,
        "huge": 1e308, "tiny": 5e-324, "integer": 10**30, "level": Level.HALTED, "nothing": None, "pair": (1, 2.0),
        "text": "é \u2028 \ud800 \U0001f600 \"quoted\" \\ \x00", "price": float("nan"), "loss": np.float64("-inf"), "2": 1, "10": 2,
    }  # fmt: skip
    head = write(tmp_path / "audit.jsonl", [("fault", body)])
    assert verify(tmp_path / "audit.jsonl", head).complete
    kept = list(rows(tmp_path / "audit.jsonl"))[0].body
    assert (kept["price"], kept["loss"], kept["level"], kept["flag"]) == ("nan", "-inf", 3, True)


@given(st.dictionaries(st.text("ab10é\ud800"), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a\"\\\n\ud800é"),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text("ab10"), part, max_size=3), max_leaves=8)))  # fmt: skip
def test_canonical_text_is_read_back_and_written_the_same(tree):
    text = canonical(tree)
    assert text.isascii() and canonical(parse(text.encode())) == text
    assert text == json.dumps(parse(text.encode()), sort_keys=True, separators=(",", ":"))


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth else {}


def test_depth_is_limited_wherever_it_is_asked_from():
    assert len(canonical(nested(31))) == 6 * 31 + 2
    circle: dict = {}
    circle["a"] = circle
    for tree in (nested(32), nested(40), nested(900), {"b": float("nan")} | nested(32), circle):
        with pytest.raises(ValueError, match="nested deeper than 32 levels"):
            canonical(tree)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("nothing", {}), ("state", {1: 2}), ("state", {"a": {3: 4}}), ("state", {"a": [{10: 1, 9: 2}]}),
     ("state", {"a": OrderedDict({10: 1, 9: 2})}), ("state", {"a": object()}), ("case", {"a": "x" * 2**20})],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_and_leaves_the_file_as_it_was(tmp_path, kind, body):
    path = tmp_path / "audit.jsonl"
    with Audit(path) as audit:
        audit.record("state", {"to": "WARN"})
        before = path.read_bytes()
        with pytest.raises(ValueError, match="audit: |key|got a object"):
            audit.record(kind, body)
        assert path.read_bytes() == before
        audit.record("state", {"to": "HALTED"})
        assert verify(path, audit.head).complete


def test_a_state_change_and_a_decision_are_on_the_disk_before_they_act(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((tmp_path / "audit.jsonl").read_bytes().count(b"\n")))
    with Audit(tmp_path / "audit.jsonl") as audit:
        synced.clear()
        for kind, _ in STORY:
            audit.record(kind, {})
        assert synced == [n for n, (kind, _) in enumerate(STORY, 1) if kind in ("state", "decision")]


def test_another_writer_is_kept_out(tmp_path):
    with (
        Audit(tmp_path / "audit.jsonl"),
        pytest.raises(InputError, match=r"jsonl: is being written by another process$"),
    ):
        Audit(tmp_path / "audit.jsonl")


# --- faults ------------------------------------------------------------------------------------------


def test_a_torn_row_is_cut_off_and_said(tmp_path):
    path = tmp_path / "audit.jsonl"
    whole_head = write(path, STORY[:4])
    whole = path.read_bytes()
    for torn in (b"{", whole.splitlines(keepends=True)[-1][:-1], b"\0" * 4096):
        path.write_bytes(whole + torn)
        with Audit(path) as audit:
            assert audit.rows == 5
            audit.record("state", {"to": "HALTED"})
            assert verify(path, audit.head).complete
        kept = list(rows(path))
        assert kept[3].hash == whole_head
        assert (kept[4].kind, kept[4].body) == ("fault", {"what": "a torn last row was cut off", "bytes": len(torn)})


def test_nothing_is_added_to_a_broken_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    write(path)
    path.write_bytes(path.read_bytes().replace(b"Mallory", b"Malory"))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"audit.jsonl:5: its content is not that of its hash; nothing is added"):
        Audit(path)
    assert path.read_bytes() == before


CHILD = """
import os, signal, sys
from marketsim.guardrails.audit import Audit
audit = Audit(sys.argv[1])
audit.record("state", {"dealer": "learner", "from": "NORMAL", "to": "WARN"})
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
audit.record("state", {"dealer": "learner", "from": "WARN", "to": "RESTRICTED"})
"""


def test_killed_between_a_state_change_and_its_fsync_it_is_still_restricted(tmp_path):
    path = tmp_path / "audit.jsonl"
    for times in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, path], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL
        with Audit(path) as audit:
            assert audit.rows == 3 * times - 1
            assert list(rows(path))[-1].body["to"] == "RESTRICTED"
            audit.record("state", {"dealer": "learner", "from": "RESTRICTED", "to": "HALTED"})
            assert verify(path, audit.head).complete


FULL = """
import resource, sys
from marketsim.guardrails.audit import Audit
audit = Audit(sys.argv[1])
audit.record("state", {"to": "WARN"})
resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
try:
    audit.record("case", {"what": "x" * 1000})
except OSError as error:
    print("refused", audit.rows)
audit.record("state", {"to": "HALTED"})
print(audit.rows, audit.head)
"""


def test_a_full_disk_raises_and_leaves_whole_rows(tmp_path):
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    refused, after = done.stdout.splitlines()
    assert refused == "refused 1"
    assert verify(path, after.split()[1]).complete and [row.body["to"] for row in list(rows(path))] == [
        "WARN",
        "HALTED",
    ]


# --- its speed -----------------------------------------------------------------------------------------


def test_the_bench_measures_rows(monkeypatch, tmp_path):
    from experiments.bench import audit as bench

    monkeypatch.chdir(tmp_path)
    for name, value in {"REPEATS": 2, "ROWS": 20, "SYNCED": 2}.items():
        monkeypatch.setattr(bench, name, value)
    measured = bench.measure()
    assert [(row.unit, row.at_least) for row in measured if row.at_least] == [("us", 20.0), ("us", 2_000.0)]
    assert all(0 < row.value for row in measured)
    assert not list(tmp_path.iterdir())
