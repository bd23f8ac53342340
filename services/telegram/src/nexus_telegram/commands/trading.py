"""Trading by hand: /long, /short, /close, /approve, /reject."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from nexus_common.contracts.session import AnswerProposal, RequestClose, RequestOrder
from nexus_common.contracts.values import Direction
from nexus_telegram.commands.command import Answer, Ask, Refusal, to_session
from nexus_telegram.commands.words import fraction, leverage, market
from nexus_telegram.render.figures import percent, short
from nexus_telegram.trade_view import TradeStatus, TradeView


@dataclass(slots=True)
class _Options:
    stop: Decimal | None = None
    leverage: int | None = None
    venue: str | None = None


def long(ask: Ask) -> Answer:
    return _order(ask, Direction.LONG)


def short_(ask: Ask) -> Answer:
    return _order(ask, Direction.SHORT)


def _order(ask: Ask, direction: Direction) -> Answer:
    if not ask.words:
        raise Refusal("which symbol?")
    options = _options(ask.words[1:])
    account, symbol = market(ask.words[0], ask, options.venue)
    command = RequestOrder(
        user=ask.user,
        account=account.account,
        symbol=symbol,
        direction=direction,
        stop_fraction=options.stop,
        leverage=options.leverage,
        at=ask.at,
    )
    stop = "" if options.stop is None else f", stop {percent(options.stop)} away"
    say = f"Asked for {direction} {symbol} on {account.account}{stop}. Shield decides whether and how large."
    return to_session(ask, command, say, account.account)


def _options(words: tuple[str, ...]) -> _Options:
    options = _Options()
    for word in words:
        name, equals, value = word.partition("=")
        match name.lower() if equals else "":
            case "stop":
                options.stop = fraction(value, "the stop's distance")
            case "lev" | "leverage":
                options.leverage = leverage(value)
            case "on":
                options.venue = value
            case "" if word.endswith("%"):
                options.stop = fraction(word, "the stop's distance")
            case "" if word.lower().endswith("x"):
                options.leverage = leverage(word)
            case _:
                raise Refusal(f"{word!r} is neither a stop (5%), a leverage (3x) nor a venue (on=bybit)")
    return options


def close(ask: Ask) -> Answer:
    if len(ask.words) != 1:
        raise Refusal("name one symbol, or all")
    if ask.words[0].lower() == "all":
        every = tuple(spec.account for spec in ask.session.accounts)
        return to_session(ask, RequestClose(ask.user, every, None, ask.at), "Asked to close everything.")
    account, symbol = market(ask.words[0], ask)
    held = sorted(
        {trade.account for trade in _held(ask) if trade.symbol == symbol and trade.account is not None}
    )
    accounts = tuple(held) or (account.account,)
    known = "" if held else " No open position in it is known; the executor looks all the same."
    single = accounts[0] if len(accounts) == 1 else None
    command = RequestClose(ask.user, accounts, symbol, ask.at)
    return to_session(ask, command, f"Asked to close {symbol} on {', '.join(accounts)}.{known}", single)


def _held(ask: Ask) -> list[TradeView]:
    both = (TradeStatus.OPEN, TradeStatus.ADMITTED)
    return [trade for trade in ask.view.trades_of(ask.user) if trade.status in both]


def approve(ask: Ask) -> Answer:
    return _answer(ask, approved=True)


def reject(ask: Ask) -> Answer:
    return _answer(ask, approved=False)


def _answer(ask: Ask, *, approved: bool) -> Answer:
    waiting = ask.view.trades_of(ask.user, TradeStatus.PROPOSED)
    if len(ask.words) > 1:
        raise Refusal("name one proposal")
    given = ask.words[0].lower() if ask.words else ""
    found = [trade for trade in waiting if trade.trade_id.startswith(given)]
    if not waiting:
        raise Refusal("no proposal is waiting for your answer")
    if len(found) != 1:
        listed = ", ".join(f"{short(trade.trade_id)} ({trade.symbol})" for trade in waiting)
        raise Refusal(f"{'that is no' if not found else 'say which'} proposal; waiting: {listed}")
    trade = found[0]
    command = AnswerProposal(ask.user, trade.trade_id, approved, ask.at)
    verb = "Approved" if approved else "Rejected"
    say = f"{verb}: {trade.name} {short(trade.trade_id)}."
    return to_session(ask, command, say, trade.account)
