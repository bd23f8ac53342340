"""What is recorded of a close: changes of regime, one entry per situation, exits for whoever is in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.message import command_payload, decode_command
from nexus_common.contracts.signal import (
    Action,
    ExitPlan,
    JudgeMarket,
    Proposal,
    Regime,
    RegimeRead,
    RegimeReading,
    SignalRaised,
    SignalWithheld,
)
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_cortex.domain.signals import SIGNALS

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BAR = timedelta(minutes=15)
PLAN = ExitPlan(
    stop_distance=Decimal("1.5"),
    target_distance=Decimal(3),
    trail_distance=Decimal("1.5"),
    trail_after_r=Decimal(1),
    time_stop_bars=96,
)


def reading(
    strategy: str = "trend", confidence: str = "0.75", regime: Regime = Regime.TREND
) -> RegimeReading:
    return RegimeReading(
        regime=regime,
        strategy=strategy,
        confidence=Decimal(confidence),
        model_version="rules",
        inputs={"adx": Decimal("22.5")},
    )


def proposal(action: Action = Action.ENTER_LONG, since: datetime = NOON, **change: object) -> Proposal:
    fields: dict[str, object] = {
        "strategy": "trend",
        "action": action,
        "timeframe": Timeframe.M15,
        "price": Decimal("100.5"),
        "atr": Decimal(1),
        "atr_mean": Decimal("1.25"),
        "plan": PLAN if action.is_entry else None,
        "confidence": Decimal("0.6"),
        "leverage_hint": None,
        "bound_to_regime": True,
        "since": since,
        "failed_rule": None,
        "detail": "",
        "features": {"adx14": Decimal("27.125")},
        "reasons": ("because of a test.",),
    }
    return Proposal.model_validate(fields | change)


def judge(
    *proposals: Proposal, at: datetime = NOON, says: RegimeReading | None = None, by_hand=()
) -> JudgeMarket:
    return JudgeMarket(
        at=at,
        venue=Venue.BINANCE,
        symbol=Symbol("ETHUSDT"),
        candle_close=at,
        reading=says or reading(),
        proposals=proposals,
        auto=True,
        by_hand=tuple(by_hand),
    )


def history(*commands: JudgeMarket):
    """The events that these closes led to."""
    events, state = [], SIGNALS.initial
    for command in commands:
        new = SIGNALS.decide(command, state)
        state = SIGNALS.fold(new, state)
        events += new
    return events


def test_an_entry_carries_everything_that_the_others_need() -> None:
    outcome = given(SIGNALS).when(judge(proposal()))

    outcome.then_types(RegimeRead, SignalRaised)
    raised = outcome.events[1]
    assert isinstance(raised, SignalRaised)
    assert raised.within_regime
    assert raised.stop == Decimal("99.0")
    assert raised.valid_until == NOON + BAR
    assert raised.regime is Regime.TREND
    assert raised.model_version == "rules"


def test_why_rules_are_read_is_recorded_when_the_kind_of_reason_changes() -> None:
    def instead(reason: str) -> RegimeReading:
        return reading().model_copy(update={"fallback": reason})

    unsure = history(judge(says=instead("confidence: trend 0.55 < 0.70")))
    assert isinstance(unsure[0], RegimeRead)
    assert unsure[0].fallback == "confidence: trend 0.55 < 0.70"
    later = given(SIGNALS, *unsure)
    later.when(judge(at=NOON + BAR, says=instead("confidence: grid 0.61 < 0.70"))).then_nothing()
    later.when(judge(at=NOON + BAR, says=instead("artefact: truncated"))).then_types(RegimeRead)
    later.when(judge(at=NOON + BAR)).then_types(RegimeRead)


def test_a_regime_is_recorded_only_when_it_changes() -> None:
    calm = history(judge())

    given(SIGNALS, *calm).when(judge(at=NOON + BAR)).then_nothing()
    given(SIGNALS, *calm).when(judge(at=NOON + BAR, says=reading(confidence="0.60"))).then_types(RegimeRead)
    given(SIGNALS, *calm).when(judge(at=NOON + BAR, says=reading("scalping"))).then_types(RegimeRead)
    given(SIGNALS, *calm).when(judge(at=NOON + BAR, says=reading(confidence="0.76"))).then_nothing()


def test_a_candle_that_was_judged_is_not_judged_again() -> None:
    given(SIGNALS, *history(judge(proposal()))).when(judge(proposal())).then_nothing()
    given(SIGNALS, *history(judge(at=NOON))).when(judge(proposal(), at=NOON - BAR)).then_nothing()


def test_there_is_one_entry_for_a_situation() -> None:
    entered = history(judge(proposal()))

    outcome = given(SIGNALS, *entered).when(judge(proposal(since=NOON), at=NOON + BAR))

    outcome.then_types(SignalWithheld)
    withheld = outcome.events[0]
    assert isinstance(withheld, SignalWithheld)
    assert withheld.failed_rule == "once"
    given(SIGNALS, *entered).when(judge(proposal(since=NOON + BAR), at=NOON + BAR)).then_types(SignalRaised)


def test_a_withheld_entry_does_not_use_up_its_situation() -> None:
    failed = history(judge(proposal(failed_rule="adx", detail="ADX 20 < 25")))

    given(SIGNALS, *failed).when(judge(proposal(since=NOON), at=NOON + BAR)).then_types(SignalRaised)


def test_the_rule_that_failed_is_recorded_with_its_figures() -> None:
    outcome = given(SIGNALS, *history(judge())).when(
        judge(proposal(failed_rule="adx", detail="ADX 20 < 25"), at=NOON + BAR)
    )

    withheld = outcome.events[0]
    assert isinstance(withheld, SignalWithheld)
    assert (withheld.failed_rule, withheld.detail, withheld.price) == ("adx", "ADX 20 < 25", Decimal("100.5"))


def test_auto_withholds_what_the_regime_does_not_call_for() -> None:
    outcome = given(SIGNALS).when(judge(proposal(), says=reading("grid", "0.70", Regime.RANGE_TIGHT)))

    withheld = outcome.events[-1]
    assert isinstance(withheld, SignalWithheld)
    assert withheld.failed_rule == "regime"
    assert "grid" in withheld.detail


def test_a_choice_by_hand_bypasses_the_regime_and_says_so() -> None:
    outcome = given(SIGNALS).when(judge(proposal(), says=reading("grid"), by_hand=["trend"]))

    raised = outcome.events[-1]
    assert isinstance(raised, SignalRaised)
    assert not raised.within_regime


def test_a_strategy_that_is_not_bound_to_the_regime_is_always_within_it() -> None:
    raised = given(SIGNALS).when(judge(proposal(bound_to_regime=False), says=reading("grid"))).events[-1]

    assert isinstance(raised, SignalRaised)
    assert raised.within_regime


def test_an_exit_is_raised_once_for_whoever_is_in_whatever_the_regime() -> None:
    leave = proposal(Action.EXIT_LONG, since=NOON + BAR)
    entered = history(judge(proposal()))
    command = judge(leave, at=NOON + BAR, says=reading("grid", "0.75"))

    outcome = given(SIGNALS, *entered).when(command)

    outcome.then_types(RegimeRead, SignalRaised)
    raised = outcome.events[1]
    assert isinstance(raised, SignalRaised)
    assert raised.within_regime
    assert raised.plan is None
    given(SIGNALS, *entered, *outcome.events).when(
        replace(command, at=NOON + 2 * BAR, candle_close=NOON + 2 * BAR)
    ).then_nothing()


def test_an_exit_without_an_entry_before_it_is_for_nobody() -> None:
    given(SIGNALS, *history(judge())).when(judge(proposal(Action.EXIT_LONG), at=NOON + BAR)).then_nothing()
    short = history(judge(proposal(Action.ENTER_SHORT)))
    given(SIGNALS, *short).when(judge(proposal(Action.EXIT_LONG), at=NOON + BAR)).then_nothing()


def test_exits_are_recorded_before_entries() -> None:
    entered = history(judge(proposal(Action.ENTER_SHORT)))
    later = NOON + BAR
    both = (proposal(since=later), proposal(Action.EXIT_SHORT, since=later))

    events = given(SIGNALS, *entered).when(judge(*both, at=later)).events

    assert [e.action for e in events if isinstance(e, SignalRaised)] == [Action.EXIT_SHORT, Action.ENTER_LONG]


@pytest.mark.parametrize("by_hand", [(), ("shark", "trend")])
def test_the_command_survives_being_stored(by_hand) -> None:
    command = judge(proposal(), proposal(Action.EXIT_SHORT), by_hand=by_hand)

    assert decode_command("signal.judge_market", command_payload(command)) == command


def test_what_somebody_had_by_hand_nobody_else_misses() -> None:
    tight = reading(regime=Regime.RANGE_TIGHT, strategy="grid")
    by_hand = judge(proposal(), says=tight, by_hand=("trend",))
    later = judge(proposal(), at=NOON + BAR, by_hand=("trend",))

    (first,) = [event for event in history(by_hand) if isinstance(event, SignalRaised)]
    (second,) = [event for event in history(by_hand, later)[2:] if isinstance(event, SignalRaised)]

    assert (first.within_regime, first.had_by_hand) == (False, False)
    assert (first.is_for("auto"), first.is_for("trend"), first.is_for("grid")) == (False, True, False)
    assert (second.within_regime, second.had_by_hand) == (True, True)
    assert (second.is_for("auto"), second.is_for("trend"), second.is_for("grid")) == (True, False, True)
    again = judge(proposal(), at=NOON + 2 * BAR, by_hand=("trend",))
    assert isinstance(history(by_hand, later, again)[-1], SignalWithheld)
    nobody_follows = replace(later, auto=False)
    assert isinstance(history(by_hand, nobody_follows)[-1], SignalWithheld)
