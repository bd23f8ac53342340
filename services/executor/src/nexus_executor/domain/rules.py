"""The figures that trades and orders are managed by; defaults are those of the trading rules."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from nexus_common.contracts.trade import TargetPlan
from nexus_common.contracts.values import Fraction, Number, Profile, Value


class ExecutionRules(Value):
    """Units are in the names. `gross_notional` is the profile's limit in multiples of equity."""

    proposal_seconds: int = Field(300, ge=10, le=86_400)
    drift_atr: Number = Decimal("0.5")
    targets: TargetPlan = TargetPlan()
    break_even_after_r: Number = Decimal(1)
    amber_trail_atr: Number = Decimal(1)
    progressive_targets: bool = False
    adopted_stop_atr: Number = Decimal(2)
    adopted_target_atr: Number = Decimal(4)
    adopted_trail_atr: Number = Decimal("1.5")
    adopted_atr_bars: int = Field(14, ge=1, le=14)
    adopted_atr_fraction: Fraction = Decimal("0.02")
    adopted_time_stop_bars: int = Field(96, ge=1)
    price_age_max_seconds: int = Field(120, ge=1)
    receive_window_seconds: int = Field(5, ge=1, le=60)
    absent_margin_seconds: int = Field(2, ge=0)
    absent_after_seconds: int = Field(20, ge=1)
    absent_lookups: int = Field(3, ge=1)
    unprotected_max_seconds: int = Field(5, ge=1, le=60)
    visible_after_seconds: int = Field(5, ge=0)
    witness_seconds: int = Field(1, ge=0)
    reconcile_seconds: int = Field(300, ge=1)
    protection_check_seconds: int = Field(60, ge=1)
    gone_comparisons: int = Field(3, ge=1)
    gone_after_seconds: int = Field(300, ge=0)
    entries_per_minute_max: int = Field(60, ge=1, le=300)
    gross_notional: dict[Profile, Number] = Field(
        default_factory=lambda: {
            Profile.CONSERVATIVE: Decimal(1),
            Profile.NEXUS: Decimal(3),
            Profile.RONIN: Decimal(4),
        }
    )
    gross_notional_factor: Number = Decimal("1.2")
    daily_loss_max: Fraction = Decimal("0.05")
