"""Who decides: key files, signatures, and when two names are one person.

A signature is an HMAC-SHA256 over canonical JSON of all that the answer says. The run holds the same keys to verify with
them: a signature shows the run that a holder of the key answered this case in this state; to a third party it proves
nothing, since whoever can read the run's keys could have made it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from marketsim.guardrails.canonical import canonical
from marketsim.yaml_text import InputError, shown

ASSERTED = "identity asserted, not authenticated"
AUTHENTICATED = "identity authenticated by key file"
KINDS = ("acknowledge", "decide", "kill")
SIGNED = ("kind", "case", "version", "head", "dealer", "option", "reason", "nonce", "who", "role")
_LONGEST = {"who": 200, "role": 200, "option": 200, "dealer": 200, "nonce": 200, "head": 200, "reason": 4000}


# --- keys -------------------------------------------------------------------------------------------


def new_key(path: str | Path) -> str:
    """Make a key file of mode 0600, 32 random bytes in hex; its fingerprint. InputError where a file is in the way."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise InputError(f"{path}: exists already, a key is not overwritten") from None
    key = secrets.token_bytes(32)
    with os.fdopen(file, "w", encoding="ascii") as out:
        os.fchmod(out.fileno(), 0o600)  # whatever the umask took away
        out.write(key.hex() + "\n")
        out.flush()
        os.fsync(out.fileno())
    return fingerprint(key)


def read_key(path: str | Path) -> bytes:
    """The 32 bytes of a key file. Raises InputError where it is not one, or where its mode lets others at it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path}: the key file cannot be read: {error.strerror}") from None
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path}: is not a key file")
        mode = stat.S_IMODE(about.st_mode)
        if mode != 0o600:
            raise InputError(f"{path}: the key file has mode {mode:04o}, it must be 0600 (chmod 600 {path})")
        text = os.read(file, 66).strip()
    finally:
        os.close(file)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InputError(f"{path}: is not a key file, it must hold 64 hexadecimal digits (marketsim keys new NAME)")
    return key


def fingerprint(key: bytes) -> str:
    """What may be shown of a key: it tells two keys apart and gives nothing away."""
    return hashlib.sha256(b"marketsim key " + key).hexdigest()[:16]


def sign(key: bytes, fields: Mapping[str, Any]) -> str:
    """The signature, in hex, of an answer: of its fields ``SIGNED``, those that it lacks as null. Raises ValueError."""
    text = canonical({name: fields.get(name) for name in SIGNED})
    return hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()


# --- names ------------------------------------------------------------------------------------------

# Letters of other scripts that look like a Latin one, small or capital, and that NFKC leaves apart: the usual ones.
_LOOKALIKES = str.maketrans(
    "авекмнорстухьѕіјһԁԛԝӏ" + "αβεζηικμνορτυχ" + "ıøłđɑɡ",
    "abekmhopctyxbsijhdqwl" + "abezhikmnoptyx" + "ioldag",
)


@lru_cache(maxsize=1024)  # the book asks again and again about the same few people
def fold(name: str) -> str:
    """What is left of a name when case, spaces, punctuation, accents and look-alike letters are taken from it."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in text.translate(_LOOKALIKES) if c.isalnum())


# --- who decided ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Approver:
    """Someone who may decide. ``key``: None where the experiment names no key file for them."""

    name: str
    role: str
    key: bytes | None = None


@dataclass(frozen=True)
class Signed:
    """An answer whose author is known. ``person``: equal for equal persons; ``authenticated``: False where it rests on
    the name alone, whatever signature it bears. The other fields are those of the answer."""

    kind: str
    case: int | None
    version: int | None
    head: str | None
    dealer: str | None
    option: str | None
    reason: str
    nonce: str
    who: str
    role: str
    signature: str | None
    person: str
    authenticated: bool

    def body(self) -> dict[str, Any]:
        """As the audit keeps it: all that a holder of the key needs to verify the signature again."""
        return {"what": "signed" if self.authenticated else "asserted", **asdict(self)}


