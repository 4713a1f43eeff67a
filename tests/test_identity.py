"""Who decides: keys, signatures, names, and every refusal."""

from __future__ import annotations

import hashlib
import hmac
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim import InputError
from marketsim.guardrails.identity import (
    ASSERTED,
    AUTHENTICATED,
    Approver,
    Approvers,
    Signed,
    fingerprint,
    fold,
    new_key,
    read_key,
    sign,
)

ANN, BEN = b"a" * 32, b"b" * 32
HEAD = 64 * "7"
ANSWER = {"kind": "decide", "case": 3, "version": 2, "head": HEAD, "dealer": None, "option": "widen", "reason": "toxic flow",
          "nonce": 32 * "0", "who": "Ann", "role": "risk"}  # fmt: skip


def signed(key: bytes = ANN, **changes) -> dict:
    answer = ANSWER | changes
    return answer | {"signature": sign(key, answer)}


def desk(**options) -> Approvers:
    return Approvers([Approver("Ann", "risk", ANN), Approver("Ben", "desk", BEN)], **options)


# --- keys --------------------------------------------------------------------------------------------


def test_a_new_key_is_its_owner_s_alone(tmp_path):
    path = tmp_path / "ann.key"
    old = os.umask(0)
    try:
        said = new_key(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert len(bytes.fromhex(path.read_text())) == 32
    assert said == fingerprint(read_key(path))
    assert new_key(tmp_path / "ben.key") != said
    with pytest.raises(InputError, match=r"ann.key: exists already, a key is not overwritten$"):
        new_key(path)
    assert said == fingerprint(read_key(path))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700, 0o666, 0o602])
def test_a_key_that_others_get_at_is_refused(tmp_path, mode):
    path = tmp_path / "ann.key"
    new_key(path)
    path.chmod(mode)
    with pytest.raises(InputError, match=rf"has mode {mode:04o}, it must be 0600 \(chmod 600 .*ann.key\)$"):
        read_key(path)


@pytest.mark.parametrize("content", [b"", b"secret\n", b"0" * 63, b"0" * 66, b"\xff" * 64, b"g" * 64, b"00" * 16])
def test_what_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "ann.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match="is not a key file, it must hold 64 hexadecimal digits"):
        read_key(path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)  # and it does not hang
    for name, what in (("pipe", "is not a key file"), (".", "is not a key file"), ("none", "No such file")):
        with pytest.raises(InputError, match=what):
            read_key(tmp_path / name)


# --- signatures --------------------------------------------------------------------------------------


def test_a_signature_is_what_the_documentation_says():
    text = json.dumps(ANSWER, sort_keys=True, separators=(",", ":"))
    assert sign(ANN, ANSWER) == hmac.new(ANN, text.encode(), hashlib.sha256).hexdigest()


def test_a_good_answer_is_taken_once():
    approvers = desk()
    taken = approvers.check(signed(), HEAD)
    assert isinstance(taken, Signed) and taken.authenticated
    assert (taken.case, taken.version, taken.option, taken.who, taken.role) == (3, 2, "widen", "Ann", "risk")
    body = taken.body()
    assert body["what"] == "signed" and sign(ANN, body) == body["signature"]  # verified again from the audit
    assert approvers.check(signed(), HEAD) == "replayed: an answer with this nonce was taken before"
    assert isinstance(approvers.check(signed(nonce=32 * "1"), HEAD), Signed)


def test_what_was_taken_before_a_run_was_stopped_is_a_replay_after_it():
    assert desk(seen=[ANSWER["nonce"]]).check(signed()) == "replayed: an answer with this nonce was taken before"


@pytest.mark.parametrize(
    "change",
    [{"kind": "acknowledge"}, {"case": 4}, {"version": 3}, {"option": "keep"}, {"reason": "toxic flow "}, {"dealer": "rival"},
     {"nonce": 32 * "1"}, {"who": "ann"}, {"signature": 64 * "0"}, {"signature": "é"}, {"signature": ""}],
)  # fmt: skip
def test_every_field_is_signed(change):
    assert desk().check(signed() | change) == "forged: the signature is not of this answer"


