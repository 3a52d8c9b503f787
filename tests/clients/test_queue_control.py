"""Control of queues by official clients: every field that they read is there, in the shape that they demand."""

import uuid
from typing import Any

import pytest

from tests.clients.client import Client

UNLIMITED = {"current": None, "base": None, "override": None, "overriddenAt": None, "overriddenBy": None}


async def named(client: Client, limit: int | None = None) -> str:
    """Make a queue, with a limit in the form that the trigger page shows."""
    name = f"queue/{uuid.uuid4().hex}"
    queue = name if limit is None else {"name": name, "concurrencyLimit": limit}
    options = {"delay": "1h", "queue": queue}
    await client("triggering.trigger", {"id": "my-task", "payload": 1, "options": options})
    return name


@pytest.mark.parametrize("limit", [None, 3])
async def test_queue_is_shown_by_name_and_id(each_client: Client, limit: int | None) -> None:
    name = await named(each_client, limit)

    by_name = await each_client("queues.retrieve", {"type": "custom", "name": name})

    assert (by_name["name"], by_name["type"], by_name["concurrencyLimit"]) == (name, "custom", limit)
    assert (by_name["running"], by_name["queued"], by_name["paused"]) == (0, 0, False)
    assert by_name["concurrency"] == UNLIMITED | {"current": limit, "base": limit}
    assert await each_client("queues.retrieve", by_name["id"]) == by_name


async def test_queue_of_a_task_is_shown_by_the_task(each_client: Client) -> None:
    queue = await each_client("queues.retrieve", {"type": "task", "name": "folder/my task"})

    assert (queue["name"], queue["type"]) == ("folder/my task", "task")


async def test_queue_is_paused_limited_and_let_go(each_client: Client) -> None:
    queue: dict[str, Any] = {"type": "custom", "name": await named(each_client, 5)}

    said = await each_client("queues.controlled", {"queue": queue, "limit": 2})

    assert (said["paused"]["paused"], said["resumed"]["paused"]) == (True, False)
    overridden = said["overridden"]["concurrency"]
    assert (overridden["current"], overridden["base"], overridden["override"]) == (2, 5, 2)
    assert overridden["overriddenAt"].endswith("Z")
    assert said["reset"]["concurrency"] == UNLIMITED | {"current": 5, "base": 5}


async def test_list_of_queues_pages_by_for_await(each_client: Client) -> None:
    names = [await named(each_client) for _ in range(3)]

    first = await each_client("queues.list", {"page": 1, "perPage": 2})
    found = await each_client("queues.names", {"perPage": 2})

    assert (len(first["data"]), first["pagination"]["currentPage"]) == (2, 1)
    assert set(names) <= set(found)
    assert len(found) == len(set(found)) == first["pagination"]["count"]


async def test_unknown_queue_is_not_found_at_once(client: Client) -> None:
    error = await client.refused("queues.retrieve", {"type": "custom", "name": "nobody-named-it"})

    assert (error["class"], error["status"]) == ("NotFoundError", 404)
