"""Metadata and tags over HTTP, as official clients send them."""

import io
from typing import Any

import pytest

from oncue.protocol import ids
from tests.api.client import Client, Reply

KEY = "x-trigger-request-idempotency-key"


async def put(client: Client, run: str, body: Any, **options: Any) -> Reply:
    return await client.send("PUT", f"/api/v1/runs/{run}/metadata", body, **options)


async def stored(client: Client, run: str) -> Any:
    reply = await client.get(f"/api/v1/runs/{run}/metadata")
    assert reply.status == 200, reply
    return reply.body["metadata"]


async def test_every_operation_is_read_from_the_wire(client: Client) -> None:
    run = await client.trigger("t", metadata={"gone": 1, "list": [1, {"a": 1}]})

    reply = await put(
        client,
        run,
        {
            "operations": [
                {"type": "set", "key": "$.user.name", "value": "ann"},
                {"type": "delete", "key": "gone"},
                {"type": "append", "key": "list", "value": None},
                {"type": "remove", "key": "list", "value": {"a": 1}},
                {"type": "increment", "key": "n", "value": 2},
                {"type": "increment", "key": "f", "value": 0.5},
                {"type": "set", "key": "extra", "value": True, "unknown": "field"},
            ]
        },
    )

    expected = {"list": [1, None], "user": {"name": "ann"}, "n": 2, "f": 0.5, "extra": True}
    assert (reply.status, reply.body) == (200, {"metadata": expected})
    assert type(reply.body["metadata"]["n"]) is int
    assert await stored(client, run) == expected
    replaced = await put(client, run, {"operations": [{"type": "update", "value": {"b": 2}}]})
    assert replaced.body == {"metadata": {"b": 2}}
    shown = await client.get(f"/api/v3/runs/{run}")
    assert shown.body["metadata"] == {"b": 2}


async def test_metadata_is_an_object_even_where_there_is_none(client: Client) -> None:
    run = await client.trigger("t")

    assert await stored(client, run) == {}
    assert (await put(client, run, {})).body == {"metadata": {}}
    assert (await put(client, run, {"metadata": {"a": [1]}})).body == {"metadata": {"a": [1]}}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            {"operations": [{"type": "set", "key": "a", "value": 1}, {"type": "rename", "key": "a"}]},
            400,
            "operations[1]",
        ),
        ({"operations": [{"type": "set", "key": "a"}]}, 400, "operations[0].value is missing"),
        ({"operations": [{"type": "increment", "key": "a", "value": "1"}]}, 400, "operations[0].value: expected"),
        ({"operations": [{"type": "increment", "key": "a", "value": True}]}, 400, "operations[0].value: expected"),
        ({"operations": [{"type": "update", "value": [1]}]}, 400, "operations[0].value: found '[1]'; expected a JSON"),
        ({"operations": [{"type": "set", "key": "a\0", "value": 1}]}, 400, "NUL"),
        ({"parentOperations": [{"type": "set", "key": "$.__proto__.a", "value": 1}]}, 400, "parentOperations[0].key: "),
        ({"rootOperations": [{"type": "delete", "key": "$.a[*]"}]}, 400, "rootOperations[0].key: "),
        (
            {"operations": [{"type": "set", "key": "$.n.x", "value": 1}]},
            422,
            "operations[0].key: '$.n.x' leads through",
        ),
        ({"metadata": [1]}, 400, "metadata: found '[1]'; expected a JSON object"),
        ({"metadata": {"a": "x" * 262_144}}, 413, "metadata is 262,152 bytes; the limit is 262,144"),
        (b"", 400, "the body is empty"),
    ],
)
async def test_refusal_names_place_and_reason(client: Client, body: Any, status: int, error: str) -> None:
    run = await client.trigger("t", metadata={"n": 1})

    reply = await put(client, run, body)

    assert reply.status == status, reply
    assert error in reply.body["error"]
    assert reply.headers["x-should-retry"] == "false"
    assert await stored(client, run) == {"n": 1}


async def test_body_above_its_limit_is_refused(client: Client) -> None:
    run = await client.trigger("t")

    async with client._session.put(f"/api/v1/runs/{run}/metadata", data=io.BytesIO(b" " * 1_048_577)) as response:
        answered = await response.json()

    assert (response.status, answered["code"]) == (413, "payload_too_large")
    assert "the limit is 1,048,576" in answered["error"]


async def test_change_sent_again_with_its_key_counts_once(client: Client) -> None:
    run = await client.trigger("t")
    body = {"operations": [{"type": "increment", "key": "n", "value": 1}]}

    for key in ("one", "one", "two"):
        assert (await put(client, run, body, headers={KEY: key})).status == 200

    assert await stored(client, run) == {"n": 2}


async def test_unknown_run_is_not_found(client: Client, prod_client: Client) -> None:
    run = await client.trigger("t")

    for someone, wanted in ((client, ids.new_run_id()), (prod_client, run)):
        path = f"/api/v1/runs/{wanted}"
        replies = [
            await someone.get(f"{path}/metadata"),
            await put(someone, wanted, {"metadata": {}}),
            await someone.post(f"{path}/tags", {"tags": "a"}),
        ]
        assert [(reply.status, reply.body["code"]) for reply in replies] == [(404, "not_found")] * 3


async def test_tags_are_added_as_text_or_list(client: Client) -> None:
    run = await client.trigger("t", tags="m")

    one = await client.post(f"/api/v1/runs/{run}/tags", {"tags": "z"})
    two = await client.post(f"/api/v1/runs/{run}/tags", {"tags": ["a", "m", "", "a"]})
    none = await client.post(f"/api/v1/runs/{run}/tags", {"tags": []})

    assert [(reply.status, reply.body) for reply in (one, two, none)] == [
        (200, {"message": "added 1 new tag"}),
        (200, {"message": "added 1 new tag"}),
        (200, {"message": "no new tags to add"}),
    ]
    assert (await client.get(f"/api/v3/runs/{run}")).body["tags"] == ["a", "m", "z"]


@pytest.mark.parametrize(
    ("tags", "status", "error"),
    [
        ([str(number) for number in range(11)], 422, "at most 10"),
        (["x" * 129], 400, "has 129 characters"),
        (7, 400, "tags: expected"),
        (["a", 7], 400, "tags[1]: expected str, got int"),
    ],
)
async def test_refused_tags_leave_the_run_alone(client: Client, tags: Any, status: int, error: str) -> None:
    run = await client.trigger("t", tags="m")

    reply = await client.post(f"/api/v1/runs/{run}/tags", {"tags": tags})

    assert reply.status == status, reply
    assert error in reply.body["error"]
    assert (await client.get(f"/api/v3/runs/{run}")).body["tags"] == ["m"]