REFUSALS = {
    "not signed": (ANSWER, "forged: Ann has a key and the answer is not signed"),
    "signed by nobody": (ANSWER | {"signature": None}, "forged: Ann has a key and the answer is not signed"),
    "with another one's key": (signed(BEN), "forged: it is signed with the key of Ben"),
    "with a key of nobody": (signed(b"c" * 32), "forged: the signature is not of this answer"),
    "nobody": (signed(who="Mallory"), "Mallory is not an approver"),
    "another role": (signed(role="desk"), "Ann is risk, not desk"),
    "another run": (signed(head=64 * "8"), "foreign: it answers a case of another run"),
    "no head": (signed(head=None), "foreign: it answers a case of another run"),
    "a word": ("widen", "malformed: it is not a map of fields"),
    "nothing": (None, "malformed: it is not a map of fields"),
    "a list": ([ANSWER], "malformed: it is not a map of fields"),
    "unreadable": ({"case": 3, "unreadable": "is not JSON"}, "malformed: is not JSON"),
    "unknown kind": (signed(kind="approve"), "malformed: kind is 'approve', allowed are acknowledge, decide, kill"),
    "a list of kinds": (ANSWER | {"kind": ["decide"]}, "malformed: kind is a list, allowed are acknowledge, decide, kill"),
    "no option": (signed(option=None), "malformed: option is nothing, it must be text of 1 to 200 letters"),
    "no reason": (signed(reason=" "), "malformed: reason is ' ', it must be text of 1 to 4000 letters"),
    "a long reason": (signed(reason=5000 * "a"), "malformed: reason is 'aaa"),
    "no nonce": (signed(nonce=""), "malformed: nonce is '', it must be text of 1 to 200 letters"),
    "no letter": (signed(who="--"), "malformed: who is '--', it must have a letter or digit"),
    "a number for a name": (ANSWER | {"who": 3}, "malformed: who is 3, it must be text of 1 to 200 letters"),
    "text for a number": (signed(case="3"), "malformed: case is '3', it must be a whole number"),
    "true for a number": (signed(case=True), "malformed: case is true, it must be a whole number"),
    "a fraction": (signed(version=2.0), "malformed: version is 2.0, it must be a whole number"),
    "a number for a signature": (ANSWER | {"signature": 3}, "malformed: signature is 3, it must be text or nothing"),
    "nan": (ANSWER | {"version": float("nan")}, "malformed: version is nan, it must be a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_it_is_refused_with_a_reason_and_uses_up_no_nonce(case):
    answer, why = REFUSALS[case]
    approvers = desk()
    assert str(approvers.check(answer, HEAD)).startswith(why)
    assert isinstance(approvers.check(signed(), HEAD), Signed)


text = st.sampled_from(["decide", "kill", "Ann"]) | st.text("a \x00é\u202e\ud800")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(text, part, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*ANSWER, "signature", "unreadable", "else"]), anything), st.booleans())
def test_whatever_comes_it_never_raises_and_nothing_unsigned_is_taken(fields, whole):
    answer = (signed() if whole else {}) | fields
    got = desk().check(answer, HEAD)
    unchanged = whole and all(fields.get(k, v) == v and type(fields.get(k, v)) is type(v) for k, v in signed().items())
    if isinstance(got, Signed):
        assert got.kind == "kill" or unchanged
    else:
        assert got and isinstance(got, str)


# --- kills -------------------------------------------------------------------------------------------

KILL = {"kind": "kill", "case": None, "version": None, "head": HEAD, "dealer": "learner", "option": None, "reason": "now",
        "nonce": 32 * "9", "who": "Ann", "role": "risk"}  # fmt: skip


def test_anyone_may_kill():
    for answer in (
        KILL,
        KILL | {"who": "passer-by", "role": None},
        KILL | {"signature": "forged"},
        KILL | {"head": None},
    ):
        taken = desk().check(answer, HEAD)
        assert isinstance(taken, Signed) and taken.kind == "kill" and not taken.authenticated


