"""The recorded market's known faults are found in it, and nothing else is called broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_data.checking import Checked, check_directory
from nexus_data.findings import Finding, Verdict, day_and_time

SHARED = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared market data is not here")


@pytest.fixture(scope="module")
def checked() -> Checked:
    return check_directory(SHARED)


# File, check, how many, where the first one begins.
KNOWN = [
    ("ohlcv/binance_spot/BTCUSDT-1m.parquet", "gaps", 1, "2021-04-25 04:01"),
    ("ohlcv/binance_spot/BTCUSDT-5m.parquet", "gaps", 1, "2023-03-24 12:40"),
    ("ohlcv/binance_spot/BTCUSDT-5m.parquet", "no volume", 1, "2023-03-24 11:30"),
    ("ohlcv/binance_spot/ETHUSDT-1h.parquet", "gaps", 27, "2017-09-06 17:00"),
    ("ohlcv/binance_spot/ETHUSDT-5m.2025-08_2025-09.parquet", "gaps", 1, "2025-09-20 05:30"),
    ("ohlcv/binance_spot/BNBUSDT-5m.2025-08_2025-09.parquet", "empty cells", 17, "2025-09-21 00:10"),
    ("ohlcv/binance_spot/XRPUSDT-5m.2025-08_2025-09.parquet", "empty cells", 9, "2025-09-21 00:50"),
    # 02:00 to 02:30 and, on the next day, 01:30 to 02:30.
    ("ohlcv/binance_spot/BTCUSDT-15m.parquet", "folds", 8, "2021-04-22 02:00"),
    ("ohlcv/binance_um/BTCUSDT-5m.parquet", "no volume", 1, "2025-08-29 06:20"),
    ("ohlcv/binance_um/BTCUSDT-15m.parquet", "no volume", 1, "2024-10-28 20:00"),
    ("ohlcv/binance_um/BTCUSDT-15m.parquet", "folds", 1, "2025-08-29 06:30"),
    ("ohlcv/binance_um/BTCUSDT-30m.parquet", "gaps", 6, "2021-03-02 01:30"),
    ("ohlcv/us/SPY-1h.parquet", "folds", 26, "2013-10-04 13:00"),
    ("ohlcv/us/AAPL-1m.2014-06.parquet", "splits", 1, "2014-06-06 23:59"),
    ("ohlcv/us/AAPL-1d.parquet", "splits", 4, "2000-09-28 04:00"),
    ("ohlcv/us/QQQ-1d.parquet", "gaps", 1, "2004-11-30 05:00"),
    ("ohlcv/us/QQQ-1d.parquet", "sessions", 1314, "2006-01-03 14:30"),
    ("sentiment/fear_greed_daily.csv", "gaps", 2, "2018-04-13 00:00"),
    ("sentiment/btc_dominance_daily.csv", "gaps", 21, "2013-06-03 00:00"),
    ("sentiment/total_market_cap_daily.csv", "gaps", 14, "2013-06-03 00:00"),
]


@pytest.mark.parametrize(("name", "check", "count", "first"), KNOWN)
def test_a_known_fault_is_found(checked: Checked, name: str, check: str, count: int, first: str) -> None:
    (finding,) = _of(checked, name, check)
    assert (finding.count, day_and_time(finding.places[0][0])) == (count, first)


def _of(checked: Checked, name: str, check: str) -> list[Finding]:
    (report,) = (each for each in checked.reports if each.file.name == name)
    return [finding for finding in report.findings if finding.check == check]


def test_only_a_share_above_the_whole_is_broken(checked: Checked) -> None:
    """Eleven days of 2013 say that more than all of the market was bitcoin."""
    broken = [report for report in checked.reports if report.verdict is Verdict.BROKEN]
    assert [(report.file.name, report.findings[0].check) for report in broken] == [
        ("sentiment/btc_dominance_daily.csv", "figures")
    ]


def test_a_crash_that_all_markets_saw_is_no_outlier(checked: Checked) -> None:
    outliers = [
        (report.file.name, day_and_time(finding.places[0][0]))
        for report in checked.reports
        for finding in report.findings
        if finding.check in ("outliers", "jumps")
    ]
    assert outliers == [("ohlcv/binance_spot/XRPUSDT-5m.parquet", "2023-09-13 07:35")]


def test_recorded_ticks_quotes_and_funding_are_fine(checked: Checked) -> None:
    sides = [
        report
        for report in checked.reports
        if report.file.name.split("/")[0] in ("ticks", "quotebars", "funding")
    ]
    assert len(sides) == 18
    assert {report.verdict for report in sides} == {Verdict.OK}
