"""Many accounts on one market: each decides what it would decide if it were alone.

Verdicts byte for byte; orders, fills, trades and money too, but for the numbers that the venue gives its orders and
fills, and the ids made from them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, Mode, Profile, UserId, Venue
from nexus_common.runtime.settings import NexusSettings
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import LocalHouse, settings_for
from nexus_telegram.handlers import SessionSpec, TelegramReactor
from nexus_telegram.script import ScriptEntry

DATA = Path(__file__).parents[3] / "shared" / "data"
FEW, MANY = 8, 200
SYMBOLS = "BTCUSDT,ETHUSDT,ADAUSDT,DOGEUSDT,XRPUSDT,LTCUSDT,LINKUSDT,DOTUSDT"
GENERATED = {"NEXUS__INGEST__SEED": "42", "NEXUS__INGEST__MINUTES": "240", "NEXUS__INGEST__SYMBOLS": SYMBOLS}
CRASH = {
    "NEXUS__INGEST__DATA_DIR": str(DATA),
    "NEXUS__INGEST__SYMBOLS": SYMBOLS,
    "NEXUS__INGEST__START": "2021-05-19T11:00",
    "NEXUS__INGEST__END": "2021-05-19T14:00",
}
# A trend that is taken however weak: there is something to decide at most closes.
OFTEN = {"NEXUS__CORTEX__PARAMETERS": '{"trend": {"adx_min": 5}}'}
VERDICTS = ("risk.entry_approved", "risk.entry_refused", "risk.exit_approved")
VENUE_NUMBERS = {"venue_order_id", "fill_id", "venue_trade_id"}
STRATEGIES = ("trend", "scalping", "mean_reversion", "shark")


def _users(count: int) -> list[UserId]:
    return [UserId(f"u{number:03}") for number in range(count)]


def _account(user: UserId) -> AccountId:
    return AccountId(f"{user}.binance.paper")


def _session(user: UserId) -> SessionSpec:
    chance = Random(user)
    spec = AccountSpec(
        account=_account(user),
        venue=Venue.BINANCE,
        paper=True,
        currency="USDT",
        balance=chance.choice((500, 2_000, 10_000, 250_000)),
    )
    return SessionSpec(user, chance.choice(list(Mode)), chance.choice(list(Profile)), "auto", (spec,))


def _choices(user: UserId, at: datetime) -> list[ScriptEntry]:
    """What a user sets in the first minute: figures, groups, strategies; the odd one trades by hand.

    The numbers are the user's own, as those of his chat would be.
    """
    chance = Random(f"{user} chooses")
    written = [
        f"/risk margin_fraction 0.0{chance.randint(1, 9)}",
        f"/risk risk_fraction 0.0{chance.choice(('05', '1', '15'))}",
        f"/risk per_instrument 0.{chance.choice(('05', '1', '2'))}",
        f"/risk correlated_positions {chance.randint(1, 5)}",
        f"/risk cooldown_bars {chance.randint(1, 4)}",
        f"/groups off {chance.choice(list(Group))}",
        f"/strategies off {chance.choice(STRATEGIES)}",
        f"/strategy {chance.choice(STRATEGIES)}",
        f"/long {chance.choice(SYMBOLS.split(','))} 3%",
    ]
    chosen = chance.sample(written, chance.randint(2, len(written)))
    return [ScriptEntry(number, at, text, user, number) for number, text in enumerate(chosen, start=1)]


async def _play(settings: NexusSettings, users: Sequence[UserId]) -> dict[AccountId, list[tuple[str, str]]]:
    """What each account's events were, by stream and position."""
    market = ingest.market(settings.ingest)
    first = next(iter(market.steps())).at
    script = [entry for user in users for entry in _choices(user, first)]
    people = TelegramReactor([_session(user) for user in users], script)
    house = LocalHouse(settings, market, keep_commands=False, people=people)
    await house.open()
    for step in market.steps():
        await house.step(step)
    told: dict[AccountId, list[tuple[str, str]]] = {_account(user): [] for user in users}
    for recorded in await house.store.read_categories([], 0, None, 10**9):
        if recorded.envelope.account in told and recorded.envelope.category != "notice":
            told[recorded.envelope.account].append((recorded.envelope.stream, _words(recorded.body)))
    return {account: sorted(events, key=lambda each: each[0]) for account, events in told.items()}


def _words(body: str) -> str:
    """A body without what follows from the numbers that the venue gives, which count all accounts' together."""
    fields = json.loads(body)
    if fields["type"] in VERDICTS:
        return body
    for name in ("id", "causation", "correlation"):
        del fields[name]
    for name in VENUE_NUMBERS & fields["data"].keys():
        del fields["data"][name]
    return json.dumps(fields)


async def _compare(
    environment: dict[str, str],
    count: int,
) -> dict[str, int]:
    settings = settings_for({**environment, **OFTEN})
    users = _users(count)
    together = await _play(settings, users)
    for user in users:
        alone = await _play(settings, [user])
        assert together[_account(user)] == alone[_account(user)], user
    kinds: dict[str, int] = {}
    for events in together.values():
        for _, body in events:
            kind = json.loads(body)["type"]
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _environment(name: str) -> dict[str, str]:
    if name == "generated":
        return GENERATED
    if not DATA.is_dir():
        pytest.skip("no recorded market lies beside the checkout")
    return CRASH


@pytest.mark.parametrize("name", ["generated", "the crash of May 2021"])
async def test_a_few_accounts_decide_what_each_decides_alone(name: str) -> None:
    kinds = await _compare(_environment(name), FEW)
    assert kinds["risk.entry_approved"] >= FEW, kinds
    assert kinds["risk.entry_refused"] >= FEW, kinds
    assert kinds["order.filled"] > 0, kinds


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", ["generated", "the crash of May 2021"])
async def test_two_hundred_accounts_decide_what_each_decides_alone(name: str) -> None:
    kinds = await _compare(_environment(name), MANY)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    sys.stdout.write(f"\n{name}: {sum(kinds.values())} events of {MANY} accounts alike: {counts}\n")
    assert kinds["risk.entry_approved"] >= MANY, kinds
