"""What a chat command is: its line in the table, what it is asked with, what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.session import Role
from nexus_common.contracts.values import AccountId, UserId
from nexus_telegram.domain.session import SESSION, Session
from nexus_telegram.view import View


class Refusal(Exception):
    """What was written cannot be done; the text tells the user why and what he could write instead."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One input of one user, with what is needed to understand and to answer it."""

    user: UserId
    role: Role | None
    words: tuple[str, ...]
    at: datetime
    session: Session
    view: View
    strategies: tuple[str, ...]
    risk: RiskSettings


@dataclass(frozen=True, slots=True)
class Request:
    """A command for a decider, on the stream of `key`."""

    decider: AnyDecider
    key: str
    command: object
    account: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    say: str
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatCommand:
    """`arguments` as they are shown in help; `role` is the least that may use it."""

    name: str
    arguments: str
    help: str
    handle: Callable[[Ask], Answer]
    role: Role = Role.SUBSCRIBER

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".rstrip()


def to_session(ask: Ask, command: object, say: str, account: AccountId | None = None) -> Answer:
    """An answer with one request to the user's own session."""
    return Answer(say, (Request(SESSION, ask.user, command, account),))
