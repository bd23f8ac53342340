"""The store as JSON lines, and the same check of it in place that an export's reader can make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from nexus_common.contracts.envelope import Recorded, canonical
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import format_instant
from nexus_common.runtime.store.rows import StoredEvent, misfiled, to_stored
from nexus_common.runtime.store.verify_chain import Verifier

PAGE = 5_000
Progress = Callable[[int], None]


class RawStore(Protocol):
    """What exporting and verifying ask of a store."""

    async def read_raw(self, after: int = 0, limit: int = 1_000) -> Sequence[StoredEvent]: ...


def export_line(event: StoredEvent | Recorded[Event]) -> str:
    """One event as one line of JSON, without the line's end."""
    stored = to_stored(event) if isinstance(event, Recorded) else event
    return canonical(
        {
            "position": stored.position,
            "stream": stored.stream,
            "stream_position": stored.stream_position,
            "recorded_at": format_instant(stored.recorded_at),
            "fingerprint": stored.fingerprint,
            "body": stored.body,
            "content_hash": stored.content_hash.hex(),
            "chain_hash": stored.chain_hash.hex(),
        }
    )


async def export(store: RawStore, after: int = 0) -> AsyncIterator[str]:
    """All events behind a global position as lines, oldest first."""
    async for page in _pages(store, after):
        for stored in page:
            yield export_line(stored)


async def verify(store: RawStore, progress: Progress = lambda position: None) -> Verifier:
    """Check every event of a store as `verify_chain` checks an export; `progress` hears the position reached."""
    verifier = Verifier()
    async for page in _pages(store, 0):
        for stored in page:
            found = len(verifier.findings)
            verifier.check(
                stored.position,
                stored.stream,
                stored.stream_position,
                format_instant(stored.recorded_at),
                stored.fingerprint,
                stored.body,
                stored.content_hash,
                stored.chain_hash,
            )
            if len(verifier.findings) == found:
                for column in misfiled(stored):
                    verifier.find(
                        stored.stream, stored.stream_position, f"the column {column} says other than the body"
                    )
        progress(page[-1].position)
    verifier.finish()
    return verifier


async def _pages(store: RawStore, after: int) -> AsyncIterator[Sequence[StoredEvent]]:
    while page := await store.read_raw(after, PAGE):
        yield page
        after = page[-1].position
