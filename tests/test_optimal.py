"""The exact optimum: against enumeration by hand, its own evaluation, other policies, and known limits. About 10 s."""

from __future__ import annotations

import math
import time
from itertools import product

import numpy as np
import pytest
from optimal_fixture import EXPONENTIAL, FIXED, LOGIT, PENALISED, VARIANTS, desk, two_sided
from scipy.optimize import minimize_scalar

from agents.best_quotes import LadderQuotes
from agents.config import Desk
from agents.exact import Problem, Requests, evaluate, support, win_probability
from agents.optimal import Optimal, ceiling, solve
from agents.policy import Seat, build
from agents.policy_map import policy_map
from marketsim.document import Document, parse
from marketsim.tables import Tables
from tests.twin.enumeration import enumerated


def some_map(config: Desk, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A policy map without rhyme or reason, withdrawals and hedges past the limit included."""
    rng = np.random.default_rng(seed)
    edge, cells = int(Problem(config).limit), len(Tables.of(config).cells)
    shape = (config.market.steps, 2 * edge + 1)
    markups = rng.uniform(-0.5, 1.5, (*shape, cells))
    markups[rng.random(markups.shape) < 0.1] = np.nan
    return markups, rng.normal(0.0, 4.0, shape)


@pytest.mark.parametrize("name", VARIANTS)
def test_any_policy_map_is_worth_what_enumerating_its_outcomes_gives(name):
    config = VARIANTS[name].model_copy(update={"market": VARIANTS[name].market.model_copy(update={"steps": 4})})
    markups, hedge = some_map(config)
    np.testing.assert_allclose(evaluate(config, markups, hedge), enumerated(config, markups, hedge), atol=1e-10)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_optimal_map_is_worth_the_optimum_and_every_other_less(name):
    config = VARIANTS[name]
    solution = solve(config)
    np.testing.assert_allclose(evaluate(config, solution.markups, solution.hedge), solution.value, atol=1e-10)
    rng = np.random.default_rng(1)
    for seed in range(5):
        assert np.all(evaluate(config, *some_map(config, seed)) <= solution.value + 1e-10)
    for size in (0.3, 0.03):  # and the optimum itself, disturbed
        markups = solution.markups + rng.normal(0.0, size, solution.markups.shape)
        hedge = solution.hedge + rng.integers(-1, 2, solution.hedge.shape)
        assert np.all(evaluate(config, markups, hedge) <= solution.value + 1e-10)


@pytest.mark.parametrize("name", ["logit", "mixed", "bernoulli", "bernoulli sizes", "reduce only", "impact"])
def test_no_single_change_of_an_action_earns_more(name):
    """Policy improvement finds nothing: no other hedge, and no other markup of a fine grid, in any state."""
    config = VARIANTS[name]
    solution = solve(config)
    steps, states, cells = solution.markups.shape
    t = steps - 3
    for markup, lots in product(np.linspace(-0.5, 2.0, 11), (-1, 0, 1)):
        for c in range(cells):
            markups, hedge = solution.markups.copy(), solution.hedge.copy()
            markups[t, :, c] = markup
            hedge[t] += lots
            assert np.all(evaluate(config, markups, hedge)[t] <= solution.value[t] + 1e-10)


# --- one step: the best markups -------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [LOGIT, EXPONENTIAL, FIXED], ids=["logit", "exponential", "fixed"])
@pytest.mark.parametrize("low, high", [(-np.inf, np.inf), (0.1, 0.5), (1.0, 2.0), (-1.0, -0.5)])
def test_one_markup_is_the_best_of_a_fine_grid(choice, low, high):
    cells = Problem(desk({"segments": [{"rates": [0.1], "choice": choice}]})).cells[:1]
    gains = np.linspace(-3.0, 3.0, 61)
    grid = np.linspace(max(low, -4.0), min(high, 8.0), 20_001)
    p = win_probability(cells, grid)
    for withdraw in (True, False):
        best = LadderQuotes(low, high, withdraw).respond(cells, gains)
        earned = np.where(np.isnan(best), 0.0, win_probability(cells, best) * (np.nan_to_num(best) + gains))
        searched = np.max(p[:, None] * (grid[:, None] + gains), axis=0)
        searched = np.maximum(searched, 0.0) if withdraw else searched
        assert np.all(earned >= searched - 1e-12)
        assert np.all(earned <= searched + 1e-3)


@pytest.mark.parametrize("choice", [LOGIT, EXPONENTIAL], ids=["logit", "exponential"])
def test_two_markups_that_may_both_trade_are_the_global_best(choice):
    """Against a fine grid over both, where the outcomes' worth couples them weakly, strongly, and past uniqueness."""
    config = desk(two_sided(choice, rate=0.95, inventory_limit=3))
    problem = Problem(config)
    x = np.arange(-3.0, 4.0)
    requests = Requests(problem, x, 0.0, np.zeros(7, dtype=bool), 3)
    grid = np.linspace(-1.0, 6.0, 141)
    bids, asks = np.meshgrid(grid, grid, indexing="ij")
    rng = np.random.default_rng(0)
    for coupling in (0.1, 1.0, 4.0, 16.0):
        for _ in range(3):
            value = rng.normal(0.0, 0.3, 7) - coupling * np.square(x) * rng.uniform(0.5, 1.0) * rng.choice([-1, 1])
            worth = requests.worth(value, False)
            best, _ = LadderQuotes(-np.inf, np.inf, True).best(requests, worth)
            searched = [
                Requests(problem, x[k], 0.0, np.array(False), 3)
                .expected(worth[k], np.stack([bids, asks], axis=-1))
                .max()
                for k in range(7)
            ]
            assert np.all(best >= np.array(searched) - 1e-12), (coupling, value)


def test_two_resting_points_are_told_apart():
    """Where quoting both cells high and both low is at rest, and a bonus for trading both decides."""
    problem = Problem(desk(two_sided(EXPONENTIAL, rate=1.0, inventory_limit=1, liquidate=False)))
    requests = Requests(problem, np.zeros(1), 0.0, np.zeros(1, dtype=bool), 1)
    grid = np.linspace(0.0, 6.0, 301)
    pairs = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    trading = []
    for bonus in (0.0, 0.003, 0.01, 0.1):
        worth = np.array([[0.0, -3.0, -3.0, bonus]])
        best, markups = LadderQuotes(-np.inf, np.inf, True).best(requests, worth)
        assert best[0] >= requests.expected(worth, pairs).max() - 1e-12
        trading.append(bool(markups[0, 0] == 0.0))
    assert trading == [False, False, True, True]


# --- what is known of the optimum -----------------------------------------------------------------------------------


def test_without_risk_the_reference_markup_is_best_and_its_value_known():
    config = desk(two_sided(steps=50, inventory_limit=200, liquidate=False), reward=["pnl"])
    solution = solve(config)
    np.testing.assert_allclose(solution.markups[:, 150:250], 1 / 1.5, atol=1e-9)
    assert solution.optimal == pytest.approx(50 * 2 * 0.7 * math.exp(-1) / 1.5, abs=1e-9)
    logit = desk({"venue": {}, "inventory_limit": 200}, reward=["pnl"])
    reference = Tables.of(logit).cells["reference"]
    np.testing.assert_allclose(solve(logit).markups[:, 200], np.tile(reference, (12, 1)), atol=1e-9)


def test_one_step_against_a_numerical_search():
    """One step, inventory penalties only: each side alone maximises P(m) (m - penalty)."""
    config = desk({"steps": 1, "liquidate": False, "segments": [{"rates": [0.3], "choice": LOGIT}]}, reward=PENALISED)
    solution = solve(config)
    searched = minimize_scalar(
        lambda m: -(m - 0.15) / (1 + math.exp(-0.5 + 2 * m)), bounds=(-2, 5), method="bounded", options={"xatol": 1e-10}
    )
    assert solution.markups[0, 8, 0] == pytest.approx(searched.x, abs=1e-7)
    assert solution.optimal == pytest.approx(-2 * 0.3 * searched.fun, abs=1e-12)


def test_the_avellaneda_stoikov_market_with_symmetric_quotes():
    """Fixed markups of .6454: a mean profit of 68.635."""
    config = desk(
        two_sided(
            steps=200, dt=0.005, inventory_limit=None, liquidate=False, price={"kind": "brownian", "volatility": 2.0}
        ),
        reward=["pnl"],
    )
    half = math.log1p(0.1 / 1.5) / 0.1
    value = evaluate(config, np.full((200, 401, 2), half), np.zeros((200, 401)))
    assert value[0, 200] == pytest.approx(400 * 0.7 * math.exp(-1.5 * half) * half, abs=1e-9)
    assert value[0, 200] == pytest.approx(68.635, abs=0.01)
    with pytest.raises(ValueError, match="too few: .* leaves them with probability"):
        evaluate(config, np.full((200, 21, 2), half), np.zeros((200, 21)))


def test_a_long_dealer_asks_less_and_bids_lower():
    solution = solve(desk({"venue": {"half_spread": 50.0}, "liquidate": False}))
    bids, asks = solution.markups[0, :, 0], solution.markups[0, :, 3]
    inner = slice(2, 15)
    assert np.all(np.diff(bids[inner]) > 0)
    assert np.all(np.diff(asks[inner]) < 0)
    np.testing.assert_allclose(bids[inner], asks[inner][::-1], atol=1e-9)  # mirrored without drift


def test_drift_tilts_the_quotes_and_is_mirrored():
    up, flat, down = (solve(desk({"price": {"kind": "brownian", "drift": d}})) for d in (0.1, 0.0, -0.1))
    assert up.markups[0, 8, 0] < flat.markups[0, 8, 0] < down.markups[0, 8, 0]
    assert up.markups[0, 8, 3] > flat.markups[0, 8, 3] > down.markups[0, 8, 3]
    np.testing.assert_allclose(up.value, down.value[:, ::-1], atol=1e-10)


def test_hedging_is_used_where_it_is_cheap_and_never_where_it_is_dear():
    cheap = solve(desk({"venue": {"half_spread": 0.01}}))
    dear = solve(desk({"venue": {"half_spread": 50.0}, "liquidate": False}))
    assert np.all(cheap.hedge[:, :4] > 0) and np.all(cheap.hedge[:, -4:] < 0)
    assert np.all(dear.hedge == 0)
    free = solve(desk({"venue": {}}, reward=["pnl"]))  # free, but of use only to make room for size 5
    assert free.hedge[0].tolist() == [5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, -1, -2, -3, -4, -5]


def test_a_full_dealer_that_may_only_reduce_quotes_one_side():
    solution = solve(VARIANTS["reduce only"])
    full = solution.markups[0, -1]
    assert np.all(np.isnan(full[:3])) and np.isfinite(full[3])
    assert np.all(solve(VARIANTS["flatten"]).hedge[:, -1] == -6)


def test_limits_and_action_classes_only_take_away():
    free = solve(desk()).optimal
    for limits in ({"markup": {"low": 0.4, "high": 0.5}}, {"position": {"hard": 3}}):
        assert solve(desk(limits=limits)).optimal < free
    for action in (
        {"kind": "ladder", "markup": [0.2, 0.5]},
        {"kind": "ladder", "markup": [-5, 10], "hedge": 0.0},
        {"kind": "skew", "half_spread": [0.0, 5.0], "skew_max": 5.0},
        {"kind": "skew", "half_spread": [0.0, 0.5], "skew_max": 0.1, "hedge": 2.0},
    ):
        assert ceiling(desk(action=action)) < free


@pytest.mark.parametrize("name", ["logit", "bernoulli", "bernoulli logit", "reduce only"])
def test_the_ceiling_of_an_ample_action_class_is_the_optimum(name):
    config = VARIANTS[name]
    for action, tolerance in (
        ({"kind": "ladder", "markup": (-20.0, 60.0), "hedge": 16.0}, 1e-6),
        ({"kind": "skew", "half_spread": (-20.0, 60.0), "skew_max": 40.0, "hedge": 16.0}, 1e-6),
    ):
        if action["kind"] == "skew" and len(Tables.of(config).cells) > 2:
            continue  # one markup a side is less than one a cell
        tree = config.model_dump(mode="json", exclude_none=True)
        tree["dealers"][0]["action"] = action
        assert ceiling(parse(Desk, Document.of(tree))) == pytest.approx(solve(config).optimal, abs=tolerance)


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "ladder", "markup": [0.2, 0.5]},
        {"kind": "ladder", "markup": [0.2, 0.9], "hedge": 2.0},
        {"kind": "skew", "half_spread": [0.1, 0.6], "skew_max": 0.2},
    ],
)
@pytest.mark.parametrize("market", [{}, two_sided()], ids=["at_most_one", "bernoulli"])
def test_no_action_map_beats_its_ceiling(action, market):
    """Random maps drawn within the class, and the class's own corners, stay below."""
    from marketsim.quotes import markups_of

    config = desk(market, action=action)
    best, cells = ceiling(config), Tables.of(config).cells
    q = np.tile(np.arange(-8.0, 9.0), 12)
    rng = np.random.default_rng(0)
    width = int(Tables.of(config).dealers[0]["width"])
    for corner in (-1.0, 0.0, 1.0, None):
        actions = rng.uniform(-1, 1, (len(q), width)) if corner is None else np.full((len(q), width), corner)
        quotes, hedge = markups_of(config, 0, actions.astype(np.float32), q)
        markups = quotes.reshape(12, 17, -1)[..., cells["quote"]]
        assert evaluate(config, markups, hedge.reshape(12, 17))[0, 8] <= best + 1e-9


