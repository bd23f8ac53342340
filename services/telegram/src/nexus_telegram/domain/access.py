"""Who may do what: owner over admin over subscriber. Streams `access-{user}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.session import (
    AccessCommand,
    AccessEvent,
    GrantRole,
    RevokeRole,
    Role,
    RoleGranted,
    RoleRevoked,
)

RANK: Final[Mapping[Role, int]] = {Role.SUBSCRIBER: 1, Role.ADMIN: 2, Role.OWNER: 3}
# Which roles each role gives and takes away. An owner stays: he is named in the settings.
GIVES: Final[Mapping[Role, tuple[Role, ...]]] = {
    Role.OWNER: (Role.ADMIN, Role.SUBSCRIBER),
    Role.ADMIN: (Role.SUBSCRIBER,),
    Role.SUBSCRIBER: (),
}


@dataclass(frozen=True, slots=True)
class Access:
    role: Role | None = None

    def allows(self, needed: Role) -> bool:
        return self.role is not None and RANK[self.role] >= RANK[needed]


def objection(by_role: Role | None, wanted: Role | None, current: Role | None) -> str | None:
    """Why somebody of `by_role` may not turn `current` into `wanted` (None: no role); None if he may."""
    if by_role is None:
        return "you have no role here"
    gives = GIVES[by_role]
    for role in (current, wanted):
        if role is not None and role not in gives:
            given = " and ".join(gives) or "no role"
            return f"the role {role} is not yours to give or take: a {by_role} gives {given}"
    return None


def decide(command: AccessCommand, state: Access) -> Sequence[AccessEvent]:
    match command:
        case GrantRole(user, role, by, by_role):
            if role is state.role:
                return []
            if by_role is not None:  # absent: the settings name the owner
                _must_be_allowed(by_role, role, state.role)
            return [RoleGranted(user=user, role=role, by=by)]
        case RevokeRole(user, by, by_role):
            if state.role is None:
                return []
            _must_be_allowed(by_role, None, state.role)
            return [RoleRevoked(user=user, by=by)]
        case _:
            assert_never(command)


def _must_be_allowed(by_role: Role | None, wanted: Role | None, current: Role | None) -> None:
    reason = objection(by_role, wanted, current)
    if reason is not None:
        raise InvariantBroken(reason)


def evolve(state: Access, event: AccessEvent) -> Access:
    match event:
        case RoleGranted():
            return Access(event.role)
        case RoleRevoked():
            return Access(None)
        case _:
            assert_never(event)


ACCESS: Decider[AccessCommand, Access, AccessEvent] = Decider("access", Access(), decide, evolve)