def test_a_kill_is_authenticated_by_its_signature_once():
    approvers = desk()
    kill = KILL | {"signature": sign(ANN, KILL)}
    assert approvers.check(kill, HEAD).authenticated
    again = approvers.check(kill, HEAD)
    assert isinstance(again, Signed) and not again.authenticated
    assert not desk().check(kill, 64 * "8").authenticated  # of another run


def test_a_kill_uses_up_nobody_s_nonce():
    approvers = desk()
    approvers.check(KILL | {"nonce": ANSWER["nonce"], "who": "Mallory"}, HEAD)
    assert isinstance(approvers.check(signed(), HEAD), Signed)


def test_a_kill_that_is_none_is_refused():
    assert desk().check(KILL | {"who": None}).startswith("malformed: who is nothing")
    assert desk().check(KILL | {"dealer": 3}).startswith("malformed: dealer is 3")


# --- one person --------------------------------------------------------------------------------------

SPELT = ["Ann Smith", "ann smith", "ANN  SMITH", "ann.smith", "Ann-Smith", "AnnSmith", "Ann\u00a0Smith", "Ann\u200bSmith",
         "Ａｎｎ Ｓｍｉｔｈ", "\u0410nn Smith", "Ann Sm\u0456th", "\u0391NN SMITH", "Ånn Smith", "𝐀nn Smith", " (Ann) Smith "]  # fmt: skip


@pytest.mark.parametrize("name", SPELT)
def test_a_name_spelt_otherwise_is_one_person(name):
    approvers = Approvers([Approver("Ann Smith", "risk"), Approver(name, "desk"), Approver("Ben", "desk")])
    assert approvers.person(name) == approvers.person("Ann Smith") != approvers.person("Ben")
    taken = approvers.check(ANSWER | {"who": name})
    assert taken.person == approvers.check(ANSWER | {"who": "Ann Smith", "nonce": "another"}).person


@pytest.mark.parametrize("name", ["Ann Smyth", "Anna Smith", "Anne Smith", "Ann Smith 2", "A Smith"])
def test_another_name_is_another_person(name):
    assert fold(name) != fold("Ann Smith")


def test_one_key_under_two_names_is_one_person():
    approvers = Approvers([Approver("Ann", "risk", ANN), Approver("Ben", "desk", ANN), Approver("Eve", "desk", BEN)])
    first = approvers.check(signed())
    second = approvers.check(signed(who="Ben", role="desk", nonce="another"))
    assert first.person == second.person != approvers.person("Eve")


def test_names_and_keys_that_overlap_are_one_person_throughout():
    approvers = Approvers(
        [Approver("Ann", "risk", ANN), Approver("ann", "desk", BEN), Approver("Eve", "desk", BEN), Approver("Al", "desk", ANN)]
    )  # fmt: skip
    assert len({approvers.person(name) for name in ("Ann", "ANN", "Eve", "Al")}) == 1


def test_a_name_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"escalation.approvers: '\*' is no name"):
        Approvers([Approver("*", "risk")])


# --- without keys ------------------------------------------------------------------------------------


def test_without_keys_identity_is_asserted():
    approvers = Approvers([Approver("Ann", "risk"), Approver("Ben", "desk")])
    assert approvers.sentence == ASSERTED == "identity asserted, not authenticated"
    taken = approvers.check(ANSWER, HEAD)
    assert isinstance(taken, Signed) and not taken.authenticated
    assert approvers.check(ANSWER, HEAD).startswith("replayed")
    assert not approvers.check(signed(nonce="another"), HEAD).authenticated  # whoever signed it


def test_the_sentence_is_the_weakest_approver_s():
    assert desk().sentence == AUTHENTICATED
    mixed = Approvers([Approver("Ann", "risk", ANN), Approver("Ben", "desk")])
    assert mixed.sentence == Approvers([]).sentence == ASSERTED
    assert mixed.check(ANSWER).startswith("forged")
    assert mixed.check(ANSWER | {"who": "Ben", "role": "desk"}).authenticated is False