def test_forty_one_inventories_ninety_six_steps_and_three_sizes_take_under_a_second():
    config = desk({"steps": 96, "inventory_limit": 20})
    began = time.process_time()
    assert solve(config).hedge.shape == (96, 41)
    assert time.process_time() - began < 1.0  # about 0.02


# --- the grid -------------------------------------------------------------------------------------------------------


def test_without_a_limit_the_grid_is_wide_enough():
    config = desk({"inventory_limit": None, "steps": 30})
    found = solve(config)
    for edge in (100, 200):
        assert solve(config, max_inventory=edge).optimal == pytest.approx(found.optimal, rel=1e-9)
    with pytest.raises(ValueError, match="max_inventory 5 is too small"):
        solve(config, max_inventory=5)


def test_a_dealer_that_gains_from_any_inventory_is_told_to_name_a_limit():
    market = {"inventory_limit": None, "steps": 3, "price": {"kind": "brownian", "drift": 9.0}, "venue": {}}
    config = desk(market, reward=["pnl"])
    with pytest.raises(ValueError, match="market.inventory_limit would bound it"):
        solve(config)


# --- what has no exact answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "market, dealer, said",
    [
        ({}, {"count": 2}, "2 dealers compete"),
        ({"arrivals": "poisson"}, {}, "poisson"),
        ({"arrivals": "bernoulli"}, {}, "several cells a side"),
        ({"segments": [{"rates": [0.1], "informed": {"share": 0.1}}]}, {}, "informed"),
        ({"price": {"kind": "gbm", "drift": 0.1}}, {}, "price gbm"),
        (
            {
                "price": {
                    "kind": "regime",
                    "drift": [0.0, 1.0],
                    "volatility": [1.0, 1.0],
                    "transition": [[1, 0], [0, 1]],
                }
            },
            {},
            "price regime",
        ),
        ({}, {"reward": ["pnl", {"kind": "tail_loss", "threshold": 1.0}]}, "tail_loss"),
        ({}, {"reward": ["pnl", "intervention"]}, "intervention"),
        ({"price": {"kind": "gbm"}}, {"reward": ["pnl", "downside"]}, "downside"),
        ({}, {"reward": ["inventory_penalty"]}, "nothing for spread"),
        ({}, {"limits": {"loss": {"hard": 5}}}, "loss limit"),
        ({"ruin": 5}, {}, "ruin"),
        (
            {"segments": [{"rates": [0.1], "choice": {"kind": "best_price", "reservation": "none"}}], "reference": 1.0},
            {},
            "without a reservation",
        ),
    ],
)
def test_what_is_not_exact_is_refused_with_its_reason(market, dealer, said):
    config = desk(market, **dealer)
    assert said in str(support(config))
    with pytest.raises(ValueError, match=said):
        solve(config)


# --- the policy and maps of policies --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logit", "mixed", "bernoulli sizes"])
def test_the_optimal_policy_has_the_map_of_the_solution(name):
    config = VARIANTS[name]
    seat = Seat(config, 0)
    policy = build(config.dealers[0].policy, seat)
    assert isinstance(policy, Optimal)
    markups, hedge = policy_map(policy, seat)
    np.testing.assert_array_equal(markups, policy.solution.markups)
    np.testing.assert_array_equal(hedge, policy.solution.hedge)


def test_the_map_of_actions_is_their_action_map():
    class Constant:
        native = False

        def act(self, observation):
            return np.full((len(observation), 7), 0.5, dtype=np.float32)

    config = desk(action={"kind": "ladder", "markup": [-1.0, 1.0]})
    markups, hedge = policy_map(Constant(), Seat(config, 0))
    assert markups.shape == (12, 17, 6) and np.all(markups == 0.5)
    np.testing.assert_array_equal(hedge[0], np.rint(-0.75 * np.arange(-8, 9)))


def test_a_policy_that_draws_has_no_map():
    config = desk(policy="random")
    with pytest.raises(ValueError, match="has no map"):
        policy_map(build(config.dealers[0].policy, Seat(config, 0)), Seat(config, 0))
