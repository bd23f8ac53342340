"""How a connection to Alpaca's stock stream is spoken on: it greets, we log in, then we subscribe.

Source: Alpaca documentation, WebSocket Stream. One connection a key and feed; a second one is refused with 406.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus_common.contracts.values import Symbol
from nexus_ingest.domain.readings import Reading
from nexus_ingest.venues.alpaca.frames import Control, Refusal, Subscribed, Welcome, read
from nexus_ingest.venues.connection import TurnedAway
from nexus_ingest.venues.feed import RawFrame

# Sent with the handshake, it makes both sides speak MessagePack.
PACKED: Final = MappingProxyType({"Content-Type": "application/msgpack"})
CHANNELS: Final = ("trades", "quotes", "bars", "updatedBars", "statuses")
_WHAT_TO_DO: Final = MappingProxyType(
    {
        402: "check feeds.alpaca_key and feeds.alpaca_secret",
        405: "the free plan has 30 channels of trades and quotes, two a stock: watch fewer stocks",
        406: "the key is already connected, and one connection is all it may have: end the other one",
        407: "frames were not read fast enough",
        409: "the subscription has no such feed: choose another feeds.stock_feed",
    }
)


class AlpacaTalk:
    """`secret` is the key's. Any refusal ends the connection: what it asked for would be missing on it."""

    def __init__(self, symbols: Sequence[Symbol], key: str, secret: str) -> None:
        self.refused: list[str] = []
        self._symbols = frozenset(symbols)
        self._login = {"action": "auth", "key": key, "secret": secret}
        self._wanted = {"action": "subscribe", **dict.fromkeys(CHANNELS, sorted(symbols))}
        self._next: list[dict[str, Any]] = []
        self._subscribed = False

    @property
    def subscribed(self) -> bool:
        return self._subscribed

    def opening(self) -> Sequence[RawFrame]:
        return ()

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        said = read(frame)
        for control in said.controls:
            self._obey(control)
        readings = said.of(self._symbols)
        self.refused.extend(said.unreadable)
        return readings

    def answers(self) -> Sequence[RawFrame]:
        answers, self._next = self._next, []
        return [msgspec.msgpack.encode(answer) for answer in answers]

    def memory(self) -> object:
        return None

    def ping(self) -> RawFrame | None:
        return None

    def _obey(self, control: Control) -> None:
        match control:
            case Welcome(msg="connected"):
                self._next.append(self._login)
            case Welcome(msg="authenticated"):
                self._next.append(self._wanted)
            case Subscribed():
                self._subscribed = self._symbols <= control.everywhere()
            case Refusal():
                todo = _WHAT_TO_DO.get(control.code)
                raise TurnedAway(f"{control.code} {control.msg}" + (f": {todo}" if todo else ""))
            case Welcome():
                pass
