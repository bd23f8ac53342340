"""What each venue can do, in one table: nobody else asks which venue it is.

Paper trading on a venue has the venue's own traits, so that it wants the same orders as live trading there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Venue


class Trailing(StrEnum):
    """How a venue's own trailing stop follows the price."""

    DISTANCE = "distance"  # at an amount of price
    RATE = "rate"  # at a fraction of the best price
    NONE = "none"  # it has none; the executor moves the stop at each close


@dataclass(frozen=True, slots=True)
class VenueTraits:
    """What a venue can do, as far as it changes what is wanted of it.

    `amend_stop`: a resting stop can be moved in place. `close_position_stop`: a stop can cover whatever is
    held. `one_position_stop`: of those only one may stand, so its successor is of the other kind.
    `trails_position`: a trailing stop closes all that is held, not a quantity. `reserves_quantity`: resting
    exits share the position among them, so targets cannot rest beside a stop for all of it and are taken by
    the executor. `whole_quantity`: a stop needs whole units (shares). `reduces_only`: an exit can be marked
    to open nothing; without that a second one could, so one that nobody knows of is waited for.
    `ids_are_for_ever`: an order sent again under its client order id is refused as taken, however long ago
    that was, so a way out without an answer can be sent again.
    """

    amend_stop: bool = True
    close_position_stop: bool = True
    one_position_stop: bool = False
    trailing: Trailing = Trailing.DISTANCE
    trails_position: bool = False
    reserves_quantity: bool = False
    whole_quantity: bool = False
    reduces_only: bool = True
    ids_are_for_ever: bool = False


TRAITS: Final[Mapping[Venue, VenueTraits]] = MappingProxyType(
    {
        # Conditional orders live at the algo service, which places and cancels but does not amend; a second
        # closePosition stop on the same side is refused (-4130). callbackRate is a percentage.
        Venue.BINANCE: VenueTraits(amend_stop=False, one_position_stop=True, trailing=Trailing.RATE),
        # Position trading-stop: set again to move it; its trailing stop is the position's.
        Venue.BYBIT: VenueTraits(trails_position=True),
        # Open sell orders hold shares: "insufficient qty available" for a second one. A stop is amended by
        # replacing it, and covers a quantity. There is no reduce-only: what is sold beyond is sold short.
        # A client_order_id that was used before gets 422, 40010001.
        Venue.ALPACA: VenueTraits(
            close_position_stop=False,
            trailing=Trailing.NONE,
            reserves_quantity=True,
            whole_quantity=True,
            reduces_only=False,
            ids_are_for_ever=True,
        ),
    }
)
