"""Asks the sources of market-wide figures again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from nexus_common.contracts.macro import MacroRead
from nexus_common.runtime.log import get_logger
from nexus_ingest.adapters.macro_source import MacroSource, MacroUnread

# Clocks differ a little; figures from further ahead are stamped wrongly.
_AHEAD_MAX: Final = timedelta(minutes=5)
log = get_logger(__name__)


class MacroPoller:
    """Gives each reading with its age to `known`; what was not given is counted by reason in `unread`.

    Whether a reading says anything new is for `domain.macro` to decide.
    """

    def __init__(
        self,
        sources: Sequence[MacroSource],
        now: Callable[[], datetime],
        known: Callable[[MacroRead, timedelta], None],
    ) -> None:
        self._sources = sources
        self._now = now
        self._known = known
        self.unread: dict[str, int] = {}

    async def run(self, seconds: float) -> None:
        """Ask every `seconds` of the wall clock, until cancelled; the sources are closed then."""
        try:
            while True:
                await self.ask()
                await asyncio.sleep(seconds)
        finally:
            for source in self._sources:
                await source.close()

    async def ask(self) -> None:
        """Ask all sources once, at the same time; one that does not answer holds up no other."""
        async with asyncio.TaskGroup() as asking:
            for source in self._sources:
                asking.create_task(self._ask(source))

    async def _ask(self, source: MacroSource) -> None:
        try:
            reading = await source.read()
            age = self._now() - reading.known_at
            if age < -_AHEAD_MAX:
                raise MacroUnread(f"figures are stamped {-age} ahead of now, at {reading.known_at}")
        except MacroUnread as problem:
            reason = str(problem)
            self.unread[reason] = self.unread.get(reason, 0) + 1
            log.warning("figures of the whole market are refused", reason=reason)
        else:
            self._known(reading, age)
