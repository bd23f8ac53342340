"""The account: balances, positions, modes, leverage, and its history of trades and income."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.instrument import Instrument
from nexus_market.exchange.account import Account
from nexus_simvenue.binance.books import DEFAULT_LEVERAGE, Book
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.parameters import millis
from nexus_simvenue.binance.sheets import ZERO, digits, money

_TRADES: Final = ("symbol", "orderId", "startTime", "endTime", "fromId", "limit")
_INCOME: Final = ("symbol", "incomeType", "startTime", "endTime", "page", "limit")


class AccountQueries:
    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        signed, one = Security.SIGNED, ("symbol",)
        return {
            ("GET", "/fapi/v2/account"): Endpoint(self._every_account, signed, 5),
            ("GET", "/fapi/v3/account"): Endpoint(self._account, signed, 5),
            ("GET", "/fapi/v2/balance"): Endpoint(self._balance, signed, 5),
            ("GET", "/fapi/v3/balance"): Endpoint(self._balance, signed, 5),
            ("GET", "/fapi/v2/positionRisk"): Endpoint(self._every_position, signed, 5, one),
            ("GET", "/fapi/v3/positionRisk"): Endpoint(self._positions, signed, 5, one),
            ("GET", "/fapi/v1/accountConfig"): Endpoint(self._account_config, signed, 5),
            ("GET", "/fapi/v1/symbolConfig"): Endpoint(self._symbol_config, signed, 5, one),
            ("GET", "/fapi/v1/leverageBracket"): Endpoint(self._brackets, signed, 1, one),
            ("GET", "/fapi/v1/commissionRate"): Endpoint(self._commission, signed, 20, one),
            ("GET", "/fapi/v1/userTrades"): Endpoint(self._trades, signed, 5, _TRADES),
            ("GET", "/fapi/v1/income"): Endpoint(self._income, signed, 30, _INCOME),
            ("GET", "/fapi/v1/apiTradingStatus"): Endpoint(self._trading_status, signed, 1, one, 10),
            ("GET", "/fapi/v1/feeBurn"): Endpoint(self._fee_burn, signed, 30),
            ("GET", "/fapi/v1/positionSide/dual"): Endpoint(self._position_mode, signed, 30),
            ("GET", "/fapi/v1/multiAssetsMargin"): Endpoint(self._multi_assets, signed, 30),
            ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint(self._restrictions, signed, 1),
        }

    # -- money and positions ------------------------------------------------------------------------

    def _account(self, asked: Asked) -> dict[str, Any]:
        account = self._floor.account(asked)
        totals = _money_of(account)
        return {
            "feeTier": 0,
            "canTrade": not self._floor.book(asked).flags.get("no_trade_permission", False),
            "canDeposit": True,
            "canWithdraw": bool(self._floor.book(asked).flags.get("can_withdraw", False)),
            "updateTime": 0,
            "multiAssetsMargin": bool(self._floor.book(asked).flags.get("multi_assets")),
            "tradeGroupId": -1,
            "totalInitialMargin": totals["initialMargin"],
            "totalMaintMargin": "0.00000000",
            "totalWalletBalance": totals["walletBalance"],
            "totalUnrealizedProfit": "0.00000000",
            "totalMarginBalance": totals["walletBalance"],
            "totalPositionInitialMargin": totals["initialMargin"],
            "totalOpenOrderInitialMargin": "0.00000000",
            "totalCrossWalletBalance": totals["crossWalletBalance"],
            "totalCrossUnPnl": "0.00000000",
            "availableBalance": totals["availableBalance"],
            "maxWithdrawAmount": totals["availableBalance"],
            "assets": [{"asset": "USDT", **totals, "marginAvailable": True, "updateTime": millis(asked.now)}],
            "positions": [
                {**row, "unrealizedProfit": row["unRealizedProfit"]} for row in self._positions(asked)
            ],
        }

    def _every_account(self, asked: Asked) -> dict[str, Any]:
        """Version 2: with every symbol, in names of its own."""
        rows = [
            {
                **row,
                "unrealizedProfit": row["unRealizedProfit"],
                "isolated": row["marginType"] == "isolated",
                "maxNotional": row["maxNotionalValue"],
            }
            for row in self._every_position(asked)
        ]
        return {**self._account(asked), "positions": rows}

    def _balance(self, asked: Asked) -> list[dict[str, Any]]:
        account = self._floor.account(asked)
        totals = _money_of(account)
        return [
            {
                "accountAlias": "SimR",
                "asset": "USDT",
                "balance": totals["walletBalance"],
                "crossWalletBalance": totals["crossWalletBalance"],
                "crossUnPnl": "0.00000000",
                "availableBalance": totals["availableBalance"],
                "maxWithdrawAmount": totals["availableBalance"],
                "marginAvailable": True,
                "updateTime": millis(asked.now),
            }
        ]

    def _positions(self, asked: Asked) -> list[dict[str, Any]]:
        """Version 3: only symbols with a position or an order."""
        account, symbol = self._floor.account(asked), asked.params.symbol_if_given()
        busy = {*account.positions, *(order.symbol for order in account.resting.values())}
        rows = [self._position(asked, account, each) for each in sorted(busy) if symbol in (None, each)]
        return [{k: v for k, v in row.items() if k not in _VERSION_2} for row in rows]

    def _every_position(self, asked: Asked) -> list[dict[str, Any]]:
        account, symbol = self._floor.account(asked), asked.params.symbol_if_given()
        symbols = [symbol] if symbol else [i.symbol for i in self._floor.exchange.instruments]
        return [self._position(asked, account, each) for each in symbols]

    def _position(self, asked: Asked, account: Account, symbol: str) -> dict[str, Any]:
        held, book = account.positions.get(symbol), self._floor.book(asked)
        mark = self._floor.exchange.price(symbol) or ZERO
        quantity = ZERO if held is None else held.quantity
        entry = ZERO if held is None else held.entry_price
        margin = ZERO if held is None else held.margin
        liquidation = None if held is None else held.liquidation_price
        side = "BOTH"
        if book.flags.get("hedge_mode"):
            side = "LONG" if quantity >= 0 else "SHORT"
        return {
            "symbol": symbol,
            "positionSide": side,
            "positionAmt": digits(quantity),
            "entryPrice": money(entry),
            "breakEvenPrice": money(entry),
            "markPrice": money(mark),
            "unRealizedProfit": money(ZERO if held is None else held.unrealised(mark)),
            "liquidationPrice": money(liquidation or ZERO),
            "isolatedMargin": money(margin),
            "notional": money(quantity * mark),
            "marginAsset": "USDT",
            "isolatedWallet": money(margin),
            "initialMargin": money(margin),
            "maintMargin": "0",
            "positionInitialMargin": money(margin),
            "openOrderInitialMargin": "0",
            "adl": 1,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": millis(asked.now),
            "leverage": str(self._leverage(book, account, symbol)),
            "marginType": "isolated" if symbol in book.isolated else "cross",
            "isAutoAddMargin": "false",
            "maxNotionalValue": "20000000",
        }

    def _leverage(self, book: Book, account: Account, symbol: str) -> int:
        highest = self._floor.instrument(symbol).max_leverage
        return book.leverage.get(symbol) or account.leverage.get(symbol) or min(DEFAULT_LEVERAGE, highest)

    # -- modes and terms ----------------------------------------------------------------------------

    def _symbol_config(self, asked: Asked) -> list[dict[str, Any]]:
        account, book, symbol = (
            self._floor.account(asked),
            self._floor.book(asked),
            asked.params.symbol_if_given(),
        )
        symbols = [symbol] if symbol else [i.symbol for i in self._floor.exchange.instruments]
        return [
            {
                "symbol": each,
                "marginType": "ISOLATED" if each in book.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": self._leverage(book, account, each),
                "maxNotionalValue": "20000000",
            }
            for each in symbols
        ]

    def _account_config(self, asked: Asked) -> dict[str, Any]:
        flags = self._floor.book(asked).flags
        return {
            "feeTier": 0,
            "canTrade": not flags.get("no_trade_permission", False),
            "canDeposit": True,
            "canWithdraw": bool(flags.get("can_withdraw", False)),
            "dualSidePosition": bool(flags.get("hedge_mode")),
            "updateTime": 0,
            "multiAssetsMargin": bool(flags.get("multi_assets")),
            "tradeGroupId": -1,
        }

    def _brackets(self, asked: Asked) -> list[dict[str, Any]]:
        symbol = asked.params.symbol_if_given()
        found = self._floor.exchange.instruments
        return [_bracket(instrument) for instrument in found if symbol in (None, instrument.symbol)]

    def _commission(self, asked: Asked) -> dict[str, Any]:
        instrument = self._floor.instrument(asked.params.symbol())
        return {
            "symbol": instrument.symbol,
            "makerCommissionRate": digits(instrument.maker_fee),
            "takerCommissionRate": digits(instrument.taker_fee),
        }

    def _trading_status(self, asked: Asked) -> dict[str, Any]:
        return {"indicators": {}, "updateTime": millis(asked.now)}

    def _fee_burn(self, asked: Asked) -> dict[str, Any]:
        return {"feeBurn": bool(self._floor.book(asked).flags.get("fee_burn"))}

    def _position_mode(self, asked: Asked) -> dict[str, Any]:
        return {"dualSidePosition": bool(self._floor.book(asked).flags.get("hedge_mode"))}

    def _multi_assets(self, asked: Asked) -> dict[str, Any]:
        return {"multiAssetsMargin": bool(self._floor.book(asked).flags.get("multi_assets"))}

    def _restrictions(self, asked: Asked) -> dict[str, Any]:
        flags = self._floor.book(asked).flags
        return {
            "ipRestrict": bool(flags.get("ip_restricted", True)),
            "createTime": 1_698_645_219_000,
            "enableReading": True,
            "enableWithdrawals": bool(flags.get("can_withdraw", False)),
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": not flags.get("no_trade_permission", False),
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": False,
            "enablePortfolioMarginTrading": False,
        }

    # -- history ------------------------------------------------------------------------------------

    def _trades(self, asked: Asked) -> list[dict[str, Any]]:
        """Seven days a query; fromId does not go with times."""
        params, symbol = asked.params, asked.params.symbol()
        limit = params.integer("limit", 1, 1000) or 500
        order, first = params.integer("orderId"), params.integer("fromId")
        rows = [
            row
            for row in self._floor.book(asked).trades
            if row["symbol"] == symbol and order in (None, row["orderId"])
        ]
        if first is not None:
            params.forbid(("startTime", "endTime"))
            return sorted((r for r in rows if r["id"] >= first), key=lambda r: int(r["id"]))[:limit]
        start, end = params.span(7, asked.now)
        rows = [row for row in rows if start <= row["time"] <= end]
        return rows[:limit] if "startTime" in params else rows[-limit:]

    def _income(self, asked: Asked) -> list[dict[str, Any]]:
        """The last seven days unless times are given, at most 1,000 rows; three months are kept."""
        params, symbol = asked.params, asked.params.symbol_if_given()
        limit, kind = params.integer("limit", 1, 1000) or 100, params.text("incomeType")
        page = params.integer("page", 1) or 1
        start, end = params.integer("startTime"), params.integer("endTime")
        latest = millis(asked.now) if end is None else end
        earliest = latest - 7 * 86_400_000 if start is None else start
        if earliest > latest:
            raise Wrong(-1023)
        rows = [
            row
            for row in self._floor.book(asked).income
            if symbol in (None, row["symbol"])
            and kind in (None, row["incomeType"])
            and earliest <= row["time"] <= latest
        ]
        return rows[(page - 1) * limit : page * limit]


_VERSION_2: Final = frozenset(("leverage", "marginType", "isAutoAddMargin", "maxNotionalValue"))


def _money_of(account: Account) -> dict[str, str]:
    margin = sum((position.margin for position in account.positions.values()), Decimal(0))
    available = max(account.available(), ZERO)
    return {
        "walletBalance": money(account.wallet),
        "unrealizedProfit": "0.00000000",
        "marginBalance": money(account.wallet),
        "maintMargin": "0.00000000",
        "initialMargin": money(margin),
        "positionInitialMargin": money(margin),
        "openOrderInitialMargin": "0.00000000",
        "crossWalletBalance": money(account.wallet - margin),
        "crossUnPnl": "0.00000000",
        "availableBalance": money(available),
        "maxWithdrawAmount": money(available),
    }


def _bracket(instrument: Instrument) -> dict[str, Any]:
    bracket = {
        "bracket": 1,
        "initialLeverage": instrument.max_leverage,
        "notionalCap": 20_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": float(instrument.maintenance_margin),
        "cum": 0,
    }
    return {"symbol": instrument.symbol, "notionalCoef": 1.0, "brackets": [bracket]}
