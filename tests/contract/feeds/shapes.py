"""The shape of a JSON document: names and kinds, without the values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MESSAGES = Path(__file__).parents[4] / "shared" / "data" / "messages"


def recorded(name: str) -> Any:
    """A recorded or documented message of the data set."""
    return json.loads((MESSAGES / name).read_text(encoding="utf-8"))


def shape(document: Any) -> Any:
    """Lists by their first member, numbers whole or not, null as something that may be anything."""
    match document:
        case dict():
            return {name: shape(value) for name, value in document.items()}
        case list():
            return [shape(document[0])] if document else []
        case bool():
            return "flag"
        case int() | float():
            return "number"
        case None:
            return "anything"
        case _:
            return "text"


def differences(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Where a document has not the shape of another; null fits everything."""
    ours, theirs = (document if at else shape(document) for document in (ours, theirs))
    if "anything" in (ours, theirs):
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lacking = [f"{at}.{name} is lacking" for name in theirs.keys() - ours.keys()]
        added = [f"{at}.{name} is new" for name in ours.keys() - theirs.keys()]
        both = (differences(ours[n], theirs[n], f"{at}.{n}") for n in ours.keys() & theirs.keys())
        return sorted([*lacking, *added, *(found for each in both for found in each)])
    if isinstance(ours, list) and isinstance(theirs, list) and ours and theirs:
        return differences(ours[0], theirs[0], f"{at}[0]")
    return (
        []
        if type(ours) is type(theirs) and (ours == theirs or isinstance(ours, list))
        else [f"{at} is {ours}, not {theirs}"]
    )
