"""The compiled step against its slow twin, event by event, over random experiments and random play."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin.step import TwinMarket
from twin.strategies import configs, of_market, random_play

import marketsim
from marketsim.types import LEDGER, OF_A_BOOK, REQUEST, Reason

COUNTS = ("bought", "sold", "hedge", "requested", "won", "asked", "interventions")  # whole numbers
FIGURES = ("markup", "cover")  # of a request; its other fields are events


@settings(max_examples=150, deadline=None)
@given(
    config=configs(),
    seed=st.integers(0, 2**40),
    episode=st.integers(0, 1000),
    first_market=st.integers(0, 10_000),
    play=st.integers(0, 2**32),
    risk=st.lists(st.tuples(st.sampled_from([0.0, 0.7, -1.1]), st.sampled_from([0.0, 0.5, 20.0])), max_size=5),
)
def test_compiled_step_is_its_twin(tmp_path_factory, config, seed, episode, first_market, play, risk):
    """Requests, winners, inventories, counts and reasons are equal; money agrees to 1e-9, what is float32 to 1e-5."""
    written = with_replay_in_a_file(config, tmp_path_factory.getbasetemp())
    check_episode(config, written, range(first_market, first_market + 3), seed, episode, play, risk)


@pytest.mark.parametrize("on_position", ["reject", "clip", "reduce_only", "flatten"])
@pytest.mark.parametrize("on_loss", ["reject", "reduce_only", "flatten"])
def test_every_pair_of_limits_acts_as_in_the_twin(on_loss, on_position):
    """Limits so tight that they act together in most steps, which random experiments seldom do."""
    limits = {
        "loss": {"hard": 1.3, "on_breach": on_loss},
        "position": {"hard": 2, "on_breach": on_position},
        "markup": {"low": 0.0, "high": 1.0},
    }
    action = {"kind": "skew", "half_spread": [0.0, 1.0], "skew_max": 1.0, "hedge": 3}
    market = {"steps": 12, "ruin": 6.0, "segments": [{"name": "clients", "sizes": [1, 2], "rates": [0.4, 0.3]}]}
    config = {"market": market, "dealers": [{"name": "dealer", "count": 3, "action": action, "limits": limits}]}
    check_episode(config, config, range(20), seed=3, episode=4, play=5)


@pytest.mark.parametrize("on_breach", ["reject", "reduce_only", "flatten", "widen", "halt"])
def test_all_limits_together_act_as_in_the_twin(on_breach):
    """Every limit of two dealers so tight that each acts in some step, under a desk and orders from outside."""

    def responding(**levels):
        return {name: level | {"on_breach": on_breach} for name, level in levels.items()}

    held = "clip" if on_breach in ("halt", "widen") else on_breach
    on_quotes = {"on_breach": "reject" if on_breach == "reject" else "clip"}
    venue = {"half_spread": 0.1, "slope": 0.05, "impact": 0.05, "fee": 0.02}
    limits = {
        "markup": {"low": 0.0, "high": 0.9} | on_quotes,
        "size": {"hard": 4},
        "position": {"soft": 2, "hard": 5, "on_breach": held},
        "worst_case": {"hard": 6.5},
        "hedge": {"hard": 2} | on_quotes,
        "slippage": {"hard": 0.24} | on_quotes,
        "widen": 0.5,
        "pace": 2,
    }
    tight = responding(
        loss={"soft": 2.3, "hard": 9.1},
        rolling_loss={"steps": 3, "soft": 1.3, "hard": 4.1},
        drawdown={"soft": 2.1, "hard": 8.3},
        feed={"jump": 2.4, "frozen": 2},
        time_at_limit={"level": 3, "soft": 1, "hard": 2},
    )
    action = {"kind": "skew", "half_spread": [0.0, 1.0], "skew_max": 1.0, "hedge": 5}
    clients = {"name": "clients", "sizes": [1, 2, 5], "rates": [0.5, 0.3, 0.3], "panel": 2}
    config = {
        "market": {"steps": 24, "venue": venue, "segments": [clients]},
        "dealers": [
            {"name": "free", "count": 2, "action": action, "limits": limits},
            {"name": "tight", "action": action, "limits": limits | tight},
        ],
        "desk": {"dealers": ["free", "tight"], "position": {"hard": 7}},
    }
    assert check_episode(config, config, range(20), seed=3, episode=4, play=6) == ~(Reason(0) | OF_A_BOOK)


def check_episode(config, written, markets, seed, episode, play, risk=()):
    """Play an episode in both; ``written`` is the experiment as the engine reads it, ``risk`` the first dealers' (nu,
    kappa). Returns the reasons met."""
    batch = marketsim.MarketBatch(
        marketsim.load_config(written), markets=len(markets), seed=seed, first_market=markets[0], record=True
    )
    twins = [TwinMarket(config, seed, episode, market) for market in markets]
    for i, (nu, kappa) in enumerate(risk[: len(batch.agents)]):
        batch.set_risk(i, nu, kappa)
        for twin in twins:
            twin.dealers[i].nu, twin.dealers[i].kappa = nu, kappa
    check_observation(batch.reset(episode=episode), [twin.observe() for twin in twins])
    check_state(batch.state, twins)

    met = Reason(0)
    for actions, quotes, governing in random_play(config, len(markets), play):
        governing.of_batch(batch)
        for m, twin in enumerate(twins):
            governing.of_market(m, twin)
        step = batch.step(actions, quotes=quotes)
        done = [twin.step(of_market(m, actions, quotes)) for m, twin in enumerate(twins)]
        check_requests(batch.requests, [request for market in done for request in market.requests])
        check_ledger(step.ledger, [market.ledger for market in done])
        check_state(batch.state, twins)
        np.testing.assert_array_equal(step.reasons, [market.reasons for market in done], err_msg="reasons")
        np.testing.assert_array_equal(step.warnings, [market.warnings for market in done], err_msg="warnings")
        np.testing.assert_array_equal(step.terminated, [market.terminated for market in done], err_msg="terminated")
        np.testing.assert_array_equal(step.truncated, twins[0].t == twins[0].steps, err_msg="truncated")
        close(step.reward, [market.reward for market in done], 1e-5, "reward")
        check_observation(step.observation, [market.observation for market in done])
        met |= Reason(int(np.bitwise_or.reduce(step.reasons, axis=None)))
    return met


def with_replay_in_a_file(config, folder):
    """The experiment as the engine reads it: a replayed path stands in a file of its own."""
    price = config["market"]["price"]
    if price["kind"] != "replay":
        return config
    rows = [f"{k * config['market']['dt']},{mid}" for k, mid in enumerate(price["path"])]
    file = folder / "replay.csv"
    file.write_text("\n".join(["time,price", *rows]) + "\n")
    price = {key: value for key, value in price.items() if key != "path"} | {"file": str(file)}
    return config | {"market": config["market"] | {"price": price}}


def close(compiled, twin, tolerance, what):
    """Relative to the size of the figure, or to 1 where it is smaller."""
    np.testing.assert_allclose(compiled, twin, rtol=tolerance, atol=tolerance, err_msg=what)


def check_observation(compiled, twins):
    assert compiled.dtype == np.float32
    for m, market in enumerate(twins):
        for i, seen in enumerate(market):
            close(compiled[m, i, : len(seen)], seen, 1e-5, f"observation of dealer {i} in market {m}")


def check_state(state, twins):
    close(np.asarray(state["mid"])[:, 0], [twin.mid for twin in twins], 1e-9, "mid")
    close(state["cash"], [twin.cash for twin in twins], 1e-9, "cash")
    inventory = np.asarray(state["inventory"])[:, :, 0]
    np.testing.assert_array_equal(inventory, [twin.inventory for twin in twins], err_msg="inventory")


def check_ledger(compiled, twins):
    for term in LEDGER:
        twin = [[ledger[term] for ledger in market] for market in twins]
        if term in COUNTS:
            np.testing.assert_array_equal(compiled[term], twin, err_msg=term)
        else:
            close(compiled[term], twin, 1e-9, term)


def check_requests(compiled, twins):
    for name in REQUEST.names:
        twin = [request[name] for request in twins]
        if name in FIGURES:
            close(compiled[name], twin, 1e-9, name)
        else:
            np.testing.assert_array_equal(compiled[name], twin, err_msg=f"{name} of the requests")
