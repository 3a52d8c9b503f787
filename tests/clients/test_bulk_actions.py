"""What official clients do to many runs at once; older ones cannot."""

import uuid

from tests.clients.client import Client
from tests.clients.test_runs import delayed


async def test_runs_that_match_a_filter_are_cancelled(client: Client) -> None:
    tag = uuid.uuid4().hex
    runs = [await delayed(client, tags=tag) for _ in range(3)]
    other = await delayed(client)

    action = await client("bulk.cancel", {"filter": {"tag": tag, "status": ["DELAYED"]}, "name": tag})

    assert (action["type"], action["status"], action["name"]) == ("CANCEL", "COMPLETED", tag)
    assert action["counts"] == {"total": 3, "success": 3, "failure": 0}
    assert [(await client("runs.retrieve", run))["status"] for run in runs] == ["CANCELED"] * 3
    assert (await client("runs.retrieve", other))["status"] == "DELAYED"


async def test_named_runs_are_replayed_and_listed_by_the_action(client: Client) -> None:
    run = await delayed(client)
    await client("runs.cancel", run)

    action = await client("bulk.replay", {"runIds": [run], "targetRegion": "us-east-1"})

    assert action["counts"] == {"total": 1, "success": 1, "failure": 0}
    (replay,) = (await client("runs.page", {"bulkAction": action["id"]}))["data"]
    assert replay["id"] != run
    assert replay["region"] == "us-east-1"


async def test_dates_of_a_filter_are_understood(client: Client) -> None:
    tag = uuid.uuid4().hex
    await delayed(client, tags=tag)

    action = await client("bulk.replaySince", {"tag": tag})

    assert action["counts"] == {"total": 1, "success": 1, "failure": 0}


async def test_action_is_aborted_while_it_goes_on(client: Client) -> None:
    # More than the server gets through before it hears of the end.
    items = [{"payload": number, "options": {"delay": "1h"}} for number in range(500)]
    batch = await client("batches.created", {"id": "my-task", "items": items})

    answer = await client("bulk.abort", {"filter": {"batch": batch["batchId"]}})

    assert answer["aborted"] == {"id": answer["id"]}
    assert answer["action"]["status"] == "ABORTED"
    assert answer["action"]["counts"]["total"] == 500
    assert answer["action"]["counts"]["success"] < 500


async def test_list_pages_by_for_await(client: Client) -> None:
    names = [uuid.uuid4().hex for _ in range(5)]
    for name in names:
        await client("bulk.cancel", {"filter": {"tag": name}, "name": name})

    found = await client("bulk.names", 2)

    assert [name for name in found if name in names] == names[::-1]


async def test_nothing_said_does_not_mean_all_runs(client: Client) -> None:
    empty: list[dict[str, object]] = [{}, {"filter": {}}, {"filter": {"tag": ""}}]
    for meaning_nothing in empty:
        error = await client.refused("bulk.cancel", meaning_nothing)

        assert (error["class"], error["status"]) == ("BadRequestError", 400)
        assert "to say which runs are meant" in error["message"]
