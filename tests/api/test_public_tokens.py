"""Public access tokens over HTTP: how they are asked for, handed out, and what they reach."""

import json
import time
from typing import Any

import jwt
import pytest

from oncue.engine import environments
from oncue.store.pool import Pool, in_transaction
from tests.api.client import DEV_KEY, NDJSON, Client
from tests.api.tokens import MINT, bearing, minted, said

DAY = 86_400
MISSING_RUN = "run_00000000000000000000000001"
BATCHES = "/api/v3/batches"
NO_EXPIRATIONS: list[Any] = ["soon", "", "-5m", "5m ago", "0s", "31d", "5", 0, -1, 1_000, 1e300, -1e300, [], True]
DECLARED: list[dict[str, Any]] = [
    {"taskIdentifiers": ["a", "b"]},
    {"taskIdentifiers": ["a", "c"]},
    {"taskIdentifiers": []},
    {},
]


async def filled(client: Client, *items: dict[str, Any], **options: Any) -> str:
    """Make a batch, and return its id."""
    batch = str((await client.post(BATCHES, {"runCount": len(items), **options})).body["id"])
    lines = b"\n".join(json.dumps({"index": at, **item}).encode() for at, item in enumerate(items))
    assert (await client.post(f"{BATCHES}/{batch}/items", lines, headers=NDJSON)).body["sealed"]
    return batch


async def test_token_is_made_as_the_contract_says(client: Client) -> None:
    token = await minted(client, "read:runs:run_1", "trigger:tasks:a:b", realtime={"skipColumns": ["payload"]})

    claims = said(token)

    assert claims.pop("exp") - claims.pop("iat") == 900
    assert claims.pop("key") > 0
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "https://id.trigger.dev",
        "aud": "https://api.trigger.dev",
        "sub": "1",
        "pub": True,
        "scopes": ["read:runs:run_1", "trigger:tasks:a:b"],
        "realtime": {"skipColumns": ["payload"]},
    }


@pytest.mark.parametrize("column", ["payloads", "tags", "status", "createdAt", ""])
async def test_column_that_could_not_be_hidden_is_refused(shared_client: Client, column: str) -> None:
    body = {"scopes": ["read:runs"], "realtime": {"skipColumns": ["payload", column]}}

    reply = await shared_client.post(MINT, body)

    assert reply.status == 400
    assert reply.body["error"].startswith(f"realtime.skipColumns[1]: found {column!r}; expected any of startedAt, ")


async def test_misspelt_field_of_what_is_hidden_is_refused(shared_client: Client) -> None:
    body = {"scopes": ["read:runs"], "realtime": {"skip_columns": ["payload"]}}

    reply = await shared_client.post(MINT, body)

    assert (reply.status, "skip_columns" in reply.body["error"]) == (400, True)


async def test_claims_of_every_token_can_be_asked_for(client: Client, prod_client: Client) -> None:
    assert (await client.post("/api/v1/auth/jwt/claims")).body == {"sub": "1", "pub": True}
    assert (await prod_client.post("/api/v1/auth/jwt/claims")).body == {"sub": "2", "pub": True}


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("1h", 3_600),
        ("15m", 900),
        ("88s", 88),
        ("30d", 30 * DAY),
        ("2 hours", 7_200),
        ("1.5h", 5_400),
        ("+1w", 7 * DAY),
    ],
)
async def test_span_of_a_token_counts_from_now(shared_client: Client, asked: str, seconds: int) -> None:
    claims = said(await minted(shared_client, "read:runs", expirationTime=asked))

    assert claims["exp"] - claims["iat"] == seconds


