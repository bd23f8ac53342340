"""What the verbs that play a market have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from nexus_common.runtime.settings import NexusSettings
from nexus_data.playback import PlayedMarket
from nexus_ops.composition import rehearsed
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import progress


def opened_market(options_: MarketOptions) -> tuple[NexusSettings, PlayedMarket]:
    _, settings, played = rehearsed(options_.environment())
    return settings, played


@contextmanager
def playing(what: str, played: PlayedMarket) -> Iterator[Callable[[datetime], None]]:
    origin = played.start
    with progress(what, (played.end - origin).total_seconds()) as advance:

        def moved(at: datetime) -> None:
            advance((at - origin).total_seconds(), f"{at:%Y-%m-%d %H:%M}")

        yield moved
