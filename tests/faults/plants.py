"""The table of planted faults: what is done wrong, where, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_EXECUTOR: Final = "services/executor/src/nexus_executor"
_RUNTIME: Final = "libs/nexus_common/src/nexus_common/runtime"
_MARKET: Final = "libs/nexus_market/src/nexus_market"
_UNIT: Final = "tests/unit/executor"
_MATRIX: Final = "tests/faults/test_matrix.py"
_BROKERS: Final = ("tests/contract/test_broker.py", "tests/contract/test_broker_outcomes.py")
_WATCH: Final = "services/ingest/src/nexus_ingest/domain"
_LIVE: Final = "tests/unit/ingest/test_live_candles.py"
_STORIES: Final = "tests/unit/ingest/test_market_watch.py"
_BUDGET: Final = "tests/unit/executor/test_rate_budget.py"


@dataclass(frozen=True, slots=True)
class Plant:
    """`old` stands exactly once in `file`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


PLANTS: Final[tuple[Plant, ...]] = (
    Plant(
        "an unknown outcome is sent again blindly",
        f"{_EXECUTOR}/fence.py",
        "        reply = await broker.submit(request_of(state), started.at)\n",
        "        reply = await broker.submit(request_of(state), started.at)\n"
        "        if isinstance(reply, Unknown):\n"
        "            reply = await broker.submit(request_of(state), started.at)\n",
        (f"{_UNIT}/test_fence.py", _MATRIX),
    ),
    Plant(
        "a request leaves before its intent is committed",
        f"{_EXECUTOR}/fence.py",
        "            await self._write_down(change, at, desk)\n        await desk.commit()\n",
        "            await self._write_down(change, at, desk)\n",
        (f"{_UNIT}/test_kills.py", _MATRIX),
    ),
    Plant(
        "no inbox: what was handled is handled again",
        f"{_RUNTIME}/desk.py",
        "new = [envelope for envelope in batch if envelope.position > self._inbox.get(envelope.stream, 0)]",
        "new = list(batch)",
        ("tests/unit/runtime/test_desk.py",),
    ),
    Plant(
        "the number read up to is not committed with what was read",
        f"{_EXECUTOR}/updates.py",
        "            desk.note_handled(source(account), update.sequence)\n",
        "",
        (f"{_UNIT}/test_reactor.py", _MATRIX),
    ),
    Plant(
        "a hole in the numbers of updates is passed over",
        f"{_EXECUTOR}/updates.py",
        "            if update.sequence != expected:\n",
        "            if update.sequence < expected:\n",
        (f"{_UNIT}/test_updates.py",),
    ),
    Plant(
        "a fill told twice counts twice",
        f"{_EXECUTOR}/domain/order.py",
        "    if command.fill_id in state.fills:\n        return ()\n",
        "",
        (f"{_UNIT}/test_order.py",),
    ),
    Plant(
        "a message told twice is handed out twice",
        f"{_EXECUTOR}/venues/private_stream.py",
        "            if update.key in self._seen:\n                continue\n",
        "",
        (f"{_UNIT}/test_private_stream.py",),
    ),
    Plant(
        "the lease's epoch is ignored by the store",
        f"{_RUNTIME}/store/memory.py",
        "        if batch.lease is not None and not self._holds(batch.lease):\n",
        "        if batch.lease is not None and not self._leases:\n",
        ("tests/contract/test_event_store.py",),
    ),
    Plant(
        "the holder's epoch is ignored by the exchange",
        f"{_MARKET}/exchange/engine.py",
        "        if epoch < account.epoch:\n            return False\n",
        "",
        _BROKERS,
    ),
    Plant(
        "quantities go through floats",
        f"{_MARKET}/instruments.py",
        "    return quantity // instrument.step_size * instrument.step_size\n",
        "    return Decimal(float(quantity // instrument.step_size) * float(instrument.step_size))\n",
        ("tests/unit/market/test_instruments.py",),
    ),
    Plant(
        "no answer is read as a refusal",
        f"{_EXECUTOR}/venues/paper.py",
        "            # Also what never left: the same rule for both, a lookup settles it.\n"
        "            return Unknown(str(error))\n",
        '            return Refused("lost", str(error))\n',
        (*_BROKERS, _MATRIX),
    ),
    Plant(
        "an unreadable answer is taken for yes",
        f"{_EXECUTOR}/venues/paper.py",
        '        return Unknown(f"unreadable answer {answer}: {error!r}")\n',
        '        return Accepted("")  # type: ignore[return-value]\n',
        _BROKERS,
    ),
    Plant(
        "absence is accepted before the receive window is over",
        f"{_EXECUTOR}/settling.py",
        "        if at <= self._deadline(started) + timedelta(seconds=rules.absent_margin_seconds):\n"
        "            return False\n",
        "",
        (f"{_UNIT}/test_fence.py", _MATRIX),
    ),
    Plant(
        "absence is accepted at the first look",
        f"{_EXECUTOR}/settling.py",
        "        return is_long_enough and counted.times >= rules.absent_lookups\n",
        "        return True\n",
        (f"{_UNIT}/test_fence.py", _MATRIX),
    ),
    Plant(
        "the stop is sized for the order instead of the fill",
        f"{_EXECUTOR}/domain/stops.py",
        "    quantity = floor_quantity(now.trade.remaining - promised(now), now.instrument)\n",
        "    quantity = floor_quantity(now.trade.terms.quantity, now.instrument)\n",
        (f"{_UNIT}/test_protection.py", _MATRIX),
    ),
    Plant(
        "the stop's side of the entry is mirrored",
        f"{_EXECUTOR}/domain/figures.py",
        "round_stop(average - sign * plan.stop_distance, instrument, direction)",
        "round_stop(average + sign * plan.stop_distance, instrument, direction)",
        (f"{_UNIT}/test_trade.py",),
    ),
    Plant(
        "a stop moves away from profit",
        f"{_EXECUTOR}/domain/management.py",
        "    if protection is None or (command.stop - protection.stop) * state.terms.direction.sign <= 0:\n",
        "    if protection is None or command.stop == protection.stop:\n",
        (f"{_UNIT}/test_trade.py",),
    ),
    Plant(
        "ways out are not reduce-only",
        f"{_EXECUTOR}/domain/submission.py",
        "        reduce_only=reduce_only,\n",
        "        reduce_only=reduce_only and leg is not Leg.EXIT,\n",
        (f"{_UNIT}/test_protection.py", _UNIT),
    ),
    Plant(
        "a refused stop is never tried in its other kind",
        f"{_EXECUTOR}/domain/stops.py",
        "        yield _new(now, price, quantity, whole=not failures or not _is_whole(failures[-1]))\n",
        "        if not failures:\n            yield _new(now, price, quantity, whole=True)\n",
        (f"{_UNIT}/test_protection.py", _MATRIX),
    ),
    Plant(
        "a stop that cannot be had does not lead out",
        f"{_EXECUTOR}/domain/stops.py",
        '        yield Fail(f"the venue refuses the stop at {price}: {refused[-1].state.refusal}")\n',
        "        return\n",
        (f"{_UNIT}/test_protection.py", _MATRIX),
    ),
    Plant(
        "orders that outlived their position are left",
        f"{_EXECUTOR}/domain/protection.py",
        '        return tuple(_leftovers(now, "position closed"))\n',
        "        return ()\n",
        (f"{_UNIT}/test_protection.py", _UNIT),
    ),
    Plant(
        "an unknown outcome is forgotten after a restart",
        f"{_EXECUTOR}/handlers.py",
        "        await self._fence.settle(None, desk)\n        await desk.commit()\n",
        "        self._view.unsettled.clear()\n        await desk.commit()\n",
        (f"{_UNIT}/test_kills.py", _MATRIX),
    ),
    Plant(
        "what the venue's positions say is not compared",
        f"{_EXECUTOR}/reconcile.py",
        "        if symbol in watched or expected.get(symbol, _ZERO) != at_venue.get(symbol, _ZERO)\n",
        "        if symbol in watched\n",
        (f"{_UNIT}/test_reconcile.py",),
    ),
    Plant(
        "a vanished stop is not noticed",
        f"{_EXECUTOR}/reconcile.py",
        "    return tuple(order for order in working if order not in there)\n",
        "    return ()\n",
        (f"{_UNIT}/test_reconcile.py", _MATRIX),
    ),
    Plant(
        "the weight budget is ignored",
        f"{_EXECUTOR}/venues/rate_budget.py",
        "        if used + weight > (self.limit if urgent else self._usual):\n            return False\n",
        "",
        (_BUDGET,),
    ),
    Plant(
        "what is kept for ways out is given to anybody",
        f"{_EXECUTOR}/venues/rate_budget.py",
        "(self.limit if urgent else self._usual)",
        "self.limit",
        (_BUDGET,),
    ),
    Plant(
        "a ban is not waited for",
        f"{_EXECUTOR}/venues/rate_budget.py",
        "        return self.banned_until is not None and now < self.banned_until\n",
        "        return False\n",
        _BROKERS,
    ),
    Plant(
        "Binance: a 5xx is read as a refusal",
        f"{_EXECUTOR}/venues/binance/evidence.py",
        "        return Verdict(Proof.REFUSED if failed else Proof.OPEN, code, reason, {})\n",
        "        return Verdict(Proof.REFUSED, code, reason, {})\n",
        _BROKERS,
    ),
    Plant(
        "Binance: algo orders are not listed",
        f"{_EXECUTOR}/venues/binance/broker.py",
        '            algo = [rows.placed_algo(row) for row in await self._rest.rows("open algo orders")]\n',
        "            algo: list[rows.Placed] = []\n",
        _BROKERS,
    ),
    Plant(
        "Binance: requests are signed with the clock on the wall",
        f"{_EXECUTOR}/venues/binance/rest.py",
        "        raw = await self.session.send(endpoint.name, sent, fields.millis(at))\n",
        "        raw = await self.session.send(endpoint.name, sent, fields.millis(datetime.now(UTC)))\n",
        _BROKERS,
    ),
    Plant(
        "Binance: no backfill after a reconnect",
        f"{_EXECUTOR}/venues/binance/listening.py",
        "            self._has_gap = True\n            await self._stream.connect(now)\n",
        "            await self._stream.connect(now)\n",
        (*_BROKERS, _MATRIX),
    ),
    Plant(
        "Binance: a number that is missing is read as zero",
        f"{_EXECUTOR}/venues/binance/fields.py",
        '        raise UnreadableFrame(f"field {name} is no number")\n    spelled',
        "        return Decimal(0)\n    spelled",
        ("tests/contract/binance",),
    ),
    Plant(
        "A message that cannot be read is taken for an empty one",
        f"{_EXECUTOR}/venues/exact_json.py",
        '        raise UnreadableFrame(f"no JSON: {type(error).__name__}") from None\n',
        "        return {}\n",
        ("tests/contract/binance", *_BROKERS),
    ),
    Plant(
        "Bybit: the trigger's side is mirrored",
        f"{_EXECUTOR}/venues/bybit/orders.py",
        "    return RISES if rises else FALLS\n",
        "    return FALLS if rises else RISES\n",
        (*_BROKERS, _MATRIX),
    ),
    Plant(
        "Bybit: a server error is read as a refusal",
        f"{_EXECUTOR}/venues/bybit/evidence.py",
        "        10016: Proof.UNKNOWN,  # server error\n",
        "        10016: Proof.REFUSED,  # server error\n",
        _BROKERS,
    ),
    Plant(
        "Alpaca: a 5xx is read as a refusal",
        f"{_EXECUTOR}/venues/alpaca/evidence.py",
        "    return BY_STATUS.get(status, Proof.UNKNOWN)\n",
        "    return BY_STATUS.get(status, Proof.REFUSED)\n",
        _BROKERS,
    ),
    Plant(
        "an unclosed kline is taken for a candle",
        f"{_WATCH}/venue_watch.py",
        "        if not kline.closed:\n            return False\n",
        "",
        (_STORIES, _LIVE),
    ),
    Plant(
        "nothing is asked after a reconnect",
        f"{_WATCH}/venue_watch.py",
        "        self._candles.reconnected(self._carried(name), now, out)\n",
        "",
        (_STORIES, _LIVE),
    ),
    Plant(
        "candles behind a gap do not wait for it to be filled",
        f"{_WATCH}/candle_truth.py",
        "        told = self._passed(now)\n        return told + self._wanted(now) if self._held else told\n",
        "        self.next_open = bar.open_time\n        return self._passed(now)\n",
        (_STORIES, _LIVE),
    ),
    Plant(
        "the newest bars that REST lacks are taken for never traded",
        f"{_WATCH}/candle_truth.py",
        "        if self._has_sessions and reached < ask.last and",
        "        if reached < ask.last and",
        (_STORIES, _LIVE),
    ),
    Plant(
        "the feed is up before the gaps are filled",
        f"{_WATCH}/venue_watch.py",
        "        return not self._candles.blocks and (",
        "        return (",
        (_STORIES, _LIVE),
    ),
    Plant(
        "what REST says of a bar that has only just closed is believed",
        f"{_WATCH}/candle_truth.py",
        "            if not self._is_final(bar):\n                continue\n",
        "",
        (_STORIES, _LIVE),
    ),
    Plant(
        "doubted prices are passed on",
        f"{_WATCH}/quotes.py",
        "        if verdict is Verdict.DOUBTED:\n",
        "        if verdict is not None:\n            return True\n        if verdict is Verdict.DOUBTED:\n",
        (_STORIES,),
    ),
    Plant(
        "an instant leaves before older ones that wait",
        f"{_WATCH}/candle_bundles.py",
        "        leaving = sorted(instant for instant in self._open if instant <= newest)\n",
        "        leaving = sorted(instant for instant in self._open if instant == newest)\n",
        (_STORIES, _LIVE),
    ),
)
