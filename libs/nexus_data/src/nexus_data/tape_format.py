"""What is on the tape: its tables and their columns, and figures as whole numbers.

`frames` holds every input of the watch in the order in which they were taken: raw frames as they came, and beside
them what else happened. `sequence` counts over all venues without a hole, `received` is in microseconds since the
Unix epoch. `trades`, `book` and `marks` hold what the frames said, a row a tick.

A figure is a whole number of units: `price` 6183763 with `price_scale` 2 is 61837.63. The scale is that of its
instrument within some seconds, so that figures that follow each other are small numbers apart, which compress to a
byte or two. Zeros at a figure's end are not kept; the frames have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import polars as pl

from nexus_common.contracts.tick import BookTick, MarkTick, TradeTick
from nexus_common.contracts.values import Side, Symbol, Venue


class Table(StrEnum):
    FRAMES = "frames"
    TRADES = "trades"
    BOOK = "book"
    MARKS = "marks"


class Kind(StrEnum):
    """What a row of `frames` is. `text` and `binary` are frames, `partly` is one of which not all that it says counts.

    `started` and `state` say what a watch is made with, and what one remembered; `lost` counts inputs that were
    not taped.
    """

    TEXT = "text"
    BINARY = "binary"
    PARTLY = "partly"
    REFUSED = "refused"
    OPENED = "opened"
    CLOSED = "closed"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    SERVER_TIME = "server_time"
    SCHEDULED = "scheduled"
    TIME_PASSED = "time_passed"
    STARTED = "started"
    STATE = "state"
    LOST = "lost"


class TapeRow(NamedTuple):
    """One input of the watch. `payload` is the frame itself, or the other input as JSON; that of `state` is msgpack.

    `connection` of a frame is who read it: `public-1/3` is the third connection of the line `public-1`.
    """

    sequence: int
    received: int
    kind: str
    connection: str
    payload: bytes


Tick = TradeTick | BookTick | MarkTick
TickRow = tuple[int, Symbol, Tick]
"""When it was received (microseconds), of which instrument, and what."""

FRAMES_SCHEMA: Final = {
    "sequence": pl.Int64,
    "received": pl.Int64,
    "kind": pl.String,
    "connection": pl.String,
    "payload": pl.Binary,
}
FIGURES: Final = {
    Table.TRADES: ("price", "quantity"),
    Table.BOOK: ("bid", "bid_quantity", "ask", "ask_quantity"),
    Table.MARKS: ("mark_price", "index_price", "funding_rate"),
}
MAY_BE_ABSENT: Final = frozenset({"index_price", "funding_rate"})
_WRITTEN: Final = {
    Table.TRADES: (*TradeTick._fields,),
    Table.BOOK: (*BookTick._fields,),
    Table.MARKS: (*MarkTick._fields,),
}
_WHOLE: Final = frozenset({"at", "next_funding"})


def frames_table(rows: Sequence[TapeRow]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FRAMES_SCHEMA, orient="row")


def ticks_table(table: Table, rows: Sequence[TickRow]) -> pl.DataFrame:
    """Ticks of one kind as columns, each instrument's together and in order.

    A figure that is no plain number of at most 18 digits has no place in the columns; its row is left out.
    """
    columns: dict[str, pl.Series] = {
        "received": pl.Series([row[0] for row in rows], dtype=pl.Int64),
        "symbol": pl.Series([row[1] for row in rows], dtype=pl.String),
    }
    for name, values in zip(_WRITTEN[table], zip(*(row[2] for row in rows), strict=True), strict=True):
        columns[name] = pl.Series(values, dtype=pl.Int64 if name in _WHOLE else pl.String)
    frame = pl.DataFrame(columns)
    if table is Table.TRADES:
        # Ids that are no numbers (Bybit's UUIDs) would cost more than all the rest; the frames have them.
        number = pl.col("number").cast(pl.Int64, strict=False)
        frame = frame.with_columns(number, taker_buys=pl.col("taker") == Side.BUY.value).drop("taker")
    for name in FIGURES[table]:
        frame = _in_units(frame, name)
    needed = [name for name in FIGURES[table] if name not in MAY_BE_ABSENT]
    return frame.drop_nulls(needed).sort("symbol", maintain_order=True)


def _in_units(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The texts of a column as whole numbers of units, with a column that says how small the unit is."""
    text = pl.col(name)
    has_point = text.str.contains(".", literal=True)
    parts = pl.when(has_point).then(text.str.strip_chars_end("0")).otherwise(text).str.split_exact(".", 1)
    whole, fraction = parts.struct.field("field_0"), parts.struct.field("field_1").fill_null("")
    scale = fraction.str.len_bytes().max().over("symbol")
    units = (whole + fraction.str.pad_end(scale, "0")).cast(pl.Int64, strict=False)
    return frame.with_columns(units.alias(name), scale.cast(pl.UInt8).alias(f"{name}_scale"))


def figure(name: str) -> pl.Expr:
    """A column's figures as floats: the nearest to what the venue wrote, as reading its text would give."""
    return pl.col(name) / pl.lit(10.0).pow(pl.col(f"{name}_scale"))


def file_name(venue: Venue, table: Table, segment: str) -> str:
    """A sealed file below the tape's folder: `binance/trades/20261127T120000Z-000000000001.parquet`."""
    return f"{venue}/{table}/{segment}.parquet"