async def test_moment_of_a_token_is_a_second_since_1970(client: Client) -> None:
    moment = int(time.time()) + 1_000

    assert said(await minted(client, "read:runs", expirationTime=moment))["exp"] == moment
    assert said(await minted(client, "read:runs", expirationTime=moment + 0.9))["exp"] == moment


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "scopes is missing"),
        ({"scopes": []}, "scopes is empty; expected one or more"),
        ({"scopes": "admin"}, "scopes: expected array, got str"),
        ({"scopes": ["read:runs", "read:runs:"]}, "scopes[1]: found 'read:runs:', which would allow nothing"),
        *(
            ({"scopes": [none]}, f"found {none!r}, which would allow nothing; expected admin, action:type or")
            for none in ("READ:runs", "delete:runs", "read", "*", " read:runs")
        ),
        ({"scopes": ["read:tags:a\0"]}, "holds a NUL character"),
        ({"scopes": [""]}, "scopes[0]: found ''"),
        ({"scopes": ["read:runs"] * 600}, "at most 6,144 fit into the header of a request"),
        *(({"scopes": ["read:runs"], "expirationTime": asked}, "expirationTime: ") for asked in NO_EXPIRATIONS),
        ({"scopes": ["read:runs"], "oneTimeUse": "yes"}, "oneTimeUse: expected bool, got str"),
        ({"scopes": ["read:runs"], "realtime": {"skipColumns": "payload"}}, "realtime.skipColumns: expected array"),
    ],
)
async def test_token_that_makes_no_sense_is_refused(shared_client: Client, body: Any, words: str) -> None:
    reply = await shared_client.post(MINT, body)

    assert (reply.status, words in reply.body["error"]) == (400, True), reply


async def test_moment_too_far_away_is_refused(client: Client) -> None:
    body = {"scopes": ["read:runs"], "expirationTime": int(time.time()) + 31 * DAY}

    assert (await client.post(MINT, body)).status == 400


async def test_trigger_hands_out_a_token_for_its_run(client: Client) -> None:
    reply = await client.post("/api/v1/tasks/add/trigger", {})
    run, token = reply.body["id"], reply.headers["x-trigger-jwt"]

    claims = said(token)

    assert json.loads(reply.headers["x-trigger-jwt-claims"]) == {"sub": "1", "pub": True}
    assert claims["scopes"] == [f"read:runs:{run}", f"write:inputStreams:{run}"]
    assert claims["exp"] - claims["iat"] == 3_600
    async with Client(client.url, token) as browser:
        assert (await browser.get(f"/api/v3/runs/{run}")).body["id"] == run
        assert (await browser.get(f"/api/v3/runs/{await client.trigger('add')}")).status == 403
        assert (await browser.post("/api/v1/tasks/add/trigger", {})).status == 403


@pytest.mark.parametrize(("client_is", "may_fill"), [("browser", True), ("node", False)])
async def test_batch_hands_out_a_token_for_itself(client: Client, client_is: str, may_fill: bool) -> None:
    reply = await client.post(BATCHES, {"runCount": 1}, headers={"x-trigger-client": client_is})
    batch = reply.body["id"]

    claims = said(reply.headers["x-trigger-jwt"])

    assert claims["scopes"] == [f"read:batch:{batch}", *([f"write:batch:{batch}"] if may_fill else [])]
    assert claims["exp"] - claims["iat"] == 3_600


async def test_browser_that_may_batch_some_tasks_cannot_fill_by_the_batch(client: Client) -> None:
    body = {"runCount": 1, "taskIdentifiers": ["a"]}
    async with bearing(client, "batchTrigger:tasks:a") as browser:
        reply = await browser.post(BATCHES, body, headers={"x-trigger-client": "browser"})

    assert said(reply.headers["x-trigger-jwt"])["scopes"] == [f"read:batch:{reply.body['id']}"]


async def test_wait_token_hands_out_a_token_to_complete_it(client: Client) -> None:
    reply = await client.post("/api/v1/waitpoints/tokens", {})
    token = reply.body["id"]

    claims = said(reply.headers["x-trigger-jwt"])

    assert claims["scopes"] == [f"write:waitpoints:{token}"]
    assert claims["exp"] - claims["iat"] == DAY
    async with Client(client.url, reply.headers["x-trigger-jwt"]) as browser:
        assert (await browser.post(f"/api/v1/waitpoints/tokens/{token}/complete", {"data": 1})).status == 200


