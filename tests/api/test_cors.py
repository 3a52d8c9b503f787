"""What pages in browsers may call, and what their answers say."""

from typing import Any

import aiohttp
import pytest

from oncue.api.routes import TABLE
from tests.api.client import Client, served
from tests.api.tokens import bearing

PAGE, OTHER = "https://app.example.com", "https://evil.example.com"
TRIGGER = "/api/v1/tasks/add/trigger"
RUN = "/api/v3/runs/run_00000000000000000000000001"
ASKING = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-trigger-client",
}


def cors(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-") or name == "vary"}


async def ask(url: str, path: str, headers: dict[str, str] = ASKING) -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession(url) as session, session.options(path, headers=headers) as answer:
        return answer.status, cors({name.lower(): value for name, value in answer.headers.items()})


async def test_browser_that_asks_beforehand_is_answered_without_a_key(server_url_http: str) -> None:
    status, said = await ask(server_url_http, TRIGGER)

    assert status == 200
    assert said.pop("access-control-expose-headers").startswith("x-trigger-jwt, x-trigger-jwt-claims, ")
    assert said == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization,content-type,x-trigger-client",
        "access-control-max-age": "300",
    }


@pytest.mark.parametrize("route", TABLE, ids=lambda route: f"{route.method} {route.path}")
async def test_pages_may_call_routes_that_take_tokens(shared_client: Client, route: Any) -> None:
    path = route.path.replace("{", "").replace("}", "")
    shared = {other.method for other in TABLE if other.path == route.path and other.needs is not None}

    status, said = await ask(shared_client.url, path)

    assert (status, said.get("access-control-allow-methods", "")) == (200 if shared else 405, ", ".join(sorted(shared)))
    async with Client(shared_client.url, key=None) as stranger:
        reply = await stranger.send(route.method, path, headers={"Origin": PAGE})
        assert ("access-control-allow-origin" in reply.headers) is (route.needs is not None)


async def test_every_answer_says_which_pages_may_read_it(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add") as browser:
        replies = [
            await browser.post(TRIGGER, {}),
            await browser.post(TRIGGER, b"{"),
            await browser.get(RUN),
            await client.get(RUN),
            await client.send("DELETE", RUN),
        ]

    assert [reply.status for reply in replies] == [200, 400, 403, 404, 405]
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {"*"}
    assert all("x-trigger-jwt, " in reply.headers["access-control-expose-headers"] for reply in replies)


async def test_only_pages_that_are_named_may_read_answers(database_url: str) -> None:
    async with served(database_url, cors_origins=(PAGE,)) as url, Client(url) as client:
        mine, others, none = [
            cors((await client.get("/api/v1/runs", headers=headers)).headers)
            for headers in ({"Origin": PAGE}, {"Origin": OTHER}, {})
        ]
        asked, refused = await ask(url, TRIGGER), await ask(url, TRIGGER, {**ASKING, "Origin": OTHER})

    assert (mine["access-control-allow-origin"], mine["vary"]) == (PAGE, "origin")
    assert others == none == {"vary": "origin"}
    assert asked[1]["access-control-allow-origin"] == PAGE
    assert refused == (200, {"vary": "origin"})


async def test_no_page_may_read_where_none_is_named(database_url: str) -> None:
    async with served(database_url, cors_origins=()) as url, Client(url) as client:
        reply = await client.get("/api/v1/runs", headers={"Origin": PAGE})

        assert cors(reply.headers) == {"vary": "origin"}
        assert await ask(url, TRIGGER) == (200, {"vary": "origin"})


async def test_pages_may_fetch_what_an_address_was_signed_for(server_url_http: str, client: Client) -> None:
    told = (await client.send("PUT", "/api/v2/packets/a.json")).body
    async with aiohttp.ClientSession() as session:
        async with session.put(told["presignedUrl"], data=b"{}") as stored:
            assert (stored.status, cors(dict(stored.headers))) == (200, {})
        signed = (await client.get(f"/api/v1/packets/{told['storagePath'].replace('/', '%2F')}")).body["presignedUrl"]
        async with session.get(signed) as fetched, session.get(signed + "0") as refused:
            found = [(answer.status, answer.headers["access-control-allow-origin"]) for answer in (fetched, refused)]

    assert found == [(200, "*"), (403, "*")]
    path = signed.removeprefix(server_url_http)
    assert (await ask(server_url_http, path))[1]["access-control-allow-methods"] == "GET"
