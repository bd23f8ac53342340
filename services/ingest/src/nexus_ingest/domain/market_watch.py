"""The watch over the live markets: what the feeds say goes in, what is to be recorded, asked and told comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.domain.prices import Level, Witness
from nexus_ingest.domain.venue_watch import VenueWatch
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watch_state import WatchState
from nexus_ingest.domain.watching import (
    Answered,
    Closed,
    Heard,
    Input,
    Opened,
    Output,
    Refused,
    Scheduled,
    ServerTime,
    TimePassed,
    Unanswered,
)
from nexus_market.candles import EPOCH, from_millis, to_millis


class MarketWatch:
    """All venues at once, since each is the other's witness. The same inputs give the same outputs.

    `known` holds the open time (ms) of the last recorded candle of each series, folded ones too; series that
    are not in it begin with the first candle that closes. `state` is that of a watch of the same venues, to go on
    from.
    """

    def __init__(
        self,
        rules: WatchRules,
        venues: Sequence[WatchedVenue],
        known: Mapping[Series, int] | None = None,
        state: WatchState | None = None,
    ) -> None:
        trades = {each.venue: {symbol: Level() for symbol in each.symbols} for each in venues}
        self._watches = {
            each.venue: VenueWatch(each, rules, known or {}, trades[each.venue], _witnesses(each, trades))
            for each in venues
        }
        self._scan_ms = rules.scan_ms
        self._scan_at: int | None = None
        self._wake_at = EPOCH
        if state is not None:
            self._recall(state)

    def state(self) -> WatchState:
        """All that it remembers."""
        venues = {venue: watch.state() for venue, watch in self._watches.items()}
        return WatchState(self._scan_at, self._wake_at, venues)

    def _recall(self, state: WatchState) -> None:
        self._scan_at, self._wake_at = state.scan_at, state.wake_at
        for venue, watch in self._watches.items():
            watch.recall(state.venues[venue])

    def deadline(self) -> datetime | None:
        """When TimePassed is wanted, if nothing else happens before; None until something has happened."""
        return None if self._scan_at is None else self._wake_at

    def take(self, happened: Input) -> list[Output]:
        """What is to be done about it, in order.

        Raises:
            KeyError: an input of a venue that is not watched.
        """
        out: list[Output] = []
        if happened.at >= self._wake_at:
            self._wake(to_millis(happened.at), out)
        if type(happened) is Heard:
            if self._watches[happened.venue].heard(happened, out):
                self._set_wake()
        else:
            self._take_rare(happened, to_millis(happened.at), out)
            self._set_wake()
        return out

    def _take_rare(self, happened: Input, now: int, out: list[Output]) -> None:
        match happened:
            case Opened():
                self._watches[happened.venue].opened(happened, now, out)
            case Closed():
                self._watches[happened.venue].closed(happened, now, out)
            case Heard():
                self._watches[happened.venue].heard(happened, out)
            case Refused():
                self._watches[happened.venue].refused(happened, now)
            case Answered():
                self._watches[happened.venue].answered(happened, now, out)
            case Unanswered():
                self._watches[happened.venue].unanswered(happened, now, out)
            case ServerTime():
                self._watches[happened.venue].server_time(happened, out)
            case Scheduled():
                self._watches[happened.session.venue].schedule(happened.session)
            case TimePassed():
                pass
            case _:
                assert_never(happened)

    def _wake(self, now: int, out: list[Output]) -> None:
        """Whatever was due by now, before what happens now."""
        for watch in self._watches.values():
            watch.flush(now, out)
        if self._scan_at is None:
            self._scan_at = now
        if now >= self._scan_at:
            for watch in self._watches.values():
                watch.scan(now, out)
            self._scan_at = now + self._scan_ms
        self._set_wake()

    def _set_wake(self) -> None:
        assert self._scan_at is not None
        due = min((watch.due_at for watch in self._watches.values()), default=self._scan_at)
        self._wake_at = from_millis(min(due, self._scan_at))


def _witnesses(
    watched: WatchedVenue, trades: Mapping[Venue, Mapping[Symbol, Level]]
) -> dict[Symbol, tuple[Witness, ...]]:
    """The same instruments at the other venues."""
    others = [(venue, levels) for venue, levels in trades.items() if venue is not watched.venue]
    return {
        symbol: tuple(Witness(venue, levels[symbol]) for venue, levels in others if symbol in levels)
        for symbol in watched.symbols
    }
