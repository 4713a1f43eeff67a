"""The traders around a book: a family of models a file, each a plain compiled function of arrays (docs/traders.md)."""
