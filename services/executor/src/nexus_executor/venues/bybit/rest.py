"""Bybit's REST interface without blocking: budgets before a request, evidence after it, time for its signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.broker import VenueDown
from nexus_executor.venues.bybit.evidence import BANNED, TIMESTAMP, TOO_MANY, TURNED_AWAY
from nexus_executor.venues.bybit.reading import Row, read_document, text_of, whole_of
from nexus_executor.venues.bybit.session import NoAnswer, RawAnswer, SignedSession
from nexus_executor.venues.private_stream import UnreadableFrame
from nexus_executor.venues.rate_budget import RateBudget

ADDRESS_LIMIT: Final = 600
ADDRESS_SECONDS: Final = 5
_BAN_SECONDS: Final = 600.0  # Rate Limit: "wait at least 10 minutes"
_DIGITS_MAX: Final = 16
_PAGES_MAX: Final = 200
# Requests a second and user before the venue's headers have said what they are.
_FIRST_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "place_order": 10,
        "amend_order": 10,
        "cancel_order": 10,
        "cancel_all_orders": 10,
        "set_trading_stop": 10,
        "set_leverage": 10,
        "get_api_key_information": 10,
    }
)
_QUERY_LIMIT: Final = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue said: `code` 0 is yes; a request that was turned away at the door has its HTTP status."""

    code: int
    message: str
    result: Row
    status: int = 200


class NotSent(Exception):
    """The request did not leave: the budget or a ban forbids it."""


@dataclass(slots=True)
class _Limits:
    """The venue's limit of each endpoint, as its headers tell it."""

    budgets: dict[str, tuple[int, RateBudget]] = field(default_factory=dict)

    def of(self, method: str) -> RateBudget:
        known = self.budgets.get(method)
        if known is None:
            return self._set(method, _FIRST_LIMITS.get(method, _QUERY_LIMIT))
        return known[1]

    def _set(self, method: str, limit: int) -> RateBudget:
        budget = RateBudget(limit, 1)
        self.budgets[method] = limit, budget
        return budget

    def learn(self, method: str, headers: Mapping[str, str], now: datetime) -> None:
        limit, left = headers.get("x-bapi-limit", ""), headers.get("x-bapi-limit-status", "")
        if not (limit.isdigit() and left.isdigit()):
            return
        self.of(method)
        if int(limit) > 0 and self.budgets[method][0] != int(limit):
            self._set(method, int(limit))
        self.of(method).learned(int(limit) - int(left), now)


