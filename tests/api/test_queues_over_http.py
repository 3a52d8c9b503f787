"""Queues over HTTP: what they show, how they are named, and what pausing and overriding does to claims."""

import asyncio
from typing import Any

import pytest

from oncue.api import services
from oncue.api.polls import Polls
from tests.api.client import Client, served, until_held

QUEUES = "/api/v1/queues"


async def control(client: Client, queue: str, act: str, **body: Any) -> Any:
    reply = await client.post(f"{QUEUES}/{queue}/{act}", body)
    assert reply.status == 200, reply
    return reply.body


async def test_queue_is_shown_as_the_contract_says(client: Client) -> None:
    await client.announce("add", queue="sums", concurrencyLimit=3)
    await client.trigger("add")

    found = (await client.get(f"{QUEUES}/sums?type=custom")).body

    shown = found.pop("id")
    assert shown.startswith("queue_")
    assert found == {
        "name": "sums",
        "type": "custom",
        "running": 0,
        "queued": 1,
        "paused": False,
        "concurrencyLimit": 3,
        "concurrency": {"current": 3, "base": 3, "override": None, "overriddenAt": None, "overriddenBy": None},
        "version": "V1",
    }
    assert (await client.get(f"{QUEUES}/{shown}")).body == {"id": shown, **found}


async def test_list_is_paged_by_number(client: Client) -> None:
    await client.announce("a", "b", "c")

    first = (await client.get(f"{QUEUES}?perPage=2")).body
    second = (await client.get(f"{QUEUES}?page=2&perPage=2")).body

    assert [(queue["name"], queue["type"]) for queue in first["data"] + second["data"]] == [
        ("a", "task"),
        ("b", "task"),
        ("c", "task"),
    ]
    assert first["pagination"] == {"currentPage": 1, "totalPages": 2, "count": 3}
    assert second["pagination"] == {"currentPage": 2, "totalPages": 2, "count": 3}


@pytest.mark.parametrize(
    "path",
    ["folder%252Fmy%20task?type=task", "folder%2Fmy%20task?type=task", "task%252Ffolder%252Fmy%20task?type=custom"],
)
async def test_name_with_a_slash_arrives_encoded_once_or_twice(client: Client, path: str) -> None:
    await client.announce("folder/my task")

    reply = await client.get(f"{QUEUES}/{path}")

    assert (reply.status, reply.body["name"], reply.body["type"]) == (200, "folder/my task", "task"), reply


async def test_paused_queue_gives_nothing_to_claims_and_resuming_wakes_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = Polls()
    monkeypatch.setattr(services, "Polls", lambda: polls)
    async with served(database_url) as url, Client(url) as client:
        worker = await client.announce("add")
        paused = await control(client, "add", "pause", type="task", action="pause")
        run = await client.trigger("add")
        held = asyncio.create_task(client.claim_runs(worker, wait_ms=20_000))
        await until_held(1, polls)

        resumed = await control(client, paused["id"], "pause", action="resume")

        # Well before the first look that nobody asked for.
        async with asyncio.timeout(2):
            assert await held == [run]
    assert (paused["paused"], resumed["paused"]) == (True, False)


async def test_override_holds_until_it_is_reset(client: Client) -> None:
    worker = await client.announce("add", concurrencyLimit=5)
    for _ in range(3):
        await client.trigger("add")

    overridden = await control(client, "add", "concurrency/override", type="task", concurrencyLimit=1)
    await client.announce("add", concurrencyLimit=4)
    one = await client.claim_runs(worker)
    reset = await control(client, "add", "concurrency/reset", type="task")
    rest = await client.claim_runs(worker)

    assert (overridden["concurrencyLimit"], overridden["concurrency"]["override"]) == (1, 1)
    assert overridden["concurrency"]["overriddenAt"].endswith("Z")
    assert (len(one), len(rest)) == (1, 2)
    assert (reset["concurrencyLimit"], reset["concurrency"]["base"], reset["running"]) == (4, 4, 1)


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/add", None, 400, "'add' is not a queue id; expected queue_ and 26 characters"),
    ("GET", "/add?type=name", None, 400, "type: found 'name'; expected id, task or custom"),
    ("GET", "/add?type=task", None, 404, "no queue of a task 'add' in this environment; it is there once"),
    ("GET", "/a%252Fb?type=custom", None, 404, "no queue 'a/b' in this environment; it is there once"),
    ("GET", "?page=0", None, 400, "page: found '0'; expected 1 to"),
    ("GET", f"?page={'9' * 400}", None, 400, "page: found '999"),
    ("GET", "?perPage=101", None, 400, "perPage: found '101'; expected 1 to 100"),
    ("POST", "/add/pause", {}, 400, "action is missing"),
    ("POST", "/add/pause", {"type": "task", "action": "stop"}, 400, "action: found 'stop'; expected pause or resume"),
    ("POST", "/add/pause", {"type": "x", "action": "pause"}, 400, "type: found 'x'; expected id, task or custom"),
    ("POST", "/add/pause", {"type": "task", "action": "pause"}, 404, "no queue of a task 'add'"),
    ("POST", "/add/concurrency/override", {"type": "task"}, 400, "concurrencyLimit is missing"),
    ("POST", "/a/concurrency/override", {"concurrencyLimit": None}, 400, "concurrencyLimit: expected int, got null"),
    ("POST", "/a/concurrency/override", {"concurrencyLimit": -1}, 400, "concurrencyLimit: found -1; expected 0 to"),
    ("POST", "/a/concurrency/override", {"concurrencyLimit": 100_001}, 400, "found 100001; expected 0 to 100,000"),
    ("POST", "/a/concurrency/override", {"type": "task", "concurrencyLimit": 1}, 404, "no queue of a task 'a'"),
    ("POST", "/a/concurrency/reset", {"type": "custom"}, 404, "no queue 'a' in this environment"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[1][:30]} {case[4][:30]}")
async def test_refusal_names_the_field_and_what_is_accepted(
    client: Client, case: tuple[str, str, Any, int, str]
) -> None:
    method, path, body, status, words = case

    reply = await client.send(method, QUEUES + path, body)

    assert (reply.status, words in reply.body["error"]) == (status, True), reply


async def test_queues_of_another_environment_are_not_shown(client: Client, prod_client: Client) -> None:
    await client.announce("add")
    (ours,) = (await client.get(QUEUES)).body["data"]

    assert (await prod_client.get(QUEUES)).body["data"] == []
    assert (await prod_client.get(f"{QUEUES}/{ours['id']}")).status == 404


async def test_document_says_what_type_and_action_accept(client: Client) -> None:
    schemas = (await client.get("/openapi.json")).body["components"]["schemas"]

    assert schemas["PauseRequest"]["properties"]["action"]["enum"] == ["pause", "resume"]
    assert schemas["PauseRequest"]["properties"]["type"]["enum"] == ["id", "task", "custom"]
    assert schemas["QueueView"]["properties"]["concurrencyLimit"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
