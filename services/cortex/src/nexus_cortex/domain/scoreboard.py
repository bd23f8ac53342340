"""The scoreboard of champion, shadow and rules: what following each would have earned, known 48 bars later.

All are scored on the same closes, as if each read the regime alone: where a model is not believed, the rules'
reading counts for it, as it would if it were champion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from nexus_common.contracts.model import Contender, Score, ShadowScored
from nexus_common.contracts.values import ModelId
from nexus_cortex.domain.classifier import ByModel, Classifier
from nexus_cortex.domain.evaluation import MAIN
from nexus_cortex.domain.figures import decimal_of
from nexus_cortex.domain.outcomes import CLASSES, FAMILIES, HORIZON, Entries, costs_of, labels, outcomes
from nexus_cortex.domain.outcomes import NEEDS as OUTCOMES_NEED
from nexus_cortex.domain.regime import NEEDS as RULES_NEED
from nexus_cortex.domain.regime import READINGS, read_regime
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import to_millis
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bars, Floats

# A shadow may be promoted once it was scored on so many closes over so many days, and earned in each half of them
# so much more at a close than whoever reads the regime now.
CLOSES_MIN: Final = 2_000
DAYS_MIN: Final = timedelta(days=14)
LEAD_MIN: Final = Decimal("0.02")

Models = Mapping[Contender, Classifier]


@dataclass(frozen=True, slots=True)
class Tally:
    """`right` counts the closes at which the best family was named; `earned` is in R, over all closes."""

    closes: int = 0
    right: int = 0
    earned: Decimal = Decimal(0)

    @staticmethod
    def of(score: Score) -> Tally:
        return Tally(score.closes, score.right, score.mean_r * score.closes)

    @property
    def mean(self) -> Decimal:
        return self.earned / self.closes if self.closes else Decimal(0)

    def plus(self, other: Tally) -> Tally:
        return Tally(self.closes + other.closes, self.right + other.right, self.earned + other.earned)

    def minus(self, other: Tally) -> Tally:
        return Tally(self.closes - other.closes, self.right - other.right, self.earned - other.earned)

    def score(self, contender: Contender, model: ModelId | None) -> Score:
        return Score(
            contender=contender,
            model=model,
            closes=self.closes,
            right=self.right,
            mean_r=decimal_of(self.mean),
        )


@dataclass(frozen=True, slots=True)
class _Past:
    """The rows of an instrument that are scored, and the bars in which their outcomes lie."""

    view: MarketView
    path: Bars


def scores(
    views: Sequence[MarketView], models: Models, last: ShadowScored | None, since: datetime, until: datetime
) -> tuple[Score, ...]:
    """The scoreboard as of `until`: the last one, and the closes from `since` on that were decided after it.

    Views hold as many past rows as there are, with a macro view that answers for them. A model that cannot be
    asked is not among `models` and gets no score.
    """
    after = since if last is None else last.at
    pasts = [past for view in views if (past := _decided(view, since, after, until)) is not None]
    totals = {} if last is None else tallies_of(last)
    made = []
    for contender, strategies in _followed([past.view for past in pasts], models).items():
        total = totals.get(contender, Tally())
        for past, named in zip(pasts, strategies, strict=True):
            total = total.plus(_tally(named, _earned(past)))
        model = models[contender].model if contender in models else None
        made.append(total.score(contender, model))
    return tuple(made)


def tallies_of(board: ShadowScored) -> dict[Contender, Tally]:
    return {score.contender: Tally.of(score) for score in board.scores}


def _decided(view: MarketView, since: datetime, after: datetime, until: datetime) -> _Past | None:
    """The rows of a view whose outcome became known in this time; None without any."""
    bars = view.bars
    ready = max(bars.first_ready(RULES_NEED), bars.first_ready(OUTCOMES_NEED))
    closes = bars.close_time()[: max(len(bars) - HORIZON, 0)]
    known_at = bars.close_time()[HORIZON:]
    wanted = (known_at > to_millis(after)) & (known_at <= to_millis(until)) & (closes >= to_millis(since))
    rows = np.flatnonzero(wanted)
    rows = rows[rows >= ready]
    if not len(rows):
        return None
    # Indicators are causal: cutting the later bars off changes nothing in what stands before.
    until_row = bars.start + int(rows[-1]) + 1
    cut = FeatureColumns(bars.window[:until_row], bars.start + int(rows[0]), MAIN)
    return _Past(replace(view, bars=cut), bars.window)


def _followed(views: Sequence[MarketView], models: Models) -> dict[Contender, list[list[str]]]:
    """For each contender and view the strategy that its reading calls for at each row."""
    rules = [read_regime(view.bars, view.macro).number.tolist() for view in views]
    followed = {
        contender: [readings.strategies() for readings in ByModel(model)(views)]
        for contender, model in models.items()
    }
    followed[Contender.RULES] = [[READINGS[number].strategy for number in rows] for rows in rules]
    return followed


def _earned(past: _Past) -> Floats:
    view = past.view
    entries = Entries.of(view.bars, view.bars.start)
    return outcomes(past.path, entries, costs_of(view.venue), view.is_shark_target)


def _tally(strategies: Sequence[str], earned: Floats) -> Tally:
    """A strategy that would not have traded, and `none`, earn nothing."""
    best = [CLASSES[label] for label in labels(earned).tolist()]
    kept = [earned[row, FAMILIES.index(name)] for row, name in enumerate(strategies) if name in FAMILIES]
    total = sum((value for value in map(float, kept) if value == value), 0.0)
    right = sum(name == label for name, label in zip(strategies, best, strict=True))
    return Tally(len(strategies), right, decimal_of(total))


def promotion(boards: Sequence[ShadowScored]) -> str | None:
    """By which figures the shadow is to be promoted; None: they do not suffice.

    The scoreboards are those of one contest, oldest first; its halves meet at the board nearest to half of the closes.
    """
    if not boards or boards[-1].at - boards[-1].since < DAYS_MIN:
        return None
    whole = tallies_of(boards[-1])
    shadow = whole.get(Contender.SHADOW, Tally())
    if shadow.closes < CLOSES_MIN:
        return None
    rival = Contender.CHAMPION if Contender.CHAMPION in whole else Contender.RULES
    first = tallies_of(min(boards, key=lambda board: abs(2 * _closes(board) - shadow.closes)))
    leads = [
        half[Contender.SHADOW].mean - half[rival].mean
        for half in (first, {each: whole[each].minus(first[each]) for each in (Contender.SHADOW, rival)})
    ]
    if min(leads) < LEAD_MIN:
        return None
    return (
        f"led the {rival} by {leads[0]:.3f} R and {leads[1]:.3f} R a close in the two halves of "
        f"{shadow.closes} closes"
    )


def _closes(board: ShadowScored) -> int:
    return tallies_of(board).get(Contender.SHADOW, Tally()).closes
