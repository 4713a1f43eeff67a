"""Stress overlays: each does to the market what its sentence says, nothing before it begins, and several at once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scenarios_fixture import BEGIN, DESK, PRICES, STEPS, Played, desk

import marketsim
from agents.config import Desk
from marketsim import scenarios
from marketsim.types import ASK, BID, LEDGER


@pytest.fixture(scope="module")
def base() -> Played:
    return Played(desk())


def differ(one: Played, other: Played) -> list[int]:
    """The steps in which anything that happened or was seen is not the same."""
    steps = set()
    for t in range(STEPS):
        mine, others = one.requested(first=t, last=t + 1), other.requested(first=t, last=t + 1)
        same = mine.tobytes() == others.tobytes() and np.array_equal(one.observation[t], other.observation[t])
        same &= all(np.array_equal(one.ledger[term][t], other.ledger[term][t]) for term in LEDGER)
        if not same:
            steps.add(t)
    return sorted(steps)


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_nothing_differs_before_an_overlay_begins_and_something_does_when_it_has(name, base):
    """toxicity and the price's rules show in the step they begin; informed clients may see new moves coming before."""
    lead = 2 if name in ("volatility_x3", "mean_reversion_breaks") else 0
    steps = differ(base, Played(desk(), name))
    assert BEGIN - lead <= steps[0] <= BEGIN + 1 and len(steps) > 1


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_an_overlay_can_be_played_again(name):
    """It keeps nothing from one episode to the next."""
    config = desk()
    overlay = scenarios.overlay(name, config)
    rewards = []
    for _ in range(2):
        batch = marketsim.MarketBatch(config, 20, seed=7)
        actions = np.zeros((20, 3, max(batch.action_widths)), np.float32)
        for episode in (0, 0):
            batch.reset(episode)
            for t in range(STEPS):
                overlay.before(batch, t)
                step = batch.step(actions, overlay.quotes(batch, t, actions, {}))
            rewards.append(step.reward.copy())
    assert all(np.array_equal(rewards[0], other) for other in rewards[1:])


@pytest.mark.parametrize("name", sorted({*scenarios.NAMES} - {"toxicity", "drought", "one_way_flow", "jump_with_halt"}))
def test_the_same_clients_come_wherever_an_overlay_leaves_them_alone(name, base):
    fields = ["market", "step", "number", "segment", "size", "asked"]
    played = Played(desk(), name)
    assert np.array_equal(base.requests[fields], played.requests[fields])
    if name not in ("volatility_x3", "mean_reversion_breaks"):  # informed clients choose by the move
        assert np.array_equal(base.requests["side"], played.requests["side"])
        assert np.array_equal(base.exogenous, played.exogenous)


def test_two_threads_play_the_same_under_an_overlay():
    config = desk()
    overlay = scenarios.overlay("volatility_x3+drought+latency+venue_closes+crash_and_rebound", config)
    rewards = []
    for threads in (1, 2):
        batch = marketsim.MarketBatch(config, 21, seed=7, threads=threads)
        batch.reset()
        actions = np.full((21, 3, max(batch.action_widths)), 0.3, np.float32)
        for t in range(STEPS):
            overlay.before(batch, t)
            rewards.append(batch.step(actions, overlay.quotes(batch, t, actions, {})).reward.copy())
    assert np.array_equal(rewards[:STEPS], rewards[STEPS:])


# --- the mid ---------------------------------------------------------------------------------------


def moved(name: str, **parameters) -> tuple[np.ndarray, np.ndarray]:
    """How far an overlay alone has carried the mid from its own, in sd of a step's move: (steps + 1, markets); and F's."""
    config = desk(venue={})
    one, other = Played(config), Played(config, name, **parameters)
    sd = marketsim.MarketBatch(config, 1).tables.market["move_sd"][0]
    return (other.mid - one.mid) / sd, other.exogenous - one.exogenous


def test_crash_and_rebound_moves_the_mid_by_its_size_and_back():
    mid, exogenous = moved("crash_and_rebound", size=6.0, fall=2, rebound=3)
    expected = np.zeros(STEPS + 1)
    expected[BEGIN + 1 : BEGIN + 6] = [-3, -6, -4, -2, 0]
    np.testing.assert_allclose(mid, np.broadcast_to(expected[:, None], mid.shape), atol=1e-9)
    assert not exogenous.any()


