import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from oncue.protocol import ids
from tests.api.client import NDJSON, Client, Reply


def lines(*indexes: int, **more: Any) -> bytes:
    items = [{"index": index, "task": "add", "payload": {"n": index}, **more} for index in indexes]
    return b"\n".join(msgspec.json.encode(item) for item in items)


async def created(client: Client, run_count: int, **more: Any) -> str:
    reply = await client.post("/api/v3/batches", {"runCount": run_count, **more})
    assert reply.status == 202, reply
    return str(reply.body["id"])


async def filled(client: Client, batch: str, body: Any) -> Reply:
    return await client.send("POST", f"/api/v3/batches/{batch}/items", body, headers=NDJSON)


async def test_full_batch_is_sealed_and_keeps_item_order(client: Client) -> None:
    worker = await client.announce("add")
    batch = await created(client, 3)

    reply = await filled(client, batch, lines(2, 0, 1))
    shown = await client.get(f"/api/v2/batches/{batch}")
    payloads = {run["runId"]: run["payload"]["n"] for run in (await client.claim(worker))["assignments"]}

    assert reply.body == {"id": batch, "itemsAccepted": 3, "itemsDeduplicated": 0, "sealed": True, "runCount": 3}
    assert (shown.body["status"], shown.body["runCount"]) == ("PROCESSING", 3)
    assert [payloads[run] for run in shown.body["runs"]] == [0, 1, 2]


async def test_missing_items_leave_the_batch_open(client: Client) -> None:
    batch = await created(client, 3)

    part = await filled(client, batch, lines(0, 2))
    rest = await filled(client, batch, lines(0, 1, 2))

    assert part.body == {
        "id": batch, "itemsAccepted": 2, "itemsDeduplicated": 0, "sealed": False, "runCount": 3,
        "enqueuedCount": 2, "expectedCount": 3,
    }  # fmt: skip
    assert (rest.body["itemsAccepted"], rest.body["itemsDeduplicated"], rest.body["sealed"]) == (1, 2, True)


async def test_sealed_batch_answers_a_stream_sent_again(client: Client) -> None:
    batch = await created(client, 1)
    await filled(client, batch, lines(0))

    again = await filled(client, batch, lines(0))

    assert (again.status, again.body["itemsAccepted"], again.body["sealed"]) == (200, 0, True)


async def test_creation_sent_again_makes_one_batch(client: Client) -> None:
    headers = {"x-trigger-request-idempotency-key": "0d3ad0a5-50cf-4f0b-8a0e-d4ad4a6b8ad5"}
    minted = ids.new_batch_id()

    first = await client.post("/api/v3/batches", {"runCount": 2}, headers=headers)
    second = await client.post("/api/v3/batches", {"runCount": 2}, headers=headers)
    own = await created(client, 2, id=minted)
    own_again = await created(client, 2, id=minted)

    assert first.body["id"] == second.body["id"]
    assert own == own_again == minted


async def test_items_arriving_in_pieces_are_read_across_them(client: Client) -> None:
    batch = await created(client, 40)
    body = b"\n\n" + lines(*range(40)).replace(b"\n", b"\r\n") + b"\n  \n"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]
            await asyncio.sleep(0)

    async with client._session.post(f"/api/v3/batches/{batch}/items", data=pieces(), headers=NDJSON) as response:
        reply = await response.json()

    assert (reply["itemsAccepted"], reply["sealed"]) == (40, True)


async def test_stream_longer_than_a_group_is_taken_whole(client: Client) -> None:
    batch = await created(client, 1_000)

    reply = await filled(client, batch, lines(*range(1_000)))

    assert (reply.body["itemsAccepted"], reply.body["sealed"]) == (1_000, True)


async def test_line_that_is_no_json_is_named_by_number(client: Client) -> None:
    batch = await created(client, 3)

    reply = await filled(client, batch, lines(0) + b"\n{\n" + lines(1))

    assert (reply.status, reply.body["error"].startswith("Invalid JSON at line 2: ")) == (400, True)


async def test_item_of_wrong_type_is_named_by_index(client: Client) -> None:
    batch = await created(client, 3)

    typed = await filled(client, batch, lines(0) + b'\n{"index": 1, "task": 5}')
    untold = await filled(client, batch, b'{"index": "x", "task": "add"}')
    beyond = await filled(client, batch, lines(3))

    assert (typed.status, typed.body["error"]) == (422, "Invalid item at index 1: task: expected str, got int")
    assert (untold.status, untold.body["error"]) == (422, "Invalid item at line 1: index: expected int, got str")
    assert (beyond.status, beyond.body["error"].startswith("Invalid item at index 3")) == (422, True)


