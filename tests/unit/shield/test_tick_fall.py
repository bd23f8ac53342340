"""A fall of BTC in live ticks: what is believed, by whom it is borne out, and what exits nobody."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given as for_all
from hypothesis import settings as how
from hypothesis import strategies as st

from nexus_common.contracts.guard import FallMeasure, GuardStanding, Witness
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.values import Venue
from nexus_market.candles import to_millis
from nexus_shield.domain.black_swan import FallBar, FallWatch
from nexus_shield.domain.tick_fall import ASK_AGAIN_MS, NUMBERS_KEPT, TickFalls
from nexus_shield.domain.tick_findings import AskVenue, Confirmed, Dropped, Limit, Quote, Unconfirmed
from nexus_shield.domain.tick_references import Point, TickReferences

SETTINGS = GuardSettings()
T0 = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOON = to_millis(T0)
BINANCE, BYBIT = Venue.BINANCE, Venue.BYBIT
NO_BARS = FallWatch()


class Market:
    """Ticks of two venues at times counted in ms from noon, heard as they are said."""

    def __init__(self, bars=NO_BARS):
        self.falls = TickFalls(SETTINGS, lambda venue: bars if venue is BINANCE else NO_BARS)
        self.found = []
        self._number = 0

    def trade(self, ms, price, venue=BINANCE, number=None, heard=None):
        self._number += 1
        heard = ms if heard is None else heard
        return self._note(
            self.falls.trade(venue, number or str(self._number), D(str(price)), NOON + ms, NOON + heard)
        )

    def mark(self, ms, price, venue=BINANCE, heard=None):
        heard = ms if heard is None else heard
        return self._note(self.falls.mark(venue, D(str(price)), NOON + ms, NOON + heard))

    def passed(self, ms):
        return self._note(self.falls.passed(NOON + ms))

    def answered(self, ms, price, mark=None):
        quote = Quote(D(str(price)), NOON + ms, None if mark is None else D(str(mark)))
        return self._note(self.falls.answered(BINANCE, quote, NOON + ms))

    def _note(self, found):
        self.found += found
        return found

    def confirmed(self, limit=Limit.BLACK_SWAN):
        return [each for each in self.found if isinstance(each, Confirmed) and each.candidate.limit is limit]


def calm(seconds=20, price=1000, venue=BINANCE, market=None):
    """A market that trades ten times a second and says its mark price every second; the last at `seconds`."""
    market = market or Market()
    for ms in range(0, seconds * 1_000 + 1, 100):
        market.trade(ms, price, venue)
        if ms % 1_000 == 0:
            market.mark(ms, price, venue)
    return market


def unmarked(price=1000):
    """The same without mark prices."""
    market = Market()
    for ms in range(0, 20_001, 100):
        market.trade(ms, price)
    return market


# -- who bears it out -----------------------------------------------------------------------------------


def test_the_next_trade_beyond_the_limit_confirms():
    market = unmarked()
    assert market.trade(20_100, 960) == []
    (swan, _amber) = market.trade(20_200, 959)
    evidence = swan.evidence
    assert (evidence.measure, evidence.price, evidence.fall_percent) == (
        FallMeasure.FIVE_MINUTE_HIGH,
        D(960),
        D("4.0000"),
    )
    proof = evidence.proof
    assert (proof.trade, proof.witness, proof.witness_trade) == ("202", Witness.NEXT_TRADE, "203")
    assert evidence.confirmed_by == "the next trade at binance: 959 (trade 203), 2024-03-01T12:00:20.200000Z"


def test_a_lone_print_is_dropped_by_the_next_trade():
    market = unmarked()
    market.trade(20_100, 1)
    dropped = market.trade(20_200, 1000)
    assert [type(each) for each in dropped] == [Dropped, Dropped]
    assert market.falls.deadline() is None
    assert market.trade(20_300, 1) == []


def test_the_next_trade_has_to_come_within_two_seconds():
    market = unmarked()
    market.trade(20_100, 950)
    assert market.trade(22_101, 950) == []
    assert [each.candidate.limit for each in market.trade(24_101, 950)] == [Limit.BLACK_SWAN, Limit.AMBER]


def test_a_mark_price_beyond_the_limit_confirms_at_once():
    market = unmarked()
    market.trade(20_100, 950)
    (swan, _amber) = market.mark(20_150, 955)
    assert swan.evidence.proof.witness is Witness.MARK_PRICE
    before = unmarked()
    before.mark(20_050, 955)
    assert before.trade(20_100, 950)[0].evidence.proof.witness is Witness.MARK_PRICE


def test_a_second_venue_confirms_at_once_whichever_comes_first():
    behind = calm(price=985, venue=BYBIT, market=unmarked())
    behind.trade(20_100, 950)
    behind.trade(20_110, 955, BYBIT)
    (swan,) = behind.confirmed()
    assert swan.candidate.venue is BINANCE
    assert (swan.evidence.proof.witness, swan.evidence.proof.witness_venue) == (Witness.SECOND_VENUE, BYBIT)
    ahead = unmarked()
    ahead.trade(20_050, 955, BYBIT)
    assert ahead.trade(20_100, 950)[0].evidence.proof.witness is Witness.SECOND_VENUE
    long_ago = unmarked()
    long_ago.trade(18_000, 955, BYBIT)
    assert long_ago.trade(20_100, 950) == []


def test_two_trades_that_a_fresh_mark_price_denies_confirm_nothing():
    market = calm()
    market.mark(20_000, 1000)
    assert market.trade(20_100, 950) == market.trade(20_200, 950) == []
    market.mark(20_900, 985)
    assert market.trade(21_000, 950) == []
    assert [each.candidate.limit for each in market.mark(21_900, 975)] == [Limit.AMBER]
    assert market.mark(22_900, 960)[0].candidate.limit is Limit.BLACK_SWAN


def test_a_mark_price_that_is_three_seconds_old_denies_nothing():
    market = calm()
    assert market.trade(22_900, 950) == market.trade(23_000, 950) == []
    assert market.trade(23_001, 950) != []


def test_amber_is_found_on_the_way_and_the_black_swan_after_it():
    market = unmarked()
    for ms, price in ((20_100, 979), (20_200, 978), (20_300, 965), (20_400, 955), (20_500, 954)):
        market.trade(ms, price)
    assert [each.candidate.limit for each in market.found] == [Limit.AMBER, Limit.BLACK_SWAN]


def test_a_limit_is_met_exactly():
    market = unmarked(D("1000.1"))
    market.trade(20_100, D("960.0961"))
    assert [each.candidate.limit for each in market.trade(20_200, D("960.0960"))] == [Limit.AMBER]
    assert [each.candidate.limit for each in market.trade(20_300, D("960.0960"))] == [Limit.BLACK_SWAN]


# -- once per fall --------------------------------------------------------------------------------------


def test_what_was_confirmed_is_not_found_again_before_the_sentinel_says_where_it_stands():
    market = unmarked()
    for ms in range(20_100, 25_000, 100):
        market.trade(ms, 950)
    assert len(market.confirmed()) == 1
    until = T0 + timedelta(hours=4)
    market.falls.stand(GuardStanding(black_swan_until=until), T0)
    for ms in range(25_000, 30_000, 100):
        market.trade(ms, 940)
    assert len(market.confirmed()) == 1
    market.falls.stand(GuardStanding(), T0)
    for ms in range(30_000, 30_300, 100):
        market.trade(ms, 940)
    assert len(market.confirmed()) == 2


def test_amber_stands_for_its_time_and_leaves_the_black_swan_armed():
    market = unmarked()
    market.falls.stand(GuardStanding(amber_until=T0 + timedelta(minutes=30)), T0)
    market.trade(20_100, 950)
    assert [each.candidate.limit for each in market.trade(20_200, 950)] == [Limit.BLACK_SWAN]
    market.falls.stand(GuardStanding(amber_until=T0 + timedelta(minutes=30)), T0 + timedelta(minutes=30))
    market.trade(20_300, 950)
    assert [each.candidate.limit for each in market.trade(20_400, 950)] == [Limit.BLACK_SWAN, Limit.AMBER]


# -- the venue is asked ---------------------------------------------------------------------------------


def alone():
    """A trade that nothing follows."""
    market = unmarked()
    market.trade(20_100, 950)
    assert market.falls.deadline() == NOON + 22_100
    assert market.passed(22_099) == []
    assert market.passed(22_100) == [AskVenue(BINANCE)]
    assert market.falls.deadline() is None
    return market


def test_what_is_alone_for_two_seconds_is_asked_about_once():
    market = alone()
    assert market.passed(23_000) == []
    (swan, _amber) = market.answered(22_300, 949, 955)
    assert swan.evidence.proof.witness is Witness.ANSWER


@pytest.mark.parametrize(("last", "mark"), [(1000, None), (950, 1000), (1000, 950)])
def test_a_venue_that_says_otherwise_leaves_it_unconfirmed(last, mark):
    market = alone()
    found = market.answered(22_300, last, mark)
    assert [type(each) for each in found] == [Unconfirmed, Unconfirmed]
    assert f"says last {last}" in found[0].reason
    assert market.answered(22_400, 900) == []


def test_a_venue_that_does_not_answer_leaves_it_unconfirmed_and_is_not_asked_at_every_trade():
    market = alone()
    found = market.falls.unanswered(BINANCE, "binance does not answer", NOON + 25_000)
    assert [each.reason for each in found] == ["binance does not answer"] * 2
    market.mark(26_000, 1000)
    market.trade(26_100, 950)
    assert market.falls.deadline() == NOON + 25_000 + ASK_AGAIN_MS


def test_an_answer_to_what_was_dropped_meanwhile_says_nothing():
    market = alone()
    market.trade(22_200, 1000)
    assert market.answered(22_300, 950) == []


# -- what is heard --------------------------------------------------------------------------------------


def test_a_trade_that_comes_again_confirms_nothing():
    market = unmarked()
    market.trade(20_100, 950, number="bad")
    assert market.trade(20_100, 950, number="bad") == []
    market.trade(20_200, 1000)
    market.trade(20_300, 950, number="worse")
    assert market.trade(20_300, 950, number="bad") == []


def test_a_trade_that_is_older_than_the_last_says_nothing():
    market = unmarked()
    market.trade(20_200, 950)
    assert market.trade(20_100, 950) == []
    assert market.trade(20_150, 1000) == []
    assert market.trade(20_200, 950) != []


def test_a_gap_without_trades_is_no_fall_by_itself_and_hides_none():
    market = unmarked()
    market.trade(80_000, 950)
    assert market.trade(80_100, 950)[0].evidence.reference_price == D(1000)


def test_a_time_far_ahead_does_not_make_the_sentinel_deaf():
    market = unmarked()
    market.trade(9_000_000, 1000, heard=20_100)
    market.trade(26_000, 950)
    assert market.trade(26_100, 950) != []


@pytest.mark.parametrize("said", [10**18, -(10**18)])
def test_a_mark_price_or_an_answer_of_no_time_bears_out_all_the_same(said):
    market = calm()
    market.trade(20_100, 950)
    (found, *_) = market.mark(said, 950, heard=20_200)
    assert abs(found.evidence.proof.witness_at - T0) < timedelta(days=365 * 60)
    market = unmarked()
    market.trade(20_100, 950)
    market.passed(22_100)
    (found, *_) = market.falls.answered(BINANCE, Quote(D(949), said, None), NOON + 22_200)
    assert isinstance(found, Confirmed)


def test_a_market_that_began_anew_is_heard():
    market = unmarked()
    earlier = -3_600_000
    for ms in (0, 100, 200):
        market.trade(earlier + ms, 1000)
    market.trade(earlier + 300, 950)
    assert market.trade(earlier + 400, 950) != []


def test_what_is_remembered_is_bounded():
    market = Market()
    for ms in range(3 * NUMBERS_KEPT):
        market.trade(ms, 1000 + ms % 7)
    known = market.falls._venues[BINANCE]
    assert len(known.numbers) == len(known.in_order) == NUMBERS_KEPT
    assert len(known.references._high) <= 7


# -- the references -------------------------------------------------------------------------------------


def test_a_lone_print_upwards_is_no_high_to_fall_from():
    market = unmarked()
    market.trade(20_100, 1500)
    for ms in range(20_200, 30_000, 100):
        market.trade(ms, 1000)
    assert market.found == []


def test_two_prints_upwards_that_the_mark_price_denies_are_no_high_either():
    market = calm()
    market.trade(20_100, 1500)
    market.trade(20_200, 1500)
    for ms in range(20_300, 30_000, 100):
        market.trade(ms, 1000)
    assert market.found == []


def test_a_candle_opens_at_the_middle_one_of_three_trades():
    quarter = 900_000
    for prints in ((1000, 1500, 1000, 1000), (1500, 1000, 1000, 1000), (1000, 500, 1000, 1000)):
        market = Market()
        for number, price in enumerate(prints):
            market.trade(quarter - 100 + 100 * number, price)
        (opened, *_) = market.falls._venues[BINANCE].references.at(NOON + quarter + 300)
        assert (opened.measure, opened.point) == (FallMeasure.CANDLE_OPEN, (NOON + quarter, D(1000)))


def test_a_slow_fall_is_measured_from_the_open_of_the_candle():
    market = Market()
    for second in range(-1, 600):
        market.trade(second * 1_000, D(1000) - D(second) / 10)
    (swan,) = market.confirmed()
    assert (swan.evidence.measure, swan.evidence.reference_price) == (FallMeasure.CANDLE_OPEN, D(1000))
    assert swan.evidence.price == D(960)


def test_a_high_is_forgotten_after_five_minutes():
    market = Market()
    for ms in (0, 100):
        market.trade(ms, 1000)
    for second in range(1, 302):
        market.trade(second * 1_000, 970)
    market.trade(302_000, 955)
    market.trade(302_100, 955)
    assert market.confirmed() == []


def test_after_a_restart_bars_give_the_open_and_the_high():
    """The candle opened at 1000 at noon, and stood at 1020 in its fifth minute; we listen from the sixth on."""
    watch = FallWatch()
    for minute, (first, high, low, last) in enumerate(
        [(1000, 1000, 990, 995)] * 4 + [(995, 1020, 995, 1010)]
    ):
        opened = T0 + timedelta(minutes=minute)
        watch = watch.after(
            FallBar(opened, opened + timedelta(minutes=1), D(first), D(high), D(low), D(last)), SETTINGS
        )
    market = Market(watch)
    market.trade(310_000, D("979.5"))
    evidence = market.trade(310_100, D("979.5"))[0].evidence
    assert (evidence.measure, evidence.reference_price) == (FallMeasure.CANDLE_OPEN, D(1000))
    market.trade(310_200, 970)
    market.trade(310_300, 970)
    assert market.confirmed()[0].evidence.reference_price == D(1020)


def test_bars_are_of_no_more_use_once_ticks_have_been_heard_for_five_minutes():
    references = TickReferences(300_000)
    opened = T0 + timedelta(minutes=1)
    high = FallBar(opened, opened + timedelta(minutes=1), D(1000), D(1019), D(1000), D(1000))
    references.learn(FallWatch().after(high, SETTINGS))
    for second in range(61, 390):
        at = NOON + second * 1_000
        references.add(Point(at, D(1000)), None)
        highest = references.at(at)[-1].point.price
        assert highest == (D(1019) if second < 61 + 300 else D(1000)), second


# -- properties -----------------------------------------------------------------------------------------

prices = st.decimals(D("0.01"), D(5000), places=2)


@how(max_examples=100, deadline=None)
@for_all(
    st.lists(
        st.tuples(
            prices,
            st.integers(0, 900),
            st.integers(1, 4),
            st.sampled_from([0, 0, 0, 1, 250, 1999, 2001, 60_000]),
        ),
        min_size=100,
        max_size=100,
    ),
    st.booleans(),
)
def test_ten_thousand_single_bad_prints_exit_nobody(bad, is_marked):
    """A hundred in each of a hundred markets that wander by little; between two there are good trades or a gap."""
    market, ms = Market(), 0
    for price, wander, good, gap in bad:
        for _ in range(good):
            ms += 100
            market.trade(ms, D(1000) + D(wander) / 100)
        if is_marked:
            market.mark(ms, 1000)
        ms += gap
        market.trade(ms, price)
        ms += 1
        market.trade(ms, D(1000) + D(wander) / 100)
        market.passed(ms)
    assert not market.confirmed(Limit.BLACK_SWAN)
    assert not market.confirmed(Limit.AMBER)


@how(max_examples=50, deadline=None)
@for_all(
    st.lists(
        st.tuples(prices, prices, st.integers(0, 1_999), st.integers(1, 3)),
        min_size=20,
        max_size=20,
    )
)
def test_a_thousand_pairs_of_bad_prints_that_the_mark_price_denies_exit_nobody(pairs):
    market = calm()
    ms = 20_000
    for first, second, apart, good in pairs:
        for _ in range(good):
            ms += 200
            market.trade(ms, 1000)
        market.mark(ms, 1000)
        market.trade(ms + 1, first)
        market.trade(ms + 1 + apart, second)
        market.passed(ms + 1 + apart)
        ms += apart + 2
        market.trade(ms, 1000)
    assert not market.confirmed(Limit.BLACK_SWAN)
    assert not market.confirmed(Limit.AMBER)


@how(max_examples=200, deadline=None)
@for_all(
    st.integers(1, 600),
    st.decimals(D(500), D("959.5"), places=1),
    st.integers(1, 2_000),
    st.lists(st.integers(-50, 50), min_size=5, max_size=50),
    st.booleans(),
)
def test_a_real_fall_is_found_by_the_trade_that_follows(seconds, depth, apart, wander, is_marked):
    """Trades that stay beyond the limit: the second one finds it, wherever in the candle it happens."""
    market, start = Market(), seconds * 1_000
    for number, step in enumerate(wander):
        market.trade(start + number * 100, D(1000) + D(step) / 100)
    ms = start + len(wander) * 100
    if is_marked:
        market.mark(ms - 50, depth)
    market.trade(ms, depth)
    market.trade(ms + apart, depth)
    (swan,) = market.confirmed()
    assert swan.evidence.price == depth
    assert swan.evidence.reference_price <= D("1000.5")
