"""One hash over everything a run decided, for comparing runs, replays and backtests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.runtime.ports import EventStore

# Not `model`: which model reads the regime shows in the signals, and a backtest measures no drift.
DECIDED = ("signal", "risk", "guard", "trade", "order")
PAGE = 2_000


async def events_of(
    store: EventStore, categories: Sequence[str] = (), after: int = 0, up_to: int | None = None
) -> AsyncIterator[Recorded[Event]]:
    """Events in the order of their commits, page by page."""
    while page := await store.read_categories(categories, after, up_to, PAGE):
        for recorded in page:
            yield recorded
        after = page[-1].global_position


class DecisionsHash:
    """SHA-256 over (stream, position, content hash), in the order of streams and positions.

    The order of commits between streams does not count: it depends on who was faster, not on what was decided.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[str, int, bytes]] = []

    def add(self, recorded: Recorded[Event]) -> None:
        envelope = recorded.envelope
        if envelope.category in DECIDED:
            self._parts.append((envelope.stream, envelope.position, recorded.content_hash))

    def hexdigest(self) -> str:
        digest = sha256()
        for stream, position, content in sorted(self._parts):
            digest.update(f"{stream}/{position}/".encode() + content)
        return digest.hexdigest()


async def decisions_hash(store: EventStore) -> str:
    total = DecisionsHash()
    async for recorded in events_of(store, DECIDED):
        total.add(recorded)
    return total.hexdigest()
