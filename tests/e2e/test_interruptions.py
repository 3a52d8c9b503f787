"""Runs outlive the worker that executes them and the server that handed them out."""

import datetime
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from oncue import RunHandle, runs, tasks
from oncue.sdk.run import Run as Shown
from tests.e2e.programs.gates import lines
from tests.fixtures.embedded import ask
from tests.fixtures.stack import Stack, called, eventually

PROGRAM = "tests.e2e.programs.interrupted"
SHORT_LEASE: dict[str, Any] = {
    "lease": datetime.timedelta(seconds=1.5),
    "heartbeat": datetime.timedelta(seconds=0.25),
    "claim_wait": datetime.timedelta(seconds=2),
}


class Marks:
    """The ledger in which tasks note that they started, and the gate that lets them end."""

    def __init__(self, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.gate = folder / "gate"
        self.payload = [str(self.ledger), str(self.gate)]

    @property
    def starts(self) -> list[str]:
        """The worker of each start."""
        return lines(self.ledger)

    async def started(self, times: int = 1) -> None:
        await eventually(lambda: len(self.starts) >= times, f"a task starts for the {times}. time")


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


async def _ended(handle: RunHandle[object] | str) -> Shown:
    return await runs.poll(handle, interval=0.05, timeout=25)


def _is(status: str, handle: RunHandle[object]) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return (await handle.retrieve()).status == status

    return probe


@pytest.mark.parametrize("task_id", ["gated", "gated-plain"])
async def test_terminated_worker_finishes_what_it_runs(own_stack: Stack, marks: Marks, task_id: str) -> None:
    worker = own_stack.start_worker(PROGRAM)
    with called(own_stack.server):
        handle = await tasks.trigger(task_id, marks.payload)
        await marks.started()
        worker.signal(signal.SIGTERM)
        late = await tasks.trigger("where")
        marks.gate.touch()

        ended = await _ended(handle)
        assert await worker.ended() == 0
        assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", marks.starts[0], 1)
        # It took no new work on its way out.
        assert (await late.retrieve()).status == "QUEUED"


@pytest.mark.parametrize("task_id", ["gated", "gated-plain"])
async def test_run_beyond_the_grace_ends_on_another_worker(own_stack: Stack, marks: Marks, task_id: str) -> None:
    first = own_stack.start_worker(PROGRAM, grace="0.1")
    with called(own_stack.server):
        handle = await tasks.trigger(task_id, marks.payload)
        await marks.started()
        own_stack.start_worker(PROGRAM)
        first.signal(signal.SIGTERM)

        await marks.started(times=2)
        marks.gate.touch()
        ended = await _ended(handle)

        assert await first.ended() == 0
        assert len(set(marks.starts)) == 2
        # Handing back costs no attempt.
        assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", marks.starts[1], 1)


async def test_parked_parent_is_handed_back_and_ends_elsewhere(own_stack: Stack, marks: Marks) -> None:
    first = own_stack.start_worker(PROGRAM, grace="0.1")
    with called(own_stack.server):
        handle = await tasks.trigger("parent-plain", marks.payload)
        await marks.started()
        own_stack.start_worker(PROGRAM)
        first.signal(signal.SIGTERM)
        assert await first.ended() == 0
        marks.gate.touch()

        ended = await _ended(handle)
        assert ended.status == "COMPLETED"


@pytest.mark.parametrize("task_id", ["gated", "gated-plain"])
async def test_run_of_a_killed_worker_starts_again(own_stack: Stack, marks: Marks, task_id: str) -> None:
    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.trigger(task_id, marks.payload)
        await marks.started()
        own_stack.start_worker(PROGRAM)
        first.kill()

        await marks.started(times=2)
        marks.gate.touch()
        ended = await _ended(handle)

        assert len(set(marks.starts)) == len(marks.starts) == 2
        assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", marks.starts[1], 1)
    assert await ask(own_stack.database_url, "select count(*) from oncue.live") == 0


async def test_frozen_worker_cannot_overwrite_the_new_one(own_stack: Stack, marks: Marks) -> None:
    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.trigger("gated", marks.payload)
        await marks.started()
        own_stack.start_worker(PROGRAM)
        first.signal(signal.SIGSTOP)
        await marks.started(times=2)
        marks.gate.touch()
        ended = await _ended(handle)

        # It wakes up, finds the gate open and reports a result that nobody wants.
        first.signal(signal.SIGCONT)
        await eventually(lambda: "worker.lost" in first.said, "the frozen worker hears that it was given up")
        await eventually(lambda: first.said.count("worker.announced") == 2, "it is back at work")

        again = await handle.retrieve()
        assert (again.status, again.output) == ("COMPLETED", marks.starts[1])
        assert again.finished_at == ended.finished_at


async def test_parent_of_a_killed_worker_ends_elsewhere(own_stack: Stack, marks: Marks) -> None:
    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.trigger("parent", marks.payload)
        await marks.started()
        own_stack.start_worker(PROGRAM)
        first.kill()
        marks.gate.touch()

        ended = await _ended(handle)
        assert ended.status == "COMPLETED"
        assert ended.attempt_count == 1


async def _ended_elsewhere(own_stack: Stack, marks: Marks, task_id: str) -> tuple[Shown, list[list[str]]]:
    """Kill the worker once the parent has said where it is; returns its end, and what it said each time."""

    def parents() -> list[list[str]]:
        return [line.split() for line in lines(marks.ledger) if line.startswith("parent ")]

    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.trigger(task_id, marks.payload)
        await eventually(lambda: len(parents()) == 1, "the parent comes to its gate")
        own_stack.start_worker(PROGRAM)
        first.kill()
        await eventually(lambda: len(parents()) == 2, "the parent comes to its gate elsewhere")
        marks.gate.touch()
        return await _ended(handle), parents()


@pytest.mark.in_memory
@pytest.mark.parametrize("task_id", ["remembering", "remembering-plain"])
async def test_run_started_again_makes_no_child_twice(own_stack: Stack, marks: Marks, task_id: str) -> None:
    ended, parents = await _ended_elsewhere(own_stack, marks, task_id)

    (_, one_worker, one_child), (_, other_worker, other_child) = parents
    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", [2, 3, 4, 5, 6], 1)
    assert one_worker != other_worker
    assert one_child == other_child
    assert sorted(line for line in lines(marks.ledger) if line.startswith("child ")) == [
        f"child {number}" for number in range(1, 7)
    ]


@pytest.mark.parametrize("task_id", ["stepping", "stepping-plain"])
async def test_steps_are_taken_once_when_the_worker_is_lost(own_stack: Stack, marks: Marks, task_id: str) -> None:
    ended, parents = await _ended_elsewhere(own_stack, marks, task_id)

    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", [None, {"n": 2}, 3], 1)
    assert len({worker for _, worker in parents}) == 2
    assert [line for line in lines(marks.ledger) if line.endswith(" step")] == [
        "first step",
        "second step",
        "last step",
    ]


@pytest.mark.parametrize(("task_id", "status"), [("forgetful", "FAILED"), ("forgiving", "COMPLETED")])
async def test_call_with_another_payload_is_told(own_stack: Stack, marks: Marks, task_id: str, status: str) -> None:
    first = own_stack.start_worker(PROGRAM, grace="0.1", queues=f"task/{task_id}")
    with called(own_stack.server):
        handle = await tasks.trigger(task_id, marks.payload)
        await marks.started()
        first.signal(signal.SIGTERM)
        assert await first.ended() == 0
        second = own_stack.start_worker(PROGRAM, queues=f"task/{task_id}")
        marks.gate.touch()
        ended = await _ended(handle)

    assert ended.status == status
    if status == "FAILED":
        assert ended.error is not None
        assert ended.error.name == "CallDiffers"
        assert "has another payload than when it made run_" in ended.error.message
    else:
        assert "call.differed" in second.said


async def test_worker_goes_on_when_its_server_is_restarted(own_stack: Stack, marks: Marks) -> None:
    server = own_stack.server
    port = urlsplit(server.url).port or 0
    worker = own_stack.start_worker(PROGRAM)
    with called(server):
        running = await tasks.trigger("gated", marks.payload)
        await marks.started()
        server.kill()
        own_stack.start_server(port=port)

        after = await tasks.trigger("where")
        name = (await after.result(25)).unwrap()
        marks.gate.touch()

        assert (await running.result(25)).unwrap() == name
        assert worker.said.count("worker.announced") == 1
        assert len(marks.starts) == 1


async def test_outcome_reaches_a_server_that_was_away(own_stack: Stack, marks: Marks) -> None:
    server = own_stack.server
    port = urlsplit(server.url).port or 0
    own_stack.start_worker(PROGRAM)
    with called(server):
        handle = await tasks.trigger("gated", marks.payload)
        await marks.started()
        server.signal(signal.SIGTERM)
        await server.ended()
        # It ends while there is nobody to be told.
        marks.gate.touch()
        own_stack.start_server(port=port)

        ended = await _ended(handle)
        assert (ended.status, ended.output) == ("COMPLETED", marks.starts[0])
        assert len(marks.starts) == 1


async def test_parked_parent_wakes_after_its_server_was_restarted(own_stack: Stack, marks: Marks) -> None:
    server = own_stack.server
    port = urlsplit(server.url).port or 0
    own_stack.start_worker(PROGRAM)
    with called(server):
        handle = await tasks.trigger("parent", marks.payload)
        await marks.started()
        await eventually(_is("WAITING", handle), "the parent is parked")
        server.kill()
        own_stack.start_server(port=port)
        marks.gate.touch()

        ended = await _ended(handle)
        assert (ended.status, ended.output) == ("COMPLETED", [marks.starts[0]] * 3)
        assert len(marks.starts) == 3


async def test_two_servers_share_their_workers_promptly(own_stack: Stack) -> None:
    one, other = own_stack.start_server(), own_stack.start_server()
    near = own_stack.start_worker(PROGRAM, server=one, queues="none-of-ours")
    far = own_stack.start_worker(PROGRAM, server=other)
    await near.announced()
    await far.announced()

    waits = []
    with called(one):
        for _ in range(20):
            handle = await tasks.trigger("where")
            assert (await handle.result(20)).ok
            shown = await handle.retrieve()
            assert shown.started_at is not None
            waits.append(shown.started_at - shown.created_at)

    assert sorted(waits)[10] < datetime.timedelta(milliseconds=200)
    # The slow look that makes up for a lost hint comes after two seconds at the earliest.
    assert max(waits) < datetime.timedelta(seconds=1.5)


async def test_parent_on_one_server_child_on_another(own_stack: Stack, marks: Marks) -> None:
    one, other = own_stack.start_server(), own_stack.start_server()
    own_stack.start_worker(PROGRAM, server=one, queues="task/parent")
    own_stack.start_worker(PROGRAM, server=other, queues="task/gated")
    marks.gate.touch()
    with called(one):
        handle = await tasks.trigger("parent", marks.payload)

        assert (await handle.result(20)).unwrap() == [marks.starts[0]] * 3
