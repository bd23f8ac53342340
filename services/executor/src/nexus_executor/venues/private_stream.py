"""What a venue says about an account, in order, each message once, numbered for the inbox.

A venue repeats itself (redelivery after a reconnect, a backfill beside the stream), and tells things out of
order. The numbers are ours: they only say how far the executor has read.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from nexus_executor.venues.broker import VenueUpdate

_REMEMBERED = 50_000


class UnreadableFrame(ValueError):
    """A message that is not what the venue documents: refused and counted, the others go on."""


class PrivateStream:
    """Takes what was parsed, drops repeats by key, and hands out numbered updates."""

    def __init__(self) -> None:
        self._waiting: list[VenueUpdate] = []
        self._numbered: list[VenueUpdate] = []
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._refused: Counter[str] = Counter()

    def offer(self, updates: Iterable[VenueUpdate]) -> int:
        """Take updates (their `sequence` does not matter, their `key` must be given); returns how many are new."""
        new = 0
        for update in updates:
            if update.key is None:
                raise ValueError(
                    f"{update.kind} at {update.at} has no key; a venue's message has an identity"
                )
            if update.key in self._seen:
                continue
            self._seen[update.key] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            self._waiting.append(update)
            new += 1
        return new

    def take(self, after: int) -> list[VenueUpdate]:
        """Everything behind `after`, numbered without a hole; asked again with the same number, the same."""
        self._numbered = [update for update in self._numbered if update.sequence > after]
        last = self._numbered[-1].sequence if self._numbered else after
        for update in sorted(self._waiting, key=lambda waiting: waiting.at):
            last += 1
            self._numbered.append(replace(update, sequence=last))
        self._waiting.clear()
        return list(self._numbered)

    def refuse(self, reason: str) -> None:
        """Count a message that could not be read."""
        self._refused[reason] += 1

    @property
    def refused(self) -> Mapping[str, int]:
        """How many messages were refused, by reason."""
        return dict(self._refused)
