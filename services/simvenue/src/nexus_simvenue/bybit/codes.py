"""What Bybit says no with: documented codes, their texts, and the engine's refusals in Bybit's words.

Source: Bybit V5 documentation, Error Codes, and the texts as clients have reported them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from nexus_market.exchange import Refused

MESSAGES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "OK",
        429: "The trading service is experiencing a high server load. Please retry if you encounter this issue.",
        10000: "Server Timeout",
        10001: "Request parameter error",
        10002: "The request time exceeds the time window range.",
        10003: "API key is invalid.",
        10004: "Error sign, please check your signature generation algorithm.",
        10005: "Permission denied, please check your API key permissions.",
        10006: "Too many visits. Exceeded the API Rate Limit.",
        10007: "User authentication failed.",
        10008: "Common banned, please check your account mode",
        10010: "Unmatched IP, please check your API key's bound IP addresses.",
        10014: "Invalid duplicate request.",
        10016: "Server error.",
        10017: "Route not found.",
        10024: "Compliance rules triggered",
        10027: "Transactions are banned.",
        33004: "Your api key has expired",
        34040: "not modified",
        40004: "the order is modified during the process of replacing, please check the order status again",
        110001: "Order does not exist",
        110003: "Order price exceeds the allowable range.",
        110004: "Wallet balance is insufficient",
        110007: "Available balance is insufficient",
        110008: "The order has been completed or cancelled.",
        110009: "The number of stop orders exceeds the maximum allowable limit",
        110010: "The order has been cancelled",
        110013: "Cannot set leverage due to risk limit level.",
        110017: "orderQty will be truncated to zero",
        110020: "Not allowed to have more than 500 active orders.",
        110023: "Currently you can only reduce your position on this contract.",
        110024: "You have an existing position, so the position mode cannot be switched.",
        110025: "Position mode has not been modified.",
        110028: "You have existing open orders, so the position mode cannot be switched.",
        110043: "Set leverage has not been modified.",
        110058: "You can't set take profit and stop loss due to insufficient size of remaining position size.",
        110061: "Not allowed to have more than 20 TP/SLs under Partial tpSlMode",
        110064: "The modified contract quantity cannot be less than or equal to the filled quantity.",
        110066: "Trading is currently not allowed.",
        110072: "OrderLinkedID is duplicate",
        110074: "This contract is not live",
        110079: "The order is processing and can not be operated, please try again later",
        110092: "expect Rising, but trigger_price[{trigger}] <= current[{current}]??laste",
        110093: "expect Falling, but trigger_price[{trigger}] >= current[{current}]??last",
        110094: "Order notional value below the lower limit",
        3400045: "Set margin mode failed",
    }
)

# The engine's refusals (Binance's numbers) as Bybit words them.
_FROM_ENGINE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "-1102": 10001,
        "-1111": 10001,
        "-1121": 10001,
        "-2011": 110001,
        "-2013": 110001,
        "-2019": 110007,
        "-2022": 110017,
        "-4004": 10001,
        "-4028": 110013,
        "-4108": 110074,
        "-4116": 110072,
        "-4135": 10001,
        "-4136": 10001,
        "-4138": 10001,
        "-4164": 110094,
        "flip": 10001,
    }
)


class NotDone(Exception):
    """A request that is answered with a code; nothing was changed."""

    def __init__(self, code: int, message: str | None = None, *, status: int = 200) -> None:
        super().__init__(message or MESSAGES.get(code, "Request parameter error"))
        self.code = code
        self.status = status


def wrong(message: str) -> NotDone:
    """A parameter that the documents do not allow."""
    return NotDone(10001, f"params error: {message}")


def worded(refused: Refused) -> NotDone:
    """The engine's refusal as Bybit says it."""
    code = _FROM_ENGINE.get(refused.code, 10001)
    return wrong(refused.reason) if code == 10001 else NotDone(code)


def body(code: int, message: str, result: Any, now_ms: int) -> dict[str, Any]:
    """The envelope of every answer."""
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms}
