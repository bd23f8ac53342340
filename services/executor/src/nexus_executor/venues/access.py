"""What it takes to reach an account at its venue, and what time it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from nexus_common.contracts.values import AccountId


@dataclass(frozen=True, slots=True)
class Access:
    """Keys and addresses of one account. Addresses are scheme and host, without a path.

    `live` chooses the venue's real-money side where it has two. `proxy` is a static-IP proxy for HTTP and
    WebSocket alike.
    """

    account: AccountId
    key: str = field(repr=False)
    secret: str = field(repr=False)
    rest_url: str
    stream_url: str
    live: bool = False
    proxy: str | None = None
    timeout_seconds: float = 5.0
    receive_window_seconds: int = 5


class TurnClock:
    """The time of the turn that is being taken: requests are signed with it. None before the first turn."""

    def __init__(self) -> None:
        self._at: datetime | None = None

    def told(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime | None:
        return self._at
