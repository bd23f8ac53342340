"""The figures of the defence: defaults, the caps that nobody can lift, and what the profiles add.

Every figure can be overridden per user within its cap; the defaults themselves never change at run time.
A fraction is of equity unless its name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field, ValidationError

from nexus_common.contracts.values import Number, Profile, Shared, Value


def _d(text: str) -> Decimal:
    return Decimal(text)


class ProfileLimits(Value):
    """What a profile allows: leverage, and how much of the equity may be in use.

    `gross_margin` is margin over equity, `gross_notional` notional over equity; `stop_scale` stretches the
    stops and targets of signals.
    """

    leverage: int
    max_leverage: int
    gross_margin: Number
    gross_notional: Number
    stop_scale: Number


PROFILES: Final[Mapping[Profile, ProfileLimits]] = MappingProxyType(
    {
        Profile.CONSERVATIVE: ProfileLimits(
            leverage=2,
            max_leverage=3,
            gross_margin=_d("0.30"),
            gross_notional=_d("1"),
            stop_scale=_d("1.5"),
        ),
        Profile.NEXUS: ProfileLimits(
            leverage=5, max_leverage=10, gross_margin=_d("0.50"), gross_notional=_d("3"), stop_scale=_d("1")
        ),
        Profile.RONIN: ProfileLimits(
            leverage=10, max_leverage=20, gross_margin=_d("0.20"), gross_notional=_d("4"), stop_scale=_d("1")
        ),
    }
)


class RiskSettings(Shared):
    """One user's figures. A value beyond its cap is refused when the settings are built."""

    # size
    margin_fraction: Annotated[Number, Field(gt=0, le=_d("0.10"))] = _d("0.05")
    risk_fraction: Annotated[Number, Field(gt=0, le=_d("0.02"))] = _d("0.01")
    leverage: Annotated[int, Field(ge=1, le=20)] | None = None
    kelly: bool = False
    kelly_share: Annotated[Number, Field(gt=0, le=1)] = _d("0.5")
    kelly_trades: Annotated[int, Field(ge=30)] = 30
    mild_drawdown: Annotated[Number, Field(gt=0, le=_d("0.05"))] = _d("0.05")
    mild_scale: Annotated[Number, Field(ge=0, le=1)] = _d("0.8")
    deep_drawdown: Annotated[Number, Field(gt=0, le=_d("0.10"))] = _d("0.10")
    deep_scale: Annotated[Number, Field(ge=0, le=_d("0.8"))] = _d("0.5")
    severe_drawdown: Annotated[Number, Field(gt=0, le=_d("0.15"))] = _d("0.15")
    severe_scale: Annotated[Number, Field(ge=0, le=_d("0.5"))] = _d("0.2")

    # stop, as fractions of price
    max_stop_fraction: Annotated[Number, Field(gt=0, le=_d("0.10"))] = _d("0.05")
    min_stop_fraction: Annotated[Number, Field(ge=_d("0.001"))] = _d("0.002")
    min_stop_ticks: Annotated[int, Field(ge=1)] = 5
    min_stop_costs: Annotated[Number, Field(ge=1)] = _d("4")
    liquidation_stops: Annotated[Number, Field(ge=2)] = _d("2")
    manual_stop_atr: Annotated[Number, Field(gt=0, le=10)] = _d("2")
    manual_target_atr: Annotated[Number, Field(gt=0, le=20)] = _d("4")
    manual_trail_atr: Annotated[Number, Field(gt=0, le=10)] = _d("1.5")

    # exposure: margin over equity, except one_direction, which is a share of the profile's limit
    per_instrument: Annotated[Number, Field(gt=0, le=_d("0.20"))] = _d("0.10")
    per_cluster: Annotated[Number, Field(gt=0, le=_d("0.40"))] = _d("0.25")
    one_direction: Annotated[Number, Field(gt=0, le=1)] = _d("0.70")
    correlated_positions: Annotated[int, Field(ge=1, le=5)] = 2
    correlation_limit: Annotated[Number, Field(gt=0, le=_d("0.95"))] = _d("0.85")

    # pauses
    cooldown_seconds: Annotated[int, Field(ge=60)] = 300
    cooldown_bars: Annotated[int, Field(ge=1)] = 3
    rest_bars: Annotated[int, Field(ge=4)] = 16
    losing_streak: Annotated[int, Field(ge=1, le=10)] = 5
    daily_loss: Annotated[Number, Field(gt=0, le=_d("0.05"))] = _d("0.03")
    drawdown: Annotated[Number, Field(gt=0, le=_d("0.20"))] = _d("0.10")

    # opted in: after a black swan, shark may short its targets at once
    black_swan_shorts: bool = False

    # orders
    max_price_age_seconds: Annotated[int, Field(ge=1, le=30)] = 10
    proposal_seconds: Annotated[int, Field(ge=10, le=3_600)] = 300
    proposal_drift_atr: Annotated[Number, Field(gt=0, le=1)] = _d("0.5")

    # last hop, in executor
    orders_per_minute: Annotated[int, Field(ge=1, le=60)] = 60
    last_hop_notional: Annotated[Number, Field(ge=1, le=_d("1.2"))] = _d("1.2")
    last_hop_daily_loss: Annotated[Number, Field(gt=0, le=_d("0.05"))] = _d("0.05")

    def changed(self, name: str, value: Decimal) -> RiskSettings:
        """These settings with one figure replaced.

        Raises:
            ValueError: there is no such figure, or the value lies beyond its cap; the text says which.
        """
        if name not in RiskSettings.model_fields:
            known = ", ".join(sorted(RiskSettings.model_fields))
            raise ValueError(f"{name!r} is not a risk setting; there are {known}")
        try:
            return RiskSettings.model_validate({**self.model_dump(), name: value})
        except ValidationError as error:
            raise ValueError(f"{name} cannot be {value}: {error.errors()[0]['msg'].lower()}") from error


class GuardSettings(Value):
    """The sentinel's figures, one set for the whole deployment: falls in percent, holds in seconds."""

    black_swan_percent: Annotated[Number, Field(gt=0, le=10)] = _d("4")
    black_swan_hold_seconds: Annotated[int, Field(ge=3_600)] = 14_400
    amber_percent: Annotated[Number, Field(gt=0, le=5)] = _d("2")
    amber_hold_seconds: Annotated[int, Field(ge=600)] = 1_800
    amber_trail_atr: Annotated[Number, Field(gt=0, le=_d("1.5"))] = _d("1")
    window_seconds: Annotated[int, Field(ge=60)] = 300
