"""Request weights by address, order counts by account, and what happens to who does not stop.

Source: USDⓈ-M Futures, General Info "LIMITS"; exchangeInfo `rateLimits`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.wire.dialect import Window

WEIGHT_MAX = 2_400
ORDERS_MINUTE_MAX = 1_200
ORDERS_TEN_SECONDS_MAX = 300
_STRIKES_MAX = 10
_BAN_FIRST = timedelta(minutes=2)
_BAN_MAX = timedelta(days=3)


class Banned(Exception):
    """The address is out until then; `status` 429 asks it to stop, 418 is the ban itself."""

    def __init__(self, status: int, until: datetime) -> None:
        super().__init__(f"{status} until {until.isoformat()}")
        self.status = status
        self.until = until


class Limits:
    """Counts what is used; goes on after 429 lead to bans that double, from two minutes to three days."""

    def __init__(self) -> None:
        self._weights = Window(60)
        self._minute = Window(60)
        self._ten_seconds = Window(10)
        self._until: dict[str, datetime] = {}
        self._strikes: dict[str, int] = {}
        self._bans: dict[str, int] = {}

    def spend(self, peer: str, weight: int, now: datetime) -> int:
        """Count a request and return what the minute holds; raises Banned."""
        until = self._until.get(peer)
        if until is not None and now < until:
            raise Banned(418, until)
        used = self._weights.add(peer, weight, now)
        if used <= WEIGHT_MAX:
            self._strikes.pop(peer, None)
            return used
        strikes = self._strikes[peer] = self._strikes.get(peer, 0) + 1
        if strikes <= _STRIKES_MAX:
            raise Banned(429, now + timedelta(minutes=1))
        bans = self._bans[peer] = self._bans.get(peer, 0) + 1
        self._until[peer] = now + min(_BAN_FIRST * 2 ** (bans - 1), _BAN_MAX)
        self._strikes.pop(peer)
        raise Banned(418, self._until[peer])

    def ban(self, peer: str, until: datetime) -> None:
        self._until[peer] = until

    def order(self, account: str, now: datetime) -> dict[str, str]:
        """Count an order and return the headers that tell; raises Wrong (-1015)."""
        minute, short = self._minute.add(account, 1, now), self._ten_seconds.add(account, 1, now)
        if short > ORDERS_TEN_SECONDS_MAX:
            raise Wrong(-1015, ORDERS_TEN_SECONDS_MAX, "10 SECOND")
        if minute > ORDERS_MINUTE_MAX:
            raise Wrong(-1015, ORDERS_MINUTE_MAX, "1 MINUTE")
        return {"X-MBX-ORDER-COUNT-1M": str(minute), "X-MBX-ORDER-COUNT-10S": str(short)}
