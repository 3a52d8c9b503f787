import asyncio
import datetime

from oncue.protocol import ids
from tests.api.client import Client, served


async def test_triggered_run_is_claimed_reported_and_retrieved(client: Client) -> None:
    worker = await client.announce("add")
    run = await client.trigger("add", {"a": 1}, tags=["x"])

    (assignment,) = (await client.claim(worker))["assignments"]
    lost = await client.succeed(worker, assignment, {"sum": 1})
    shown = await client.get(f"/api/v3/runs/{run}")
    result = await client.get(f"/api/v1/runs/{run}/result")

    assert (assignment["runId"], assignment["payload"]) == (run, {"a": 1})
    assert lost == {}
    assert (shown.body["status"], shown.body["output"], shown.body["tags"]) == ("COMPLETED", {"sum": 1}, ["x"])
    assert result.body == {
        "ok": True, "id": run, "taskIdentifier": "add", "output": '{"sum":1}', "outputType": "application/json",
    }  # fmt: skip


async def test_encoded_slash_belongs_to_the_task_id(client: Client) -> None:
    run = await client.trigger("folder%2Fmy%20task")

    shown = await client.get(f"/api/v3/runs/{run}")

    assert shown.body["taskIdentifier"] == "folder/my task"


async def test_no_optional_field_is_sent_as_null(client: Client) -> None:
    run = await client.trigger("add", {"a": 1})

    shown = await client.get(f"/api/v3/runs/{run}")

    assert [name for name, value in shown.body.items() if value is None] == []


async def test_same_run_id_sent_again_makes_one_run(client: Client) -> None:
    minted = ids.new_run_id()

    first = await client.trigger("add", runId=minted)
    second = await client.trigger("add", runId=minted)
    listed = await client.get("/api/v1/runs")

    assert first == second == minted
    assert [run["id"] for run in listed.body["data"]] == [minted]


async def test_same_request_key_sent_again_makes_one_run(client: Client) -> None:
    headers = {"x-trigger-request-idempotency-key": "5c8f3c6e-7d0c-4f4c-8f0f-3f3a0b6d9f11"}

    first = await client.post("/api/v1/tasks/add/trigger", {}, headers=headers)
    second = await client.post("/api/v1/tasks/add/trigger", {}, headers=headers)
    listed = await client.get("/api/v1/runs")

    assert first.body["id"] == second.body["id"]
    assert len(listed.body["data"]) == 1


async def test_environments_do_not_see_each_other(client: Client, prod_client: Client) -> None:
    worker = await prod_client.announce("add")
    run = await client.trigger("add")

    claimed = await prod_client.claim_runs(worker)
    shown = await prod_client.get(f"/api/v3/runs/{run}")
    cancelled = await prod_client.post(f"/api/v2/runs/{run}/cancel")
    listed = await prod_client.get("/api/v1/runs")

    assert claimed == []
    assert (shown.status, cancelled.status, listed.body["data"]) == (404, 404, [])


async def test_cancelled_run_stays_cancelled_and_tells_its_worker(client: Client) -> None:
    worker = await client.announce("add")
    run = await client.trigger("add")
    (assignment,) = (await client.claim(worker))["assignments"]

    cancelled = await client.post(f"/api/v2/runs/{run}/cancel")
    again = await client.post(f"/api/v2/runs/{run}/cancel")
    told = await client.claim(worker, places=0)
    lost = await client.succeed(worker, assignment)
    shown = await client.get(f"/api/v3/runs/{run}")

    assert (cancelled.status, cancelled.body, again.body) == (200, {"id": run}, {"id": run})
    assert [(notice["notice"], notice["runId"]) for notice in told["notices"]] == [("stop", run)]
    assert lost == {"lost": [run]}
    assert shown.body["status"] == "CANCELED"


async def test_result_of_an_unfinished_run_is_not_found(client: Client) -> None:
    run = await client.trigger("add")

    result = await client.get(f"/api/v1/runs/{run}/result")

    assert result.status == 404
    assert "has not ended yet" in result.body["error"]


async def test_list_filters_and_turns_pages(client: Client) -> None:
    runs = [await client.trigger("add" if number % 2 else "other", tags=[f"t{number}"]) for number in range(5)]

    first = await client.get("/api/v1/runs?page[size]=2")
    second = await client.get(f"/api/v1/runs?page[size]=2&page[after]={first.body['pagination']['next']}")
    added = await client.get("/api/v1/runs?filter[taskIdentifier]=add&filter[status]=QUEUED,PENDING_VERSION")
    tagged = await client.get("/api/v1/runs?filter[tag]=t0,t4&filter[createdAt][period]=1h")

    assert [run["id"] for run in first.body["data"] + second.body["data"]] == runs[:0:-1]
    assert [run["id"] for run in added.body["data"]] == [runs[3], runs[1]]
    assert [run["id"] for run in tagged.body["data"]] == [runs[4], runs[0]]


