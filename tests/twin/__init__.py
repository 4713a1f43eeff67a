"""The slow twin: one dealer market in plain Python, written from docs/market.md.

It shares with the compiled step only `marketsim.rng.draw` (with its table of streams) and `marketsim.types`,
and it prefers the sentence of the specification to speed. A draw is written ``u(stream, step, index)``.
"""
