"""Official clients follow runs, tags, batches and streams."""

import asyncio
import uuid
from typing import Any

import aiohttp

from tests.clients.client import Client
from tests.fixtures.stack import Stack, eventually


async def test_run_is_followed_to_its_end(each_client: Client) -> None:
    asked = {"id": "my-task", "payload": {"a": 1}, "options": {"tags": ["t"], "delay": "1s"}, "breaks": True}

    found = await each_client("realtime.followed", asked)

    assert found["statuses"][0] == "DELAYED"
    assert found["statuses"][-1] == "COMPLETED"
    last = found["last"]
    assert (last["output"], last["payload"], last["tags"]) == ({"a": 1}, {"a": 1}, ["t"])
    assert (last["isCompleted"], last["isSuccess"], last["isTest"]) == (True, True, False)
    assert last["finishedAt"].endswith("Z")


async def test_subscription_ends_with_its_run(client: Client) -> None:
    found = await client("realtime.followed", {"id": "my-task", "payload": 1})

    assert found["statuses"][-1] == "COMPLETED"


async def test_failed_run_is_followed_to_its_error(client: Client) -> None:
    found = await client("realtime.followed", {"id": "fails", "payload": "oh", "options": {"maxAttempts": 1}})

    assert found["statuses"][-1] == "FAILED"
    assert (found["last"]["error"]["name"], found["last"]["error"]["message"]) == ("ValueError", "oh")


async def test_token_of_a_handle_follows_a_large_run(each_client: Client) -> None:
    assert await each_client("realtime.followedByBearer", 700_000) == [700_000, 700_000]


async def test_skipped_columns_do_not_arrive(client: Client) -> None:
    asked = {"id": "my-task", "payload": 1, "subscribe": {"skipColumns": ["payload", "output"]}}

    last = (await client("realtime.followed", asked))["last"]

    assert [last.get(column) for column in ("payload", "output")] == [None, None]
    assert last["status"] == "COMPLETED"


async def test_runs_with_a_tag_are_followed(each_client: Client) -> None:
    asked = {"id": "my-task", "payloads": [1, 2, 3], "tag": uuid.uuid4().hex}

    assert await each_client("realtime.tagged", asked) is True


async def test_batch_is_followed_to_its_outputs(each_client: Client) -> None:
    assert await each_client("realtime.batched", {"id": "my-task", "payloads": [1, 2, 3]}) == [1, 2, 3]


async def streamed(client: Client, stack: Stack, key: str, *chunks: bytes) -> str:
    """Make a run that is held, and write a stream of it; return the run."""
    handle = await client("triggering.trigger", {"id": "my-task", "payload": 1, "options": {"delay": "1h"}})
    run = str(handle["id"])
    headers = {"Authorization": f"Bearer {stack.server.key}"}
    async with aiohttp.ClientSession(stack.server.url, headers=headers) as session:
        path = f"/realtime/v1/streams/{run}/self/{key}"
        async with session.put(path) as registered:
            assert registered.status == 202
        async with session.post(path, data=b"".join(chunks)) as taken:
            assert taken.status == 200
    return run


async def cancelled(stack: Stack, run: str) -> None:
    headers = {"Authorization": f"Bearer {stack.server.key}"}
    async with aiohttp.ClientSession(stack.server.url, headers=headers) as session:
        (await session.post(f"/api/v2/runs/{run}/cancel")).release()


async def test_stream_is_read_to_its_end(each_client: Client, shared_stack: Stack) -> None:
    run = await streamed(each_client, shared_stack, "words", b'"a"\n', b'{"b":1}\n')
    await cancelled(shared_stack, run)

    found: list[Any] = await each_client("realtime.readStream", {"run": run, "key": "words"})

    assert found == ["a", {"b": 1}]


async def test_stream_is_read_from_an_index(each_client: Client, shared_stack: Stack) -> None:
    run = await streamed(each_client, shared_stack, "words", b"0\n1\n2\n3\n")
    await cancelled(shared_stack, run)

    assert await each_client("realtime.readStream", {"run": run, "key": "words", "startIndex": 2}) == [2, 3]


async def test_subscription_brings_streams_along(each_client: Client, shared_stack: Stack) -> None:
    run = await streamed(each_client, shared_stack, "words", b"1\n2\n3\n")

    assert await each_client("realtime.withStreams", {"run": run, "key": "words"}) == [1, 2, 3]


async def test_reader_of_the_end_is_given_values_only(client: Client, shared_stack: Stack) -> None:
    run = await streamed(client, shared_stack, "words", b'"before"\n')
    reading = asyncio.create_task(client("realtime.readNext", {"run": run, "key": "words"}))

    headers = {"Authorization": f"Bearer {shared_stack.server.key}"}
    async with aiohttp.ClientSession(shared_stack.server.url, headers=headers) as session:

        async def is_read() -> bool:
            (await session.post(f"/realtime/v1/streams/{run}/self/words/append", data=b'"later"')).release()
            return reading.done()

        await eventually(is_read, "the reader has seen a value that came after it had begun")

    assert await reading == "later"


async def test_backend_sends_words_to_a_run(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": "hears-words", "payload": None})
    said = ["hello", {"and": [1, None, "more"]}, "bye"]

    sent = await each_client("realtime.sendWords", {"run": handle["id"], "key": "words", "words": said})
    run = await each_client("runs.poll", handle["id"])

    assert sent == "sent"
    assert (run["status"], run["output"]) == ("COMPLETED", said[:2])


async def test_words_for_a_run_that_has_ended_are_refused(client: Client, shared_stack: Stack) -> None:
    run = await streamed(client, shared_stack, "words", b"1\n")
    await cancelled(shared_stack, run)

    error = await client.refused("realtime.sendWords", {"run": run, "key": "words", "words": ["late"]})

    assert (error["class"], error["status"]) == ("BadRequestError", 400)
    assert "has ended" in error["message"]