async def test_delayed_run_is_handed_out_when_due(client: Client) -> None:
    worker = await client.announce("add")
    held = asyncio.create_task(client.claim_runs(worker, wait_ms=20_000))

    run = await client.trigger("add", delay="1s")

    async with asyncio.timeout(10):
        assert await held == [run]


async def test_silent_worker_loses_its_run_to_another(client: Client, database_url: str) -> None:
    brief = datetime.timedelta(seconds=0.2)
    async with served(database_url, lease=brief) as url, Client(url) as hasty:
        silent = await hasty.announce("add")
        run = await hasty.trigger("add")
        first = await hasty.claim_runs(silent)
        other = await client.announce("add")

        async with asyncio.timeout(20):
            second = await client.claim_runs(other, wait_ms=20_000)

        beat = await hasty.post("/api/v1/work/heartbeat", {"workerId": silent})

    assert first == second == [run]
    assert beat.body == {"known": False}


async def test_idempotency_headers_win_over_the_body(client: Client) -> None:
    body = {"options": {"idempotencyKey": "of the body"}}

    first = await client.post("/api/v1/tasks/add/trigger", body, headers={"idempotency-key": "k"})
    second = await client.post("/api/v1/tasks/add/trigger", {"options": {"idempotencyKey": "k"}})
    refused = await client.post("/api/v1/tasks/add/trigger", body, headers={"idempotency-key-ttl": "soon"})

    assert second.body == {"id": first.body["id"], "isCached": True}
    assert refused.status == 422
    assert "idempotencyKeyTTL: 'soon' is not a length of time" in refused.body["error"]


async def test_callers_of_before_are_told_the_words_of_then(client: Client) -> None:
    worker = await client.announce("add")
    parent = await client.trigger("add")
    failing = await client.trigger("add", maxAttempts=2)
    held = {run["runId"]: run for run in (await client.claim(worker))["assignments"]}
    caller = {"parentRunId": parent, "parentEpoch": held[parent]["epoch"], "parentWorkerId": worker}
    child = await client.trigger("add", delay="1h", resumeParentOnCompletion=True, **caller)
    error = {"type": "BUILT_IN_ERROR", "name": "E", "message": "m", "stackTrace": ""}
    named = {"outcome": "failed", "runId": failing, "epoch": held[failing]["epoch"]}
    outcome = {**named, "ranMs": 1, "error": error, "retryAfterMs": 60_000}
    await client.post("/api/v1/work/outcomes", {"workerId": worker, "outcomes": [outcome]})

    async def seen(**headers: str) -> tuple[str, str, str, bool, set[str]]:
        shown = {
            run: (await client.get(f"/api/v3/runs/{run}", headers=headers)).body for run in (parent, failing, child)
        }
        listed = (await client.get("/api/v1/runs", headers=headers)).body["data"]
        return (
            shown[parent]["status"],
            shown[failing]["status"],
            shown[child]["relatedRuns"]["parent"]["status"],
            shown[parent]["isWaiting"],
            {run["status"] for run in listed},
        )

    assert await seen() == ("WAITING", "EXECUTING", "WAITING", True, {"WAITING", "EXECUTING", "DELAYED"})
    assert await seen(**{"x-trigger-api-version": ""}) == (
        "FROZEN", "REATTEMPTING", "FROZEN", True, {"FROZEN", "REATTEMPTING", "DELAYED"},
    )  # fmt: skip
    moved = await client.post(
        f"/api/v1/runs/{child}/reschedule", {"delay": "2h"}, headers={"x-trigger-api-version": ""}
    )
    assert moved.body["relatedRuns"]["parent"]["status"] == "FROZEN"


async def test_same_request_key_of_another_call_means_another_run(client: Client) -> None:
    headers = {"x-trigger-request-idempotency-key": "one"}
    paths = ("tasks/add/trigger", "tasks/other/trigger", "runs/{}/replay", "tasks/add/trigger")
    made: list[str] = []
    for path in paths:
        reply = await client.post(f"/api/v1/{path.format(*made[:1])}", {}, headers=headers)
        made.append(reply.body["id"])

    assert len(set(made)) == 3
    assert made[3] == made[0]
