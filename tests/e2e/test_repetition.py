"""A request that is sent twice does its work once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import oncue
from oncue import item, runs, tasks
from oncue.protocol import ids
from oncue.protocol.triggers import BatchItem, CreateBatchRequest, TriggerOptions, TriggerRequest
from oncue.sdk import connections, requests, settings
from oncue.sdk.answers import Answer
from oncue.sdk.requests import Call
from tests.e2e.conftest import Run
from tests.fixtures.stack import Stack


class LossyRoute:
    """Passes connections on to a server, and breaks those over which an answer comes that shall be lost."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.answers_to_lose = 0
        self.lost = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._pass_on, "127.0.0.1") as listening:
            port = listening.sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        asks = asyncio.create_task(self._copy(reader, back))
        try:
            while data := await there.read(65_536):
                if self.answers_to_lose:
                    self.answers_to_lose -= 1
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            asks.cancel()
            back.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
def tag() -> str:
    return uuid.uuid4().hex


async def _send(call: Call[Any]) -> bytes:
    """Send a call as one more copy of the same bytes."""
    answer = await connections.send(requests.http_request(call, settings.current()), 10, lambda: 0.0)
    assert isinstance(answer, Answer)
    assert answer.status < 300, answer.body
    return answer.body


async def _count(tag: str) -> int:
    return len([run.id async for run in runs.list(tag=tag)])


async def test_trigger_sent_three_times_makes_one_run(run: Run, tag: str) -> None:
    run_id = ids.new_run_id()
    call = requests.trigger("double", TriggerRequest(msgspec.Raw(b"4"), TriggerOptions(run_id=run_id, tags=[tag])))

    answers = list(await asyncio.gather(_send(call), _send(call)))
    ended = await runs.poll(run_id, interval=0.02, timeout=20)
    answers.append(await _send(call))

    assert all(run_id.encode() in answer for answer in answers)
    assert ended.output == 8
    assert await _count(tag) == 1
    assert (await runs.retrieve(run_id)).finished_at == ended.finished_at


async def test_batch_sent_twice_makes_its_runs_once(run: Run, tag: str) -> None:
    batch_id = ids.new_batch_id()
    creation = requests.create_batch(CreateBatchRequest(3, id=batch_id))
    lines = [BatchItem(number, "double", msgspec.Raw(b"4"), TriggerOptions(tags=[tag])) for number in range(3)]
    body = msgspec.json.Encoder().encode_lines(lines)
    filling = requests.fill_batch(batch_id, body)
    half = requests.fill_batch(batch_id, b"".join(body.splitlines(keepends=True)[:2]))

    for call in (creation, creation, half, half, filling, filling, creation):
        await _send(call)

    view = await oncue.batch.retrieve(batch_id)
    for each in view.runs:
        assert (await runs.poll(each, interval=0.02, timeout=20)).output == 8
    assert len(view.runs) == 3
    assert await _count(tag) == 3


async def test_lost_answers_of_triggers_make_no_second_run(run: Run, backend: Stack, tag: str) -> None:
    route = LossyRoute(backend.server.url)
    async with route.open() as url:
        oncue.configure(api_url=url)
        route.answers_to_lose = 1
        handle = await tasks.trigger("double", 4, tags=tag)
        assert (await handle.result(20)).unwrap() == 8
        await connections._sessions[asyncio.get_running_loop(), "calls"].session.close()
    oncue.configure(api_url=backend.server.url)

    assert route.lost == 1
    assert await _count(tag) == 1


async def test_lost_answers_of_batches_make_no_second_batch(run: Run, backend: Stack, tag: str) -> None:
    route = LossyRoute(backend.server.url)
    async with route.open() as url:
        oncue.configure(api_url=url)
        # That of the creation, then that of its repetition.
        route.answers_to_lose = 2
        handle = await tasks.batch_trigger("double", [item(1), item(2)], tags=tag)
        assert [(await each.result(20)).unwrap() for each in handle.runs] == [2, 4]
        await connections._sessions[asyncio.get_running_loop(), "calls"].session.close()
    oncue.configure(api_url=backend.server.url)

    assert route.lost == 2
    assert await _count(tag) == 2
