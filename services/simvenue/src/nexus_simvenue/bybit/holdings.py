"""A position and a wallet as Bybit writes them, from the engine's account."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from nexus_common.contracts.values import format_decimal
from nexus_market.exchange import Exchange
from nexus_market.exchange.account import Account, Position
from nexus_simvenue.bybit.notes import ZERO, Note, stamp


class Holder(Protocol):
    """What of an account's book these rows are written from."""

    exchange: Exchange
    executions: list[tuple[datetime, dict[str, Any]]]

    def spelled(self, symbol: str) -> str: ...

    @property
    def state(self) -> Account: ...

    def leverage_of(self, symbol: str) -> int: ...

    def attached(self, symbol: str, stop_type: str) -> Note | None: ...


def position_row(book: Holder, symbol: str) -> dict[str, Any]:
    """A position as `position/list` writes it; one of size 0 has no side."""
    state, price = book.state, book.exchange.price(symbol) or ZERO
    position = state.positions.get(symbol)
    held = ZERO if position is None else position.quantity
    margin = ZERO if position is None else position.margin
    liquidation = None if position is None else position.liquidation_price
    sl, tp, ts = (book.attached(symbol, kind) for kind in ("StopLoss", "TakeProfit", "TrailingStop"))
    at = stamp(book.exchange.at)
    return {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": book.spelled(symbol),
        "side": "" if held == 0 else "Buy" if held > 0 else "Sell",
        "size": format_decimal(abs(held)),
        "avgPrice": "0" if position is None else format_decimal(position.entry_price),
        "positionValue": format_decimal(abs(held) * price),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0 if held == 0 else 2,
        "leverage": str(book.leverage_of(symbol)),
        "breakEvenPrice": "",
        "positionBalance": format_decimal(margin),
        "markPrice": format_decimal(price),
        "liqPrice": "" if liquidation is None else format_decimal(liquidation),
        "bustPrice": "",
        "positionMM": format_decimal(ZERO if position is None else _maintenance(position, price)),
        "positionMMByMp": "0",
        "positionIM": format_decimal(margin),
        "positionIMByMp": format_decimal(margin),
        "tpslMode": "Full",
        "takeProfit": _price(tp.trigger if tp else None),
        "stopLoss": _price(sl.trigger if sl else None),
        "trailingStop": _price(ts.distance if ts else None),
        "sessionAvgPrice": "",
        "unrealisedPnl": "0" if position is None else format_decimal(position.unrealised(price)),
        "curRealisedPnl": "0",
        "cumRealisedPnl": format_decimal(state.realised - state.fees - state.funding),
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": at,
        "updatedTime": at,
        "seq": len(book.executions) or -1,
    }


def _maintenance(position: Position, price: Decimal) -> Decimal:
    return abs(position.quantity) * price * position.instrument.maintenance_margin


def _price(number: Decimal | None) -> str:
    return "0" if number is None else format_decimal(number)


def wallet_row(book: Holder, wallet: Decimal | None = None) -> dict[str, Any]:
    """The unified account as `wallet-balance` writes it."""
    state = book.state
    wallet = state.wallet if wallet is None else wallet
    margins = sum((position.margin for position in state.positions.values()), ZERO)
    open_profit = sum(
        (p.unrealised(book.exchange.price(symbol) or ZERO) for symbol, p in state.positions.items()), ZERO
    )
    equity, free = format_decimal(wallet + open_profit), format_decimal(max(state.available(), ZERO))
    text, margin = format_decimal(wallet), format_decimal(margins)
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": "0",
        "accountIMRateByMp": "0",
        "accountMMRate": "0",
        "accountMMRateByMp": "0",
        "totalEquity": equity,
        "totalWalletBalance": text,
        "totalMarginBalance": text,
        "totalAvailableBalance": free,
        "totalPerpUPL": format_decimal(open_profit),
        "totalInitialMargin": margin,
        "totalInitialMarginByMp": margin,
        "totalMaintenanceMargin": "0",
        "totalMaintenanceMarginByMp": "0",
        "coin": [
            {
                "coin": state.currency,
                "equity": equity,
                "usdValue": equity,
                "walletBalance": text,
                "availableToWithdraw": "",
                "availableToBorrow": "",
                "borrowAmount": "0",
                "accruedInterest": "0",
                "totalOrderIM": "0",
                "totalPositionIM": margin,
                "totalPositionMM": "0",
                "unrealisedPnl": format_decimal(open_profit),
                "cumRealisedPnl": format_decimal(state.realised - state.fees - state.funding),
                "bonus": "0",
                "collateralSwitch": True,
                "marginCollateral": True,
                "locked": "0",
                "spotHedgingQty": "0",
                "spotBorrow": "0",
            }
        ],
    }
