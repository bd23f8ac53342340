"""Who may ask, and how often: keys, signatures, the time window, limits per user and address.

Sources: Bybit V5 documentation, Integration Guidance (signature and time rule) and Rate Limit.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from nexus_market.exchange import Exchange
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.bybit.codes import NotDone
from nexus_simvenue.wire.dialect import Window
from nexus_simvenue.wire.http import HttpRequest

ADDRESS_LIMIT: Final = 600
ADDRESS_SECONDS: Final = 5
_BAN: Final = timedelta(minutes=10)
_DEFAULT_WINDOW: Final = 5_000
_AHEAD_MAX: Final = 1_000
# The professional tier (PRO 3): in a market played in lock step the clock stands still within a turn, so a
# second's worth of requests has to do for all of it. `rate_limit` of an account sets another one.
_ORDERS_A_SECOND: Final = 200
_PER_SECOND: Final[Mapping[str, int]] = MappingProxyType(
    {
        "/v5/order/create": _ORDERS_A_SECOND,
        "/v5/order/amend": _ORDERS_A_SECOND,
        "/v5/order/cancel": _ORDERS_A_SECOND,
        "/v5/order/cancel-all": _ORDERS_A_SECOND,
        "/v5/position/set-leverage": _ORDERS_A_SECOND,
        "/v5/position/trading-stop": _ORDERS_A_SECOND,
        "/v5/user/query-api": 100,
    }
)
_QUERIES_A_SECOND: Final = 200
_NO_LIMIT_AT: Final = "/v5/market/"


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@dataclass(slots=True)
class Flags:
    """What a person or the venue has done to an account (control method `flag`)."""

    revoked: bool = False
    expired: bool = False
    ip_restricted: bool = False
    no_trade_permission: bool = False
    can_withdraw: bool = False
    banned: bool = False
    reduce_only: bool = False
    hedge_mode: bool = False
    late_refusals: bool = False
    rate_limit: int | None = None
    margin_mode: str = "REGULAR_MARGIN"

    def put(self, name: str, value: Any) -> None:
        """Raises ValueError for a name or a value that makes no sense."""
        if name not in self.__slots__:
            raise ValueError(f"there is no flag {name!r}; known are {', '.join(self.__slots__)}")
        kinds = {"rate_limit": (int, type(None)), "margin_mode": (str,)}.get(name, (bool,))
        if not isinstance(value, kinds):
            raise ValueError(f"flag {name} does not take {value!r}")
        setattr(self, name, value)


@dataclass(slots=True)
class Gate:
    """Counts requests; lets those in that are signed by an account of this exchange."""

    exchange: Exchange
    flags: dict[str, Flags] = field(default_factory=dict)
    _addresses: Window = field(default_factory=lambda: Window(ADDRESS_SECONDS))
    _users: Window = field(default_factory=lambda: Window(1))
    _banned: dict[str, datetime] = field(default_factory=dict)

    def flags_of(self, account: str) -> Flags:
        return self.flags.setdefault(account, Flags())

    def is_banned(self, peer: str, now: datetime) -> bool:
        """Count a request of an address; more than 600 in 5 seconds lock it out (HTTP 403)."""
        until = self._banned.get(peer)
        if until is not None and now < until:
            return True
        if self._addresses.add(peer, 1, now) > ADDRESS_LIMIT:
            self._banned[peer] = now + _BAN
            return True
        return False

    def account(self, request: HttpRequest, now: datetime) -> str:
        """Whose request it is.

        Raises:
            NotDone: 10002 … 10010, 33004, or HTTP 401 without the headers.
        """
        headers = request.headers
        key, sign = headers.get("x-bapi-api-key"), headers.get("x-bapi-sign")
        stamp, window = headers.get("x-bapi-timestamp"), headers.get("x-bapi-recv-window")
        if not key or not sign or not stamp:
            raise NotDone(10007, status=401)
        if key not in self.exchange.accounts:
            raise NotDone(10003)
        self._in_time(stamp, window, now)
        payload = request.query if request.method == "GET" else request.body
        text = f"{stamp}{key}{window or ''}{payload}"
        if not hmac.compare_digest(_signature(key, text), sign):
            raise NotDone(10004, f"error sign! origin_string[{text}]")
        self._allowed(key)
        return key

    @staticmethod
    def _in_time(stamp: str, window: str | None, now: datetime) -> None:
        if not stamp.isdigit() or (window is not None and not window.isdigit()):
            raise NotDone(10001, "params error: timestamp and recv_window are milliseconds")
        server, asked = milliseconds(now), int(stamp)
        spread = int(window) if window is not None else _DEFAULT_WINDOW
        if not server - spread <= asked < server + _AHEAD_MAX:
            raise NotDone(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{asked}],server_timestamp[{server}],recv_window[{spread}]",
            )

    def _allowed(self, account: str) -> None:
        flags = self.flags_of(account)
        for is_set, code in ((flags.revoked, 10003), (flags.expired, 33004), (flags.ip_restricted, 10010)):
            if is_set:
                raise NotDone(code)

    def may_trade(self, account: str) -> None:
        flags = self.flags_of(account)
        if flags.no_trade_permission:
            raise NotDone(10005)
        if flags.banned:
            raise NotDone(10027)

    def count(self, account: str, path: str, now: datetime) -> tuple[Mapping[str, str], bool]:
        """Count a user's request to an endpoint: the headers that say so, and whether it was too many."""
        if path.startswith(_NO_LIMIT_AT):
            return {}, False
        limit = self.flags_of(account).rate_limit or _PER_SECOND.get(path, _QUERIES_A_SECOND)
        used = self._users.add(f"{account} {path}", 1, now)
        too_many = used > limit
        reset = now + timedelta(seconds=1) if too_many else now
        headers = {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(max(limit - used, 0)),
            "X-Bapi-Limit-Reset-Timestamp": str(milliseconds(reset)),
        }
        return headers, too_many

    def greets(self, key: Any, expires: Any, sign: Any, now: datetime) -> NotDone | None:
        """Why a WebSocket's `auth` is refused; None when it is not."""
        if not isinstance(key, str) or not isinstance(sign, str) or isinstance(expires, bool):
            return NotDone(10001, "Params Error")
        if key not in self.exchange.accounts:
            return NotDone(10003, "API key is invalid.")
        if not isinstance(expires, int) or expires <= milliseconds(now):
            return NotDone(10002, "Params Error")
        if not hmac.compare_digest(_signature(key, f"GET/realtime{expires}"), sign):
            return NotDone(10004, "Params Error")
        try:
            self._allowed(key)
        except NotDone as refused:
            return refused
        return None


def _signature(account: str, text: str) -> str:
    return hmac.new(simulated_secret(account).encode(), text.encode(), sha256).hexdigest()
