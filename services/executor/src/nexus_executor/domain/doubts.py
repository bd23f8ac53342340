"""What a venue says that may only be a message on its way: a fill that is told late looks like an order that is gone.

It is believed when it was found again and again, and has stayed the same for long enough. A restart forgets that
and looks again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from nexus_common.contracts.values import AccountId

_PAUSE: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found first at `since`, and at how many moments in a row; `last` is the newest of them."""

    what: object
    since: datetime
    last: datetime
    times: int


class Doubts:
    """By account and name. A moment counts once, however often is looked at it."""

    def __init__(self, times: int) -> None:
        """`times` is at how many moments something must be found."""
        self._times = times
        self._found: dict[tuple[AccountId, str], _Found] = {}

    def about(self, account: AccountId, name: str, what: object, at: datetime, seconds: int) -> bool:
        """Note that this was found; whether it may still be a message on its way."""
        known = self._found.get((account, name))
        if known is None or known.what != what:
            known = _Found(what, at, at, 1)
        elif known.last != at:
            known = replace(known, last=at, times=known.times + 1)
        self._found[account, name] = known
        return known.times < self._times or at - known.since < timedelta(seconds=seconds)

    def keep(self, account: AccountId, names: Collection[str]) -> None:
        """Forget what was not found any more."""
        for where in [where for where in self._found if where[0] == account and where[1] not in names]:
            del self._found[where]

    def is_early(self, account: AccountId, at: datetime) -> bool:
        """Whether it was looked at just now: asking a venue again at once would say the same, and costs requests."""
        looked = [found.last for where, found in self._found.items() if where[0] == account]
        return bool(looked) and at - max(looked) < _PAUSE
