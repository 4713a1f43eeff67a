"""Feeds of real limit-order data: files in bounded memory -> events, a tape, and own orders against a replay."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marketsim.feeds.opening import open_feed as open_feed
    from marketsim.feeds.recorded import tape as tape
    from marketsim.feeds.replay import FeedReplay as FeedReplay

# Where each public name lives; imported when first asked for.
_HOMES = {
    "open_feed": "marketsim.feeds.opening",
    "tape": "marketsim.feeds.recorded",
    "FeedReplay": "marketsim.feeds.replay",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marketsim.feeds' has no attribute {name!r}")
