"""The account itself: its modes, leverage, wallet and permissions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from nexus_common.contracts.values import Symbol
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.venues.access import Access
from nexus_executor.venues.broker import OrderRequest, Refused, VenueDown
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.evidence import Proof, proof
from nexus_executor.venues.bybit.history import SETTLE_COIN
from nexus_executor.venues.bybit.messages import CATEGORY, spelled
from nexus_executor.venues.bybit.reading import (
    Row,
    number_of,
    optional_number,
    rows_of,
    text_of,
    whole_of,
)
from nexus_executor.venues.bybit.rest import NotSent, Rest
from nexus_executor.venues.bybit.session import NoAnswer
from nexus_executor.venues.facts import AccountFacts, PositionMode
from nexus_executor.venues.private_stream import UnreadableFrame

ISOLATED: Final = "ISOLATED_MARGIN"
# Asked with a symbol, position/list answers whether something is held or not: two rows in hedge mode.
_PROBE: Final = Symbol("BTCUSDT")


class AccountSetup:
    """Checks and sets what orders rely on; what was confirmed is remembered."""

    def __init__(self, access: Access, rest: Rest) -> None:
        self._access = access
        self._rest = rest
        self._leverage: dict[Symbol, int] = {}
        self._is_isolated = False

    async def check(self) -> None:
        """Raises ConfigurationError in hedge mode, VenueDown without an answer."""
        if await self._mode() is PositionMode.HEDGE:
            raise ConfigurationError(
                f"account {self._access.account} is in Bybit's hedge mode, where a closing order can open the "
                "other side: close its positions and set Position Mode to One-Way (USDT perpetuals)"
            )
        self._is_isolated = await self._margin_mode() == ISOLATED

    async def _mode(self) -> PositionMode:
        rows = await self._rest.pages("get_positions", category=CATEGORY, symbol=spelled(_PROBE))
        rows += await self._rest.pages("get_positions", category=CATEGORY, settleCoin=SETTLE_COIN)
        try:
            is_hedged = any(messages.is_hedged(row) for row in rows)
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's position mode: {error}") from error
        return PositionMode.HEDGE if is_hedged else PositionMode.ONE_WAY

    async def _margin_mode(self) -> str:
        info = await self._rest.ask("get_account_info")
        try:
            return text_of(info, "marginMode")
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's margin mode: {error}") from error

    async def wallet(self, currency: str) -> Decimal:
        """The wallet balance; 0 when the account has never had such a coin. Raises VenueDown.

        The venue lists an account's coins with something in them; an answer without the account says nothing.
        """
        answer = await self._rest.ask("get_wallet_balance", accountType="UNIFIED", coin=currency)
        try:
            found = [messages.wallet_of(row, currency) for row in rows_of(answer, "list")]
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's wallet: {error}") from error
        if not found:
            raise VenueDown("Bybit's wallet: the answer holds no account")
        return next((wallet for wallet in found if wallet is not None), Decimal(0))

    # -- before an entry ----------------------------------------------------------------------------

    async def prepare(self, order: OrderRequest, at: datetime) -> Refused | None:
        """Isolated margin and the order's leverage, confirmed; a refusal when they cannot be.

        Raises:
            VenueDown: nobody knows what is set.
        """
        refused = await self._isolate(at)
        if refused is None and order.leverage is not None:
            refused = await self._set_leverage(order.symbol, order.leverage, at)
        return refused

    async def _isolate(self, at: datetime) -> Refused | None:
        if self._is_isolated:
            return None
        refused = await self._set("set_margin_mode", {"setMarginMode": ISOLATED}, at)
        if refused is not None:
            return refused
        mode = await self._margin_mode()
        if mode != ISOLATED:
            return Refused("margin-mode", f"isolated margin is not set, the mode is {mode}")
        self._is_isolated = True
        return None

    async def _set_leverage(self, symbol: Symbol, leverage: int, at: datetime) -> Refused | None:
        if self._leverage.get(symbol) == leverage:
            return None
        self._leverage.pop(symbol, None)
        params = {
            "category": CATEGORY,
            "symbol": spelled(symbol),
            "buyLeverage": str(leverage),
            "sellLeverage": str(leverage),
        }
        refused = await self._set("set_leverage", params, at)
        if refused is None:
            self._leverage[symbol] = leverage
        return refused

    async def _set(self, method: str, params: Row, at: datetime) -> Refused | None:
        """None when it is set; raises VenueDown when nobody knows."""
        try:
            answer = await self._rest.change(method, params, at, urgent=False)
        except NotSent as error:
            return Refused("not-sent", str(error))
        except (NoAnswer, UnreadableFrame) as error:
            raise VenueDown(str(error)) from error
        match proof(method, answer.status, answer.code, answer.message):
            case Proof.DONE:
                return None
            case Proof.REFUSED:
                return Refused(str(answer.code), f"{method}: {answer.message}")
            case Proof.UNKNOWN:
                raise VenueDown(f"{method} may or may not be done: {answer.code} {answer.message}")

    def heard_position(self, row: Row) -> None:
        """A leverage that somebody else has set is set again before the next entry."""
        leverage = optional_number(row, "leverage")
        symbol = messages.symbol_of(row)
        if leverage is not None and self._leverage.get(symbol, leverage) != leverage:
            del self._leverage[symbol]

    # -- for the doctor -----------------------------------------------------------------------------

    async def facts(self, currency: str) -> AccountFacts:
        """Raises VenueDown."""
        key = await self._rest.ask("get_api_key_information")
        positions = await self._rest.pages("get_positions", category=CATEGORY, settleCoin=SETTLE_COIN)
        margin_mode = await self._margin_mode()
        mode, wallet = await self._mode(), await self.wallet(currency)
        wall = WallClock()
        asked_at = wall.now()
        server_time = await self._rest.server_time()
        ours = asked_at + (wall.now() - asked_at) / 2
        try:
            leverage = {messages.symbol_of(row): int(number_of(row, "leverage")) for row in positions}
            return AccountFacts(
                server_time=server_time,
                clock_skew=server_time - ours,
                can_trade=_may_trade(key),
                can_withdraw=_may_withdraw(key),
                ip_restricted=_is_bound(key),
                position_mode=mode,
                leverage={**self._leverage, **leverage},
                wallet=wallet,
                live=self._access.live,
                notes=() if margin_mode == ISOLATED else (f"margin mode is {margin_mode}",),
            )
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's account: {error}") from error


def _permissions(key: Row) -> Row:
    permissions = key.get("permissions")
    if not isinstance(permissions, dict):
        raise UnreadableFrame("permissions is missing")
    return permissions


def _may_trade(key: Row) -> bool:
    granted = _permissions(key).get("ContractTrade")
    return whole_of(key, "readOnly") == 0 and isinstance(granted, list) and "Order" in granted


def _may_withdraw(key: Row) -> bool | None:
    granted = _permissions(key).get("Wallet")
    return "Withdraw" in granted if isinstance(granted, list) else None


def _is_bound(key: Row) -> bool | None:
    """Whether the key works from certain addresses only."""
    addresses = key.get("ips")
    return "*" not in addresses and bool(addresses) if isinstance(addresses, list) else None
