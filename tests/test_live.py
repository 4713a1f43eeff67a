"""Runs in which people answer, from another process: with keys, after kill -9, and where nobody can be asked."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from command_fixture import COMMAND, ENVIRONMENT, call, marketsim
from test_governance import GOVERNED

from experiments import store
from experiments.desk.decide import decide as desk_decide
from marketsim.document import InputError
from marketsim.guardrails.audit import Audit, rows, verify
from marketsim.guardrails.identity import AUTHENTICATED, new_key

ASKING = {
    "operator": "", "episodes: 60, in_a_row: 10": "episodes: 5, in_a_row: 5", "after: 5": "after: 2", "designs: {ungoverned: {escalation: null}}\n": "",
    "{name: ann, role: risk}": "{name: ann, role: risk, key: ann.key}", "{name: bob, role: desk}": "{name: bob, role: desk, key: bob.key}",
    "{soft: 4, hard: 6}": "{soft: 2, hard: 3}", "  probation: 30": "  probation: 30\n  hook_timeout: 60\n  acknowledge_within: 60\n  if_silent: widen",
}  # fmt: skip


def asking(path: Path) -> Path:
    """A run of one market in which people answer with keys."""
    text = "".join(line for line in GOVERNED.splitlines(keepends=True) if "operator:" not in line)
    for old, new in ASKING.items():
        if old != "operator":
            assert text.count(old) == 1, old
            text = text.replace(old, new)
    path.mkdir(exist_ok=True)
    for name in ("ann", "bob"):
        if not (path / f"{name}.key").exists():
            new_key(path / f"{name}.key")
    (path / "gov.yaml").write_text(text)
    return path


class Going:
    """A run in a process of its own, and a person at another terminal."""

    def __init__(self, path: Path, *words: str):
        self.path = path
        self.process = subprocess.Popen(
            [*COMMAND, "run", "gov.yaml", *words], cwd=path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def call(self, *words: str) -> str:
        done = marketsim(self.path, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def run(self) -> Path:
        return next((self.path / "runs").iterdir())

    @property
    def folder(self) -> Path:
        return self.run / "base" / "1"

    def cases(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "cases").glob("[0-9]*.json"))]

    def waits(self, what, seconds=90.0) -> dict:
        """The first case of which this is true, as soon as there is one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                found = [case for case in self.cases() if what(case)]
            except (OSError, StopIteration, ValueError):
                found = []
            if found:
                return found[0]
            time.sleep(0.05)
        raise AssertionError(
            f"no such case: {self.process.poll()} {self.process.stderr.read() if self.process.poll() is not None else ''}"
        )

    def decide(self, case: int, option: str, who: str) -> None:
        self.call("decide", str(self.run), str(case), option, "--as", who, "--reason", "seen", "--key", f"{who}.key")

    def end(self) -> str:
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return out


def choice(case: dict) -> tuple[str, str]:
    """What somebody who thinks little says, and who: give back whatever can be given back."""
    options = [option["name"] for option in case["options"]]
    if "release" in options:
        return "release", "ann"
    if "resume" in options:
        return "resume", "bob" if case["proposal"] else "ann"
    return "keep", "bob"


def answer_all(going: Going, until=lambda case: False) -> dict | None:
    """Answer each question as soon as it is asked, until the run is over or a question is this one, which is returned."""
    answered = set()
    while True:

        def new(case):
            waits = case["state"] != "closed"
            return waits and (case["id"], case["version"], case["proposal"] is not None) not in answered

        try:
            case = going.waits(new)
        except AssertionError:
            if going.process.poll() == 0:
                return None
            raise
        if until(case):
            return case
        answered.add((case["id"], case["version"], case["proposal"] is not None))
        option, who = choice(case)
        key = going.path / f"{who}.key"
        try:
            desk_decide(going.folder, case["id"], option, who, "seen", key)
        except InputError:  # it has just been closed, or is another one
            pass