class Approvers:
    """Those who may decide in a run. ``seen``: nonces of what was decided before, see ``audit.nonces``.

    Raises InputError for an approver without a name.
    """

    def __init__(self, approvers: Iterable[Approver], seen: Iterable[str] = ()):
        self.approvers = tuple(approvers)
        self._seen = set(seen)
        self._persons: dict[str, str] = {}  # folded name -> person
        for approver in self.approvers:
            if not fold(approver.name):
                raise InputError(f"escalation.approvers: {approver.name!r} is no name, it must have a letter or digit")
        keys = {a.key for a in self.approvers}
        for approver in self.approvers:
            self._persons.setdefault(fold(approver.name), fold(approver.name))
        for key in keys - {None}:
            one = {self._persons[fold(a.name)] for a in self.approvers if a.key == key}
            self._persons = {n: min(one) if p in one else p for n, p in self._persons.items()}

    @property
    def sentence(self) -> str:
        """What every page, log and pack says of the identities of this run."""
        return AUTHENTICATED if self.approvers and all(a.key for a in self.approvers) else ASSERTED

    def person(self, name: str) -> str:
        """Who that is: equal for one name spelt in two ways, and for two names with one key."""
        return self._persons.get(fold(name), fold(name))

    def check(self, answer: object, head: str | None = None) -> Signed | str:
        """Who gave the answer, or why it is refused: not an answer, nobody who may decide, forged, replayed, foreign.

        ``answer``: as a channel delivers it. ``head``: the one that its case, or for a kill the desk, was published
        with; None does not look. Anyone may kill: such an answer is refused only where it is malformed, and one that is
        forged or replayed is not authenticated. Whether an answer is late, stale or by the same person as another one
        is for the case to know. Never raises.
        """
        try:
            return self._check(answer, head)
        except Exception as error:  # an answer is hostile input; what it breaks is a reason to refuse it
            return f"malformed: {type(error).__name__}"

    def _check(self, answer: object, head: str | None) -> Signed | str:
        if not isinstance(answer, Mapping):
            return "malformed: it is not a map of fields"
        wrong = answer.get("unreadable") or malformed(answer)
        if wrong:
            return f"malformed: {str(wrong)[:200]}"
        kind, who, role, nonce = answer["kind"], answer["who"], answer["role"], answer["nonce"]
        spelt = [a for a in self.approvers if fold(a.name) == fold(who)]
        meant = [a for a in spelt if kind == "kill" or fold(a.role) == fold(role)]
        proven = any(a.key and _matches(a.key, answer) for a in meant)
        foreign = head is not None and answer.get("head") != head
        replayed = nonce in self._seen
        if kind == "kill":
            proven = proven and not foreign and not replayed
        elif not spelt:
            return f"{who} is not an approver"
        elif not meant:
            return f"{who} is {' and '.join(sorted({a.role for a in spelt}))}, not {role}"
        elif foreign:
            return "foreign: it answers a case of another run"
        elif any(a.key for a in meant) and not proven:
            return self._forged(answer, who)
        elif replayed:
            return "replayed: an answer with this nonce was taken before"
        if kind != "kill" or proven:  # else a kill that anybody may write would use up the nonce of a decision
            self._seen.add(nonce)
        fields: dict[str, Any] = {name: answer.get(name) for name in (*SIGNED, "signature")}
        return Signed(**fields, person=self.person(who), authenticated=proven)

    def _forged(self, answer: Mapping[str, Any], who: str) -> str:
        if answer.get("signature") is None:
            return f"forged: {who} has a key and the answer is not signed"
        other = next((a.name for a in self.approvers if a.key and _matches(a.key, answer)), None)
        return (
            f"forged: it is signed with the key of {other}" if other else "forged: the signature is not of this answer"
        )


def _matches(key: bytes, answer: Mapping[str, Any]) -> bool:
    said = answer.get("signature")
    return isinstance(said, str) and hmac.compare_digest(said.encode("utf-8", "replace"), sign(key, answer).encode())


def malformed(answer: Mapping[str, Any]) -> str | None:
    """What is wrong with the shape of an answer; None where nothing is."""
    if answer.get("kind") not in KINDS:
        return f"kind is {shown(answer.get('kind'))}, allowed are {', '.join(KINDS)}"
    for name, most in _LONGEST.items():
        value = answer.get(name)
        optional = name in ("dealer", "head") or (name == "option" and answer["kind"] != "decide")
        optional = optional or (answer["kind"] == "kill" and name == "role")
        if value is None and optional:
            continue
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            return f"{name} is {shown(value)}, it must be text of 1 to {most} letters"
    if not isinstance(answer.get("signature"), str | None):
        return f"signature is {shown(answer['signature'])}, it must be text or nothing"
    if not fold(answer["who"]):
        return f"who is {shown(answer['who'])}, it must have a letter or digit"
    for name in ("case", "version"):
        value = answer.get(name)
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
        if not whole and not (value is None and answer["kind"] == "kill"):
            return f"{name} is {shown(value)}, it must be a whole number"
    return None
