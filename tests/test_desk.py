"""The desk: cases go out as files, answers come in as files, and the verbs do what a person at the desk asks of them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from command_fixture import call

from experiments.desk.channel import FileQueue
from experiments.desk.seats import Desk
from marketsim.guardrails.audit import Audit
from marketsim.guardrails.identity import Approver, Approvers, Signed, fingerprint, new_key, read_key

HEAD, LATER = 64 * "7", 64 * "8"
CASE = {"id": 1, "number": 1, "market": 0, "dealer": "learner", "cause": "markout", "opened": 118, "since": 97,
        "what": "Mark-outs fell by 2.1 sd.", "figures": {"markout": -2.1}, "if_silent": "hedge", "did": ["NORMAL to WARN at step 118"],
        "repeats": 0, "state": "WARN", "version": 4, "exposure": {"inventory": 7.0, "pnl": -12.25}, "asked": 118,
        "options": {"keep": 31.5, "widen": 24.25, "halt": None}, "acknowledge_by": 138, "decide_by": 178, "acknowledged": None,
        "proposal": None, "closed": None, "outcome": ""}  # fmt: skip


class Run:
    """A run's side of the desk: Ann signs with a key, Ben has none."""

    def __init__(self, path: Path):
        self.path = path
        if not (path / "ann.key").exists():
            new_key(path / "ann.key")
            new_key(path / "other.key")
        ann = read_key(path / "ann.key")
        self.approvers = Approvers([Approver("Ann", "risk", ann), Approver("Ben", "desk")])
        self.queue = FileQueue(path / "run", Desk.of(self.approvers, ("learner", "rival"), HEAD))
        self.queue.publish(CASE, LATER)
        self.queue.publish(CASE | {"id": 2, "dealer": "rival"}, LATER)
        self.queue.publish(CASE | {"id": 3, "closed": 130, "outcome": "widen by Ann"}, LATER)

    def checked(self) -> list[Signed | str]:
        return [self.approvers.check(*delivery) for delivery in self.queue.collect()]


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(tmp_path)


def answers(path: Path) -> list[str]:
    return sorted(str(file) for file in path.glob("run/cases/*/answers/**/*"))


# --- the verbs ---------------------------------------------------------------------------------------


def test_inbox_says_what_a_person_must_know(run, monkeypatch, capsys):
    proposal = {"who": "Ben", "role": "desk", "option": "halt", "reason": "toxic \x1b[2J"}
    run.queue.publish(CASE | {"id": 2, "market": 3, "acknowledged": 120, "proposal": proposal}, LATER)
    code, out, _ = call(monkeypatch, capsys, "inbox", "run")
    assert code == 0
    assert out.splitlines() == [
        "case 1, open: learner is WARN, cause markout",
        "  Mark-outs fell by 2.1 sd.",
        "  done: NORMAL to WARN at step 118",
        "  exposure: inventory 7, pnl -12.25",
        "  keep     costs 31.5       leave everything as it is",
        "  widen    costs 24.25      quote wider, and only towards flat",
        "  halt     costs unknown    stop, and keep the position",
        "  open since step 118; acknowledge by step 138, decide by step 178; if nobody answers: hedge",
        f"  audit head when it was opened: {LATER}",
        "case 2, decided: learner in market 3 is WARN, cause markout",
        *out.splitlines()[1:9],
        "  proposed: halt by Ben (desk), because toxic \\u001b[2J",
        "  somebody else of another role approves it by deciding the same",
        "identity asserted, not authenticated",
    ]
    code, out, _ = call(monkeypatch, capsys, "inbox", "run", "--json")
    shown = json.loads(out)
    assert [case["id"] for case in shown["cases"]] == [1, 2]
    assert shown["cases"][0]["options"][1] == {
        "name": "widen",
        "cost": 24.25,
        "words": "quote wider, and only towards flat",
    }
    assert (shown["cases"][0]["state"], shown["cases"][0]["dealer_state"], shown["cases"][0]["head"]) == ("open", "WARN", LATER)  # fmt: skip


def test_an_empty_inbox_says_so(run, monkeypatch, capsys):
    for number in (1, 2):
        run.queue.publish(CASE | {"id": number, "closed": 130}, LATER)
    assert call(monkeypatch, capsys, "inbox", "run")[:2] == (
        0,
        "no case is open\nidentity asserted, not authenticated\n",
    )