@pytest.mark.parametrize("kind", PRICES)
def test_volatility_x3_makes_every_move_three_times_as_large(kind):
    config = desk(price=PRICES[kind])
    one, other = Played(config, markets=3000), Played(config, "volatility_x3", markets=3000)
    before, after = (np.diff(played.exogenous, axis=0) for played in (one, other))
    assert np.array_equal(before[:BEGIN], after[:BEGIN])
    sd = after[BEGIN:].std(axis=1) / before[BEGIN:].std(axis=1)
    if kind == "brownian":  # without drift or reversion it is the same path, stretched
        np.testing.assert_allclose(after[BEGIN:], 3 * before[BEGIN:], atol=1e-9)
    elif kind == "regime":  # the same storms
        np.testing.assert_allclose(after[BEGIN:], 3 * before[BEGIN:], atol=1e-9)
    elif kind == "gbm":  # of a price that wanders
        np.testing.assert_allclose(sd, 3.0, atol=0.06)
        logs = np.diff(np.log(other.exogenous), axis=0)[BEGIN:]
        np.testing.assert_allclose(logs.std(), 0.03, rtol=0.02)
    else:  # the pull is not tripled, what a move adds to it is
        left = math.exp(-0.2)
        noise = [(p.exogenous[1:] - 100.0) - (p.exogenous[:-1] - 100.0) * left for p in (one, other)]
        np.testing.assert_allclose(noise[1][BEGIN:], 3 * noise[0][BEGIN:], atol=1e-9)


def test_mean_reversion_breaks_into_a_random_walk():
    """Moves no longer lean against the distance from the mean."""
    played = Played(desk(), "mean_reversion_breaks", markets=4000)
    distance, moves = played.exogenous[:-1] - 100.0, np.diff(played.exogenous, axis=0)

    def pull(steps: slice) -> float:
        return float((distance[steps] * moves[steps]).sum() / (distance[steps] ** 2).sum())

    assert pull(slice(1, BEGIN)) == pytest.approx(math.expm1(-0.2), abs=0.01)
    assert pull(slice(BEGIN, None)) == pytest.approx(0.0, abs=0.01)
    assert moves[BEGIN:].std() == pytest.approx(0.5, rel=0.01)


def test_jump_with_halt_jumps_once_and_nobody_asks(base):
    mid, _ = moved("jump_with_halt", size=8.0)
    expected = np.where(np.arange(STEPS + 1) > BEGIN, 8.0, 0.0)
    np.testing.assert_allclose(mid, np.broadcast_to(expected[:, None], mid.shape), atol=1e-9)
    played = Played(desk(), "jump_with_halt", halt=5)
    halted = played.requested(first=BEGIN + 1, last=BEGIN + 6)
    assert len(halted) == 0 and len(base.requested(first=BEGIN + 1, last=BEGIN + 6)) > 1000
    assert played.requested(first=BEGIN + 6)["number"].size > 0


# --- the clients -----------------------------------------------------------------------------------


def test_toxicity_makes_sixty_in_a_hundred_informed_in_every_segment(base):
    played = Played(desk(), "toxicity", markets=3000)
    for segment, share, accuracy in ((0, 0.0, 0.8), (1, 0.1, 0.9)):
        before = played.requested(last=BEGIN, segment=segment)
        after = played.requested(first=BEGIN, last=STEPS - 3, segment=segment)
        assert before["informed"].mean() == pytest.approx(share, abs=0.01)
        assert after["informed"].mean() == pytest.approx(0.6, abs=0.01)
        knowing = after[after["informed"] == 1]
        step, market = knowing["step"], knowing["market"]
        move = played.exogenous[step + 3, market] - played.exogenous[step, market]
        right = knowing["side"] == np.where(move > 0, ASK, BID)
        assert right.mean() == pytest.approx(accuracy, abs=0.01)
    few, many = base.requested(), Played(desk(), "toxicity").requested()
    assert np.array_equal(few[["market", "step", "number"]], many[["market", "step", "number"]])  # the same clients


def test_drought_leaves_a_fifth_of_the_requests_for_a_third_of_the_episode():
    one, other = Played(desk(), markets=3000), Played(desk(), "drought", markets=3000)
    share = len(other.requested(first=BEGIN, last=2 * BEGIN)) / len(one.requested(first=BEGIN, last=2 * BEGIN))
    assert share == pytest.approx(0.2, abs=0.01)
    assert len(one.requested(first=2 * BEGIN)) == len(other.requested(first=2 * BEGIN))