async def test_items_before_a_broken_line_are_kept(client: Client) -> None:
    batch = await created(client, 600)

    broken = await filled(client, batch, lines(*range(550)) + b"\n{")
    again = await filled(client, batch, lines(*range(600)))

    assert broken.status == 400
    assert (again.body["itemsAccepted"], again.body["itemsDeduplicated"], again.body["sealed"]) == (100, 500, True)


async def test_item_that_breaks_a_rule_fails_alone(client: Client) -> None:
    batch = await created(client, 2)
    bad = msgspec.json.encode({"index": 1, "task": "add", "options": {"maxAttempts": 0}})

    reply = await filled(client, batch, lines(0) + b"\n" + bad)
    runs = (await client.get(f"/api/v2/batches/{batch}")).body["runs"]
    shown = [(await client.get(f"/api/v3/runs/{run}")).body["status"] for run in runs]

    assert (reply.body["itemsAccepted"], reply.body["sealed"]) == (2, True)
    assert shown == ["PENDING_VERSION", "SYSTEM_FAILURE"]


async def test_nul_in_an_item_fails_that_item_only(client: Client) -> None:
    batch = await created(client, 2)

    reply = await filled(client, batch, lines(0) + b"\n" + lines(1, options={"tags": ["a\0"]}))

    assert (reply.status, reply.body["sealed"]) == (200, True)


async def test_batch_of_another_environment_is_not_found(client: Client, prod_client: Client) -> None:
    batch = await created(client, 1)

    reply = await filled(prod_client, batch, lines(0))
    shown = await prod_client.get(f"/api/v2/batches/{batch}")

    assert (reply.status, reply.body["error"]) == (422, f"Batch {batch} not found")
    assert shown.status == 404


async def test_body_that_is_not_ndjson_is_refused(client: Client) -> None:
    batch = await created(client, 1)

    reply = await client.post(f"/api/v3/batches/{batch}/items", lines(0), headers={"Content-Type": "application/json"})

    assert (reply.status, reply.body["error"]) == (
        415, "Content-Type is 'application/json'; expected application/x-ndjson",
    )  # fmt: skip


async def test_results_come_in_item_order_and_pages(client: Client) -> None:
    worker = await client.announce("add")
    batch = await created(client, 3)
    await filled(client, batch, lines(0, 1, 2))
    for assignment in reversed((await client.claim(worker))["assignments"]):
        await client.succeed(worker, assignment, assignment["payload"]["n"])

    first = await client.get(f"/api/v1/work/batches/{batch}/results?limit=2")
    rest = await client.get(f"/api/v1/work/batches/{batch}/results?after=2&limit=2")
    shown = await client.get(f"/api/v2/batches/{batch}")

    assert [item["output"] for item in first.body["items"]] == [0, 1]
    assert [item["output"] for item in rest.body["items"]] == [2]
    assert shown.body["status"] == "COMPLETED"


async def test_item_of_another_run_is_reached_by_its_own_id(client: Client) -> None:
    """The client gives each item an id before the server says that the item's key stands for a run that is there."""
    await client.announce("add")
    run = await client.trigger("add", {"n": 1}, idempotencyKey="k", delay="1h", tags=["a"])
    batch = await created(client, 1)
    await filled(client, batch, lines(0, options={"idempotencyKey": "k"}))
    item = ids.show(ids.RUN, ids.item_run_id(ids.parse(ids.BATCH, batch), 0))
    assert item != run

    path = f"/api/v1/runs/{item}"
    assert (await client.get(f"/api/v3/runs/{item}")).body["id"] == run
    assert (await client.post(f"{path}/reschedule", {"delay": "2h"})).body["id"] == run
    assert (await client.post(f"{path}/tags", {"tags": ["b"]})).status == 200
    assert (await client.send("PUT", f"{path}/metadata", {"metadata": {"of": "item"}})).status == 200
    assert (await client.get(f"{path}/metadata")).body["metadata"] == {"of": "item"}
    assert (await client.post(f"{path}/replay")).status == 200
    assert (await client.get(f"{path}/result")).status == 404
    assert (await client.post(f"/api/v2/runs/{item}/cancel")).body == {"id": run}
    shown = (await client.get(f"/api/v3/runs/{run}")).body
    assert (shown["status"], shown["tags"], shown["metadata"]) == ("CANCELED", ["a", "b"], {"of": "item"})
    assert (await client.get(f"{path}/result")).body["id"] == run