def test_a_decision_reaches_the_run(run, monkeypatch, capsys):
    code, out, _ = call(
        monkeypatch, capsys, "decide", "run", "1", "widen", "--as", "ANN", "--reason", "toxic flow", "--key", "ann.key"
    )  # fmt: skip
    assert code == 0 and Path(out.strip()).is_file() and Path(out.strip()).parent == Path("run/cases/1/answers")
    (taken,) = run.checked()
    assert isinstance(taken, Signed) and taken.authenticated
    assert (taken.kind, taken.case, taken.version, taken.option) == ("decide", 1, 4, "widen")
    assert (taken.who, taken.role, taken.reason) == ("Ann", "risk", "toxic flow")
    assert run.checked() == []


def test_without_a_key_identity_is_asserted(run, monkeypatch, capsys):
    assert call(monkeypatch, capsys, "decide", "run", "2", "keep", "--as", "ben", "--reason", "it is over")[0] == 0
    (taken,) = run.checked()
    assert isinstance(taken, Signed) and not taken.authenticated and (taken.who, taken.role) == ("Ben", "desk")


def test_an_acknowledgement_reaches_the_run(run, monkeypatch, capsys):
    words = ("inbox", "run", "--acknowledge", "1", "--as", "Ann", "--key", "ann.key")
    assert call(monkeypatch, capsys, *words)[0] == 0
    (taken,) = run.checked()
    assert isinstance(taken, Signed) and taken.authenticated and (taken.kind, taken.case) == ("acknowledge", 1)


def test_anyone_may_kill(run, monkeypatch, capsys):
    assert call(monkeypatch, capsys, "kill", "run", "--as", "the cleaner")[0] == 0
    assert call(monkeypatch, capsys, "kill", "run", "--as", "ann", "--dealer", "rival", "--reason", "odd")[0] == 0
    assert call(monkeypatch, capsys, "kill", "run", "--as", "ann", "--key", "ann.key")[0] == 0
    taken = {(k.kind, k.who, k.role, k.dealer, k.reason, k.authenticated) for k in run.checked()}
    assert taken == {
        ("kill", "the cleaner", None, None, "no reason given", False),
        ("kill", "Ann", "risk", "rival", "odd", False),
        ("kill", "Ann", "risk", None, "no reason given", True),
    }


def test_a_key_is_made(run, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "keys", "new", "carl")
    key = read_key("carl.key")
    assert (code, out) == (0, f"carl.key: fingerprint {fingerprint(key)}\n")
    assert key.hex() not in out
    assert key.hex() not in (run.path / "run/cases/desk.json").read_text()


