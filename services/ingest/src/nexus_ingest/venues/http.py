"""HttpQuestions by HTTP GET, with a few attempts and what a venue says about waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from nexus_ingest.venues.feed import FeedDown

ATTEMPTS: Final = 4
# Of a limit, a gateway or a server in trouble: another time it may answer.
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_WAIT_MAX: Final = 60.0
_AT_ONCE: Final = 4


class Answer(NamedTuple):
    status: int
    body: bytes


class _Passing(Exception):
    """Worth another attempt, `wait_seconds` later at the earliest."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class HttpQuestions:
    """What is asked of one address, four at once at most; the first pause is `pause_seconds`, then twice that.

    `name` says in errors who was asked; addresses stay out of them, as keys and proxies' passwords do.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        proxy: str | None = None,
        timeout_seconds: float = 10.0,
        pause_seconds: float = 0.5,
    ) -> None:
        self._name, self._url = name, url.rstrip("/")
        self._headers, self._proxy = dict(headers), proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._pause_seconds = pause_seconds
        self._session: aiohttp.ClientSession | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def get(self, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        """The answer, whatever its status says, if another attempt would not help.

        Raises:
            FeedDown: nothing but time-outs, broken connections, limits and servers in trouble.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            reraise=True,
        )
        try:
            async with self._room:
                return await attempts(self._once, path, fields)
        except _Passing as problem:
            raise FeedDown(f"{self._name}: {problem}, {ATTEMPTS} times") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, path: str, fields: Mapping[str, str] | None) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        try:
            async with self._session.get(self._url + path, params=fields, proxy=self._proxy) as response:
                if response.status in _PASSING:
                    raise _Passing(f"status {response.status}", _told_wait(response.headers))
                return Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Passing(f"no answer ({type(error).__name__})") from None

    def _wait(self, state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome is not None else None
        told = problem.wait_seconds if isinstance(problem, _Passing) else 0.0
        return float(max(told, self._pause_seconds * 2.0 ** (state.attempt_number - 1)))


def _told_wait(headers: Mapping[str, str]) -> float:
    """`Retry-After` in seconds, a minute at most; 0 where there is none."""
    with suppress(ValueError):
        return min(max(0.0, float(headers.get("Retry-After", "0"))), _WAIT_MAX)
    return 0.0
