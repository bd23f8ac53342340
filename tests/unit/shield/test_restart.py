"""Killed at any point and started again, shield decides what it would have decided."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from nexus_common.contracts.session import (
    BreakerResetRequested,
    KillRequested,
    OrderRequested,
    ResumeRequested,
    RiskSettingChanged,
)
from nexus_common.contracts.signal import Action
from nexus_common.contracts.trade import TradeReduced
from nexus_common.contracts.values import Direction

NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
STEPS = 72


def price(name, minute):
    """Four instruments that move a little differently; BTC crashes after an hour."""
    base = 1000 + (minute * (7 + NAMES.index(name)) % 13)
    return str(base - 60 if name == "BTCUSDT" and minute >= 60 else base)


def wish(at, **changes):
    fields = {"user": "ann", "account": "ann-binance", "symbol": "SOLUSDT", "direction": Direction.SHORT}
    return ("session-ann", OrderRequested(**{**fields, "at": at, **changes}))


async def told(make, play, minute, at):
    """What the other services record in the step of a minute."""
    script = [("market-binance.0", make.bars(at, *((name, price(name, minute)) for name in NAMES)))]
    verdicts = await play.verdicts()
    signals = {
        1: make.signal("BTCUSDT", at, price=D(price("BTCUSDT", 1))),
        6: make.signal("ETHUSDT", at, strategy="scalping"),
        7: make.signal("BTCUSDT", at, confidence=D("0.9")),
        9: make.signal("SOLUSDT", at, within_regime=False),
        12: make.signal("XRPUSDT", at, action=Action.ENTER_SHORT),
        20: make.signal("BTCUSDT", at, action=Action.EXIT_LONG, plan=None),
        40: make.signal("BTCUSDT", at),
        61: make.signal("ETHUSDT", at),
        66: make.signal("ETHUSDT", at),
    }
    if minute in signals:
        script += [("signal-1", signals[minute])]
    match minute:
        case 2:
            script += [
                ("trade-t1", make.admitted("t1", verdicts[0])),
                ("trade-t1", make.entered("t1", complete=False)),
            ]
        case 3:
            script += [("trade-t1", make.entered("t1", quantity=D(4)))]
        case 10:
            part = TradeReduced(trade_id="t1", leg="first_target", quantity=D(2), price=D(1020))
            script += [("trade-t1", part), ("account-ann-binance", make.wallet("10040"))]
        case 21:
            script += [("trade-t1", make.closed("t1", at)), ("account-ann-binance", make.wallet("10015"))]
        case 30:
            script += [
                wish(at),
                ("session-ann", RiskSettingChanged(user="ann", name="daily_loss", value=D("0.01"))),
            ]
        case 31:
            script += [("account-ann-binance", make.wallet("9890"))]
        case 35:
            script += [("session-ann", BreakerResetRequested(user="ann"))]
        case 50:
            script += [("session-ann", KillRequested(user="ann")), wish(at, symbol="XRPUSDT")]
        case 55:
            script += [("session-ann", ResumeRequested(user="ann"))]
        case 65:
            script += [("session-ann", ResumeRequested(user="ann"))]
    return script


async def perform(make, *, cut=None, midway=False, recall=4_000):
    """The whole script; `cut` is the step before which, or in the middle of which, shield is killed."""
    play = await make.Play(recall=recall).start()
    start = make.NOON + timedelta(hours=11)  # midnight lies in the script
    walk = {name: [price(name, 15 * i) for i in range(60)] for name in NAMES}
    await play.act(start, *((f"market-{name}", make.backfill(start, name, *walk[name])) for name in NAMES))
    await play.begin(*NAMES, at=start + timedelta(minutes=1))
    for minute in range(1, STEPS):
        at = start + timedelta(minutes=minute)
        script = await told(make, play, minute, at)
        since = await play.store.head()
        if minute == cut and not midway:
            await play.crash()
        for stream, event in script:
            await play.tell(stream, event, at=at, account=getattr(event, "account", None))
        if minute == cut and midway:
            await play.crash()
        await play.turn(at, since)
    return [recorded.body for recorded in await play.said()]


@pytest.mark.parametrize("recall", [4_000, 75])
async def test_a_killed_shield_decides_the_same(make, recall):
    undisturbed = await perform(make, recall=recall)
    kinds = {body.split('"type":"')[1].split('"')[0] for body in undisturbed}
    assert len(kinds) >= 14, kinds
    for cut in range(1, STEPS, 1 if recall > 100 else 5):
        for midway in (False, True):
            assert await perform(make, cut=cut, midway=midway, recall=recall) == undisturbed, (cut, midway)
