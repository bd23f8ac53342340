"""What a user chooses: /mode, /profile, /strategy, /strategies, /groups, /risk."""

from __future__ import annotations

from decimal import Decimal

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.session import (
    ChangeMode,
    ChangeProfile,
    ChangeRiskSetting,
    ChooseStrategy,
    SwitchGroup,
    SwitchStrategy,
)
from nexus_common.contracts.values import Mode, Profile
from nexus_telegram.commands.command import Answer, Ask, Refusal, to_session
from nexus_telegram.commands.words import choice, decimal, nearest
from nexus_telegram.render import answers

_MODES = {
    Mode.WATCHER: "you are told of signals, nothing is traded",
    Mode.COPILOT: "each trade waits for your answer",
    Mode.PILOT: "trades are made at once",
}
_SWITCHES = {"on": Decimal(1), "off": Decimal(0)}


def mode(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(f"The mode is {ask.session.mode}: {_MODES[ask.session.mode]}.")
    wanted = choice(ask.words[0], Mode, "mode")
    if wanted is ask.session.mode:
        return Answer(f"The mode is {wanted} already.")
    return to_session(
        ask, ChangeMode(ask.user, wanted, ask.at), f"The mode is {wanted} now: {_MODES[wanted]}."
    )


def profile(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(f"The profile is {ask.session.profile}.")
    wanted = choice(ask.words[0], Profile, "profile")
    if wanted is ask.session.profile:
        return Answer(f"The profile is {wanted} already.")
    return to_session(ask, ChangeProfile(ask.user, wanted, ask.at), f"The profile is {wanted} now.")


def strategy(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(f"The strategy is {ask.session.strategy}.")
    wanted = _strategy(ask, ask.words[0], "auto")
    if wanted == ask.session.strategy:
        return Answer(f"The strategy is {wanted} already.")
    meaning = "the regime chooses" if wanted == "auto" else f"only {wanted} trades"
    return to_session(
        ask, ChooseStrategy(ask.user, wanted, ask.at), f"The strategy is {wanted} now: {meaning}."
    )


def strategies(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(answers.strategies(ask.session, ask.strategies))
    enabled, word = _switch(ask, "strategy")
    name = _strategy(ask, word)
    if enabled is (name not in ask.session.switched_off):
        return Answer(f"{name} is {ask.words[0].lower()} already.")
    say = f"{name} is {'on' if enabled else 'off: its signals are skipped, no other takes its place'}."
    return to_session(ask, SwitchStrategy(ask.user, name, enabled, ask.at), say)


def groups(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(answers.groups(ask.session))
    enabled, word = _switch(ask, "group")
    group = choice(word, Group, "group")
    if enabled is (group not in ask.session.groups_off):
        return Answer(f"{group} is {ask.words[0].lower()} already.")
    say = f"{group} is {'on' if enabled else 'off: signals on its instruments are refused, your own orders pass'}."
    return to_session(ask, SwitchGroup(ask.user, group, enabled, ask.at), say)


def _switch(ask: Ask, what: str) -> tuple[bool, str]:
    """`on` or `off`, and the word behind it."""
    if len(ask.words) != 2 or ask.words[0].lower() not in _SWITCHES:
        raise Refusal(f"say on or off, and which {what}")
    return ask.words[0].lower() == "on", ask.words[1]


def _strategy(ask: Ask, word: str, *others: str) -> str:
    name = word.lower()
    known = (*others, *ask.strategies)
    if name not in known:
        raise Refusal(
            f"{word!r} is not a strategy{nearest(name, known) or '; there are ' + ', '.join(known)}"
        )
    return name


def risk(ask: Ask) -> Answer:
    if not ask.words:
        return Answer(answers.risk(ask.session, ask.risk))
    if len(ask.words) != 2:
        raise Refusal("name one figure and its new value")
    name, word = ask.words[0].lower(), ask.words[1]
    known = type(ask.risk).model_fields
    if name not in known:
        raise Refusal(f"{name!r} is not a risk setting{nearest(name, known) or '; /risk lists them'}")
    is_switch = isinstance(getattr(ask.risk, name), bool)
    if is_switch and word.lower() not in _SWITCHES:
        raise Refusal(f"{name} is on or off, not {word!r}")
    value = _value(word, name)
    try:
        ask.risk.changed(name, value)
    except ValueError as error:
        raise Refusal(str(error)) from error
    if ask.session.risk.get(name) == value:
        return Answer(f"{name} is {word} already.")
    shown = answers.risk_value(bool(value) if is_switch else value)
    return to_session(ask, ChangeRiskSetting(ask.user, name, value, ask.at), f"{name} is {shown} now.")


def _value(word: str, name: str) -> Decimal:
    """A figure, a percentage as a fraction, or on and off."""
    if word.lower() in _SWITCHES:
        return _SWITCHES[word.lower()]
    if word.endswith("%"):
        return decimal(word[:-1], name) / 100
    return decimal(word, name)
