"""One venue's protocol over the matching engine: what it must answer, and what it tells unasked.

A dialect is deterministic in the sequence of what it is asked, and is asked again from the journal after a
restart; only its sockets are gone by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from nexus_common.contracts.values import Venue
from nexus_market.exchange import Order
from nexus_market.exchange.wire import simulated_secret as simulated_secret
from nexus_simvenue.faults import Call
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message of an account's private stream. `kind` is for fault rules (accepted, fill, canceled, …)."""

    account: str
    topic: str
    kind: str
    frame: Frame


class SocketRefused(Exception):
    """The handshake is answered with this status instead."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True, eq=False)
class Socket:
    """One WebSocket of a client; a dialect keeps what it knows of it in `account`, `topics` and `notes`.

    `headers` are the handshake's, in lower case; `closed` once the client is gone.
    """

    path: str
    query: dict[str, str]
    account: str | None = None
    topics: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)
    closed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """`now` is the venue's time."""

    venue: Venue

    def call_of(self, request: HttpRequest) -> Call:
        """The request in the words of fault rules; never raises."""

    def changes(self, request: HttpRequest) -> bool:
        """Whether it may change something, and so must be in the journal."""

    def handle(self, request: HttpRequest, now: datetime) -> HttpResponse:
        """Answer as the venue documents; whatever is wrong with a request is an answer, not an exception."""

    def refusal(self, code: str, request: HttpRequest) -> HttpResponse:
        """How this venue words a refusal of such a request with such a code."""

    def limited(self, status: int, retry_after: float, now: datetime) -> HttpResponse:
        """How this venue says that there were too many requests (429, 418, 403)."""

    def outbox(self) -> Sequence[Outgoing]:
        """What has happened since this was last asked, in order; asked after everything that changes something."""

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        """Greet a new socket; raises SocketRefused."""

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        """Answer what a client says on its socket."""

    def wants(self, socket: Socket, outgoing: Outgoing) -> bool:
        """Whether a private message goes to this socket."""

    def noise(self, unknown: bool) -> Frame:
        """A message of a kind that nobody knows, or one that cannot be read."""

    def flag(self, account: str, name: str, value: Any) -> None:
        """Set what a person or the venue can do to an account (`revoked`, `hedge_mode`, …); raises ValueError."""


@runtime_checkable
class Tending(Protocol):
    """A dialect whose venue does things by itself as time passes: orders expire at the close of a session."""

    def before_step(self, at: datetime) -> None:
        """What was due before the market's next step, which is at `at`."""

    def tend(self) -> None:
        """What follows from what has just been done; called after every request that changes something."""


class Visibility:
    """Which orders queries do not find yet."""

    def __init__(self) -> None:
        self._hidden: dict[tuple[str, str], datetime] = {}

    def hide(self, account: str, client_order_id: str, until: datetime) -> None:
        self._hidden[account, client_order_id] = until

    def sees(self, order: Order, now: datetime) -> bool:
        until = self._hidden.get((order.account, order.ticket.client_order_id))
        return until is None or now >= until


class Window:
    """How much of something was used within a span of venue time, by key (an address, an account)."""

    def __init__(self, seconds: int) -> None:
        self._span = timedelta(seconds=seconds)
        self._used: dict[str, tuple[datetime, int]] = {}

    def add(self, key: str, weight: int, now: datetime) -> int:
        """Count it and return what the running span holds, this included."""
        since, used = self._used.get(key, (now, 0))
        if not since <= now < since + self._span:
            since, used = now, 0
        self._used[key] = (since, used + weight)
        return used + weight
