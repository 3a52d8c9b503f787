"""Every route with every credential: a cell for each, and no route without a row."""

import datetime
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from oncue.api.routes import TABLE
from oncue.engine import environments
from oncue.engine.signing_keys import SigningKey
from oncue.protocol import ids
from tests.api.client import DEV_KEY, NDJSON, Client, served
from tests.api.tokens import Forge, connected

OTHER_RUN = "run_00000000000000000000000001"
OTHER_BATCH = "batch_00000000000000000000000001"
ACTION = "bulk_00000000000000000000000001"
OTHER_TOKEN = "waitpoint_00000000000000000000000001"
RETIRED = SigningKey("retired", b"r" * 32, signs=False)
GONE = SigningKey("gone", b"g" * 32, signs=False)
FORGED = SigningKey("forged", b"f" * 32, signs=False)


class Scopes(NamedTuple):
    """What tokens say for a route; names in braces are the world's."""

    exact: str
    collection: str
    wrong_id: str
    wrong_action: str


class Row(NamedTuple):
    """What a route answers."""

    ok: int
    """To who may."""
    elsewhere: int
    """To the other environment's key, which may ask there."""
    scopes: Scopes | None = None
    """None: no token may."""
    body: Any = None
    query: str = ""
    once: bool = False
    """A one-time token is used up."""


def of_run(action: str) -> Scopes:
    wrong = "write" if action == "read" else "read"
    return Scopes(f"{action}:runs:{{run}}", f"{action}:runs", f"{action}:runs:{OTHER_RUN}", f"{wrong}:runs:{{run}}")


READ_RUN, WRITE_RUN = of_run("read"), of_run("write")
READ_QUEUES = Scopes("read:queues", "read:all", "read:queues:mail", "write:queues")
WRITE_QUEUES = Scopes("write:queues", "write:all", "write:queues:mail", "read:queues")
WRITE_BATCH = Scopes("write:batch:{batch}", "write:batch", f"write:batch:{OTHER_BATCH}", "read:batch:{batch}")
ITEM = {"index": 0, "task": "add", "payload": 1}
WORKER = {"workerId": "{worker}"}
CALLING = {"runId": "{run}", "epoch": 1, "workerId": "{worker}"}
STEP = {"parentRunId": "{run}", "parentEpoch": 1, "parentWorkerId": "{worker}", "callKey": "step:a#1"}
TASKS = [{"id": "add"}]

