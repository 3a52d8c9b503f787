"""Connections are shared, closed with their loop, and never cross a fork."""

import asyncio
import gc
import os
import threading
import warnings

import pytest
import uvloop

from oncue import tasks
from oncue.sdk import connections

from .conftest import FakeApi


async def _twice() -> None:
    await tasks.trigger("child")
    await asyncio.gather(tasks.trigger("child"), tasks.trigger("child"))


@pytest.mark.parametrize("debug", [False, True])
def test_session_closes_with_its_loop(api: FakeApi, debug: bool) -> None:
    asyncio.run(_twice(), debug=debug)
    asyncio.run(_twice(), debug=debug)

    gc.collect()
    assert len(api.seen) == 6
    assert len(connections._sessions) == 0


def test_session_closes_with_a_uvloop(api: FakeApi) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_twice())

    gc.collect()
    assert len(api.seen) == 3
    assert len(connections._sessions) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_that_is_only_closed_is_forgotten(api: FakeApi) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_twice())
    loop.close()
    del loop

    asyncio.run(_twice())
    gc.collect()  # Python's own warning about the closed loop's sockets belongs to this test

    assert len(connections._sessions) == 0


def test_calls_of_a_loop_share_connections(api: FakeApi) -> None:
    async def several() -> None:
        for _ in range(5):
            await tasks.trigger("child")

    asyncio.run(several())

    assert len({seen.port for seen in api.seen}) == 1


def test_calls_of_a_thread_share_connections(api: FakeApi) -> None:
    for _ in range(5):
        tasks.sync.trigger("child")

    assert len({seen.port for seen in api.seen}) == 1


def test_threads_may_call_at_the_same_time(api: FakeApi) -> None:
    threads = [threading.Thread(target=tasks.sync.trigger, args=("child",)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({seen.json["options"]["runId"] for seen in api.seen}) == 40


def test_fork_makes_connections_of_its_own(api: FakeApi) -> None:
    tasks.sync.trigger("parent")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads beside a fork
        child = os.fork()
    if child == 0:
        try:
            tasks.sync.trigger("child")
        except BaseException:  # noqa: BLE001 - the child must not run on into pytest
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    tasks.sync.trigger("parent")

    assert status == 0
    before, forked, after = api.seen
    assert before.port == after.port != forked.port
