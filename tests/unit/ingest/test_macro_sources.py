"""Figures of the whole market: recorded answers are read, bad ones refused with a reason, changes recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.testing.spec import given
from nexus_ingest.adapters.coinmarketcap import CoinMarketCap, read_metrics
from nexus_ingest.adapters.fear_greed import FearGreed, read_index
from nexus_ingest.adapters.macro_poller import MacroPoller
from nexus_ingest.adapters.macro_source import MacroSource, MacroUnread
from nexus_ingest.domain.macro import MACRO
from nexus_ingest.venues.http import ATTEMPTS
from unit.ingest.scripted_server import Scripted, serving_script

MESSAGES = Path(__file__).parents[4] / "shared" / "data" / "messages"
needs_recordings = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="no recorded messages beside the checkout"
)
NOON = datetime(2025, 7, 26, 12, tzinfo=UTC)
METRICS: dict[str, Any] = {
    "status": {"error_code": 0, "error_message": None},
    "data": {
        "btc_dominance": 60.551289841446,
        "quote": {"USD": {"total_market_cap": 3.885178841234972e12, "total_volume_24h": 152203785138.5}},
        "last_updated": "2025-07-26T11:59:59.999Z",
    },
}
INDEX = {"data": [{"value": "40", "timestamp": "1753488000"}], "metadata": {"error": None}}


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def metrics(**changes: Any) -> bytes:
    return body({**METRICS, "data": {**METRICS["data"], **changes}})


def quote(**figures: Any) -> dict[str, Any]:
    return {"USD": {"total_market_cap": 1e12, "total_volume_24h": 1e10, **figures}}


class TestRecordedAnswers:
    @needs_recordings
    def test_every_file_of_both_sources_is_read(self) -> None:
        read = {"coinmarketcap": read_metrics, "alternative_me": read_index}
        files = [path for folder in read for path in sorted((MESSAGES / folder).iterdir())]
        assert [path.name for path in files] == [
            "global_metrics_quotes_latest_20250726.json",
            "fng.json",
        ]
        capital, mood = (read[path.parent.name](200, path.read_bytes()) for path in files)
        assert capital == MacroRead(
            known_at=datetime(2025, 7, 26, 13, 19, 59, 999_000, tzinfo=UTC),
            btc_dominance=Decimal("60.551289841446"),
            total_market_cap=Decimal("3885178841234.972"),
            total_volume=Decimal("152203785139.07"),
        )
        assert mood == MacroRead(known_at=datetime(2019, 2, 26, 5, tzinfo=UTC), fear_greed=40)

    def test_a_figure_that_is_null_is_unknown_not_zero(self) -> None:
        reading = read_metrics(200, metrics(btc_dominance=None, quote=quote(total_volume_24h=None)))
        assert (reading.btc_dominance, reading.total_volume) == (None, None)
        assert reading.total_market_cap == Decimal(10) ** 12


class TestBadAnswers:
    @pytest.mark.parametrize(
        ("status", "answer", "reason"),
        [
            (200, b"<html>", "not as documented"),
            (200, b"", "not as documented"),
            (200, b"\xff\xfe", "not as documented"),
            (200, metrics()[:-9], "not as documented"),
            (200, metrics(btc_dominance="much"), "Invalid decimal string"),
            (200, metrics(btc_dominance="NaN"), "btc_dominance is NaN, which cannot be"),
            (200, metrics(btc_dominance=0), "btc_dominance is 0, which cannot be"),
            (200, metrics(btc_dominance=100.1), "btc_dominance is 100.1, which cannot be"),
            (200, metrics(quote=quote(total_market_cap=-1)), "total_market_cap is -1, which cannot be"),
            (200, metrics(quote={"EUR": quote()["USD"]}), "no quote in USD, but in EUR"),
            (200, metrics(quote={}), "no quote in USD, but in nothing"),
            (200, metrics(last_updated=None), "last_updated"),
            (200, metrics(last_updated="2025-07-26T11:59:59"), "timezone"),
            (
                200,
                metrics(
                    btc_dominance=None, quote={"USD": {"total_market_cap": None, "total_volume_24h": None}}
                ),
                "no figure is known",
            ),
            (
                401,
                body({"status": {"error_code": 1001, "error_message": "This API Key is invalid."}}),
                "refused with 1001: This API Key is invalid.",
            ),
            (200, body({"status": {"error_code": 1008, "error_message": "minute limit"}}), "1008"),
        ],
    )
    def test_of_coinmarketcap_are_refused_with_a_reason(
        self, status: int, answer: bytes, reason: str
    ) -> None:
        with pytest.raises(MacroUnread, match="coinmarketcap") as refused:
            read_metrics(status, answer)
        assert reason in str(refused.value)

    @pytest.mark.parametrize(
        ("status", "answer", "reason"),
        [
            (404, body(INDEX), "refused with status 404"),
            (200, b"{", "not as documented"),
            (200, body({**INDEX, "data": []}), "no day is known"),
            (200, body({**INDEX, "metadata": {"error": "Invalid limit"}}), "refused: Invalid limit"),
            (200, body({"data": [{"value": 40, "timestamp": "1753488000"}]}), "not as documented"),
            *(
                (200, body({"data": [{"value": value, "timestamp": "1753488000"}]}), "value is no whole")
                for value in ("101", "-1", "4.5", "", "²", "1e1", "9" * 5_000)
            ),
            (200, body({"data": [{"value": "40", "timestamp": "9" * 13}]}), "timestamp is no whole"),
        ],
    )
    def test_of_the_index_are_refused_with_a_reason(self, status: int, answer: bytes, reason: str) -> None:
        with pytest.raises(MacroUnread, match="fear & greed") as refused:
            read_index(status, answer)
        assert reason in str(refused.value)

    @for_all(st.data())
    def test_mutated_ones_give_possible_figures_or_a_reason(self, data: st.DataObject) -> None:
        read, answer = data.draw(st.sampled_from([(read_metrics, body(METRICS)), (read_index, body(INDEX))]))
        mutated = bytearray(answer)
        for _ in range(data.draw(st.integers(1, 3))):
            mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
        try:
            reading = read(200, bytes(mutated))
        except MacroUnread:
            return
        assert reading.fear_greed is None or 0 <= reading.fear_greed <= 100
        assert reading.btc_dominance is None or 0 < reading.btc_dominance <= 100
        assert all(
            figure is None or (figure.is_finite() and figure > 0)
            for figure in (reading.total_market_cap, reading.total_volume)
        )


async def asked(source: MacroSource) -> MacroRead:
    try:
        return await source.read()
    finally:
        await source.close()


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with serving_script() as server:
        yield server


@asynccontextmanager
async def running(poller: MacroPoller) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run(seconds=0))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class TestOverHttp:
    async def test_the_key_goes_into_the_header_and_dollars_are_asked_for(self, scripted: Scripted) -> None:
        scripted.script = [(200, body(METRICS))]
        reading = await asked(CoinMarketCap(scripted.url, "the-key"))
        assert reading.known_at == datetime(2025, 7, 26, 11, 59, 59, 999_000, tzinfo=UTC)
        [request] = scripted.asked
        assert request.path_qs == "/v1/global-metrics/quotes/latest?convert=USD"
        assert request.headers["X-CMC_PRO_API_KEY"] == "the-key"

    async def test_a_limit_and_a_broken_gateway_are_tried_again(self, scripted: Scripted) -> None:
        scripted.script = [(429, b""), (502, b"bad gateway"), (200, body(INDEX))]
        assert (await asked(FearGreed(scripted.url, pause_seconds=0))).fear_greed == 40
        assert [request.path_qs for request in scripted.asked] == ["/fng/?limit=1"] * 3

    async def test_no_more_often_than_so_many_times(self, scripted: Scripted) -> None:
        scripted.script = [(500, b"")]
        with pytest.raises(MacroUnread, match=f"fear & greed: status 500, {ATTEMPTS} times"):
            await asked(FearGreed(scripted.url, pause_seconds=0))
        assert len(scripted.asked) == ATTEMPTS

    async def test_a_wrong_key_is_not_tried_again(self, scripted: Scripted) -> None:
        scripted.script = [(401, body({"status": {"error_code": 1001, "error_message": "invalid"}}))]
        with pytest.raises(MacroUnread, match="refused with 1001"):
            await asked(CoinMarketCap(scripted.url, "wrong", pause_seconds=0))
        assert len(scripted.asked) == 1

    async def test_who_cannot_be_reached_is_told_without_the_proxys_password(self) -> None:
        source = CoinMarketCap(
            "http://127.0.0.1:9", "key", proxy="http://user:secret@127.0.0.1:9", pause_seconds=0
        )
        with pytest.raises(MacroUnread, match="coinmarketcap: no answer") as unread:
            await asked(source)
        assert "secret" not in str(unread.value)


class TestPoller:
    """`run` asks at once, then again and again; the first time is enough here."""

    async def test_gives_each_reading_with_its_age_and_counts_who_gave_none(self, scripted: Scripted) -> None:
        scripted.script = [(200, body(INDEX))]
        told = asyncio.Queue[tuple[MacroRead, timedelta]]()
        poller = MacroPoller(
            [CoinMarketCap(scripted.url, "key"), FearGreed(scripted.url)],
            now=lambda: NOON,
            known=lambda reading, age: told.put_nowait((reading, age)),
        )
        async with running(poller):
            first, again = await told.get(), await told.get()
        assert (first[0].fear_greed, first[1]) == (40, timedelta(hours=12))
        assert again == first
        [(reason, count)] = poller.unread.items()
        assert reason.startswith("coinmarketcap: status 200, not as documented")
        assert count >= 1

    async def test_figures_from_the_future_are_refused(self, scripted: Scripted) -> None:
        scripted.script = [(200, body(METRICS))]
        told = list[MacroRead]()
        source = CoinMarketCap(scripted.url, "key")
        poller = MacroPoller(
            [source],
            now=lambda: NOON - timedelta(hours=1),
            known=lambda reading, age: told.append(reading),
        )
        await poller.ask()
        await source.close()
        assert told == []
        [reason] = poller.unread
        assert "ahead of now" in reason


class TestRecording:
    """Each source tells its own figures, at its own times."""

    CAPITAL = MacroRead(
        known_at=NOON, btc_dominance=Decimal("60.5"), total_market_cap=Decimal(4), total_volume=Decimal(1)
    )
    LATER = NOON + timedelta(minutes=10)

    def test_volume_alone_is_news(self) -> None:
        reading = self.CAPITAL.model_copy(update={"known_at": self.LATER, "total_volume": Decimal(2)})
        given(MACRO, self.CAPITAL).when(RecordMacro(self.LATER, reading)).then(reading)

    def test_the_same_figures_later_are_none(self) -> None:
        reading = self.CAPITAL.model_copy(update={"known_at": self.LATER})
        given(MACRO, self.CAPITAL).when(RecordMacro(self.LATER, reading)).then_nothing()

    def test_an_index_older_than_the_other_sources_figures_is_news(self) -> None:
        mood = MacroRead(known_at=NOON - timedelta(hours=12), fear_greed=40)
        given(MACRO, self.CAPITAL).when(RecordMacro(self.LATER, mood)).then(mood)

    def test_an_index_told_again_is_none_although_other_figures_came_between(self) -> None:
        mood = MacroRead(known_at=NOON - timedelta(hours=12), fear_greed=40)
        given(MACRO, mood, self.CAPITAL).when(RecordMacro(self.LATER, mood)).then_nothing()

    def test_a_figure_that_went_unknown_is_none(self) -> None:
        reading = self.CAPITAL.model_copy(update={"known_at": self.LATER, "btc_dominance": None})
        given(MACRO, self.CAPITAL).when(RecordMacro(self.LATER, reading)).then_nothing()
