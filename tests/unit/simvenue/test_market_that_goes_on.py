"""A process that played a market and was stopped: the next one goes on where it had come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.generated_market import START, GeneratedMarket
from nexus_market.candles import from_millis, to_millis
from nexus_simvenue.market.happenings import Happening, Kline
from nexus_simvenue.market.played import MarketScore
from nexus_simvenue.market.player import Player

BTC = Symbol("BTCUSDT")
MARKET = GeneratedMarket(3, (BTC,), START + timedelta(hours=3), 60)
STOPPED = MARKET.start + timedelta(minutes=17)


class Ear:
    """Listens to everything."""

    def __init__(self) -> None:
        self.told: list[Happening] = []

    def tell(self, symbol: Symbol, happening: Happening) -> None:
        self.told.append(happening)

    async def room(self) -> None:
        """There is always room."""

    def drop_left_behind(self) -> None:
        """Nobody is behind."""


async def played(until: datetime | None) -> tuple[list[Happening], list[datetime]]:
    """What is told, and the steps that are matched."""
    matched: list[datetime] = []

    def match(venue: Venue, step: dict[str, Any]) -> None:
        assert venue is Venue.BINANCE
        matched.append(datetime.fromisoformat(step["at"]))

    ear = Ear()
    player = Player(MarketScore(MARKET, None, match), None, until, {Venue.BINANCE: [ear]})
    assert player.now() == (until or MARKET.start)
    await player.run()
    return ear.told, matched


async def test_only_what_comes_behind_is_told_and_matched() -> None:
    whole, steps = await played(None)
    rest, matched = await played(STOPPED)
    assert matched == [at for at in steps if at >= STOPPED]
    assert rest == [happening for happening in whole if happening.at >= to_millis(STOPPED)]


async def test_candles_that_were_open_close_with_all_that_they_had() -> None:
    rest, _ = await played(STOPPED)
    quarter = next(
        each for each in rest if isinstance(each, Kline) and each.timeframe is Timeframe.M15 and each.closed
    )
    assert from_millis(quarter.open_time) < STOPPED
    series = MARKET.series(BTC, Timeframe.M15)
    row = series.open_time.tolist().index(quarter.open_time)
    assert float(quarter.volume) == series.volume.item(row)
