"""Payloads and outputs that are too large for a row go through the object store, and nobody has to know."""

import asyncio
import io
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oncue import ApiError, BatchTriggerError, PayloadTooLarge, item, runs, tasks
from tests.e2e.conftest import PROGRAMS, Run
from tests.fixtures.s3 import S3
from tests.fixtures.stack import LONG_S, Program, Stack, called, eventually

MB = 1024 * 1024
PAYLOAD_LIMIT = 10 * MB
OUTPUT_LIMIT = 100 * MB
KINDS = ("", "-plain", "-apart", "-apart-plain")
AROUND_TEXT = len('{"text":""}')


@pytest.mark.parametrize("kind", KINDS)
async def test_large_payload_reaches_every_kind_of_task(run: Run, kind: str) -> None:
    assert await run(f"measures{kind}", {"text": "x" * MB}) == MB


@pytest.mark.parametrize("kind", KINDS)
async def test_large_output_of_every_kind_of_task_is_read(run: Run, kind: str) -> None:
    assert await run(f"writes{kind}", MB) == "x" * MB


@pytest.mark.parametrize("kind", ["", "-plain"])
async def test_large_outputs_of_children_reach_their_parent(run: Run, kind: str) -> None:
    sizes = await run(f"passes-large-texts-on{kind}", MB)

    assert sizes == ([MB, MB, MB + 1, MB + 2] if not kind else [MB, MB + 1])


async def test_retrieved_run_shows_what_is_kept_apart(run: Run) -> None:
    measured = await tasks.trigger("measures", {"text": "x" * MB})
    wrote = await tasks.trigger("writes", MB)
    await measured.result(LONG_S)
    await wrote.result(LONG_S)

    first, second = await runs.retrieve(measured), await asyncio.to_thread(runs.sync.poll, wrote)

    assert first.payload == {"text": "x" * MB}
    assert (first.output, first.payload_presigned_url) == (MB, None)
    assert (second.payload, second.output, second.output_presigned_url) == (MB, "x" * MB, None)


async def test_payloads_of_a_stream_are_stored_as_they_come(run: Run) -> None:
    async def texts() -> AsyncIterator[Any]:
        for number in range(1_010):
            yield item({"text": "x" * (MB if number % 500 == 3 else number)})

    handle = await tasks.batch_trigger("measures", texts())

    assert [(await handle.runs[n].result(LONG_S)).unwrap() for n in (0, 3, 4, 503, 1_003, 1_009)] == [
        0, MB, 4, MB, MB, 1_009,
    ]  # fmt: skip


async def test_replayed_run_gets_the_large_payload(run: Run) -> None:
    handle = await tasks.trigger("measures", {"text": "x" * MB})

    same = await runs.replay(handle)
    other = await runs.replay(handle, payload={"text": "y" * (2 * MB)})

    assert [(await each.result(LONG_S)).unwrap() for each in (same, other)] == [MB, 2 * MB]


@pytest.mark.in_memory
async def test_payload_over_the_limit_is_refused_with_size_and_limit(run: Run) -> None:
    fits = {"text": "x" * (PAYLOAD_LIMIT - AROUND_TEXT)}
    large = {"text": "x" * (PAYLOAD_LIMIT - AROUND_TEXT + 1)}

    assert await run("measures", fits) == PAYLOAD_LIMIT - AROUND_TEXT
    with pytest.raises(PayloadTooLarge, match="payload is 10,485,761 bytes; the limit is 10,485,760; keep it in"):
        await tasks.trigger("measures", large)
    with pytest.raises(BatchTriggerError, match="payload is 10,485,761 bytes; the limit is 10,485,760") as refused:
        await tasks.batch_trigger("measures", [item({"text": "x"}), item(large)])
    assert (refused.value.phase, refused.value.item_count, refused.value.batch_id) == ("offload", 2, None)
    assert isinstance(refused.value.cause, PayloadTooLarge)


