"""What callers are told of rate limits, and what is never limited."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from oncue.api.routes import TABLE
from oncue.engine.rate_limits import RateLimit
from tests.api.client import NDJSON, Client, Reply, served
from tests.api.tokens import bearing

PROD_KEY = "tr_prod_sk_000000000000000000000000"
TRIGGER = "/api/v1/tasks/add/trigger"
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
HOUR = 3_600


def limit(capacity: int) -> RateLimit:
    """Return a limit of which nothing comes back while a test runs."""
    return RateLimit(capacity, 1, HOUR)


@contextlib.asynccontextmanager
async def limited(
    database_url: str,
    *,
    requests: RateLimit | None = None,
    of_tokens: RateLimit | None = None,
    items: RateLimit | None = None,
    key: str = PROD_KEY,
) -> AsyncIterator[Client]:
    """Serve with limits, and yield a client."""
    settings: dict[str, Any] = {
        "rate_limit_requests": requests,
        "rate_limit_public_requests": of_tokens,
        "rate_limit_batch_items": items,
    }
    async with served(database_url, bootstrap_key=key, **settings) as url, Client(url, key) as client:
        yield client


async def trigger(client: Client) -> Reply:
    return await client.post(TRIGGER, {"payload": 1})


def told(reply: Reply) -> tuple[str | None, str | None]:
    """Return what an answer says of its limit: how much there is at once, and how much is left."""
    return reply.headers.get("x-ratelimit-limit"), reply.headers.get("x-ratelimit-remaining")


def lines(*indexes: int) -> bytes:
    return b"\n".join(msgspec.json.encode({"index": index, "task": "add", "payload": index}) for index in indexes)


async def fill(client: Client, batch: str, *indexes: int) -> Reply:
    return await client.send("POST", f"/api/v3/batches/{batch}/items", lines(*indexes), headers=NDJSON)


async def create(client: Client, count: int, **more: Any) -> Reply:
    return await client.post("/api/v3/batches", {"runCount": count, **more})


async def test_every_answer_tells_where_the_limit_stands(database_url: str) -> None:
    async with limited(database_url, requests=RateLimit(10, 1, 10)) as client:
        begun_ms = time.time() * 1000
        replies = [
            await trigger(client),
            await client.post(TRIGGER, b"nonsense"),
            await client.post("/api/v1/tasks/%ff/trigger", {}),
            await client.get("/api/v1/runs/run_1/result"),
            await client.get("/api/v1/runs"),
        ]

    assert [reply.status for reply in replies] == [200, 400, 400, 404, 200]
    assert [told(reply) for reply in replies] == [("10", str(left)) for left in (9, 8, 7, 6, 5)]
    for number, reply in enumerate(replies, 1):
        full_ms = int(reply.headers["x-ratelimit-reset"])
        assert begun_ms + 9_000 * number < full_ms < begun_ms + 10_000 * number + 5_000


async def test_refusal_is_a_problem_that_says_when_to_return(database_url: str) -> None:
    async with limited(database_url, requests=RateLimit(2, 1, 100)) as client:
        await trigger(client)
        await trigger(client)
        before_ms = time.time() * 1000
        refused = await trigger(client)

    reset_ms = int(refused.headers["x-ratelimit-reset"])
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert "x-should-retry" not in refused.headers
    assert told(refused) == ("2", "0")
    assert 90_000 < reset_ms - before_ms <= 101_000
    seconds = int(refused.headers["retry-after"])
    assert abs(seconds - (reset_ms - before_ms) / 1000) < 2
    message = refused.body["error"]
    assert refused.body == {
        "title": "Too Many Requests", "status": 429, "type": "about:blank", "detail": message, "reset": reset_ms,
        "limit": 2, "remaining": 0, "secondsUntilReset": seconds, "error": message, "code": "rate_limited",
    }  # fmt: skip
    assert "2 at once and 1 more every 100 s" in message
    assert "ONCUE_RATE_LIMIT_REQUESTS" in message


async def test_development_environments_are_never_limited(database_url: str) -> None:
    key = PROD_KEY.replace("prod", "dev")
    async with limited(database_url, requests=limit(1), items=limit(1), key=key) as client:
        replies = [await trigger(client) for _ in range(5)]
        batch = await create(client, 3)

    assert [reply.status for reply in replies] == [200] * 5
    assert batch.status == 202
    assert not set(HEADERS) & set(batch.headers)


async def test_no_limit_leaves_no_trace(database_url: str) -> None:
    async with limited(database_url) as client:
        reply = await trigger(client)

    assert reply.status == 200
    assert not set(HEADERS) & set(reply.headers)


async def test_workers_go_on_when_the_limit_is_reached(database_url: str) -> None:
    async with limited(database_url, requests=limit(3)) as client:
        runs = [await client.trigger("add") for _ in range(3)]
        refused = await trigger(client)
        worker = await client.announce("add")
        claimed: list[Any] = []
        while len(claimed) < len(runs):
            claimed += (await client.claim(worker, wait_ms=10_000))["assignments"]
        reply = await client.send("PUT", f"/api/v1/runs/{runs[0]}/metadata", {"metadata": {"a": 1}})
        for assignment in claimed:
            await client.succeed(worker, assignment)
        health = await client.get("/health")

    assert refused.status == 429
    assert {assignment["runId"] for assignment in claimed} == set(runs)
    assert (reply.status, health.status) == (200, 200)
    assert not set(HEADERS) & (set(reply.headers) | set(health.headers))


def test_nothing_that_workers_send_takes_tokens() -> None:
    free = {(route.method, route.path) for route in TABLE if not route.is_rate_limited}
    work = {(route.method, route.path) for route in TABLE if route.path.startswith(("/api/v1/work/", "/realtime/v1/"))}
    # What a page sends to a run is stored.
    work.remove(("POST", "/realtime/v1/streams/{run}/input/{key}"))

    assert free - work == {
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/openapi.json"),
        ("GET", "/api/v1/timezones"),
        ("PUT", "/api/v1/runs/{run}/metadata"),
        ("PUT", "/api/v2/packets/{name}"),
        ("GET", "/api/v1/packets/{path}"),
        ("GET", "/api/v1/runs/{run}/packets/{kind}"),
        ("POST", "/api/v3/batches/{batch}/items"),
        ("POST", "/api/v3/batches/{batch}/seal"),
        ("POST", "/api/v3/batches/{batch}/abort"),
        ("POST", "/api/v1/waitpoints/tokens/{token}/callback/{hash}"),
        ("POST", "/api/v1/auth/jwt/claims"),
    }
    assert work <= free


async def test_strangers_take_no_tokens_of_an_environment(database_url: str) -> None:
    async with limited(database_url, requests=limit(1)) as client, Client(client.url, key=None) as stranger:
        replies = [await trigger(stranger) for _ in range(3)]
        mine = await trigger(client)

    assert [reply.status for reply in replies] == [401] * 3
    assert not set(HEADERS) & set(replies[0].headers)
    assert mine.status == 200


async def test_public_tokens_take_of_their_own_limits(database_url: str) -> None:
    async with (
        limited(database_url, requests=limit(4), of_tokens=limit(2)) as client,
        bearing(client, "trigger:tasks:add") as page,
        bearing(client, "trigger:tasks:add") as other_page,
    ):
        replies = [await trigger(page) for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert [told(reply) for reply in replies] == [("2", "1"), ("2", "0"), ("2", "0")]
        assert "the limit of this public access token" in replies[-1].body["error"]
        assert (await trigger(other_page)).status == 200
        # Two tokens were asked for with the key.
        assert told(await trigger(client)) == ("4", "1")


@pytest.mark.parametrize("capacity", [7, 200])
async def test_servers_let_through_no_more_than_one_limit(database_url: str, capacity: int) -> None:
    async with (
        limited(database_url, requests=limit(capacity)) as one,
        limited(database_url, requests=limit(capacity)) as other,
    ):
        replies = await asyncio.gather(
            *(client.get("/api/v1/runs?page[size]=1") for client in (one, other) for _ in range(capacity))
        )

    statuses = [reply.status for reply in replies]
    assert statuses.count(200) == capacity
    assert statuses.count(429) == capacity


async def test_batch_takes_tokens_for_all_its_items(database_url: str) -> None:
    async with limited(database_url, requests=limit(100), items=limit(10)) as client:
        first, refused, second = [await create(client, count) for count in (7, 4, 3)]
        filled = await fill(client, first.body["id"], *range(7))

    assert [reply.status for reply in (first, refused, second)] == [202, 429, 202]
    assert (told(first), told(refused), told(second)) == (("100", "99"), ("10", "3"), ("100", "97"))
    assert "too many batch items: 4 more" in refused.body["error"]
    assert "ONCUE_RATE_LIMIT_BATCH_ITEMS" in refused.body["error"]
    assert (filled.body["sealed"], set(HEADERS) & set(filled.headers)) == (True, set())


async def test_batch_that_is_not_made_costs_nothing(database_url: str) -> None:
    async with limited(database_url, items=limit(10)) as client:
        made = await create(client, 2, idempotencyKey="k")
        same = [await create(client, 2, idempotencyKey="k") for _ in range(9)]
        header = {"x-trigger-request-idempotency-key": "r"}
        twice = [await client.post("/api/v3/batches", {"runCount": 2}, headers=header) for _ in range(4)]
        wrong = [await create(client, 3, idempotencyKey="k") for _ in range(5)]
        impossible = [await create(client, count) for count in (0, -5, 1_001)]
        rest = await create(client, 6)
        more = await create(client, 1)

    assert {reply.body["id"] for reply in same} == {made.body["id"]}
    assert len({reply.body["id"] for reply in twice}) == 1
    assert {reply.status for reply in wrong} == {422}
    assert {reply.status for reply in impossible} == {400}
    assert (rest.status, more.status) == (202, 429)


async def test_batch_that_exists_can_be_ended_beyond_limits(database_url: str) -> None:
    async with limited(database_url, requests=limit(2), items=limit(10)) as client:
        kept, dropped = [(await create(client, 2)).body["id"] for _ in range(2)]
        refused = await client.get(f"/api/v2/batches/{kept}")
        filled = await fill(client, kept, 0, 1)
        aborted = await client.post(f"/api/v3/batches/{dropped}/abort", {"reason": "enough"})

    assert refused.status == 429
    assert (filled.status, filled.body["sealed"], aborted.status) == (200, True, 200)


async def test_open_batch_pays_for_items_as_they_come(database_url: str) -> None:
    async with limited(database_url, items=limit(10)) as client:
        batch = (await create(client, 0, open=True)).body["id"]
        first = await fill(client, batch, *range(6))
        again = [await fill(client, batch, *range(4)) for _ in range(5)]
        refused = await fill(client, batch, *range(6, 11))
        rest = await fill(client, batch, *range(5, 9))
        sealed = await client.post(f"/api/v3/batches/{batch}/seal", {"runCount": 9})

    assert (first.status, first.body["itemsAccepted"]) == (200, 6)
    assert {(reply.status, reply.body["itemsDeduplicated"]) for reply in again} == {(200, 4)}
    assert (refused.status, told(refused)) == (429, ("10", "4"))
    assert refused.headers["content-type"] == "application/problem+json"
    assert (rest.status, rest.body["itemsAccepted"], rest.body["itemsDeduplicated"]) == (200, 3, 1)
    assert (sealed.status, sealed.body["sealed"]) == (200, True)


async def test_items_of_a_refused_group_give_their_tokens_back(database_url: str) -> None:
    async with limited(database_url, items=limit(10)) as client:
        batch = (await create(client, 0, open=True)).body["id"]
        wrong = [await fill(client, batch, 0, 1, -1) for _ in range(5)]
        right = await fill(client, batch, *range(10))

    assert {reply.status for reply in wrong} == {422}
    assert (right.status, right.body["itemsAccepted"]) == (200, 10)


async def test_document_tells_of_limits_where_they_hold(client: Client) -> None:
    paths = (await client.get("/openapi.json")).body["paths"]

    limited = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "429" in operation["responses"]
    }
    items = ("POST", "/api/v3/batches/{batch}/items")
    assert limited == {(route.method, route.path) for route in TABLE if route.is_rate_limited} | {items}
    answer = paths[TRIGGER.replace("add", "{task}")]["post"]["responses"]["429"]
    assert set(answer["headers"]) == {"retry-after", *HEADERS}
    assert answer["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/RateLimitBody"}}}
