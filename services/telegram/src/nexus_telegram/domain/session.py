"""What a user has chosen, and what he asks of the other services. Streams `session-{user}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.instrument import Group
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.session import (
    AccountSpec,
    AnswerProposal,
    BreakerResetRequested,
    ChangeMode,
    ChangeProfile,
    ChangeRiskSetting,
    ChooseStrategy,
    CloseRequested,
    GroupSwitched,
    InputRefused,
    InputTaken,
    KillRequested,
    ModeChanged,
    OpenSession,
    OrderRequested,
    ProfileChanged,
    ProposalAnswered,
    RefuseInput,
    RequestBreakerReset,
    RequestClose,
    RequestKill,
    RequestOrder,
    RequestResume,
    RequestTask,
    RequestTaskCancel,
    ResumeRequested,
    RiskSettingChanged,
    SessionCommand,
    SessionEvent,
    SessionOpened,
    StrategyChosen,
    StrategySwitched,
    SwitchGroup,
    SwitchStrategy,
    TakeInput,
    TaskCancelRequested,
    TaskRequested,
)
from nexus_common.contracts.values import AccountId, Mode, Profile, UserId

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Session:
    """`inputs` holds the number of the last input taken from each source, `risk` the user's own figures."""

    user: UserId | None = None
    mode: Mode = Mode.WATCHER
    profile: Profile = Profile.NEXUS
    strategy: str = "auto"
    accounts: tuple[AccountSpec, ...] = ()
    switched_off: tuple[str, ...] = ()
    groups_off: tuple[Group, ...] = ()
    risk: Mapping[str, Decimal] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    tasks: int = 0

    @property
    def is_open(self) -> bool:
        return self.user is not None

    def owns(self, account: AccountId) -> bool:
        return any(spec.account == account for spec in self.accounts)

    def has_taken(self, source: str, number: int) -> bool:
        return number <= self.inputs.get(source, 0)


def decide(command: SessionCommand, state: Session) -> Sequence[SessionEvent]:
    match command:
        case OpenSession():
            return _open(command, state)
        case TakeInput(user, source, number, text):
            return (
                []
                if state.has_taken(source, number)
                else [InputTaken(user=user, source=source, number=number, text=text)]
            )
        case RefuseInput(user, text, reason):
            return [InputRefused(user=user, text=text, reason=reason)]
        case _ if not state.is_open:
            raise InvariantBroken(
                f"{command.user} has no session: {type(command).__name__} came before it was opened"
            )
        case (
            ChangeMode()
            | ChangeProfile()
            | ChooseStrategy()
            | SwitchStrategy()
            | SwitchGroup()
            | ChangeRiskSetting()
        ):
            return _choose(command, state)
        case RequestOrder() | RequestClose() | AnswerProposal() | RequestBreakerReset():
            return _trade(command, state)
        case RequestResume(user):
            return [ResumeRequested(user=user)]
        case RequestKill(user):
            return [KillRequested(user=user)]
        case RequestTask() | RequestTaskCancel():
            return _ask_scheduler(command, state)
        case _:
            assert_never(command)


def _open(command: OpenSession, state: Session) -> Sequence[SessionEvent]:
    if state.is_open:
        return []
    opened = SessionOpened(
        user=command.user,
        mode=command.mode,
        profile=command.profile,
        strategy=command.strategy,
        accounts=command.accounts,
    )
    return [opened]


def _choose(
    command: ChangeMode | ChangeProfile | ChooseStrategy | SwitchStrategy | SwitchGroup | ChangeRiskSetting,
    state: Session,
) -> Sequence[SessionEvent]:
    """What is chosen already needs no event."""
    match command:
        case ChangeMode(user, mode):
            return [] if mode is state.mode else [ModeChanged(user=user, mode=mode)]
        case ChangeProfile(user, profile):
            return [] if profile is state.profile else [ProfileChanged(user=user, profile=profile)]
        case ChooseStrategy(user, strategy):
            return [] if strategy == state.strategy else [StrategyChosen(user=user, strategy=strategy)]
        case SwitchStrategy(user, strategy, enabled):
            is_on = strategy not in state.switched_off
            return (
                [] if enabled is is_on else [StrategySwitched(user=user, strategy=strategy, enabled=enabled)]
            )
        case SwitchGroup(user, group, enabled):
            is_on = group not in state.groups_off
            return [] if enabled is is_on else [GroupSwitched(user=user, group=group, enabled=enabled)]
        case ChangeRiskSetting():
            return _change_risk(command, state)
        case _:
            assert_never(command)


