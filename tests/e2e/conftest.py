"""Tests through real server and worker processes; see ``tests/fixtures/stack`` and the tasks in ``programs``."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest

from oncue import tasks
from tests.fixtures.stack import LONG_S, Program, Stack, called

PROGRAMS = "tests.e2e.programs"
EVERYDAY = (
    "parents",
    "blocking_parents",
    "parallel",
    "options",
    "failures",
    "reporting",
    "pauses",
    "cancelled",
    "logging_tasks",
    "isolated",
    "streams",
    "large",
    "values",
    "page",
    "telling",
    "listening",
)
"""Modules whose tasks break nothing; one worker has them all."""

Run: TypeAlias = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def everyday_worker(shared_stack: Stack) -> Program:
    return shared_stack.start_worker(*(f"{PROGRAMS}.{name}" for name in EVERYDAY))


@pytest.fixture
def backend(shared_stack: Stack) -> Iterator[Stack]:
    """The shared server, which the SDK of this process calls; a worker need not be there."""
    with called(shared_stack.server):
        yield shared_stack


@pytest.fixture
async def run(backend: Stack, everyday_worker: Program) -> Run:
    """Return what triggers a task by its id and waits for its output."""
    await everyday_worker.announced()

    async def trigger(task_id: str, payload: object = None, **options: Any) -> Any:
        handle = await tasks.trigger(task_id, payload, **options)
        return (await handle.result(LONG_S)).unwrap()

    return trigger
