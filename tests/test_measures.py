"""The measures against closed forms, definitions spelt out in loops, scipy, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from marketsim.measures import attribution, intervals
from marketsim.measures.figures import BETTER, NAMES, Sample, verdict
from marketsim.measures.markouts import HORIZONS, Markouts
from marketsim.measures.paths import Paths, half_life
from marketsim.measures.tail import Tail, cvar, value_at_risk


def philox(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


# --- tail -------------------------------------------------------------------------------------------


def test_cvar_counts_the_loss_at_its_edge_by_a_fraction():
    assert cvar(np.arange(1, 8), 0.8) == pytest.approx(9.4 / 1.4)  # 6.714286
    assert value_at_risk(np.arange(1, 8), 0.8) == 6
    assert cvar(np.arange(1.0, 101), 0.95) == pytest.approx(98)
    assert value_at_risk(np.arange(1.0, 101), 0.95) == 95
    assert cvar(np.array([3.0]), 0.95) == value_at_risk(np.array([3.0]), 0.95) == 3


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_cvar_is_the_minimum_of_rockafellar_and_uryasev(level):
    """min over c of c + E[(L - c)+] / (1 - level), attained at the VaR, on samples with ties."""
    for key in range(20):
        losses = np.round(philox(key).standard_t(3, size=37), 1)
        objective = losses + np.maximum(losses[None] - losses[:, None], 0).mean(axis=1) / (1 - level)
        assert cvar(losses, level) == pytest.approx(objective.min(), abs=1e-12)
        at_least = [x for x in np.unique(losses) if np.mean(losses <= x) >= level - 1e-12]
        assert value_at_risk(losses, level) == at_least[0]


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("kind", ["normal", "t", "exponential"])
def test_tail_of_known_distributions(kind, level):
    of, exact = {
        "normal": (stats.norm(), lambda x: stats.norm.pdf(x) / (1 - level)),
        "t": (stats.t(4), lambda x: stats.t.pdf(x, 4) * (4 + x * x) / (3 * (1 - level))),
        "exponential": (stats.expon(), lambda x: x + 1),
    }[kind]
    n = 400_000
    losses = of.ppf((np.arange(n) + 0.5) / n)
    assert value_at_risk(losses, level) == pytest.approx(of.ppf(level), abs=1e-3)
    assert cvar(losses, level) == pytest.approx(exact(of.ppf(level)), rel=2e-3)


def test_small_samples_understate_cvar():
    """By .20, .045 and .023 sd at 20, 100 and 200 normal losses: DESIGN section 6."""
    true = stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05
    for n, bias, repeats in ((20, -0.20, 3000), (100, -0.045, 2000), (200, -0.023, 2000)):
        losses = philox(n).standard_normal((repeats, n))
        found = np.array([cvar(row, 0.95) for row in losses]) - true
        assert found.mean() == pytest.approx(bias, abs=3.5 * found.std() / np.sqrt(repeats) + 0.005)


def test_weights_of_a_tail_are_repetitions():
    losses = philox(1).standard_t(3, size=200)
    counts = np.stack([np.bincount(philox(k).integers(200, size=200), minlength=200) for k in range(30)])
    var, mean = Tail(losses).at(counts.astype(float), (0.8, 0.95))
    for row, v, m in zip(counts, var, mean, strict=True):
        repeated = np.repeat(losses, row)
        assert list(v) == [value_at_risk(repeated, level) for level in (0.8, 0.95)]
        assert list(m) == pytest.approx([cvar(repeated, level) for level in (0.8, 0.95)])


def test_weights_of_groups_are_weights_of_all_in_them():
    losses, group = philox(2).standard_normal(101), np.arange(101) * 20 // 101  # groups of 5 and 6
    weights = philox(3).integers(4, size=(10, 20)).astype(float)
    weights[:, 0] = 50  # far more in the tail than counts of resampling put there
    losses[group == 0] += 5
    for grouped, single in zip(
        Tail(losses, group).at(weights, (0.95,)), Tail(losses).at(weights[:, group], (0.95,)), strict=True
    ):
        np.testing.assert_allclose(grouped, single)


@pytest.mark.parametrize("losses", [[], [np.nan, 1.0], [np.inf], [[1.0]]])
def test_no_tail_of_nonsense(losses):
    with pytest.raises(ValueError, match="finite losses"):
        Tail(np.array(losses))


# --- paths, mark-outs, attribution ------------------------------------------------------------------


def test_paths_against_their_definitions():
    rng = philox(4)
    pnl, q = rng.standard_normal((2, 30, 2, 5)).cumsum(axis=1).round(2)
    paths = Paths(2, 5)
    for t in range(30):
        paths.add(pnl[t], q[t], last=t == 29)
    whole, held = np.concatenate([np.zeros((1, 2, 5)), pnl]), np.concatenate([np.zeros((1, 2, 5)), q])
    for i, m in np.ndindex(2, 5):
        path = whole[:, i, m]
        assert paths.drawdown[i, m] == max(path[s] - path[t] for t in range(31) for s in range(t + 1))
        assert paths.worst_loss[i, m] == max(-path)
        assert paths.max_inventory[i, m] == abs(held[:, i, m]).max()
        assert paths.square[i, m] == pytest.approx(sum(held[t, i, m] ** 2 for t in range(29)))
        assert paths.product[i, m] == pytest.approx(sum(held[t, i, m] * held[t + 1, i, m] for t in range(29)))


def test_half_life_of_an_autoregression():
    """q_{t+1} = rho q_t + e has the half-life log(1/2) / log(rho)."""
    q, noise = np.zeros(4000), philox(5).standard_normal((500, 4000))
    product = square = 0.0
    for e in noise:
        after = 0.9 * q + e
        product, square, q = product + (q * after).sum(), square + (q * q).sum(), after
    assert half_life(product, square) == pytest.approx(np.log(0.5) / np.log(0.9), rel=0.02)


def test_half_life_at_its_ends():
    found = half_life(np.array([0.5, -1.0, 0.0, 2.0, 3.0, 0.0]), np.array([1.0, 1.0, 1.0, 2.0, 2.0, 0.0]))
    assert list(found[:5]) == [1.0, 0.0, 0.0, np.inf, np.inf]
    assert np.isnan(found[5])


def test_markouts_against_their_definition():
    rng, steps = philox(6), 47
    bought, sold = rng.integers(4, size=(2, steps, 2, 3)).astype(float)
    mid = 100 + rng.standard_normal((steps + 1, 3)).cumsum(axis=0)
    marks = Markouts(2, 3)
    for t in range(steps):
        marks.add(mid[t], bought[t], sold[t], mid[t + 1])
    for h in HORIZONS:
        whole = range(steps - h + 1)  # trades whose horizon is inside the episode
        gain = sum((bought[t] - sold[t]) * (mid[t + h] - mid[t]) for t in whole)
        np.testing.assert_allclose(marks.gain[h], gain, atol=1e-9)
        np.testing.assert_array_equal(marks.lots[h], sum(bought[t] + sold[t] for t in whole))


def test_attribution_adds_up_with_costs_subtracted():
    terms = {"spread": np.array([5.0, 1]), "inventory": np.array([-2.0, 0]), "hedge_cost": np.array([1.0, 0])}
    assert list(attribution.pnl(terms | {"fees": np.array([0.5, 2])})) == [1.5, -1]


# --- figures under weights --------------------------------------------------------------------------


def planted(n: int, rng: np.random.Generator, common: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Episodes of a dealer: skewed figures, of which ``common`` is a part that another dealer shares."""
    names = (
        "drawdown", "max_inventory", "inventory_product", "inventory_square", "won", "asked", "spread", "inventory",
        "hedge_cost", "fees", "interventions", *(f"{k}_{h}" for k in ("markout", "marked") for h in HORIZONS),
    )  # fmt: skip
    columns = {name: rng.gamma(2.0, size=n) + common for name in names}
    columns |= {"inventory_square": columns["inventory_product"] * 1.2 + 1, "asked": columns["won"] + 3}
    pnl = -rng.exponential(size=n) - common
    return columns | {"pnl": pnl, "reward": pnl - columns["drawdown"]}


