"""Requests of one account: signed with the turn's time, within the budget, answers sorted by what they prove."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.binance import fields
from nexus_executor.venues.binance.evidence import LIMIT_STATUSES, TIMESTAMP, Proof, Raw, Verdict, verdict
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.binance.vendor import NoAnswer, VendorSession
from nexus_executor.venues.broker import VenueDown
from nexus_executor.venues.exact_json import exact_json
from nexus_executor.venues.rate_budget import RateBudget

WEIGHT_LIMIT: Final = 2_400
WEIGHT_SECONDS: Final = 60
# How long to be silent when the venue does not say.
_WAITS: Final = MappingProxyType({429: 60.0, 418: 120.0, 403: 300.0})
_WAIT_MAX: Final = 3 * 86_400.0


class Endpoint(NamedTuple):
    """ccxt's name of an endpoint and its weight; `whole` is its weight without a symbol."""

    name: str
    weight: int
    whole: int | None = None
    signed: bool = True


ENDPOINTS: Final[Mapping[str, Endpoint]] = MappingProxyType(
    {
        "time": Endpoint("fapiPublicGetTime", 1, signed=False),
        "new order": Endpoint("fapiPrivatePostOrder", 0),
        "new algo order": Endpoint("fapiPrivatePostAlgoOrder", 0),
        "cancel order": Endpoint("fapiPrivateDeleteOrder", 1),
        "cancel algo order": Endpoint("fapiPrivateDeleteAlgoOrder", 1),
        "order": Endpoint("fapiPrivateGetOrder", 1),
        "algo order": Endpoint("fapiPrivateGetAlgoOrder", 1),
        "open orders": Endpoint("fapiPrivateGetOpenOrders", 1, 40),
        "open algo orders": Endpoint("fapiPrivateGetOpenAlgoOrders", 1, 40),
        "all orders": Endpoint("fapiPrivateGetAllOrders", 5),
        "all algo orders": Endpoint("fapiPrivateGetAllAlgoOrders", 5),
        "trades": Endpoint("fapiPrivateGetUserTrades", 5),
        "income": Endpoint("fapiPrivateGetIncome", 30),
        "funding rates": Endpoint("fapiPublicGetFundingRate", 1, signed=False),
        "positions": Endpoint("fapiPrivateV3GetPositionRisk", 5),
        "balance": Endpoint("fapiPrivateV3GetBalance", 5),
        "account config": Endpoint("fapiPrivateGetAccountConfig", 5),
        "symbol config": Endpoint("fapiPrivateGetSymbolConfig", 5),
        "position mode": Endpoint("fapiPrivateGetPositionSideDual", 30),
        "fee burn": Endpoint("fapiPrivateGetFeeBurn", 30),
        "set leverage": Endpoint("fapiPrivatePostLeverage", 1),
        "set margin type": Endpoint("fapiPrivatePostMarginType", 1),
        "new listen key": Endpoint("fapiPrivatePostListenKey", 1, signed=False),
        "extend listen key": Endpoint("fapiPrivatePutListenKey", 1, signed=False),
        "key restrictions": Endpoint("sapiGetAccountApiRestrictions", 1),
    }
)


