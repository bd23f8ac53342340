"""Who the users are and what they want. Owner: telegram, streams `session-{user}` and `access-{user}`."""

from __future__ import annotations

from enum import StrEnum

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Fraction,
    Instant,
    Mode,
    Money,
    Number,
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
    """An account a session trades with: user, venue, and paper or live. `balance` opens a paper account."""

    account: AccountId
    venue: Venue
    paper: bool
    currency: str
    balance: Money | None = None


class SessionOpened(Event):
    type = "session.opened"

    user: UserId
    mode: Mode
    profile: Profile
    strategy: str
    accounts: tuple[AccountSpec, ...]


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


SessionEvent = (
    SessionOpened
    | ModeChanged
    | ProfileChanged
    | StrategyChosen
    | StrategySwitched
    | OrderRequested
    | CloseRequested
    | ProposalAnswered
    | BreakerResetRequested
    | ResumeRequested
    | KillRequested
    | RiskSettingChanged
    | InputRefused
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
