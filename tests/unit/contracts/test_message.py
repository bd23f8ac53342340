"""Types by their stored names, and the way from an old version to the newest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from nexus_common.contracts import message
from nexus_common.contracts.message import (
    COMMANDS,
    EVENTS,
    Event,
    Payload,
    UnknownMessage,
    command,
    command_payload,
    command_type,
    decode_command,
    decode_event,
    upcasts,
)
from nexus_common.contracts.values import Money


@pytest.fixture(autouse=True)
def _registers_left_alone() -> Iterator[None]:
    """What a test registers is gone after it."""
    registers: tuple[dict[Any, Any], ...] = (EVENTS, COMMANDS, message._UPCASTS, message._COMMAND_NAMES)
    before = [dict(register) for register in registers]
    yield
    for register, was in zip(registers, before, strict=True):
        register.clear()
        register.update(was)


@pytest.fixture
def tolled() -> type[Event]:
    """An event in its third version: the fee came second, its currency third."""

    class Tolled(Event):
        type: ClassVar[str] = "toll.paid"
        version: ClassVar[int] = 3

        amount: Money
        fee: Money
        currency: str

    @upcasts("toll.paid", from_version=1)
    def fee_was_not_recorded(payload: Payload) -> Payload:
        return {**payload, "fee": "0"}

    @upcasts("toll.paid", from_version=2)
    def currency_was_always_dollars(payload: Payload) -> Payload:
        return {**payload, "currency": "USD"}

    return Tolled


def test_every_version_leads_to_the_newest(tolled: type[Event]) -> None:
    newest = tolled.model_validate({"amount": "1.5", "fee": "0", "currency": "USD"})
    assert decode_event("toll.paid", 1, {"amount": "1.5"}) == newest
    assert decode_event("toll.paid", 2, {"amount": "1.5", "fee": "0"}) == newest
    assert decode_event("toll.paid", 3, {"amount": "1.5", "fee": "0", "currency": "USD"}) == newest


def test_steps_are_taken_one_after_the_other_and_only_those_that_are_wanting(tolled: type[Event]) -> None:
    second = decode_event("toll.paid", 2, {"amount": "1", "fee": "0.5"})
    assert second.model_dump()["fee"] == "0.5"


def test_a_missing_step_is_refused(tolled: type[Event]) -> None:
    del message._UPCASTS["toll.paid", 2]
    assert decode_event("toll.paid", 3, {"amount": "1", "fee": "0", "currency": "EUR"})
    for version in (1, 2):
        with pytest.raises(UnknownMessage, match=r"no upcast leads from toll\.paid version 2 to 3"):
            decode_event("toll.paid", version, {"amount": "1", "fee": "0"})


def test_a_newer_version_is_refused(tolled: type[Event]) -> None:
    with pytest.raises(UnknownMessage, match="version 4 is newer than this release's 3"):
        decode_event("toll.paid", 4, {})


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UnknownMessage, match=r"toll\.unheard"):
        decode_event("toll.unheard", 1, {})
    with pytest.raises(UnknownMessage, match=r"toll\.unheard"):
        decode_command("toll.unheard", {})


def test_a_field_that_nobody_knows_is_refused(tolled: type[Event]) -> None:
    with pytest.raises(ValueError, match="tip"):
        decode_event("toll.paid", 3, {"amount": "1", "fee": "0", "currency": "USD", "tip": "1"})


def test_two_steps_from_one_version_are_refused(tolled: type[Event]) -> None:
    with pytest.raises(TypeError, match=r"two upcasts lead from toll\.paid version 1"):
        upcasts("toll.paid", from_version=1)(lambda payload: payload)


def test_two_events_of_one_name_are_refused(tolled: type[Event]) -> None:
    with pytest.raises(TypeError, match=r"stored as 'toll\.paid'"):

        class AlsoTolled(Event):
            type: ClassVar[str] = "toll.paid"

    assert EVENTS["toll.paid"] is tolled


def test_an_event_without_a_name_is_refused(tolled: type[Event]) -> None:
    with pytest.raises(TypeError, match="no stored type name"):

        class Nameless(Event):
            pass

    with pytest.raises(TypeError, match="no stored type name"):

        class Inherited(tolled):  # type: ignore[valid-type, misc]
            pass


def test_an_event_does_not_change(tolled: type[Event]) -> None:
    event = decode_event("toll.paid", 1, {"amount": "1"})
    with pytest.raises(ValueError, match="frozen"):
        event.amount = Decimal(2)  # type: ignore[attr-defined]
    assert event.family == "toll"


def test_commands_go_by_their_stored_names_too() -> None:
    @command("toll.pay")
    @dataclass(frozen=True, slots=True)
    class Pay:
        amount: Decimal
        at: datetime

    wish = Pay(Decimal("1.50"), datetime.fromisoformat("2026-03-02T12:00:00Z"))
    assert command_type(Pay) == "toll.pay"
    assert decode_command("toll.pay", command_payload(wish)) == wish

    with pytest.raises(TypeError, match=r"stored as 'toll\.pay'"):

        @command("toll.pay")
        @dataclass(frozen=True, slots=True)
        class AlsoPay:
            at: datetime

    with pytest.raises(TypeError, match="must be a dataclass"):

        @command("toll.refund")
        class Refund:
            pass
