"""Market-wide figures. Owner: ingest, stream `macro-global`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant, Number


class MacroRead(Event):
    """One reading of the whole crypto market; what is not known is absent, never 0.

    `btc_dominance` is in percent of the total market capitalisation, `total_market_cap` and `total_volume` (of
    24 hours) in USD, `fear_greed` from 0 (fear) to 100. `known_at` is when the figures became known.
    """

    type = "macro.read"

    known_at: Instant
    btc_dominance: Number | None = None
    total_market_cap: Number | None = None
    fear_greed: int | None = None
    total_volume: Number | None = None

    later: ClassVar[tuple[str, ...]] = ("total_volume",)


@command("macro.record_macro")
@dataclass(frozen=True, slots=True)
class RecordMacro:
    at: Instant
    reading: MacroRead
