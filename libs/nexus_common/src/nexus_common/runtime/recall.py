"""What a service needs to hear again after a start, before its first turn."""

from __future__ import annotations

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.runtime.ports import EventStore, Reactor, Remembering

PAGE = 2_000


async def recall(reactor: Reactor, store: EventStore) -> int:
    """Let the reactor observe the history it asks for, oldest first; returns the store's head at that time.

    Everything up to the returned position in the categories it listens to has been observed.
    """
    head = await store.head()
    whole = sorted(category for category, count in reactor.listens.items() if count is None)
    tails = sorted((category, count) for category, count in reactor.listens.items() if count)
    remembered: list[Recorded[Event]] = []
    for category, count in tails:
        remembered.extend(await store.latest(category, count))
    after = 0
    while whole and after < head:
        page = await store.read_categories(whole, after, head, PAGE)
        if not page:
            break
        remembered.extend(page)
        after = page[-1].global_position
    for stream in reactor.whole_streams if isinstance(reactor, Remembering) else ():
        remembered.extend(await store.read_stream(stream))
    by_position = {recorded.global_position: recorded for recorded in remembered}
    for position, recorded in sorted(by_position.items()):
        if position <= head:
            reactor.observe(recorded.envelope)
    return head
