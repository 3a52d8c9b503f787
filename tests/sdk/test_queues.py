"""Looking at queues, pausing them, overriding their limits."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from oncue import NotFound, QueueView, queue, queues, task

from .conftest import FakeApi, Reply

QUEUE_ID = "queue_00000000000000000000000004"
STATE: dict[str, Any] = {
    "id": QUEUE_ID,
    "name": "emails",
    "type": "custom",
    "running": 2,
    "queued": 17,
    "paused": False,
    "concurrencyLimit": 2,
    "concurrency": {
        "current": 2,
        "base": 10,
        "override": 2,
        "overriddenAt": "2030-01-02T03:04:05Z",
        "overriddenBy": None,
    },
    "version": "V1",
}


def state(**changes: Any) -> Reply:
    return Reply(200, {**STATE, **changes})


def page(*names: str, number: int, pages: int) -> Reply:
    data = [{**STATE, "name": name} for name in names]
    return Reply(200, {"data": data, "pagination": {"currentPage": number, "totalPages": pages, "count": 3}})


def asked(api: FakeApi) -> tuple[str, str]:
    """Return path and type of the last question."""
    parts = urlsplit(api.seen[-1].path)
    return parts.path.removeprefix("/api/v1/queues/"), dict(parse_qsl(parts.query))["type"]


async def test_retrieve_shows_every_field(api: FakeApi) -> None:
    api.prepare("GET /api/v1/queues/", state(), state())

    found = await queues.retrieve("emails")

    assert found == queues.sync.retrieve("emails")
    assert (found.running, found.queued, found.paused, found.concurrency_limit) == (2, 17, False, 2)
    assert (found.concurrency.base, found.concurrency.override) == (10, 2)
    assert found.concurrency.overridden_at is not None
    assert found.concurrency.overridden_at.year == 2030


async def test_server_that_tells_less_is_understood(api: FakeApi) -> None:
    api.prepare("GET /api/v1/queues/", Reply(200, {k: STATE[k] for k in STATE if k not in {"concurrency", "version"}}))

    found = await queues.retrieve("emails")

    assert (found.version, found.concurrency.override) == ("V1", None)


@task(id="own/queue")
async def own_queue() -> None: ...


@task(queue=queue("emails", concurrency_limit=1))
async def shared_queue() -> None: ...


@pytest.mark.parametrize(
    ("ref", "path", "naming"),
    [
        ("emails", "emails", "custom"),
        ("eu/emails", "eu%252Femails", "custom"),
        ("task/resize", "resize", "task"),
        (QUEUE_ID, QUEUE_ID, "id"),
        ("queue_emails", "queue_emails", "custom"),
        (queue("emails"), "emails", "custom"),
        (queue("task/resize"), "resize", "task"),
        (own_queue, "own%252Fqueue", "task"),
        (shared_queue, "emails", "custom"),
        ({"type": "task", "name": "my task"}, "my%20task", "task"),
        ({"type": "custom", "name": QUEUE_ID}, QUEUE_ID, "custom"),
    ],
    ids=lambda value: getattr(value, "id", None) or getattr(value, "name", None) or str(value),
)
def test_queue_is_named_by_whatever_has_its_name(api: FakeApi, ref: Any, path: str, naming: str) -> None:
    api.prepare("GET /api/v1/queues/", state())

    queues.sync.retrieve(ref)

    assert asked(api) == (path, naming)


@pytest.mark.parametrize(
    "ref", [None, "", 3, b"emails", {"name": "emails"}, {"type": "id", "name": "a"}, {"type": "task", "name": 1}]
)
def test_what_is_no_queue_is_refused(api: FakeApi, ref: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a queue; expected a queue's name or id, queue\(\.\.\.\), a task"):
        _ = queues.pause(ref)
    with pytest.raises(TypeError, match="is not a queue"):
        queues.sync.retrieve(ref)
    assert api.seen == []


async def test_acts_are_sent_as_the_contract_says(api: FakeApi) -> None:
    api.prepare("POST /api/v1/queues/", *[state()] * 8)
    found = await queues.pause("emails")

    await queues.resume(found)
    await queues.override_concurrency_limit("emails", 0)
    await queues.reset_concurrency_limit({"type": "task", "name": "a"})
    queues.sync.pause("emails")
    queues.sync.resume(found)
    queues.sync.override_concurrency_limit("emails", 0)
    queues.sync.reset_concurrency_limit({"type": "task", "name": "a"})

    sent = [
        (path.removeprefix("POST /api/v1/queues"), seen.json) for path, seen in zip(api.paths, api.seen, strict=True)
    ]
    assert sent[:4] == sent[4:]
    assert sent[:4] == [
        ("/emails/pause", {"type": "custom", "action": "pause"}),
        (f"/{QUEUE_ID}/pause", {"type": "id", "action": "resume"}),
        ("/emails/concurrency/override", {"type": "custom", "concurrencyLimit": 0}),
        ("/a/concurrency/reset", {"type": "task"}),
    ]
    assert isinstance(found, QueueView)


@pytest.mark.parametrize("limit", [-1, 100_001, True, 1.5, "2", None])
def test_impossible_limit_is_refused_at_the_call(api: FakeApi, limit: Any) -> None:
    with pytest.raises(ValueError, match=r"concurrency_limit=.* is not accepted; expected a whole number from 0 to"):
        _ = queues.override_concurrency_limit("emails", limit)
    with pytest.raises(ValueError, match="reset_concurrency_limit"):
        queues.sync.override_concurrency_limit("emails", limit)
    assert api.seen == []


async def test_list_follows_pages_by_itself(api: FakeApi) -> None:
    pages = (page("a", "b", number=1, pages=2), page("c", number=2, pages=2))
    api.prepare("GET /api/v1/queues", *pages, *pages)

    found = [each.name async for each in queues.list()]

    assert found == [each.name for each in queues.sync.list()] == ["a", "b", "c"]
    assert api.paths[:2] == [f"GET /api/v1/queues?page={number}&perPage=100" for number in (1, 2)]


async def test_environment_without_queues_lists_none(api: FakeApi) -> None:
    api.prepare("GET /api/v1/queues", page(number=1, pages=0))

    assert [each async for each in queues.list()] == []
    assert len(api.seen) == 1


async def test_missing_queue_is_not_found(api: FakeApi) -> None:
    refusal = json.dumps({"error": "no queue 'emails' in this environment", "code": "not_found"}).encode()
    api.prepare("POST /api/v1/queues/", Reply(404, refusal, {"x-should-retry": "false"}))

    with pytest.raises(NotFound, match="no queue 'emails'"):
        await queues.pause("emails")