async def opened(client: Client, **more: Any) -> str:
    reply = await client.post("/api/v3/batches", {"runCount": 0, "open": True, **more})
    assert reply.status == 202, reply
    return str(reply.body["id"])


async def sealed(client: Client, batch: str, run_count: int) -> Reply:
    return await client.post(f"/api/v3/batches/{batch}/seal", {"runCount": run_count})


async def test_open_batch_takes_items_until_it_is_sealed(client: Client) -> None:
    batch = await opened(client)
    first = await filled(client, batch, lines(*range(3)))
    answer = await filled(client, batch, lines(*range(2, 1_200)))
    assert (first.body["sealed"], answer.body["sealed"]) == (False, False)
    assert answer.body["enqueuedCount"] == 1_200
    assert answer.body["itemsDeduplicated"] == 1
    waiting = (await client.get(f"/api/v2/batches/{batch}")).body
    assert (waiting["status"], waiting["runCount"], waiting["runs"]) == ("PENDING", 1_200, [])

    early = await sealed(client, batch, 1_201)
    assert (early.status, early.body["sealed"]) == (200, False)
    assert (early.body["enqueuedCount"], early.body["expectedCount"]) == (1_200, 1_201)
    for _ in range(2):
        done = await sealed(client, batch, 1_200)
        assert (done.status, done.body["sealed"], done.body["runCount"]) == (200, True, 1_200)
    found = (await client.get(f"/api/v2/batches/{batch}")).body
    assert (found["status"], found["runCount"], len(found["runs"])) == ("PROCESSING", 1_200, 1_000)
    refused = await sealed(client, batch, 1_199)
    assert refused.status == 422
    assert "has 1200 items; found runCount=1199" in refused.body["error"]


async def test_batch_that_is_not_open_cannot_be_given_another_number(client: Client) -> None:
    batch = await created(client, 2)

    assert (await sealed(client, batch, 3)).status == 422
    short = await sealed(client, batch, 2)
    assert (short.status, short.body["sealed"], short.body["enqueuedCount"]) == (200, False, 0)


async def test_open_batch_has_no_number_when_it_is_created(client: Client) -> None:
    reply = await client.post("/api/v3/batches", {"runCount": 3, "open": True})

    assert reply.status == 400
    assert "runCount: found 3; expected 0 with open" in reply.body["error"]


async def test_open_batch_of_another_environment_cannot_be_sealed(client: Client, prod_client: Client) -> None:
    batch = await opened(client)

    assert (await sealed(prod_client, batch, 1)).status == 422


async def test_key_stands_for_no_batch_of_other_tasks(client: Client) -> None:
    async def create(*tasks: str) -> Reply:
        body = {"runCount": 1, "idempotencyKey": "k", **({"taskIdentifiers": list(tasks)} if tasks else {})}
        return await client.post("/api/v3/batches", body)

    first = await create("add", "other")
    others = [await create("fail"), await create("add")]
    same = [await create("other", "add", "add"), await create()]

    assert [reply.status for reply in others] == [422, 422]
    assert "a batch of other tasks has already been created with the same idempotency key" in others[0].body["error"]
    assert [reply.body["id"] for reply in same] == [first.body["id"]] * 2
    assert (await client.get(f"/api/v2/batches/{first.body['id']}")).body["idempotencyKey"] == "k"


async def test_results_of_a_batch_are_those_that_there_are(client: Client) -> None:
    worker = await client.announce("add")
    batch = await created(client, 4)
    await filled(client, batch, lines(3, 0, 1, 2))
    held = {run["payload"]["n"]: run for run in (await client.claim(worker))["assignments"]}

    async def items() -> list[tuple[str, bool, str | None]]:
        reply = await client.get(f"/api/v1/batches/{batch}/results")
        assert (reply.status, reply.body["id"]) == (200, batch)
        return [(item["id"], item["ok"], item.get("output")) for item in reply.body["items"]]

    assert await items() == []
    await client.succeed(worker, held[2], {"text": "two"})
    await client.succeed(worker, held[0], 0)
    await client.post(f"/api/v2/runs/{held[3]['runId']}/cancel")
    assert await items() == [
        (held[0]["runId"], True, "0"),
        (held[2]["runId"], True, '{"text":"two"}'),
        (held[3]["runId"], False, None),
    ]
    assert (await client.get("/api/v1/batches/batch_00000000000000000000000001/results")).status == 404