ROWS = {
    "POST /api/v1/tasks/{task}/trigger": Row(
        200, 200, Scopes("trigger:tasks:add", "trigger:tasks", "trigger:tasks:other", "read:tasks:add"), {}, once=True
    ),
    "POST /api/v3/batches": Row(
        202, 202,
        Scopes("batchTrigger:tasks:add", "batchTrigger:batch", "batchTrigger:tasks:other", "trigger:tasks:add"),
        {"runCount": 1, "taskIdentifiers": ["add"]}, once=True,
    ),
    "POST /api/v3/batches/{batch}/items": Row(200, 422, WRITE_BATCH, ITEM),
    "POST /api/v3/batches/{batch}/seal": Row(200, 422, WRITE_BATCH, {"runCount": 1}),
    "POST /api/v3/batches/{batch}/abort": Row(200, 422, WRITE_BATCH, {"reason": "no"}),
    "GET /api/v2/batches/{batch}": Row(
        200, 404, Scopes("read:batch:{batch}", "read:runs", f"read:batch:{OTHER_BATCH}", "write:batch:{batch}")
    ),
    "PUT /api/v2/packets/{name}": Row(200, 200),
    # The path itself says what is meant; whoever may read runs of some kind has it from one of them.
    "GET /api/v1/packets/{path}": Row(
        200, 200, Scopes("read:runs:{run}", "read:tags", "read:queues:{run}", "write:runs:{run}")
    ),
    "GET /api/v1/runs/{run}/packets/{kind}": Row(404, 404, READ_RUN),
    "GET /api/v3/runs/{run}": Row(200, 404, READ_RUN),
    "GET /api/v1/runs": Row(
        200, 200, Scopes("read:tasks:add", "read:runs", "read:tasks:other", "write:runs"),
        query="?filter[taskIdentifier]=add",
    ),
    "POST /api/v2/runs/{run}/cancel": Row(200, 404, WRITE_RUN),
    "POST /api/v1/runs/{run}/reschedule": Row(400, 404, body={"delay": "1h"}),
    "POST /api/v1/runs/{run}/replay": Row(200, 404, WRITE_RUN, once=True),
    "GET /api/v1/runs/{run}/result": Row(404, 404),
    "GET /api/v1/batches/{batch}/results": Row(200, 404),
    "GET /api/v1/runs/{run}/metadata": Row(200, 404),
    "PUT /api/v1/runs/{run}/metadata": Row(200, 404, body={"metadata": {}}),
    "GET /api/v1/runs/{run}/trace": Row(200, 404, READ_RUN),
    "GET /api/v1/runs/{run}/spans/{span}": Row(404, 404, READ_RUN),
    "GET /api/v1/runs/{run}/events": Row(200, 404, READ_RUN),
    "POST /api/v1/runs/{run}/tags": Row(200, 404, body={"tags": "a"}),
    "POST /api/v2/tasks/batch": Row(202, 202, body={"items": [{"task": "add"}]}),
    "POST /api/v1/tasks/batch": Row(202, 202, body={"items": [{"task": "add"}]}),
    "POST /api/v1/tasks/{task}/batch": Row(202, 202, body={"items": [{"payload": 1}]}),
    "POST /api/v1/bulk-actions": Row(200, 200, body={"action": "cancel", "runIds": ["{run}"]}),
    "GET /api/v1/bulk-actions": Row(200, 200),
    "GET /api/v1/bulk-actions/{action}": Row(200, 404),
    "POST /api/v1/bulk-actions/{action}/abort": Row(200, 404),
    "POST /api/v1/waitpoints/tokens": Row(200, 200),
    "GET /api/v1/waitpoints/tokens": Row(200, 200),
    "GET /api/v1/waitpoints/tokens/{token}": Row(200, 404),
    "POST /api/v1/waitpoints/tokens/{token}/complete": Row(
        200, 404,
        Scopes("write:waitpoints:{token}", "write:waitpoints", f"write:waitpoints:{OTHER_TOKEN}",
               "read:waitpoints:{token}"),
    ),
    "POST /api/v1/waitpoints/tokens/{token}/callback/{hash}": Row(401, 401),
    "POST /api/v1/idempotencyKeys/{key}/reset": Row(
        404, 404, Scopes("write:runs", "write:all", "write:runs:{run}", "read:runs"), {"taskIdentifier": "add"}
    ),
    "GET /api/v1/queues": Row(200, 200, READ_QUEUES),
    "GET /api/v1/queues/{queue}": Row(200, 404, READ_QUEUES, query="?type=custom"),
    "POST /api/v1/queues/{queue}/pause": Row(200, 404, WRITE_QUEUES, {"type": "custom", "action": "pause"}),
    "POST /api/v1/queues/{queue}/concurrency/override": Row(
        200, 404, WRITE_QUEUES, {"type": "custom", "concurrencyLimit": 1}
    ),
    "POST /api/v1/queues/{queue}/concurrency/reset": Row(200, 404, WRITE_QUEUES, {"type": "custom"}),
    "POST /api/v1/auth/public-tokens": Row(200, 200, body={"scopes": ["read:runs"]}),
    "POST /api/v1/auth/jwt/claims": Row(200, 200),
    "GET /realtime/v1/runs/{run}": Row(200, 404, READ_RUN),
    "GET /realtime/v1/runs": Row(
        200, 200, Scopes("read:tags:a", "read:runs", "read:tags:c", "read:tasks:add"), query="?tags=a,b"
    ),
    "GET /realtime/v1/batches/{batch}": Row(
        200, 404, Scopes("read:batch:{batch}", "read:runs", f"read:batch:{OTHER_BATCH}", "write:batch:{batch}")
    ),
    # Who may is refused for what it sends: a stream would be followed to the end of its run.
    "GET /realtime/v1/streams/{run}/{key}": Row(400, 400, READ_RUN),
    "POST /realtime/v1/streams/{run}/input/{key}": Row(
        200, 404,
        Scopes("write:inputStreams:{run}", "write:inputStreams", f"write:inputStreams:{OTHER_RUN}", "write:runs:{run}"),
        {"data": 1},
    ),
    "GET /realtime/v1/streams/{run}/input/{key}": Row(400, 400, READ_RUN),
    "PUT /realtime/v1/streams/{run}/{target}/{key}": Row(202, 404),
    "POST /realtime/v1/streams/{run}/{target}/{key}": Row(200, 404, body=1),
    "HEAD /realtime/v1/streams/{run}/{target}/{key}": Row(200, 404),
    "POST /realtime/v1/streams/{run}/{target}/{key}/append": Row(200, 404, body=1),
    "POST /api/v1/work/announce": Row(
        200, 200, body={**WORKER, "tasks": TASKS, "places": 1, "hostname": "h", "pid": 1, "sdkVersion": "0"}
    ),
    "POST /api/v1/work/claim": Row(200, 409, body={**WORKER, "places": 1, "waitMs": 0}),
    "POST /api/v1/work/logs": Row(200, 200, body={"lines": []}),
    "POST /api/v1/work/steps": Row(409, 409, body={"step": STEP, "output": 1}),
    "POST /api/v1/work/steps/recall": Row(409, 409, body=STEP),
    "POST /api/v1/work/waits": Row(409, 409, body={**STEP, "id": OTHER_TOKEN, "delayMs": 1}),
    "POST /api/v1/work/outcomes": Row(200, 200, body={**WORKER, "outcomes": []}),
    "POST /api/v1/work/heartbeat": Row(200, 200, body=WORKER),
    "POST /api/v1/work/leave": Row(200, 200, body=WORKER),
    "GET /api/v1/work/batches/{batch}/results": Row(200, 200),
    "GET /api/v1/whoami": Row(200, 200),
    "GET /api/v1/timezones": Row(200, 200),
    "GET /api/v1/schedules": Row(501, 501),
    "POST /api/v1/schedules": Row(501, 501),
    "GET /api/v1/schedules/{schedule}": Row(501, 501),
    "PUT /api/v1/schedules/{schedule}": Row(501, 501),
    "DELETE /api/v1/schedules/{schedule}": Row(501, 501),
    "POST /api/v1/schedules/{schedule}/activate": Row(501, 501),
    "POST /api/v1/schedules/{schedule}/deactivate": Row(501, 501),
    "GET /health": Row(200, 200),
    "GET /ready": Row(200, 200),
    "GET /openapi.json": Row(200, 200),
}  # fmt: skip
KEYLESS = {f"{route.method} {route.path}" for route in TABLE if not route.authenticated}


