"""The order book in an experiment file: what is refused, in one line; what is the default; scenarios; PettingZoo."""

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

import marketsim
from marketsim import observe, scenarios
from marketsim.document import InputError

ALONE = """\
name: quoting
market:
  kind: book
  steps: 12
  inventory_limit: 8
  book: {tick: 0.5, levels: 64, orders: 64, opening: {levels: 5, lots: 3}}
  traders: [{kind: zero_intelligence, limit_rate: 0.1, market_rate: 1, cancel_rate: 0.2, band: 5}, {kind: informed, rate: 1}]
dealers:
  - name: maker
  - name: rival
    count: 2
    action: {kind: offsets, offset: [0, 4], size: [1, 3], hedge: fraction}
    limits: {order_rate: {hard: 4}}
"""
HYBRID = """\
market:
  steps: 12
  price: {kind: book, value: {kind: ou, reversion: 0.2}}
  venue: book
  segments: [{name: clients, sizes: [1, 2], rates: [0.5, 0.3]}]
  book: {tick: 0.5, levels: 64, orders: 64, opening: {levels: 5, lots: 3}}
  traders: [{kind: value, rate: 2}]
dealers:
  - {name: server, action: {kind: ladder, hedge: 2}, policy: {kind: ppo}}
  - {name: quoter, action: offsets}
"""
NO_BOOK = ("price: {kind: book, value: {kind: ou, reversion: 0.2}}", "price: {kind: ou}")

# the file, what is replaced in it, and the line that says so (its end may be left out)
REFUSED = {
    "clients where the book is alone": (ALONE, [("  steps: 12", "  segments: [{rates: [1]}]\n  steps: 12")], "3: market.kind: book has no segments: nobody requests quotes"),
    "another price": (ALONE, [("  steps: 12", "  price: brownian\n  steps: 12")], "3: market.kind: book: price and venue are the book's, too"),
    "another venue": (ALONE, [("  steps: 12", "  venue: {half_spread: 0.1}\n  steps: 12")], "3: market.kind: book: price and venue are the book's, too"),
    "a ladder in the book": (ALONE, [("  - name: maker", "  - name: maker\n    action: ladder")], "10: dealers.maker.action: kind: book is quoted by offsets, not ladder"),
    "a venue without a book": (HYBRID, [NO_BOOK], "4: market.venue: book needs price: book"),
    "traders without a book": (HYBRID, [NO_BOOK, ("  venue: book\n", "")], "1: market: book and traders need price: book"),
    "informed clients": (HYBRID, [("rates: [0.5, 0.3]", "rates: [0.5, 0.3], informed: {share: 0.5}")], "1: market: informed clients know the coming price, which nobody does with price: book"),
    "impact": (HYBRID, [("venue: book", "venue: {impact: 0.1}")], "4: market.venue.impact: with price: book the mid is the book's"),
    "clients missing": (HYBRID, [("  segments: [{name: clients, sizes: [1, 2], rates: [0.5, 0.3]}]\n", "")], "1: market: segments: at least one is needed"),
    "a mixed desk": (HYBRID, [("dealers:", "desk: {position: {hard: 5}}\ndealers:")], "1: desk.dealers: who quotes in the book and who serves clients share no position limit"),
    "half a lot": (ALONE, [("size: [1, 3]", "size: [0.5, 3]")], "12: dealers.rival.action.size: whole lots are needed, the smallest at least 0 and the largest at least 1, not (0.5, 3.0)"),
    "no lots at all": (ALONE, [("size: [1, 3]", "size: [0, 0]")], "12: dealers.rival.action.size: whole lots are needed"),
    "sizes the wrong way round": (ALONE, [("size: [1, 3]", "size: [3, 1]")], "12: dealers.rival.action.size: the range [3, 1] runs backwards"),
    "later than a step": (ALONE, [("hedge: fraction}", "hedge: fraction, latency: 1.0}")], "12: dealers.rival.action.latency: 1 must be below market.dt 1"),
    "no tick": (ALONE, [("tick: 0.5", "tick: 0")], "6: market.book.tick: "),
    "an opening that does not fit": (ALONE, [("levels: 5, lots", "levels: 40, lots")], "6: market.book: opening.levels 40 on either side do not fit into 64 levels"),
    "an unknown trader": (ALONE, [("kind: zero_intelligence", "kind: zero_inteligence")], "7: market.traders"),
    "an unknown prevention": (ALONE, [("{tick: 0.5", "{self_trade: cancel, tick: 0.5")], "6: market.book.self_trade: "),
    "a rate of no orders": (ALONE, [("order_rate: {hard: 4}", "order_rate: {hard: 0}")], "13: dealers.rival.limits.order_rate.hard: "),
}  # fmt: skip