BAD = {
    "no folder": ("inbox none", "none: there is no such folder"),
    "a file": ("inbox ann.key", "ann.key: is not a folder"),
    "a run without cases": ("inbox bare", "bare: has no cases, a run that asks people makes them"),
    "two that ask": ("inbox above", "above: several of its designs have cases, name one: above/base/7, above/wide/7"),
    "unknown case": ("decide run 7 widen --as Ben --reason x", "run/cases: there is no case 7, open are 1, 2"),
    "closed case": ("decide run 3 widen --as Ben --reason x", "run/cases/3.json: case 3 was closed at step 130, widen by Ann"),
    "no number": ("decide run one widen --as Ben --reason x", "Invalid value for 'CASE': "),
    "not offered": ("decide run 1 flatten --as Ben --reason x", "case 1: 'flatten' is not offered, allowed are keep, widen, halt"),
    "misspelt": ("decide run 1 wided --as Ben --reason x", "case 1: 'wided' is not offered, allowed are keep, widen, halt (did you mean widen?)"),
    "nobody": ("decide run 1 widen --as Bex --reason x", "--as: 'Bex' is not an approver, allowed are Ann, Ben (did you mean Ben?)"),
    "a dealer": ("decide run 1 widen --as learner --reason x", "--as: 'learner' is not an approver, allowed are Ann, Ben"),
    "nobody named": ("decide run 1 widen --reason x", "Missing option '--as'"),
    "no reason": ("decide run 1 widen --as Ben", "Missing option '--reason'"),
    "an empty reason": ("decide run 1 widen --as Ben --reason=", "reason is '', it must be text of 1 to 4000 letters"),
    "no key": ("decide run 1 widen --as Ann --reason x", "Ann signs with a key, --key FILE must be given"),
    "missing key": ("decide run 1 widen --as Ann --reason x --key no.key", "no.key: the key file cannot be read: No such file or directory"),
    "open key": ("decide run 1 widen --as Ann --reason x --key open.key", "open.key: the key file has mode 0644, it must be 0600 (chmod 600 open.key)"),
    "another key": ("decide run 1 widen --as Ann --reason x --key other.key", "other.key: is not the key of Ann (fingerprint "),
    "no key file": ("decide run 1 widen --as Ann --reason x --key run/cases/1.json", "run/cases/1.json: the key file has mode 0644"),
    "acknowledged by nobody": ("inbox run --acknowledge 1", "--as: '' is not an approver, allowed are Ann, Ben"),
    "acknowledged too late": ("inbox run --acknowledge 3 --as Ben", "run/cases/3.json: case 3 was closed"),
    "killed by nobody": ("kill run --as --", "who is '--', it must have a letter or digit"),
    "kill of nobody": ("kill run --as Ben --dealer rivl", "--dealer: there is no dealer 'rivl', allowed are learner, rival (did you mean rival?)"),
    "key with a path": ("keys new ../ann", "keys new: '../ann' cannot name a key"),
    "key over a key": ("keys new ann", "ann.key: exists already, a key is not overwritten"),
    "spoilt case": ("decide spoilt 1 widen --as Ben --reason x", "spoilt/cases/1.json: cannot be read, it must be as the run wrote it"),
    "no audit": ("audit verify bare", "bare: has no audit.jsonl"),
    "no audit file": ("audit show none.jsonl", "none.jsonl: cannot be read: No such file or directory"),
    "not a head": ("audit verify run --head abc", "--head: got 'abc', it must be 64 hexadecimal digits"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(case, run, monkeypatch, capsys):
    words, expected = BAD[case]
    Path("bare").mkdir()
    shutil.copytree("run", "above/base/7")
    shutil.copytree("run", "above/wide/7")
    shutil.copytree("run", "spoilt")
    Path("spoilt/cases/1.json").write_text("{")
    shutil.copy("ann.key", "open.key")
    Path("open.key").chmod(0o644)
    before = sorted(run.path.rglob("*"))
    code, out, err = call(monkeypatch, capsys, *words.split())
    assert (code, out) == (2, ""), err
    assert err.startswith(expected) and err.count("\n") == 1, err
    assert sorted(run.path.rglob("*")) == before


def test_audit_verify_and_show_as_typed(run, monkeypatch, capsys):
    with Audit("run/audit.jsonl") as audit:
        audit.record("configuration", {"digest": "ab"})
        audit.record("case", {"what": "opened", "step": 3, "case": CASE})
        head = audit.head
    code, out, _ = call(monkeypatch, capsys, "audit", "verify", "run")
    assert code == 0 and out == f"consistent; completeness not established (2 rows, head {head})\n"
    code, out, _ = call(monkeypatch, capsys, "audit", "verify", "run/audit.jsonl", "--head", head)
    assert code == 0 and out == "consistent and complete up to the head given (2 rows)\n"
    code, out, _ = call(monkeypatch, capsys, "audit", "show", "run", "--case", "1")
    assert code == 0 and out.splitlines()[1].startswith("row 2, step 3: case 1 was opened, for learner")
    Path("run/audit.jsonl").write_bytes(Path("run/audit.jsonl").read_bytes().replace(b"ab", b"ac"))
    code, out, err = call(monkeypatch, capsys, "audit", "verify", "run")
    assert (code, out) == (1, "") and err == "run: broken at row 1: its content is not that of its hash\n"


def test_the_run_finds_the_design_that_asks(run, monkeypatch, capsys):
    shutil.copytree("run", "above/base/7")
    code, out, _ = call(monkeypatch, capsys, "decide", "above", "2", "keep", "--as", "Ben", "--reason", "it is over")
    assert code == 0 and out.startswith("above/base/7/cases/2/answers/decide-")
    shutil.copytree("run", "above/wide/7")
    FileQueue("above/base/7", Desk.of(run.approvers, ("learner", "rival"), HEAD)).close()
    code, out, _ = call(monkeypatch, capsys, "inbox", "above", "--json")
    assert code == 0 and json.loads(out)["folder"] == "above/wide/7" and not json.loads(out)["over"]


def test_a_run_that_is_over_takes_no_answers(run, monkeypatch, capsys):
    run.queue.close()
    before = answers(run.path)
    for words in ("decide run 2 keep --as Ben --reason x", "kill run --as Ben", "inbox run --acknowledge 2 --as Ben"):
        code, out, err = call(monkeypatch, capsys, *words.split())
        assert (code, out, err) == (2, "", "run/cases: the run is over and takes no answers any more\n")
    assert answers(run.path) == before
    assert call(monkeypatch, capsys, "inbox", "run")[1].endswith("the run is over and takes no answers any more\n")


# --- the file queue ----------------------------------------------------------------------------------


def written(run: Run, name: str, place: str = "2", **changes) -> Path:
    """An answer of Ben's as some other program may write it."""
    fields = {"kind": "decide", "case": 2, "version": 4, "head": LATER, "option": "keep", "reason": "x", "nonce": name,
              "who": "Ben", "role": "desk", "signature": None}  # fmt: skip
    path = run.path / "run/cases" / place / "answers" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields | changes))
    return path