class World(NamedTuple):
    """A server with something of everything in its dev environment."""

    url: str
    names: dict[str, str]
    revoked: str
    foreign: str
    forge: Forge
    foreign_forge: Forge

    def fill(self, template: Any) -> Any:
        """Put the world's names in place of those in braces."""
        match template:
            case str():
                return template.format(**self.names)
            case dict():
                return {key: self.fill(value) for key, value in template.items()}
            case list():
                return [self.fill(value) for value in template]
        return template


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    month = datetime.timedelta(days=31)
    async with connected(database_url) as connection:
        for key, retired in ((RETIRED, datetime.timedelta(days=1)), (GONE, month)):
            await connection.execute(
                "insert into oncue.signing_keys (kid, secret, retired_at) values ($1, $2, oncue.now() - $3::interval)",
                key.kid,
                key.secret,
                retired,
            )
        async with served(database_url) as url, Client(url) as client:
            async with connection.transaction():
                revoked = await environments.create_key(connection, "dev", name="revoked")
                await environments.revoke_key(connection, revoked.id)
                foreign = await environments.create_key(connection, "prod", name="foreign")
            await connection.execute(
                "insert into oncue.bulk_actions (env_id, id, type, status, total, finished_at)"
                " select id, $1, 'CANCEL', 'ABORTED', 1, oncue.now() from oncue.environments where slug = 'dev'",
                ids.parse(ids.BULK, ACTION),
            )
            yield World(
                url,
                await furnished(client),
                revoked.secret,
                foreign.secret,
                await Forge.open(connection, DEV_KEY),
                await Forge.open(connection, foreign.secret),
            )


