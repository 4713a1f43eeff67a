"""The limit-order book: the matching engine, and the market around it."""
