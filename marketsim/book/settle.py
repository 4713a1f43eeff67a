"""Who trades in the book pays, and has: inventories, cash, and the ledger of dealers."""

from marketsim.book.state import TRADES
from marketsim.compiled import formula, stage
from marketsim.types import ANONYMOUS, CASH, EXECUTIONS, INVENTORY, Ledger

_SPREAD, _HEDGE_COST, _FEES = int(Ledger.SPREAD), int(Ledger.HEDGE_COST), int(Ledger.FEES)
_BOUGHT, _SOLD, _HEDGE = int(Ledger.BOUGHT), int(Ledger.SOLD), int(Ledger.HEDGE)


@stage
def settle(book, head, trades, side, agents, dealer, ledger, mark, m):
    """Book the trades of the message that has just entered market m; ``side``: +1 if it bought, -1 if it sold.

    A dealer's passive trade earns ``spread`` against ``mark``, the mid at the step's begin (price units); its aggressive
    one is a hedge and costs ``hedge_cost`` against it. Fees are charged a lot. Owners from 0 are the dealers, then
    traders; an anonymous order has no account.
    """
    for i in range(head[TRADES]):
        trade = trades[i]
        price = book.tick * trade.price
        bought = side * trade.size
        maker, taker = _account(trade.maker_owner), _account(trade.taker_owner)
        maker_fee, taker_fee = book.maker_fee * trade.size, book.taker_fee * trade.size
        if maker >= dealer.shape[1]:
            _pay(agents[maker], -bought, price, maker_fee)
        elif maker >= 0:
            _pay_dealer(dealer, ledger, maker, m, -bought, price, maker_fee)
            ledger[_SPREAD, maker, m] += bought * (price - mark)
            ledger[_SOLD if side > 0 else _BOUGHT, maker, m] += trade.size
        if taker >= dealer.shape[1]:
            _pay(agents[taker], bought, price, taker_fee)
        elif taker >= 0:
            _pay_dealer(dealer, ledger, taker, m, bought, price, taker_fee)
            ledger[_HEDGE_COST, taker, m] += bought * (price - mark)
            ledger[_HEDGE, taker, m] += bought


@formula
def _account(owner):
    """Whose account: a crowd's name stands for it (``traders.state.crowd``); -1 is nobody's."""
    return owner if owner >= ANONYMOUS else -2 - owner


@formula
def _pay(agent, bought, price, fee):
    agent.inventory += bought
    agent.cash -= bought * price + fee


@formula
def _pay_dealer(dealer, ledger, owner, m, bought, price, fee):
    dealer[INVENTORY, owner, m] += bought
    dealer[CASH, owner, m] -= bought * price + fee
    dealer[EXECUTIONS, owner, m] += 1.0
    ledger[_FEES, owner, m] += fee
