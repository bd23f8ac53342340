"""Questions by HTTP: what is tried again, how long is waited, what an error says and does not say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.http import ATTEMPTS, HttpQuestions
from unit.ingest.scripted_server import Scripted, serving_script


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with serving_script() as scripted:
        yield scripted


@pytest.fixture
async def questions(server: Scripted) -> AsyncIterator[HttpQuestions]:
    asked = HttpQuestions("the venue", server.url, {"X-Key": "hidden"}, pause_seconds=0)
    yield asked
    await asked.close()


async def test_an_answer_is_given_with_its_status(server: Scripted, questions: HttpQuestions) -> None:
    server.script = [(404, b"nothing here")]
    assert await questions.get("/a", {"b": "1 2"}) == (404, b"nothing here")
    assert [request.path_qs for request in server.asked] == ["/a?b=1+2"]
    assert server.asked[0].headers["X-Key"] == "hidden"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_passes_is_tried_again(status: int, server: Scripted, questions: HttpQuestions) -> None:
    server.script = [(status, b"")] * (ATTEMPTS - 1) + [(200, b"there")]
    assert await questions.get("/") == (200, b"there")
    assert len(server.asked) == ATTEMPTS


async def test_what_does_not_pass_is_an_error(server: Scripted, questions: HttpQuestions) -> None:
    server.script = [(503, b"")]
    with pytest.raises(FeedDown, match=f"the venue: status 503, {ATTEMPTS} times"):
        await questions.get("/")
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize(("told", "least"), [("0.05", 0.05), ("soon", 0.0), ("-1", 0.0), ("nan", 0.0)])
async def test_a_venue_that_says_how_long_is_left_alone_so_long(
    told: str, least: float, server: Scripted, questions: HttpQuestions
) -> None:
    server.headers = {"Retry-After": told}
    server.script = [(429, b""), (200, b"")]
    began = asyncio.get_running_loop().time()
    await questions.get("/")
    assert asyncio.get_running_loop().time() - began >= least


async def test_who_cannot_be_reached_is_told_without_addresses_keys_and_passwords() -> None:
    questions = HttpQuestions(
        "the venue",
        "http://127.0.0.1:9",
        {"X-Key": "hidden"},
        proxy="http://user:hidden@127.0.0.1:9",
        pause_seconds=0,
    )
    with pytest.raises(FeedDown) as down:
        await questions.get("/")
    await questions.close()
    assert str(down.value).startswith("the venue: no answer (Client")
    assert "hidden" not in str(down.value)


async def test_no_more_than_four_are_asked_at_once() -> None:
    most, four, go = 0, asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        nonlocal most
        most += 1
        if most == 4:
            four.set()
        await go.wait()
        return web.Response()

    async def free(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/held", held)
    app.router.add_get("/free", free)
    async with TestServer(app) as server:
        questions, others = (HttpQuestions("the venue", str(server.make_url("")), {}) for _ in range(2))
        asking = [asyncio.create_task(questions.get("/held")) for _ in range(12)]
        await four.wait()
        for _ in range(8):  # Whatever was sent has arrived when later questions are answered.
            await others.get("/free")
        assert most == 4
        go.set()
        assert len(await asyncio.gather(*asking)) == most == 12
        await questions.close()
        await others.close()
