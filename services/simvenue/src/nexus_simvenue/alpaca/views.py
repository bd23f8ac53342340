"""What Alpaca's queries answer: account, positions, assets, clock, calendar."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.instrument import Group, Instrument
from nexus_common.contracts.values import Side
from nexus_data.sessions import NEW_YORK, us_sessions
from nexus_market.exchange import Exchange, Holding
from nexus_simvenue.alpaca.book import Book, Flags
from nexus_simvenue.alpaca.problems import NOT_FOUND, Problem, unprocessable
from nexus_simvenue.alpaca.records import made_id, number
from nexus_simvenue.alpaca.rules import held_for_orders


class Views:
    """Reads the engine and an account's book; changes nothing."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def account(self, book: Book) -> dict[str, Any]:
        account, flags = self._exchange.account(book.account), book.flags
        cost = sum((held.cost for held in account.positions.values()), Decimal(0))
        values = [held.quantity * self._price(symbol) for symbol, held in account.positions.items()]
        long = sum((value for value in values if value > 0), Decimal(0))
        short = sum((value for value in values if value < 0), Decimal(0))
        cash = account.wallet - cost
        free, equity = max(account.available(), Decimal(0)), cash + long + short
        live = book.account.endswith(".live")
        amounts = {
            "cash": cash,
            "equity": equity,
            "last_equity": equity,
            "portfolio_value": equity,
            "long_market_value": long,
            "short_market_value": short,
            "position_market_value": long + short,
            **dict.fromkeys(("buying_power", "regt_buying_power", "non_marginable_buying_power"), free),
            **dict.fromkeys(("daytrading_buying_power", "options_buying_power"), Decimal(0)),
            **dict.fromkeys(("accrued_fees", "sma"), Decimal(0)),
            **dict.fromkeys(("initial_margin", "maintenance_margin"), long - short),
            "last_maintenance_margin": long - short,
        }
        return {
            "id": made_id("account", book.account),
            "account_number": ("" if live else "PA")
            + str(int(made_id(book.account).replace("-", ""), 16))[:9],
            "status": "ACTIVE",
            "currency": account.currency,
            "multiplier": "1",
            "pattern_day_trader": False,
            "daytrade_count": 0,
            "options_approved_level": 0,
            "options_trading_level": 0,
            "account_blocked": flags.account_blocked,
            "trading_blocked": flags.trading_blocked,
            "transfers_blocked": False,
            "trade_suspended_by_user": flags.trade_suspended_by_user,
            "shorting_enabled": not flags.no_shorting,
            "created_at": "2025-01-01T00:00:00Z",
            **{name: number(amount) for name, amount in amounts.items()},
        }

    @staticmethod
    def configurations(flags: Flags) -> dict[str, Any]:
        return {
            "dtbp_check": "entry",
            "fractional_trading": True,
            "max_margin_multiplier": "1",
            "max_options_trading_level": 0,
            "no_shorting": flags.no_shorting,
            "pdt_check": "entry",
            "ptp_no_exception_entry": False,
            "suspend_trade": flags.trade_suspended_by_user,
            "trade_confirm_email": "all",
        }

    def _price(self, symbol: str) -> Decimal:
        return self._exchange.price(symbol) or Decimal(0)

    # -- positions ----------------------------------------------------------------------------------

    def positions(self, book: Book) -> list[dict[str, Any]]:
        return [self._position(book, held) for held in self._exchange.positions(book.account)]

    def position(self, book: Book, name: str) -> dict[str, Any]:
        """Of one symbol or asset id; raises Problem."""
        for held in self._exchange.positions(book.account):
            if name in (held.symbol, made_id("asset", held.symbol)):
                return self._position(book, held)
        raise Problem(NOT_FOUND, "position does not exist")

    def _position(self, book: Book, held: Holding) -> dict[str, Any]:
        cost = self._exchange.account(book.account).positions[held.symbol].cost
        price = self._price(held.symbol)
        value = held.quantity * price
        profit = value - cost
        side = Side.SELL if held.quantity > 0 else Side.BUY
        taken, _ = held_for_orders(held.symbol, side, book.open.values())
        rate = round(profit / abs(cost), 9) if cost else Decimal(0)
        return {
            "asset_id": made_id("asset", held.symbol),
            "symbol": held.symbol,
            "exchange": "NASDAQ",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": number(held.quantity),
            "qty_available": number((abs(held.quantity) - taken) * (1 if held.quantity > 0 else -1)),
            "avg_entry_price": number(round(held.entry_price, 9)),
            "side": "long" if held.quantity > 0 else "short",
            "market_value": number(value),
            "cost_basis": number(cost),
            **{name: number(profit) for name in ("unrealized_pl", "unrealized_intraday_pl")},
            **{name: number(rate) for name in ("unrealized_plpc", "unrealized_intraday_plpc")},
            "current_price": number(price),
            "lastday_price": number(price),
            "change_today": "0",
        }

    # -- assets -------------------------------------------------------------------------------------

    def assets(self, flags: Flags, fields: dict[str, str]) -> list[dict[str, Any]]:
        rows = [self.asset_row(instrument, True, flags) for instrument in self._exchange.instruments]
        names = {"status": "status", "exchange": "exchange", "asset_class": "class"}
        wanted = {names[name]: value for name, value in fields.items() if name in names}
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def asset(self, flags: Flags, name: str) -> dict[str, Any]:
        """Of one symbol or asset id; raises Problem."""
        for instrument in self._exchange.instruments:
            if name in (instrument.symbol, made_id("asset", instrument.symbol)):
                return self.asset_row(instrument, True, flags)
        raise Problem(NOT_FOUND, f"asset not found for {name}")

    @staticmethod
    def asset_row(instrument: Instrument, trades: bool, flags: Flags | None = None) -> dict[str, Any]:
        """`flags`: of the account that asks, where one does."""
        flags = Flags() if flags is None else flags
        shortable = instrument.symbol not in flags.not_shortable
        return {
            "id": made_id("asset", instrument.symbol),
            "class": "us_equity",
            "exchange": "ARCA" if instrument.group is Group.ETFS else "NASDAQ",
            "symbol": instrument.symbol,
            "name": instrument.symbol,
            "status": "active" if trades else "inactive",
            "tradable": trades,
            "marginable": True,
            "maintenance_margin_requirement": 30,
            "shortable": shortable,
            "easy_to_borrow": shortable,
            "fractionable": instrument.symbol not in flags.not_fractionable,
            "attributes": [],
        }

    # -- time ---------------------------------------------------------------------------------------

    @staticmethod
    def clock(now: datetime) -> dict[str, Any]:
        sessions = us_sessions()
        return {
            "timestamp": now.astimezone(NEW_YORK).isoformat(),
            "is_open": sessions.is_open(now),
            "next_open": sessions.next_open(now).astimezone(NEW_YORK).isoformat(),
            "next_close": sessions.current_or_next(now).closes.astimezone(NEW_YORK).isoformat(),
        }

    @staticmethod
    def calendar(fields: dict[str, str]) -> list[dict[str, str]]:
        try:
            first = date.fromisoformat(fields.get("start", "2006-01-01")[:10])
            last = date.fromisoformat(fields.get("end", "2030-12-31")[:10])
        except ValueError:
            raise unprocessable("start and end must be dates") from None
        return [
            {
                "date": session.day.isoformat(),
                "open": f"{session.opens.astimezone(NEW_YORK):%H:%M}",
                "close": f"{session.closes.astimezone(NEW_YORK):%H:%M}",
                "session_open": "0400",
                "session_close": "2000",
            }
            for session in us_sessions().between(first, last)
        ]


