"""Which trades, book tops and marks of one venue are passed on. Runs for every tick: no objects are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.feed import PriceDoubted
from nexus_common.contracts.market import FundingSettled
from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.domain.funding import FundingWatch
from nexus_ingest.domain.liveness import Refusals
from nexus_ingest.domain.prices import Level, PriceJudge, Verdict, Witness
from nexus_ingest.domain.readings import BookRead, MarkRead, Reading, TradeRead
from nexus_ingest.domain.watch_rules import WatchRules
from nexus_ingest.domain.watch_state import LevelState, QuotesState, kept, recall
from nexus_ingest.domain.watching import Noted, Output
from nexus_market.candles import to_millis

_TRADES, _BOOK, _MARK = 0, 1, 2
_TOLD_AGAIN_MS = 60_000
# A venue's clock may be this far ahead of ours before its times are refused.
_AHEAD_MS = 60_000
_DOUBTED = "price in doubt"
_CROSSED = "crossed book"


class _Quoted:
    """One instrument's levels, when each kind was heard, and its witnesses."""

    __slots__ = ("book", "last", "mark", "trade", "witnesses")

    def __init__(self, trade: Level, last: list[datetime | None], witnesses: Sequence[Witness]) -> None:
        self.trade = trade
        self.book = Level()
        self.mark = Level()
        self.last = last
        self.witnesses = witnesses


class Quotes:
    def __init__(
        self,
        venue: Venue,
        rules: WatchRules,
        refusals: Refusals,
        last: Mapping[Symbol, list[datetime | None]],
        trades: Mapping[Symbol, Level],
        witnesses: Mapping[Symbol, Sequence[Witness]],
    ) -> None:
        self._venue = venue
        self._refusals = refusals
        self._disorder_ms = rules.trade_disorder_ms
        self._judge = PriceJudge(rules)
        self._funding = FundingWatch(venue, rules)
        self._quoted = {
            symbol: _Quoted(trades[symbol], times, witnesses[symbol]) for symbol, times in last.items()
        }

    def state(self) -> QuotesState:
        levels = {
            symbol: (kept(of.trade, LevelState), kept(of.book, LevelState), kept(of.mark, LevelState))
            for symbol, of in self._quoted.items()
        }
        return QuotesState(levels, self._funding.announced)

    def recall(self, state: QuotesState) -> None:
        for symbol, levels in state.levels.items():
            of = self._quoted[symbol]
            for level, known in zip((of.trade, of.book, of.mark), levels, strict=True):
                recall(level, known)
        self._funding.announced = dict(state.announced)

    def trade(self, reading: TradeRead, at: datetime, out: list[Output]) -> bool:
        """Whether the trade is passed on; so the others. What is to be told of it is appended to `out`."""
        quoted = self._quoted.get(reading.symbol)
        if quoted is None:
            return self._refuse("instrument that is not watched", reading, at)
        quoted.last[_TRADES] = at
        level = quoted.trade
        if not self._moves_on(level, reading, at):
            return False
        verdict = self._judge.judge(level, float(reading.price), reading.at, quoted.witnesses)
        if verdict is Verdict.BELIEVED:
            return True
        return self._doubt(verdict, level, reading, reading.price, quoted, at, out)

    def book(self, reading: BookRead, at: datetime, out: list[Output]) -> bool:
        quoted = self._quoted.get(reading.symbol)
        if quoted is None:
            return self._refuse("instrument that is not watched", reading, at)
        quoted.last[_BOOK] = at
        level = quoted.book
        if not self._moves_on(level, reading, at):
            return False
        bid, ask = float(reading.bid), float(reading.ask)
        if bid > ask:
            self._crossed(level, reading, quoted, at, out)
            return False
        verdict = self._judge.judge(level, (bid + ask) / 2.0, reading.at, quoted.witnesses)
        if verdict is Verdict.BELIEVED:
            return True
        return self._doubt(verdict, level, reading, reading.bid, quoted, at, out)

    def mark(self, reading: MarkRead, at: datetime, out: list[Output]) -> bool:
        quoted = self._quoted.get(reading.symbol)
        if quoted is None:
            return self._refuse("instrument that is not watched", reading, at)
        quoted.last[_MARK] = at
        level = quoted.mark
        if not self._is_timely(level, reading, at):
            return False
        verdict = self._judge.judge(level, float(reading.mark_price), reading.at, quoted.witnesses)
        if verdict is not Verdict.BELIEVED:
            return self._doubt(verdict, level, reading, reading.mark_price, quoted, at, out)
        settled: FundingSettled | None = self._funding.mark(reading)
        if settled is not None:
            out.append(settled)
        return True

    def _moves_on(self, level: Level, reading: TradeRead | BookRead, at: datetime) -> bool:
        """As `_is_timely`, at less cost for the ordinary: a little later than the one before."""
        if level.newest <= reading.at <= level.newest + self._disorder_ms:
            level.newest = reading.at
            return True
        return self._is_timely(level, reading, at)

    def _is_timely(self, level: Level, reading: TradeRead | BookRead | MarkRead, at: datetime) -> bool:
        """Slight disorder is ordinary; time that goes backwards, or runs ahead of ours, is refused."""
        if reading.at < level.newest - self._disorder_ms:
            return self._refuse("time goes backwards", reading, at)
        if reading.at > to_millis(at) + _AHEAD_MS:
            return self._refuse("time of the future", reading, at)
        level.newest = max(level.newest, reading.at)
        return True

    def _refuse(self, reason: str, reading: Reading, at: datetime) -> bool:
        self._refusals.count(reason, str(reading), to_millis(at))
        return False

    def _doubt(
        self,
        verdict: Verdict,
        level: Level,
        reading: TradeRead | BookRead | MarkRead,
        price: str,
        quoted: _Quoted,
        at: datetime,
        out: list[Output],
    ) -> bool:
        self._refuse(_DOUBTED, reading, at)
        if verdict is Verdict.DOUBTED:
            self._tell(f"{_DOUBTED}: a jump from the last one", level, reading, price, quoted, at, out)
        return False

    def _crossed(
        self, level: Level, reading: BookRead, quoted: _Quoted, at: datetime, out: list[Output]
    ) -> None:
        self._refuse(_CROSSED, reading, at)
        self._tell(_CROSSED, level, reading, reading.bid, quoted, at, out)

    def _tell(
        self,
        reason: str,
        level: Level,
        reading: TradeRead | BookRead | MarkRead,
        price: str,
        quoted: _Quoted,
        at: datetime,
        out: list[Output],
    ) -> None:
        """Once a minute at most: all are counted, one is shown."""
        if level.told_at is not None and reading.at - level.told_at < _TOLD_AGAIN_MS:
            return
        level.told_at = reading.at
        witness = self._judge.fresh(quoted.witnesses, reading.at)
        reference = level.reference or (witness.level.seen if witness is not None else 0.0)
        fact = PriceDoubted(
            venue=self._venue,
            symbol=reading.symbol,
            price=Decimal(price),
            reference=Decimal(repr(reference)) if reference else Decimal(price),
            reason=reason,
            witness=None if witness is None else witness.venue,
            witness_price=None if witness is None else Decimal(repr(witness.level.seen)),
            at=at,
        )
        out.append(Noted(self._venue, fact, at))
