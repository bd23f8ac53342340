"""What the exchange server does for each request: one matching engine a venue, one ledger for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Venue, format_decimal, format_instant
from nexus_market.exchange import (
    Accepted,
    Exchange,
    ExchangeSettings,
    Fenced,
    Record,
    Refused,
    StepRefused,
    UnknownAccount,
    duplicate_orders,
    plain,
    totals,
    unprotected_spans,
)
from nexus_market.exchange.wire import (
    Payload,
    decode_bar,
    decode_ticket,
    encode_order,
    encode_update,
    finite,
)
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_simvenue.wire.dialect import Dialect, Tending, Visibility
from nexus_simvenue.wire.dialects import DIALECTS
from nexus_simvenue.wire.http import HttpRequest, decode_request

Params = Mapping[str, Any]
_CHANGING = frozenset(
    {
        *("step", "list_instruments", "open_account", "submit", "cancel", "amend", "lookup", "http"),
        *("by_hand", "take_over", "vanish", "transfer", "configure", "flag"),
    }
)


class BadRequest(Exception):
    """The request makes no sense: unknown method, or parameters that do not fit it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Venues:
    """All venues of one server. `call` is deterministic in the sequence of its arguments."""

    def __init__(self, settings: ExchangeSettings) -> None:
        self._exchanges = {
            venue: Exchange(instruments, settings) for venue, instruments in DEFAULT_INSTRUMENTS.items()
        }
        self.visibility = Visibility()
        self.dialects: dict[Venue, Dialect] = {
            venue: speak(self._exchanges[venue], self.visibility) for venue, speak in DIALECTS.items()
        }
        spoken: dict[Venue, object] = {**self.dialects}
        self._tending = {venue: each for venue, each in spoken.items() if isinstance(each, Tending)}
        self._homes: dict[str, Venue] = {}
        self._ledger: list[Record] = []
        self._wall: datetime | None = None
        self._noted = dict.fromkeys(self._exchanges, 0)
        self._methods: dict[str, Callable[[Params], Payload]] = {
            "step": self._step,
            "list_instruments": self._list_instruments,
            "instruments": self._instruments,
            "open_account": self._open_account,
            "submit": self._submit,
            "cancel": self._cancel,
            "amend": self._amend,
            "lookup": self._lookup,
            "updates": self._updates,
            "open_orders": self._open_orders,
            "positions": self._positions,
            "http": self._http,
            "by_hand": self._by_hand,
            "take_over": self._take_over,
            "vanish": self._vanish,
            "transfer": self._transfer,
            "configure": self._configure,
            "flag": self._flag,
            "ledger": self._read_ledger,
            "status": self._status,
        }

    def call(self, method: str, params: Params, wall: datetime) -> Payload:
        """Answer one request; `wall` stamps what it adds to the ledger.

        Raises:
            BadRequest: nothing was done.
        """
        work = self._methods.get(method)
        if work is None:
            raise BadRequest("no-method", f"there is no method {method!r}")
        self._wall = wall
        try:
            answer = work(params)
            if method in _CHANGING:
                self._tend()
            return answer
        except (Fenced, UnknownAccount, StepRefused) as error:
            codes = {Fenced: "fenced", UnknownAccount: "no-account", StepRefused: "step-refused"}
            raise BadRequest(codes[type(error)], str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise BadRequest("bad-request", f"{method} does not fit: {error!r}") from error
        finally:
            self._note(wall)

    def changes(self, method: str, params: Params) -> bool:
        """Whether a request may change something and so must be remembered; repeats need not be."""
        if method not in _CHANGING:
            return False
        if method == "step":
            last = self._exchanges[_venue(params)].at
            return last is None or params.get("at") != format_instant(last)
        if method == "http":
            return self.dialects[_venue(params)].changes(decode_request(params["request"]))
        if method in ("open_account", "lookup"):
            return self._is_new_holder(params)
        return True

    def _tend(self) -> None:
        for dialect in self._tending.values():
            dialect.tend()

    def _is_new_holder(self, params: Params) -> bool:
        name = params.get("account")
        home = self._homes.get(name) if isinstance(name, str) else None
        return home is None or self._exchanges[home].account(str(name)).epoch != params.get("epoch")

    def _note(self, wall: datetime) -> None:
        for venue, exchange in self._exchanges.items():
            records = exchange.records
            for record in records[self._noted[venue] :]:
                line = {**plain(record), "n": len(self._ledger) + 1, "venue": str(venue)}
                self._ledger.append({**line, "wall": format_instant(wall)})
            self._noted[venue] = len(records)

    def exchange(self, venue: Venue) -> Exchange:
        """The matching engine of a venue, for whoever shares its process."""
        return self._exchanges[venue]

    def market_time(self) -> datetime | None:
        """The time of the newest step of any venue."""
        return max((e.at for e in self._exchanges.values() if e.at is not None), default=None)

    def answer(self, venue: Venue, request: HttpRequest, now: datetime) -> dict[str, Any]:
        """The parameters of method `http` for a request that came at the venue's time `now`."""
        return {"venue": str(venue), "request": request.encode(), "now": format_instant(now)}

    # -- the venues' own protocols ------------------------------------------------------------------

    def _http(self, params: Params) -> Payload:
        request, now = decode_request(params["request"]), datetime.fromisoformat(params["now"])
        return self.dialects[_venue(params)].handle(request, now).encode()

    # -- what people and venues do to an account ----------------------------------------------------

    def _by_hand(self, params: Params) -> Payload:
        """An order that its owner places at the venue, past us."""
        home, name = self._home(params), _name(params)
        return _reply(home.submit(name, home.account(name).epoch, decode_ticket(params["order"])))

    def _take_over(self, params: Params) -> Payload:
        reason = str(params.get("reason", "liquidation"))
        return {"done": self._home(params).take_over(_name(params), str(params["symbol"]), reason)}

    def _vanish(self, params: Params) -> Payload:
        return {"done": self._home(params).vanish(_name(params), str(params["client_order_id"]))}

    def _transfer(self, params: Params) -> Payload:
        return {
            "wallet": format_decimal(self._home(params).transfer(_name(params), finite(params["amount"])))
        }

    def _configure(self, params: Params) -> Payload:
        """Change exchange settings: `volume_share`, `slippage_bps`, `slippage_ticks`, `jitter_ticks`."""
        exchange = self._exchanges[_venue(params)]
        given: dict[str, Any] = {
            name: int(value) if name.endswith("_ticks") else finite(value)
            for name, value in params["settings"].items()
        }
        exchange.configure(replace(exchange.settings, **given))
        return {}

    def _flag(self, params: Params) -> Payload:
        name = _name(params)
        self.dialects[self._homes[name]].flag(name, str(params["name"]), params["value"])
        return {}

    # -- the market ---------------------------------------------------------------------------------

    def _step(self, params: Params) -> Payload:
        at, tending = datetime.fromisoformat(params["at"]), self._tending.get(_venue(params))
        if tending is not None:
            tending.before_step(at)
        reply = self._exchanges[_venue(params)].step(
            at,
            {symbol: decode_bar(bar) for symbol, bar in params["bars"].items()},
            {symbol: decode_bar(bar) for symbol, bar in params.get("next_bars", {}).items()},
            {symbol: finite(rate) for symbol, rate in params.get("funding", {}).items()},
        )
        return {"at": format_instant(reply.at), "fills": reply.fills, "records": reply.records}

    def _list_instruments(self, params: Params) -> Payload:
        instruments = [Instrument.model_validate(fields) for fields in params["instruments"]]
        self._exchanges[_venue(params)].list_instruments(instruments)
        return {"listed": len(instruments)}

    def _instruments(self, params: Params) -> Payload:
        listed = self._exchanges[_venue(params)].instruments
        return {"instruments": [instrument.model_dump(mode="json") for instrument in listed]}

    # -- accounts and orders ------------------------------------------------------------------------

    def _open_account(self, params: Params) -> Payload:
        name, epoch = _name(params), _epoch(params)
        venue = self._homes.get(name, _venue(params))
        balance = params.get("balance")
        wallet = self._exchanges[venue].open_account(
            name, epoch, str(params["currency"]), None if balance is None else finite(balance)
        )
        self._homes[name] = venue
        return {"wallet": format_decimal(wallet)}

    def _home(self, params: Params) -> Exchange:
        name = _name(params)
        try:
            return self._exchanges[self._homes[name]]
        except KeyError:
            raise UnknownAccount(f"account {name} does not exist; open it first") from None

    def _submit(self, params: Params) -> Payload:
        ticket = decode_ticket(params["order"])
        return _reply(self._home(params).submit(_name(params), _epoch(params), ticket))

    def _cancel(self, params: Params) -> Payload:
        order = str(params["client_order_id"])
        return _reply(self._home(params).cancel(_name(params), _epoch(params), order))

    def _amend(self, params: Params) -> Payload:
        order, trigger = str(params["client_order_id"]), finite(params["trigger_price"])
        quantity = None if params.get("quantity") is None else finite(params["quantity"])
        return _reply(self._home(params).amend(_name(params), _epoch(params), order, trigger, quantity))

    def _lookup(self, params: Params) -> Payload:
        home, name = self._home(params), _name(params)
        found = home.lookup(name, _epoch(params), str(params["client_order_id"]))
        if isinstance(found, Refused):
            return _reply(found)
        held = Decimal(0) if found is None else home.account(name).held(found.symbol)
        return {"order": None if found is None else encode_order(found, held)}

    def _updates(self, params: Params) -> Payload:
        updates = self._home(params).updates(_name(params), int(params["after"]))
        return {"updates": [encode_update(update) for update in updates]}

    def _open_orders(self, params: Params) -> Payload:
        home, name = self._home(params), _name(params)
        account = home.account(name)
        return {
            "orders": [encode_order(order, account.held(order.symbol)) for order in home.open_orders(name)]
        }

    def _positions(self, params: Params) -> Payload:
        held = self._home(params).positions(_name(params))
        return {"positions": [plain(position._asdict()) for position in held]}

    # -- the judge ----------------------------------------------------------------------------------

    def _read_ledger(self, params: Params) -> Payload:
        """Records behind `after` (0), at most `limit` (all), and what all of them prove."""
        after, limit = int(params.get("after", 0)), params.get("limit")
        stop = None if limit is None else after + int(limit)
        sums, wallets = totals(self._ledger)
        return {
            "length": len(self._ledger),
            "records": self._ledger[after:stop],
            "unprotected": [plain(asdict(span)) for span in unprotected_spans(self._ledger, self._wall)],
            "duplicates": [
                {"account": account, "client_order_id": client}
                for account, client in duplicate_orders(self._ledger)
            ],
            "resubmissions": sum(1 for record in self._ledger if record["kind"] == "resubmission"),
            "totals": [
                {"account": account, "symbol": symbol, **plain(asdict(total))}
                for (account, symbol), total in sorted(sums.items())
            ],
            "wallets": {account: format_decimal(wallet) for account, wallet in sorted(wallets.items())},
        }

    def _status(self, _params: Params) -> Payload:
        return {
            "venues": {
                str(venue): {
                    "at": None if exchange.at is None else format_instant(exchange.at),
                    "accounts": sorted(exchange.accounts),
                    "instruments": len(exchange.instruments),
                }
                for venue, exchange in self._exchanges.items()
            },
            "records": len(self._ledger),
        }


def _venue(params: Params) -> Venue:
    try:
        return Venue(params.get("venue", Venue.BINANCE))
    except ValueError as error:
        raise BadRequest("no-venue", f"{error}; known are {', '.join(Venue)}") from error


def _name(params: Params) -> str:
    name = params["account"]
    if not isinstance(name, str) or not name:
        raise TypeError(f"{name!r} is not the name of an account")
    return name


def _epoch(params: Params) -> int:
    epoch = params["epoch"]
    if not isinstance(epoch, int) or isinstance(epoch, bool):
        raise TypeError(f"{epoch!r} is not an epoch")
    return epoch


def _reply(reply: Accepted | Refused) -> Payload:
    if isinstance(reply, Accepted):
        return {"accepted": reply.venue_order_id}
    return {"refused": {"code": reply.code, "reason": reply.reason}}