def activities(book: Book, kinds: set[str], fields: dict[str, str]) -> list[dict[str, Any]]:
    """A page of the account's activities: behind `page_token`, within `after` and `until`; raises Problem."""
    rows = [row for row in book.activities if not kinds or row["activity_type"] in kinds]
    after, until, day = fields.get("after"), fields.get("until"), fields.get("date")
    rows = [row for row in rows if after is None or _moment(row) > moment("after", after)]
    rows = [row for row in rows if until is None or _moment(row) <= moment("until", until)]
    rows = [row for row in rows if day is None or _time(row).startswith(day[:10])]
    if fields.get("direction", "desc") == "desc":
        rows.reverse()
    token = fields.get("page_token")
    if token is not None:
        ids = [row["id"] for row in rows]
        rows = rows[ids.index(token) + 1 :] if token in ids else []
    return rows[: _page_size(fields, 100)]


def _page_size(fields: dict[str, str], highest: int) -> int:
    text = fields.get("page_size", str(highest))
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise unprocessable(f"page_size must be between 1 and {highest}")
    return int(text)


def _time(row: dict[str, Any]) -> str:
    return str(row.get("transaction_time") or row["created_at"])


def _moment(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(_time(row))


def moment(name: str, text: str) -> datetime:
    """A time in a query; a bare date is midnight UTC. Raises Problem."""
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise unprocessable(f"{name} must be an RFC 3339 timestamp") from None
    if parsed.tzinfo is None:
        return datetime.fromisoformat(parsed.isoformat() + "+00:00")
    return parsed
