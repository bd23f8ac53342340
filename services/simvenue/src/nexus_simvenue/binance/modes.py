"""What an account's owner can set: leverage, margin type, position mode, fees in BNB, margin of several assets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nexus_simvenue.binance.books import DEFAULT_LEVERAGE
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong

_LEVERAGE_MAX: Final = 125


class Modes:
    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        trade = Security.TRADE
        return {
            ("POST", "/fapi/v1/leverage"): Endpoint(self._set_leverage, trade, 1, ("symbol", "leverage")),
            ("POST", "/fapi/v1/marginType"): Endpoint(self._set_margin, trade, 1, ("symbol", "marginType")),
            ("POST", "/fapi/v1/positionSide/dual"): Endpoint(self._set_mode, trade, 1, ("dualSidePosition",)),
            ("POST", "/fapi/v1/feeBurn"): Endpoint(self._set_fee_burn, trade, 1, ("feeBurn",)),
        }

    def _set_leverage(self, asked: Asked) -> dict[str, Any]:
        symbol, book, account = asked.params.symbol(), self._floor.book(asked), self._floor.account(asked)
        asked.params.needed("leverage")
        leverage = asked.params.integer("leverage", 0, 10_000) or 0
        instrument = self._floor.instrument(symbol)
        if not 1 <= leverage <= min(_LEVERAGE_MAX, instrument.max_leverage):
            raise Wrong(-4028, leverage)
        before = book.leverage.get(symbol) or account.leverage.get(symbol) or DEFAULT_LEVERAGE
        if symbol in account.positions and symbol in book.isolated and leverage < before:
            raise Wrong(-4161)
        book.leverage[symbol] = leverage
        if leverage != before and self._floor.exchange.at is not None:
            fields = {"ac": {"s": symbol, "l": leverage}}
            self._floor.books.tell(book, "ACCOUNT_CONFIG_UPDATE", "config", self._floor.exchange.at, fields)
        return {"leverage": leverage, "maxNotionalValue": "20000000", "symbol": symbol}

    def _set_margin(self, asked: Asked) -> dict[str, Any]:
        symbol, book, account = asked.params.symbol(), self._floor.book(asked), self._floor.account(asked)
        asked.params.needed("marginType")
        wanted = asked.params.one_of("marginType", ("ISOLATED", "CROSSED"), "", -1130)
        if (wanted == "ISOLATED") == (symbol in book.isolated):
            raise Wrong(-4046)
        if book.flags.get("multi_assets"):
            raise Wrong(-4168)
        if any(order.symbol == symbol for order in account.resting.values()):
            raise Wrong(-4047)
        if symbol in account.positions:
            raise Wrong(-4048)
        if wanted == "ISOLATED":
            book.isolated.add(symbol)
        else:
            book.isolated.discard(symbol)
        return {"code": 200, "msg": "success"}

    def _set_mode(self, asked: Asked) -> dict[str, Any]:
        asked.params.needed("dualSidePosition")
        wanted, book, account = (
            asked.params.flag("dualSidePosition"),
            self._floor.book(asked),
            self._floor.account(asked),
        )
        if wanted == bool(book.flags.get("hedge_mode")):
            raise Wrong(-4059)
        if account.resting:
            raise Wrong(-4067)
        if account.positions:
            raise Wrong(-4068)
        book.flags["hedge_mode"] = wanted
        return {"code": 200, "msg": "success"}

    def _set_fee_burn(self, asked: Asked) -> dict[str, Any]:
        asked.params.needed("feeBurn")
        self._floor.book(asked).flags["fee_burn"] = asked.params.flag("feeBurn")
        return {"code": 200, "msg": "success"}
