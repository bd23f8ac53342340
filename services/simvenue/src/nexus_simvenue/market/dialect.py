"""One venue's public protocol: how what happens in a market is worded, and what may be asked by REST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_simvenue.market.happenings import Happening
from nexus_simvenue.wire.dialect import Frame, Socket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

# Twice what WebSocket clients take by default (aiohttp: 4 MiB).
OVERSIZED: Final = 8 << 20


class History(Protocol):
    """What the venue's REST side knows of the past, up to the venue's present moment."""

    def instruments(self) -> Sequence[Instrument]: ...

    def is_trading(self, symbol: Symbol) -> bool: ...

    def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> Sequence[Bar]:
        """Bars opening from `first` to `last` (ms, both included), oldest first, closed ones only."""

    def open_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        """The candle that is still open, as it stands."""

    def newest(self, symbol: Symbol, count: int) -> Sequence[Happening]:
        """The last prints, tops and marks of an instrument, oldest first."""

    def funding(self, symbol: Symbol, first: int, last: int) -> Sequence[tuple[int, str]]:
        """Settlements due from `first` to `last` (ms, both included) and their rates, oldest first."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A message for everybody who listens to `topic`; `plain` is its body before any envelope of a socket.

    `every` is the topic of those who listen to all instruments at once (`AM.*`); empty where there is none.
    """

    topic: str
    plain: Frame
    every: str = ""


class MarketDialect(Protocol):
    """Stateless but for what it keeps in `Socket.topics` and `Socket.notes`."""

    def accepts(self, path: str) -> bool:
        """Whether a WebSocket at this path is one of the market's (and not of accounts)."""

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        """Greet; topics named in the address are taken down. Raises SocketRefused."""

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        """Answer a subscription, a ping, an authentication; topics are kept in `socket.topics`.

        Raises:
            SocketRefused: the venue closes such a connection.
        """

    def word(self, symbol: Symbol, happening: Happening) -> Worded | None:
        """How this venue says it; None where it does not say such things. `topic` is as clients subscribe it."""

    def wrapped(self, socket: Socket, worded: Worded) -> Frame:
        """The message as this socket gets it (Binance's combined streams have an envelope)."""

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        """Answer a public request; None for what is none of the market's."""

    def noise(self, kind: str) -> Frame:
        """A frame that is `malformed`, `truncated`, `unknown` or `oversized` in this venue's manner."""
