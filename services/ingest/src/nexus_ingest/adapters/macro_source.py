"""What every source of market-wide figures is: asked over HTTP, with a few retries, and read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from nexus_common.contracts.macro import MacroRead

ATTEMPTS: Final = 3
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
# Of a proxy, a gateway or a limit: another time it may answer.
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_BODY_MAX: Final = 1 << 20


class MacroUnread(Exception):
    """A source gave no figures; the message says which source, and why."""


class MacroSource(Protocol):
    async def read(self) -> MacroRead:
        """The figures as the source stamped them; raises MacroUnread."""


class _Passing(Exception):
    """Worth another attempt."""


class Inquiry:
    """GET of one address, behind a proxy if there is one; pauses between attempts start at `pause_seconds`."""

    def __init__(
        self,
        source: str,
        url: str,
        headers: Mapping[str, str],
        proxy: str | None = None,
        pause_seconds: float = 1.0,
    ) -> None:
        self._source = source
        self._url = url
        self._headers = headers
        self._proxy = proxy
        self._pause_seconds = pause_seconds

    async def answer(self) -> tuple[int, bytes]:
        """Status and body; raises MacroUnread after attempts in vain."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=self._pause_seconds, max=30, jitter=self._pause_seconds),
            reraise=True,
        )
        try:
            return await attempts(self._once)
        except _Passing as problem:
            raise MacroUnread(f"{self._source}: {problem}, {ATTEMPTS} times") from None

    async def _once(self) -> tuple[int, bytes]:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(self._url, headers=self._headers, proxy=self._proxy) as response,
            ):
                if response.status in _PASSING:
                    raise _Passing(f"status {response.status}")
                body = await response.content.read(_BODY_MAX)
                return response.status, body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Addresses of proxies hold passwords, and errors of connections hold addresses.
            raise _Passing(f"no answer ({type(error).__name__})") from None
