"""What `nexus up` shows: the services, how far the market is, what is held, and what users are told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from nexus_common.contracts import feed, notice, trade
from nexus_common.contracts.account import BalanceChanged
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import StoreUnavailable
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_ops.access import connected
from nexus_ops.output import console
from nexus_ops.stack.house import House
from nexus_ops.story import plain, short

POLL_SECONDS = 0.5
NOTICES_SHOWN = 12
NOTICE_LINES_MIN = 6
LINES_ABOVE = 14
PAGE = 2_000
HEARD = ("market", "feed", "notice", "trade", "account")


@dataclass
class View:
    """What the screen knows, folded from the store's events."""

    at: datetime | None = None
    ended: bool = False
    wallets: dict[str, Decimal] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    held: dict[str, trade.TradeEntered | trade.LadderFilled] = field(default_factory=dict)
    stops: dict[str, Decimal] = field(default_factory=dict)
    closed: int = 0
    net: Decimal = Decimal(0)
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=NOTICES_SHOWN))
    fresh: list[str] = field(default_factory=list)
    read_up_to: int = 0

    def take(self, event: Event, occurred_at: datetime) -> None:
        match event:
            case CandlesClosed():
                self.at = event.at
                self.marks.update({candle.symbol: candle.close for candle in event.candles})
            case BalanceChanged():
                self.wallets[event.account] = event.wallet
            case trade.TradeEntered():
                self.held[event.trade_id] = event
            case trade.LadderFilled():
                self.held[event.trade_id] = event
                self.stops[event.trade_id] = event.stop or Decimal(0)
            case trade.ProtectionSet():
                self.stops[event.trade_id] = event.stop
            case trade.TradeClosed():
                self.held.pop(event.trade_id, None)
                self.closed += 1
                self.net += event.net_profit
            case feed.FeedEnded():
                self.ended = True
            case notice.NoticeComposed():
                line = f"{occurred_at:%m-%d %H:%M}  {event.text}"
                self.notices.append(line)
                self.fresh.append(line)
            case _:
                pass


def watch(house: House) -> None:
    """Show the house at work until somebody asks to stop, or the market has ended."""
    asyncio.run(_watch(house))


async def _watch(house: House) -> None:
    async with connected(house.addresses.store) as store:
        await _follow(house, store)


async def _follow(house: House, store: PostgresStore) -> None:
    view, begun = View(), time.monotonic()
    live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
    try:
        if live is not None:
            live.start()
        else:
            console.print(_processes_line(house), markup=False)
        while not house.supervisor.wait_until_stop_is_wanted(0):
            with suppress(StoreUnavailable):  # the supervisor is bringing it back
                await _take_new(store, view)
            if live is not None:
                live.update(_screen(house, view, time.monotonic() - begun), refresh=True)
            else:
                for line in view.fresh:
                    console.print(line, markup=False)
            view.fresh.clear()
            house.write_status()
            if view.ended and not (house.home / "ended").exists():
                (house.home / "ended").touch()
                console.print(
                    "the market has been played to its end; Ctrl-C stops, the next start begins anew"
                )
            await asyncio.sleep(POLL_SECONDS)
    finally:
        if live is not None:
            live.stop()


async def _take_new(store: PostgresStore, view: View) -> None:
    while page := await store.read_categories(HEARD, view.read_up_to, limit=PAGE):
        for recorded in page:
            view.take(recorded.event, recorded.envelope.occurred_at)
        view.read_up_to = page[-1].global_position


def _processes_line(house: House) -> str:
    return "running: " + "  ".join(f"{s.name} {s.pid or '-'}" for s in house.status())


def _screen(house: House, view: View, seconds: float) -> Group:
    market = "warming up" if view.at is None else f"{view.at:%Y-%m-%d %H:%M} UTC"
    money = "  ".join(f"{account} {short(wallet)}" for account, wallet in sorted(view.wallets.items()))
    head = (
        f"market {market}   running {seconds:.0f} s   trades closed {view.closed}   net {short(view.net)}\n"
        f"{money}\n{_processes_line(house)}"
    )
    # Notices have several lines each; the newest must be on the screen.
    room = max(NOTICE_LINES_MIN, console.height - LINES_ABOVE - len(view.held))
    told = "\n".join(view.notices).splitlines()[-room:]
    notices = "\n".join(told) or "nothing yet"
    return Group(
        Panel(head, title="Nexus", title_align="left"),
        _positions(view),
        Panel(notices, title="What users are told", title_align="left"),
    )


def _positions(view: View) -> Table:
    table = Table(expand=True, box=SIMPLE_HEAD)
    table.add_column("position", no_wrap=True)
    table.add_column("strategy")
    for name in ("quantity", "entry", "now", "stop", "profit"):
        table.add_column(name, justify="right", no_wrap=True)
    for trade_id, held in sorted(view.held.items(), key=lambda item: item[1].symbol):
        entry = held.average_price or Decimal(0)  # of a ladder that holds nothing at the moment
        mark = view.marks.get(held.symbol, entry)
        profit = (mark - entry) * held.quantity * held.direction.sign
        colour = "green" if profit >= 0 else "red"
        table.add_row(
            f"{held.symbol} {held.direction}",
            held.strategy,
            plain(held.quantity),
            plain(entry),
            plain(mark),
            plain(view.stops.get(trade_id, Decimal(0))),
            f"[{colour}]{short(profit)}[/{colour}]",
        )
    return table