async def furnished(client: Client) -> dict[str, str]:
    worker = await client.announce("add")
    run = await client.trigger("add", queue={"name": "mail"})
    batch = (await client.post("/api/v3/batches", {"runCount": 1})).body["id"]
    await client.post(f"/api/v3/batches/{batch}/items", json.dumps(ITEM).encode(), headers=NDJSON)
    token = (await client.post("/api/v1/waitpoints/tokens")).body["id"]
    return {
        "task": "add", "run": run, "batch": batch, "token": token, "worker": worker, "queue": "mail", "name": "a.json",
        "path": "2030-01-01%2Fa.json", "kind": "payload", "hash": "0", "key": "k",
        "target": "self", "action": ACTION,
        "schedule": "sched_1", "span": "0",
    }  # fmt: skip


async def credentials(world: World, row: Row) -> dict[str, str | None]:
    """Return what is sent as a bearer, by what it is called."""
    scopes = row.scopes or Scopes("admin", "*:all", "read:all", "write:all")
    exact, collection, wrong_id, wrong_action = (world.fill(scope) for scope in scopes)
    sign, once = world.forge.sign, await world.forge.sign(exact, one_time=True)
    return {
        "nothing": None,
        "secret key": DEV_KEY,
        "revoked key": world.revoked,
        "other environment's key": world.foreign,
        "exact scope": await sign(exact),
        "collection scope": await sign(collection),
        "admin scope": await sign("admin"),
        "wrong id": await sign(wrong_id),
        "wrong action": await sign(wrong_action),
        "no scope": await sign(),
        "expired": await sign(exact, lasts=-1),
        "forged": await sign(exact, key=FORGED),
        "signed by a retired key": await sign(exact, key=RETIRED),
        "signed by a key that is gone": await sign(exact, key=GONE),
        "other environment's token": await world.foreign_forge.sign(exact),
        "one-time token": once,
        "one-time token again": once,
    }


def expected(name: str, row: Row) -> dict[str, int]:
    may, elsewhere = (403, 403) if row.scopes is None else (row.ok, row.elsewhere)
    if name in KEYLESS:
        return dict.fromkeys(expected("", row), row.ok)
    return {
        "nothing": 401,
        "secret key": row.ok,
        "revoked key": 401,
        "other environment's key": row.elsewhere,
        "exact scope": may,
        "collection scope": may,
        "admin scope": may,
        "wrong id": 403,
        "wrong action": 403,
        "no scope": 403,
        "expired": 401,
        "forged": 401,
        "signed by a retired key": may,
        "signed by a key that is gone": 401,
        "other environment's token": elsewhere,
        "one-time token": may,
        "one-time token again": 422 if row.once else may,
    }


def test_every_route_has_a_row_here() -> None:
    assert set(ROWS) == {f"{route.method} {route.path}" for route in TABLE}


def test_routes_that_take_tokens_are_those_that_say_so() -> None:
    assert {name for name, row in ROWS.items() if row.scopes is not None} == {
        f"{route.method} {route.path}" for route in TABLE if route.needs is not None
    }


@pytest.mark.parametrize("name", ROWS)
async def test_route_answers_each_credential_as_its_row_says(world: World, name: str) -> None:
    row, (method, path) = ROWS[name], name.split()
    body = world.fill(row.body)
    sent = {"headers": {"Last-Event-ID": "no number"}, "body": body}
    if path.endswith("/items"):
        sent = {"headers": NDJSON, "data": json.dumps(body).encode()}

    answered = {}
    for credential, bearer in (await credentials(world, row)).items():
        async with Client(world.url, bearer) as client:
            reply = await client.send(method, world.fill(path) + row.query, **sent)
            answered[credential] = reply.status

    assert answered == expected(name, row)
