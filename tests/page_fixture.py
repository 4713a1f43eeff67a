"""A run folder as ``docs/run-folder.md`` describes it, made without the engine: plausible and always the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import guarded_fixture
import numpy as np
import pandas as pd

SIZES = (1, 2)
CHANGES = ("{{dealers.{}.limits: {{}}}}", "{{escalation: null}}")  # of a design that is not the first
UNITS = {"time": "15min", "price": "bp", "lot": "1M EUR"}
YAML = """\
name: {name}
seed: 7
units: {{time: 15min, price: bp, lot: 1M EUR}}
market:
  steps: {steps}
  inventory_limit: 12
  price: {{kind: brownian, mid: 100.0, volatility: 1.0}}
dealers:
{dealers}
designs:
{designs}
"""


def make_run(
    folder: Path,
    *,
    name: str = "quickstart",
    designs: Sequence[str] = ("base",),
    seeds: Sequence[int] = (7,),
    dealers: Sequence[str] = ("learner", "rival_0", "rival_1", "rival_2", "fixed"),
    learners: Sequence[str] = ("learner",),
    episodes: int = 2000,
    steps: int = 96,
    exact: bool = True,
    trades: bool = True,
    without: Sequence[str] = (),
    governed: Sequence[str] = (),
    constrained: bool = False,
) -> Path:
    """Write a run folder. ``trades=False``: nobody ever wins a request. ``without``: tables to leave out. ``governed``:
    designs whose first learner is watched; ``constrained``: the learners have a limit on their tail, and are tried.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary: dict = {
        "name": name, "units": UNITS, "dealers": list(dealers), "learners": list(learners), "episodes": episodes,
        "seeds": len(seeds), "steps": steps, "designs": {}, "comparisons": [],
    }  # fmt: skip
    for i, design in enumerate(designs):
        entries = []
        for seed in seeds:
            path = folder / design / str(seed)
            path.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([i, seed])
            paths = {d: _play(rng, k, i, d in learners, episodes, steps, trades) for k, d in enumerate(dealers)}
            tables = _tables(rng, paths, learners, steps, exact, 0.3 * i)
            for table, rows in tables.items():
                if table not in without:
                    rows.to_parquet(path / f"{table}.parquet")
            entries.append(tables["episodes"])
            if design in governed:
                guarded_fixture.govern(path, learners[0], steps)
            if constrained:
                guarded_fixture.accept(path, learners, accepted=seed == seeds[0])
        pooled = pd.concat(entries, ignore_index=True)
        summary["designs"][design] = _design(pooled, dealers, learners, seeds, exact)
    first = summary["designs"][designs[0]]["dealers"]
    for design in designs[1:]:
        for figure in ("pnl", "cvar_95", "max_inventory"):
            a, b = (entry[learners[0]][figure] for entry in (summary["designs"][design]["dealers"], first))
            value, half = a["value"] - b["value"], (a["high"] - a["low"]) / 1.5
            low, high = value - half, value + half
            good = (value > 0) == (figure == "pnl")
            verdict = "cannot tell" if low < 0 < high else "better" if good else "worse"
            summary["comparisons"].append(
                {"design": design, "against": designs[0], "dealer": learners[0], "figure": figure,
                 "value": value, "low": low, "high": high, "verdict": verdict}
            )  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    manifest = {
        "name": name, "digest": "9f2c4e71" * 8, "market_digest": "51d0aa37" * 8, "config_digest": "c0ffee00" * 8,
        "versions": {"marketsim": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"}, "git": "4be1f0c", "cpu": "two cores",
        "threads": 1, "seeds": list(seeds), "inputs": {}, "designs": list(designs), "complete": True,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    blocks = "\n".join(
        f"  - name: {d!r}\n    action: {{kind: ladder, markup: [-0.2, 1.2]}}\n"
        "    policy: {kind: " + ("ppo" if d in learners else "avellaneda_stoikov") + "}\n"
        "    limits: {position: {soft: 9, hard: 12}}"
        + ("\n    objective: {kind: cvar_constrained, level: 0.95, limit: 25.0}" if constrained and d in learners else "")
        for d in dealers
    )  # fmt: skip
    changes = "\n".join(f"  {d!r}: {CHANGES[bool(governed)].format(dealers[0])}" for d in designs[1:])
    text = YAML.format(name=name, steps=steps, dealers=blocks, designs=changes)
    (folder / "experiment.yaml").write_text(text + (guarded_fixture.YAML if governed else ""))
    return folder


def _play(rng, k: int, design: int, learns: bool, episodes: int, steps: int, trades: bool) -> dict[str, np.ndarray]:
    """One dealer's episodes: it skews its quotes against its inventory, the better the more it learned."""
    half, skew = (0.46, 0.065 / (1 + design)) if learns else (0.40 + 0.07 * k, 0.028 + 0.004 * k)
    q = np.zeros((episodes, steps + 1))
    bid, ask = np.full((2, episodes, steps + 1), np.nan)
    spread, inventory, hedging, bought, sold, asked = np.zeros((6, episodes, steps))
    moves = rng.normal(size=(episodes, steps))
    for t in range(steps):
        bid[:, t], ask[:, t] = (np.clip(half + s * skew * q[:, t], -0.2, 1.2) for s in (1, -1))
        size = rng.choice(SIZES, size=(2, episodes), p=(0.75, 0.25))
        asked[:, t] = rng.random(episodes) < 0.7
        side = rng.integers(2, size=episodes)
        for s, quote in enumerate((bid[:, t], ask[:, t])):
            wins = (
                (side == s) & (asked[:, t] > 0) & (rng.random(episodes) < 0.8 * np.exp(-2.2 * np.maximum(quote, -0.1)))
            )
            lots = size[s] * (wins & trades) * (np.abs(q[:, t] + (1 - 2 * s) * size[s]) <= 12)
            spread[:, t] += lots * quote
            q[:, t + 1] += (1 - 2 * s) * lots
            (bought, sold)[s][:, t] = lots
        q[:, t + 1] += q[:, t]
        inventory[:, t] = q[:, t + 1] * moves[:, t] - 0.09 * (bought[:, t] + sold[:, t])  # informed clients
        hedging[:, t] = 0.004 * np.abs(q[:, t + 1])
    return {
        "q": q, "bid": bid, "ask": ask, "spread": spread, "inventory": inventory, "hedge_cost": hedging,
        "fees": 0.1 * hedging, "bought": bought, "sold": sold, "asked": asked, "mid": 100 + moves.cumsum(1),
    }  # fmt: skip


def _tables(rng, paths, learners, steps: int, exact: bool, worse: float) -> dict[str, pd.DataFrame]:
    rows: dict[str, list[pd.DataFrame]] = {
        k: [] for k in ("episodes", "quantiles", "steps", "quotes", "training", "benchmarks", "interventions")
    }
    for dealer, path in paths.items():
        n = len(path["q"])
        terms = {
            term: path[term].sum(1) for term in ("spread", "inventory", "hedge_cost", "fees", "bought", "sold", "asked")
        }
        pnl_steps = path["spread"] + path["inventory"] - path["hedge_cost"] - path["fees"]
        pnl = np.concatenate([np.zeros((n, 1)), pnl_steps.cumsum(1)], axis=1)
        lots = terms["bought"] + terms["sold"]
        drawdown = (np.maximum.accumulate(pnl, axis=1) - pnl).max(1)
        episode = pd.DataFrame(
            {"episode": np.arange(n), "market": np.arange(n), "dealer": dealer, **terms, "pnl": pnl[:, -1],
             "reward": pnl[:, -1] - 0.01 * (path["q"] ** 2).sum(1), "hedge": 0.0, "requested": terms["asked"] * 1.25,
             "won": (path["bought"] > 0).sum(1) + (path["sold"] > 0).sum(1), "interventions": rng.poisson(0.2, n),
             "drawdown": drawdown, "max_inventory": np.abs(path["q"]).max(1), "final_inventory": path["q"][:, -1],
             "worst_loss": -pnl.min(1), "terminated": False, "markout_1": -0.02 * lots + rng.normal(0, 1, n),
             "markout_5": -0.07 * lots + rng.normal(0, 2, n), "markout_20": -0.09 * lots + rng.normal(0, 4, n)}
        )  # fmt: skip
        rows["episodes"].append(episode)
        fan = {"step": np.arange(steps + 1), "dealer": dealer}
        for name, values in (("pnl", pnl), ("inventory", path["q"])):
            fan[f"{name}_mean"] = values.mean(0)
            for level in (5, 25, 50, 75, 95):
                fan[f"{name}_{level:02d}"] = np.percentile(values, level, axis=0)
        rows["quantiles"].append(pd.DataFrame(fan))
        for m in range(min(3, n)):
            rows["steps"].append(
                pd.DataFrame({"episode": m, "market": m, "step": np.arange(steps + 1), "dealer": dealer, "hedge": 0.0,
                              "mid": 100.0, "inventory": path["q"][m], "pnl": pnl[m], "bid": path["bid"][m],
                              "ask": path["ask"][m], "interventions": 0})
            )  # fmt: skip
        rows["benchmarks"].append(
            pd.DataFrame([{"dealer": dealer, "value": 41.0 - worse, "optimal": 43.4, "ceiling": 42.9,
                           "percent": 100 * (41.0 - worse) / 43.4, "gap": 2.4, "exact": True, "reason": ""}
                          if exact and dealer in learners else
                          {"dealer": dealer, "value": np.nan, "optimal": np.nan, "ceiling": np.nan, "percent": np.nan,
                           "gap": np.nan, "exact": False, "reason": "several dealers meet in one market"}])
        )  # fmt: skip
        rows["interventions"].append(
            pd.DataFrame([{"dealer": dealer, "reason": r, "count": c, "per_1000_steps": c / 96}
                          for r, c in (("position", 41), ("hedge", 3), ("soft_position", 180))])
        )  # fmt: skip
        if dealer in learners:
            rows["quotes"].append(_quotes(dealer, steps, exact))
            rows["training"].append(_training(rng, dealer, episode["reward"].mean()))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items() if parts}


def _quotes(dealer: str, steps: int, exact: bool) -> pd.DataFrame:
    q = np.arange(-12, 13)
    rows = []
    for source in ("policy", "optimal") if exact else ("policy",):
        for step in (0, steps // 2, steps - 1):
            for side, sign in (("bid", 1), ("ask", -1)):
                for size in SIZES:
                    learned = np.tanh(q / 8) * 0.5 + 0.02 * np.sin(q) if source == "policy" else 0.065 * q
                    markup = np.clip(0.44 + 0.03 * size + sign * learned, -0.2, 1.2)
                    rows.append(pd.DataFrame({"dealer": dealer, "source": source, "step": step, "inventory": q,
                                              "rival_inventory": np.nan, "side": side, "segment": "corporate",
                                              "size": size, "markup": markup,
                                              "hedge": -np.trunc(q / (4 if source == "policy" else 5))}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _training(rng, dealer: str, end: float) -> pd.DataFrame:
    steps = np.arange(1, 61) * 49152
    rise = 1 - np.exp(-np.arange(60) / 12)
    noise = rng.normal(0, 0.4, 60)
    return pd.DataFrame(
        {"dealer": dealer, "steps": steps, "objective": end * rise - 12 * (1 - rise) + noise, "pnl": end * rise + noise,
         "policy_loss": -0.01 * (1 - rise), "value_loss": 4 * (1 - rise) + 0.5, "entropy": 2.2 - 1.4 * rise,
         "kl": 0.012 * (1.1 - rise) + 0.001 * np.abs(noise), "clip_fraction": 0.18 * (1.1 - rise),
         "explained_variance": 0.9 * rise, "sd": 0.5 - 0.3 * rise, "nu": 18 - 4 * rise, "cvar": 33 - 9.5 * rise + noise,
         "cvar_se": 0.4, "lambda": np.maximum(0, 0.8 * rise + 0.1 * noise)}
    )  # fmt: skip


def _estimate(values: np.ndarray) -> dict:
    half = 1.96 * values.std() / math.sqrt(len(values))
    return {"value": values.mean(), "low": values.mean() - half, "high": values.mean() + half}


def _tail(loss: np.ndarray, level: float) -> tuple[dict, dict]:
    loss = np.sort(loss)
    k = max(1, round((1 - level) * len(loss)))
    worst, half = loss[-k:], 1.96 * loss.std() / math.sqrt(k)
    return tuple({"value": v, "low": v - w, "high": v + w} for v, w in ((worst[0], half / 2), (worst.mean(), half)))


def _design(pooled: pd.DataFrame, dealers, learners, seeds, exact: bool) -> dict:
    entry: dict = {
        "seeds": list(seeds),
        "dealers": {},
        "against": {},
        "best_rival": {},
        "doubts": ["one training seed"],
    }
    reward = {d: pooled.loc[pooled["dealer"] == d, "reward"].to_numpy() for d in dealers}
    pnl = {d: pooled.loc[pooled["dealer"] == d, "pnl"].to_numpy() for d in dealers}
    for dealer in dealers:
        rows = pooled[pooled["dealer"] == dealer]
        var_95, cvar_95 = _tail(-pnl[dealer], 0.95)
        var_99, cvar_99 = _tail(-pnl[dealer], 0.99)
        won = rows["won"].sum() / rows["asked"].sum()
        hits = {"value": won, "low": won - 0.004, "high": won + 0.004} if won else {"value": 0, "low": None}
        optimum = {"percent": 94.5, "value": 41.0, "optimal": 43.4, "ceiling": 42.9, "reason": None}
        if not exact or dealer not in learners:
            optimum = dict.fromkeys(optimum) | {"reason": "several dealers meet in one market"}
        entry["dealers"][dealer] = {
            "objective": _estimate(reward[dealer]), "pnl": {**_estimate(pnl[dealer]), "sd": pnl[dealer].std()},
            "var_95": var_95, "cvar_95": cvar_95, "var_99": var_99, "cvar_99": cvar_99,
            "drawdown": _estimate(rows["drawdown"].to_numpy()),
            "max_inventory": _estimate(rows["max_inventory"].to_numpy()),
            "inventory": {"q05": -5, "q50": 0, "q95": 5, "half_life": 9.2},
            "hit_ratio": hits,
            "reward": "pnl + 0.01 inventory_penalty",
            "markout": {str(h): _estimate(rows[f"markout_{h}"].to_numpy() / 30) for h in (1, 5, 20)},
            "attribution": {t: rows[t].mean() for t in ("spread", "inventory", "hedge_cost", "fees")},
            "interventions_per_1000": 2.1,
            "optimum": optimum,
        }  # fmt: skip
    for dealer in learners:
        others = [d for d in dealers if d != dealer]
        if not others:
            continue
        entry["best_rival"][dealer] = max(others, key=lambda d: reward[d].mean())
        entry["against"][dealer] = {
            other: {name: {**(e := _estimate(values[dealer] - values[other])),
                           "verdict": "better" if e["low"] > 0 else "worse" if e["high"] < 0 else "cannot tell"}
                    for name, values in (("objective", reward), ("pnl", pnl))}
            for other in others
        }  # fmt: skip
    return entry
