"""The drift detector, one market at a time, from the formulas of docs/drift.md; and the streams, from what happened."""

import math
from bisect import bisect_left
from statistics import NormalDist

NORMAL = NormalDist()


def likelihood_ratio(counts, bin_, mean, variance, power):
    """(P_k(bin) / P_0(bin))^power over its mean in the sample; P_0 the share of the sample, P_k of N(mean, variance)."""
    n = sum(counts)

    def quantile(count):
        return -math.inf if count <= 0 else math.inf if count >= n else NORMAL.inv_cdf(count / n)

    def cdf(z):
        return 0.0 if z == -math.inf else 1.0 if z == math.inf else NORMAL.cdf((z - mean) / math.sqrt(variance))

    raw, below = [], 0
    for count in counts:
        mass = cdf(quantile(below + count)) - cdf(quantile(below))
        raw.append((mass / (count / n)) ** power if count else 0.0)
        below += count
    return raw[bin_] / sum(r * count / n for r, count in zip(raw, counts, strict=True))


def alarms_alone(ratio, bins, threshold):
    """Alarms of one component alone, R <- (1 + R) L from 0, on the bins of one market; None where there is no value."""
    statistic, alarms = 0.0, 0
    for b in bins:
        if b is not None:
            statistic = (1.0 + statistic) * ratio[b]
            if statistic >= threshold:
                statistic, alarms = 0.0, alarms + 1
    return alarms


class Market:
    """The detector of one market. ``streams``: of each, a dict with centre, low, high, phi, edges, ratios and weights."""

    def __init__(self, streams, threshold, head):
        self.streams, self.threshold, self.head = streams, threshold, head
        self.past = [[] for _ in streams]
        self.restart()

    def restart(self):
        self.statistics = [[self.head * w for w in s["weights"]] for s in self.streams]
        self.rising = [0] * len(self.streams)

    def update(self, values):
        """-> (alarm, level, leading stream, its largest component, values since it began to rise)."""
        for s, (stream, value) in enumerate(zip(self.streams, values, strict=True)):
            if not math.isnan(value):
                residual = value - stream["centre"]
                for phi, past in zip(stream["phi"], reversed(self.past[s]), strict=False):
                    residual -= phi * past
                self.past[s].append(min(max(value, stream["low"]), stream["high"]) - stream["centre"])
                bin_ = bisect_left(stream["edges"], residual)  # edges below it
                self.statistics[s] = [
                    (w + r) * ratio[bin_]
                    for w, r, ratio in zip(stream["weights"], self.statistics[s], stream["ratios"], strict=True)
                ]
            total = sum(self.statistics[s])
            moved = 0 if math.isnan(value) else 1
            self.rising[s] = self.rising[s] + moved if total > math.sqrt(self.head * self.threshold) else 0
        totals = [sum(r) for r in self.statistics]
        level = sum(totals) / len(totals)
        lead = totals.index(max(totals))
        component = self.statistics[lead].index(max(self.statistics[lead]))
        since = 2 * self.rising[lead]  # as long to half way, in logarithms, as from there
        alarm = not level < self.threshold
        if alarm:
            self.restart()
        return alarm, level, lead, component, since


def streams_of(episode, dealer, segments, reference, horizons=(1, 5, 20)):
    """The streams of one market's episode, {name: [a value a step]}, NaN where a step has none.

    ``episode``: a list of steps, each a dict with ``before`` and ``after`` (mids), ``asked`` (requests asked of the
    dealer), ``spread``, ``hedge``, ``hedge_cost`` and ``requests``, dicts with segment, side, size, winner, cover.
    """
    out = {}

    def note(name, top, bottom):
        out.setdefault(name, []).append(top / bottom if bottom else math.nan)

    def signed(request):
        return request["size"] if request["side"] == 0 else -request["size"]  # side 0: a bid, the dealer buys

    for t, step in enumerate(episode):
        requests = step["requests"]
        won = [r for r in requests if r["winner"] == dealer]
        note("requests", step["asked"], 1)
        note("hit_ratio", len(won), step["asked"])
        note("spread", step["spread"], sum(r["size"] for r in won))
        note("volatility", abs(step["after"] - step["before"]), 1)
        note("hedge_slippage", 0 if t == len(episode) - 1 else step["hedge_cost"],
             0 if t == len(episode) - 1 else abs(step["hedge"]))  # fmt: skip
        covers = [r["cover"] / reference[r["segment"]] for r in won if not math.isnan(r["cover"])]
        note("cover", sum(covers), len(covers))
        for s, name in enumerate(segments):
            mine = [r for r in requests if r["segment"] == s]
            note(f"hit_ratio.{name}", sum(r["winner"] == dealer for r in mine), len(mine))
        for k in horizons:
            old = episode[t + 1 - k] if t + 1 >= k else None
            move = step["after"] - old["before"] if old else 0.0

            def mark(name, counted, old=old, move=move):
                lots = [r for r in old["requests"] if counted(r)] if old else []
                note(name, sum(signed(r) for r in lots) * move, sum(r["size"] for r in lots))

            mark(f"markout_{k}", lambda r: r["winner"] == dealer)
            for s, name in enumerate(segments):
                mark(f"markout_{k}.{name}", lambda r, s=s: r["winner"] == dealer and r["segment"] == s)
                mark(f"flow_{k}.{name}", lambda r, s=s: r["segment"] == s)
    return out
