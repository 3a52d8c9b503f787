"""A run's tags, metadata, trace, events and result, as official clients ask for them."""

import uuid
from typing import Any

from tests.clients.client import Client


async def delayed(client: Client, **options: Any) -> str:
    call = {"id": "my-task", "payload": 1, "options": {"delay": "1h", **options}}
    run: str = (await client("triggering.trigger", call))["id"]
    return run


async def test_tags_are_added_to_a_run(each_client: Client) -> None:
    run, tag = await delayed(each_client, tags="first"), uuid.uuid4().hex

    for tags in (tag, [tag, "other", "first"]):
        answer = await each_client("documents.addTags", {"id": run, "tags": tags})
        assert isinstance(answer["message"], str)

    assert (await each_client("runs.retrieve", run))["tags"] == sorted(["first", "other", tag])


async def test_too_many_tags_are_unprocessable(client: Client) -> None:
    error = await client.refused("documents.addTags", {"id": await delayed(client), "tags": list("abcdefghijk")})

    assert (error["class"], error["status"]) == ("UnprocessableEntityError", 422)


async def test_metadata_is_replaced_and_changed(each_client: Client) -> None:
    run = await delayed(each_client, metadata={"count": 1})
    operations = [
        {"type": "increment", "key": "count", "value": 2},
        {"type": "append", "key": "list", "value": "x"},
        {"type": "set", "key": "$.user.name", "value": "Ann"},
    ]
    changed = {"count": 3, "list": ["x"], "user": {"name": "Ann"}}

    assert await each_client("documents.getMetadata", run) == {"metadata": {"count": 1}}
    update = {"id": run, "body": {"operations": operations}}
    assert await each_client("documents.updateMetadata", update) == {"metadata": changed}
    replace = {"id": run, "body": {"metadata": {"new": True}}}
    assert await each_client("documents.updateMetadata", replace) == {"metadata": {"new": True}}
    assert (await each_client("runs.retrieve", run))["metadata"] == {"new": True}


async def test_metadata_that_a_task_sets_is_shown(client: Client) -> None:
    run = await client("triggering.triggerAndPoll", {"id": "reports-progress", "payload": None})

    assert (await client("runs.retrieve", run["id"]))["metadata"] == {"progress": 1}


async def test_family_is_shown_with_its_relations(each_client: Client) -> None:
    parent = await each_client("triggering.triggerAndPoll", {"id": "asks-children", "payload": 3})

    shown = await each_client("runs.retrieve", parent["id"])
    assert parent["output"] == [3, [3, 4]]
    children = shown["relatedRuns"]["children"]
    assert sorted(child["triggerFunction"] for child in children) == [
        "batchTriggerAndWait",
        "batchTriggerAndWait",
        "triggerAndWait",
    ]
    assert {child["depth"] for child in children} == {1}
    child = await each_client("runs.retrieve", children[0]["id"])
    assert child["relatedRuns"]["parent"]["id"] == child["relatedRuns"]["root"]["id"] == parent["id"]


async def test_trace_of_a_family_can_be_read(each_client: Client) -> None:
    parent = await each_client("triggering.triggerAndPoll", {"id": "asks-children", "payload": 3})

    trace = await each_client("documents.trace", parent["id"])

    root = trace["rootSpan"]
    assert (root["runId"], root["data"]["taskSlug"], root["data"]["isPartial"]) == (
        parent["id"],
        "asks-children",
        False,
    )
    assert len(root["children"]) >= 3


async def test_trace_can_be_read_in_pages(client: Client) -> None:
    parent = await client("triggering.triggerAndPoll", {"id": "asks-children", "payload": 3})

    found = await client("documents.tracePages", parent["id"])

    assert found["messages"][0] == found["first"]["message"] == "asks-children"
    assert len(found["messages"]) >= 4


async def test_events_of_a_run_can_be_read(client: Client) -> None:
    run = await client("triggering.triggerAndPoll", {"id": "fails", "payload": "broken"})

    assert isinstance((await client("documents.events", run["id"]))["events"], list)


async def test_result_tells_how_a_run_ended(each_client: Client) -> None:
    good = await each_client("triggering.triggerAndPoll", {"id": "my-task", "payload": {"a": 1}})
    bad = await each_client("triggering.triggerAndPoll", {"id": "fails", "payload": "broken"})

    result = await each_client("documents.result", good["id"])
    assert (result["ok"], result["id"], result["output"]) == (True, good["id"], '{"a":1}')
    result = await each_client("documents.result", bad["id"])
    assert (result["ok"], result["error"]["type"], result["error"]["message"]) == (False, "BUILT_IN_ERROR", "broken")
    assert await each_client("documents.result", await delayed(each_client)) is None
