"""An audit file told in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from marketsim.guardrails.audit import Broken, Row, rows, verify
from marketsim.guardrails.canonical import canonical
from marketsim.guardrails.identity import ASSERTED
from marketsim.yaml_text import InputError


def story(path: str | Path, case: int | None = None) -> list[str]:
    """What happened, a sentence a row, in all or about one case; first whether the file holds together. Of a broken file
    it tells the rows up to the break. Raises InputError where it cannot be read, or knows no such case."""
    told = [f"The audit file is {verify(path).sentence}."]
    whom: Any = None  # the case is about, while it is open: their moves belong to its story
    try:
        for row in rows(path):
            about = row.body.get("case")
            number = about.get("id") if isinstance(about, dict) else about
            if case is None or number == case or (row.kind == "state" and _dealer(row.body) == whom):
                told.append(_told(row))
            if number == case and isinstance(about, dict):
                whom = _dealer(about) if about.get("closed") is None else None
    except Broken as broken:
        told.append(f"Row {broken.row} and what follows it are not told: {broken.why}.")
    if case is not None and len(told) == 1:
        raise InputError(f"{path}: no row is of case {case}")
    return told


def _dealer(body: dict[str, Any]) -> tuple[Any, Any]:
    return body.get("market"), body.get("dealer")


def _told(row: Row) -> str:
    """The row in a sentence: what docs/audit.md says of its kind, and in brackets what else stands in it."""
    left = {key: _words(value) for key, value in row.body.items() if value not in (None, "", [], {})}
    if isinstance(row.body.get("case"), dict):
        case = {key: _words(value) for key, value in row.body["case"].items() if value not in (None, "", [], {})}
        left |= {"happened": left.pop("what", "opened"), "case": case.pop("id", "?")} | case
    step = left.pop("step", None)
    said = _SENTENCES[row.kind](left)
    rest = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in left.items() if key not in _UNSAID)
    when = f"row {row.number}" if step is None else f"row {row.number}, step {step}"
    return f"{when}: {said}{f' ({rest})' if rest else ''}."


_UNSAID = {"signature", "nonce", "head", "person", "kind"}

# Each takes the keys that it says out of the words of a body.


def _configured(body: dict[str, str]) -> str:
    return "the run was configured"


def _moved(body: dict[str, str]) -> str:
    said = f"{_whom(body)} went from {body.pop('from', '?')} to {body.pop('to', '?')}"
    return said + _then(body, event=", event {}", who=", by {}", what=": {}")


def _case_told(body: dict[str, str]) -> str:
    case, happened, whom = f"case {body.pop('case', '?')}", body.pop("happened", "opened"), _whom(body)
    if happened == "acknowledged":
        said = f"{_who(body)} acknowledged {case}"
    elif happened == "opened" or happened.startswith("asked again"):
        said = f"{case} was {happened}, for {whom}" + _then(body, **_OF_A_CASE)
    else:
        said = f"{case}: {happened}" + _then(body, outcome=", {}")
    body.clear()  # what is left counts and dates what was said
    return said


_OF_A_CASE = {
    "cause": ", cause {}",
    "what": ": {}",
    "figures": "; figures: {}",
    "did": "; done: {}",
    "exposure": "; exposure: {}",
    "options": "; options at their cost: {}",
    "acknowledge_by": "; to be acknowledged by step {}",
    "decide_by": "; to be decided by step {}",
    "if_silent": "; if nobody answers: {}",
}


def _acknowledged(body: dict[str, str]) -> str:
    said = f"{_who(body)} acknowledged case {body.pop('case', '?')}"
    return said + _then(body, version=", seeing version {}", reason="", what="")


def _decided(body: dict[str, str]) -> str:
    what, who = body.pop("what", "decided"), _who(body)
    if "kill" in (what, body.get("kind")):
        return f"{who} killed {_whom(body)}" + _then(body, reason=", because {}")
    where = _then(body, case=" in case {}", version=", seeing version {}")
    if what == "accepted":
        said = f"{body.pop('option', '?')} by {who}{where}, was accepted"
    else:  # signed, asserted, proposed
        said = f"{who} {what} {body.pop('option', '?')}{where}"
    return said + _then(body, reason=", because {}")


def _refused(body: dict[str, str]) -> str:
    what = body.pop("what", "decision")
    article = "an" if what.startswith("a") else "a"
    return f"{article} {what} of {_who(body)}" + _then(body, case=" in case {}", why=" was refused: {}")


def _failed(body: dict[str, str]) -> str:
    return "a fault" + _then(body, case=" in case {}", what=": {}")


_SENTENCES: dict[str, Callable[[dict[str, str]], str]] = {
    "configuration": _configured,
    "state": _moved,
    "case": _case_told,
    "acknowledgement": _acknowledged,
    "decision": _decided,
    "refusal": _refused,
    "fault": _failed,
}


def _then(body: dict[str, str], **parts: str) -> str:
    """Those of the parts whose key is there, said in their order."""
    return "".join(words.replace("{}", body.pop(key)) for key, words in parts.items() if key in body)


def _whom(body: dict[str, str]) -> str:
    return body.pop("dealer", "every dealer") + _then(body, market=" in market {}")


def _who(body: dict[str, str]) -> str:
    who, role, proven = body.pop("who", "somebody"), body.pop("role", None), body.pop("authenticated", None)
    brackets = ", ".join(filter(None, (role, ASSERTED if proven == "false" else None)))
    return f"{who} ({brackets})" if brackets else who


def _words(value: Any) -> str:
    """A value as words."""
    if isinstance(value, list):
        return " and ".join(_words(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_words(item)}" for key, item in value.items())
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(value if isinstance(value, str) else canonical(value)).removesuffix(".")


def plain(text: str) -> str:
    """The text with what a terminal would obey instead of showing written out."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
