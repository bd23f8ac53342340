"""By a venue's own protocol and its vendor's SDK the same market gives the same trades as by the exchange's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nexus_common.contracts.values import Profile, Symbol, Venue
from nexus_common.runtime.settings import NexusSettings
from nexus_data.generated_market import GeneratedMarket
from nexus_data.playback import PlayedMarket
from nexus_ops.book import books_on_record
from nexus_ops.commands.accounts import venue_statement
from nexus_ops.comparison import Run, compare, run_of
from nexus_ops.composition import LocalHouse, rehearsed
from nexus_ops.doctor import Outcome, examine
from nexus_ops.examining import examined
from nexus_ops.market_options import MarketOptions
from nexus_ops.native_house import native_house
from nexus_ops.statement import compare as against_statement
from nexus_ops.venue_accounts import accounts_on_record

pytestmark = [pytest.mark.integration]

MONDAY = datetime(2025, 3, 3, tzinfo=UTC)
STOCKS = {"NVDA": "SOLUSDT", "SPY": "DOGEUSDT", "QQQ": "XRPUSDT"}


def crypto(venue: Venue, seed: int) -> MarketOptions:
    return MarketOptions(
        seed=seed,
        minutes=900,
        symbols="BTCUSDT,DOGEUSDT,SOLUSDT",
        account_venue=str(venue),
        mode="pilot",
    )


def stocks(folder: Path) -> MarketOptions:
    """Stocks that move as generated coins do, in the hours of the market, at prices of 100 and more."""
    symbols = tuple(Symbol(coin) for coin in STOCKS.values())
    coins = GeneratedMarket(1, symbols, MONDAY, minutes=35 * 1_440)
    for stock, coin in STOCKS.items():
        series = coins.series(Symbol(coin))
        scale = 150 / series.close.item(0)
        frame = pl.DataFrame(
            {
                "open_time": series.open_time,
                **{
                    name: (getattr(series, name) * scale).round(2)
                    for name in ("open", "high", "low", "close")
                },
                "volume": series.volume.clip(50_000).round(0),
            }
        )
        at = pl.from_epoch("open_time", time_unit="ms")
        minute = at.dt.hour().cast(pl.Int32) * 60 + at.dt.minute()
        hours = (at.dt.weekday() <= 5) & (minute >= 14 * 60 + 30) & (minute < 21 * 60)
        path = folder / "ohlcv" / "us" / f"{stock}-1m.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.filter(hours).write_parquet(path)
    begin = MONDAY + timedelta(days=30)
    return MarketOptions(
        data=folder,
        venue="us",
        start=f"{begin:%Y-%m-%d}",
        symbols=",".join(STOCKS),
        strategy="trend",
        mode="pilot",
    )


async def by_the_exchanges_own(settings: NexusSettings, market: PlayedMarket) -> Run:
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    return await run_of(house.store)


async def by_the_venues(settings: NexusSettings, market: PlayedMarket, folder: Path) -> tuple[Run, list[str]]:
    """What was traded, and what is wrong: our books against the venue's statement, and the doctor's findings."""
    async with native_house(settings, market, folder) as (house, there):
        for step in market.steps():
            await house.step(step)
        specs, wrong = await accounts_on_record(house.store), list[str]()
        for account, book in (await books_on_record(house.store)).items():
            wrong += against_statement(book, await venue_statement(there, specs[account], book))
            seen = await examined(there, specs[account], Profile.NEXUS, house.store)
            assert seen.facts is not None, seen.trouble
            assert seen.facts.can_trade
            wrong += [each.detail for each in examine(seen) if each.outcome in (Outcome.FAIL, Outcome.WARN)]
        return await run_of(house.store), wrong


@pytest.mark.parametrize("venue", list(Venue))
async def test_the_same_market_gives_the_same_trades(venue: Venue, tmp_path: Path) -> None:
    options = stocks(tmp_path / "data") if venue is Venue.ALPACA else crypto(venue, 6)
    _, settings, market = rehearsed(options.environment())
    assert {market.venue_of(symbol) for symbol in market.symbols} == {venue}
    shorter = await by_the_exchanges_own(settings, market)
    native, wrong = await by_the_venues(settings, market, tmp_path / "exchange")
    compared = compare(shorter, native)
    assert compared.differences == ()
    assert compared.trades[0] == compared.trades[1] > 0
    assert wrong == []
