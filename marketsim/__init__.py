"""marketsim: a dealer market in which market-making agents are trained, measured, attacked and fenced in."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marketsim.batch import MarketBatch as MarketBatch
    from marketsim.batch import Step as Step
    from marketsim.book.order_book import OrderBook as OrderBook
    from marketsim.book.order_book import OrderRejected as OrderRejected
    from marketsim.config import MarketConfig as MarketConfig
    from marketsim.document import InputError as InputError
    from marketsim.document import load_config as load_config
    from marketsim.env import parallel_env as parallel_env

__version__ = "0.3.0"

# Where each public name lives; imported when first asked for, so that a command line's help stays quick.
_HOMES = {
    "MarketBatch": "marketsim.batch",
    "Step": "marketsim.batch",
    "OrderBook": "marketsim.book.order_book",
    "OrderRejected": "marketsim.book.order_book",
    "MarketConfig": "marketsim.config",
    "InputError": "marketsim.document",
    "load_config": "marketsim.document",
    "parallel_env": "marketsim.env",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marketsim' has no attribute {name!r}")
