"""Who the users are and what they want. Owner: telegram, streams `session-{user}` and `access-{user}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.message import Event, Payload, command, upcasts
from nexus_common.contracts.schedule import TaskKind
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Fraction,
    Instant,
    Mode,
    Money,
    Number,
    Price,
    Profile,
    Symbol,
    TradeId,
    UserId,
    Value,
    Venue,
)


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    SUBSCRIBER = "subscriber"


class AccountSpec(Value):
    """An account a session trades with: user, venue, and paper or live. `balance` opens a paper account.

    `signals`: strategies may enter on it; without, its user's own orders alone do.
    """

    account: AccountId
    venue: Venue
    paper: bool
    currency: str
    balance: Money | None = None
    signals: bool = True


class SessionOpened(Event):
    type = "session.opened"
    version = 2

    user: UserId
    mode: Mode
    profile: Profile
    strategy: str
    accounts: tuple[AccountSpec, ...]


@upcasts("session.opened", from_version=1)
def _signals_on_every_account(payload: Payload) -> Payload:
    """Before there was a choice, strategies entered on all accounts."""
    return {**payload, "accounts": [{**account, "signals": True} for account in payload["accounts"]]}


class ModeChanged(Event):
    type = "session.mode_changed"

    user: UserId
    mode: Mode


class ProfileChanged(Event):
    type = "session.profile_changed"

    user: UserId
    profile: Profile


class StrategyChosen(Event):
    """`auto` obeys the regime; a name trades that strategy alone."""

    type = "session.strategy_chosen"

    user: UserId
    strategy: str


class StrategySwitched(Event):
    """A strategy was switched on or off; one that is off is skipped, never replaced."""

    type = "session.strategy_switched"

    user: UserId
    strategy: str
    enabled: bool


class GroupSwitched(Event):
    """A group of instruments was switched on or off: strategies enter nothing in one that is off."""

    type = "session.group_switched"

    user: UserId
    group: Group
    enabled: bool


class OrderRequested(Event):
    """The user wants to trade by hand; `stop_fraction` is the stop's distance as a fraction of price."""

    type = "session.order_requested"

    user: UserId
    account: AccountId
    symbol: Symbol
    direction: Direction
    stop_fraction: Fraction | None = None
    leverage: int | None = None
    at: Instant


class CloseRequested(Event):
    """The user wants out of one instrument, or of everything when `symbol` is absent."""

    type = "session.close_requested"

    user: UserId
    account: AccountId
    symbol: Symbol | None = None


class ProposalAnswered(Event):
    type = "session.proposal_answered"

    user: UserId
    trade_id: TradeId
    approved: bool


class BreakerResetRequested(Event):
    type = "session.breaker_reset_requested"

    user: UserId
    account: AccountId | None = None


class ResumeRequested(Event):
    """Ends a black swan's block or a kill."""

    type = "session.resume_requested"

    user: UserId


class KillRequested(Event):
    """Cancel entries, close everything, halt."""

    type = "session.kill_requested"

    user: UserId


class RiskSettingChanged(Event):
    """One figure of the user's risk settings, within the hard caps."""

    type = "session.risk_setting_changed"

    user: UserId
    name: str
    value: Number


class InputRefused(Event):
    """Something a user wrote was not understood or not allowed; he was told why."""

    type = "session.input_refused"

    user: UserId
    text: str
    reason: str


class InputTaken(Event):
    """A user wrote something; what follows from it is caused by this event.

    `source` names where it came from (a script, a chat), `number` counts its inputs upwards, so that after a
    restart none is taken twice and none is left out.
    """

    type = "session.input_taken"

    user: UserId
    source: str
    number: int
    text: str


class TaskRequested(Event):
    """The user wants to be told something later: by `cron` (UTC), once at `due`, or when a price is crossed."""

    type = "session.task_requested"

    user: UserId
    task: str
    kind: TaskKind
    text: str
    cron: str | None = None
    due: Instant | None = None
    symbol: Symbol | None = None
    price: Price | None = None
    above: bool | None = None


class TaskCancelRequested(Event):
    type = "session.task_cancel_requested"

    user: UserId
    task: str


SessionEvent = (
    SessionOpened
    | ModeChanged
    | ProfileChanged
    | StrategyChosen
    | StrategySwitched
    | GroupSwitched
    | OrderRequested
    | CloseRequested
    | ProposalAnswered
    | BreakerResetRequested
    | ResumeRequested
    | KillRequested
    | RiskSettingChanged
    | InputRefused
    | InputTaken
    | TaskRequested
    | TaskCancelRequested
)


