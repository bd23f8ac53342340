"""Figures that a venue sends as texts, after what every figure must be; they are passed on as they were sent."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from nexus_common.contracts.values import Timeframe
from nexus_ingest.domain.readings import UnreadableFrame
from nexus_market.candles import slot_millis

UNKNOWN_KIND: Final = "unknown kind of message"
UNKNOWN_SYMBOL: Final = "unknown symbol"
# What msgspec raises for a frame: not of the expected shape, no JSON, no text, nested without end.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

# Digits with at most one point, at least one of them not 0: finite and positive without making a number of it.
_POSITIVE: Final = re.compile(r"(?=[0.]*[1-9])[0-9]{1,20}(?:\.[0-9]{1,20})?").fullmatch
_NOT_NEGATIVE: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?").fullmatch
_SIGNED: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?").fullmatch


def check_prices(*prices: str) -> None:
    """Raises UnreadableFrame unless all are positive."""
    for price in prices:
        if not _POSITIVE(price):
            raise UnreadableFrame("a price is no positive number")


def check_quantity(quantity: str) -> None:
    """Raises UnreadableFrame unless it is positive."""
    if not _POSITIVE(quantity):
        raise UnreadableFrame("a quantity is no positive number")


def check_volume(volume: str) -> None:
    """Raises UnreadableFrame for a negative one, or no number; nothing may have been traded."""
    if not _NOT_NEGATIVE(volume):
        raise UnreadableFrame("a volume is negative or no number")


def optional_price(text: str) -> str | None:
    """A price that may be absent, as an empty text."""
    if not text:
        return None
    check_prices(text)
    return text


def rate(text: str) -> str | None:
    """A rate of funding, of either sign; None for an empty text: there is none."""
    if not text:
        return None
    if not _SIGNED(text):
        raise UnreadableFrame("a funding rate is no number")
    return text


def check_time(millis: int) -> None:
    """Raises UnreadableFrame for what cannot be milliseconds since 1970."""
    if not 0 < millis < 10**14:
        raise UnreadableFrame("a time is no milliseconds since 1970")


def check_span(open_time: int, timeframe: Timeframe) -> None:
    """Raises UnreadableFrame unless a candle of this timeframe may open then."""
    check_time(open_time)
    if open_time % slot_millis(timeframe):
        raise UnreadableFrame("a candle is off the grid of its timeframe")


def unreadable(error: Exception) -> UnreadableFrame:
    """One of `UNDECODABLE` as the reason under which the frame is counted, without what the frame holds."""
    if not isinstance(error, msgspec.ValidationError):
        return UnreadableFrame("malformed, or cut off")
    text = str(error)
    if text.startswith("Invalid enum value"):
        return UnreadableFrame("unknown timeframe")
    if text.startswith("Invalid value") or "missing required field `e`" in text:
        return UnreadableFrame(UNKNOWN_KIND)
    return UnreadableFrame(text)
