"""Alpaca's REST API: the vendor's client in threads, each request sent once, within the rate limit."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import requests

with warnings.catch_warnings():
    # The vendor's stream, imported with it, uses a websockets interface that is announced to go.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.trading.client import TradingClient

from nexus_common.runtime.clock import WallClock
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.exact_json import exact_json
from nexus_executor.venues.private_stream import UnreadableFrame
from nexus_executor.venues.rate_budget import RateBudget

# 200 requests a minute for an account (alpaca.markets/support/usage-limit-api-calls).
REQUESTS_A_MINUTE: Final = 200
_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `document` is None where the body is empty or no JSON; then `readable` tells which."""

    status: int
    document: Any
    readable: bool
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """Alpaca's own number of an error, else the HTTP status."""
        code = self.document.get("code") if isinstance(self.document, dict) else None
        return str(code) if isinstance(code, int | str) else str(self.status)

    @property
    def reason(self) -> str:
        message = self.document.get("message") if isinstance(self.document, dict) else None
        return message if isinstance(message, str) else f"HTTP {self.status}"


class NoAnswer(Exception):
    """Sent, or partly sent, and nothing readable came back."""


class NotSent(Exception):
    """Held back: the rate limit is used up, or the venue told us to wait."""


class _Client(TradingClient):
    """The vendor's client; answers are given as they are, nothing is sent twice, nothing waits for ever."""

    def __init__(self, access: Access) -> None:
        super().__init__(access.key, access.secret, paper=not access.live, url_override=access.rest_url)
        self._timeout = access.timeout_seconds
        self._session.trust_env = False
        if access.proxy is not None:
            self._session.proxies = {"http": access.proxy, "https": access.proxy}

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:
        response = self._session.request(method, url, timeout=self._timeout, **opts)
        document, readable = None, True
        if response.text:
            try:
                document = exact_json(response.text)
            except UnreadableFrame:
                readable = False
        return Answer(response.status_code, document, readable, dict(response.headers))

    def hang_up(self) -> None:
        self._session.close()


class Rest:
    """Asks and sends for one account."""

    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self._client = _Client(access)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="alpaca")
        self._clock = clock
        self._wall = WallClock()
        self._budget = budget or RateBudget(REQUESTS_A_MINUTE, 60)

    def now(self) -> datetime:
        """The turn's time; the wall's before the first turn."""
        return self._clock.now() or self._wall.now()

    async def ask(
        self,
        method: Literal["GET", "POST", "PATCH", "DELETE"],
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        urgent: bool = False,
    ) -> Answer:
        """Send one request, once; `urgent` may use what is reserved for exits. Raises NoAnswer or NotSent."""
        now = self.now()
        if not self._budget.admit(1, urgent, now):
            until = self._budget.banned_until if self._budget.is_banned(now) else None
            why = "the rate limit is used up" if until is None else f"banned until {until.isoformat()}"
            raise NotSent(f"not sent, {why}")
        send: Callable[..., object] = getattr(self._client, method.lower())
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._pool, send, path, None if data is None else dict(data))
        except (requests.exceptions.RequestException, OSError, RuntimeError) as error:
            # The text of the vendor's errors may hold the address, never the keys; the type is enough.
            raise NoAnswer(f"{method} {path.split('/')[1]}: {type(error).__name__}") from None
        if not isinstance(answer, Answer):
            raise NoAnswer(f"{method} {path.split('/')[1]}: no answer")
        self._learn(answer, now)
        return answer

    def _learn(self, answer: Answer, now: datetime) -> None:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        remaining = headers.get("x-ratelimit-remaining", "")
        limit = headers.get("x-ratelimit-limit", "")
        pause = headers.get("retry-after", "")
        if answer.status in (403, 418, 429) and pause.isdigit():
            # It says how long to wait; what it says is used is over by then.
            self._budget.ban(int(pause), now)
        elif remaining.isdigit() and limit.isdigit():
            self._budget.learned(int(limit) - int(remaining), now)

    async def close(self) -> None:
        self._client.hang_up()
        await asyncio.to_thread(self._pool.shutdown)
