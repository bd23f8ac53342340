"""`bot_state`: how the whole installation stands, one row a matter.

`guard` the sentinel, `strategies` what cortex trades, `feed.VENUE` a market's feed, `account.ACCOUNT` an
account's wallet and what holds its entries back (owner: the user), `service.SERVICE` the last run.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.account import AccountOpened, BalanceChanged
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.feed import FeedEnded, FeedLost, FeedRestored, FeedStarted
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, GuardReleased
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import BreakerReset, BreakerTripped, EntriesHalted, EntriesResumed
from nexus_common.contracts.run import RunStarted, RunStopped
from nexus_common.contracts.values import Service
from nexus_common.runtime.projection import Amend, Change, Put
from nexus_common.runtime.store.schema import bot_state


class BotState:
    """What holds for everybody, and for each account."""

    name = "bot_state"
    categories = ("guard", "feed", "account", "risk", "run")
    tables = (bot_state,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        match envelope.category:
            case "guard":
                return _guard(envelope)
            case "feed":
                return _feed(envelope)
            case "account" | "risk":
                return _account(envelope)
            case _:
                return _run(envelope)


def _guard(envelope: Envelope[Event]) -> Sequence[Change]:
    event, at = envelope.event, envelope.occurred_at
    match event:
        case BlackSwanDeclared() | AmberRaised():
            state = "black swan" if isinstance(event, BlackSwanDeclared) else "amber"
            raised = {
                "state": state,
                "since": at,
                "until": event.longs_blocked_until,
                "evidence": event.evidence.model_dump(mode="json"),
            }
            return [Put(bot_state, "guard", raised)]
        case GuardReleased():
            return [Put(bot_state, "guard", {"state": "armed", "since": at, "reason": event.reason})]
        case _:
            return []


def _feed(envelope: Envelope[Event]) -> Sequence[Change]:
    event, at = envelope.event, envelope.occurred_at
    match event:
        case FeedStarted():
            started = {"state": "playing", "since": at, "sources": dict(event.sources)}
            return [Put(bot_state, f"feed.{event.venue}", started)]
        case FeedLost():
            lost = {"state": "lost", "since": at, "reason": event.reason}
            return [Amend(bot_state, f"feed.{event.venue}", lost)]
        case FeedRestored():
            return [Amend(bot_state, f"feed.{event.venue}", {"state": "playing", "since": at, "reason": ""})]
        case FeedEnded():
            return [Amend(bot_state, f"feed.{event.venue}", {"state": "ended", "since": at})]
        case _:
            return []


def _account(envelope: Envelope[Event]) -> Sequence[Change]:
    event = envelope.event
    key = f"account.{envelope.stream.partition('-')[2]}"
    match event:
        case AccountOpened():
            opened = {**event.model_dump(mode="json"), "breaker": None, "halted_by": None}
            return [Put(bot_state, key, opened, owner=event.user)]
        case BalanceChanged():
            return [Amend(bot_state, key, {"wallet": event.wallet})]
        case BreakerTripped():
            return [Amend(bot_state, key, {"breaker": event.reason})]
        case BreakerReset():
            return [Amend(bot_state, key, {"breaker": None})]
        case EntriesHalted():
            return [Amend(bot_state, key, {"halted_by": event.by})]
        case EntriesResumed():
            return [Amend(bot_state, key, {"halted_by": None})]
        case _:
            return []


def _run(envelope: Envelope[Event]) -> Sequence[Change]:
    event, at = envelope.event, envelope.occurred_at
    match event:
        case RunStarted():
            run = {
                "instance": event.instance,
                "code": event.code,
                "settings_hash": event.settings_hash,
                "epoch": event.epoch,
                "started_at": at,
                "stopped_at": None,
            }
            changes: list[Change] = [Put(bot_state, f"service.{event.service}", run)]
            if event.service is Service.CORTEX:
                changes.append(Put(bot_state, "strategies", _strategies(event)))
            return changes
        case RunStopped():
            return [Amend(bot_state, f"service.{event.service}", {"stopped_at": at})]
        case _:
            return []


def _strategies(event: RunStarted) -> dict[str, object]:
    settings = {key: value for key, value in event.settings.items() if key.startswith("cortex.")}
    return {key.removeprefix("cortex."): value for key, value in sorted(settings.items())}