@pytest.mark.parametrize("arrivals", ["poisson", "bernoulli", "at_most_one"])
def test_one_way_flow_sells_nine_times_in_ten_and_comes_as_often(arrivals):
    segment = {"name": "clients", "sizes": [1, 2], "rates": {"bid": [0.1, 0.1], "ask": [0.3, 0.1]}}
    config = desk(arrivals={"kind": arrivals}, segments=[segment])
    one, other = Played(config, markets=3000), Played(config, "one_way_flow", markets=3000)
    for first, sold, last in ((0, 1 / 3, BEGIN), (BEGIN, 0.9, 2 * BEGIN), (2 * BEGIN, 1 / 3, STEPS)):
        requests = other.requested(first=first, last=last)
        assert (requests["side"] == BID).mean() == pytest.approx(sold, abs=0.01)
        assert len(requests) / len(one.requested(first=first, last=last)) == pytest.approx(1.0, abs=0.02)
        size = requests["size"] == 1
        assert size.mean() == pytest.approx(2 / 3, abs=0.01)


# --- the rivals ------------------------------------------------------------------------------------


def test_rival_undercuts_by_a_tick_down_to_the_mid():
    """Reference markups are 1, the learner quotes 0.5 on one side and 0.02 on the other, the rivals ask for 0.8."""
    segment = {"name": "clients", "rates": [0.5], "choice": {"kind": "best_price", "reservation": {"kind": "none"}}}
    config = desk(segments=[segment], reference=1.0)
    overlay = scenarios.overlay("rival_undercuts", config)
    batch = marketsim.MarketBatch(config, 200, seed=1, record=True)
    batch.reset()
    actions = np.zeros((200, 3, max(batch.action_widths)), np.float32)
    learner = np.empty((200, 2, 1, 1))
    learner[:, BID], learner[:, ASK] = 0.5, 0.02
    rival = np.full((200, 2, 1, 1), 0.8)
    quotes = {0: (learner, np.zeros((200, 1))), 1: (rival, np.ones((200, 1)))}  # rival_1 acts: its action asks for 1.0
    for t in range(STEPS):
        overlay.before(batch, t)
        step = batch.step(actions, overlay.quotes(batch, t, actions, quotes))
        requests = batch.requests
        bid, ask = (requests[requests["side"] == side] for side in (BID, ASK))
        assert len(bid) > 20 and len(ask) > 20
        cannot = step.reasons.any()  # a full dealer does not quote, and another wins
        if t < BEGIN:
            assert cannot or set(requests["winner"]) == {0}
        else:
            won = requests[requests["winner"] > 0]
            assert set(np.round(won["markup"][won["side"] == BID], 9)) == {0.45}
            assert set(won["markup"][won["side"] == ASK]) == {0.0}
            assert cannot or set(requests["winner"]) == {1, 2}
    withdrawn = {0: quotes[0], 1: (np.full((200, 2, 1, 1), np.nan), quotes[1][1])}
    again = overlay.quotes(batch, BEGIN, actions, withdrawn)
    assert np.isnan(again[1][0]).all() and again[1][1] is quotes[1][1]
    assert again[0] is quotes[0]


@pytest.mark.parametrize("name", ["venue_closes", "jump_with_halt"])
def test_a_closed_venue_trades_for_nobody(name, base):
    """Not even for a dealer that its loss limit flattens; the liquidation at the end is not held up."""
    stopped = {"loss": {"hard": 1.0, "on_breach": "flatten"}}
    config = Desk.model_validate(DESK | {"dealers": [dealer | {"limits": stopped} for dealer in DESK["dealers"]]})
    last = 2 * BEGIN if name == "venue_closes" else BEGIN + 9
    first = BEGIN if name == "venue_closes" else BEGIN + 1
    for one, other in ((base, Played(desk(), name)), (Played(config), Played(config, name))):
        assert (np.abs(one.ledger["hedge"]).sum(axis=(1, 2)) > 10).all()
        hedged = np.abs(other.ledger["hedge"]).sum(axis=(1, 2))
        assert (hedged[:first] > 10).all() and not hedged[first:last].any() and (hedged[last:] > 10).all()
    still_open = Played(desk(), "venue_closes", begin=0.8, length=1.0)
    assert not still_open.ledger["hedge"][24:-1].any() and still_open.ledger["hedge"][-1].any()


# --- what dealers see ------------------------------------------------------------------------------

SEEN = {  # name -> what is seen in step t of mids S, by the sentence
    "frozen_feed": lambda S, t, sd: S[BEGIN - 1] if BEGIN <= t < BEGIN + 12 else S[t],
    "fat_finger": lambda S, t, sd: S[t] + (20 * sd if t == BEGIN else 0.0),
    "latency": lambda S, t, sd: S[t - 2] if t >= BEGIN else S[t],
    "latency+drought": lambda S, t, sd: S[t - 2] if t >= BEGIN else S[t],
    "latency+frozen_feed": lambda S, t, sd: S[t] if t < BEGIN else S[BEGIN - 1] if t < BEGIN + 12 else S[t - 2],
}


