"""What the page says in sentences: the verdict, and what to doubt."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from reports.folder import Dealer, Difference, Estimate, Limits, Scenario
from reports.quantities import count, decimals, interval, many, short, write

LEANING = 20.0  # interventions in 1,000 steps


class Part(NamedTuple):
    """A stretch of a sentence. ``role``: empty, ``figure``, ``interval`` or ``name``: how it is set."""

    text: str
    role: str = ""


class Rivalry(NamedTuple):
    """The best other dealer, and the paired differences from it."""

    name: str
    pnl: Difference
    objective: Difference


class Doubt(NamedTuple):
    """``topic``: a word to find it by; ``sentence``: what to doubt, and by how much."""

    topic: str
    sentence: str


def plain(parts: Sequence[Part]) -> str:
    """The sentence as text."""
    return "".join(part.text for part in parts)


def verdict(me: Dealer, money: str, percents: Sequence[float] = (), rivalry: Rivalry | None = None) -> list[Part]:
    """What the dealer earned, what its tail cost, how far from the optimum, and against the best rival.

    ``percents``: exact % of optimum of each training seed; empty where no exact answer exists, and then not spoken of.
    """
    pnl = me.estimate("pnl")
    parts = [Part(me.name, "name"), *earned(pnl, money)]
    if not idle(pnl):
        parts += tail(me.estimate("cvar_95"))
    known = [p for p in percents if math.isfinite(p)]
    sentences = [optimal(known)] if known else []
    if rivalry is not None:
        sentences.append(against(rivalry))
    sentences = [sentence for sentence in sentences if sentence]
    for i, sentence in enumerate(sentences):
        parts += [Part(". It " if i == 0 else " and "), *sentence]
    return [*parts, Part(".")]


def idle(pnl: Estimate) -> bool:
    """Exactly nothing in every episode: it did not trade."""
    return pnl.value == 0 and pnl.low == pnl.high == 0


def earned(pnl: Estimate, money: str) -> list[Part]:
    if not pnl.known:
        return [Part(" has no measured profit")]
    places = decimals([pnl])
    if idle(pnl):
        return [Part(" earned nothing: it did not trade")]
    verb = " earned " if pnl.value >= 0 else " lost "
    parts = [Part(verb), Part(write(abs(pnl.value), places), "figure"), Part(f" {money} an episode")]
    if pnl.bounded and pnl.value < 0:  # the interval is spoken of as the figure is: a loss
        pnl = Estimate(-pnl.value, -pnl.high, -pnl.low)
    return parts + bracket(pnl, places)


def tail(cvar: Estimate) -> list[Part]:
    if not cvar.known:
        return []
    places = decimals([cvar])
    if cvar.value < 0:
        cvar = Estimate(-cvar.value, -cvar.high, -cvar.low)
        words = "; even its worst 5% of episodes earned "
    else:
        words = "; its worst 5% of episodes lost "
    return [Part(words), Part(write(cvar.value, places), "figure"), *bracket(cvar, places), Part(" on average")]


def optimal(percents: Sequence[float]) -> list[Part]:
    low, high = min(percents), max(percents)
    middle = sorted(percents)[len(percents) // 2]
    parts = [Part("reaches "), Part(f"{write(middle, 1)}%", "figure"), Part(" of the provable optimum")]
    if len(percents) > 1:
        parts.insert(2, Part(f" ({write(low, 1)} to {write(high, 1)} over {len(percents)} seeds)", "interval"))
    return parts


def against(rivalry: Rivalry) -> list[Part]:
    """Money first; the objective only where it says something else."""
    pnl, objective = rivalry.pnl, rivalry.objective
    rival = Part(rivalry.name, "name")
    difference, kind = (pnl, "P&L") if pnl.estimate.known else (objective, "objective")
    if not difference.estimate.known:
        return []
    estimate, sign = difference.estimate, judged(difference)
    places = decimals([estimate])
    if sign == 0:
        parts = [Part("cannot be told from its best rival, "), rival, Part(f", in {kind}")]
        parts += bracket(estimate, places, plus=True)
    else:
        if sign < 0:
            estimate = Estimate(-estimate.value, -estimate.high, -estimate.low)
        words = ("earns " if kind == "P&L" else "scores ", " more than" if sign > 0 else " less than")
        parts = [Part(words[0]), Part(write(estimate.value, places), "figure"), *bracket(estimate, places)]
        parts += [Part(f"{words[1]} its best rival, "), rival]
    if kind == "P&L" and objective.estimate.known and judged(objective) != sign:
        scored = {1: "better", -1: "worse", 0: "no differently"}[judged(objective)]
        parts.append(Part(f", but scores {scored} on its objective"))
        parts += bracket(objective.estimate, decimals([objective.estimate]), plus=True)
    return parts


def judged(difference: Difference) -> int:
    """+1 better, -1 worse, 0 cannot tell: as the run judged it, else by whether the interval leaves out zero."""
    if difference.verdict:
        return {"better": 1, "worse": -1}.get(difference.verdict, 0)
    estimate = difference.estimate
    if not estimate.bounded:
        return 0
    return 1 if estimate.low > 0 else -1 if estimate.high < 0 else 0


def bracket(estimate: Estimate, places: int, plus: bool = False) -> list[Part]:
    text = interval(estimate, places, plus)
    return [Part(f" ({text})", "interval")] if text else []


def tail_doubt(episodes: int, me: Dealer) -> Doubt:
    """How few episodes the far tail rests on."""
    worst = episodes / 100
    if worst <= 1:
        return Doubt("tail", f"CVaR 99 is the worst of {many(episodes, 'episode')}: too few to be believed.")
    sentence = f"CVaR 99 rests on the worst {count(round(worst))} of {count(episodes)} episodes"
    cvar = me.estimate("cvar_99")
    if worst < 10:
        sentence += ": too few to be believed"
    elif cvar.bounded and cvar.value:
        sentence += f"; its interval is {(cvar.high - cvar.low) / abs(cvar.value):.0%} as wide as the figure"
    return Doubt("tail", sentence + ".")


def seeds_doubt(objectives: Sequence[float], learns: bool) -> Doubt | None:
    """How much of the result was luck in training. ``objectives``: the mean episode reward of each training seed."""
    if not learns:
        return None
    if len(objectives) < 2:
        return Doubt("seed", "One training seed: how much luck there is in training is not known.")
    span = Estimate(sum(objectives) / len(objectives), min(objectives), max(objectives))
    places = decimals([span])
    spread = interval(span, places)
    return Doubt("seed", f"{len(objectives)} training seeds: the objective runs from {spread} among them.")


def edge_doubt(share: float, low: float, high: float) -> Doubt | None:
    """``share`` of sampled quotes that stand at an end of the markups the dealer may give."""
    if not share >= 0.005:
        return None
    return Doubt(
        "clipped",
        f"{share:.0%} of its sampled quotes stand at an end of the allowed {short(low)} to {short(high)}: "
        "there the range chose, not the dealer.",
    )


def limit_doubt(share: float, limits: Limits) -> Doubt | None:
    """``share`` of episodes in which the inventory reached its hard limit."""
    if not math.isfinite(limits.position_hard) or not share >= 0.001:
        return None
    return Doubt("limit", f"Inventory stood at its limit of {short(limits.position_hard)} in {share:.1%} of episodes.")


def intervention_doubt(per_1000: float, watched: bool = False) -> Doubt | None:
    """``watched``: what states and people ordered is among them."""
    if not per_1000 >= 0.05:
        return None
    sentence = f"The guardrails changed its orders in {short(per_1000)} of 1,000 steps"
    if per_1000 >= LEANING:
        leans = "" if watched else "it leans on its limits, and "
        sentence += f": {leans}these figures are theirs as much as its own"
    return Doubt("guardrails", f"{sentence}.")


def scenario_doubt(scenario: Scenario | None, all_of: bool) -> Doubt | None:
    """``all_of``: every episode was played under it."""
    if scenario is None:
        return None
    overlay = scenario.overlay.replace("_", " ")
    if all_of:
        return Doubt("scenario", f"Played under {overlay}: these are no figures of the market as it is configured.")
    when = f"from step {count(scenario.begins)} of each market on"
    return Doubt("scenario", f"Played under {overlay} {when}: the figures mix both markets.")


def identity_doubt(identities: Sequence[str]) -> Doubt | None:
    said = next((identity for identity in identities if "not authenticated" in identity), None)
    if said is None:
        return None
    return Doubt("identity", f"Who decided: {said}.")


def kept_doubt(kept: Sequence[bool]) -> Doubt | None:
    """``kept``: of each training seed, whether a policy kept its constraints in training."""
    lost = len(kept) - sum(kept)
    if not lost:
        return None
    of = f" with {lost} of {len(kept)} seeds" if len(kept) > 1 else ""
    return Doubt("constraint", f"No policy kept its constraints in training{of}: the last one was tried.")


def optimum_doubt(me: Dealer) -> Doubt | None:
    """Why there is no exact answer, or what the dealer's own action class keeps from it."""
    optimum = me.optimum
    if optimum.reason:
        return Doubt("optimum", f"No exact optimum to hold it against: {optimum.reason.rstrip('.')}.")
    if optimum.optimal > 0 and 0 < optimum.ceiling / optimum.optimal < 0.995:
        ceiling = f"{100 * optimum.ceiling / optimum.optimal:.1f}%"
        return Doubt("optimum", f"The best its kind of action can reach is {ceiling} of the optimum.")
    return None


