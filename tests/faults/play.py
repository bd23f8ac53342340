"""Plays cells: a market for all that go the same way, an executor and an account for each, turn by turn.

Venue time is handed in, waits are shortened by one factor (five seconds of waiting for an answer are 0.4),
and cells wait at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path as Folder
from tempfile import TemporaryDirectory
from typing import Any, Final

from contract.settings import VenueHouse, flat
from faults.cells import TERMS, Cell, Path, Weather
from faults.deeds import a_verdict, amber, do
from faults.judge import Finding, Told, judge
from faults.matrix import cells
from faults.mortal import Crash
from faults.trader import OWNER, Trader
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import CloseRequested
from nexus_common.contracts.trade import TradeAbandoned, TradeAdmitted, TradeClosed
from nexus_common.contracts.values import AccountId, Symbol
from nexus_market.exchange import ExchangeSettings, Ohlcv
from nexus_market.instruments import by_symbol, round_price

WAIT_SECONDS: Final = 0.4  # stands for five
BATCH: Final = 24
ENTRY_TURN: Final = 1
MOVE_TURN: Final = 18
SKEW_TURNS: Final = (4, 15)
_LEVELS: Final = {
    Path.FALL: ("0.985", "0.978", "0.965", "0.978", "0.978"),
    Path.RISE: ("1.015", "1.022", "1.035", "1.022", "1.022"),
}
_SECONDS: Final = (60, *(1,) * 11, *(5,) * 6, *(5,) * 24, *(60,) * 3)
CALM: Final = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0, volume_share=Decimal("0.1"))


@dataclass(slots=True)
class Outcome:
    """What became of a cell. `fired`: its fault was seen to happen."""

    cell: Cell
    fired: bool
    finding: Finding

    @property
    def passed(self) -> bool:
        return not self.finding.problems


@dataclass(slots=True)
class _Part:
    """A cell on stage."""

    cell: Cell
    trader: Trader
    crash: Crash
    done: int = 0
    problems: list[str] = field(default_factory=list)
    is_over: bool = False


def batches(wanted: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Cells that can share a market, a handful at a time."""

    for _, group in groupby(sorted(wanted, key=_alike), key=_alike):
        alike = list(group)
        for start in range(0, len(alike), BATCH):
            yield alike[start : start + BATCH]


def play(wanted: Iterable[Cell]) -> list[Outcome]:
    """Play all of them, one market after another."""
    outcomes: list[Outcome] = []
    logging.disable(logging.ERROR)
    try:
        for batch in batches(wanted):
            with TemporaryDirectory() as folder:
                outcomes += asyncio.run(Play(batch, VenueHouse(Folder(folder), CALM)).run())
    finally:
        logging.disable(logging.NOTSET)
    return outcomes


def play_named(venue: str, names: Sequence[str]) -> list[tuple[str, bool, Finding]]:
    """Play cells of a row by name; what another process can be asked for."""
    known = {cell.name: cell for cell in cells((venue,))}
    return [(o.cell.name, o.fired, o.finding) for o in play([known[name] for name in names])]


def play_all(wanted: Sequence[Cell], workers: int = 2, page: int = 8 * BATCH) -> list[Outcome]:
    """Play cells in several processes; the outcomes in the order of the cells."""
    known = {cell.name: cell for cell in wanted}
    found: dict[str, Outcome] = {}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        pages = []
        for venue, group in groupby(sorted(wanted, key=_alike), key=lambda cell: cell.venue):
            names = [cell.name for cell in group]
            pages += [
                pool.submit(play_named, venue, names[start : start + page])
                for start in range(0, len(names), page)
            ]
        for asked in as_completed(pages):
            for name, fired, finding in asked.result():
                found[name] = Outcome(known[name], fired, finding)
    return [found[cell.name] for cell in wanted]


def _alike(cell: Cell) -> tuple[str, str, str]:
    return cell.venue, cell.path.value, cell.weather.value


