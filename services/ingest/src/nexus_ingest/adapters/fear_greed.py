"""The fear & greed index of alternative.me, of one day; source: its API documentation, Fear and Greed Index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from nexus_common.contracts.macro import MacroRead
from nexus_ingest.adapters.macro_source import MacroUnread, answer
from nexus_ingest.venues.http import HttpQuestions

SOURCE: Final = "fear & greed"
_PATH: Final = "/fng/?limit=1"
_HIGHEST: Final = 100
# Times behind the year 9999 are no times.
_SECONDS_MAX: Final = 253_402_300_799


class _Day(msgspec.Struct):
    """Whole numbers, written as texts."""

    value: str
    timestamp: str


class _Metadata(msgspec.Struct, frozen=True):
    error: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Day]
    metadata: _Metadata = _Metadata()


class FearGreed:
    """See MacroSource."""

    def __init__(self, url: str, proxy: str | None = None, pause_seconds: float = 1.0) -> None:
        headers = {"Accept": "application/json"}
        self._questions = HttpQuestions(SOURCE, url, headers, proxy, pause_seconds=pause_seconds)

    async def read(self) -> MacroRead:
        return read_index(*await answer(self._questions, _PATH))

    async def close(self) -> None:
        await self._questions.close()


def read_index(status: int, body: bytes) -> MacroRead:
    """The newest day; raises MacroUnread for a refusal, and for what is not as documented."""
    if status != 200:
        raise MacroUnread(f"{SOURCE}: refused with status {status}")
    try:
        told = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MacroUnread(f"{SOURCE}: not as documented: {error}") from None
    if told.metadata.error:
        raise MacroUnread(f"{SOURCE}: refused: {told.metadata.error}")
    if not told.data:
        raise MacroUnread(f"{SOURCE}: no day is known")
    day = told.data[0]
    known_at = datetime.fromtimestamp(_whole("timestamp", day.timestamp, _SECONDS_MAX), UTC)
    return MacroRead(known_at=known_at, fear_greed=_whole("value", day.value, _HIGHEST))


def _whole(name: str, text: str, at_most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(at_most)) or int(text) > at_most:
        raise MacroUnread(f"{SOURCE}: {name} is no whole number from 0 to {at_most}")
    return int(text)
