"""From a tape to the numbers of a market: a model a file, every number with its standard error."""