@pytest.mark.parametrize("name", SEEN)
def test_dealers_see_what_the_feed_shows_and_the_mid_is_what_it_was(name):
    config = desk(venue={})
    one, other = Played(config), Played(config, name)
    assert np.array_equal(one.mid, other.mid)
    sd = marketsim.MarketBatch(config, 1).tables.market["move_sd"][0]
    seen = np.array([SEEN[name](other.mid, t, sd) for t in range(STEPS)])
    column = config.dealers[0].observation.index("mid_move_1")
    shown = np.array(other.observation)[1:, :, 0, column]
    np.testing.assert_allclose(shown, np.diff(seen, axis=0) / sd, atol=1e-5)


def test_dealers_quote_around_what_they_see():
    """A feed 20 sd too high: every bid is that much too dear for its dealer, every ask that much too far away."""
    config = desk(venue={}, segments=[{"rates": [2.0], "choice": {"kind": "best_price"}}])
    sd = marketsim.MarketBatch(config, 1).tables.market["move_sd"][0]
    one, other = Played(config), Played(config, "fat_finger")
    at = {"first": BEGIN, "last": BEGIN + 1}
    before, after = one.requested(**at), other.requested(**at, side=BID)
    assert (after["winner"] >= 0).mean() > 0.9 and (after["markup"][after["winner"] >= 0] < 2 - 20 * sd).all()
    assert (other.requested(**at, side=ASK)["winner"] == -1).all() and (before["winner"] >= 0).any()


# --- together --------------------------------------------------------------------------------------


def test_overlays_compose():
    config = desk(price=PRICES["brownian"], venue={})
    one = Played(config)
    both = Played(config, "volatility_x3+crash_and_rebound+drought")
    moves, calm = np.diff(both.mid, axis=0), np.diff(one.mid, axis=0)
    shock = np.zeros(STEPS)
    shock[BEGIN : BEGIN + 3], shock[BEGIN + 3 : BEGIN + 15] = -4 * 0.5, 0.5
    np.testing.assert_allclose(moves[BEGIN:], 3 * calm[BEGIN:] + shock[BEGIN:, None], atol=1e-9)
    dry = slice(BEGIN, 2 * BEGIN)
    assert len(both.requested(first=dry.start, last=dry.stop)) < 0.3 * len(
        one.requested(first=dry.start, last=dry.stop)
    )
    other = Played(config, "drought+crash_and_rebound+volatility_x3")
    assert differ(both, other) == []


def test_two_that_move_the_mid_add_up():
    config = desk()
    crash, jump = (scenarios.overlay(name, config) for name in ("crash_and_rebound", "jump_with_halt"))
    both = scenarios.compose(crash, jump)
    assert both.shocks[BEGIN] == crash.shocks[BEGIN] + jump.shocks[BEGIN]
    assert both.name == "crash_and_rebound+jump_with_halt" and both.sentence.startswith(crash.sentence)


# --- what is refused -------------------------------------------------------------------------------


def test_an_unknown_name_is_a_sentence_with_a_hint():
    for name in ("vollatility_x3", "drought+vollatility_x3"):
        with pytest.raises(ValueError, match=r"'vollatility_x3', allowed are crash.*did you mean volatility_x3\?"):
            scenarios.overlay(name, desk())


def test_what_does_not_apply_says_so_in_one_line(tmp_path):
    (tmp_path / "mid.csv").write_text("time,price\n" + "".join(f"{k},{100 + k % 3}\n" for k in range(40)))
    replayed = desk(price={"kind": "replay", "file": str(tmp_path / "mid.csv")})
    alone = Desk.model_validate(DESK | {"dealers": DESK["dealers"][:1]})
    for config, name in (
        (desk(price=PRICES["brownian"]), "mean_reversion_breaks"),
        (replayed, "volatility_x3"),
        (alone, "rival_undercuts"),
    ):
        with pytest.raises(scenarios.DoesNotApply, match=f"^{name}: [^\n]+$"):
            scenarios.overlay(name, config)
    assert Played(replayed, "crash_and_rebound").mid.min() < 95


def test_every_overlay_has_a_sentence_and_its_row_in_the_documentation():
    rows = (Path(__file__).parent.parent / "docs" / "stress.md").read_text(encoding="utf-8").splitlines()
    assert len(scenarios.NAMES) == 12
    for name in scenarios.NAMES:
        overlay = scenarios.overlay(name, desk())
        assert overlay.name == name and overlay.sentence.endswith(".")
        defaults = scenarios.parameters(name)
        assert defaults.pop("begin") == pytest.approx(1 / 3)
        (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
        for parameter, value in defaults.items():
            assert f"`{parameter}` {'1/3' if parameter == 'length' else f'{value:g}'}" in row
