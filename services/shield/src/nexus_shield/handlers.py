"""Shield's part in a turn: facts first, then what people want, the sentinel, equity, and last the signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from nexus_common.contracts.account import (
    AccountOpened,
    BalanceChanged,
    FundingPaid,
    PositionDrifted,
    PositionLiquidated,
)
from nexus_common.contracts.assessment import EntryContext, EntryRequest, Peer
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.feed import FeedLost, FeedRestored, FeedStarted
from nexus_common.contracts.guard import GuardStanding, ReleaseGuard
from nexus_common.contracts.ids import derived, step_id, timer_id
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.limits import GuardSettings, RiskSettings
from nexus_common.contracts.market import CandlesBackfilled, CandlesClosed, FundingSettled
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import (
    ApproveExit,
    AssessEntry,
    EntryApproved,
    HaltEntries,
    MarkEquity,
    NotePosition,
    NoteReduction,
    NoteResult,
    ReleaseReservation,
    ResetBreaker,
    ResumeEntries,
)
from nexus_common.contracts.session import (
    BreakerResetRequested,
    KillRequested,
    OrderRequested,
    ResumeRequested,
)
from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.trade import (
    TradeAbandoned,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeReduced,
)
from nexus_common.contracts.values import AccountId, Origin, Service, Symbol, UserId, Venue
from nexus_common.runtime.ports import Desk, Turn
from nexus_shield.domain.account_view import Account, AccountView
from nexus_shield.domain.correlation import correlation
from nexus_shield.domain.guard import CRYPTO, GUARD
from nexus_shield.domain.market_view import MarketView
from nexus_shield.domain.requests import request_by_hand, request_of_signal
from nexus_shield.domain.risk import RISK, mark_equity
from nexus_shield.domain.state import RiskState

MARKET_RECALL = 4_000
MONEY_STEP = Decimal("0.00000001")
ZERO = Decimal(0)