def test_figures_are_what_their_names_say():
    e = planted(400, philox(7))
    found = dict(zip(NAMES, Sample(e, steps=50).under(None)[0], strict=True))
    assert found["objective"] == pytest.approx(e["reward"].mean())
    assert found["pnl_sd"] == pytest.approx(e["pnl"].std())
    assert found["cvar_95"] == pytest.approx(np.sort(-e["pnl"])[-20:].mean())
    assert found["hit_ratio"] == pytest.approx(e["won"].sum() / e["asked"].sum())
    assert found["markout_5"] == pytest.approx(e["markout_5"].sum() / e["marked_5"].sum())
    assert found["half_life"] == pytest.approx(half_life(e["inventory_product"].sum(), e["inventory_square"].sum()))
    assert found["interventions_per_1000"] == pytest.approx(e["interventions"].sum() / (400 * 50) * 1000)


def test_figures_without_each_episode():
    """The closed forms of the jackknife against leaving out in earnest."""
    episodes = planted(23, philox(8))
    left = Sample(episodes, 96).without_each()
    for k in range(23):
        rest = Sample({name: np.delete(column, k) for name, column in episodes.items()}, 96).under(None)[0]
        np.testing.assert_allclose(left[k], rest, rtol=1e-9)


def test_a_figure_whose_columns_are_missing_is_unknown_alone():
    episodes = planted(50, philox(9))
    del episodes["marked_5"]
    found = dict(zip(NAMES, Sample(episodes, 96).under(None)[0], strict=True))
    assert {name for name, value in found.items() if np.isnan(value)} == {"markout_5"}


