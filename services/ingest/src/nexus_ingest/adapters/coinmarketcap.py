"""CoinMarketCap's global metrics: bitcoin's dominance, the market's capitalisation and volume.

Source: CoinMarketCap API documentation, Global Metrics, Quotes Latest: figures are renewed every five minutes.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from nexus_common.contracts.macro import MacroRead
from nexus_ingest.adapters.macro_source import MacroUnread, answer
from nexus_ingest.venues.http import HttpQuestions

SOURCE: Final = "coinmarketcap"
_PATH: Final = "/v1/global-metrics/quotes/latest?convert=USD"
# The dollar's code, and CoinMarketCap's id of it, by which quotes are named where the id was asked for.
_DOLLAR: Final = ("USD", "2781")
_UTC: Final = Meta(tz=True)


class _Status(msgspec.Struct):
    error_code: int = 0
    error_message: str | None = None


class _Quote(msgspec.Struct):
    total_market_cap: Decimal | None
    total_volume_24h: Decimal | None


class _Metrics(msgspec.Struct):
    quote: dict[str, _Quote]
    last_updated: Annotated[datetime, _UTC]
    btc_dominance: Decimal | None


class _Refusal(msgspec.Struct):
    status: _Status


class _Answer(msgspec.Struct):
    status: _Status
    data: _Metrics


class CoinMarketCap:
    """See MacroSource; asks for dollars."""

    def __init__(self, url: str, key: str, proxy: str | None = None, pause_seconds: float = 1.0) -> None:
        headers = {"X-CMC_PRO_API_KEY": key, "Accept": "application/json"}
        self._questions = HttpQuestions(SOURCE, url, headers, proxy, pause_seconds=pause_seconds)

    async def read(self) -> MacroRead:
        return read_metrics(*await answer(self._questions, _PATH))

    async def close(self) -> None:
        await self._questions.close()


def read_metrics(status: int, body: bytes) -> MacroRead:
    """An answer's figures; raises MacroUnread for a refusal, and for what is not as documented."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal).status
        if status != 200 or refusal.error_code:
            raise MacroUnread(f"{SOURCE}: refused with {refusal.error_code}: {refusal.error_message}")
        return _reading(msgspec.json.decode(body, type=_Answer).data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MacroUnread(f"{SOURCE}: status {status}, not as documented: {error}") from None


def _reading(metrics: _Metrics) -> MacroRead:
    quote = next((metrics.quote[name] for name in _DOLLAR if name in metrics.quote), None)
    if quote is None:
        raise MacroUnread(f"{SOURCE}: no quote in USD, but in {', '.join(metrics.quote) or 'nothing'}")
    reading = MacroRead(
        known_at=metrics.last_updated,
        btc_dominance=_positive("btc_dominance", metrics.btc_dominance, at_most=Decimal(100)),
        total_market_cap=_positive("total_market_cap", quote.total_market_cap),
        total_volume=_positive("total_volume_24h", quote.total_volume_24h),
    )
    if reading.btc_dominance is reading.total_market_cap is reading.total_volume is None:
        raise MacroUnread(f"{SOURCE}: no figure is known")
    return reading


def _positive(name: str, figure: Decimal | None, at_most: Decimal | None = None) -> Decimal | None:
    if figure is None:
        return None
    if not figure.is_finite() or figure <= 0 or (at_most is not None and figure > at_most):
        raise MacroUnread(f"{SOURCE}: {name} is {figure}, which cannot be")
    return figure
