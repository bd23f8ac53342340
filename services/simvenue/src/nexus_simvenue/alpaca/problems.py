"""How Alpaca words a refusal: HTTP status, and a body with a code, a message and what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from nexus_simvenue.wire.http import HttpResponse

BAD_FORMAT: Final = 40010000
DUPLICATE_ID: Final = 40010001
UNAUTHORIZED: Final = 40110000
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
UNPROCESSABLE: Final = 42210000
RATE_LIMIT: Final = 42910000

# The first three digits of a code are its HTTP status, but for a client order id that was used before.
_STATUS: Final[Mapping[int, int]] = MappingProxyType({DUPLICATE_ID: 422})
MESSAGES: Final[Mapping[int, str]] = MappingProxyType(
    {
        BAD_FORMAT: "request body format is invalid",
        DUPLICATE_ID: "client_order_id must be unique",
        UNAUTHORIZED: "request is not authorized",
        FORBIDDEN: "insufficient buying power",
        NOT_FOUND: "order not found",
        UNPROCESSABLE: "stop price must be less than current price",
        RATE_LIMIT: "rate limit exceeded",
    }
)


class Problem(Exception):
    """A request that is refused; `more` goes into the body beside code and message."""

    def __init__(self, code: int, message: str, status: int | None = None, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS.get(code) or int(str(code)[:3])
        self.more = more

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, **self.more}

    def response(self, headers: Mapping[str, str] | None = None) -> HttpResponse:
        return HttpResponse.json(self.body, self.status, headers)


def unprocessable(message: str, **more: Any) -> Problem:
    return Problem(UNPROCESSABLE, message, **more)


def forbidden(message: str, **more: Any) -> Problem:
    return Problem(FORBIDDEN, message, **more)


def order_not_found(order_id: str) -> Problem:
    return Problem(NOT_FOUND, f"order not found for {order_id}")


def scripted(code: str) -> Problem:
    """A refusal with a code from a fault script; a code that is none of Alpaca's is a 422."""
    number = int(code) if code.isdigit() and len(code) == 8 else UNPROCESSABLE
    return Problem(number, MESSAGES.get(number, "refused by the fault script"))
