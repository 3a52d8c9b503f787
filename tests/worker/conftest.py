import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from oncue.sdk import registry, settings
from oncue.sdk.settings import Settings
from oncue.sdk.task import Task
from oncue.worker.options import WorkerOptions
from oncue.worker.supervisor import Worker
from tests.worker.network import FarEnd

KEY = "tr_dev_sk_000000000000000000000000"

Start = Callable[..., contextlib.AbstractAsyncContextManager[Worker]]


@pytest.fixture(autouse=True)
def own_tasks() -> Iterator[None]:
    with registry.isolated():
        yield


@pytest.fixture
async def far_end() -> AsyncIterator[FarEnd]:
    far_end = FarEnd()
    async with far_end.serving():
        settings.configure(api_url=far_end.url, secret_key=KEY)
        yield far_end
    settings.reset()


@pytest.fixture
def working(far_end: FarEnd) -> Start:
    """Return what runs a worker with some tasks for the length of an ``async with``."""

    @contextlib.asynccontextmanager
    async def start(*tasks: Task[Any, Any], **options: Any) -> AsyncIterator[Worker]:
        worker = Worker(tasks, Settings(far_end.url, KEY), WorkerOptions(targets=("tests",), **options))
        running = asyncio.create_task(worker.run())
        try:
            await asyncio.wait_for(worker.announced.wait(), 20)
            yield worker
        finally:
            worker.stop()
            worker.stop()
            await running

    return start
