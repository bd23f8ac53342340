"""Cortex for a market that lies before us whole, from its first bar to its last."""

from __future__ import annotations

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.bootstrap import regimes_of
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.scanning import WholeSeries, scanning_reactor
from nexus_data.playback import PlayedMarket
from nexus_ingest import bootstrap as ingest
from nexus_market.candles import to_millis
from nexus_market.indicators import Bars


def whole_market_cortex(settings: CortexSettings, market: PlayedMarket) -> CortexReactor:
    """A cortex that has judged every close of the market beforehand, and needs to hear none of its candles.

    Raises ConfigurationError for a strategy, parameter, timeframe or model that cannot be used.
    """
    fees = {(each.venue, each.symbol): float(each.maker_fee) for each in ingest.instruments_of(market)}
    whole = [
        WholeSeries(
            market.venue_of(symbol),
            symbol,
            {timeframe: _all_bars(market, symbol, timeframe) for timeframe in market.timeframes_of(symbol)},
            fees.get((market.venue_of(symbol), symbol)),
        )
        for symbol in market.symbols
    ]
    readings = [*market.macro_before(), *market.readings.values()]
    return scanning_reactor(settings, whole, readings, to_millis(market.start) + 1, regimes_of(settings))


def _all_bars(market: PlayedMarket, symbol: Symbol, timeframe: Timeframe) -> Bars:
    warm = market.warm_series(symbol, timeframe)
    return Bars.of_series(warm.followed_by(market.series(symbol, timeframe)))
