from datetime import timedelta
from decimal import Decimal as D

from hypothesis import given as for_all
from hypothesis import strategies as st

from nexus_shield.domain.correlation import Closes, correlation


def series(make, prices):
    return Closes({make.NOON + timedelta(minutes=15 * i): float(p) for i, p in enumerate(prices)})


def zigzag(count, up=10, base=1000):
    return [base + (up if i % 2 else 0) for i in range(count)]


def test_what_moves_together_has_correlation_one(make):
    assert correlation(series(make, zigzag(51)), series(make, zigzag(51))) == D("1.000000")


def test_what_moves_against_each_other_has_minus_one(make):
    ours = series(make, [100 if i % 2 else 200 for i in range(51)])
    theirs = series(make, [200 if i % 2 else 100 for i in range(51)])
    assert correlation(ours, theirs) < D("-0.9")


def test_fifty_returns_need_fifty_one_common_bars(make):
    assert correlation(series(make, zigzag(50)), series(make, zigzag(50))) is None
    ours = series(make, zigzag(60))
    theirs = Closes({at: price for i, (at, price) in enumerate(ours.by_time.items()) if i % 5})
    assert correlation(ours, theirs) is None


def test_bars_that_only_one_has_are_left_out(make):
    ours = series(make, zigzag(80))
    theirs = Closes({at: price for i, (at, price) in enumerate(ours.by_time.items()) if i % 5})
    assert correlation(ours, theirs) == correlation(theirs, Closes(dict(theirs.by_time))) == D("1.000000")


def test_only_the_last_fifty_returns_count(make):
    tail = zigzag(51)
    ours = series(make, [7, 9000, 3, *tail])
    theirs = series(make, [900, 1, 77, *tail])
    assert correlation(ours, theirs) == D("1.000000")


def test_what_does_not_move_has_no_correlation(make):
    assert correlation(series(make, [100] * 51), series(make, zigzag(51))) == 0


@for_all(
    a=st.lists(st.integers(1, 10_000), min_size=51, max_size=51),
    b=st.lists(st.integers(1, 10_000), min_size=51, max_size=51),
)
def test_a_correlation_is_symmetric_and_within_one(a, b):
    from datetime import UTC, datetime

    start = datetime(2024, 3, 1, tzinfo=UTC)
    ours = Closes({start + timedelta(minutes=15 * i): float(p) for i, p in enumerate(a)})
    theirs = Closes({start + timedelta(minutes=15 * i): float(p) for i, p in enumerate(b)})
    value = correlation(ours, theirs)
    assert value == correlation(theirs, ours)
    assert abs(value) <= 1
