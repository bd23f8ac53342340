"""What operators ask of models: they write it into a table, cortex as the only owner decides it.

A wish is numbered. Its number makes the cause of the command that it leads to, so that a wish that is read twice
is decided once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.values import ModelId, UserId
from nexus_common.runtime.store.session import Session

ASK = b"""
INSERT INTO model_wishes (kind, model, asked_by, reason, asked_at) VALUES (%s, %s, %s, %s, %s) RETURNING number
"""
_WISH = "SELECT number, kind, model, asked_by, reason, outcome FROM model_wishes"
OPEN = f"{_WISH} WHERE taken_at IS NULL AND kind = ANY(%s) ORDER BY number".encode()
ONE = f"{_WISH} WHERE number = %s".encode()
TAKE = b"UPDATE model_wishes SET taken_at = %s, outcome = %s WHERE number = %s AND taken_at IS NULL"


class WishKind(StrEnum):
    REGISTER = "register"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Wish:
    """`outcome` is what became of it in words; None while nobody has decided it."""

    number: int
    kind: WishKind
    model: ModelId | None
    by: str
    reason: str
    outcome: str | None = None

    @property
    def cause(self) -> UUID:
        return ids.input_id(UserId("models"), str(self.number))


class WishBox:
    """The table `model_wishes`."""

    def __init__(self, url: str) -> None:
        self._session = Session(url, "nexus model wishes")

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, kind: WishKind, model: ModelId | None, by: str, reason: str, at: datetime) -> int:
        """Put in a wish; returns its number."""
        rows = await self._session.rows(ASK, (kind.value, model, by, reason, at))
        return int(rows[0][0])

    async def open(self) -> Sequence[Wish]:
        """Wishes that were not decided yet, oldest first; a kind that only a newer version knows waits for it."""
        known = [kind.value for kind in WishKind]
        return [_wish(*row) for row in await self._session.rows(OPEN, (known,))]

    async def get(self, number: int) -> Wish | None:
        rows = await self._session.rows(ONE, (number,))
        return _wish(*rows[0]) if rows else None

    async def take(self, number: int, outcome: str, at: datetime) -> None:
        """Note what became of a wish; the first note stays."""
        await self._session.rows(TAKE, (at, outcome, number))


def _wish(number: int, kind: str, model: str | None, by: str, reason: str, outcome: str | None) -> Wish:
    return Wish(number, WishKind(kind), None if model is None else ModelId(model), by, reason, outcome)
