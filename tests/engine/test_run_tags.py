"""Tags are added to runs that are there."""

import msgspec
import pytest

from oncue.engine import run_tags
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound, UnprocessableRequest
from tests.engine.conftest import Engine


async def add(engine: Engine, run: str, tags: str | list[str]) -> int:
    wanted = run_tags.plan(tags)
    return await engine.run(
        lambda tx: run_tags.add(tx, engine.environment, ids.parse(ids.RUN, run), wanted, effects=engine.effects)
    )


async def test_added_tags_stand_sorted_among_those_given(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", tags=["m", "c"])

    assert await add(engine, run, ["z", "a", "c", "a", "", "  "]) == 2
    assert await add(engine, run, "b") == 1
    assert await add(engine, run, ["b", ""]) == 0

    assert (await engine.retrieve(run)).tags == ["a", "b", "c", "m", "z"]


async def test_eleventh_tag_is_refused_and_none_added(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", tags=[str(number) for number in range(9)])

    with pytest.raises(UnprocessableRequest, match="has 9, and 2 more would make 11; at most 10"):
        await add(engine, run, ["x", "y", "3"])

    assert await add(engine, run, ["x", "3"]) == 1
    assert len((await engine.retrieve(run)).tags) == 10


async def test_tag_too_long_is_refused_with_its_length(engine: Engine) -> None:
    assert run_tags.plan("x" * 128) == ["x" * 128]
    with pytest.raises(BadRequest, match="has 129 characters; expected 1 to 128"):
        run_tags.plan(["ok", "x" * 129])


async def test_tags_of_an_ended_run_may_be_added(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (run,) = await engine.claim(worker)
    await engine.succeed(worker, run)

    assert await add(engine, run.run_id, "late") == 1


async def test_unknown_run_and_other_environments_are_not_found(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    other = msgspec.structs.replace(engine.environment, id=engine.environment.id + 1)

    with pytest.raises(NotFound):
        await add(engine, ids.new_run_id(), "a")
    with pytest.raises(NotFound):
        await engine.run(lambda tx: run_tags.add(tx, other, ids.parse(ids.RUN, run), ["a"], effects=engine.effects))
