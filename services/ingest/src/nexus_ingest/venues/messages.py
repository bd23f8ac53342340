"""Frames that are lists of messages, each with a field that says of which kind it is."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from nexus_ingest.domain.readings import Reading, UnreadableFrame
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.texts import UNDECODABLE, UNKNOWN_SYMBOL, unreadable

_Message = TypeVar("_Message")
_Control = TypeVar("_Control")


class Said(NamedTuple, Generic[_Control]):
    """What a frame says; `unreadable` has the reasons why messages in it could not be used."""

    readings: list[Reading]
    controls: list[_Control]
    unreadable: list[str]

    def of(self, symbols: Container[str]) -> Sequence[Reading]:
        """The readings of these instruments; any other was not asked for, and is refused."""
        known = [reading for reading in self.readings if reading.symbol in symbols]
        self.unreadable.extend([UNKNOWN_SYMBOL] * (len(self.readings) - len(known)))
        return known

    def take(self, reading_of: Callable[[_Message], Reading | None], message: _Message) -> None:
        """Keep what a message says; a reading of None is left out."""
        try:
            reading = reading_of(message)
        except UnreadableFrame as error:
            self.unreadable.append(str(error))
        else:
            if reading is not None:
                self.readings.append(reading)


class MessageList(Generic[_Message]):
    """Decodes a list of messages at once, and one by one where that fails.

    `encoding` is `msgspec.json` or `msgspec.msgpack`, `kinds` a union of tagged structs.
    """

    def __init__(self, encoding: ModuleType, kinds: Any) -> None:
        self._all = encoding.Decoder(list[kinds])
        self._raw = encoding.Decoder(list[msgspec.Raw])
        self._one = encoding.Decoder(kinds)

    def decode(self, frame: RawFrame) -> tuple[list[_Message], list[str]]:
        """The messages, and the reasons for those that are unusable.

        Raises:
            UnreadableFrame: the frame is no list, or breaks off.
        """
        try:
            return self._all.decode(frame), []
        except msgspec.ValidationError:
            return self._one_by_one(frame)
        except UNDECODABLE as error:
            raise unreadable(error) from None

    def _one_by_one(self, frame: RawFrame) -> tuple[list[_Message], list[str]]:
        try:
            parts = self._raw.decode(frame)
        except UNDECODABLE as error:
            raise unreadable(error) from None
        messages: list[_Message] = []
        reasons: list[str] = []
        for part in parts:
            try:
                messages.append(self._one.decode(part))
            except UNDECODABLE as error:
                reasons.append(str(unreadable(error)))
        return messages, reasons