def replaced(text, changes):
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_book_cannot_be_is_refused_in_one_line(tmp_path, case):
    text, changes, said = REFUSED[case]
    file = tmp_path / "experiment.yaml"
    file.write_text(replaced(text, changes))
    with pytest.raises(InputError) as refused:
        marketsim.load_config(file)
    assert str(refused.value).startswith(f"{file}:{said}") and "\n" not in str(refused.value)


def config_of(tmp_path, text):
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    return marketsim.load_config(file)


def test_offsets_without_a_book_are_refused():
    dealers = [{"name": "quoter", "action": "offsets"}]
    with pytest.raises(InputError, match=r"dealers.quoter.action: offsets are quoted in a book, price: book is needed"):
        marketsim.load_config({"market": {"segments": [{"rates": [1]}]}, "dealers": dealers})


def test_a_book_alone_gives_its_price_its_venue_offsets_and_what_there_is_to_see(tmp_path):
    config = config_of(tmp_path, ALONE)
    assert (config.market.price.kind, config.market.venue.kind) == ("book", "book")
    everything = observe.DEFAULT + observe.OF_THE_BOOK
    assert [dealer.action.kind for dealer in config.dealers] == ["offsets", "offsets"]
    assert [dealer.observation for dealer in config.dealers] == [everything, everything]
    batch = marketsim.MarketBatch(config, 1)
    components = ("bid_offset", "ask_offset", "bid_size", "ask_size", "keep", "hedge")
    assert batch.action_names == dict.fromkeys(["maker", "rival_0", "rival_1"], components)
    assert np.all(batch.tables.cells["reference"] == 0.5)  # a tick, where no fill_decay is given


def test_in_a_hybrid_who_quotes_in_the_book_sees_it_and_who_serves_clients_does_not(tmp_path):
    server, quoter = config_of(tmp_path, HYBRID).dealers
    assert server.observation == observe.DEFAULT and quoter.observation == observe.DEFAULT + observe.OF_THE_BOOK
    given = HYBRID.replace("action: offsets", "action: offsets, observation: [spread]")
    assert config_of(tmp_path, given).dealers[1].observation == ("spread",)


@pytest.mark.parametrize("text", [ALONE, HYBRID])
def test_conformance(tmp_path, text):
    config = config_of(tmp_path, text)
    parallel_api_test(marketsim.parallel_env(config), num_cycles=60)
    parallel_seed_test(lambda: marketsim.parallel_env(config))


# --- scenarios -------------------------------------------------------------------------------------

OF_THE_VALUE = {"crash_and_rebound", "volatility_x3", "jump_with_halt"}  # ... which some trader must know of
APPLY_ALONE = OF_THE_VALUE | {"rival_undercuts", "venue_closes", "frozen_feed", "fat_finger", "latency"}
NOT_IN_A_BOOK = {"toxicity"}


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_a_scenario_changes_a_book_alone_or_says_why_it_cannot(tmp_path, name):
    check_scenario(config_of(tmp_path, ALONE.replace("steps: 12", "steps: 30")), name, name in APPLY_ALONE)


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_a_scenario_changes_a_hybrid_or_says_why_it_cannot(tmp_path, name):
    check_scenario(config_of(tmp_path, HYBRID.replace("steps: 12", "steps: 30")), name, name not in NOT_IN_A_BOOK)


@pytest.mark.parametrize("name", sorted(OF_THE_VALUE))
def test_a_mid_that_follows_no_value_cannot_be_moved_through_it(tmp_path, name):
    config = config_of(tmp_path, ALONE.replace("kind: informed", "kind: momentum"))
    check_scenario(config, name, applies=False)
    with pytest.raises(scenarios.DoesNotApply, match=f"^{name}: no trader knows of the value"):
        scenarios.overlay(f"frozen_feed+{name}", config)


def check_scenario(config, name, applies):
    if not applies:
        with pytest.raises(scenarios.DoesNotApply, match=f"^{name}: [^\n]+$"):
            scenarios.overlay(name, config)
        return
    overlay = scenarios.overlay(name, config)
    assert not np.array_equal(played(config, overlay), played(config, scenarios.Overlay("none", "")))


def played(config, overlay):
    """What the dealers of an episode see and earn."""
    batch, rng, out = marketsim.MarketBatch(config, 4, seed=1), np.random.default_rng(2), []
    batch.reset()
    for t in range(batch.steps):
        overlay.before(batch, t)
        actions = rng.uniform(-1, 1, (4, len(batch.agents), max(batch.action_widths))).astype(np.float32)
        step = batch.step(actions, overlay.quotes(batch, t, actions, {}))
        out.append(np.concatenate([step.observation.ravel(), step.reward.ravel()]))
    return np.array(out)
