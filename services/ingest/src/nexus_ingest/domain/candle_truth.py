"""The closed candles of one series: each once, in order, none missing that the venue has."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from nexus_common.contracts.market import Bar
from nexus_ingest.domain.candle_news import (
    REST,
    STREAM,
    Corrected,
    Surplus,
    Told,
    Unconfirmed,
    gap_filled,
    gap_found,
)
from nexus_ingest.domain.watch_rules import Series, WatchRules
from nexus_ingest.domain.watching import AskBars
from nexus_market.candles import slot_millis


class SeriesTruth:
    """Takes closed klines and REST's answers as they come; tells candles in order, and what has to be asked.

    `next_open` is the slot that comes next: everything before it has been passed, or was never traded. A slot
    counts as never traded when an answer lacks it that holds a later bar, and that was asked for after the slot
    had settled. The newest slots count so only where the venue has sessions, when several answers lack them:
    elsewhere REST may merely lag.
    """

    def __init__(
        self,
        series: Series,
        rules: WatchRules,
        *,
        known: int | None = None,
        has_sessions: bool = False,
        look_back_to: int = 0,
    ) -> None:
        """`known` is the open time of the last recorded bar; `look_back_to` a grid from whose last line (ms) on
        bars are asked for again after a break, for folding."""
        self.series = series
        self.carrier = ""
        self.slot = slot_millis(series.timeframe)
        self.next_open: int | None = None if known is None else known + self.slot
        self._rules = rules
        self._has_sessions = has_sessions
        self._look_back_to = look_back_to
        self._kept = rules.kept(series.timeframe) * self.slot
        self._bars: dict[int, Bar] = {}
        self._untraded: dict[int, None] = {}
        self._held: dict[int, Bar] = {}
        self._confirmed: set[int] = set()
        self._last_close: Decimal | None = None
        self._doubted_until: int | None = None
        self._asked: AskBars | None = None
        self._asked_at = 0
        self._retry_at = 0
        self._failed = 0
        self._absent = 0
        self._must_reach: int | None = None
        self._maybe_missed = -1
        self._gap_told = -1

    @property
    def is_asking(self) -> bool:
        return self._asked is not None

    @property
    def is_unchecked(self) -> bool:
        return self._must_reach is not None

    @property
    def blocks(self) -> bool:
        """Whether a break is not repaired yet, and may still be."""
        return self._must_reach is not None and self._failed + self._absent < self._rules.tries_that_block

    # -- what happens ---------------------------------------------------------------------------------

    def heard(self, bar: Bar, now: int) -> list[Told]:
        """A closed kline of the stream."""
        if self.next_open is None:
            self.next_open = bar.open_time
        if bar.open_time < self.next_open:
            return self._compared(bar, STREAM)
        if bar.open_time not in self._confirmed:
            self._held[bar.open_time] = bar
        told = self._passed(now)
        return told + self._wanted(now) if self._held else told

    def reconnected(self, now: int) -> list[Told]:
        """Klines may have been missed: ask for all that should have closed, and compare the last few."""
        if self.next_open is None:
            self.next_open = now // self.slot * self.slot
            if not self._look_back_to:
                return []
        self._maybe_missed = self._last_due(now)
        self._must_reach = self._last_due(now - self._rules.rest_settles_ms)
        self._failed = self._absent = self._retry_at = 0
        return self._wanted(now)

    def answered(self, ask: AskBars, bars: Sequence[Bar], now: int) -> list[Told]:
        """REST's answer. Bars of it that are known are compared, new ones come in order."""
        if ask != self._asked or self.next_open is None:
            return []  # too late: it was asked anew
        self._asked = None
        told: list[Told] = []
        found: set[int] = set()
        reached = -1
        for bar in bars:
            if bar.open_time % self.slot or not ask.first <= bar.open_time <= ask.last:
                continue
            if not self._is_final(bar):
                continue
            reached = max(reached, bar.open_time)
            if bar.open_time < self.next_open:
                told += self._compared(bar, REST)
            else:
                told += self._confirmed_by(bar, found)
        self._failed = 0
        if self._has_sessions and reached < ask.last and self._absent + 1 >= self._rules.tries_until_untraded:
            reached = ask.last
        told += self._filled(min(reached, self._settled()), found, now)
        self._judge_answer(ask, now)
        return told + self._wanted(now)

    def unanswered(self, ask: AskBars, now: int) -> list[Told]:
        """REST failed: it is asked again later, candles behind the gap go on waiting."""
        if ask == self._asked:
            self._asked = None
            self._failed += 1
            self._retry_at = now + self._pause(self._failed)
        return []

    def due(self, now: int, silence_ms: int) -> list[Told]:
        """What time alone asks for: a candle that is overdue, an ask that is to be repeated."""
        if self.next_open is None or self._is_quiet(now):
            return []
        if self._asked is not None:
            if now - self._asked_at < self._rules.answer_ms:
                return self._passed(now) if self._doubted_until is not None else []
            self.unanswered(self._asked, now)
        told = self._passed(now) if self._doubted_until is not None else []
        return told + self._wanted(now, silence_ms)

    def _is_quiet(self, now: int) -> bool:
        assert self.next_open is not None
        return (
            now < self.next_open + self.slot + self._rules.rest_settles_ms
            and not self._held
            and self._asked is None
            and self._must_reach is None
        )

    # -- candles in order -----------------------------------------------------------------------------

    def _passed(self, now: int) -> list[Told]:
        """The held candles that come next."""
        told: list[Told] = []
        assert self.next_open is not None
        while (bar := self._held.get(self.next_open)) is not None:
            if self._is_doubted(bar, now):
                break
            self._record(bar)
            told.append(bar)
        return told

    def _record(self, bar: Bar) -> None:
        self._bars[bar.open_time] = bar
        self._last_close = bar.close
        self._held.pop(bar.open_time, None)
        self._confirmed.discard(bar.open_time)
        self._doubted_until = None
        self._step()

    def _step(self) -> None:
        assert self.next_open is not None
        forgotten = self.next_open - self._kept
        self._bars.pop(forgotten, None)
        self._untraded.pop(forgotten, None)
        self.next_open += self.slot

    def _is_doubted(self, bar: Bar, now: int) -> bool:
        """A candle that leaves the last close by more than a jump waits for REST's word, for a moment."""
        close, jump = self._last_close, self._rules.price_jump
        if close is None or bar.open_time in self._confirmed:
            return False
        if bar.low >= close * (1 - jump) and bar.high <= close * (1 + jump):
            return False
        if self._doubted_until is None:
            self._doubted_until = now + self._rules.confirm_ms
        return now < self._doubted_until

    def _is_final(self, bar: Bar) -> bool:
        """What REST says of a bar that has only just closed counts where the stream says the same."""
        return bar.open_time <= self._settled() or self._held.get(bar.open_time) == bar

    def _settled(self) -> int:
        """The newest slot that was final at REST when it was asked."""
        return self._last_due(self._asked_at - self._rules.rest_settles_ms)

    def _confirmed_by(self, bar: Bar, found: set[int]) -> list[Told]:
        """A new bar of REST; what the stream said of it gives way."""
        told: list[Told] = []
        held = self._held.get(bar.open_time)
        if held is None:
            found.add(bar.open_time)
        elif held != bar and self._doubted_until is not None and bar.open_time == self.next_open:
            told.append(Unconfirmed(held, bar))
        self._held[bar.open_time] = bar
        self._confirmed.add(bar.open_time)
        return told

    def _filled(self, reached: int, found: set[int], now: int) -> list[Told]:
        """Go on up to `reached`, passing over what was never traded, then with what the stream brought."""
        assert self.next_open is not None
        told: list[Told] = []
        missed: list[int] = []
        while self.next_open <= reached:
            bar = self._held.get(self.next_open)
            if bar is None:
                if not self._has_sessions:
                    missed.append(self.next_open)
                self._untraded[self.next_open] = None
                self._step()
            else:
                if bar.open_time in found:
                    missed.append(bar.open_time)
                self._record(bar)
                told.append(bar)
        return [*self._gap(missed, found, told), *self._passed(now)]

    def _gap(self, missed: list[int], found: set[int], bars: list[Told]) -> list[Told]:
        """The bars of a repair, between the news of the hole and that of its filling."""
        if not missed:
            return bars
        filled = gap_filled(self.series, missed[0], missed[-1], len(found.intersection(missed)))
        return [*self._gap_found(missed[0], missed[-1]), *bars, filled]

    def _gap_found(self, first: int, last: int) -> list[Told]:
        if last <= self._gap_told:
            return []
        self._gap_told = last
        return [gap_found(self.series, first, last)]

    def _compared(self, bar: Bar, source: str) -> list[Told]:
        was = self._bars.get(bar.open_time)
        if was == bar:
            return []
        if was is not None:
            self._bars[bar.open_time] = bar
            return [Corrected(was, bar, source)]
        if bar.open_time in self._untraded:
            return [Surplus(bar)]
        assert self.next_open is not None
        if bar.open_time >= self.next_open - self._kept:
            # Recorded before a restart: from here on it is known what it said.
            self._bars[bar.open_time] = bar
            if bar.open_time == self.next_open - self.slot:
                self._last_close = bar.close
        return []

    # -- asking REST ----------------------------------------------------------------------------------

    def _wanted(self, now: int, silence_ms: int | None = None) -> list[Told]:
        """An ask, where one is needed and none is out."""
        assert self.next_open is not None
        if self._asked is not None or now < self._retry_at:
            return []
        last = max(self._last_due(now - self._rules.rest_settles_ms), max(self._held, default=-1))
        if self._held:
            if self._held.get(self.next_open) is not None:
                return [self._ask(last, "a price to be confirmed", now)]
            told = [] if self._has_sessions else self._gap_found(self.next_open, min(self._held) - self.slot)
            return [*told, self._ask(last, "a gap", now)]
        if self._must_reach is not None:
            return [self._ask(max(last, self._must_reach), "after a break", now)]
        if silence_ms is not None and now >= self._overdue_at(silence_ms) and last >= self.next_open:
            return [self._ask(last, "overdue", now)]
        return []

    def _overdue_at(self, silence_ms: int) -> int:
        assert self.next_open is not None
        if self.next_open <= self._maybe_missed:
            silence_ms = min(silence_ms, 2 * self._rules.rest_settles_ms)
        return self.next_open + self.slot + silence_ms

    def _ask(self, last: int, reason: str, now: int) -> AskBars:
        assert self.next_open is not None
        first = self.next_open
        if self._must_reach is not None:
            first -= self._rules.compared_bars * self.slot
            if self._look_back_to:
                first = min(first, self.next_open // self._look_back_to * self._look_back_to)
        _, symbol, timeframe = self.series
        self._asked = AskBars(symbol, timeframe, first, last, reason)
        self._asked_at = now
        return self._asked

    def _judge_answer(self, ask: AskBars, now: int) -> None:
        """Whether the break is repaired; if the newest bars are lacking, REST is asked again later."""
        assert self.next_open is not None
        if self._must_reach is not None and min(ask.last, self.next_open - self.slot) >= self._must_reach:
            self._must_reach = None
        if self.next_open <= ask.last:
            self._absent += 1
            self._retry_at = now + self._pause(self._absent)
        else:
            self._absent = 0
            self._retry_at = 0

    def _pause(self, times: int) -> int:
        return min(self._rules.retry_first_ms << min(times - 1, 16), self._rules.retry_most_ms)

    def _last_due(self, now: int) -> int:
        return now // self.slot * self.slot - self.slot