def test_verdicts():
    assert set(BETTER) == set(NAMES)
    assert verdict("pnl", 0.1, 0.2) == verdict("cvar_95", -0.2, -0.1) == "better"
    assert verdict("pnl", -0.2, -0.1) == verdict("half_life", 0.1, 0.2) == "worse"
    assert verdict("pnl", -0.1, 0.2) == verdict("pnl", 0.0, 0.0) == verdict("pnl", np.nan, np.nan) == "cannot tell"
    assert verdict("hit_ratio", 0.1, 0.2) == "higher"


# --- intervals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("figure", "statistic"), [("pnl", np.mean), ("cvar_95", lambda pnl: cvar(-pnl, 0.95))])
def test_bca_is_scipys(figure, statistic):
    """On the same bootstrap distribution both give the same bounds."""
    episodes = planted(60, philox(10))
    theirs = stats.bootstrap(
        (episodes["pnl"],), statistic, vectorized=False, n_resamples=600, rng=np.random.default_rng(1)
    )
    k = NAMES.index(figure)
    sample = Sample(episodes, 96)
    drawn = intervals.Resampled(
        sample.under(None)[0, [k]], theirs.bootstrap_distribution[:, None], sample.without_each()[:, [k]]
    )
    mine = intervals.intervals(intervals.contrast({0: drawn}))
    assert (mine.low[0], mine.high[0]) == pytest.approx(
        (theirs.confidence_interval.low, theirs.confidence_interval.high)
    )


def test_resamples_are_a_function_of_the_generators_state():
    samples = [Sample(planted(300, philox(k)), 96) for k in (11, 12)]
    both = intervals.resample(samples, philox(0), 50)
    again = intervals.resample(samples[1:], philox(0), 50)
    np.testing.assert_array_equal(both[1].replicates, again[0].replicates)
    assert not np.array_equal(again[0].replicates, intervals.resample(samples[1:], philox(1), 50)[0].replicates)


def test_samples_of_other_episodes_are_not_resampled_together():
    with pytest.raises(ValueError, match="same episodes"):
        intervals.resample([Sample(planted(n, philox(n)), 96) for n in (30, 31)], philox(0), 10)


def test_pairing_takes_out_what_dealers_share():
    """The interval of a difference is as narrow as what is not shared, far narrower than of either alone."""
    shared = 10 * philox(13).standard_normal(1000)
    a, b = intervals.resample([Sample(planted(1000, philox(k), shared), 96) for k in (14, 15)], philox(0), 400)
    k = NAMES.index("pnl")
    alone, paired = (intervals.intervals(c) for c in (intervals.contrast({0: a}), intervals.contrast({0: a}, {0: b})))
    assert alone.high[k] - alone.low[k] == pytest.approx(2 * 1.96 * np.sqrt(101 / 1000), rel=0.15)
    assert paired.high[k] - paired.low[k] == pytest.approx(2 * 1.96 * np.sqrt(2 / 1000), rel=0.15)


def test_a_constant_difference_is_known_exactly():
    episodes = planted(200, philox(16))
    more = episodes | {"max_inventory": episodes["max_inventory"] + 2}
    a, b = intervals.resample([Sample(e, 96) for e in (more, episodes)], philox(0), 200)
    found = intervals.intervals(intervals.contrast({0: a}, {0: b}), simultaneous=True)
    k = NAMES.index("max_inventory")
    assert (found.low[k], found.high[k]) == pytest.approx((2, 2))
    assert found.low[NAMES.index("pnl")] == found.high[NAMES.index("pnl")] == 0


def within(trials: int, expected: float, tolerance: float, hits: float) -> None:
    """Coverage over ``trials``, within 3.5 standard errors and a tolerance of what is expected."""
    error = 3.5 * np.sqrt(expected * (1 - expected) / trials)
    assert expected - tolerance - error <= hits / trials <= expected + tolerance + error


