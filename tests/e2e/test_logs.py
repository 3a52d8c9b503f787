"""What a task logs is read over HTTP."""

import asyncio
import os
import subprocess
import sys

import aiohttp
import msgspec
import pytest

from oncue import RunHandle, runs, tasks
from oncue.protocol.logs import RunEvents, RunEventView
from tests.e2e.conftest import Run
from tests.fixtures.stack import KEY, Stack, eventually


async def _events(stack: Stack, run: RunHandle[object]) -> list[RunEventView]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        answer = await session.get(f"{stack.server.url}/api/v1/runs/{run.id}/events")
        return msgspec.json.decode(await answer.read(), type=RunEvents).events


@pytest.mark.parametrize("task_id", ["logs", "logs-plain"])
async def test_lines_of_each_attempt_are_kept_with_their_run(backend: Stack, run: Run, task_id: str) -> None:
    handle = await tasks.trigger(task_id, 3)
    await eventually(lambda: _ended(handle), "the run ends")

    async def all_there() -> list[RunEventView]:
        found = await _events(backend, handle)
        return found if len(found) == 4 else []

    events = await eventually(all_there, "its lines are stored")
    assert [(event.attempt, event.level, event.message) for event in events] == [
        (1, "info", "begun"),
        (1, "error", "not the first time"),
        (2, "info", "begun"),
        (2, "warning", "done"),
    ]
    lines = await runs.logs(handle)
    assert [(line.id, line.message) for line in lines] == [(event.id, event.message) for event in events]
    assert (lines[0].fields, lines[3].fields, lines[0].at) == ({"payload": 3}, {}, events[0].at)
    assert bytes(events[0].fields) == b'{"payload":3}'


async def test_lines_are_shown_in_the_terminal(backend: Stack, run: Run) -> None:
    handle = await tasks.trigger("logs", 3)
    await eventually(lambda: _ended(handle), "the run ends")
    await eventually(lambda: _count(handle, 4), "its lines are stored")

    command = [sys.executable, "-m", "oncue", "runs", "logs", handle.id]
    environment = {**os.environ, "TRIGGER_API_URL": backend.server.url, "TRIGGER_SECRET_KEY": KEY}
    shown = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, check=True)

    said = [line.split(maxsplit=2)[2] for line in shown.stdout.decode().splitlines()]
    assert said == [
        "attempt 1  info     begun  payload=3",
        "attempt 1  error    not the first time",
        "attempt 2  info     begun  payload=3",
        "attempt 2  warning  done",
    ]


async def _count(handle: RunHandle[object], count: int) -> bool:
    return len(await runs.logs(handle)) == count


async def _ended(handle: RunHandle[object]) -> bool:
    return (await handle.retrieve()).is_completed
