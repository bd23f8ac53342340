"""What was known of the market as a whole at an instant: bitcoin's weight, the value of everything, fear and greed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.macro import MacroRead
from nexus_common.runtime.ports import EventStore
from nexus_cortex.domain.sangria import Mood
from nexus_market.candles import to_millis
from nexus_ops.decisions import events_of

Pair = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class MacroContext:
    """Each figure 24 h before and then; what was not known is None, never 0."""

    dominance: Pair | None
    market_cap: Pair | None
    fear_greed: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "btc_dominance": _document(self.dominance),
            "total_market_cap": _document(self.market_cap),
            "fear_greed": self.fear_greed,
        }

    def lines(self) -> Iterator[str]:
        if self.dominance is None:
            yield "bitcoin's share of the market is not known over 24 h"
        else:
            before, now = self.dominance
            yield f"bitcoin is {now:.2f} % of the market, 24 h before {before:.2f} %"
        if self.market_cap is None:
            yield "the market's value is not known over 24 h"
        else:
            before, now = self.market_cap
            yield f"everything is worth {now / 10**9:,.1f} bn USD, {(now - before) / before * 100:+.2f} % in 24 h"
        greed = "not known" if self.fear_greed is None else f"{self.fear_greed:g} of 100"
        yield f"fear and greed {greed}"


def macro_context(mood: Mood, at: datetime) -> MacroContext:
    """What `mood` has heard by an instant."""
    now = to_millis(at)
    return MacroContext(mood.dominance(now), mood.market_cap(now), mood.fear_greed(now))


async def recorded_mood(store: EventStore) -> Mood:
    """All macro readings of a record; what is asked of an instant knows nothing of later ones."""
    mood = Mood()
    async for recorded in events_of(store, ("macro",)):
        if isinstance(recorded.event, MacroRead):
            mood.hear_macro(recorded.event)
    return mood


def _document(pair: Pair | None) -> dict[str, float] | None:
    return None if pair is None else {"day_before": float(pair[0]), "now": float(pair[1])}
