"""COMMANDS: the one table that understanding, help and roles are made from. To add a command, add a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nexus_common.contracts.session import Role
from nexus_telegram.commands import people, safety, showing, steering, timing, trading
from nexus_telegram.commands.command import Answer, Ask, ChatCommand, Refusal, Request
from nexus_telegram.commands.words import nearest
from nexus_telegram.domain.access import Access

__all__ = ["COMMANDS", "Answer", "Ask", "ChatCommand", "Refusal", "Request", "understand"]


def _help(ask: Ask) -> Answer:
    access = Access(ask.role)
    mine = [command for command in _TABLE if access.allows(command.role)]
    width = max(len(command.usage) for command in mine)
    return Answer("\n".join(f"{command.usage:<{width}}  {command.help}" for command in mine))


_TABLE: Final = (
    ChatCommand("status", "", "mode, accounts, what is held back", showing.status),
    ChatCommand("positions", "", "what you hold", showing.positions),
    ChatCommand("proposals", "", "what waits for your answer", showing.proposals),
    ChatCommand("why", "TRADE", "how a trade came about", showing.why),
    ChatCommand("mode", "[watcher|copilot|pilot]", "how much you leave to Nexus", steering.mode),
    ChatCommand("profile", "[conservative|nexus|ronin]", "leverage and exposure", steering.profile),
    ChatCommand("strategy", "[NAME|auto]", "one strategy, or as the regime says", steering.strategy),
    ChatCommand("strategies", "[on|off NAME]", "switch strategies", steering.strategies),
    ChatCommand("groups", "[on|off NAME]", "switch groups of instruments", steering.groups),
    ChatCommand("risk", "[NAME VALUE]", "your risk figures, within their caps", steering.risk),
    ChatCommand(
        "long", "SYMBOL [5%] [3x] [on=VENUE]", "buy by hand; the percentage is the stop", trading.long
    ),
    ChatCommand("short", "SYMBOL [5%] [3x] [on=VENUE]", "sell short by hand", trading.short_),
    ChatCommand("close", "SYMBOL|all", "leave positions at the market", trading.close),
    ChatCommand("approve", "[ID]", "let a proposed trade happen", trading.approve),
    ChatCommand("reject", "[ID]", "decline a proposed trade", trading.reject),
    ChatCommand("resetpilot", "", "reset the circuit breaker", safety.resetpilot),
    ChatCommand("resume", "", "end a halt or a black swan's block", safety.resume),
    ChatCommand("kill", "", "cancel, close everything, halt", safety.kill),
    ChatCommand("remind", "CRON|TIME|WHILE TEXT", "be reminded, in UTC", timing.remind),
    ChatCommand("alert", "SYMBOL > PRICE", "be told when a candle closes beyond a price", timing.alert),
    ChatCommand("tasks", "", "your reminders and alerts", timing.tasks),
    ChatCommand("cancel", "TASK", "drop a reminder or an alert", timing.cancel),
    ChatCommand("models", "", "who reads the regime, and how well", showing.models, Role.ADMIN),
    ChatCommand("users", "", "who has which role", people.users, Role.ADMIN),
    ChatCommand("grant", "USER admin|subscriber", "give a role", people.grant, Role.ADMIN),
    ChatCommand("revoke", "USER", "take a role away", people.revoke, Role.ADMIN),
    ChatCommand("help", "", "this list", _help),
)
COMMANDS: Final[Mapping[str, ChatCommand]] = {command.name: command for command in _TABLE}


def understand(name: str, ask: Ask) -> Answer:
    """What `/name` and its words lead to; raises Refusal when they cannot be followed."""
    access = Access(ask.role)
    if access.role is None:
        raise Refusal("you have no access to this installation; ask its owner")
    command = COMMANDS.get(name)
    if command is None:
        mine = [each.name for each in _TABLE if access.allows(each.role)]
        near = nearest(name, mine).replace("did you mean ", "did you mean /")
        raise Refusal(f"/{name} is not a command{near or '; /help lists them'}")
    if not access.allows(command.role):
        raise Refusal(f"/{name} is for the {command.role}, you are {access.role}")
    if not ask.session.is_open and command.name not in _WITHOUT_SESSION:
        raise Refusal("you have no session yet; ask the owner to open one")
    try:
        return command.handle(ask)
    except Refusal as refusal:
        reason = str(refusal)
        stop = "" if reason.endswith("?") else "."
        raise Refusal(f"{reason}{stop} Usage: {command.usage}") from refusal


_WITHOUT_SESSION: Final = frozenset({"help", "users", "grant", "revoke"})
