"""How much of a venue's request limit is used, and what of it is kept for exits and stops."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

_SHARE: Final = Decimal("0.8")


class RateBudget:
    """Counts requests by weight within the span before each; the last part of the limit is for what is urgent.

    A venue's own span begins whenever it likes, and holds no more than any span of that length does. The times
    are those that requests are signed with. `banned_until` is the end of what a 429, 418 or 403 asked for, or
    None.
    """

    def __init__(self, limit: int, seconds: int, share: Decimal = _SHARE) -> None:
        self.limit = limit
        self._span = timedelta(seconds=seconds)
        self._usual = int(limit * share)
        self._taken: deque[tuple[datetime, int]] = deque()
        self.banned_until: datetime | None = None

    def admit(self, weight: int, urgent: bool, now: datetime) -> bool:
        """Take from the budget; False when it must not be sent: banned, or too little left."""
        if self.is_banned(now):
            return False
        used = self.used(now)
        if used + weight > (self.limit if urgent else self._usual):
            return False
        self._taken.append((now, weight))
        return True

    def learned(self, used: int, now: datetime) -> None:
        """What the venue says is used within the span; others may use the same address."""
        more = used - self.used(now)
        if more > 0:
            self._taken.append((now, more))

    def ban(self, seconds: float, now: datetime) -> None:
        """Send nothing for so long; a shorter wait does not end a longer one."""
        until = now + timedelta(seconds=seconds)
        if self.banned_until is None or until > self.banned_until:
            self.banned_until = until

    def is_banned(self, now: datetime) -> bool:
        return self.banned_until is not None and now < self.banned_until

    def used(self, now: datetime) -> int:
        """What the span that ends now has used; what a clock set back has left in the future is forgotten."""
        while self._taken and abs(now - self._taken[0][0]) >= self._span:
            self._taken.popleft()
        return sum(weight for _, weight in self._taken)
