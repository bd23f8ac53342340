"""Who may use this installation: /users, /grant, /revoke."""

from __future__ import annotations

import re

from nexus_common.contracts.session import GrantRole, RevokeRole, Role
from nexus_common.contracts.values import UserId
from nexus_telegram.commands.command import Answer, Ask, Refusal, Request
from nexus_telegram.commands.words import choice
from nexus_telegram.domain.access import ACCESS, objection
from nexus_telegram.render import answers

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


def users(ask: Ask) -> Answer:
    return Answer(answers.users(ask.view.roles))


def grant(ask: Ask) -> Answer:
    if len(ask.words) != 2:
        raise Refusal("name a user and a role")
    user, role = _user(ask.words[0]), choice(ask.words[1], Role, "role")
    current = ask.view.roles.get(user)
    if current is role:
        return Answer(f"{user} is {role} already.")
    _must_be_allowed(ask, role, current)
    command = GrantRole(user=user, role=role, by=ask.user, by_role=ask.role, at=ask.at)
    return Answer(f"{user} is {role} now.", (Request(ACCESS, user, command),))


def revoke(ask: Ask) -> Answer:
    if len(ask.words) != 1:
        raise Refusal("name one user")
    user = _user(ask.words[0])
    current = ask.view.roles.get(user)
    if current is None:
        raise Refusal(f"{user} has no role")
    _must_be_allowed(ask, None, current)
    command = RevokeRole(user=user, by=ask.user, by_role=ask.role, at=ask.at)
    return Answer(f"{user} has no role any more.", (Request(ACCESS, user, command),))


def _user(word: str) -> UserId:
    if not _NAME.fullmatch(word):
        raise Refusal(f"{word!r} is not a user's name: letters, digits and _")
    return UserId(word)


def _must_be_allowed(ask: Ask, wanted: Role | None, current: Role | None) -> None:
    reason = objection(ask.role, wanted, current)
    if reason is not None:
        raise Refusal(reason)
