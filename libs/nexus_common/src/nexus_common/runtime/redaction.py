"""Keeps secrets out of what is written: by the name of a field, by known values, by shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "[redacted]"
_VALUE_LENGTH_MIN = 4  # a shorter one would blot out half of every text
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|pwd|secret|token|api_?key|private_?key|encryption_?key|access_?key"
    r"|authorization|credential|signature|cookie|(^|_)dsn$|fernet",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/@]+@")
_BOT_TOKEN = re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}\b")
_INTEGER_MAX = 2**63 - 1


class Redaction:
    """What is hidden in this process."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def register(self, value: str) -> None:
        """Hide this value wherever it appears, also as part of a text and percent-encoded."""
        forms = {form for form in (value, quote(value, safe="")) if len(form) >= _VALUE_LENGTH_MIN}
        # Longest first: one secret may contain another.
        self._values = tuple(sorted({*self._values, *forms}, key=lambda form: (-len(form), form)))

    def clean(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A copy without secrets, with plain values only."""
        return {
            self.text(str(name)): HIDDEN if _SECRET_NAME.search(str(name)) else self._value(value)
            for name, value in fields.items()
        }

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        text = _URL_PASSWORD.sub(rf"\g<scheme>:{HIDDEN}@", text)
        # Lone surrogates cannot be written as UTF-8.
        return _BOT_TOKEN.sub(HIDDEN, text).encode("utf-8", "replace").decode()

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and abs(value) <= _INTEGER_MAX:
            return int(value)
        if isinstance(value, Mapping):
            return self.clean(value)
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            return [self._value(each) for each in items]
        if isinstance(value, bytes):
            return self.text(value.decode(errors="replace"))
        return self.text(str(value))