async def test_token_made_with_a_token_dies_with_the_same_key(client: Client, db: Pool) -> None:
    made = await in_transaction(db, lambda tx: environments.create_key(tx, "dev", name="mine"))
    async with (
        Client(client.url, made.secret) as backend,
        bearing(backend, "trigger:tasks:add", realtime={"skipColumns": ["payload"]}) as browser,
    ):
        reply = await browser.post("/api/v1/tasks/add/trigger", {})

    claims = said(reply.headers["x-trigger-jwt"])

    assert claims["key"] == made.id
    assert claims["realtime"] == {"skipColumns": ["payload"]}


@pytest.mark.parametrize("scope", ["read:tasks:add", "read:tags:user:7", "read:batch:{batch}", "read:tasks"])
@pytest.mark.parametrize("path", ["/api/v3/runs/{run}", "/api/v1/runs/{run}/events", "/api/v1/runs/{run}/trace"])
async def test_run_is_read_by_what_it_is_known_by(client: Client, scope: str, path: str) -> None:
    batch = await filled(client, {"task": "add", "options": {"tags": ["a", "user:7"]}})
    (run,) = (await client.get(f"/api/v2/batches/{batch}")).body["runs"]
    other = await client.trigger("other")

    async with bearing(client, scope.format(batch=batch)) as browser:
        assert (await browser.get(path.format(run=run))).status == 200
        assert (await browser.get(path.format(run=other))).status == (200 if scope == "read:tasks" else 403)


async def test_ancestors_of_a_run_show_no_words_of_their_owner(client: Client) -> None:
    worker = await client.announce("top", "parent", "child")
    said = {"tags": ["user:7"], "metadata": {"secret": 1}, "idempotencyKey": "k", "concurrencyKey": "c"}
    run = ""
    inside: dict[str, Any] = {}
    for task in ("top", "parent", "child"):
        run = await client.trigger(task, **said, **inside)
        (held,) = (await client.claim(worker))["assignments"]
        inside = {"parentRunId": run, "parentEpoch": held["epoch"], "parentWorkerId": worker}
    hidden = ("tags", "metadata", "idempotencyKey", "concurrencyKey")

    found = {}
    for scope in ("read:runs", f"read:runs:{run}"):
        async with bearing(client, scope) as browser:
            shown = (await browser.get(f"/api/v3/runs/{run}")).body
            found[scope] = [
                [family.get(name) for name in hidden]
                for family in (shown["relatedRuns"][of] for of in ("root", "parent"))
            ]
            assert shown["tags"] == ["user:7"]
            assert shown["relatedRuns"]["parent"]["taskIdentifier"] == "parent"

    assert found["read:runs"] == [[["user:7"], {"secret": 1}, "k", "c"]] * 2
    assert found[f"read:runs:{run}"] == [[[], None, None, None]] * 2


async def test_batch_token_reads_runs_that_its_items_stand_for(client: Client) -> None:
    key = {"idempotencyKey": "k"}
    run = await client.trigger("add", **key)
    batch = await filled(client, {"task": "add", "options": key})
    shown = (await client.get(f"/api/v2/batches/{batch}")).body["runs"]

    async with bearing(client, f"read:batch:{batch}") as browser:
        assert shown == [run]
        assert (await browser.get(f"/api/v3/runs/{run}")).status == 200


@pytest.mark.parametrize(
    "scope", ["read:tasks:add", "read:tags:a", "read:batch:batch_1", "write:runs:run_1", "read:tags"]
)
async def test_missing_and_foreign_runs_are_refused_with_the_same_words(
    client: Client, prod_client: Client, scope: str
) -> None:
    hidden = await client.trigger("other")
    elsewhere = await prod_client.trigger("add", tags=["a"])

    async with bearing(client, scope) as browser:
        for path in (
            "/api/v3/runs/{}",
            "/api/v1/runs/{}/events",
            "/api/v1/runs/{}/trace",
            "/api/v1/runs/{}/packets/output",
        ):
            replies = [await browser.get(path.format(run)) for run in (hidden, elsewhere, MISSING_RUN, "nonsense")]
            assert {(reply.status, reply.body["error"]) for reply in replies} == {(403, replies[0].body["error"])}
            assert len({tuple(sorted(reply.headers.keys())) for reply in replies}) == 1