class Play:
    """One market with the cells that share it."""

    def __init__(self, cells: Sequence[Cell], house: VenueHouse) -> None:
        self._house = house
        self._cells = cells
        self._path, self._weather = cells[0].path, cells[0].weather
        self._row = cells[0].row
        self._skewed = False
        listed = by_symbol(house.venues.exchange(self._row.venue).instruments)
        self._symbols = {s: listed[s] for s in TERMS if s in listed}

    async def run(self) -> list[Outcome]:
        await self._house.start()
        try:
            self._tick(_SECONDS[0], 0)
            parts = [await self._enter(number, cell) for number, cell in enumerate(self._cells)]
            self._house.faults(*self._rules(parts))
            for turn, seconds in enumerate(_SECONDS):
                if turn:
                    self._skew(turn)
                    bars = self._tick(seconds, turn)
                else:
                    bars = self._bars(0)
                await asyncio.gather(*(self._turn(part, turn, bars) for part in parts if not part.is_over))
                if turn > MOVE_TURN + len(_LEVELS[Path.FALL]):
                    for part in parts:
                        # What only asking finds out is asked for by the minute.
                        early = part.cell.is_silent and turn < len(_SECONDS) - 1
                        part.is_over = part.is_over or (not early and await self._at_rest(part))
                    if all(part.is_over for part in parts):
                        break
            return await self._judged(parts)
        finally:
            await self._house.stop()

    # -- the market ---------------------------------------------------------------------------------

    def _level(self, turn: int) -> Decimal:
        levels = _LEVELS.get(self._path)
        if levels is None or turn < MOVE_TURN:
            return Decimal(1)
        return Decimal(levels[min(turn - MOVE_TURN, len(levels) - 1)])

    def _bars(self, turn: int) -> dict[Symbol, Ohlcv]:
        bars = {}
        for symbol, instrument in self._symbols.items():
            price, quantity = TERMS[symbol]
            opened = round_price(price * self._level(turn - 1), instrument)
            closed = round_price(price * self._level(turn), instrument)
            volume = quantity * (Decimal("3.7") if self._weather is Weather.THIN else 1000)
            bars[symbol] = Ohlcv(opened, max(opened, closed), min(opened, closed), closed, volume)
        return bars

    def _tick(self, seconds: int, turn: int) -> dict[Symbol, Ohlcv]:
        bars = self._bars(turn)
        opening = {symbol: flat(bar.close, str(bar.volume)) for symbol, bar in bars.items()}
        self._house.step(self._row.venue, bars, opening, seconds)
        return bars

    def _skew(self, turn: int) -> None:
        if self._weather.offset and turn in SKEW_TURNS:
            offset = self._weather.offset if turn == SKEW_TURNS[0] else 0.0
            self._house.ask("set_clock", offset_seconds=offset)
            self._skewed = True

    # -- cells --------------------------------------------------------------------------------------

    async def _enter(self, number: int, cell: Cell) -> _Part:
        account = AccountId(f"owner{number}.{cell.row.venue}.paper")
        cell.row.open_account(self._house, account)
        crash = Crash(cell.point, cell.leg, cell.skip)
        trader = Trader(cell.row, self._house, account, crash, WAIT_SECONDS)
        await trader.start(self._house.at)
        return _Part(cell, trader, crash)

    def _rules(self, parts: Sequence[_Part]) -> list[dict[str, Any]]:
        return [
            {**rule, "account": part.trader.account, "label": f"{number}/{part.trader.account}"}
            for part in parts
            for number, rule in enumerate(part.cell.rules)
        ]

    async def _turn(self, part: _Part, turn: int, bars: dict[Symbol, Ohlcv]) -> None:
        for deed in part.cell.deeds:
            if deed.turn == turn:
                part.done += do(self._house, part.cell, part.trader.account, deed)
        symbol = part.cell.symbol
        try:
            await part.trader.turn(self._house.at, {symbol: bars[symbol]}, self._requests(part, turn))
        except Exception as error:
            part.problems.append(f"the executor ended at turn {turn}: {type(error).__name__}: {error}")
            part.is_over = True

    def _requests(self, part: _Part, turn: int) -> list[tuple[str, Event]]:
        trader, path = part.trader, part.cell.path
        if turn == ENTRY_TURN:
            instrument = self._symbols[part.cell.symbol]
            price, quantity = TERMS[part.cell.symbol]
            verdict = a_verdict(instrument, part.cell.direction, price, quantity, self._house.at)
            return [(f"risk-{trader.account}", verdict)]
        if turn == MOVE_TURN and path is Path.AMBER:
            return [("guard-crypto", amber(self._house.at))]
        if turn == MOVE_TURN + (3 if path is Path.AMBER else 0) and path in (Path.LEAVE, Path.AMBER):
            return [(f"session-{OWNER}", CloseRequested(user=OWNER, account=trader.account))]
        return []

    async def _at_rest(self, part: _Part) -> bool:
        """Nothing is held, nothing stands, and the executor knows it."""
        exchange = self._house.venues.exchange(self._row.venue)
        account = part.trader.account
        if exchange.positions(account) or exchange.open_orders(account):
            return False
        counts = Counter(type(recorded.event) for recorded in await part.trader.events())
        ended = counts[TradeClosed] + counts[TradeAbandoned]
        quiet = await part.trader.reactor.quiet(self._house.at, part.trader.desk)
        return ended >= counts[TradeAdmitted] and quiet is not None

    # -- the verdict --------------------------------------------------------------------------------

    async def _judged(self, parts: Sequence[_Part]) -> list[Outcome]:
        proofs = self._house.proofs()
        fired = {fired["label"] for fired in self._house.fired()}
        outcomes = []
        for part in parts:
            account = part.trader.account
            records = [record for record in proofs["records"] if record["account"] == account]
            by_hand = any(deed.method == "hand" for deed in part.cell.deeds)
            told = Told(await part.trader.events(), part.trader.turns, by_hand)
            finding = judge(records, told, part.cell.naked_seconds)
            finding.problems[:0] = part.problems
            finding.share = self._house.server.share
            outcomes.append(Outcome(part.cell, self._has_fired(part, fired, records), finding))
            await part.trader.stop()
        return outcomes

    def _has_fired(self, part: _Part, fired: set[str], records: Sequence[dict[str, Any]]) -> bool:
        cell = part.cell
        rules = all(f"{number}/{part.trader.account}" in fired for number in range(len(cell.rules)))
        partly = sum(1 for record in records if record["kind"] == "fill" and not record["complete"])
        return (
            rules
            and part.done == len(cell.deeds)
            and (cell.point is None or part.crash.happened)
            and (cell.weather is not Weather.THIN or partly > 0)
            and (not cell.weather.offset or self._skewed)
        )
