"""The controls that ``marketsim drill`` tries: each one a function that tries to pass, and one that must be let through."""
