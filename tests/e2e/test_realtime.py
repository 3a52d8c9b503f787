"""Python follows runs and their streams: with a real server and a real worker."""

import asyncio
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

import oncue
from oncue import FollowedRun, runs, streams, tasks
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound, OutsideTaskError
from tests.e2e.conftest import Run
from tests.fixtures.relay import Relay
from tests.fixtures.stack import LONG_S, Stack, called

MISSING = ids.show(ids.RUN, uuid.UUID(int=7))


def gates_in(folder: Path, count: int) -> list[Path]:
    return [folder / f"gate-{number}" for number in range(count)]


async def test_run_is_followed_from_stage_to_stage(run: Run, tmp_path: Path) -> None:
    gates = gates_in(tmp_path, 3)
    handle = await tasks.trigger("staged", [str(gate) for gate in gates])
    seen: list[FollowedRun] = []

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe(handle):
            seen.append(row)
            stage = (row.metadata or {}).get("stage")
            if stage is not None:
                gates[stage].touch()

    stages = [(row.metadata or {}).get("stage") for row in seen]
    assert [stage for stage in dict.fromkeys(stages) if stage is not None] == [0, 1, 2]
    assert (seen[-1].status, seen[-1].output) == ("COMPLETED", "done")
    assert [row.is_completed for row in seen[:-1]] == [False] * (len(seen) - 1)


async def test_run_that_has_ended_is_yielded_once(run: Run) -> None:
    await run("many-words", 1)
    handle = await tasks.trigger("many-words", 2)
    await handle.result(LONG_S)

    async with asyncio.timeout(LONG_S):
        seen = [row.output async for row in runs.subscribe(handle.id)]

    assert seen == [2]


async def test_thread_follows_a_run_to_its_end(run: Run, tmp_path: Path) -> None:
    gates = gates_in(tmp_path, 1)
    handle = await tasks.trigger("staged", [str(gate) for gate in gates])

    def followed() -> list[str]:
        found: list[str] = []
        for row in runs.sync.subscribe(handle):
            found.append(row.status)
            gates[0].touch()
        return found

    async with asyncio.timeout(LONG_S):
        assert (await asyncio.to_thread(followed))[-1] == "COMPLETED"


async def test_unknown_run_cannot_be_followed(backend: Stack) -> None:
    with pytest.raises(NotFound):
        _ = [row async for row in runs.subscribe(MISSING)]
    with pytest.raises(NotFound):
        _ = [value async for value in streams.read(MISSING, "words")]


async def test_runs_with_a_tag_are_followed(run: Run) -> None:
    tag = uuid.uuid4().hex
    outputs: dict[str, Any] = {}
    first = await tasks.trigger("many-words", 1, tags=tag)
    others: list[Any] = []

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe_to_tags(tag, created_within="1h"):
            if not others:
                others.append(await tasks.trigger("many-words", 2, tags=[tag, "other"]))
            if row.is_success:
                outputs[row.id] = row.output
            if len(outputs) == 2:
                break

    assert outputs == {first.id: 1, others[0].id: 2}


@pytest.mark.parametrize("tags", ["", "a,b", [], [1]])
def test_tags_that_cannot_be_asked_for_are_refused(tags: Any) -> None:
    with pytest.raises(ValueError, match="tags="):
        runs.subscribe_to_tags(tags)
    with pytest.raises(ValueError, match="tags="):
        runs.sync.subscribe_to_tags(tags)


async def test_tag_that_the_server_refuses_raises(backend: Stack) -> None:
    with pytest.raises(BadRequest):
        _ = [row async for row in runs.subscribe_to_tags("it's")]


async def test_batch_is_followed_to_its_outputs(run: Run) -> None:
    handle = await tasks.batch_trigger("many-words", [{"payload": number} for number in range(1, 4)])
    outputs: dict[str, Any] = {}

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe_to_batch(handle):
            if row.is_success:
                outputs[row.id] = row.output
            if len(outputs) == 3:
                break

    assert [outputs[each.id] for each in handle.runs] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_values_arrive_while_the_run_goes_on(run: Run, tmp_path: Path, kind: str) -> None:
    gates = gates_in(tmp_path, 3)
    handle = await tasks.trigger(f"{kind}-words", [str(gate) for gate in gates])
    seen: list[Any] = []
    gates[0].touch()

    async with asyncio.timeout(LONG_S):
        async for value in streams.read(handle, "words"):
            seen.append(value)
            # Only now may the next one come: none of them waits for those after it.
            if len(seen) < len(gates):
                gates[len(seen)].touch()

    assert seen == [{"number": number} for number in range(3)]
    assert (await handle.result(LONG_S)).unwrap() == 3


async def test_thread_reads_a_stream_to_its_end(run: Run) -> None:
    handle = await tasks.trigger("many-words", 2_500)

    async with asyncio.timeout(LONG_S):
        assert await asyncio.to_thread(lambda: list(streams.sync.read(handle, "words"))) == list(range(2_500))


async def test_values_before_one_that_cannot_be_written_are_sent(run: Run) -> None:
    handle = await tasks.trigger("unwritable-words", 3, max_attempts=1)

    async with asyncio.timeout(LONG_S):
        assert [value async for value in streams.read(handle, "words")] == [0, 1, 2]
        result = await handle.result(LONG_S)
    assert not result.ok
    assert "a value of type object cannot be written as JSON" in result.error.message


