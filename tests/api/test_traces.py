"""The family of a run over HTTP, as a tree of spans."""

import datetime
from typing import Any

import pytest

from oncue.engine import tracing
from tests.api.client import Client
from tests.api.tokens import bearing

AT = datetime.datetime(2030, 1, 31, tzinfo=datetime.UTC)


async def _log(client: Client, run: str, *messages: str) -> None:
    lines = [
        {
            "runId": run,
            "epoch": 1,
            "number": number,
            "attempt": 1,
            "at": (AT + datetime.timedelta(seconds=number)).isoformat(),
            "level": "warning",
            "message": message,
            "fields": {"n": number},
        }
        for number, message in enumerate(messages)
    ]
    assert (await client.post("/api/v1/work/logs", {"lines": lines})).status == 200


async def _trace(client: Client, run: str) -> dict[str, Any]:
    reply = await client.get(f"/api/v1/runs/{run}/trace")
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.body["trace"]
    return found


async def test_token_of_a_run_shows_what_the_run_has_led_to(client: Client) -> None:
    worker = await client.announce("parent", "child")
    root = await client.trigger("parent")
    (held,) = (await client.claim(worker))["assignments"]
    parent = {"parentRunId": root, "parentEpoch": held["epoch"], "parentWorkerId": worker}
    first, second = [await client.trigger("child", tags=[tag], **parent) for tag in ("a", "b")]
    await _log(client, root, "begun")
    await _log(client, first, "of a")
    await _log(client, second, "of b")

    async def shown(scope: str, run: str) -> list[str]:
        async with bearing(client, scope) as browser:
            top = (await _trace(browser, run))["rootSpan"]
            return [top["runId"], *(each["data"]["message"] for each in top["children"])]

    assert await shown("read:tags:b", second) == [second, "of b"]
    assert await shown(f"read:runs:{root}", root) == [root, "child", "child", "begun"]
    assert await shown("read:runs", second) == [root, "child", "child", "begun"]


async def test_pages_of_a_trace_are_its_spans_in_order(client: Client) -> None:
    run = await client.trigger("parent")
    await _log(client, run, *(f"line {number}" for number in range(4)))
    path = f"/api/v1/runs/{run}"

    spans, after = [], ""
    while True:
        page = (await client.get(f"{path}/trace?page[size]=2{after}")).body
        spans += page["data"]
        if "next" not in page["pagination"]:
            break
        after = f"&page[after]={page['pagination']['next']}"
    one = await client.get(f"{path}/spans/{spans[2]['id']}")

    assert [each["message"] for each in spans] == ["parent", "line 0", "line 1", "line 2", "line 3"]
    assert (one.body["message"], one.body["parentId"], one.body["properties"]) == ("line 1", spans[0]["id"], {"n": 1})
    refused = [await client.get(f"{path}/{what}") for what in ("trace?page[size]=2&page[after]=x", "spans/x")]
    assert [reply.status for reply in refused] == [400, 404]


async def test_family_is_a_tree_whichever_member_is_asked_for(client: Client) -> None:
    worker = await client.announce("parent", "child")
    root = await client.trigger("parent")
    (held,) = (await client.claim(worker))["assignments"]
    parent = {"parentRunId": root, "parentEpoch": held["epoch"], "parentWorkerId": worker}
    first, second = [await client.trigger("child", **parent) for _ in range(2)]
    await _log(client, root, "begun", "going on")
    await _log(client, second, "hello")

    trace = await _trace(client, second)
    assert trace == await _trace(client, root) | {"rootSpan": trace["rootSpan"]}
    top = trace["rootSpan"]
    assert (top["runId"], "parentId" in top) == (root, False)
    assert [(each["runId"], each["data"]["message"]) for each in top["children"]] == [
        (first, "child"),
        (second, "child"),
        (root, "begun"),
        (root, "going on"),
    ]
    assert {each["parentId"] for each in top["children"]} == {top["id"]}
    child = top["children"][1]
    (line,) = child["children"]
    assert line["parentId"] == child["id"]
    assert line["data"] == {
        "message": "hello",
        "taskSlug": "child",
        "startTime": "2030-01-31T00:00:00Z",
        "duration": 0,
        "isError": False,
        "isPartial": False,
        "isCancelled": False,
        "level": "WARN",
        "properties": {"n": 0},
    }
    assert len(trace["traceId"]) == 32
    assert "truncated" not in trace


async def test_span_of_a_run_says_how_it_ended(client: Client) -> None:
    worker = await client.announce("t")
    run = await client.trigger("t")
    waiting = (await _trace(client, run))["rootSpan"]["data"]
    (held,) = (await client.claim(worker))["assignments"]
    error = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": "no"}
    failed = {"outcome": "failed", "runId": run, "epoch": held["epoch"], "ranMs": 5, "error": error}
    await client.post("/api/v1/work/outcomes", {"workerId": worker, "outcomes": [failed]})
    ended = (await _trace(client, run))["rootSpan"]["data"]

    assert (waiting["isPartial"], waiting["isError"], waiting["level"]) == (True, False, "TRACE")
    assert (ended["isPartial"], ended["isError"], ended["isCancelled"]) == (False, True, False)
    assert (ended["queueName"], ended["machinePreset"]) == ("task/t", "small-1x")


async def test_deep_family_is_cut_with_a_word(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_LEVELS", 2)
    worker = await client.announce("t")
    run, lineage = "", dict[str, Any]()
    for _ in range(4):
        run = await client.trigger("t", **lineage)
        (held,) = (await client.claim(worker))["assignments"]
        lineage = {"parentRunId": run, "parentEpoch": held["epoch"], "parentWorkerId": worker}

    trace = await _trace(client, run)
    (child,) = trace["rootSpan"]["children"]
    assert child["children"] == []
    assert trace["truncated"] is True


async def test_large_family_is_cut_with_a_word(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_RUNS", 3)
    worker = await client.announce("t")
    root = await client.trigger("t")
    (held,) = (await client.claim(worker))["assignments"]
    for _ in range(5):
        await client.trigger("t", parentRunId=root, parentEpoch=held["epoch"], parentWorkerId=worker)

    trace = await _trace(client, root)
    assert len(trace["rootSpan"]["children"]) == 2
    assert trace["truncated"] is True


async def test_trace_is_of_the_callers_environment(client: Client, prod_client: Client) -> None:
    run = await client.trigger("t")

    reply = await prod_client.get(f"/api/v1/runs/{run}/trace")
    assert reply.status == 404
    assert run in reply.body["error"]
