"""Experiments: one file says the market, the dealers, how they learn and how they are measured; a run is a folder."""

# `experiments.run` is the function: it takes the name of the module that it stands in.
from experiments.finished import Run as Run
from experiments.finished import open_run as open_run
from experiments.run import run as run
