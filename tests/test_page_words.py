"""What the page says in sentences: the verdict, and what to doubt."""

from __future__ import annotations

import math

import pytest

from reports import words
from reports.folder import Dealer, Difference, Estimate, Limits


def dealer(**figures) -> Dealer:
    return Dealer("learner", {name: dict(zip(("value", "low", "high"), e, strict=True)) for name, e in figures.items()})


def difference(value, low, high, verdict="") -> Difference:
    return Difference(Estimate(value, low, high), verdict)


NO_DIFFERENCE = Difference(Estimate(), "")


def test_verdict_earned_tail_optimum_rival():
    me = dealer(pnl=(41.23, 40.1, 42.3), cvar_95=(18.3, 17.2, 19.4))
    rivalry = words.Rivalry("fixed", difference(6.31, 5.9, 6.7, "better"), NO_DIFFERENCE)
    assert words.plain(words.verdict(me, "bp × lots", [94.12], rivalry)) == (
        "learner earned 41.2 bp × lots an episode (40.1 to 42.3); its worst 5% of episodes lost 18.3 (17.2 to 19.4) on "
        "average. It reaches 94.1% of the provable optimum and earns 6.3 (5.9 to 6.7) more than its best rival, fixed."
    )


def test_verdict_turns_signs_into_words():
    me = dealer(pnl=(-5.0, -6.0, -4.0), cvar_95=(-2.0, -3.0, -1.0))
    rivalry = words.Rivalry("fixed", difference(-3.0, -4.0, -2.0, "worse"), NO_DIFFERENCE)
    said = words.plain(words.verdict(me, "$", [], rivalry))
    assert "lost 5.0 $ an episode (4.0 to 6.0)" in said
    assert "even its worst 5% of episodes earned 2.0 (1.0 to 3.0)" in said
    assert "earns 3.0 (2.0 to 4.0) less than its best rival" in said
    assert "optimum" not in said


def test_verdict_says_where_objective_and_money_disagree():
    me = dealer(pnl=(1.0, 0.5, 1.5))
    rivalry = words.Rivalry("as", difference(-0.1, -0.4, 0.2, "cannot tell"), difference(2.0, 1.0, 3.0, "better"))
    said = words.plain(words.verdict(me, "$", [], rivalry))
    assert "cannot be told from its best rival, as, in P&L (\N{MINUS SIGN}0.40 to +0.20)" in said
    assert "but scores better on its objective (+1.0 to +3.0)" in said


def test_verdict_of_nothing():
    assert words.plain(words.verdict(dealer(pnl=(0.0, 0.0, 0.0), cvar_95=(0.0, 0.0, 0.0)), "$")) == (
        "learner earned nothing: it did not trade."
    )
    assert words.plain(words.verdict(dealer(), "$")) == "learner has no measured profit."
    assert "nan" not in words.plain(words.verdict(dealer(pnl=(1.0, math.nan, math.nan)), "$", [math.nan]))


def test_verdict_gives_the_range_over_seeds():
    said = words.plain(words.verdict(dealer(pnl=(1, 0.9, 1.1)), "$", [93.0, 95.0, 94.0]))
    assert "reaches 94.0% (93.0 to 95.0 over 3 seeds) of the provable optimum" in said


@pytest.mark.parametrize(
    ("given", "sign"),
    [
        (difference(1, -1, 3), 0),
        (difference(1, 0.5, 3), 1),
        (difference(-1, -2, -0.5), -1),
        (difference(1, 0.5, 3, "worse"), -1),
    ],
)
def test_judged(given, sign):
    assert words.judged(given) == sign


def test_doubts_speak_of_each_topic_once():
    own = [words.tail_doubt(20_000, dealer(cvar_99=(10, 9, 11))), words.seeds_doubt([1.0], True), None]
    merged = words.merged(own, ["CVaR 99 rests on 200 episodes", "one training seed", "the venue is free of charge"])
    assert [doubt.topic for doubt in merged] == ["tail", "seed", "note"]
    assert (
        merged[0].sentence
        == "CVaR 99 rests on the worst 200 of 20,000 episodes; its interval is 20% as wide as the figure."
    )
    assert merged[2].sentence == "The venue is free of charge."


def test_doubts_name_only_this_dealer():
    assert words.speaks_of("dealer_1 was ruined", ["dealer_0", "dealer_1"])
    assert not words.speaks_of("dealer_10 was ruined", ["dealer_1"]) and not words.speaks_of("ruined", [])


def test_doubts_tell_of_two_yardsticks():
    one, other = (Dealer(name, {"reward": reward}) for name, reward in (("a", "pnl"), ("b", "spread")))
    assert words.yardstick_doubt(one, other).sentence == "Objectives differ: a is scored by pnl, b by spread."
    assert words.yardstick_doubt(one, one) is None and words.yardstick_doubt(one, dealer()) is None


def test_doubts_by_size():
    assert "too few to be believed" in words.tail_doubt(500, dealer()).sentence
    assert words.tail_doubt(1, dealer()).sentence == "CVaR 99 is the worst of 1 episode: too few to be believed."
    assert words.seeds_doubt([1.0], learns=False) is None
    assert "runs from 1.0 to 3.0" in words.seeds_doubt([1.0, 3.0, 2.0], True).sentence
    assert words.edge_doubt(0.001, 0, 1) is None and "12%" in words.edge_doubt(0.12, -0.2, 1.2).sentence
    assert words.limit_doubt(0.5, Limits()) is None
    assert "limit of 12 in 50.0%" in words.limit_doubt(0.5, Limits(math.inf, 12.0)).sentence