class NotSent(Exception):
    """The request did not leave: the budget or a ban forbids it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Unasked(VenueDown):
    """A question did not leave, as in NotSent."""

    def __init__(self, what: str, unsent: NotSent) -> None:
        super().__init__(f"Binance is not asked ({what}): {unsent}")
        self.code = unsent.code
        self.reason = str(unsent)


class Refusal(VenueDown):
    """A question was refused with a code."""

    def __init__(self, what: str, said: Verdict) -> None:
        super().__init__(f"Binance refuses {what}: {said.code} {said.reason}")
        self.code = said.code
        self.reason = said.reason


class Rest:
    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self.session = VendorSession(access)
        self.budget = budget or RateBudget(WEIGHT_LIMIT, WEIGHT_SECONDS)
        self._clock = clock
        self._window = str(access.receive_window_seconds * 1_000)
        self._told_at = datetime.fromtimestamp(0, UTC)

    async def now(self) -> datetime:
        """The time of the turn, else the venue's; raises VenueDown."""
        return self._clock.now() or await self.server_time()

    async def server_time(self) -> datetime:
        """Raises VenueDown."""
        row = await self._ask("time", {}, self._clock.now() or self._told_at)
        try:
            self._told_at = fields.moment(row if isinstance(row, dict) else {}, "serverTime")
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's time cannot be read: {error}") from error
        return self._told_at

    async def change(self, what: str, params: Mapping[str, str], at: datetime, *, urgent: bool) -> Verdict:
        """A request that changes something: sent once, signed with `at`, whatever becomes of it.

        Raises:
            NotSent: it did not leave.
        """
        try:
            return verdict(await self._send(what, params, at, urgent=urgent))
        except NoAnswer as error:
            return Verdict(Proof.OPEN, "no answer", str(error), {})

    async def ask(self, what: str, **params: str) -> Any:
        """A question; its document. A refused timestamp is set right once.

        Raises:
            Refusal: the venue answered with a code.
            Unasked: it did not leave.
            VenueDown: it did not answer.
        """
        try:
            return await self._ask(what, params, await self.now())
        except Refusal as refusal:
            if refusal.code not in TIMESTAMP:
                raise
        return await self._ask(what, params, await self.server_time())

    async def rows(self, what: str, **params: str) -> list[Row]:
        """A question whose answer is a list; raises VenueDown."""
        try:
            return fields.listed(await self.ask(what, **params))
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's {what}: {error}") from error

    async def _ask(self, what: str, params: Mapping[str, str], at: datetime) -> Any:
        try:
            raw = await self._send(what, params, at, urgent=False)
        except NotSent as unsent:
            raise Unasked(what, unsent) from unsent
        except NoAnswer as error:
            raise VenueDown(f"Binance does not answer ({what}): {error}") from error
        said = verdict(raw)
        if said.proof is Proof.DONE:
            return exact_json(raw.text)
        if said.proof is Proof.REFUSED and said.code.startswith("-"):
            raise Refusal(what, said)
        raise VenueDown(f"Binance does not answer ({what}): {said.code} {said.reason}")

    async def _send(self, what: str, params: Mapping[str, str], at: datetime, *, urgent: bool) -> Raw:
        endpoint, now = ENDPOINTS[what], self._clock.now() or at
        weight = endpoint.weight if endpoint.whole is None or "symbol" in params else endpoint.whole
        if self.budget.is_banned(now):
            raise NotSent("banned", f"not sent, banned until {self.budget.banned_until}")
        if not self.budget.admit(weight, urgent, now):
            raise NotSent(
                "rate-budget", f"not sent, the minute's weight is used up ({self.budget.used(now)})"
            )
        sent = {**params, "recvWindow": self._window} if endpoint.signed else dict(params)
        raw = await self.session.send(endpoint.name, sent, fields.millis(at))
        self._learn(raw, now)
        return raw

    def _learn(self, raw: Raw, now: datetime) -> None:
        used = raw.headers.get("x-mbx-used-weight-1m", "")
        if used.isdigit():
            self.budget.learned(int(used), now)
        wait = raw.headers.get("retry-after")
        # -1015 is 429 too, but only means this order: it comes without a time to wait.
        if raw.status in LIMIT_STATUSES and (wait is not None or "-1015" not in raw.text):
            self.budget.ban(_seconds(wait, _WAITS[raw.status]), now)

    async def close(self) -> None:
        await self.session.close()


def _seconds(wait: str | None, otherwise: float) -> float:
    try:
        return min(max(float(wait or otherwise), 1.0), _WAIT_MAX)
    except ValueError:
        return otherwise
