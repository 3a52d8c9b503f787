"""Tokens that count once, and what a token's bearer cannot reach by the words of a request."""

import asyncio
import json
from typing import Any

import pytest

from oncue.protocol import ids
from tests.api.client import NDJSON, Client, Reply
from tests.api.tokens import bearing, minted, said

TRIGGER = "/api/v1/tasks/add/trigger"
BATCHES = "/api/v3/batches"
BATCH = {"runCount": 1, "taskIdentifiers": ["add"]}
OPEN = {"runCount": 0, "open": True, "taskIdentifiers": ["add"]}


def keyed(key: str) -> dict[str, str]:
    return {"x-trigger-request-idempotency-key": key}


async def fill(client: Client, batch: str, task: str = "add") -> Reply:
    line = json.dumps({"index": 0, "task": task}).encode()
    return await client.post(f"{BATCHES}/{batch}/items", line, headers=NDJSON)


async def test_one_time_token_triggers_a_single_run(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        first, second = [await browser.post(TRIGGER, {}, headers=keyed(key)) for key in "ab"]

    assert first.status == 200
    assert (second.status, second.body["code"]) == (422, "unprocessable")
    assert second.body["error"] == "Cannot trigger add with a one-time use token as it has already been used."
    assert [run["id"] for run in (await client.get("/api/v1/runs")).body["data"]] == [first.body["id"]]


async def test_request_delivered_again_is_no_second_use(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        replies = [await browser.post(TRIGGER, {}, headers=keyed("a")) for _ in range(3)]

    assert {(reply.status, reply.body["id"]) for reply in replies} == {(200, replies[0].body["id"])}


async def test_repeated_request_led_to_another_run_is_no_second_use(client: Client) -> None:
    body = {"options": {"idempotencyKey": "k"}}
    run = await client.trigger("add", **body["options"])
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        replies = [await browser.post(TRIGGER, body, headers=keyed("a")) for _ in range(2)]

    assert [(reply.status, reply.body["id"], reply.body["isCached"]) for reply in replies] == [(200, run, True)] * 2


async def test_requests_without_a_key_are_two_uses(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        assert [(await browser.post(TRIGGER, {})).status for _ in range(2)] == [200, 422]


async def test_of_many_uses_at_once_one_counts(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        replies = await asyncio.gather(*(browser.post(TRIGGER, {}, headers=keyed(str(n))) for n in range(20)))

    assert sorted(reply.status for reply in replies) == [200, *[422] * 19]
    assert len((await client.get("/api/v1/runs")).body["data"]) == 1


async def test_refused_request_leaves_the_token_unused(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        refused = await browser.post(TRIGGER, {"options": {"maxAttempts": 0}})

        assert (refused.status, (await browser.post(TRIGGER, {})).status) == (400, 200)


async def test_tokens_that_say_the_same_count_once_each(client: Client) -> None:
    tokens = [await minted(client, "trigger:tasks:add", oneTimeUse=True) for _ in range(2)]

    said_ = []
    for token in tokens:
        async with Client(client.url, token) as browser:
            said_.append((await browser.post(TRIGGER, {})).status)

    assert said_ == [200, 200]


async def test_token_made_for_many_uses_counts_often(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add") as browser:
        assert [(await browser.post(TRIGGER, {})).status for _ in range(3)] == [200] * 3


async def test_one_time_token_makes_and_fills_a_single_batch(client: Client) -> None:
    other = (await client.post(BATCHES, BATCH)).body["id"]
    async with bearing(client, "batchTrigger:tasks:add", oneTimeUse=True) as browser:
        before = await fill(browser, other)
        made = [await browser.post(BATCHES, BATCH, headers=keyed("a")) for _ in range(2)]
        second = await browser.post(BATCHES, BATCH, headers=keyed("b"))
        elsewhere, own = await fill(browser, other), await fill(browser, made[0].body["id"])

    assert [reply.status for reply in made] == [202, 202]
    assert made[0].body["id"] == made[1].body["id"]
    assert second.body["error"] == "Cannot batch trigger with a one-time use token as it has already been used."
    assert (before.status, elsewhere.status, own.status, own.body["sealed"]) == (403, 403, 200, True)


async def test_one_time_token_replays_a_single_run(client: Client) -> None:
    run = await client.trigger("add")
    async with bearing(client, f"write:runs:{run}", oneTimeUse=True) as browser:
        replies = [await browser.post(f"/api/v1/runs/{run}/replay", {}, headers=keyed(key)) for key in ("a", "a", "b")]

    assert [reply.status for reply in replies] == [200, 200, 422]


async def test_token_for_a_run_or_a_batch_makes_one_of_them(client: Client) -> None:
    for makes_batch_first in (True, False):
        async with bearing(client, "trigger:tasks:add", "batchTrigger:tasks:add", oneTimeUse=True) as browser:
            asked = [(BATCHES, BATCH), (TRIGGER, {})] if makes_batch_first else [(TRIGGER, {}), (BATCHES, BATCH)]
            replies = [await browser.post(path, body, headers=keyed("a")) for path, body in asked]

        assert [reply.status for reply in replies] == [202 if makes_batch_first else 200, 422]


async def test_run_id_of_somebody_else_leads_nowhere(client: Client) -> None:
    run = await client.trigger("secret")
    async with bearing(client, "trigger:tasks:add") as browser:
        reply = await browser.post(TRIGGER, {"options": {"runId": run}})

    assert (reply.status, reply.body["id"] != run) == (200, True)
    assert run not in said(reply.headers["x-trigger-jwt"])["scopes"][0]


async def test_request_key_of_somebody_else_leads_nowhere(client: Client) -> None:
    own = ids.new_run_id()
    run = (await client.post("/api/v1/tasks/secret/trigger", {}, headers=keyed("a"))).body["id"]
    await client.trigger("secret", runId=own, idempotencyKey="k")
    async with bearing(client, "trigger:tasks:add") as browser:
        made = [(await browser.post(TRIGGER, {}, headers=keyed(key))).body["id"] for key in ("a", f"run/{own}")]

    assert not {run, own} & set(made)


async def test_batch_of_somebody_else_is_not_handed_out(client: Client) -> None:
    mine = ids.new_batch_id()
    body = {"runCount": 1, "taskIdentifiers": ["secret"], "idempotencyKey": "k"}
    await client.post(BATCHES, {**body, "id": mine})
    async with bearing(client, "batchTrigger:tasks:add") as browser:
        replies = [await browser.post(BATCHES, {**BATCH, **more}) for more in ({"id": mine}, {"idempotencyKey": "k"})]

    assert [reply.status for reply in replies] == [202, 202]
    assert mine not in {reply.body["id"] for reply in replies}
    assert replies[1].body["idempotencyKey"] == "k"


async def test_idempotency_key_of_a_batch_counts_for_tokens_too(client: Client) -> None:
    body = {**BATCH, "idempotencyKey": "k"}
    async with bearing(client, "batchTrigger:tasks:add") as one, bearing(client, "batchTrigger:tasks:add") as two:
        made = [(await browser.post(BATCHES, body)).body["id"] for browser in (one, two)]

    assert made[0] == made[1]


async def test_delivery_with_other_words_leads_to_no_other_batch(client: Client) -> None:
    keyed_batch = {**BATCH, "idempotencyKey": "victim"}
    async with (
        bearing(client, "batchTrigger:tasks:add") as other,
        bearing(client, "batchTrigger:tasks:add", oneTimeUse=True) as browser,
    ):
        foreign = (await other.post(BATCHES, keyed_batch)).body["id"]
        own = (await browser.post(BATCHES, BATCH, headers=keyed("a"))).body["id"]
        again = await browser.post(BATCHES, keyed_batch, headers=keyed("a"))

        assert (again.status, again.body["id"]) == (202, own)
        assert (await fill(browser, foreign)).status == 403
        assert (await fill(browser, own)).body["sealed"]
        full = await browser.post(BATCHES, {**BATCH, "runCount": 7}, headers=keyed("a"))
        assert full.body | {"id": own, "runCount": 1, "isCached": True} == full.body


async def test_delivery_with_other_words_leads_to_no_other_run(client: Client) -> None:
    foreign = await client.trigger("add", idempotencyKey="victim")
    async with bearing(client, "trigger:tasks:add", oneTimeUse=True) as browser:
        own = (await browser.post(TRIGGER, {}, headers=keyed("a"))).body["id"]
        again = await browser.post(TRIGGER, {"options": {"idempotencyKey": "victim"}}, headers=keyed("a"))

    assert (again.status, again.body["id"]) == (200, own)
    assert foreign not in again.headers["x-trigger-jwt-claims"] + str(said(again.headers["x-trigger-jwt"]))


async def test_bearer_cannot_change_a_limit_by_replaying(client: Client) -> None:
    run = await client.trigger("add", queue={"name": "mail"})
    async with bearing(client, f"write:runs:{run}") as browser:
        replies = [
            await browser.post(f"/api/v1/runs/{run}/replay", body)
            for body in (
                {"queue": {"name": "mail", "concurrencyLimit": 1}},
                {"queue": {"name": {"name": "mail", "concurrencyLimit": 1}}},
                {"payload": "2030-01-01/a.json", "payloadType": "application/store"},
                {"queue": {"name": "mail"}},
            )
        ]

    assert [reply.status for reply in replies] == [403, 403, 403, 200]
    assert "cannot change the limit of a queue" in replies[0].body["error"]


async def test_bearer_cannot_create_a_batch_without_end(client: Client) -> None:
    async with bearing(client, "batchTrigger:tasks:add") as browser:
        reply = await browser.post(BATCHES, OPEN)

    assert reply.status == 403
    assert "cannot create an open batch; say how many items it has" in reply.body["error"]


async def test_who_may_write_an_open_batch_may_end_it(client: Client) -> None:
    written, given_up = [(await client.post(BATCHES, OPEN)).body["id"] for _ in range(2)]
    async with (
        bearing(client, f"write:batch:{written}") as browser,
        bearing(client, "batchTrigger:tasks:add") as other,
        bearing(client, "batchTrigger:tasks") as any_task,
    ):
        assert (await fill(browser, written)).status == 200
        ends = [f"{BATCHES}/{each}/{end}" for each in (written, given_up) for end in ("seal", "abort")]
        body = {"runCount": 1, "reason": "no"}

        assert [(await other.post(end, body)).status for end in ends] == [403] * 4
        assert [(await browser.post(end, body)).status for end in ends[2:]] == [403] * 2
        assert (await browser.post(ends[0], body)).body["sealed"]
        assert (await any_task.post(ends[3], body)).status == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parentRunId": "run_00000000000000000000000001"}, "cannot speak for a run"),
        ({"resumeParentOnCompletion": True}, "cannot speak for a run"),
        ({"queue": {"name": "q", "concurrencyLimit": 0}}, "cannot change the limit of a queue"),
        ({"queue": {"name": {"name": "q", "concurrencyLimit": 0}}}, "cannot change the limit of a queue"),
        ({"payloadType": "application/store"}, "cannot name a document in the object store"),
    ],
)
async def test_bearer_cannot_say_what_only_servers_may(client: Client, options: Any, words: str) -> None:
    async with bearing(client, "trigger:tasks:add", "batchTrigger:tasks:add") as browser:
        alone = await browser.post(TRIGGER, {"payload": "2030-01-01/a.json", "options": options})
        batch = (await browser.post(BATCHES, BATCH)).body["id"]
        line = json.dumps({"index": 0, "task": "add", "payload": "2030-01-01/a.json", "options": options}).encode()
        item = await browser.post(f"{BATCHES}/{batch}/items", line, headers=NDJSON)

    assert (alone.status, words in alone.body["error"]) == (403, True)
    # The parent of an item is its batch's, whatever it says.
    assert item.status == (200 if "speak" in words else 403)


async def test_batch_of_a_bearer_cannot_speak_for_a_run(client: Client) -> None:
    run = await client.trigger("secret")
    async with bearing(client, "batchTrigger:tasks:add") as browser:
        reply = await browser.post(BATCHES, {**BATCH, "parentRunId": run})

    assert reply.status == 403


async def test_bearer_may_choose_a_queue_for_the_run(client: Client) -> None:
    async with bearing(client, "trigger:tasks:add") as browser:
        run = (await browser.post(TRIGGER, {"options": {"queue": {"name": "q"}}})).body["id"]

    assert (await client.get(f"/api/v3/runs/{run}")).body["queue"] == "q"
