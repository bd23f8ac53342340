"""Figures of the whole crypto market by REST: CoinMarketCap's global metrics, alternative.me's fear & greed.

Source: CoinMarketCap API documentation, Global Metrics (Quotes Latest) and Errors; alternative.me, Fear and
Greed Index API. What no reading says is null, never 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from nexus_common.contracts.macro import MacroRead
from nexus_simvenue.market.keys import is_service_key
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

_DAY: Final = timedelta(days=1)
# The dollar's code and CoinMarketCap's id of it.
_DOLLAR: Final = ("USD", "2781")
_UNKNOWN: Final = (
    *("active_cryptocurrencies", "total_cryptocurrencies", "active_market_pairs", "active_exchanges"),
    *("total_exchanges", "eth_dominance", "eth_dominance_yesterday", "eth_dominance_24h_percentage_change"),
    *("defi_volume_24h", "defi_volume_24h_reported", "defi_market_cap", "defi_24h_percentage_change"),
    *("stablecoin_volume_24h", "stablecoin_volume_24h_reported", "stablecoin_market_cap"),
    *("stablecoin_24h_percentage_change", "derivatives_volume_24h", "derivatives_volume_24h_reported"),
    *("derivatives_24h_percentage_change", "total_crypto_dex_currencies", "today_incremental_crypto_number"),
    *("past_24h_incremental_crypto_number", "past_7d_incremental_crypto_number"),
    *("past_30d_incremental_crypto_number", "today_change_percent", "tracked_yearly_number"),
)
_UNQUOTED: Final = (
    *("total_volume_24h_reported", "altcoin_volume_24h", "altcoin_volume_24h_reported", "defi_volume_24h"),
    *("defi_volume_24h_reported", "defi_24h_percentage_change", "defi_market_cap", "stablecoin_volume_24h"),
    *("stablecoin_volume_24h_reported", "stablecoin_24h_percentage_change", "stablecoin_market_cap"),
    *("derivatives_volume_24h", "derivatives_volume_24h_reported", "derivatives_24h_percentage_change"),
)
# The index up to which a mood lasts.
_MOODS: Final = (
    (25, "Extreme Fear"),
    (46, "Fear"),
    (54, "Neutral"),
    (75, "Greed"),
    (100, "Extreme Greed"),
)


class MacroVenue:
    """Both services, by readings in order of time."""

    def __init__(self, readings: Sequence[MacroRead]) -> None:
        self._readings = readings
        self._known = [reading.known_at for reading in readings]

    def get(self, request: HttpRequest, now: datetime) -> HttpResponse | None:
        if request.method != "GET":
            return None
        match request.path.rstrip("/"):
            case "/v1/global-metrics/quotes/latest":
                return self._global_metrics(request, now)
            case "/fng":
                return self._fear_greed(request, now)
            case _:
                return None

    def _until(self, now: datetime) -> Sequence[MacroRead]:
        return self._readings[: bisect_right(self._known, now)]

    # -- CoinMarketCap ------------------------------------------------------------------------------

    def _global_metrics(self, request: HttpRequest, now: datetime) -> HttpResponse:
        key = request.headers.get("x-cmc_pro_api_key", "")
        fields = request.query_fields()
        convert = fields.get("convert_id", fields.get("convert", "USD"))
        if not key:
            return _refused(401, 1002, "API key missing.", now)
        if not is_service_key(key):
            return _refused(401, 1001, "This API Key is invalid.", now)
        if convert not in _DOLLAR:
            return _refused(400, 400, f'Invalid value for "convert": "{convert}"', now)
        data = _metrics(self._until(now), self._until(now - _DAY), convert)
        return HttpResponse.json({"status": _status(0, None, now), "data": data})

    # -- alternative.me -----------------------------------------------------------------------------

    def _fear_greed(self, request: HttpRequest, now: datetime) -> HttpResponse:
        """`limit` days, newest first; 0: all. Without it the newest."""
        limit = request.query_fields().get("limit", "1")
        if not limit.isdigit():
            return HttpResponse.json({"name": "Fear and Greed Index", "data": [], **_error("Invalid limit")})
        days: dict[date, int] = {}
        for reading in self._until(now):
            if reading.fear_greed is not None:
                days.setdefault(reading.known_at.date(), reading.fear_greed)
        rows = [_mood(day, value) for day, value in sorted(days.items(), reverse=True)]
        shown = rows[: int(limit) or None]
        if shown:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
            shown[0]["time_until_update"] = str(int((midnight - now).total_seconds()))
        return HttpResponse.json({"name": "Fear and Greed Index", "data": shown, **_error(None)})


# -- CoinMarketCap's words --------------------------------------------------------------------------


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1_000:03}Z"


def _status(code: int, message: str | None, now: datetime) -> dict[str, Any]:
    return {
        "timestamp": _stamp(now),
        "error_code": code,
        "error_message": message,
        "elapsed": 0,
        "credit_count": 0 if code else 1,
        "notice": None,
    }


def _refused(status: int, code: int, message: str, now: datetime) -> HttpResponse:
    return HttpResponse.json({"status": _status(code, message, now)}, status)


def _metrics(readings: Sequence[MacroRead], day_before: Sequence[MacroRead], convert: str) -> dict[str, Any]:
    """The figures as they stand, and as they stood a day before."""
    dominance, dominance_before = (_last(r, "btc_dominance") for r in (readings, day_before))
    return {
        **dict.fromkeys(_UNKNOWN),
        "btc_dominance": dominance,
        "btc_dominance_yesterday": dominance_before,
        "btc_dominance_24h_percentage_change": (
            None if dominance is None or dominance_before is None else dominance - dominance_before
        ),
        "quote": {convert: _quote(readings, day_before, dominance)},
        "last_updated": _last_updated(readings),
    }


def _quote(
    readings: Sequence[MacroRead], day_before: Sequence[MacroRead], dominance: float | None
) -> dict[str, Any]:
    capital, capital_before = (_last(r, "total_market_cap") for r in (readings, day_before))
    volume, volume_before = (_last(r, "total_volume") for r in (readings, day_before))
    others = None if capital is None or dominance is None else capital * (1 - dominance / 100)
    return {
        **dict.fromkeys(_UNQUOTED),
        "total_market_cap": capital,
        "total_volume_24h": volume,
        "altcoin_market_cap": others,
        "total_market_cap_yesterday": capital_before,
        "total_volume_24h_yesterday": volume_before,
        "total_market_cap_yesterday_percentage_change": _percent(capital, capital_before),
        "total_volume_24h_yesterday_percentage_change": _percent(volume, volume_before),
        "last_updated": _last_updated(readings),
    }


def _last_updated(readings: Sequence[MacroRead]) -> str | None:
    return _stamp(readings[-1].known_at) if readings else None


def _last(readings: Sequence[MacroRead], name: str) -> float | None:
    """The last figure of this name that is known."""
    figures = (getattr(reading, name) for reading in reversed(readings))
    known = next((figure for figure in figures if figure is not None), None)
    return None if known is None else float(known)


def _percent(now: float | None, before: float | None) -> float | None:
    return None if now is None or not before else (now / before - 1) * 100


# -- alternative.me's words -------------------------------------------------------------------------


def _error(message: str | None) -> dict[str, Any]:
    return {"metadata": {"error": message}}


def _mood(day: date, value: int) -> dict[str, str]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {
        "value": str(value),
        "value_classification": next(mood for most, mood in _MOODS if value <= most),
        "timestamp": str(int(midnight.timestamp())),
    }