def test_answers_come_in_the_order_in_which_they_were_given(run):
    for name in "cabd":
        path = written(run, name)
        os.utime(path, ns=(0, "abdc".index(name)))
    assert [answer["nonce"] for answer, _ in run.queue.collect()] == list("abdc")


def test_what_is_still_being_written_is_left_alone(run):
    written(run, ".a.json.half")
    written(run, ".b")
    assert run.queue.collect() == []


def test_an_answer_that_a_crash_kept_from_being_dealt_with_comes_again(run):
    written(run, "a")
    assert len(run.checked()) == 1
    again = Run(run.path)  # killed here, and begun again: what it had taken is in its audit
    again.approvers = Approvers(again.approvers.approvers, seen={"a"})
    assert again.checked() == ["replayed: an answer with this nonce was taken before"]
    assert again.checked() == [] and Run(run.path).checked() == []
    assert [Path(path).name for path in answers(run.path)] == ["taken", "a.json"]


def test_an_answer_that_is_none_is_said_and_put_aside(run):
    folder = written(run, "a", place="1").parent
    (folder / "1.json").write_text("{")
    (folder / "2.json").write_text("[1]")
    (folder / "3.json").write_text('{"version": NaN}')
    (folder / "4.json").write_bytes(b"\xff\xfe")
    (folder / "5.json").write_text(" " * 70_000)
    (folder / "6.json").write_text("[" * 50_000)
    (folder / "7.json").symlink_to(run.path / "ann.key")
    os.mkfifo(folder / "8.json")
    (folder / "9.json").mkdir()
    written(run, "b", place="kill")
    began = time.monotonic()
    refusals = run.checked()
    assert time.monotonic() - began < 5
    assert sorted(refusals) == sorted(
        [
            "malformed: it lies in 1 and is about another case", "malformed: it is not JSON", "malformed: it is not a map of fields",
            "malformed: it is not JSON", "malformed: it is not JSON", "malformed: it has 70000 bytes, at most 65536 are allowed",
            "malformed: it is not JSON", "malformed: it cannot be read", "malformed: it is not a plain file", "malformed: it is not a plain file",
            "malformed: it lies in kill and is about another case",
        ]
    )  # fmt: skip
    assert run.checked() == []


def test_an_answer_to_another_run_is_foreign(run):
    for name, head in (("a", HEAD), ("b", None), ("c", 64 * "9")):
        written(run, name, head=head)
    written(run, "d", place="5", case=5)  # which was never published
    assert run.checked() == 4 * ["foreign: it answers a case of another run"]


def test_a_case_keeps_the_head_with_which_it_was_opened(run):
    run.queue.publish(CASE | {"id": 2, "acknowledged": 120}, 64 * "a")
    Run(run.path).queue.publish(CASE | {"id": 2, "acknowledged": 120}, 64 * "b")
    assert json.loads((run.path / "run/cases/2.json").read_text())["head"] == LATER


def test_a_queue_whose_folder_is_gone_raises(run):
    shutil.rmtree(run.path / "run/cases")
    with pytest.raises(OSError, match="No such file"):
        run.queue.collect()
