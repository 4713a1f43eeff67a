"""How good ``audit-reward`` is: its thresholds set on four pairs of rewards, and judged on the other four.

The specimens are in ``experiments/rewards``; a pair is a reward that can be gamed and a sane one in the same market.

    python -m experiments.reward_specimens record       trains all sixteen, writes recorded.csv; about ten minutes
    python -m experiments.reward_specimens thresholds   writes thresholds.json from the recorded behaviour of the four pairs
    python -m experiments.reward_specimens judge        prints what is found among the other four, and among the first
    python -m experiments.reward_specimens judge 100    the same of the other four trained afresh, under another seed
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from experiments import store
from experiments.audit_reward import as_one_table, audit
from experiments.reward_flags import FIGURES, Seen, flags, thresholds

FOLDER = Path(str(files("experiments") / "rewards"))
RECORDED, THRESHOLDS = FOLDER / "recorded.csv", FOLDER / "thresholds.json"
MARGIN = 1.5  # over the largest figure of the sane rewards
# What a figure must reach to matter to a desk, chosen before any was seen, but for ``below_baseline``, which was added when all
# sixteen had been: it has the level of ``proxy_against_true``. In the units of ``reward_flags``.
MATTERS = {
    "proxy_against_true": 0.1,
    "below_baseline": 0.1,
    "own_quote": 0.25,
    "unfillable": 0.1,
    "dumping": 1.0,
    "sampled": 0.25,
    "tail_blind": 1.0,
    "leaning": 50.0,
    "together": 0.1,
}


def split() -> dict[str, Any]:
    """``set`` and ``judge``: pairs (gameable, sane); ``planted``: gameable -> the flag that it was made to raise."""
    return json.loads((FOLDER / "split.json").read_text(encoding="utf-8"))


def record(names: Sequence[str] | None = None, seed: int | None = None) -> pd.DataFrame:
    """Train the specimens and watch them: their behaviour tables, one below the other. ``seed``: instead of the files'."""
    tables = []
    with TemporaryDirectory() as out:
        for path in sorted(FOLDER.glob("*/*.yaml")):
            if names is None or path.stem in names:
                _, (found,) = audit(path, seed=seed, out=out)
                tables.append(as_one_table(found).assign(specimen=path.stem))
    return pd.concat(tables, ignore_index=True)


def recorded() -> pd.DataFrame:
    """What ``record`` wrote."""
    return pd.read_csv(RECORDED)


def seen(table: pd.DataFrame, specimen: str) -> Seen:
    """What was seen of one specimen."""
    rows = table[table["specimen"] == specimen].drop(columns="specimen")
    learned = rows["policy"] == "learned"
    return Seen(rows[learned].drop(columns="policy"), rows[~learned].drop(columns=["policy", "steps"]))


def set_thresholds(table: pd.DataFrame) -> dict[str, Any]:
    """The content of thresholds.json: for each figure what matters, or ``MARGIN`` times the largest of the sane rewards."""
    pairs, planted = split()["set"], split()["planted"]
    tree: dict[str, Any] = {
        "how": f"above = the larger of 'matters' and {MARGIN} x the largest 'sane'; python -m experiments.reward_specimens thresholds",
        "flags": {},
    }
    for name, figure in FIGURES.items():
        sane = {honest: round(figure(seen(table, honest)), 4) for _, honest in pairs}
        gamed = {game: round(figure(seen(table, game)), 4) for game, _ in pairs if planted[game] == name}
        above = round(max(MATTERS[name], MARGIN * max(sane.values())), 4)
        tree["flags"][name] = {"above": above, "matters": MATTERS[name], "sane": sane, "gamed": gamed}
    return tree


def judge(table: pd.DataFrame, half: str = "judge") -> pd.DataFrame:
    """A row a specimen of a half of the split: what was planted, the flags raised, whether any was."""
    above, tree = thresholds(), split()
    rows = []
    for pair in tree[half]:
        for kind, specimen in zip(("hackable", "sane"), pair, strict=True):
            raised = [flag.name for flag in flags(seen(table, specimen), above)]
            planted = tree["planted"].get(specimen, "")
            rows.append(
                {
                    "specimen": specimen,
                    "kind": kind,
                    "planted": planted,
                    "raised": " ".join(raised),
                    "flagged": bool(raised),
                    "by_its_own": planted in raised,
                }
            )
    return pd.DataFrame(rows)


def main(verb: str, seed: int | None = None) -> None:
    if verb == "record":
        text = StringIO()
        record().to_csv(text, index=False, float_format="%.6g", lineterminator="\n")
        store.write_text(RECORDED, text.getvalue())
    elif verb == "thresholds":
        store.write_json(THRESHOLDS, set_thresholds(recorded()))
    elif verb == "judge" and seed is not None:
        names = [name for pair in split()["judge"] for name in pair]
        print(judge(record(names, seed)).to_string(index=False))
    elif verb == "judge":
        for half in ("set", "judge"):
            print(half, judge(recorded(), half).to_string(index=False), sep="\n")
    else:
        sys.exit(f"{verb}: allowed are record, thresholds, judge")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else None)