class Rest:
    """Requests of one account. Times are the venue's: of the turn, or asked for."""

    def __init__(
        self, access: Access, clock: TurnClock, workers: Executor, budget: RateBudget | None = None
    ) -> None:
        self._session = SignedSession(access)
        self._clock = clock
        self._workers = workers
        self._address = budget or RateBudget(ADDRESS_LIMIT, ADDRESS_SECONDS)
        self._limits = _Limits()
        self._told_at: datetime | None = None
        self._turn: tuple[datetime, float] | None = None

    async def now(self) -> datetime:
        """The time of the turn, else the venue's; raises VenueDown."""
        return self._clock.now() or await self.server_time()

    async def server_time(self) -> datetime:
        """Ask for it; raises VenueDown."""
        at = self._clock.now() or self._told_at or datetime.fromtimestamp(0, UTC)
        try:
            answer = await self._exchange("get_server_time", at, {}, urgent=False)
        except (NoAnswer, NotSent, UnreadableFrame) as error:
            raise VenueDown(f"Bybit's time: {error}") from error
        try:
            nano = whole_of(answer.result, "timeNano")
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's time: {error}") from error
        self._told_at = datetime.fromtimestamp(nano // 1_000_000_000, UTC) + timedelta(
            microseconds=nano // 1000 % 1_000_000
        )
        return self._told_at

    async def change(self, method: str, params: Mapping[str, Any], at: datetime, *, urgent: bool) -> Answer:
        """Send a request that changes something, once, signed with `at`.

        Raises:
            NoAnswer: nobody knows whether it was carried out.
            NotSent: it did not leave.
            UnreadableFrame: it was answered with something that is no answer.
        """
        return await self._exchange(method, at, params, urgent=urgent)

    async def ask(self, method: str, **params: Any) -> Row:
        """A question; its result. A refused timestamp is set right once.

        Raises:
            VenueDown: there is no answer, or a code in place of one.
        """
        answer = await self.answer(method, **params)
        if answer.code != 0:
            raise VenueDown(f"Bybit refuses {method}: {answer.code} {answer.message}")
        return answer.result

    async def answer(self, method: str, **params: Any) -> Answer:
        """A question; whatever the venue says. Raises VenueDown when it says nothing."""
        try:
            answer = await self._exchange(method, await self.now(), params, urgent=False)
            if answer.code in TIMESTAMP:
                answer = await self._exchange(method, await self.server_time(), params, urgent=False)
        except (NoAnswer, NotSent, UnreadableFrame) as error:
            raise VenueDown(f"Bybit does not answer {method}: {error}") from error
        return answer

    async def pages(self, method: str, **params: Any) -> list[Row]:
        """All rows of a paged question; raises VenueDown, also for a page that is none."""
        rows: list[Row] = []
        cursor = ""
        for _ in range(_PAGES_MAX):
            page = await self.ask(method, **params, **({"cursor": cursor} if cursor else {}))
            listed = page.get("list")
            if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
                raise VenueDown(f"Bybit's answer to {method} has no list")
            rows.extend(listed)
            following = page.get("nextPageCursor")
            if not following or following == cursor or not listed:
                return rows
            cursor = text_of(page, "nextPageCursor")
        raise VenueDown(f"Bybit's answer to {method} has more than {_PAGES_MAX} pages")

    # -- one request ----------------------------------------------------------------------------------

    async def _exchange(
        self, method: str, at: datetime, params: Mapping[str, Any], *, urgent: bool
    ) -> Answer:
        now = self._moment(self._clock.now() or at)
        self._admit(method, now, urgent=urgent)
        loop = asyncio.get_running_loop()
        try:
            sending = loop.run_in_executor(
                self._workers, self._session.send, method, int(at.timestamp() * 1000), dict(params)
            )
        except RuntimeError as error:
            raise NotSent("not sent, the broker is closed") from error
        raw = await sending
        self._learn(method, raw, now)
        if raw.status in TURNED_AWAY:
            return Answer(raw.status, f"HTTP {raw.status} {raw.text[:200]}", {}, raw.status)
        if raw.status != 200:
            raise NoAnswer(f"{method}: HTTP {raw.status} {raw.text[:200]}")
        document = read_document(raw.text)
        return Answer(
            whole_of(document, "retCode"), text_of(document, "retMsg", empty=True), _result(document)
        )

    def _moment(self, at: datetime) -> datetime:
        """The time that budgets count by: limits hold for a second, and a turn may take several."""
        passed = time.monotonic()
        if self._turn is None or self._turn[0] != at:
            self._turn = at, passed
        return at + timedelta(seconds=passed - self._turn[1])

    def _admit(self, method: str, now: datetime, *, urgent: bool) -> None:
        for budget in (self._limits.of(method), self._address):
            if budget.is_banned(now):
                raise NotSent(f"not sent, banned until {budget.banned_until:%Y-%m-%d %H:%M:%S}")
            if not budget.admit(1, urgent, now):
                raise NotSent(f"not sent, the budget of {method} is used up")

    def _learn(self, method: str, raw: RawAnswer, now: datetime) -> None:
        self._limits.learn(method, raw.headers, now)
        if raw.status in BANNED:
            self._address.ban(_waiting(raw.headers), now)
        elif f'"retCode":{TOO_MANY},' in raw.text.replace(" ", ""):
            self._limits.of(method).ban(_until_reset(raw.headers, now), now)

    def close(self) -> None:
        self._session.close()


def _result(document: Row) -> Row:
    result = document.get("result")
    return result if isinstance(result, dict) else {}


def _waiting(headers: Mapping[str, str]) -> float:
    """Seconds of silence after a ban: what the answer says, else ten minutes."""
    text = headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdecimal() and len(text) < _DIGITS_MAX else _BAN_SECONDS


def _until_reset(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds until the user's limit is reset; 0 when the answer does not say."""
    text = headers.get("x-bapi-limit-reset-timestamp", "")
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        return 0.0
    return min(max(int(text) / 1000 - now.timestamp(), 0.0), _BAN_SECONDS)
