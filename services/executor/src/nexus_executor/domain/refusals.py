"""What a venue's refusal means for what is wanted next. Codes and words are the venues' own."""

from __future__ import annotations

from typing import Final

# Binance "Order would immediately trigger"; Bybit "expect Rising/Falling, but trigger_price …".
_BEYOND_CODES: Final = frozenset({"-2021", "110092", "110093"})
# Bybit's trading-stop says it in words only ("StopLoss … should lower than base_price"), Alpaca too
# ("stop price must be less than current price").
_BEYOND_WORDS: Final = ("immediately trigger", "trigger immediately", "base_price", "current price")


def is_beyond(code: str, refusal: str) -> bool:
    """Whether the market has passed the price at which a stop was to be placed: it would trigger at once."""
    return code in _BEYOND_CODES or any(words in refusal for words in _BEYOND_WORDS)
