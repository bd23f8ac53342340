"""Owner over admin over subscriber."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nexus_common.contracts.session import GrantRole, RevokeRole, Role, RoleGranted, RoleRevoked
from nexus_common.contracts.values import UserId
from nexus_common.testing.spec import given
from nexus_telegram.domain.access import ACCESS, Access, objection

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BERT = UserId("bert")


def _granted(role: Role) -> RoleGranted:
    return RoleGranted(user=BERT, role=role, by="anna")


def test_the_settings_name_the_owner() -> None:
    command = GrantRole(BERT, Role.OWNER, "settings", None, NOON)
    given(ACCESS).when(command).then(RoleGranted(user=BERT, role=Role.OWNER, by="settings"))


def test_a_role_that_is_held_is_not_granted_again() -> None:
    command = GrantRole(BERT, Role.ADMIN, "anna", Role.OWNER, NOON)
    given(ACCESS, _granted(Role.ADMIN)).when(command).then_nothing()


def test_an_owner_takes_a_role_away() -> None:
    command = RevokeRole(BERT, "anna", Role.OWNER, NOON)
    given(ACCESS, _granted(Role.ADMIN)).when(command).then(RoleRevoked(user=BERT, by="anna"))
    given(ACCESS).when(command).then_nothing()


def test_what_the_table_forbids_cannot_be_recorded() -> None:
    given(ACCESS, _granted(Role.OWNER)).when(RevokeRole(BERT, "anna", Role.OWNER, NOON)).then_broken("owner")
    given(ACCESS).when(GrantRole(BERT, Role.ADMIN, "carl", Role.ADMIN, NOON)).then_broken("admin")


@pytest.mark.parametrize(
    ("by", "wanted", "current", "allowed"),
    [
        (Role.OWNER, Role.ADMIN, None, True),
        (Role.OWNER, Role.SUBSCRIBER, Role.ADMIN, True),
        (Role.OWNER, Role.OWNER, None, False),
        (Role.OWNER, None, Role.OWNER, False),
        (Role.ADMIN, Role.SUBSCRIBER, None, True),
        (Role.ADMIN, None, Role.SUBSCRIBER, True),
        (Role.ADMIN, Role.ADMIN, None, False),
        (Role.ADMIN, None, Role.ADMIN, False),
        (Role.ADMIN, Role.SUBSCRIBER, Role.ADMIN, False),
        (Role.SUBSCRIBER, Role.SUBSCRIBER, None, False),
        (None, Role.SUBSCRIBER, None, False),
    ],
)
def test_who_gives_and_takes_what(
    by: Role | None, wanted: Role | None, current: Role | None, allowed: bool
) -> None:
    assert (objection(by, wanted, current) is None) is allowed


def test_a_higher_role_may_all_that_a_lower_one_may() -> None:
    assert Access(Role.OWNER).allows(Role.ADMIN)
    assert Access(Role.ADMIN).allows(Role.SUBSCRIBER)
    assert not Access(Role.SUBSCRIBER).allows(Role.ADMIN)
    assert not Access(None).allows(Role.SUBSCRIBER)
