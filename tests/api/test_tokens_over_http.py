"""Tokens over HTTP, as the official clients use them."""

import io
from typing import Any

import pytest

from tests.api.client import Client, Reply

TOKENS = "/api/v1/waitpoints/tokens"


async def made(client: Client, **fields: Any) -> dict[str, Any]:
    reply = await client.post(TOKENS, fields)
    assert reply.status == 200, reply
    return dict(reply.body)


async def test_token_is_shown_as_the_contract_says(client: Client) -> None:
    token = await made(client, timeout="1h", tags=["a"])

    shown = (await client.get(f"{TOKENS}/{token['id']}")).body

    assert token == {"id": shown["id"], "isCached": False, "url": shown["url"]}
    assert token["url"].startswith("http://127.0.0.1:")
    assert set(shown) == {"id", "url", "status", "createdAt", "timeoutAt", "tags"}
    assert (shown["status"], shown["tags"]) == ("WAITING", ["a"])


async def test_token_can_be_made_without_a_body(client: Client) -> None:
    reply = await client.post(TOKENS)

    assert (reply.status, reply.body["isCached"]) == (200, False)


async def test_completion_is_shown_and_may_be_repeated(client: Client) -> None:
    token = await made(client)

    for data in ({"n": 1}, "later"):
        reply = await client.post(f"{TOKENS}/{token['id']}/complete", {"data": data})
        assert (reply.status, reply.body) == (200, {"success": True})

    shown = (await client.get(f"{TOKENS}/{token['id']}")).body
    assert (shown["status"], shown["output"], shown["outputType"]) == ("COMPLETED", '{"n":1}', "application/json")
    assert "completedAt" in shown


@pytest.mark.parametrize("body", [b'{"a":"\\u0000"}', b"\xff", b"[" * 5_000])
async def test_callback_takes_what_cannot_be_kept_for_nothing(client: Client, body: bytes) -> None:
    token = await made(client)

    reply = await client.post(token["url"].partition("://")[2].partition("/")[2].join(("/", "")), body)

    assert (reply.status, reply.body) == (200, {"success": True})
    assert (await client.get(f"{TOKENS}/{token['id']}")).body["output"] == "{}"


async def test_list_pages_and_filters(client: Client) -> None:
    ids = [(await made(client, tags=[tag]))["id"] for tag in ("a", "b", "a")]

    first = (await client.get(f"{TOKENS}?page[size]=2")).body
    rest = (await client.get(f"{TOKENS}?page[size]=2&page[after]={first['pagination']['next']}")).body
    tagged = (await client.get(f"{TOKENS}?filter[tags]=b")).body

    assert [token["id"] for token in (*first["data"], *rest["data"])] == ids[::-1]
    assert rest["pagination"] == {"previous": ids[0]}
    back = (await client.get(f"{TOKENS}?page[size]=1&page[before]={ids[0]}")).body
    assert ([token["id"] for token in back["data"]], back["pagination"]) == (
        [ids[1]],
        {"next": ids[1], "previous": ids[1]},
    )
    assert [token["id"] for token in tagged["data"]] == [ids[1]]


@pytest.mark.parametrize(
    ("asked", "body", "status", "told"),
    [
        ("POST ", {"timeout": "soon"}, 422, "timeout: 'soon' is neither"),
        ("POST ", {"timeout": 5}, 400, "timeout"),
        ("GET ?filter[status]=DONE", None, 400, "expected any of WAITING, COMPLETED, TIMED_OUT"),
        ("GET ?filter[colour]=red", None, 400, "is not supported by this server"),
        ("GET ?page[size]=0", None, 400, "expected 1 to 100"),
        ("GET ?page[size]=0000001000000", None, 400, "expected 1 to 100"),
        (f"GET ?page[size]={'1' * 5_000}", None, 400, "expected 1 to 100"),
        ("GET /nonsense", None, 404, "is not a waitpoint id"),
        ("GET /waitpoint_06f4x0m7c2d8k5t9p3q6r1s8v2", None, 404, "no token waitpoint_"),
        ("POST /waitpoint_06f4x0m7c2d8k5t9p3q6r1s8v2/complete", {}, 404, "no token waitpoint_"),
        ("POST /waitpoint_06f4x0m7c2d8k5t9p3q6r1s8v2/callback/abc", {}, 401, "belongs to no token"),
    ],
)
async def test_nonsense_says_what_is_accepted(client: Client, asked: str, body: Any, status: int, told: str) -> None:
    method, path = asked.split(" ", 1)
    reply = await client.send(method, f"{TOKENS}{path}", body)

    assert (reply.status, told in reply.body["error"]) == (status, True), reply


async def test_callback_address_of_other_letters_belongs_to_no_token(client: Client) -> None:
    token = (await client.post("/api/v1/waitpoints/tokens", {})).body["id"]

    reply = await client.post(f"/api/v1/waitpoints/tokens/{token}/callback/%C3%A4%C3%B6", {})

    assert (reply.status, "belongs to no token" in reply.body["error"]) == (401, True)


async def test_callback_counts_without_a_key(client: Client) -> None:
    token = await made(client)
    path = "/" + token["url"].split("/", 3)[3]

    async with Client(client.url, key=None) as stranger:
        refused = await stranger.get(f"{TOKENS}/{token['id']}")
        done = await stranger.post(path, {"n": 2})

    assert (refused.status, done.status) == (401, 200)
    assert (await client.get(f"{TOKENS}/{token['id']}")).body["output"] == '{"n":2}'


async def test_token_is_completed_with_up_to_three_megabytes(client: Client) -> None:
    token, large = [(await client.post("/api/v1/waitpoints/tokens")).body for _ in range(2)]

    async def complete(id_: str, length: int) -> Reply:
        body = io.BytesIO(b'{"data":"%s"}' % (b"x" * length))
        return await client.send("POST", f"/api/v1/waitpoints/tokens/{id_}/complete", data=body)

    done, refused = await complete(token["id"], 3_000_000), await complete(large["id"], 3_200_000)
    callback = io.BytesIO(b'"%s"' % (b"x" * 3_000_000))
    called = await client.send("POST", large["url"].removeprefix(client.url), data=callback)

    assert [reply.status for reply in (done, refused, called)] == [200, 413, 200]
    assert "3,145,728" in refused.body["error"]