def coverage(trials: int, episodes: int, resamples: int, groups: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """How often intervals of figures, and of paired differences, held the truth; and all differences at once: with
    the tail's figures and without."""
    big = philox(17)
    truth = Sample(planted(1_000_000, big, big.exponential(size=1_000_000)), 96, groups=2).under(None)[0]
    alone, paired, at_once = np.zeros(len(NAMES)), np.zeros(len(NAMES)), [0, 0]
    families = [range(len(NAMES)), [j for j, name in enumerate(NAMES) if "var" not in name]]
    for k in range(trials):
        rng = philox(1000 + k)
        shared = rng.exponential(size=episodes)
        samples = [Sample(planted(episodes, rng, shared), 96, groups) for _ in range(2)]
        a, b = intervals.resample(samples, philox(k), resamples)
        mine = intervals.intervals(intervals.contrast({0: a}))
        alone += (mine.low <= truth) & (truth <= mine.high)
        difference = intervals.contrast({0: a}, {0: b})
        each = intervals.intervals(difference)
        paired += (each.low <= 0) & (0 <= each.high)
        for i, figures in enumerate(families):
            family = intervals.intervals(difference.only(figures), simultaneous=True)
            at_once[i] += int(((family.low <= 0) & (0 <= family.high)).all())
    return alone, paired, at_once


TRIALS = 100


@pytest.fixture(scope="module")
def covered() -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Of 400 episodes in 250 groups."""
    return coverage(TRIALS, 400, 400, 250)


@pytest.mark.parametrize(
    "figure", ["pnl", "objective", "pnl_sd", "hit_ratio", "half_life", "markout_5", "var_95", "cvar_95"]
)
def test_intervals_cover(covered, figure):
    k = NAMES.index(figure)
    loose = 0.04 if figure in ("cvar_95", "pnl_sd") else 0.015  # 20 episodes in the tail are few
    for hits in covered[:2]:
        within(TRIALS, 0.95, loose, hits[k])


def test_simultaneous_intervals_cover_all_at_once(covered):
    """All fifteen figures but the tail's; each at its own 95% they would do so in about half of the trials."""
    within(TRIALS, 0.95, 0.03, covered[2][1])


@pytest.mark.long
@pytest.mark.parametrize(("episodes", "trials"), [(300, 300), (2000, 300), (20_000, 200)])
def test_coverage_in_the_docs(episodes, trials):
    """The table of docs/comparison.md, printed with -s; 20,000 episodes in earnest take minutes."""
    alone, paired, at_once = coverage(trials, episodes, 2000, 2000)
    shares = dict(zip(NAMES, zip(alone / trials, paired / trials, strict=True), strict=True))
    print(f"\n{episodes} episodes: all at once {at_once[0] / trials:.3f}, without tails {at_once[1] / trials:.3f}")
    for name, (one, difference) in shares.items():
        print(f"  {name:24s} {one:.3f} {difference:.3f}")
    if episodes >= 2000:
        for hits in (alone, paired):
            for name, count in zip(NAMES, hits, strict=True):
                within(trials, 0.95, 0.04 if name == "cvar_99" else 0.02, count)
        within(trials, 0.95, 0.03, at_once[0])


def test_where_seeds_are_all_the_luck_there_is_the_interval_is_students():
    """mean -+ t(0.975, 2) sd / sqrt(3), for three seeds whose every episode is the same."""
    levels, k = np.array([1.0, 2.0, 6.0]), NAMES.index("pnl")
    samples = [
        Sample({"pnl": np.full(50, x), "reward": np.full(50, x), "interventions": np.zeros(50)}, 96) for x in levels
    ]
    drawn = dict(enumerate(intervals.resample(samples, philox(0))))
    found = intervals.intervals(intervals.contrast(drawn))
    half = stats.t.ppf(0.975, 2) * levels.std(ddof=1) / np.sqrt(3)
    assert (found.low[k], found.high[k]) == pytest.approx((3 - half, 3 + half), abs=0.06 * half)
    paired = intervals.intervals(intervals.contrast(drawn, drawn))
    assert paired.low[k] == paired.high[k] == 0


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_over_few_training_seeds_cover(paired):
    """Four seeds whose luck dwarfs the episodes' noise: t intervals, where a bootstrap of four would cover 80%."""
    trials, hits, naive = 80, 0, 0
    k = [NAMES.index("pnl")]
    for trial in range(trials):
        rng = philox(5000 + trial)
        shared = rng.standard_normal(60)
        samples = []
        for luck in rng.standard_normal(8):
            pnl = shared + luck + 0.3 * rng.standard_normal(60)
            samples.append(Sample({"pnl": pnl, "reward": pnl, "interventions": np.zeros(60)}, 96))
        drawn = intervals.resample(samples, philox(trial), 250)
        mine = dict(enumerate(drawn[:4]))
        other = dict(enumerate(drawn[4:], start=0 if paired else 10))
        found = intervals.intervals(intervals.contrast(mine, other).only(k))
        hits += int(found.low[0] <= 0 <= found.high[0])
        single = intervals.intervals(intervals.contrast({0: mine[0]}, {0: next(iter(other.values()))}).only(k))
        naive += int(single.low[0] <= 0 <= single.high[0])
    within(trials, 0.95, 0.03, hits)
    assert naive < 0.4 * trials  # what one seed alone would have claimed
