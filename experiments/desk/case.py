"""A case as people read it: the book's, with its options in words."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from marketsim.guardrails.story import plain
from marketsim.yaml_text import InputError

_SAYS = {
    "keep": "leave everything as it is",
    "widen": "quote wider, and only towards flat",
    "hedge": "trade half of the position away, then quote wider and only towards flat",
    "flatten": "trade the whole position away and stop",
    "halt": "stop, and keep the position",
    "resume": "quote again within a quarter of the limits; takes two people of different roles",
    "release": "quote again within the whole limits",
}


def case_file(case: Mapping[str, Any], head: str) -> dict[str, Any]:
    """What is published of a case of the book (``dataclasses.asdict``): ``state`` is the case's, ``dealer_state`` its
    dealer's, ``options`` a list of name, cost and words, ``head`` that of the audit file when it was opened."""
    state = "open" if case["acknowledged"] is None else "acknowledged"
    state = "decided" if case["proposal"] is not None else state  # and waits for a second person
    state = "closed" if case["closed"] is not None else state
    options = [{"name": name, "cost": cost, "words": _SAYS.get(name, "")} for name, cost in case["options"].items()]
    return {**case, "state": state, "dealer_state": case["state"], "options": options, "head": head}


def offered(case: Mapping[str, Any], option: str) -> str:
    """The option, which the case must offer. Raises InputError."""
    return known(option, [item["name"] for item in case["options"]], f"case {case['id']}: {option!r} is not offered")


def known(word: str, allowed: list[str], refusal: str) -> str:
    """The word, which must be among these. Raises InputError."""
    if word not in allowed:
        raise unknown(word, allowed, refusal)
    return word


def unknown(word: str, allowed: list[str], refusal: str) -> InputError:
    """The refusal with what is allowed, and what was perhaps meant."""
    near = get_close_matches(word, allowed, 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return InputError(f"{refusal}, allowed are {', '.join(allowed)}{meant}")


def lines(case: Mapping[str, Any]) -> list[str]:
    """What a person must know to answer: what happened, what is at stake, what may be chosen, by when, what if not."""
    market = f" in market {case['market']}" if case["market"] else ""
    said = [
        f"case {case['id']}, {case['state']}: {case['dealer']}{market} is {case['dealer_state']}, cause {case['cause']}"
    ]
    said += [f"  {case['what']}"] + [f"  done: {did}" for did in case["did"]]
    said.append(f"  exposure: {', '.join(f'{name} {_figure(x)}' for name, x in case['exposure'].items())}")
    for option in case["options"]:
        said.append(f"  {option['name']:<8} costs {_figure(option['cost']):<10} {option['words']}".rstrip())
    deadlines = f"  open since step {case['opened']}; acknowledge by step {case['acknowledge_by']}"
    said.append(f"{deadlines}, decide by step {case['decide_by']}; if nobody answers: {case['if_silent']}")
    said.append(f"  audit head when it was opened: {case['head']}")
    if waits := case["proposal"]:
        said.append(f"  proposed: {waits['option']} by {waits['who']} ({waits['role']}), because {waits['reason']}")
        said.append("  somebody else of another role approves it by deciding the same")
    return [plain(line) for line in said]


def _figure(x: float | None) -> str:
    return "unknown" if x is None else f"{x:.4g}"