@command("session.open")
@dataclass(frozen=True, slots=True)
class OpenSession:
    user: UserId
    mode: Mode
    profile: Profile
    strategy: str
    accounts: tuple[AccountSpec, ...]
    at: datetime


@command("session.take_input")
@dataclass(frozen=True, slots=True)
class TakeInput:
    """Note what a user wrote, once for each number of a source."""

    user: UserId
    source: str
    number: int
    text: str
    at: datetime


@command("session.change_mode")
@dataclass(frozen=True, slots=True)
class ChangeMode:
    user: UserId
    mode: Mode
    at: datetime


@command("session.change_profile")
@dataclass(frozen=True, slots=True)
class ChangeProfile:
    user: UserId
    profile: Profile
    at: datetime


@command("session.choose_strategy")
@dataclass(frozen=True, slots=True)
class ChooseStrategy:
    user: UserId
    strategy: str
    at: datetime


@command("session.switch_strategy")
@dataclass(frozen=True, slots=True)
class SwitchStrategy:
    user: UserId
    strategy: str
    enabled: bool
    at: datetime


@command("session.switch_group")
@dataclass(frozen=True, slots=True)
class SwitchGroup:
    user: UserId
    group: Group
    enabled: bool
    at: datetime


@command("session.request_order")
@dataclass(frozen=True, slots=True)
class RequestOrder:
    user: UserId
    account: AccountId
    symbol: Symbol
    direction: Direction
    stop_fraction: Decimal | None
    leverage: int | None
    at: datetime


@command("session.request_close")
@dataclass(frozen=True, slots=True)
class RequestClose:
    """Leave `symbol`, or everything, on these accounts."""

    user: UserId
    accounts: tuple[AccountId, ...]
    symbol: Symbol | None
    at: datetime


@command("session.answer_proposal")
@dataclass(frozen=True, slots=True)
class AnswerProposal:
    user: UserId
    trade_id: TradeId
    approved: bool
    at: datetime


@command("session.request_breaker_reset")
@dataclass(frozen=True, slots=True)
class RequestBreakerReset:
    """Without an account: on all of the user's."""

    user: UserId
    account: AccountId | None
    at: datetime


@command("session.request_resume")
@dataclass(frozen=True, slots=True)
class RequestResume:
    user: UserId
    at: datetime


@command("session.request_kill")
@dataclass(frozen=True, slots=True)
class RequestKill:
    user: UserId
    at: datetime


@command("session.change_risk_setting")
@dataclass(frozen=True, slots=True)
class ChangeRiskSetting:
    user: UserId
    name: str
    value: Decimal
    at: datetime


@command("session.refuse_input")
@dataclass(frozen=True, slots=True)
class RefuseInput:
    user: UserId
    text: str
    reason: str
    at: datetime


@command("session.request_task")
@dataclass(frozen=True, slots=True)
class RequestTask:
    """The session numbers its tasks itself."""

    user: UserId
    kind: TaskKind
    text: str
    cron: str | None
    due: datetime | None
    symbol: Symbol | None
    price: Decimal | None
    above: bool | None
    at: datetime


@command("session.request_task_cancel")
@dataclass(frozen=True, slots=True)
class RequestTaskCancel:
    user: UserId
    task: str
    at: datetime


SessionCommand = (
    OpenSession
    | TakeInput
    | ChangeMode
    | ChangeProfile
    | ChooseStrategy
    | SwitchStrategy
    | SwitchGroup
    | RequestOrder
    | RequestClose
    | AnswerProposal
    | RequestBreakerReset
    | RequestResume
    | RequestKill
    | ChangeRiskSetting
    | RefuseInput
    | RequestTask
    | RequestTaskCancel
)


class RoleGranted(Event):
    type = "access.role_granted"

    user: UserId
    role: Role
    by: str


class RoleRevoked(Event):
    type = "access.role_revoked"

    user: UserId
    by: str


AccessEvent = RoleGranted | RoleRevoked


@command("access.grant_role")
@dataclass(frozen=True, slots=True)
class GrantRole:
    """`by_role` is the granter's own role at `at`; absent when the installation's settings grant it."""

    user: UserId
    role: Role
    by: str
    by_role: Role | None
    at: datetime


@command("access.revoke_role")
@dataclass(frozen=True, slots=True)
class RevokeRole:
    user: UserId
    by: str
    by_role: Role | None
    at: datetime


AccessCommand = GrantRole | RevokeRole
