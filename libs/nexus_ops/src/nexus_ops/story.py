"""Tells how a trade came about and how it ended, from the candle to the result, out of the store alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from nexus_common.contracts import order as orders
from nexus_common.contracts import risk, signal, trade
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import EventStore
from nexus_cortex.domain.sangria import Mood
from nexus_ops.decisions import events_of
from nexus_ops.layout import chapters
from nexus_ops.macro_context import macro_context, recorded_mood
from nexus_ops.regime_words import read_by

STORIES = ("signal", "risk", "guard", "trade", "order", "session")


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of a story, with the event that it tells of."""

    chapter: str
    text: str
    event_id: UUID
    global_position: int


async def find_story(store: EventStore, wanted: str) -> list[Recorded[Event]]:
    """All events of the story that an id (or the beginning of one) belongs to, oldest first.

    An id is a trade's, a client order id, or that of any event.

    Raises:
        ConfigurationError: nothing, or more than one story, begins with `wanted`.
    """
    known = [recorded async for recorded in events_of(store, STORIES)]
    found = {r.envelope.correlation_id for r in known if _is_named(r, wanted)}
    if not found:
        raise ConfigurationError(
            f"no trade, order or event begins with {wanted!r}: `nexus events tail` lists events, "
            "`nexus at now positions` trades"
        )
    if len(found) > 1:
        raise ConfigurationError(f"{wanted!r} fits {len(found)} stories: give more of the id")
    story = found.pop()
    return [r for r in known if r.envelope.correlation_id == story]


def _is_named(recorded: Recorded[Event], wanted: str) -> bool:
    name = recorded.envelope.stream.partition("-")[2]
    return str(recorded.envelope.event_id).startswith(wanted) or (
        recorded.envelope.category in ("trade", "order") and name.startswith(wanted)
    )


@dataclass(frozen=True, slots=True)
class Background:
    """What a signal of a story stood on besides itself: the regime read by then, and the market as a whole."""

    regimes: Sequence[signal.RegimeRead] = ()
    mood: Mood | None = None

    def lines(self, event: signal.SignalRaised) -> list[tuple[str, str]]:
        read = [each for each in self.regimes if each.candle_close <= event.candle_close][-1:]
        lines = [("Regime", sentence) for each in read for sentence in _regime(each)]
        if self.mood is not None:
            context = macro_context(self.mood, event.candle_close)
            lines += [("Market as a whole", sentence) for sentence in context.lines()]
        return lines


async def background_of(store: EventStore, story: Sequence[Recorded[Event]]) -> Background:
    """The background of the signals of a story."""
    streams = {each.envelope.stream for each in story if isinstance(each.event, signal.SignalRaised)}
    regimes = [
        recorded.event
        for stream in sorted(streams)
        for recorded in await store.read_stream(stream)
        if isinstance(recorded.event, signal.RegimeRead)
    ]
    return Background(regimes, await recorded_mood(store))


def _regime(read: signal.RegimeRead) -> Iterator[str]:
    yield f"{read.regime} since {read.candle_close:%Y-%m-%d %H:%M}, confidence {short(read.confidence)}"
    yield from read_by(read.model_version, read.fallback, read.inputs)


def tell(story: Sequence[Recorded[Event]], background: Background | None = None) -> list[Line]:
    """The story in plain sentences, chapter by chapter."""
    known = background or Background()
    lines: list[Line] = []
    for recorded in story:
        for chapter, text in _sentences(recorded, known):
            lines.append(Line(chapter, text, recorded.envelope.event_id, recorded.global_position))
    return lines


def render(lines: Iterable[Line]) -> str:
    """The story as text of 80 columns: a heading for each chapter, a line for each sentence."""
    return chapters((line.chapter, line.text) for line in lines)


