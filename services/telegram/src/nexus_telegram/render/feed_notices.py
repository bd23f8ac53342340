"""What users are told of the markets' feeds, unasked."""

from __future__ import annotations

from nexus_common.contracts.feed import (
    ClockOff,
    FeedLost,
    FeedRestored,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.instrument import ChangeKind, InstrumentChange, InstrumentsChanged
from nexus_common.contracts.market import CandleCorrected, TradingHalted, TradingResumed
from nexus_telegram.render.figures import card, clock, figure

CHANGES_SHOWN = 12
_CHANGES = {
    ChangeKind.LISTED: "new",
    ChangeKind.DELISTED: "taken down",
    ChangeKind.TO_STOP: "stops trading",
    ChangeKind.STOPPED: "has stopped trading",
    ChangeKind.RESUMED: "trades again",
    ChangeKind.UNREADABLE: "cannot be read",
}


def feed_lost(event: FeedLost) -> str:
    return f"FEED LOST  {event.venue}: {event.reason}; no entries until it is back, stops stand at the venue"


def feed_restored(event: FeedRestored) -> str:
    return f"FEED RESTORED  {event.venue}"


def stream_silent(event: StreamSilent) -> str:
    return (
        f"SILENT  no candles of {event.symbol} from {event.venue} since {clock(event.since)}: "
        "no entries there until they come again"
    )


def stream_heard(event: StreamHeard) -> str:
    return f"HEARD AGAIN  candles of {event.symbol} from {event.venue}"


def price_doubted(event: PriceDoubted) -> str:
    rows = [
        ("said", figure(event.price)),
        ("before", figure(event.reference)),
        ("why", event.reason),
    ]
    if event.witness is not None and event.witness_price is not None:
        rows.append((f"{event.witness} says", figure(event.witness_price)))
    rows.append(("now", "it is left out until it is confirmed"))
    return card(f"PRICE DOUBTED  {event.symbol} at {event.venue}", rows)


def clock_off(event: ClockOff) -> str:
    side = "ahead of" if event.milliseconds > 0 else "behind"
    seconds = abs(event.milliseconds) / 1_000
    return f"CLOCK  {event.venue}'s is {seconds:.1f} s {side} ours: orders may be refused; set this machine's clock"


def corrected(event: CandleCorrected, count: int) -> str:
    return card(
        f"CANDLE CORRECTED  {event.symbol} {event.timeframe} at {event.venue}",
        [
            ("close was", figure(event.was.close)),
            ("close is", figure(event.now.close)),
            ("said by", event.source),
            ("so far", str(count)),
        ],
    )


def trading_halted(event: TradingHalted) -> str:
    why = event.reason or event.code
    return f"HALTED  {event.symbol} at {event.venue}: {why}; no entries until it is traded again"


def trading_resumed(event: TradingResumed) -> str:
    return f"TRADED AGAIN  {event.symbol} at {event.venue}"


def instruments_changed(event: InstrumentsChanged) -> str:
    shown = [change_line(change) for change in event.changes[:CHANGES_SHOWN]]
    more = len(event.changes) - len(shown)
    rows = [(str(change.symbol), line) for change, line in zip(event.changes, shown, strict=False)]
    return card(f"LISTING  {event.venue}", [*rows, ("", f"and {more} more")] if more else rows)


def change_line(change: InstrumentChange) -> str:
    word = _CHANGES.get(change.kind, f"{change.field} {change.was} → {change.now}")
    return f"{word} {change.now}".rstrip() if change.kind is ChangeKind.TO_STOP else word
