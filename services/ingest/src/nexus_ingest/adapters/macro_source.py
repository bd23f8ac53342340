"""What every source of market-wide figures is."""

from __future__ import annotations

from typing import Protocol

from nexus_common.contracts.macro import MacroRead
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.http import Answer, HttpQuestions


class MacroUnread(Exception):
    """A source gave no figures; the message says which source, and why."""


class MacroSource(Protocol):
    async def read(self) -> MacroRead:
        """The figures as the source stamped them; raises MacroUnread."""

    async def close(self) -> None:
        """Let go of the connection."""


async def answer(questions: HttpQuestions, path: str) -> Answer:
    """Raises MacroUnread after attempts in vain."""
    try:
        return await questions.get(path)
    except FeedDown as down:
        raise MacroUnread(str(down)) from None
