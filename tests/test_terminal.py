"""The terminal channel: cases are shown and asked about where the run is, and nobody is waited for."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command_fixture import COMMAND, ENVIRONMENT, call
from test_desk import CASE, HEAD, LATER, Run
from test_live import asking, choice

from experiments.desk.channel import Terminal
from experiments.desk.seats import Desk
from marketsim import InputError
from marketsim.guardrails.audit import rows, verify
from marketsim.guardrails.identity import Signed


class Person:
    """Types these lines, one whenever the run looks; ``None``: has not typed yet."""

    def __init__(self, *lines: str | None):
        self.lines, self.read = list(lines), []

    def typed(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    @property
    def questions(self) -> list[str]:
        return [line for line in self.read if line.endswith("?")]


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(tmp_path)


def terminal(run: Run, person: Person) -> Terminal:
    channel = Terminal(Desk.of(run.approvers, ("learner", "rival"), HEAD), person.typed, person.read.append)
    channel.publish(CASE, LATER)
    return channel


def test_it_shows_a_case_and_asks(run):
    person = Person("flatten", "widen", "Ann", "ann.key", "toxic flow")
    channel = terminal(run, person)
    assert person.read[0].startswith("cases are answered here, by Ann (risk), Ben (desk)")
    assert person.read[0].endswith("not authenticated")
    assert person.read[1].startswith("case 1, open: learner is WARN")
    (delivery,) = channel.collect()
    taken = run.approvers.check(*delivery)
    assert isinstance(taken, Signed) and taken.authenticated and (taken.option, taken.reason) == ("widen", "toxic flow")
    asked = "case 1: keep, widen, halt, acknowledge, kill?"
    assert person.questions == [asked, asked, "who?", "key file?", "reason?"]
    assert "case 1: 'flatten' is not offered, allowed are keep, widen, halt" in person.read


def test_it_waits_for_nobody_and_an_answer_goes_on_where_it_was(run):
    person = Person(None, "widen", None, "Ann", None, "ann.key", None, None, "toxic flow")
    channel = terminal(run, person)
    assert [channel.collect() for _ in range(5)] == 5 * [[]]
    (delivery,) = channel.collect()
    assert run.approvers.check(*delivery).option == "widen"
    assert len(person.questions) == 4  # each once


def test_a_case_that_has_changed_meanwhile_is_asked_about_anew(run):
    """Half an answer to what stood there before is no answer to what stands there now."""
    person = Person("widen", "Ben", None, "halt", "Ben", "now it is worse")
    channel = terminal(run, person)
    assert channel.collect() == []
    channel.publish(CASE | {"version": 5}, LATER)
    (delivery,) = channel.collect()
    assert (delivery.answer["version"], delivery.answer["option"]) == (5, "halt")


@pytest.mark.parametrize(
    "lines", [(), ("",), ("widen", "Mallory", ""), ("widen", "Ann", "no.key"), ("widen", "Ben", "")]
)
def test_no_answer_is_no_answer(run, lines):
    assert terminal(run, Person(*lines)).collect() == []


def test_it_takes_kills_and_acknowledgements(run):
    (kill,) = terminal(run, Person("kill", "anyone", "odd")).collect()
    assert run.approvers.check(*kill).dealer == "learner"
    (seen,) = terminal(run, Person("acknowledge", "Ben")).collect()
    assert run.approvers.check(*seen).kind == "acknowledge"


def test_anybody_may_kill_though_nothing_is_asked(run):
    person = Person("hello", "kill", "the cleaner", "smoke")
    channel = terminal(run, person)
    channel.publish(CASE | {"closed": 140, "outcome": "nobody"}, LATER)
    (kill,) = channel.collect()
    taken = run.approvers.check(*kill)
    assert (taken.kind, taken.dealer, taken.who) == ("kill", None, "the cleaner")
    assert "no case is open; kill stops every dealer" in person.read


def test_a_closed_case_is_shown_and_not_asked_about(run):
    person = Person()
    channel = terminal(run, person)
    channel.publish(CASE | {"closed": 140, "outcome": "nobody"}, LATER)
    assert channel.collect() == [] and person.questions == [] and len(person.read) == 3


def test_without_a_terminal_it_is_refused(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", open(os.devnull))
    with pytest.raises(InputError, match="needs a terminal"):
        Terminal(Desk.of(run.approvers, (), HEAD))


def here(path: Path, hook_timeout: float = 60.0) -> Path:
    """A run of one market that asks in its terminal, and whose people have keys."""
    file = asking(path) / "gov.yaml"
    text = file.read_text().replace("hook_timeout: 60", f"hook_timeout: {hook_timeout:g}")
    file.write_text(text.replace("  cool_off: 20", "  cool_off: 20\n  channel: terminal"))
    return path


def test_without_a_terminal_a_run_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(here(tmp_path))
    monkeypatch.setattr(sys, "stdin", open(os.devnull))
    code, out, err = call(monkeypatch, capsys, "run", "gov.yaml")
    assert (code, out) == (2, "")
    expected = (
        "gov.yaml:20: escalation.channel: the terminal channel needs a terminal: run it in one, or answer by files"
    )
    assert err.splitlines()[-1] == expected and not (tmp_path / "runs").exists()


# --- a run in a terminal -----------------------------------------------------------------------------


class Sitting:
    """A run in a pseudo-terminal, and a person who sits at it and answers what is asked, as ``choice`` says."""

    def __init__(self, path: Path):
        self.path, self.seen, self.unread = path, "", ""
        self.screen, other = pty.openpty()
        env = ENVIRONMENT | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            [*COMMAND, "run", "gov.yaml", "--json"], cwd=path, env=env, stdin=other, stderr=other, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        os.close(other)

    def waits_for(self, pattern: str, seconds: float = 60.0) -> re.Match[str] | None:
        """The next line on the screen that matches, None when the run has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            while "\n" in self.unread:
                line, self.unread = self.unread.split("\n", 1)
                if found := re.search(pattern, line):
                    return found
            try:
                more = os.read(self.screen, 65536).decode()
            except OSError as error:  # the run has gone
                assert error.errno == errno.EIO
                return None
            self.seen += more
            self.unread += more.replace("\r", "")
        raise AssertionError(f"nobody asked: {self.seen[-2000:]}")

    def types(self, line: str) -> None:
        os.write(self.screen, f"{line}\n".encode())

    def answers(self, options: str, proposed: bool) -> None:
        case = {"options": [{"name": name} for name in options.split(", ")], "proposal": proposed or None}
        option, who = choice(case)
        self.types(option)
        for question, said in (("who", who), ("key file", f"{who}.key"), ("reason", "seen")):
            assert self.waits_for(rf"^{question}\?$")
            self.types(said)


