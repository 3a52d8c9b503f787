"""Bulk actions over HTTP: how they are asked for, what they show, and what is refused."""

import asyncio
from typing import Any

import pytest

from oncue.protocol import ids
from tests.api.client import Client

ACTIONS = "/api/v1/bulk-actions"


async def finished(client: Client, action: str) -> Any:
    async with asyncio.timeout(30):
        while (reply := await client.get(f"{ACTIONS}/{action}")).body["status"] == "PENDING":
            await asyncio.sleep(0.05)
    return reply.body


async def create(client: Client, **body: Any) -> str:
    reply = await client.post(ACTIONS, body)
    assert reply.status == 200, reply
    assert reply.body["status"] in {"PENDING", "COMPLETED"}
    return str(reply.body["id"])


async def test_action_is_shown_as_official_clients_read_it(client: Client) -> None:
    run = await client.trigger("add")

    action = await create(client, action="cancel", runIds=[run, ids.new_run_id()], name="all of it")
    shown = await finished(client, action)

    assert shown.pop("createdAt") < shown.pop("completedAt")
    assert shown == {
        "id": action,
        "name": "all of it",
        "type": "CANCEL",
        "status": "COMPLETED",
        "counts": {"total": 2, "success": 1, "failure": 1},
    }
    assert (await client.get(f"/api/v3/runs/{run}")).body["status"] == "CANCELED"


async def test_every_field_of_a_filter_counts(client: Client) -> None:
    await client.announce("add", queue="sums")
    options = {"tags": ["a,b"], "machine": "small-2x", "region": "eu-central-1", "test": True}
    run = await client.trigger("add", 1, **options)
    own = await client.trigger("elsewhere", 1)
    created = (await client.get(f"/api/v3/runs/{run}")).body["createdAt"]
    matching: dict[str, Any] = {
        "status": ["QUEUED", "DELAYED"],
        "taskIdentifier": "add",
        "tag": ["a,b", "other"],
        "machine": "small-2x",
        "region": ["eu-central-1"],
        "queue": {"type": "custom", "name": "sums"},
        "isTest": True,
        "from": created,
        "to": 4_000_000_000_000,
        "period": "1d",
    }
    other: dict[str, Any] = {
        "status": "FAILED",
        "taskIdentifier": ["other"],
        "tag": "a",
        "machine": "large-1x",
        "region": "us-east-1",
        "queue": [{"type": "task", "name": "add"}],
        "isTest": False,
        "from": 4_000_000_000_000.0,
        "to": "2001-01-01",
        "version": "1",
        "batch": ids.new_batch_id(),
        "bulkAction": ids.new_bulk_action_id(),
        "schedule": "sched_1",
    }

    async def total(filters: dict[str, Any]) -> int:
        action = await create(client, action="replay", filter=filters)
        await client.post(f"{ACTIONS}/{action}/abort")
        return int((await client.get(f"{ACTIONS}/{action}")).body["counts"]["total"])

    assert await total({"queue": {"type": "task", "name": "elsewhere"}}) == 1
    assert {name: await total({**matching, name: value}) for name, value in other.items()} == dict.fromkeys(other, 0)
    assert await total(matching) == 1
    await client.send("POST", f"/api/v2/runs/{own}/cancel")


async def test_replays_are_listed_by_their_action(client: Client) -> None:
    run = await client.trigger("add", 7)

    action = await create(client, action="replay", runIds=[run], targetRegion="us-east-1")
    await finished(client, action)

    (made,) = (await client.get(f"/api/v1/runs?filter[bulkAction]={action}")).body["data"]
    assert (made["taskIdentifier"], made["region"]) == ("add", "us-east-1")
    assert made["id"] != run


