"""Whatever is signalled, filled, reduced, closed, reset or changed in between: no approval goes beyond a cap.

A book kept beside shield, by other means, says what an account has bound at any moment: an entry that is still
filling binds the larger of what was reserved and what it holds. The caps are those of the user's settings at the
moment of the approval, over the equity of that moment.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal as D
from itertools import pairwise
from statistics import correlation
from typing import NamedTuple

from hypothesis import HealthCheck
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nexus_common.contracts.instrument import Bracket, Group, InstrumentsListed, InstrumentStatus, Terms
from nexus_common.contracts.limits import PROFILES, RiskSettings
from nexus_common.contracts.risk import EntryApproved, EntryRefused
from nexus_common.contracts.session import (
    BreakerResetRequested,
    GroupSwitched,
    ProfileChanged,
    RiskSettingChanged,
)
from nexus_common.contracts.signal import Action
from nexus_common.contracts.trade import TradeAbandoned, TradeReduced
from nexus_common.contracts.values import Profile, Timeframe, Venue

GROUPS = {
    "BTCUSDT": Group.MAJOR,
    "ETHUSDT": Group.MAJOR,
    "SOLUSDT": Group.MAJOR,
    "DOGEUSDT": Group.MEME,
    "WIFUSDT": Group.MEME,
    "UNIUSDT": Group.DEFI,
}
# BTC, ETH and DOGE walk alike; the others each on their own.
WALKS = {"BTCUSDT": 1, "ETHUSDT": 1, "DOGEUSDT": 1, "SOLUSDT": 5, "WIFUSDT": 7, "UNIUSDT": 11}
FIGURES = {
    "margin_fraction": ("0.005", "0.10"),
    "risk_fraction": ("0.001", "0.02"),
    "per_instrument": ("0.01", "0.20"),
    "per_cluster": ("0.02", "0.40"),
    "one_direction": ("0.10", "1"),
    "correlated_positions": (1, 5),
    "correlation_limit": ("0.10", "0.95"),
    "leverage": (1, 20),
    "cooldown_seconds": (60, 600),
    "mild_scale": ("0", "1"),
    "severe_scale": ("0", "0.5"),
}
BRACKETS = (
    Bracket(D(0), D(2000), D(20), D("0.004")),
    Bracket(D(2000), D(5000), D(10), D("0.01")),
    Bracket(D(5000), D(9000), D(4), D("0.025")),
)
ACCOUNT = "ann-binance"
EXAMPLES, STEPS = 100, 40


def figure(bounds):
    low, high = bounds
    if isinstance(low, int):
        return st.integers(low, high).map(D)
    return st.decimals(low, high, places=4)


changes = st.sampled_from(sorted(FIGURES)).flatmap(
    lambda name: st.tuples(st.just(name), figure(FIGURES[name]))
)


class Wish(NamedTuple):
    symbol: str
    action: Action
    stop: int
    hint: int | None


wishes = st.builds(
    Wish,
    st.sampled_from(sorted(GROUPS)),
    st.sampled_from([Action.ENTER_LONG, Action.ENTER_SHORT]),
    st.integers(5, 52),
    st.one_of(st.none(), st.integers(1, 25)),
)


@dataclass
class Entry:
    """An approved entry in the book beside shield."""

    verdict: object
    filled: D = D(0)
    average: D = D(0)
    complete: bool = False
    admitted: bool = False
    trade: str = ""

    @property
    def approved(self):
        return self.verdict.event

    @property
    def margin(self):
        held = self.filled * self.average / self.approved.leverage
        return held if self.complete else max(held, self.approved.margin)

    @property
    def notional(self):
        held = self.filled * self.average
        return held if self.complete else max(held, self.approved.notional)

    def profit(self, price):
        return (price - self.average) * self.filled * self.approved.direction.sign


@dataclass
class Book:
    entries: list = field(default_factory=list)
    wallet: D = D(10_000)
    prices: dict = field(default_factory=dict)
    closes: dict = field(default_factory=dict)

    @property
    def equity(self):
        return self.wallet + sum(entry.profit(self.prices[entry.approved.symbol]) for entry in self.entries)

    def bound(self, what, chosen):
        return sum((getattr(e, what) for e in self.entries if chosen(e.approved)), D(0))

    def alike(self, one, other):
        """Pearson by the standard library, over the last 50 returns of bars that both have."""
        common = sorted(self.closes[one].keys() & self.closes[other].keys())[-51:]
        returns = [
            [float(closes[b] / closes[a] - 1) for a, b in pairwise(common)]
            for closes in (self.closes[one], self.closes[other])
        ]
        return correlation(*returns)


class Account(RuleBasedStateMachine):
    """One account through shield's real reactor, desk and deciders."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.loop = asyncio.Runner()
        self.book = Book()
        self.now = make.NOON
        self.count = 0
        self.verdicts = Counter()
        self.settings, self.profile = RiskSettings(), Profile.NEXUS

    def teardown(self):
        self.loop.close()

    def step(self, *told):
        return self.loop.run(self.play.step(self.now, *told))

    @initialize(profile=st.sampled_from(list(Profile)), chosen=st.lists(changes, max_size=6))
    def open(self, profile, chosen):
        make = self.make
        self.play = self.loop.run(make.Play().start())
        listed = [make.instrument(name, group=group) for name, group in GROUPS.items()]
        terms = {"BTCUSDT": Terms(status=InstrumentStatus.TRADING, brackets=BRACKETS)}
        self.step(
            ("session-ann", make.opened()),
            ("account-ann", make.wallet("10000")),
            ("instrument-binance", InstrumentsListed(venue=Venue.BINANCE, instruments=listed, terms=terms)),
        )
        for name, walk in WALKS.items():
            closes = [D(1000 + (i * i * walk) % 17 + (i * walk) % 5) for i in range(60)]
            event = make.backfill(self.now, name, *map(str, closes))
            self.step((f"market-{name}", event))
            first = self.now - 60 * Timeframe.M15.duration
            self.book.closes[name] = {
                first + (i + 1) * Timeframe.M15.duration: close for i, close in enumerate(closes)
            }
            self.book.prices[name] = closes[-1]
        self.choose_profile(profile)
        for name, value in chosen:
            self.set(name, value)
        self.pass_time(1, {})

    def choose_profile(self, profile):
        self.profile = profile
        self.step(("session-ann", ProfileChanged(user="ann", profile=profile)))

    def set(self, name, value):
        self.settings = self.settings.changed(name, value)
        self.step(("session-ann", RiskSettingChanged(user="ann", name=name, value=value)))

    @rule(
        quarters=st.integers(1, 8),
        moves=st.dictionaries(st.sampled_from(sorted(GROUPS)), st.integers(-40, 40)),
    )
    def pass_time(self, quarters, moves):
        """Prices move, verdicts run out, days begin, breakers trip."""
        self.now += quarters * Timeframe.M15.duration
        for name, thousandths in moves.items():
            self.book.prices[name] = (self.book.prices[name] * (1000 + thousandths) / 1000).quantize(D("0.1"))
        rows = [(name, str(price)) for name, price in self.book.prices.items()]
        for name, price in self.book.prices.items():
            closes = self.book.closes[name]
            closes[self.now] = price
            for old in sorted(closes)[:-100]:
                del closes[old]
        # Verdicts that nobody took up in time are void from now on.
        self.book.entries = [e for e in self.book.entries if e.admitted or self.now <= e.approved.valid_until]
        self.step(("market-binance.0", self.make.bars(self.now, *rows)))

    @rule(
        quarters=st.sampled_from([0, 4, 7]),
        wishes=st.lists(wishes, min_size=1, max_size=6, unique_by=lambda wish: wish.symbol),
    )
    def signal(self, quarters, wishes):
        """After a while, or at once, strategies want to enter at the same close."""
        if quarters:
            self.pass_time(quarters, {})
        raised = []
        for wish in wishes:
            self.count += 1
            raised.append((f"signal-{self.count}", self.raised(wish)))
        for verdict in self.step(*raised):
            if isinstance(verdict.event, EntryRefused):
                self.verdicts[verdict.event.reason] += 1
            if isinstance(verdict.event, EntryApproved):
                self.verdicts["approved"] += 1
                self.must_fit(verdict.event)
                self.book.entries.append(Entry(verdict))

    def raised(self, wish):
        price = self.book.prices[wish.symbol]
        distance = str((price * wish.stop / 1000).quantize(D("0.1")))
        return self.make.signal(
            wish.symbol,
            self.now,
            action=wish.action,
            price=price,
            plan=self.make.plan(distance, distance),
            leverage_hint=wish.hint,
        )

    def must_fit(self, new):
        book, equity, limits, mine = self.book, self.book.equity, PROFILES[self.profile], self.settings

        def margin(chosen):
            return book.bound("margin", chosen) + new.margin

        assert not [e for e in book.entries if e.approved.symbol == new.symbol], "one position, no flip"
        assert margin(lambda e: True) <= limits.gross_margin * equity
        assert margin(lambda e: e.symbol == new.symbol) <= mine.per_instrument * equity
        cluster = GROUPS[new.symbol]
        assert margin(lambda e: GROUPS[e.symbol] is cluster) <= mine.per_cluster * equity
        direction = mine.one_direction * limits.gross_margin * equity
        assert margin(lambda e: e.direction is new.direction) <= direction
        notional = book.bound("notional", lambda e: True) + new.notional
        assert notional <= limits.gross_notional * equity
        others = [e.approved.symbol for e in book.entries]
        alike = [s for s in others if book.alike(s, new.symbol) > float(mine.correlation_limit) + 1e-5]
        assert len(alike) + 1 <= mine.correlated_positions
        assert new.margin <= mine.margin_fraction * equity
        assert new.risk <= mine.risk_fraction * equity
        assert new.leverage <= limits.max_leverage
        stop = abs(new.price - new.stop)
        maintenance = D("0.004")
        if new.symbol == "BTCUSDT":
            bracket = next(b for b in BRACKETS if new.notional <= b.cap)
            assert new.leverage <= bracket.max_leverage
            maintenance = bracket.maintenance_margin
        if new.leverage > 1:
            away = new.price * (D(1) / new.leverage - maintenance) / (1 + maintenance)
            assert away >= 2 * stop * D("0.9999999999")

    def pick(self, index, chosen):
        found = [e for e in self.book.entries if chosen(e)]
        return found[index % len(found)] if found else None

    @rule(index=st.integers(0, 5), share=st.integers(1, 100), slip=st.integers(-20, 20))
    def fill(self, index, share, slip):
        """Some of an entry's order fills, at a price that is not the reserved one."""
        entry = self.pick(index, lambda e: not e.complete)
        if entry is None:
            return
        told = [] if entry.admitted else [self.admission(entry)]
        wanted = entry.approved.quantity
        more = wanted - entry.filled if share > 60 else (wanted - entry.filled) * share / 100
        price = entry.approved.price * (1000 + slip) / 1000
        total = entry.filled + more
        entry.average = ((entry.filled * entry.average + more * price) / total).quantize(D("0.0001"))
        entry.filled, entry.complete = total, total == wanted
        told.append((f"trade-{entry.trade}", self.entered(entry)))
        self.step(*told)

    def admission(self, entry):
        self.count += 1
        entry.admitted, entry.trade = True, f"t{self.count}"
        return f"trade-{entry.trade}", self.make.admitted(entry.trade, entry.verdict)

    def entered(self, entry):
        approved = entry.approved
        return self.make.entered(
            entry.trade,
            approved.symbol,
            direction=approved.direction,
            strategy=approved.strategy,
            quantity=entry.filled,
            average_price=entry.average,
            margin=entry.filled * entry.average / approved.leverage,
            complete=entry.complete,
        )

    @rule(index=st.integers(0, 5))
    def cancel_the_rest(self, index):
        """An entry's order ends with what it has: nothing, or part of it."""
        entry = self.pick(index, lambda e: not e.complete)
        if entry is None:
            return
        told = [] if entry.admitted else [self.admission(entry)]
        entry.complete = True
        if entry.filled:
            told.append((f"trade-{entry.trade}", self.entered(entry)))
        else:
            self.book.entries.remove(entry)
            told.append((f"trade-{entry.trade}", self.abandoned(entry)))
        self.step(*told)

    def abandoned(self, entry):
        return TradeAbandoned(
            trade_id=entry.trade,
            account=ACCOUNT,
            verdict_id=entry.verdict.event_id,
            symbol=entry.approved.symbol,
            reason="refused",
        )

    @rule(index=st.integers(0, 5), share=st.integers(1, 99))
    def reduce(self, index, share):
        entry = self.pick(index, lambda e: e.complete)
        if entry is None:
            return
        gone = entry.filled * share / 100
        price = self.book.prices[entry.approved.symbol]
        self.pay((price - entry.average) * gone * entry.approved.direction.sign)
        entry.filled -= gone
        part = TradeReduced(trade_id=entry.trade, leg="first_target", quantity=entry.filled, price=price)
        self.step((f"trade-{entry.trade}", part), self.wallet())

    @rule(index=st.integers(0, 5))
    def close(self, index):
        """Even while the entry is still filling."""
        entry = self.pick(index, lambda e: e.filled > 0)
        if entry is None:
            return
        profit = entry.profit(self.book.prices[entry.approved.symbol])
        self.pay(profit)
        self.book.entries.remove(entry)
        approved = entry.approved
        ended = self.make.closed(
            entry.trade,
            self.now,
            str(profit.quantize(D("0.0001"))),
            symbol=approved.symbol,
            direction=approved.direction,
            strategy=approved.strategy,
        )
        self.step((f"trade-{entry.trade}", ended), self.wallet())

    def pay(self, amount):
        self.book.wallet += amount

    def wallet(self):
        return f"account-{ACCOUNT}", self.make.wallet(str(self.book.wallet))

    @rule(change=st.one_of(changes, st.sampled_from(list(Profile)), st.booleans()))
    def change(self, change):
        """The user changes a figure or the profile, switches a group, or resets the breaker."""
        match change:
            case Profile():
                self.choose_profile(change)
            case bool():
                switched = GroupSwitched(user="ann", group=Group.MEME, enabled=change)
                self.step(("session-ann", BreakerResetRequested(user="ann")), ("session-ann", switched))
            case _:
                self.set(*change)

    @precondition(lambda self: self.count % 5 == 4)
    @rule()
    def crash(self):
        """What was in memory is gone; the store knows all of it."""
        self.loop.run(self.play.crash())


def test_no_sequence_takes_an_account_beyond_its_caps(make):
    verdicts = Counter()

    class Ann(Account):
        def __init__(self):
            super().__init__(make)

        def teardown(self):
            verdicts.update(self.verdicts)
            super().teardown()

    run_state_machine_as_test(
        Ann,
        settings=effort(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    # Rules that are about caps were reached, from both sides.
    assert verdicts["approved"] >= EXAMPLES, verdicts
    assert len(verdicts) > 5, verdicts