@pytest.mark.long
def test_people_answer_from_another_process(tmp_path):
    """Through the command line, with keys, given the folder of the run."""
    going = Going(asking(tmp_path))
    case = answer_all(going, until=lambda case: case["cause"] == "loss")
    assert case and f"case {case['id']}, open: maker is RESTRICTED" in going.call("inbox", str(going.run))
    going.decide(case["id"], "resume", "ann")
    going.waits(lambda case: case["proposal"] is not None)
    going.decide(case["id"], "resume", "ann")  # nobody approves their own proposal
    going.decide(case["id"], "resume", "bob")
    going.waits(lambda other: other["id"] == case["id"] and other["state"] == "closed")
    going.call("kill", str(going.run), "--as", "the cleaner", "--reason", "smoke")
    killed = going.waits(lambda case: case["cause"] == "kill")
    assert killed["dealer_state"] == "HALTED" and "the cleaner" in killed["what"]
    answer_all(going)
    going.end()
    story = going.call("audit", "show", str(going.folder))
    assert "Ann" not in story and f"resume by bob (desk) in case {case['id']}" in story
    assert "same person: ann proposed it" in story and "the cleaner killed every dealer" in story
    said = list(rows(going.folder / "audit.jsonl"))
    signed = [row.body for row in said if row.body.get("what") == "signed"]
    assert said[0].body["identity"] == AUTHENTICATED and {body["who"] for body in signed} == {"ann", "bob"}
    assert all(body["authenticated"] and body["signature"] for body in signed)
    assert verify(going.folder / "audit.jsonl").consistent
    assert "the run is over" in going.call("inbox", str(going.run))


@pytest.mark.long
def test_a_run_killed_while_restricted_goes_on_as_if_it_had_not_been(tmp_path):
    undisturbed = Going(asking(tmp_path / "a"))
    answer_all(undisturbed)
    undisturbed.end()
    for name in ("ann", "bob"):  # the same people
        asking(tmp_path / "b")
        (tmp_path / "b" / f"{name}.key").write_bytes((tmp_path / "a" / f"{name}.key").read_bytes())
    going = Going(tmp_path / "b")
    answer_all(
        going, until=lambda case: case["dealer_state"] in ("RESTRICTED", "HALTED") and case["proposal"] is not None
    )
    going.process.send_signal(signal.SIGKILL)
    going.process.wait()
    left = (going.folder / "audit.jsonl").read_bytes()
    assert b'"to":"RESTRICTED"' in left and b'"what":"proposed"' in left
    resumed = Going(tmp_path / "b", "--resume")
    case = resumed.waits(lambda case: case["proposal"] is not None)
    assert case["dealer_state"] in ("RESTRICTED", "HALTED")
    answer_all(resumed)
    resumed.end()
    kept = (resumed.folder / "audit.jsonl").read_bytes()
    assert kept.startswith(left) and verify(resumed.folder / "audit.jsonl").consistent
    digests = [json.loads((run.run / store.MANIFEST).read_text())["digest"] for run in (undisturbed, resumed)]
    assert digests[0] == digests[1]


@pytest.mark.long
def test_a_run_whose_past_is_another_is_not_continued(tmp_path, monkeypatch, capsys):
    """An audit file whose rows the run, played again, does not write."""
    going = Going(asking(tmp_path))
    assert answer_all(going, until=lambda case: case["dealer_state"] == "RESTRICTED")
    going.process.kill()
    going.process.wait()
    monkeypatch.chdir(tmp_path)
    file = going.folder / "audit.jsonl"
    said = [(row.kind, row.body) for row in rows(file)]
    file.unlink()
    with Audit(file) as forged:
        for kind, body in said:
            forged.record(kind, body | ({"step": body["step"] + 1} if kind == "state" else {}))
    code, out, err = call(monkeypatch, capsys, "run", "gov.yaml", "--resume")
    assert (code, out) == (2, "") and "played again, the run says something else here" in err.splitlines()[-1]
    assert len(list(rows(file))) == len(said)
    file.write_bytes(file.read_bytes().replace(b'"NORMAL"', b'"HALTED"', 1))
    code, _, err = call(monkeypatch, capsys, "run", "gov.yaml", "--resume")
    assert code == 2 and "nothing is added to a broken chain" in err.splitlines()[-1]


def test_a_channel_that_dies_halts_the_run(tmp_path):
    going = Going(asking(tmp_path))
    assert answer_all(going, until=lambda case: case["dealer_state"] == "RESTRICTED")
    (going.folder / "cases").rename(going.folder / "gone")
    (going.folder / "cases").write_text("a file is in the way")
    going.end()
    states = pd.read_parquet(going.folder / "states.parquet")
    assert states["halted"].iloc[-1] == 1.0
    said = list(rows(going.folder / "audit.jsonl"))
    faults = [row.body["what"] for row in said if row.kind == "fault"]
    assert len(faults) == 1 and faults[0].startswith("nobody can be asked: ")
