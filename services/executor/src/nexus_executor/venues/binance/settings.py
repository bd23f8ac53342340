"""What must stand before an entry is sent: isolated margin and the leverage that was asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from nexus_common.contracts.values import Symbol
from nexus_executor.venues.binance import fields
from nexus_executor.venues.binance.evidence import NOTHING_TO_CHANGE, Proof
from nexus_executor.venues.binance.fields import UnreadableFrame
from nexus_executor.venues.binance.rest import NotSent, Refusal, Rest, Unasked
from nexus_executor.venues.broker import OrderRequest, Refused, Unknown, VenueDown

_ISOLATED: Final = "ISOLATED"


class SymbolTerms:
    """Remembers what was confirmed; whatever else may have changed it is asked for anew."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.leverage: dict[Symbol, int] = {}

    def forget(self, symbol: Symbol) -> None:
        self.leverage.pop(symbol, None)

    async def stand(self, order: OrderRequest, at: datetime) -> Refused | Unknown | None:
        """Set and confirm them for an entry; None, or why it must not be sent. Unknown: the venue is silent."""
        known = self.leverage.get(order.symbol)
        if known is not None and order.leverage in (None, known):
            return None
        try:
            return await self._set(order, at)
        except Refusal as refusal:
            return Refused(refusal.code, f"not sent: {refusal}")
        except (NotSent, Unasked) as unsent:
            return Refused(unsent.code, str(unsent))
        except (VenueDown, UnreadableFrame) as error:
            return Unknown(f"not sent: margin and leverage are not confirmed ({error})")

    async def _set(self, order: OrderRequest, at: datetime) -> Refused | None:
        symbol = str(order.symbol)
        margin, leverage = await self._ask(symbol)
        if margin != _ISOLATED:
            refused = await self._change("set margin type", at, symbol=symbol, marginType=_ISOLATED)
            if refused is not None:
                return refused
        if order.leverage is not None and leverage != order.leverage:
            refused = await self._change("set leverage", at, symbol=symbol, leverage=str(order.leverage))
            if refused is not None:
                return refused
        if margin != _ISOLATED or order.leverage not in (None, leverage):
            margin, leverage = await self._ask(symbol)
        if margin != _ISOLATED or order.leverage not in (None, leverage):
            return Refused("terms-unconfirmed", f"not sent: {symbol} stands at {margin} {leverage}x")
        self.leverage[order.symbol] = leverage
        return None

    async def _ask(self, symbol: str) -> tuple[str, int]:
        """Margin type and leverage of a symbol; raises VenueDown or UnreadableFrame."""
        for row in await self._rest.rows("symbol config", symbol=symbol):
            if fields.text(row, "symbol") == symbol:
                return fields.text(row, "marginType"), fields.whole(row, "leverage")
        raise UnreadableFrame(f"no configuration of {symbol}")

    async def _change(self, what: str, at: datetime, **params: str) -> Refused | None:
        said = await self._rest.change(what, params, at, urgent=False)
        if said.proof is Proof.DONE or said.code in NOTHING_TO_CHANGE:
            return None
        if said.proof is Proof.OPEN:
            return None  # whether it stands is asked for next
        return Refused(said.code, f"not sent: {what} was refused: {said.reason}")
