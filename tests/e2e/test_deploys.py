"""Deploys without a version that anybody names: runs keep to their code while there is a worker of it."""

import signal
from pathlib import Path

import pytest

from oncue import RunHandle, runs, tasks, wait
from tests.fixtures.stack import LONG_S, Stack, called, eventually

CODE = """
from oncue import task, wait

@task
async def slow(token: str) -> str:
    started_as = "{version}"
    await wait.for_token(token)
    return started_as
"""


def program(folder: Path, version: str) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "deployed_tasks.py"
    file.write_text(CODE.format(version=version))
    return str(file)


async def waiting() -> tuple[RunHandle[str], str]:
    """Return a run that waits, and the token it waits for."""
    token = (await wait.create_token(timeout="1h")).id
    handle: RunHandle[str] = await tasks.trigger("slow", token)

    async def waits() -> bool:
        return (await runs.retrieve(handle)).status == "WAITING"

    await eventually(waits, "the run waits")
    return handle, token


@pytest.mark.in_memory
async def test_run_goes_on_with_its_code_while_a_worker_has_it(production_stack: Stack, tmp_path: Path) -> None:
    old = production_stack.start_worker(program(tmp_path / "old", "old"))
    await old.announced()
    with called(production_stack.server):
        kept, kept_token = await waiting()
        left, left_token = await waiting()
        new = production_stack.start_worker(program(tmp_path / "new", "new"))
        await new.announced()
        old.signal(signal.SIGTERM)
        await old.ended()
        again = production_stack.start_worker(program(tmp_path / "elsewhere", "old"))
        await again.announced()

        await wait.complete_token(kept_token)
        assert (await kept.result(LONG_S)).unwrap() == "old"
        again.signal(signal.SIGTERM)
        await again.ended()
        await wait.complete_token(left_token)
        assert (await left.result(LONG_S)).unwrap() == "new"
        assert "versions.adopted" in production_stack.server.said
        versions = {(await runs.retrieve(run)).version for run in (kept, left)}
    assert len(versions) == 2
