"""Looking: /status, /positions, /proposals, /why, /models."""

from __future__ import annotations

from nexus_telegram.commands.command import Answer, Ask, Refusal
from nexus_telegram.render import answers
from nexus_telegram.render import models as model_words
from nexus_telegram.render.figures import short
from nexus_telegram.trade_view import TradeStatus


def status(ask: Ask) -> Answer:
    return Answer(answers.status(ask.user, ask.session, ask.view, ask.at))


def positions(ask: Ask) -> Answer:
    return Answer(answers.positions([trade for trade in ask.view.trades_of(ask.user) if trade.is_out]))


def proposals(ask: Ask) -> Answer:
    return Answer(answers.proposals(ask.view.trades_of(ask.user, TradeStatus.PROPOSED)))


def models(ask: Ask) -> Answer:
    return Answer(model_words.listed(ask.view.models))


def why(ask: Ask) -> Answer:
    if len(ask.words) != 1:
        raise Refusal("name one trade by the first letters of its id")
    mine = ask.view.trades_of(ask.user)
    found = [trade for trade in mine if trade.trade_id.startswith(ask.words[0].lower())]
    if not found:
        last = ", ".join(f"{short(trade.trade_id)} ({trade.symbol})" for trade in mine[-3:]) or "none yet"
        raise Refusal(f"no trade of yours begins with {ask.words[0]!r}; the last ones: {last}")
    if len(found) > 1:
        raise Refusal(f"{len(found)} trades begin with {ask.words[0]!r}: write more of the id")
    return Answer(answers.why(found[0]))
