"""pybit's HTTP client as we need it: signed with a time that is given, sent once, answered with the raw text."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from pybit.unified_trading import HTTP

from nexus_executor.venues.access import Access

# An empty set of codes would mean pybit's own: it would wait and send an order again after 10002 and 10006.
_NEVER_AGAIN: Final = frozenset((-987_654_321,))


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An HTTP answer, whatever it says; header names in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]


class NoAnswer(Exception):
    """The connection failed or was silent; whether the request arrived is not known."""


class SignedSession(HTTP):  # type: ignore[misc]
    """One account's client. Each call sends exactly one request."""

    def __init__(self, access: Access) -> None:
        super().__init__(
            api_key=access.key,
            api_secret=access.secret,
            timeout=access.timeout_seconds,
            recv_window=access.receive_window_seconds * 1000,
            max_retries=1,
            retry_codes=_NEVER_AGAIN,
            force_retry=False,
            log_requests=False,
            logging_level=logging.CRITICAL,
        )
        self.endpoint = access.rest_url.rstrip("/")
        # Nothing of the environment: neither its proxies nor its .netrc.
        self.client.trust_env = False
        if access.proxy is not None:
            self.client.proxies = {"http": access.proxy, "https": access.proxy}
        self._stamp = threading.local()

    def send(self, method: str, stamp_ms: int, params: Mapping[str, Any]) -> RawAnswer:
        """Call a method of pybit's by name, signed with this time; for a worker thread.

        Raises:
            NoAnswer: nothing came back.
        """
        self._stamp.value = stamp_ms
        try:
            answer: RawAnswer = getattr(self, method)(**params)
        except requests.RequestException as error:
            # The error's text may hold the address, never the signature: that travels in the headers.
            raise NoAnswer(f"{method}: {type(error).__name__}") from error
        return answer

    def _prepare_headers(
        self, payload: str, recv_window: int, content_type: str = "application/json"
    ) -> dict[str, str]:
        stamp = self._stamp.value
        return {
            "Content-Type": content_type,
            "X-BAPI-API-KEY": self.api_key,
            "X-BAPI-SIGN": self._auth(payload=payload, recv_window=recv_window, timestamp=stamp),
            "X-BAPI-SIGN-TYPE": "2",
            "X-BAPI-TIMESTAMP": str(stamp),
            "X-BAPI-RECV-WINDOW": str(recv_window),
        }

    def _check_status_code(self, response: Any, method: str, path: str, params: Any) -> None:
        """Statuses are evidence, not errors: see `evidence`."""

    def _handle_response(self, response: Any, *_ignored: Any) -> RawAnswer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return RawAnswer(int(response.status_code), response.text, headers)

    def close(self) -> None:
        self.client.close()