def _sentences(recorded: Recorded[Event], background: Background) -> list[tuple[str, str]]:
    event = recorded.event
    at = f"{recorded.envelope.occurred_at:%Y-%m-%d %H:%M}"
    match event:
        case signal.SignalRaised():
            return _signal(event, at, background)
        case risk.EntryApproved() | risk.EntryRefused():
            return _verdict(event, at)
        case risk.ExitApproved():
            return [("Exit", f"{at}  {event.strategy} asked to leave: {event.reason}")]
        case _ if event.family == "trade":
            return _trade(event, at)
        case _ if event.family == "order":
            return _order(event, at)
        case _:
            return []


def _signal(event: signal.SignalRaised, at: str, background: Background) -> list[tuple[str, str]]:
    obeyed = "which lets it trade" if event.within_regime else "which calls for another: chosen by hand"
    return [
        (
            "Candle",
            f"{at}  {event.symbol} on {event.venue} closed a {event.timeframe} bar at {plain(event.price)}",
        ),
        ("Features", "  ".join(f"{name} {short(value)}" for name, value in sorted(event.features.items()))),
        ("Regime", f"{event.regime or 'not read'}, read by {event.model_version or 'nobody'}, {obeyed}"),
        *background.lines(event),
        (
            "Signal",
            f"{event.strategy} on {event.timeframe} wants to {event.action.replace('_', ' ')}, "
            f"confidence {short(event.confidence)}",
        ),
        *(("Signal", f"because {reason}") for reason in event.reasons),
        *(("Signal", sentence) for sentence in _leaving(event)),
    ]


def _leaving(event: signal.SignalRaised) -> Iterator[str]:
    if event.ladder is not None:
        ladder = event.ladder
        yield (
            f"a ladder around {plain(ladder.centre)}: {ladder.levels} levels a side, {short(ladder.spacing)} apart, "
            f"the stop {short(ladder.stop_beyond)} beyond the last"
        )
    elif event.plan is not None:
        plan = event.plan
        yield (
            f"the plan: stop {short(plan.stop_distance)}, target {short(plan.target_distance)} from the entry, "
            f"then a trail of {short(plan.trail_distance)}; out after {plan.time_stop_bars} candles at the latest"
        )


def _verdict(event: risk.EntryApproved | risk.EntryRefused, at: str) -> list[tuple[str, str]]:
    lines = [
        ("Checks", f"{'ok  ' if check.passed else 'FAIL'} {check.name:<18} {check.detail}")
        for check in event.checks
    ]
    text = (
        f"approved: {_approved(event)}"
        if isinstance(event, risk.EntryApproved)
        else f"refused: {event.reason}"
    )
    return [*lines, ("Verdict", f"{at}  {text}")]


def _approved(event: risk.EntryApproved) -> str:
    if event.ladder is None:
        what, stop = f"{plain(event.quantity)} {event.symbol} {event.direction}", f"stop {plain(event.stop)}"
    else:
        plan = event.ladder.plan
        what = (
            f"a ladder of {plain(event.ladder.level_quantity)} {event.symbol} a level, "
            f"at most {plain(event.quantity)} to a side"
        )
        stop = f"stops {plain(plan.centre - plan.reach)} and {plain(plan.centre + plan.reach)}"
    return (
        f"{what}, {event.leverage} x, margin {short(event.margin)}, {stop}, "
        f"{short(event.risk)} at risk of {short(event.equity)} equity"
    )