def yardstick_doubt(me: Dealer, rival: Dealer) -> Doubt | None:
    """Objectives that add up different things."""
    if me.reward == rival.reward or not me.reward or not rival.reward:
        return None
    return Doubt("objective", f"Objectives differ: {me.name} is scored by {me.reward}, {rival.name} by {rival.reward}.")


def speaks_of(doubt: str, names: Sequence[str]) -> bool:
    """Whether a sentence is about one of these dealers."""
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", doubt) for name in names)


_TOPICS = {
    "tail": r"\bCVaR|\btail", "seed": r"\bseed", "clipped": r"clip|edge|range", "limit": r"\blimit",
    "guardrails": r"guardrail|intervention", "optimum": r"optim",
}  # fmt: skip


def merged(own: Sequence[Doubt | None], given: Sequence[str]) -> list[Doubt]:
    """The page's doubts, then those the run wrote down of which the page has not spoken."""
    doubts = [doubt for doubt in own if doubt is not None]
    said = {doubt.topic for doubt in doubts}
    for text in given:
        topic = next((topic for topic, words in _TOPICS.items() if re.search(words, text, re.IGNORECASE)), "")
        if topic not in said or not topic:
            sentence = text[:1].upper() + text[1:].rstrip(".") + "."
            doubts.append(Doubt(topic or "note", sentence))
    return doubts
