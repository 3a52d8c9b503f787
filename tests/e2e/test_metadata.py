"""A run says how far it is, and everybody sees it: with a real server and a real worker."""

from pathlib import Path

import pytest

from oncue import runs, tasks
from tests.e2e.conftest import Run
from tests.fixtures.stack import LONG_S, Stack, called, eventually


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_progress_is_seen_while_the_run_goes_on(run: Run, tmp_path: Path, kind: str) -> None:
    gate = tmp_path / "gate"
    handle = await tasks.trigger(f"{kind}-progress", str(gate), metadata={"user": "ann"})

    async def told() -> bool:
        seen: object = (await handle.retrieve()).metadata
        return seen == {"user": "ann", "stage": "before", "steps": {"done": 1}}

    await eventually(told, "the run says how far it is")
    assert (await handle.retrieve()).is_executing
    gate.touch()
    output = (await handle.result(LONG_S)).unwrap()

    ended = await handle.retrieve()
    assert output == ended.metadata == {"user": "ann", "stage": "done", "steps": {"done": 1}, "log": ["after"]}


async def test_children_report_to_parent_and_root(run: Run) -> None:
    of_chapter, of_book = await run("book", list(range(20)))

    assert of_chapter == {"kind": "chapter", "pages_done": 40}
    assert of_book["kind"] == "book"
    assert sorted(of_book["log"]) == sorted([*range(20), *range(20)])


async def test_failed_attempt_leaves_what_it_said(run: Run) -> None:
    changed, given = await run("tells-and-fails", "x", metadata={"attempts": []})

    assert changed == {"attempts": [1, 2]}
    assert given == {"attempts": [1]}


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_tags_added_inside_find_the_run(run: Run, kind: str) -> None:
    unique = f"inside-{kind}"
    handle = await tasks.trigger(f"{kind}-tags", [unique, "given"], tags="given")
    await handle.result(LONG_S)

    assert (await handle.retrieve()).tags == ["given", unique, "last"]
    assert [found.id async for found in runs.list(tag=unique)] == [handle.id]


async def test_progress_survives_a_server_that_restarts(own_stack: Stack, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = own_stack.server
    port = int(first.url.rpartition(":")[2])
    worker = own_stack.start_worker("tests.e2e.programs.reporting")
    await worker.announced()
    with called(first):
        handle = await tasks.trigger("async-progress", str(gate))
        await eventually(lambda: _stage(handle.id, "before"), "the run says how far it is")
        first.kill()
        gate.touch()
        await eventually(lambda: "metadata.failed" in worker.said, "the worker finds no server")
        own_stack.start_server(port=port)
        await handle.result(LONG_S)
        shown = await handle.retrieve()

    assert shown.metadata == {"stage": "done", "steps": {"done": 1}, "log": ["after"]}
    assert "metadata.dropped" not in worker.said


async def _stage(run_id: str, stage: str) -> bool:
    found = (await runs.retrieve(run_id)).metadata
    return found is not None and found.get("stage") == stage
