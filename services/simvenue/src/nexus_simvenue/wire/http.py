"""A request and an answer, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`path` without the query, `query` as it stood in the address, headers in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    peer: str = "127.0.0.1"

    def query_fields(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def form_fields(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))

    def encode(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": dict(self.headers),
            "body": self.body,
            "peer": self.peer,
        }


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
        head = {"Content-Type": "application/json", **(headers or {})}
        return cls(status, orjson.dumps(document).decode(), head)

    def encode(self) -> dict[str, Any]:
        return {"status": self.status, "body": self.body, "headers": dict(self.headers)}


def decode_request(payload: Mapping[str, Any]) -> HttpRequest:
    return HttpRequest(**payload)


def decode_response(payload: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(**payload)
