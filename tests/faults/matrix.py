"""The fault matrix: every venue, kind of order, fault and variant, generated; nothing here runs anything.

A cell is one trade of one fresh account in which one thing goes wrong, or two that belong together. Whether it
did go wrong, the server says afterwards; what never fired is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, Final

from contract.settings import ROWS, VenueRow
from faults.cells import ASKED_SECONDS, Cell, Deed, Path, Weather
from faults.mortal import Point
from nexus_common.contracts.values import Direction, Symbol
from nexus_simvenue.faults import STREAM_FAULTS, Fault

_SIDES: Final = (Direction.LONG, Direction.SHORT)
_LIMIT_KIND: Final = {"method": "submit", "order_kind": "take_profit", "fault": "refuse", "code": "-2021"}

# How each kind of order's request looks to the fault rules; `skip` passes over the entry for the exit.
TARGETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "entry": {"method": "submit", "order_kind": "market"},
        "stop": {"method": "submit", "order_kind": "stop"},
        "take_profit": {"method": "submit", "order_kind": "take_profit"},
        "trailing": {"method": "submit", "order_kind": "trailing_stop"},
        "limit": {"method": "submit", "order_kind": "limit"},
        "exit": {"method": "submit", "order_kind": "market", "skip": 1},
        "cancel": {"method": "cancel"},
        "amend": {"method": "amend"},
    }
)
_PATHS: Final[Mapping[str, tuple[Path, ...]]] = MappingProxyType(
    {
        "entry": (Path.FALL, Path.LEAVE),
        "exit": (Path.LEAVE,),
        "cancel": (Path.AMBER, Path.RISE, Path.FALL),
        "amend": (Path.RISE, Path.FALL),
    }
)
QUERIES: Final = ("lookup", "open_orders", "positions", "account", "trades", "time", "leverage")

UNKNOWN_503 = "Unknown error, please check your request or try again later."
_REQUEST_FAULTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("lost reply", {"fault": Fault.LOSE_REPLY}),
    ("lost request", {"fault": Fault.LOSE_REQUEST}),
    ("time-out, worked", {"fault": Fault.HANG, "seconds": 0.8}),
    ("time-out, unworked", {"fault": Fault.HANG_UNWORKED, "seconds": 0.8}),
    ("503 unknown", {"fault": Fault.STATUS, "status": 503, "body": UNKNOWN_503}),
    ("503 unavailable", {"fault": Fault.STATUS_UNWORKED, "status": 503, "body": "Service Unavailable."}),
    ("500", {"fault": Fault.STATUS, "status": 500, "body": ""}),
    ("truncated", {"fault": Fault.TRUNCATE}),
    ("garbage", {"fault": Fault.GARBAGE}),
    ("late visibility", {"fault": Fault.LATE, "seconds": 12}),
)
_STREAM_FAULTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("duplicate events", {"fault": Fault.DUPLICATE, "count": 2}),
    ("duplicate events", {"fault": Fault.DUPLICATE, "count": 5}),
    ("shuffled events", {"fault": Fault.SHUFFLE, "count": 2}),
    ("shuffled events", {"fault": Fault.SHUFFLE, "count": 4}),
    ("malformed events", {"fault": Fault.MALFORMED}),
    ("unknown events", {"fault": Fault.UNKNOWN_FRAME}),
    ("dropped events", {"fault": Fault.DROP}),
    ("stream cut", {"fault": Fault.CUT}),
    ("silent stall", {"fault": Fault.STALL}),
)
_STREAM_KINDS: Final = ("accepted", "fill", "canceled", "triggered", "balance", "position")
_SILENT: Final = frozenset((Fault.DROP, Fault.STALL, Fault.SHUFFLE))


# Pairs of a row and a fault for which there are cells and none can fire, with the reason.
UNFIRED: Final[Mapping[tuple[str, str], str]] = MappingProxyType({})


def cells(venues: tuple[str, ...]) -> list[Cell]:
    """All cells of these rows, in a fixed order, each name once."""
    made: dict[str, Cell] = {}
    for venue in venues:
        row = ROWS[venue]
        for cell in (
            *_requests(row),
            *_queries(row),
            *_refused_stops(row),
            *_limits(row),
            *_streams(row),
            *_people(row),
            *_weathers(row),
            *_deaths(row),
        ):
            made[cell.name] = cell
    return list(made.values())


def _symbols(row: VenueRow, count: int = 3) -> tuple[Symbol, ...]:
    others = (Symbol("BTCUSDT"),) if row.venue.is_crypto else ()
    return (row.symbol, row.multiple, *others)[:count]


def _fits(row: VenueRow, fault: Fault) -> bool:
    return fault in row.can_fail


def _rule(**fields: Any) -> Mapping[str, Any]:
    return {key: str(value) if isinstance(value, Fault) else value for key, value in fields.items()}


def _requests(row: VenueRow) -> Iterator[Cell]:
    """One request, or its answer, goes wrong: once, or for the second such order, or twice in a row."""
    for (target, shape), (name, fault) in product(TARGETS.items(), _REQUEST_FAULTS):
        if not _fits(row, fault["fault"]):
            continue
        variants = [("", {})]
        if target in ("take_profit", "limit"):
            variants.append(("second", {"skip": 1}))
        if target not in ("entry",):
            variants.append(("twice", {"times": 2}))
        for (variant, extra), direction, symbol in product(variants, _SIDES, _symbols(row)):
            rule = _rule(**{**shape, **fault, **extra, "skip": extra.get("skip", shape.get("skip", 0))})
            first = (_rule(**_LIMIT_KIND, times=2),) if target == "limit" else ()
            for path in _PATHS.get(target, (Path.FALL,)):
                yield Cell(row.name, target, name, variant, path, direction, symbol, (*first, rule))


def _queries(row: VenueRow) -> Iterator[Cell]:
    """A question is not answered, while the outcome of an order hangs on it."""
    unknown = _rule(**TARGETS["entry"], fault=Fault.LOSE_REPLY)
    for target, (name, fault), direction in product(QUERIES, _REQUEST_FAULTS, _SIDES):
        if not _fits(row, fault["fault"]) or fault["fault"] is Fault.LATE:
            continue
        rule = _rule(method=target, **fault, times=2)
        rules = (unknown, rule) if target == "lookup" else (rule,)
        yield Cell(row.name, f"query {target}", name, "", Path.FALL, direction, row.symbol, rules)


def _refused_stops(row: VenueRow) -> Iterator[Cell]:
    """The stop is refused once (the other kind is taken), or always (the position must be left)."""
    if not _fits(row, Fault.REFUSE):
        return
    for code, times, direction, symbol in product(row.codes, (1, 2, 9), _SIDES, _symbols(row, 2)):
        rule = _rule(**TARGETS["stop"], fault=Fault.REFUSE, code=code, times=times)
        name, variant = f"stop refused {code}", f"{times}x"
        yield Cell(row.name, "stop", name, variant, Path.FALL, direction, symbol, (rule,))
    for code, target, direction in product(row.codes, ("entry", "take_profit", "trailing", "exit"), _SIDES):
        rule = _rule(**TARGETS[target], fault=Fault.REFUSE, code=code)
        path = _PATHS.get(target, (Path.FALL,))[-1]
        yield Cell(row.name, target, f"refused {code}", "", path, direction, row.symbol, (rule,))


def _limits(row: VenueRow) -> Iterator[Cell]:
    if not _fits(row, Fault.LIMIT):
        return
    targets = {**TARGETS, **{f"query {name}": {"method": name} for name in QUERIES}}
    for (target, shape), status, direction in product(targets.items(), row.limits, _SIDES):
        rule = _rule(**shape, fault=Fault.LIMIT, status=status, seconds=2)
        first = (_rule(**_LIMIT_KIND, times=2),) if target == "limit" else ()
        for path in _PATHS.get(target, (Path.FALL,)):
            yield Cell(row.name, target, str(status), "", path, direction, row.symbol, (*first, rule))


def _streams(row: VenueRow) -> Iterator[Cell]:
    for (name, fault), kind, skip, direction, path in product(
        _STREAM_FAULTS, _STREAM_KINDS, (0, 1, 2), _SIDES, (Path.FALL, Path.LEAVE)
    ):
        if not _fits(row, fault["fault"]):
            continue
        rule = _rule(method="stream", order_kind=kind, **fault, skip=skip)
        variant = f"{kind} {skip + 1}" + (f" x{fault['count']}" if "count" in fault else "")
        symbol = _symbols(row)[skip % 2]
        naked = ASKED_SECONDS if fault["fault"] in _SILENT else 7.0
        yield Cell(row.name, "stream", name, variant, path, direction, symbol, (rule,), naked_seconds=naked)
    assert STREAM_FAULTS.issuperset(fault["fault"] for _, fault in _STREAM_FAULTS)


def _people(row: VenueRow) -> Iterator[Cell]:
    """What owners do past us, and what venues do to accounts."""
    deeds: list[tuple[str, str, Mapping[str, Any], float]] = [
        ("manual close", "hand", {"share": "-1"}, 7.0),
        ("manual reduce", "hand", {"share": "-0.5"}, ASKED_SECONDS),
        ("manual add", "hand", {"share": "0.5"}, ASKED_SECONDS),
        ("stop vanished", "vanish", {}, ASKED_SECONDS),
    ]
    if row.venue.is_crypto:
        deeds += [
            ("liquidation", "take_over", {"reason": "liquidation"}, 7.0),
            ("ADL", "take_over", {"reason": "adl"}, 7.0),
        ]
    if row.is_native and row.venue.is_crypto:
        deeds.append(("hedge mode", "flag", {"name": "hedge_mode", "value": True}, 7.0))
    if row.is_native:
        deeds.append(("key revoked", "flag", {"name": "revoked", "value": True}, 7.0))
    for (name, method, fields, naked), turn, direction, symbol, path in product(
        deeds, (3, 5, 9, 14), _SIDES, _symbols(row, 2), (Path.FALL, Path.LEAVE)
    ):
        after: tuple[Deed, ...] = ()
        if method == "flag":
            after = (Deed(turn + 3, "flag", {**fields, "value": False}),)
        deed = Deed(turn, method, fields)
        yield Cell(
            row.name,
            "position",
            name,
            f"turn {turn}",
            path,
            direction,
            symbol,
            deeds=(deed, *after),
            naked_seconds=naked,
        )


def _weathers(row: VenueRow) -> Iterator[Cell]:
    for weather, direction, symbol, path in product(Weather, _SIDES, _symbols(row), Path):
        if weather is Weather.FAIR or (weather.offset and not row.is_native):
            continue
        name = "partial fills" if weather is Weather.THIN else weather.value
        # Where resting exits share the position, leaving in parts is leaving without a stop.
        naked = 20.0 if row.traits.reserves_quantity else 12.0
        yield Cell(row.name, "all", name, "", path, direction, symbol, weather=weather, naked_seconds=naked)


_DEATHS: Final[tuple[tuple[Point, str, Path], ...]] = (
    *((point, "entry", Path.FALL) for point in Point if not point.name.startswith("STOP")),
    *((point, "stop", Path.FALL) for point in (Point.BEFORE_INTENT, Point.ANSWERED, Point.HEARD)),
    *((point, "stop", Path.FALL) for point in (Point.FILLED,)),
    *((point, "stop", Path.FALL) for point in (Point.STOP_STARTED, Point.STOP_SENT, Point.STOP_ACCEPTED)),
    *(
        (point, leg, path)
        for leg, path in (
            ("first_target", Path.RISE),
            ("trail", Path.RISE),
            ("exit", Path.LEAVE),
        )
        for point in (
            *(Point.BEFORE_INTENT, Point.STARTED, Point.SENT, Point.ANSWERED),
            *(Point.OUTCOME, Point.HEARD, Point.FILLED),
        )
    ),
)


def _deaths(row: VenueRow) -> Iterator[Cell]:
    """The executor is killed at each point, alone and with an answer lost just before."""
    lost = {"": (), "and lost reply": (_rule(**TARGETS["entry"], fault=Fault.LOSE_REPLY),)}
    for (point, leg, path), direction, symbol, (variant, rules) in product(
        _DEATHS, _SIDES, _symbols(row), lost.items()
    ):
        if rules and (leg != "entry" or not _fits(row, Fault.LOSE_REPLY)):
            continue
        mirrored = {Path.FALL: Path.RISE, Path.RISE: Path.FALL}.get(path, path)
        way = path if direction is Direction.LONG else mirrored
        yield Cell(
            row.name,
            leg,
            f"kill {point.value}",
            variant,
            way,
            direction,
            symbol,
            rules,
            point=point,
            leg=leg,
        )