def _change_risk(command: ChangeRiskSetting, state: Session) -> Sequence[SessionEvent]:
    """Whoever asks, and by whatever way: nothing beyond a cap is recorded as a user's figure."""
    user, name, value = command.user, command.name, command.value
    try:
        RiskSettings().changed(name, value)
    except ValueError as error:
        return [InputRefused(user=user, text=f"/risk {name} {value:f}", reason=str(error))]
    same = state.risk.get(name) == value
    return [] if same else [RiskSettingChanged(user=user, name=name, value=value)]


def _trade(
    command: RequestOrder | RequestClose | AnswerProposal | RequestBreakerReset, state: Session
) -> Sequence[SessionEvent]:
    match command:
        case RequestOrder(user, account):
            _must_own(state, account)
            requested = OrderRequested(
                user=user,
                account=account,
                symbol=command.symbol,
                direction=command.direction,
                stop_fraction=command.stop_fraction,
                leverage=command.leverage,
                at=command.at,
            )
            return [requested]
        case RequestClose(user, accounts, symbol):
            for account in accounts:
                _must_own(state, account)
            return [CloseRequested(user=user, account=account, symbol=symbol) for account in accounts]
        case AnswerProposal(user, trade_id, approved):
            return [ProposalAnswered(user=user, trade_id=trade_id, approved=approved)]
        case RequestBreakerReset(user, account):
            if account is not None:
                _must_own(state, account)
            return [BreakerResetRequested(user=user, account=account)]
        case _:
            assert_never(command)


def _must_own(state: Session, account: AccountId) -> None:
    if not state.owns(account):
        raise InvariantBroken(f"account {account} is not {state.user}'s")


def _ask_scheduler(command: RequestTask | RequestTaskCancel, state: Session) -> Sequence[SessionEvent]:
    match command:
        case RequestTask(user, kind, text):
            requested = TaskRequested(
                user=user,
                task=f"t{state.tasks + 1}",
                kind=kind,
                text=text,
                cron=command.cron,
                due=command.due,
                symbol=command.symbol,
                price=command.price,
                above=command.above,
            )
            return [requested]
        case RequestTaskCancel(user, task):
            return [TaskCancelRequested(user=user, task=task)]
        case _:
            assert_never(command)


def evolve(state: Session, event: SessionEvent) -> Session:
    match event:
        case SessionOpened():
            return replace(
                state,
                user=event.user,
                mode=event.mode,
                profile=event.profile,
                strategy=event.strategy,
                accounts=event.accounts,
            )
        case ModeChanged():
            return replace(state, mode=event.mode)
        case ProfileChanged():
            return replace(state, profile=event.profile)
        case StrategyChosen():
            return replace(state, strategy=event.strategy)
        case StrategySwitched():
            return replace(state, switched_off=_switched(state.switched_off, event))
        case GroupSwitched(group=group, enabled=enabled):
            others = tuple(each for each in state.groups_off if each is not group)
            return replace(state, groups_off=others if enabled else tuple(sorted((*others, group))))
        case RiskSettingChanged():
            return replace(state, risk={**state.risk, event.name: event.value})
        case InputTaken():
            return replace(state, inputs={**state.inputs, event.source: event.number})
        case TaskRequested():
            return replace(state, tasks=state.tasks + 1)
        case _:
            return _unchanged(state, event)


def _unchanged(
    state: Session,
    event: OrderRequested
    | CloseRequested
    | ProposalAnswered
    | BreakerResetRequested
    | ResumeRequested
    | KillRequested
    | InputRefused
    | TaskCancelRequested,
) -> Session:
    """Requests to other services: what comes of them stands in their streams."""
    return state


def _switched(switched_off: tuple[str, ...], event: StrategySwitched) -> tuple[str, ...]:
    others = tuple(name for name in switched_off if name != event.strategy)
    return others if event.enabled else tuple(sorted((*others, event.strategy)))


SESSION: Decider[SessionCommand, Session, SessionEvent] = Decider("session", Session(), decide, evolve)