@pytest.mark.in_memory
@pytest.mark.parametrize("kind", ["", "-apart-plain"])
async def test_output_over_the_limit_fails_the_run_at_once(run: Run, kind: str) -> None:
    assert len(await run(f"writes{kind}", OUTPUT_LIMIT - 2)) == OUTPUT_LIMIT - 2

    handle = await tasks.trigger(f"writes{kind}", OUTPUT_LIMIT - 1, max_attempts=3)
    result = await handle.result(LONG_S)

    assert not result.ok
    assert result.error.name == "PayloadTooLarge"
    assert result.error.message.endswith("output is 104,857,601 bytes; the limit is 104,857,600")
    assert (await runs.retrieve(handle)).attempt_count == 1


@pytest.mark.in_memory
@pytest.mark.parametrize("place", ["folder", "s3"])
async def test_largest_documents_pass_the_server_by(own_stack: Stack, place: str, s3: S3) -> None:
    server = own_stack.start_server(variables=s3.variables if place == "s3" else {})
    worker = own_stack.start_worker(f"{PROGRAMS}.large")
    await worker.announced()
    with called(server):
        await (await tasks.trigger("measures", {"text": "warm"})).result(LONG_S)
        before = peak_bytes(server.pid)

        measured = await tasks.trigger("measures", {"text": "x" * (99 * MB // 10)})
        assert (await measured.result(LONG_S)).unwrap() == 99 * MB // 10
        after_payload = peak_bytes(server.pid)
        wrote = await tasks.trigger("writes", 99 * MB)
        assert len((await wrote.result(LONG_S)).unwrap()) == 99 * MB

    assert after_payload - before < 3 * 99 * MB // 10
    assert peak_bytes(server.pid) - before < 3 * 99 * MB
    # What it holds is a few pieces, not the document.
    assert peak_bytes(server.pid) - before < 30 * MB


@pytest.mark.in_memory
async def test_payload_within_the_request_takes_less_than_three_times_its_size(own_stack: Stack) -> None:
    server = own_stack.start_server()
    body = b'{"payload":"%s"}' % (b"x" * (99 * MB // 10))
    url = f"{server.url}/api/v1/tasks/measures/trigger"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.key}"}) as session:
        async with session.post(url, data=b'{"payload":1}') as answer:
            assert answer.status == 200
        before = peak_bytes(server.pid)
        async with session.post(url, data=io.BytesIO(body)) as answer:
            assert answer.status == 200

    assert peak_bytes(server.pid) - before < 3 * 99 * MB // 10


@pytest.mark.in_memory
async def test_large_outputs_wait_for_a_store_that_is_away(own_stack: Stack, s3_to_come: S3) -> None:
    server = own_stack.start_server(variables=s3_to_come.variables)
    worker = own_stack.start_worker(f"{PROGRAMS}.large")
    await worker.announced()
    with called(server):
        # What they wait for the store is no compute time of theirs.
        handles = [await tasks.trigger(f"writes{kind}", MB, max_attempts=1, max_duration=3) for kind in KINDS]
        to_cancel = [await tasks.trigger(f"writes{kind}", MB, max_attempts=1) for kind in KINDS]
        for handle in (*handles, *to_cancel):
            await eventually(partial(held_up, worker, handle.id), "the output cannot be stored", within_s=60)
        for handle in to_cancel:
            await runs.cancel(handle)
        await asyncio.to_thread(s3_to_come.start)

        assert [(await handle.result(2 * LONG_S)).unwrap() for handle in handles] == ["x" * MB] * 4
        assert max([(await runs.retrieve(handle)).duration_ms for handle in handles]) < 3_000
        assert [(await runs.retrieve(handle)).status for handle in to_cancel] == ["CANCELED"] * 4
        assert (await (await tasks.trigger("measures", {"text": "x"})).result(LONG_S)).unwrap() == 1
    await asyncio.to_thread(worker.end)
    assert worker.exit_code == 0


@pytest.mark.in_memory
async def test_client_says_that_the_store_is_away(own_stack: Stack, s3_to_come: S3) -> None:
    server = own_stack.start_server(variables=s3_to_come.variables)
    with called(server), pytest.raises(ApiError, match=r"the object store did not answer while a payload of .* stored"):
        await tasks.trigger("measures", {"text": "x" * MB})


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def held_up(worker: Program, run: str) -> bool:
    return any("document.held_up" in line and run in line for line in worker.said.splitlines())