def _trade(event: Event, at: str) -> list[tuple[str, str]]:
    match event:
        case trade.TradeAlerted():
            return [("Trade", f"{at}  the owner was told; mode WATCHER trades nothing")]
        case trade.TradeProposed():
            return [("Trade", f"{at}  proposed to the owner until {event.expires_at:%H:%M}")]
        case trade.TradeDeclined():
            return [("Trade", f"{at}  declined: {event.reason}")]
        case trade.TradeAdmitted():
            enters = "a ladder of orders" if event.ladder is not None else f"entry order {event.entry_order}"
            return [("Trade", f"{at}  admitted by {event.approved_by}, {enters}")]
        case trade.TradeEntered():
            held = f"{plain(event.quantity)} at {plain(event.average_price)} on average"
            return [("Trade", f"{at}  {'entered' if event.complete else 'entered in part'}: {held}")]
        case trade.ProtectionSet():
            return [("Protection", f"{at}  {event.reason}: {_protection(event)}")]
        case trade.ProtectionFailed():
            return [("Protection", f"{at}  FAILED: {event.detail}")]
        case trade.LadderFilled():
            return [("Ladder", f"{at}  {_rung(event)}")]
        case trade.TradeReduced():
            left = f"{plain(event.quantity)} left"
            return [
                ("Exit", f"{at}  {event.leg.replace('_', ' ')} took its part at {plain(event.price)}, {left}")
            ]
        case trade.ExitOrdered():
            return [("Exit", f"{at}  exit ordered: {event.reason} ({event.detail})")]
        case trade.TradeAbandoned():
            return [("Result", f"{at}  abandoned, nothing was held: {event.reason}")]
        case trade.TradeClosed():
            return [("Result", f"{at}  {_result(event)}")]
        case _:
            return []


def _rung(event: trade.LadderFilled) -> str:
    held = "nothing" if not event.quantity else f"{plain(event.quantity)} {event.direction}"
    return (
        f"rung {event.rung} {event.side} at {plain(event.price)}: {held} held, earned {short(event.earned)}, "
        f"fees {short(event.fees)}"
    )


def _protection(event: trade.ProtectionSet) -> str:
    parts = [f"stop {plain(event.stop)} for {plain(event.stop_quantity)}"]
    if event.first_target is not None:
        parts.append(f"first target {plain(event.first_target)}")
    if event.second_target is not None:
        parts.append(f"second target {plain(event.second_target)}")
    if event.trail_distance is not None:
        parts.append(f"the rest trails by {plain(event.trail_distance)}")
    return ", ".join(parts)


def _result(event: trade.TradeClosed) -> str:
    return (
        f"closed by {event.reason} at {plain(event.exit_price)} after "
        f"{event.closed_at - event.opened_at}: net {short(event.net_profit)} "
        f"(gross {short(event.gross_profit)}, fees {short(event.fees)}, funding {short(event.funding)}), "
        f"{short(event.r_multiple)} R, {short(event.return_on_margin * 100)} % on margin, "
        f"{short(event.return_on_equity * 100)} % on equity"
    )


def _order(event: Event, at: str) -> list[tuple[str, str]]:
    match event:
        case orders.OrderIntentRecorded():
            price = event.limit_price or event.trigger_price
            where = "at the market" if price is None else f"at {plain(price)}"
            size = "the whole position" if event.close_position else plain(event.quantity)
            text = (
                f"{event.leg.replace('_', ' ')}: {event.kind.replace('_', ' ')} {event.side} {size} {where}"
            )
            return [("Orders", f"{at}  {text} ({event.client_order_id})")]
        case orders.SubmitRefused():
            return [("Orders", f"{at}  refused by the venue: {event.code} {event.reason}")]
        case orders.SubmitUnknown():
            return [("Orders", f"{at}  outcome unknown: {event.reason}")]
        case orders.SubmitProvenAbsent():
            return [("Orders", f"{at}  proven absent: {event.evidence}")]
        case orders.OrderFilled():
            fill = (
                f"{plain(event.quantity)} at {plain(event.price)}, fee {short(event.fee)} ({event.liquidity})"
            )
            return [
                ("Fills", f"{at}  {event.leg.replace('_', ' ')}: {event.side} {fill}, trade {event.fill_id}")
            ]
        case orders.OrderAmended():
            return [("Protection", f"{at}  moved to {plain(event.trigger_price)}")]
        case orders.OrderCanceled():
            return [("Orders", f"{at}  {event.client_order_id} canceled: {event.reason}")]
        case _:
            return []


def plain(number: Decimal) -> str:
    """All digits that count, no exponent."""
    text = format(number.normalize(), "f")
    return text if text != "-0" else "0"


def short(number: Decimal) -> str:
    """Four significant digits below 1, two decimals above."""
    if number == 0:
        return "0"
    return format(number, ".2f") if abs(number) >= 1 else plain(Decimal(format(number, ".4g")))