async def test_who_may_read_every_run_is_told_of_missing_ones(client: Client, prod_client: Client) -> None:
    elsewhere = await prod_client.trigger("add")

    for scope in ("read:runs", "read:tasks", f"read:runs:{elsewhere}", "admin"):
        async with bearing(client, scope) as browser:
            assert (await browser.get(f"/api/v3/runs/{elsewhere}")).status == 404


async def test_list_needs_every_task_that_is_asked_for(client: Client) -> None:
    run = await client.trigger("a")
    await client.trigger("c")

    async with bearing(client, "read:tasks:a", "read:tasks:b") as browser:
        both = await browser.get("/api/v1/runs?filter[taskIdentifier]=a,b")
        refused = [
            await browser.get(f"/api/v1/runs{query}") for query in ("", "?filter[taskIdentifier]=a,c", "?filter[tag]=a")
        ]

    assert [found["id"] for found in both.body["data"]] == [run]
    assert [reply.status for reply in refused] == [403, 403, 403]


async def test_revoked_key_takes_its_tokens_along(client: Client, db: Pool) -> None:
    made = await in_transaction(db, lambda tx: environments.create_key(tx, "dev", name="mine"))
    async with Client(client.url, made.secret) as backend:
        token = await minted(backend, "read:runs")
    await in_transaction(db, lambda tx: environments.revoke_key(tx, made.id))

    async with Client(client.url, token) as browser:
        reply = await browser.get("/api/v1/runs")

    assert (reply.status, reply.body["code"]) == (401, "unauthorized")
    assert "the API key that asked for it was revoked" in reply.body["error"]


async def test_token_signed_by_a_client_itself_is_refused(client: Client) -> None:
    claims = {"iss": "https://id.trigger.dev", "aud": "https://api.trigger.dev", "sub": "1", "pub": True, "exp": 9e9}
    async with Client(client.url, jwt.encode(claims, DEV_KEY, algorithm="HS256")) as browser:
        reply = await browser.get("/api/v1/runs")

    assert (reply.status, reply.body["code"]) == (401, "unauthorized")


async def test_refused_token_is_told_which_scope_it_lacks(client: Client) -> None:
    async with bearing(client, "read:runs") as browser:
        lacking = await browser.post("/api/v1/tasks/add/trigger", {})
        secret = await browser.post(MINT, {"scopes": ["admin"]})

    assert (lacking.status, lacking.body | {"error": ""}) == (
        403,
        {"error": "", "code": "unauthorized", "param": "access_token", "type": "authorization"},
    )
    assert lacking.body["error"].endswith("it needs the scope trigger:tasks:<task>")
    assert (secret.status, "this needs a secret key" in secret.body["error"]) == (403, True)


async def test_batch_needs_every_task_it_is_declared_with(client: Client) -> None:
    async with bearing(client, "batchTrigger:tasks:a", "batchTrigger:tasks:b") as browser:
        said_ = [(await browser.post(BATCHES, {"runCount": 1, **tasks})).status for tasks in DECLARED]

    assert said_ == [202, 403, 403, 403]


async def test_items_need_their_own_task_or_the_batch(client: Client) -> None:
    batch = (await client.post(BATCHES, {"runCount": 2})).body["id"]
    lines = [json.dumps({"index": at, "task": task}).encode() + b"\n" for at, task in enumerate("ab")]

    async def send(scope: str, body: bytes, to: str = batch) -> tuple[int, Any]:
        async with bearing(client, scope) as browser:
            reply = await browser.post(f"{BATCHES}/{to}/items", body, headers=NDJSON)
            return reply.status, reply.body.get("sealed")

    assert await send("batchTrigger:tasks:a", lines[1]) == (403, None)
    assert await send("batchTrigger:tasks:a", b"") == (403, None)
    assert await send("batchTrigger:tasks:a", b"", "batch_00000000000000000000000001") == (403, None)
    assert await send("trigger:tasks:a", lines[0]) == (403, None)
    assert await send("batchTrigger:tasks:a", lines[0]) == (200, False)
    assert await send("batchTrigger:tasks:a", b"".join(lines)) == (403, None)
    assert await send(f"write:batch:{batch}", b"".join(lines)) == (200, True)
    assert await send("batchTrigger:tasks:a", b"") == (403, None)
    assert await send("batchTrigger:tasks", b"") == (200, True)
