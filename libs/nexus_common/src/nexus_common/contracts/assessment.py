"""What a verdict is asked about and what it rests on; travels in shield's commands."""

from __future__ import annotations

from uuid import UUID

from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.instrument import Bracket, Group, Instrument
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_common.contracts.values import (
    Direction,
    Instant,
    Money,
    Number,
    Origin,
    Price,
    Profile,
    Shared,
    Symbol,
    Timeframe,
    UserId,
    Value,
    Venue,
)


class EntryRequest(Shared):
    """What somebody wants to enter: a signal, or a person's order. `price` and `plan` may be unknown by hand.

    `request_id` is the id of the event that asks. `within_regime` says whether the regime chose the strategy.
    With a `ladder` it is one decision over all its resting orders; `direction` is then nominal.
    """

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    timeframe: Timeframe
    price: Price | None
    price_at: Instant | None
    price_age_limit_seconds: int
    atr: Price | None
    atr_mean: Price | None
    plan: ExitPlan | None
    confidence: Number
    leverage: int | None
    within_regime: bool
    valid_until: Instant
    ladder: LadderPlan | None = None


class Peer(Value):
    """An instrument that the account holds or has reserved; absent is what is not known.

    `correlation` with the requested instrument is that of 50 returns of 15m bars.
    """

    symbol: Symbol
    group: Group | None
    correlation: Number | None


class EntryContext(Value):
    """All that a verdict rests on beside the request and the account's own history.

    `unpriced` are held instruments without a known price: equity is not known then. `obstacle` is why the
    instrument cannot be entered right now: halted, silent, its venue closed. `brackets` are the steps of the
    venue's leverage table that a position of this account could reach; none: the venue told of none.
    """

    owner: UserId | None
    asked_by: UserId
    profile: Profile
    strategy: str
    strategies_off: tuple[str, ...]
    settings: RiskSettings
    instrument: Instrument | None
    equity: Money
    unpriced: tuple[Symbol, ...]
    feed_lost: str | None
    guard: GuardStanding
    peers: tuple[Peer, ...]
    obstacle: str | None = None
    groups_off: tuple[Group, ...] = ()
    brackets: tuple[Bracket, ...] = ()
