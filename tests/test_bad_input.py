"""Every kind of bad input: one line that says where and what, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_fixture import call

GOOD = """\
name: desk
seed: 7
market:
  steps: 96
  price: {kind: brownian, volatility: 1.0}
  venue: {half_spread: 0.15}
  arrivals: at_most_one
  segments:
    - name: corporate
      sizes: [1, 2]
      rates: [0.20, 0.10]
      choice: {kind: logit, intercept: [-1.0, -0.5], sensitivity: 4.0}
dealers:
  - name: learner
    policy: {kind: ppo, hidden: [64, 64]}
    action: {kind: ladder, markup: [0, 2], hedge: fraction}
    reward: [pnl, {kind: inventory_penalty, weight: 0.01}]
    limits: {position: {soft: 15, hard: 20}}
  - name: rival
    count: 3
    policy: avellaneda_stoikov
train: {steps: 1e5}
"""

# what is replaced in the good file, by what, and the line that says so (its end may be left out)
CASES = {
    "unknown key": ("steps: 96", "sptes: 96", "4: market.sptes: unknown key, allowed are kind, steps, dt, "),
    "it names the nearest": ("half_spread: 0", "halfspread: 0", "6: market.venue.halfspread: unknown key, allowed are kind, half_spread, slope, impact, fee (did you mean half_spread?)"),
    "unknown key at the top": ("train:", "trian:", "22: trian: unknown key, allowed are name, seed, units, market, dealers, desk, description, train, evaluate, escalation, true_objective, designs, sweep (did you mean train?)"),
    "key of a dealer": ("reward: [pnl", "rewards: [pnl", "17: dealers.learner.rewards: unknown key, "),
    "key of a policy": ("hidden: [64", "hiden: [64", "15: dealers.learner.policy.hiden: unknown key, "),
    "unknown kind": ("kind: brownian", "kind: brwnian", "5: market.price.kind: got 'brwnian', it must be one of brownian, gbm, ou, regime, replay, book (did you mean brownian?)"),
    "unknown kind, short": ("at_most_one", "at_most_two", "7: market.arrivals: got 'at_most_two', it must be one of at_most_one, bernoulli, poisson (did you mean at_most_one?)"),
    "unknown policy": ("policy: avellaneda_stoikov", "policy: avelaneda", "21: dealers.rival.policy: got 'avelaneda', it must be one of fixed, "),
    "unknown reward": ("kind: inventory_penalty", "kind: penalty", "17: dealers.learner.reward.penalty.kind: got 'penalty', it must be one of pnl, "),
    "missing kind": ("{kind: ppo, hidden", "{hidden", "15: dealers.learner.policy.kind: is missing, it must be given"),
    "missing key": ("      rates: [0.20, 0.10]\n", "", "9: market.segments.corporate.rates: is missing, it must be given"),
    "missing market": (GOOD[GOOD.index("market:") : GOOD.index("dealers:")], "", "1: market: is missing, it must be given"),
    "text for a number": ("steps: 96", "steps: many", "4: market.steps: got 'many', it must be a whole number"),
    "number for text": ("name: desk", "name: 3", "1: name: got 3, it must be text"),
    "fraction for a count": ("steps: 96", "steps: 9.5", "4: market.steps: got 9.5, it must be a whole number"),
    "boolean for a number": ("volatility: 1.0", "volatility: true", "5: market.price.volatility: got true, it must be a number"),
    "quoted number": ("steps: 96", "steps: '96'", "4: market.steps: got '96', it must be a whole number"),
    "nothing for a number": ("steps: 96", "steps:", "4: market.steps: got nothing, it must be a whole number"),
    "number or list": ("sensitivity: 4.0", "sensitivity: steep", "12: market.segments.corporate.choice.sensitivity: got 'steep', it must be a number or a list"),
    "in a list": ("intercept: [-1.0", "intercept: [low", "12: market.segments.corporate.choice.intercept.0: got 'low', it must be a number"),
    "nan": ("volatility: 1.0", "volatility: .nan", "5: market.price.volatility: got .nan, numbers must be finite"),
    "nan in words": ("volatility: 1.0", "volatility: nan", "5: market.price.volatility: got 'nan', it must be a number"),
    "inf": ("volatility: 1.0", "volatility: -.inf", "5: market.price.volatility: got -.inf, numbers must be finite"),
    "too large to be finite": ("volatility: 1.0", "volatility: 1e999", "5: market.price.volatility: got 1e999, numbers must be finite"),
    "negative rate": ("rates: [0.20", "rates: [-0.20", "11: market.segments.corporate.rates.0: got -0.2, it must be at least 0"),
    "negative volatility": ("volatility: 1.0", "volatility: -1", "5: market.price.volatility: got -1, it must be at least 0"),
    "probabilities above 1": ("rates: [0.20", "rates: [0.50", "3: market: at_most_one: the rates are probabilities and sum to 1.2 over all cells, above 1"),
    "one probability above 1": ("choice: {kind", "informed: {share: 1.5}\n      choice: {kind", "12: market.segments.corporate.informed.share: got 1.5, it must be at most 1"),
    "transition row": ("kind: brownian, volatility: 1.0", "kind: regime, transition: [[0.5]], drift: [0], volatility: [1]", "5: market.price: row 0 of transition sums to 0.5, it must sum to 1"),
    "lengths differ": ("rates: [0.20, 0.10]", "rates: [0.2]", "9: market.segments.corporate: 1 bid rates for 2 sizes"),
    "duplicate key": ("  steps: 96", "  steps: 96\n  steps: 97", "5: market.steps: the key is given twice, first on line 4"),
    "absurd size": ("count: 3", "count: 3000", "20: dealers.rival.count: got 3000, it must be at most 256"),
    "absurd network": ("hidden: [64", "hidden: [1000000", "15: dealers.learner.policy.hidden.0: got 1000000, it must be at most 4096"),
    "absurd number": ("seed: 7", "seed: 7" + 50 * "0", "2: seed: got 7000000000000000000000000000000000000000, whole numbers above 2^64 are not allowed"),
    "soft limit above hard": ("soft: 15", "soft: 25", "18: dealers.learner.limits.position: the soft level 25 is above the hard level 20"),
    "thousands": ("steps: 1e5", "steps: 100,000", "22: train.000: unknown key, allowed are steps, markets, seeds, device, checkpoint_every (1,000 is written 1000 or 1_000)"),
    "thousands in block": ("  steps: 96", "  steps: 1,000", "4: market.steps: got '1,000', it must be a whole number (1,000 is written 1000 or 1_000)"),
    "thousands in a list": ("sizes: [1, 2]", "sizes: [1,000]", "10: market.segments.corporate.sizes.1: got '000', it must be a whole number (1,000 is written 1000 or 1_000)"),
    "tab": ("  steps: 96", "\tsteps: 96", "4: a tab in the indentation, YAML allows only spaces"),
    "alias without anchor": ("seed: 7", "seed: *s", "2: seed: the alias *s has no finished anchor above it"),
    "python tag": ("name: desk", "name: !!python/object/apply:os.system [ls]", "1: name: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed, plain YAML is"),
    "merge key": ("seed: 7", "<<: {seed: 7}", "2: merge keys (<<) are not allowed, write the keys out"),
    "list for a map": ("price: {kind: brownian, volatility: 1.0}", "price: [brownian]", "5: market.price: got a list, it must be a map"),
    "map for a list": ("rates: [0.20, 0.10]", "rates: {corporate: 0.2}", "11: market.segments.corporate.rates.corporate: unknown key, allowed are bid, ask"),
    "number for a map": ("venue: {half_spread: 0.15}", "venue: 3", "6: market.venue: got 3, it must be a map"),
    "pair of three": ("markup: [0, 2]", "markup: [0, 1, 2]", "16: dealers.learner.action.markup: got a list, it must be a list of 2"),
    "range backwards": ("markup: [0, 2]", "markup: [2, 0]", "16: dealers.learner.action.markup: the range [2, 0] runs backwards"),
    "union of word and number": ("hedge: fraction", "hedge: half", "16: dealers.learner.action.hedge: got 'half', it must be fraction or a number"),
    "union below its bound": ("hedge: fraction", "hedge: -1", "16: dealers.learner.action.hedge: got -1, it must be fraction or at least 0"),
    "name with a path": ("name: desk", "name: ../desk", "1: name: got '../desk', it must be up to 64 letters, digits and _ . - and begin with a letter or digit"),
    "two dealers of one name": ("name: rival", "name: learner", "13: dealers: two are named 'learner'"),
    "agents of one name": ("name: learner", "name: rival_1", "13: dealers: two are named 'rival_1'"),
    "panel": ("choice: {kind", "panel: 9\n      choice: {kind", "9: market.segments.corporate: a panel of 9 among 4 dealers"),
    "no file": ("kind: brownian, volatility: 1.0", "kind: replay, file: none.csv", "5: market.price.file: there is no file 'none.csv' in "),
    "design of the market": ("train:", "designs: {calm: {market.steps: 3}}\ntrain:", "22: designs.calm.market.steps: a design may change dealers, train and escalation, all else is shared by all"),
    "design of nobody": ("train:", "designs:\n  calm: {dealers.lerner.reward: [pnl]}\ntrain:", "23: dealers.lerner.reward: dealers has no lerner, allowed are learner, rival (did you mean learner?)"),
    "design with a typo": ("train:", "designs:\n  calm: {dealers.learner.polcy: ppo}\ntrain:", "23: dealers.learner.polcy: unknown key, "),
    "design named base": ("train:", "designs: {base: {train.steps: 3}}\ntrain:", "22: designs.base: this name is kept for the file without changes"),
    "empty sweep": ("train:", "sweep: {train.steps: []}\ntrain:", "22: sweep.train.steps: the list is empty, at least one value is needed"),
    "not a path": ("train:", "sweep: {train..steps: [1]}\ntrain:", "22: 'train..steps' is not a path, it must look like dealers.learner.policy.hidden"),
    "second document": ("train:", "---\ntrain:", "22: a second document begins here, only one is allowed"),
    "unclosed": ("[64, 64]", "[64, 64", "15: is not YAML: "),
    "key that is no word": ("seed: 7", "[a]: 7", "2: a key must be a word"),
}  # fmt: skip


def refusal(monkeypatch, capsys, *words: str) -> str:
    """What the command line says about them; it must be one line, on stderr, with exit code 2."""
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n") and err.count("\n") == 1, err
    return err[:-1]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_file_is_refused_in_one_line(case, folder, monkeypatch, capsys):
    old, new, expected = CASES[case]
    assert GOOD.count(old) >= 1
    Path("desk.yaml").write_text(GOOD.replace(old, new, 1))
    line = refusal(monkeypatch, capsys, "run", "desk.yaml")
    assert line.startswith(f"desk.yaml:{expected}")
    assert [path.name for path in folder.iterdir()] == ["desk.yaml"]


def test_the_good_file_is_good(folder):
    from experiments.config import load

    Path("desk.yaml").write_text(GOOD)
    experiment = load("desk.yaml")
    assert experiment.base.agents == ("learner", "rival_0", "rival_1", "rival_2")
    assert experiment.base.train.steps == 100_000


CONTENTS = {
    "empty": (b"", "desk.yaml:1: is empty, it must be a map of keys such as market and dealers"),
    "only a comment": (b"# nothing\n", "desk.yaml:1: is empty, "),
    "a list": (
        b"- market\n",
        "desk.yaml:1: got a list at the top, it must be a map of keys such as market and dealers",
    ),
    "a word": (b"market\n", "desk.yaml:1: got 'market' at the top, it must be a map"),
    "binary": (bytes(range(256)), "desk.yaml: is a binary file, it must be YAML text"),
    "control characters": (b"name: a\x01b\n", "desk.yaml: is not YAML: it holds characters that text does not"),
    "latin 1": ("name: desk\n# für\n".encode("latin-1"), "desk.yaml:2: is not UTF-8 text (byte 0xfc)"),
    "huge": (b"# " + b"x" * 300_000, "desk.yaml: is larger than 256 KiB, the most that is allowed"),
    "deep": (b"a: " + b"[" * 100_000, "desk.yaml:1: nested deeper than 32 levels, the most that is allowed"),
    "alias bomb": (
        b"a0: &a0 [1, 1]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 60)),
        "desk.yaml:1: more than 20000 values, aliases written out; no more are allowed",
    ),
    "alias of itself": (b"a: &a [*a]\n", "desk.yaml:1: a.0: the alias *a has no finished anchor above it"),
    "many values": (b"a: [" + b"1," * 30_000 + b"]", "desk.yaml:1: more than 20000 values"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_content_is_refused_in_one_line(case, folder, monkeypatch, capsys):
    content, expected = CONTENTS[case]
    Path("desk.yaml").write_bytes(content)
    assert refusal(monkeypatch, capsys, "run", "desk.yaml").startswith(expected)
    assert [path.name for path in folder.iterdir()] == ["desk.yaml"]


WORDS = {
    "missing file": (["run", "none.yaml"], "none.yaml: there is no such file"),
    "a folder": (["run", "."], ".: is not a file"),
    "gallery": (["run", "quikstart"], "quikstart: no file and nothing in the gallery has this name, allowed are "),
    "set a typo": (["run", "desk.yaml", "--set", "dealers.learner.polcy=ppo"], "--set: dealers.learner.polcy: unknown key, "),
    "set nobody": (["run", "desk.yaml", "--set", "dealers.lerner.policy=ppo"], "--set: dealers.lerner.policy: dealers has no lerner, allowed are learner, rival (did you mean learner?)"),
    "set nothing": (["run", "desk.yaml", "--set", "train.steps"], "--set: got 'train.steps', it must be path=value"),
    "set into a number": (["run", "desk.yaml", "--set", "train.steps.a=3"], "--set: train.steps.a: train.steps is 100000, it has no a"),
    "set a bad value": (["run", "desk.yaml", "--set", "train.steps=[1"], "--set train.steps:1: is not YAML: "),
    "negative seed": (["run", "desk.yaml", "--seed", "-1"], "--seed: seed: got -1, it must be at least 0"),
    "unknown verb": (["rnu", "desk.yaml"], "No such command 'rnu'"),
    "unknown option": (["run", "desk.yaml", "--sed", "1"], "No such option: --sed"),
    "no file named": (["run"], "Missing argument 'FILE'"),
    "validate": (["validate", "desk.yaml", "--set", "market.steps=0"], "--set: market.steps: got 0, it must be at least 1"),
    "new over a file": (["new", "desk.yaml"], "desk.yaml: exists already, it is not overwritten"),
    "new with a bad name": (["new", "my desk.yaml"], "my desk.yaml: 'my desk' cannot name a run, "),
    "report of no run": (["report", "."], ".: is not the folder of a run"),
    "policy map of no run": (["policy-map", ".", "learner"], ".: is not the folder of a run"),
}  # fmt: skip


@pytest.mark.parametrize("case", WORDS)
def test_command_is_refused_in_one_line(case, folder, monkeypatch, capsys):
    words, expected = WORDS[case]
    Path("desk.yaml").write_text(GOOD)
    assert refusal(monkeypatch, capsys, *words).startswith(expected)
    assert [path.name for path in folder.iterdir()] == ["desk.yaml"]
    assert Path("desk.yaml").read_text() == GOOD


def test_a_folder_that_is_not_a_run_is_left_alone(folder, monkeypatch, capsys):
    from experiments import config, store

    Path("desk.yaml").write_text(GOOD)
    path = store.run_folder(config.load("desk.yaml"), Path("runs"))
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("precious")
    assert "is in the way and is not the folder of a run" in refusal(monkeypatch, capsys, "run", "desk.yaml")
    assert [p.name for p in path.iterdir()] == ["thesis.txt"]
