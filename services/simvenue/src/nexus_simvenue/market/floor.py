"""The market that a server plays: a player, the addresses that tell it, and the methods that control it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Symbol, Timeframe, Venue, format_instant
from nexus_market.candles import Series
from nexus_simvenue.clock import VenueClock
from nexus_simvenue.market.dialects import MACRO, MARKETS, MarketAddress
from nexus_simvenue.market.faults import MarketFaults
from nexus_simvenue.market.history import PlayedHistory
from nexus_simvenue.market.macro import MacroVenue
from nexus_simvenue.market.player import Player, Score
from nexus_simvenue.market.side import MarketSide
from nexus_simvenue.wire.address import Address


class MarketFloor:
    """`sides` answer at the addresses they are named after, `others` are addresses without accounts.

    `listed` gives a venue's instruments; `clock` is the venues' own, which faults may put wrong. `played_until`
    is where an earlier process had come in the same market.
    """

    def __init__(
        self,
        score: Score,
        speed: float | None,
        listed: Callable[[Venue], Sequence[Instrument]],
        clock: VenueClock,
        played_until: datetime | None = None,
    ) -> None:
        self.player = Player(score, speed, played_until)
        self.faults = MarketFaults()
        self._clock = clock
        self._listed = listed
        self._playing: asyncio.Task[None] | None = None
        known = score.series()
        self.sides = {
            name: self._side(name, address, known[address.venue])
            for name, address in MARKETS.items()
            if address.venue in known
        }
        self.player.listeners = {
            venue: [side for name, side in self.sides.items() if MARKETS[name].venue is venue]
            for venue in known
        }
        venues = frozenset(map(str, Venue))
        self.others = {
            name: Address(side.get, side) for name, side in self.sides.items() if name not in venues
        }
        self.others |= self._macro(score)
        self.methods: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "market_faults": self._replace_faults,
            "market_faults_fired": self._list_fired,
            "market_play": self._begin,
            "market_status": self._status,
        }

    def begin(self) -> asyncio.Task[None]:
        """Let the market run; once it does, it goes on. The task ends with it."""
        if self._playing is None:
            self._playing = asyncio.get_running_loop().create_task(self.player.run())
        return self._playing

    async def stop(self) -> None:
        """Stop playing, and listening at addresses without accounts."""
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        for address in self.others.values():
            await address.stop()

    def now(self) -> datetime:
        """The market's time, as wrong as the venues' clock is."""
        return self.player.now() + self._clock.offset

    def _side(
        self, name: str, address: MarketAddress, series: Mapping[tuple[Symbol, Timeframe], Series]
    ) -> MarketSide:
        venue = address.venue
        settled = self.player.score.funding(venue)
        history = PlayedHistory(self.player.now_millis, lambda: self._listed(venue), series, settled)
        return MarketSide(name, address.make(), history, self.faults, self.now, self._skew)

    def _macro(self, score: Score) -> dict[str, Address]:
        readings = score.readings()
        if not readings:
            return {}
        macro = MacroVenue(readings)
        return {name: Address(lambda request: macro.get(request, self.now())) for name in MACRO}

    def _skew(self, offset: timedelta) -> None:
        self._clock.offset = offset

    # -- control ------------------------------------------------------------------------------------

    def _replace_faults(self, params: dict[str, Any]) -> dict[str, Any]:
        rules = self.faults.replace(params["rules"])
        for side in self.sides.values():
            side.release()
        return {"rules": rules}

    def _list_fired(self, params: dict[str, Any]) -> dict[str, Any]:
        """What fired behind the first `after`."""
        return {"fired": [each._asdict() for each in self.faults.fired[int(params.get("after", 0)) :]]}

    def _begin(self, _params: dict[str, Any]) -> dict[str, Any]:
        self.begin()
        return {}

    def _status(self, _params: dict[str, Any]) -> dict[str, Any]:
        """How far the market has been played, and how many sockets listen to which topic.

        Raises what playing it raised.
        """
        if self._playing is not None and self._playing.done():
            self._playing.result()
        return {
            "at": format_instant(self.player.now()),
            "told": self.player.told,
            "ended": self.player.ended.is_set(),
            "topics": {name: side.broadcast.topics() for name, side in self.sides.items()},
        }