def test_people_answer_in_the_terminal_of_the_run(tmp_path):
    sitting, proposed, answered = Sitting(here(tmp_path)), False, 0
    try:
        while found := sitting.waits_for(r"^case \d+: (.*), acknowledge, kill\?$|^(  proposed: |case \d+, \w+: )"):
            if found[2]:
                proposed = found[2].strip() == "proposed:"
            else:
                sitting.answers(found[1], proposed)
                answered += 1
        out, _ = sitting.process.communicate(timeout=60)
    finally:
        sitting.process.kill()
        os.close(sitting.screen)
    assert sitting.process.returncode == 0, sitting.seen[-2000:]
    folder = tmp_path / json.loads(out)["folder"] / "base" / "1"
    said = list(rows(folder / "audit.jsonl"))
    signed = [row.body for row in said if row.body.get("what") == "signed"]
    assert len(signed) == answered > 3 and {body["who"] for body in signed} == {"ann", "bob"}
    assert not [row for row in said if row.kind == "fault"] and not (folder / "cases").exists()
    assert pd.read_parquet(folder / "cases.parquet")["outcome"].isin(["resume by ann and bob"]).any()
    assert verify(folder / "audit.jsonl").consistent
    assert "no more answers are taken here" in sitting.seen and "\x1b" not in sitting.seen


def test_a_terminal_that_is_hung_up_halts_the_run(tmp_path):
    sitting = Sitting(here(tmp_path, hook_timeout=0.1))
    try:
        assert sitting.waits_for(r"^case 1: .*kill\?$")
        os.write(sitting.screen, b"\x04")
        sitting.waits_for("no such line")
        out, _ = sitting.process.communicate(timeout=60)
    finally:
        sitting.process.kill()
        os.close(sitting.screen)
    folder = tmp_path / json.loads(out)["folder"] / "base" / "1"
    faults = [row.body["what"] for row in rows(folder / "audit.jsonl") if row.kind == "fault"]
    assert faults[0] == "nobody can be asked: the terminal: it was hung up"
    states = pd.read_parquet(folder / "states.parquet")
    assert states["halted"].max() == 1.0
