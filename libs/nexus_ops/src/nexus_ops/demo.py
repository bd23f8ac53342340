"""A bounded market through the whole house at full speed, then the judgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nexus_common.contracts.feed import FeedEnded
from nexus_common.contracts.market import CandlesClosed
from nexus_common.runtime.errors import NexusError, StoreUnavailable
from nexus_common.runtime.ports import EventStore
from nexus_ops.access import connected
from nexus_ops.book import books_on_record
from nexus_ops.ledger import Ledger, fetch_ledger
from nexus_ops.replay import Outcome, replay
from nexus_ops.stack.house import House
from nexus_ops.statement import compare, exchange_statement
from nexus_ops.story import background_of, find_story, render, tell
from nexus_ops.summary import Summary, differences, store_book, summarise

POLL_SECONDS = 0.2
STALL_SECONDS = 120.0
UNPROTECTED_SECONDS_MAX = 5.0
Advance = Callable[[float, str], None]


@dataclass
class DemoReport:
    """All that a demo shows. It has passed when nothing is left in `problems`."""

    summary: Summary
    ledger: Ledger
    apart: list[str]
    replayed: Outcome
    story: str
    seconds: float
    ready_seconds: float
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.summary.to_json(),
            "unprotected_seconds_max": self.ledger.unprotected_seconds_max,
            "duplicate_orders": self.ledger.duplicate_orders,
            "ledger_equal": not any("the exchange" in problem for problem in self.problems),
            "statement_equal": not self.apart,
            "replay_equal": self.replayed.equal,
            "first_divergence": None
            if self.replayed.divergence is None
            else self.replayed.divergence.describe(),
            "seconds": round(self.seconds, 1),
            "ready_seconds": round(self.ready_seconds, 1),
            "problems": self.problems,
        }


def play(house: House, advance: Advance, on_tick: Callable[[], None] = lambda: None) -> float:
    """Start the house and wait until its market has been played; returns the seconds until it was ready.

    Raises:
        NexusError: the market does not move any more; says which services keep dying.
    """
    begun = time.monotonic()
    house.start()
    ready = time.monotonic() - begun
    asyncio.run(_until_ended(house, advance, on_tick))
    return ready


async def _until_ended(house: House, advance: Advance, on_tick: Callable[[], None]) -> None:
    async with connected(house.addresses.store) as store:
        moved, seen = time.monotonic(), 0
        while True:
            on_tick()
            with suppress(StoreUnavailable):  # the supervisor is bringing it back
                if await _has_ended(store):
                    return
                latest = await store.latest("market", 1)
                if latest and latest[0].global_position > seen:
                    moved, seen = time.monotonic(), latest[0].global_position
                    if isinstance(latest[0].event, CandlesClosed):
                        at = latest[0].event.at
                        advance(at.timestamp(), f"{at:%Y-%m-%d %H:%M}")
            if time.monotonic() - moved > STALL_SECONDS:
                raise NexusError(_stalled(house))
            if house.supervisor.wait_until_stop_is_wanted(0):
                raise NexusError("stopped before the market had ended")
            house.write_status()
            await asyncio.sleep(POLL_SECONDS)


async def _has_ended(store: EventStore) -> bool:
    latest = await store.latest("feed", 1)
    return bool(latest) and isinstance(latest[0].event, FeedEnded)


def _stalled(house: House) -> str:
    dying = [f"{s.name} (exit {s.last_exit})" for s in house.status() if s.restarts]
    return (
        f"the market has not moved for {STALL_SECONDS:.0f} s; "
        f"{'restarted: ' + ', '.join(dying) if dying else 'no service died'}; see {house.home / 'logs'}"
    )


async def judge(store: EventStore, exchange_url: str, cortex: Any, advance: Advance) -> DemoReport:
    """Count, compare with the exchange's ledger, replay, and tell one trade."""
    summary = await summarise(store)
    ledger = await fetch_ledger(exchange_url)
    ours = await store_book(store)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        advance(float(done), "replaying")

    replayed = await replay(store, cortex, count)
    story = ""
    if summary.example_trade is not None:
        found = await find_story(store, summary.example_trade)
        story = render(tell(found, await background_of(store, found)))
    report = DemoReport(summary, ledger, await _apart(store, exchange_url), replayed, story, 0.0, 0.0)
    report.problems.extend(differences(ours, ledger.accounts))
    report.problems.extend(report.apart)
    if ledger.unprotected_seconds_max > UNPROTECTED_SECONDS_MAX:
        report.problems.append(f"a position was without a stop for {ledger.unprotected_seconds_max:.1f} s")
    if ledger.duplicate_orders:
        report.problems.append(f"{ledger.duplicate_orders} orders reached the exchange twice")
    if replayed.divergence is not None:
        report.problems.append(f"the replay differs: {replayed.divergence.describe()}")
    return report


async def _apart(store: EventStore, exchange_url: str) -> list[str]:
    """Where our books and the exchange's statement of each account differ."""
    books, statements = await books_on_record(store), await exchange_statement(exchange_url)
    return [
        sentence
        for account, book in sorted(books.items())
        for sentence in compare(book, statements.get(account, []))
    ]
