"""What Binance says when it refuses: a code, a message, and the HTTP status that goes with it.

Source: USDⓈ-M Futures, Error Codes and General Info (HTTP return codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nexus_simvenue.wire.http import HttpResponse

MESSAGES: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1000: "An unknown error occurred while processing the request.",
        -1001: "Internal error; unable to process your request. Please try again.",
        -1003: "Too many requests; current limit of IP({}) is {} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
        -1006: "An unexpected response was received from the message bus. Execution status unknown.",
        -1007: "Timeout waiting for response from backend server. "
        "Send status unknown; execution status unknown.",
        -1008: "Request throttled by system-level protection. "
        "Reduce-only/close-position orders are exempt. Please try again.",
        -1015: "Too many new orders; current limit is {} orders per {}.",
        -1016: "This service is no longer available.",
        -1021: "Timestamp for this request is outside of the recvWindow.",
        -1022: "Signature for this request is not valid.",
        -1023: "Start time is greater than end time.",
        -1100: "Illegal characters found in parameter '{}'.",
        -1101: "Duplicate values for a parameter detected.",
        -1102: "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
        -1104: "Not all sent parameters were read; read '{}' parameter(s) but was sent '{}'.",
        -1105: "Parameter '{}' was empty.",
        -1106: "Parameter '{}' sent when not required.",
        -1111: "Precision is over the maximum defined for this asset.",
        -1115: "Invalid timeInForce.",
        -1116: "Invalid orderType.",
        -1117: "Invalid side.",
        -1121: "Invalid symbol.",
        -1125: "This listenKey does not exist.",
        -1128: "Combination of optional parameters invalid.",
        -1130: "Data sent for parameter '{}' is not valid.",
        -1131: "recvWindow must be less than 60000",
        -1136: "Invalid newOrderRespType.",
        -2007: "Invalid callBack rate",
        -2011: "Unknown order sent.",
        -2013: "Order does not exist.",
        -2014: "API-key format invalid.",
        -2015: "Invalid API-key, IP, or permissions for action.",
        -2019: "Margin is insufficient.",
        -2021: "Order would immediately trigger.",
        -2022: "ReduceOnly Order is rejected.",
        -2025: "Reach max open order limit.",
        -2027: "Exceeded the maximum allowable position at current leverage.",
        -4003: "Quantity less than zero.",
        -4001: "Price less than 0.",
        -4004: "Quantity less than min quantity.",
        -4005: "Quantity greater than max quantity.",
        -4006: "Stop price less than zero.",
        -4014: "Price not increased by tick size.",
        -4015: "Client order id is not valid.",
        -4016: "Limit price can't be higher than {}.",
        -4023: "Qty not increased by step size.",
        -4024: "Limit price can't be lower than {}.",
        -4028: "Leverage {} is not valid",
        -4031: "Invalid parameter working type",
        -4045: "Reach max stop order limit.",
        -4046: "No need to change margin type.",
        -4047: "Margin type cannot be changed if there exists open orders.",
        -4048: "Margin type cannot be changed if there exists position.",
        -4059: "No need to change position side.",
        -4060: "Invalid position side.",
        -4061: "Order's position side does not match user's setting.",
        -4062: "Invalid or improper reduceOnly value.",
        -4067: "Position side cannot be changed if there exists open orders.",
        -4068: "Position side cannot be changed if there exists position.",
        -4088: "User can not place order currently.",
        -4108: "This contract has been settled or is being delivered, or has not traded yet.",
        -4116: "clientOrderId is duplicated",
        -4117: "Stop order in triggering, please wait for a moment.",
        -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        -4130: "An open stop or take profit order with GTE and closePosition in the direction is existing.",
        -4136: "Target strategy invalid for orderType {},closePosition {}",
        -4137: "Quantity must be zero with closePosition equals true",
        -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions",
        -4164: "Order's notional must be no smaller than {} (unless you choose reduce only)",
        -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
        -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
        "please try again later.",
        -4401: "Compliance restricted account permission: can only place reduceOnly order.",
        -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        -5028: "Timestamp for this request is outside of the ME recvWindow.",
    }
)
_STATUS: Final = MappingProxyType(
    {
        -1001: 503,
        -1003: 429,
        -1006: 503,
        -1007: 408,
        -1008: 503,
        -1015: 429,
        -2014: 401,
        -2015: 401,
    }
)


class Wrong(Exception):
    """A request that is refused with one of the documented codes; `details` fill the message's gaps."""

    def __init__(self, code: int, *details: object, text: str | None = None) -> None:
        self.code = code
        self.text = MESSAGES.get(code, MESSAGES[-1000]).format(*details) if text is None else text
        super().__init__(f"{code} {self.text}")


def answer(wrong: Wrong, headers: Mapping[str, str] | None = None) -> HttpResponse:
    body = {"code": wrong.code, "msg": wrong.text}
    return HttpResponse.json(body, _STATUS.get(wrong.code, 400), headers)


def worded(code: str) -> Wrong:
    """A refusal by its code alone, as fault rules name it; what is no number is an unknown error."""
    try:
        number = int(code)
    except ValueError:
        return Wrong(-1000, text=f"{MESSAGES[-1000]} ({code})")
    gaps = MESSAGES.get(number, "").count("{}")
    return Wrong(number, *["0"] * gaps)
