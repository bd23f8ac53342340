"""How a connection to Polygon's stock stream is spoken on: it greets, we log in, then we subscribe.

Source: Polygon (Massive) documentation, WebSocket quickstart. Each topic is confirmed with a message of its own.
One connection a key, in most plans; halts (LULD) are not in every plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from nexus_common.contracts.values import Symbol
from nexus_ingest.domain.readings import Reading
from nexus_ingest.venues.connection import TurnedAway
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.polygon.frames import Status, read

CHANNELS: Final = ("AM", "T", "Q")
HALTS: Final = "LULD"
_CONFIRMED: Final = "subscribed to: "
_WHAT_TO_DO: Final = MappingProxyType(
    {
        "auth_failed": "check feeds.polygon_key",
        "max_connections": "the key is already connected, and may not be once more: end the other one",
    }
)


class PolygonTalk:
    """Halts are asked for when all else is confirmed. A refusal before ends the connection, one of halts is told."""

    def __init__(self, symbols: Sequence[Symbol], key: str) -> None:
        self.refused: list[str] = []
        self._symbols = frozenset(symbols)
        self._key = key
        self._topics = [f"{channel}.{symbol}" for channel in CHANNELS for symbol in sorted(symbols)]
        self._unconfirmed = set(self._topics)
        self._next: list[dict[str, str]] = []

    @property
    def subscribed(self) -> bool:
        return not self._unconfirmed

    def opening(self) -> Sequence[RawFrame]:
        return ()

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        said = read(frame)
        for status in said.controls:
            self._obey(status)
        readings = said.of(self._symbols)
        self.refused.extend(said.unreadable)
        return readings

    def answers(self) -> Sequence[RawFrame]:
        answers, self._next = self._next, []
        return [msgspec.json.encode(answer).decode() for answer in answers]

    def memory(self) -> object:
        return None

    def ping(self) -> RawFrame | None:
        return None

    def _obey(self, status: Status) -> None:
        match status.status:
            case "connected":
                self._next.append({"action": "auth", "params": self._key})
            case "auth_success":
                self._next.append(_subscription(self._topics))
            case "success":
                self._confirm(status.message.removeprefix(_CONFIRMED).split(","))
            case "error" if self.subscribed:
                self.refused.append(f"error: {status.message}")
            case _:
                todo = _WHAT_TO_DO.get(status.status)
                raise TurnedAway(f"{status.status}: {status.message}" + (f": {todo}" if todo else ""))

    def _confirm(self, topics: Sequence[str]) -> None:
        waiting = not self.subscribed
        self._unconfirmed.difference_update(topic.strip() for topic in topics)
        if waiting and self.subscribed:
            self._next.append(_subscription([f"{HALTS}.{symbol}" for symbol in sorted(self._symbols)]))


def _subscription(topics: Sequence[str]) -> dict[str, str]:
    return {"action": "subscribe", "params": ",".join(topics)}
