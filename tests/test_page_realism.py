"""The page of a realism report: what it says, and that it opens by itself."""

import json
import math
import re

import pytest

from reports.realism import compose


def tape(name, *facts, returns=40_000):
    keys = ("value", "low", "high", "observations", "verdict")
    return {
        "name": name, "duration": 1.0, "interval": 1.0, "returns": returns, "trades": 5,
        "facts": [dict(zip(keys, fact, strict=True)) for fact in facts],
        "curves": {
            "absolute_returns": ([1, 2, 4], [0.2, 0.1, math.nan]), "signs": ([1, 2], [0.5, 0.4]),
            "kurtosis": ([1, 5], [0.2, 0.13]), "impact": ([0.2, 1.0, 3.0], [0.3, 0.9, 1.5]),
        },
    }  # fmt: skip


FACTS = [
    {
        "name": "clusters",
        "statistic": "of <b>",
        "range": (0.05, math.inf),
        "asked": "above 0.05",
        "least": 200,
        "source": "Cont 2001",
    },
    {
        "name": "remembers",
        "statistic": "of signs",
        "range": (0.02, 0.9),
        "asked": "0.02 to 0.9",
        "least": 2000,
        "source": "Lillo",
    },
    {
        "name": "tails",
        "statistic": "of tails",
        "range": (-math.inf, 5.0),
        "asked": "below 5",
        "least": 2000,
        "source": "Hill",
    },
    {"name": "skew", "statistic": "of both", "range": None, "asked": "", "least": 2, "source": "Cont"},
]
NOT_KNOWN = (math.nan, math.nan, math.nan, 3, "too little data")


@pytest.fixture
def tree():
    good = (0.2, 0.15, 0.25, 40_000, "pass"), (0.001, -0.01, 0.012, 40_000, "fail"), NOT_KNOWN
    other = (0.3, 0.25, 0.35, 40_000, "pass"), (0.5, 0.4, 0.6, 40_000, "pass"), NOT_KNOWN
    skew = (0.1, 0.0, 0.2, 40_000, "reported")
    return {
        "source": "my <market>", "experiment": "name: mine", "facts": FACTS,
        "tapes": [tape("seed 1", *good, skew), tape("seed 2", *other, skew)],
    }  # fmt: skip


def text(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<main>") : page.index("</main>")]).split())


def figures(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL).group(1))


def test_the_first_sentence_counts_what_passes_on_every_tape(tree):
    said = text(compose(tree))
    assert "my &lt;market&gt; shows 1 of 3 facts of real markets on every tape; it fails 1 : remembers" in said
    assert "; for 1 there is too little data" in said
    assert "0.200 0.15 to 0.25, pass" in said or "0.20 0.15 to 0.25, pass" in said


def test_ranges_are_words_and_names_stay_names(tree):
    page = compose(tree)
    said = text(page)
    for words in ("above 0.05", "0.02 to 0.9", "below 5", "not judged", "name: mine", "of &lt;b&gt;"):
        assert words in said, words
    assert "<market>" not in page and "://" not in page[: page.index("<script>")]


def test_four_figures_with_a_thread_for_each_tape(tree):
    page = compose(tree)
    drawn = figures(page)
    assert len(drawn) == 4 and page.count("data-figure=") == 4
    threads = [sum(line.get("hoverinfo") != "skip" for line in figure["data"]) for figure in drawn.values()]
    assert threads == [2, 2, 2, 2]
    (points,) = {len(figure["data"][0]["x"]) for figure in list(drawn.values())[:1]}
    assert points == 2  # the lag that is not known is left out


def test_a_short_tape_is_doubted_and_what_is_missing_is_said(tree):
    short = tape("piece", *[NOT_KNOWN] * 4, returns=33)
    short["curves"] = {name: ([], []) for name in short["curves"]}
    said = text(compose(tree | {"tapes": [short], "experiment": None}))
    assert "33 returns: tails, and whatever is slow, cannot be judged." in said
    assert "shows 0 of 3 facts of real markets; for 3 there is too little data" in said
    assert said.count("Left out: there are too few points.") == 4 and "on every tape" not in said
    assert "dealers of the experiment do not take part" not in said


def test_nothing_from_json_is_lost(tree):
    """What ``--json`` prints makes the same page: numbers that are none are null there."""
    from experiments.store import finite

    assert text(compose(json.loads(json.dumps(finite(tree))))) == text(compose(tree))