async def test_value_that_is_too_large_is_named_by_its_place(run: Run) -> None:
    handle = await tasks.trigger("large-words", 3, max_attempts=1)

    async with asyncio.timeout(LONG_S):
        assert [value async for value in streams.read(handle, "words")] == [0, 1, 2]
        result = await handle.result(LONG_S)
    assert not result.ok
    assert "value 3 of the stream 'words', counted from 0, has 600,002 bytes as JSON" in result.error.message


@pytest.mark.parametrize("task_id", ["appended-words", "sync-appended-words"])
async def test_appended_values_are_read_in_order(run: Run, task_id: str) -> None:
    handle = await tasks.trigger(task_id, ["a", "", "3", "line\nline\r\n"])

    async with asyncio.timeout(LONG_S):
        assert [value async for value in streams.read(handle, "words")] == ["a", "", "3", "line\nline\r\n"]


async def only_child(run: Any) -> str:
    children = (await runs.retrieve(run)).related_runs.children
    assert children is not None
    (child,) = children
    return child.id


# A run that is unloaded while it waits sends again what it sent before.
@pytest.mark.in_memory
async def test_children_write_to_streams_of_those_above(run: Run) -> None:
    handle = await tasks.trigger("family-words", 3)
    result = (await handle.result(LONG_S)).unwrap()
    child = await only_child(handle)
    grandchild = await only_child(child)
    found = {
        (whose, key): [value async for value in streams.read(each, key)]
        for whose, each in (("root", handle.id), ("child", child), ("grandchild", grandchild))
        for key in ("own", "from below")
    }

    assert result == [3, 3]
    assert found == {
        ("root", "own"): ["without a parent", 0, 1, 2],
        ("root", "from below"): ["from the last", "by its metadata", 0, 1, 2],
        ("child", "own"): [],
        ("child", "from below"): ["from the parent's child"],
        ("grandchild", "own"): [0, 1, 2],
        ("grandchild", "from below"): [],
    }


async def test_error_of_the_iterable_fails_the_run_after_its_values(run: Run) -> None:
    handle = await tasks.trigger("broken-words", 3, max_attempts=1)

    async with asyncio.timeout(LONG_S):
        assert [value async for value in streams.read(handle, "words")] == [0, 1, 2]
    assert "no more" in str((await handle.retrieve()).error)


async def test_reading_goes_on_after_a_broken_connection(run: Run, shared_stack: Stack, tmp_path: Path) -> None:
    gates = gates_in(tmp_path, 3)
    for gate in gates:
        gate.touch()

    async def lost() -> None:
        """Nothing: the connection is closed in its place."""

    relay = Relay(shared_stack.server.url, b"/realtime/v1/streams/", lost)
    async with relay.running(), asyncio.timeout(LONG_S):
        handle = await tasks.trigger("async-words", [str(gate) for gate in gates])
        oncue.configure(api_url=relay.url, secret_key=shared_stack.server.key)
        try:
            seen = [value async for value in streams.read(handle, "words")]
        finally:
            oncue.configure(api_url=shared_stack.server.url, secret_key=shared_stack.server.key)

    assert relay.has_lost
    assert seen == [{"number": number} for number in range(3)]


async def test_following_survives_a_server_that_restarts(own_stack: Stack, tmp_path: Path) -> None:
    gates = gates_in(tmp_path, 2)
    first = own_stack.server
    port = int(first.url.rpartition(":")[2])
    worker = own_stack.start_worker("tests.e2e.programs.telling")
    await worker.announced()
    with called(first):
        handle = await tasks.trigger("async-words", [str(gate) for gate in gates])
        values: list[Any] = []
        has_one = asyncio.Event()

        async def read() -> None:
            async for value in streams.read(handle, "words"):
                values.append(value)
                has_one.set()

        async def follow() -> FollowedRun:
            return [row async for row in runs.subscribe(handle)][-1]

        reading, following = asyncio.create_task(read()), asyncio.create_task(follow())
        gates[0].touch()
        async with asyncio.timeout(LONG_S):
            await has_one.wait()
            first.kill()
            await first.ended()
            own_stack.start_server(port=port)
            gates[1].touch()
            await reading
            last = await following

    assert values == [{"number": 0}, {"number": 1}]
    assert (last.status, last.output) == ("COMPLETED", 2)


async def test_streams_are_written_inside_a_run_only() -> None:
    with pytest.raises(OutsideTaskError):
        await streams.pipe("words", [1])
    with pytest.raises(OutsideTaskError):
        streams.sync.append("words", 1)


async def test_iteration_that_is_left_holds_no_connection(run: Run, tmp_path: Path) -> None:
    gates = gates_in(tmp_path, 1)
    handle = await tasks.trigger("staged", [str(gate) for gate in gates])

    following = runs.subscribe(handle)
    assert (await anext(following)).id == handle.id
    before = threading.active_count()
    await following.aclose()  # type: ignore[attr-defined]
    gates[0].touch()

    assert threading.active_count() <= before
    await handle.result(LONG_S)