async def test_list_shows_the_newest_first(client: Client) -> None:
    made = [await create(client, action="cancel", filter={"tag": "x"}) for _ in range(3)]

    first = (await client.get(f"{ACTIONS}?page[size]=2")).body
    second = (await client.get(f"{ACTIONS}?page[size]=2&page[after]={first['pagination']['next']}")).body

    assert [action["id"] for action in first["data"] + second["data"]] == made[::-1]
    assert second["pagination"] == {"previous": made[0]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "action"),
        ({"action": "cancel", "filter": {"tag": "a"}, "targetregion": "x"}, "targetregion"),
        ({"action": "delete", "runIds": ["run_1"]}, "action: found 'delete'; expected cancel or replay"),
        ({"action": "cancel"}, "filter, runIds: found neither; expected exactly one of them"),
        ({"action": "cancel", "filter": {"tag": "a"}, "runIds": []}, "filter, runIds: found both"),
        ({"action": "cancel", "runIds": []}, "runIds: found 0; expected 1 to 500"),
        ({"action": "cancel", "runIds": ["run_1"] * 501}, "runIds: found 501; expected 1 to 500"),
        ({"action": "cancel", "runIds": ["run_1"]}, "runIds[0]: 'run_1' is not a run id"),
        ({"action": "cancel", "filter": {}}, "filter: found nothing in it"),
        ({"action": "cancel", "filter": {"tag": [], "isTest": False}}, "filter.tag: found []; expected texts"),
        ({"action": "cancel", "filter": {"tag": ["a", " "]}}, "filter.tag: found ['a', ' ']; expected texts"),
        ({"action": "cancel", "filter": {"period": "1d", "taskIdentifier": ""}}, "filter.taskIdentifier: found ''"),
        ({"action": "cancel", "filter": {"period": "1d", "queue": []}}, "filter.queue: found []; expected queues"),
        ({"action": "cancel", "filter": {"period": " "}}, "filter.period: found ' '"),
        ({"action": "cancel", "filter": {"tags": ["a"]}}, "tags"),
        ({"action": "cancel", "filter": {"limit": 5, "tag": "a"}}, "limit"),
        ({"action": "cancel", "filter": {"status": ["QUEUED", "DONE"]}}, "filter.status: found 'DONE'; expected any"),
        ({"action": "cancel", "filter": {"machine": "huge"}}, "filter.machine: found 'huge'; expected any of micro"),
        ({"action": "cancel", "filter": {"queue": {"type": "id", "name": "q"}}}, "filter.queue.type: found 'id'"),
        ({"action": "cancel", "filter": {"batch": "run_1"}}, "filter.batch: 'run_1' is not a batch id"),
        ({"action": "cancel", "filter": {"bulkAction": "x"}}, "filter.bulkAction: 'x' is not a bulk id"),
        ({"action": "cancel", "filter": {"from": "soon"}}, "filter.from: found 'soon'"),
        ({"action": "cancel", "filter": {"to": -1.5}}, "filter.to: found '-1.5'"),
        ({"action": "cancel", "filter": {"period": "long"}}, "filter.period: found 'long'"),
        ({"action": "cancel", "filter": {"tag": "a"}, "targetRegion": "eu"}, "targetRegion: found with the action"),
        ({"action": "replay", "filter": {"tag": "a"}, "targetRegion": "E U"}, "targetRegion: 'E U' is not a region"),
        ({"action": "cancel", "filter": {"tag": "a"}, "name": "n" * 256}, "name: found 256 characters; expected at"),
    ],
)
async def test_what_makes_no_sense_is_refused(shared_client: Client, body: Any, message: str) -> None:
    reply = await shared_client.post(ACTIONS, body)

    assert reply.status in {400, 422}, reply
    assert message in reply.body["error"]


async def test_unknown_action_is_not_found(shared_client: Client) -> None:
    for action in (ids.new_bulk_action_id(), "bulk_x"):
        assert (await shared_client.get(f"{ACTIONS}/{action}")).status == 404
        assert (await shared_client.post(f"{ACTIONS}/{action}/abort")).status == 404


async def test_unknown_query_of_a_list_is_refused(shared_client: Client) -> None:
    reply = await shared_client.get(f"{ACTIONS}?filter[status]=PENDING")

    assert (reply.status, reply.body["error"][:14]) == (400, "filter[status]")
