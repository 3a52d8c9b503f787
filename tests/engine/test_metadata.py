"""Metadata of runs is changed as asked, or not at all."""

import datetime
import uuid
from typing import Any

import msgspec
import pytest

from oncue.engine import run_metadata
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, LeaseLost, NotFound, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.metadata import (
    AppendValue,
    DeleteKey,
    IncrementNumber,
    MetadataUpdate,
    Operation,
    ReplaceDocument,
    SetKey,
)
from oncue.protocol.work import Assignment
from tests.engine.conftest import Engine

ONE: list[Operation] = [IncrementNumber("n", 1)]


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


async def change(engine: Engine, run: str, *, key: str | None = None, **fields: Any) -> Any:
    wanted = run_metadata.plan(MetadataUpdate(**fields))
    run_id = ids.parse(ids.RUN, run)
    view = await engine.run(
        lambda tx: run_metadata.change(tx, engine.environment, run_id, wanted, request_key=key, effects=engine.effects)
    )
    return msgspec.json.decode(view.metadata)


async def read(engine: Engine, run: str) -> Any:
    view = await engine.run(lambda tx: run_metadata.read(tx, engine.environment, ids.parse(ids.RUN, run)))
    return msgspec.json.decode(view.metadata)


async def seed(engine: Engine, run: str) -> str | None:
    found: str | None = await engine.pool.fetchval(
        "select seed_metadata from oncue.runs where id = $1", ids.parse(ids.RUN, run)
    )
    return found


async def family(engine: Engine) -> tuple[Assignment, Assignment, Assignment, uuid.UUID]:
    """Return a root, its child and its grandchild, all executing."""
    worker = await engine.announce("t")
    await engine.trigger("t")
    (root,) = await engine.claim(worker)
    await engine.child(root, worker, "t")
    (parent,) = await engine.claim(worker)
    await engine.child(parent, worker, "t")
    (child,) = await engine.claim(worker)
    return root, parent, child, worker


async def test_operations_are_applied_in_order_to_what_is_stored(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", metadata=raw({"user": "ann"}))

    answered = await change(
        engine,
        run,
        operations=[
            SetKey("$.steps.done", raw(1)),
            IncrementNumber("$.steps.done", 2),
            AppendValue("log", raw("a")),
            AppendValue("log", raw("b")),
            DeleteKey("user"),
        ],
    )

    assert answered == await read(engine, run) == {"steps": {"done": 3}, "log": ["a", "b"]}
    assert msgspec.json.decode((await engine.retrieve(run)).metadata) == answered


async def test_run_without_metadata_has_an_empty_object(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")

    assert await read(engine, run) == {}
    assert await change(engine, run) == {}
    assert await seed(engine, run) is None


async def test_metadata_replaces_and_operations_follow(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", metadata=raw({"old": 1}))

    assert await change(engine, run, metadata=raw({"new": 1})) == {"new": 1}
    assert await change(engine, run, metadata=raw({"n": 1}), operations=ONE) == {"n": 2}
    assert await change(engine, run, operations=[ReplaceDocument(raw({}))]) == {}


async def test_first_change_keeps_what_the_run_was_triggered_with(engine: Engine) -> None:
    await engine.announce("t")
    given = await engine.trigger("t", metadata=raw({"user": "ann"}))
    bare = await engine.trigger("t")

    for run in (given, bare):
        await change(engine, run, operations=ONE)
        await change(engine, run, operations=ONE)

    assert await seed(engine, given) == '{"user":"ann"}'
    assert await seed(engine, bare) == "{}"


async def test_next_attempt_starts_with_changed_metadata(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (run,) = await engine.claim(worker)

    await change(engine, run.run_id, operations=ONE)
    await engine.hand_back(worker, run)
    (again,) = await engine.claim(worker)

    assert bytes(again.metadata) == b'{"n":1}'


async def test_operations_reach_parent_and_root(engine: Engine) -> None:
    root, parent, child, _ = await family(engine)

    answered = await change(
        engine,
        child.run_id,
        operations=[SetKey("who", raw("child"))],
        parent_operations=[SetKey("who", raw("parent"))],
        root_operations=[SetKey("who", raw("root"))],
    )

    assert answered == {"who": "child"}
    for run, who in ((child, "child"), (parent, "parent"), (root, "root")):
        assert await read(engine, run.run_id) == {"who": who}
    assert await seed(engine, root.run_id) == "{}"


async def test_parent_that_is_the_root_gets_both_in_order(engine: Engine) -> None:
    root, parent, _, _ = await family(engine)

    await change(
        engine,
        parent.run_id,
        parent_operations=[AppendValue("log", raw("parent"))],
        root_operations=[AppendValue("log", raw("root"))],
    )

    assert await read(engine, root.run_id) == {"log": ["parent", "root"]}
    assert await read(engine, parent.run_id) == {}


async def test_run_without_parent_gets_its_operations_itself(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")

    answered = await change(
        engine,
        run,
        operations=[AppendValue("log", raw("own"))],
        parent_operations=[AppendValue("log", raw("parent"))],
        root_operations=[AppendValue("log", raw("root"))],
    )

    assert answered == {"log": ["own", "parent", "root"]}


async def test_parent_that_is_no_longer_stored_is_like_none(engine: Engine) -> None:
    root, parent, _, _ = await family(engine)
    await engine.pool.execute("delete from oncue.runs where id = $1", ids.parse(ids.RUN, root.run_id))

    try:
        assert await change(engine, parent.run_id, parent_operations=ONE) == {"n": 1}
    finally:
        await engine.pool.execute("delete from oncue.live where run_id = $1", ids.parse(ids.RUN, root.run_id))


@pytest.mark.parametrize("field", ["operations", "parent_operations", "root_operations"])
async def test_wrong_operation_refuses_the_whole_request(engine: Engine, field: str) -> None:
    root, parent, child, _ = await family(engine)
    fields: dict[str, Any] = {"operations": ONE, "parent_operations": ONE, "root_operations": ONE}
    name = {"operations": "operations", "parent_operations": "parentOperations", "root_operations": "rootOperations"}

    with pytest.raises(UnprocessableRequest, match=rf"^{name[field]}\[1\]\.key: '\$\.n\.x' leads through"):
        await change(engine, child.run_id, **{**fields, field: [SetKey("n", raw(1)), SetKey("$.n.x", raw(1))]})
    with pytest.raises(BadRequest, match=rf"^{name[field]}\[2\]\.key: '__proto__' holds"):
        await change(engine, child.run_id, **{**fields, field: [*ONE, *ONE, SetKey("__proto__", raw(1))]})

    for run in (child, parent, root):
        assert await read(engine, run.run_id) == {}
        assert await seed(engine, run.run_id) is None


async def test_metadata_above_its_limit_is_refused_with_sizes(engine: Engine) -> None:
    root, _, child, _ = await family(engine)
    full = {"a": "x" * (262_144 - len('{"a":""}'))}

    assert await change(engine, root.run_id, metadata=raw(full)) == full
    with pytest.raises(PayloadTooLarge, match=r"metadata is 262,145 bytes; the limit is 262,144"):
        await change(engine, root.run_id, metadata=raw({"a": full["a"] + "x"}))
    with pytest.raises(PayloadTooLarge, match=rf"metadata of run {root.run_id} is 262,150 bytes; the limit is 262,144"):
        await change(engine, child.run_id, operations=ONE, root_operations=ONE)

    assert await read(engine, root.run_id) == full
    assert await read(engine, child.run_id) == {}


async def test_metadata_that_is_no_object_is_refused(engine: Engine) -> None:
    for document in (b"[1]", b"null", b'"x"', b"{"):
        with pytest.raises(BadRequest, match=r"^metadata"):
            run_metadata.plan(MetadataUpdate(metadata=msgspec.Raw(document)))


async def test_ended_run_takes_changes_for_an_hour(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (run,) = await engine.claim(worker)
    await engine.succeed(worker, run)

    await engine.advance(datetime.timedelta(minutes=59))
    assert await change(engine, run.run_id, operations=ONE, epoch=run.epoch) == {"n": 1}
    await engine.advance(datetime.timedelta(minutes=2))
    for wanted in ({"operations": ONE}, {"metadata": raw({})}):
        with pytest.raises(UnprocessableRequest, match="ended more than 1 hour ago"):
            await change(engine, run.run_id, **wanted)

    assert await change(engine, run.run_id) == await read(engine, run.run_id) == {"n": 1}
    assert await engine.status(run.run_id) == "COMPLETED"


async def test_parent_that_ended_long_ago_is_named(engine: Engine) -> None:
    root, parent, _, worker = await family(engine)
    await engine.succeed(worker, root)
    await engine.advance(datetime.timedelta(minutes=61))

    with pytest.raises(UnprocessableRequest, match=f"^parentOperations: run {root.run_id} ended more than 1 hour ago"):
        await change(engine, parent.run_id, operations=ONE, parent_operations=ONE)

    assert await change(engine, parent.run_id, operations=ONE) == {"n": 1}


async def test_execution_that_no_longer_counts_is_refused(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (old,) = await engine.claim(worker)
    await engine.hand_back(worker, old)
    (new,) = await engine.claim(worker)

    with pytest.raises(LeaseLost, match="no longer executed under epoch"):
        await change(engine, old.run_id, operations=ONE, epoch=old.epoch)

    assert await change(engine, new.run_id, operations=ONE, epoch=new.epoch) == {"n": 1}


async def test_cancelled_execution_may_say_how_it_cleaned_up(engine: Engine) -> None:
    worker = await engine.announce("t")
    await engine.trigger("t")
    (run,) = await engine.claim(worker)
    await engine.cancel(run.run_id)

    assert await change(engine, run.run_id, operations=ONE, epoch=run.epoch) == {"n": 1}


async def test_request_sent_again_counts_once(engine: Engine) -> None:
    root, parent, _, _ = await family(engine)

    for _ in range(3):
        answered = await change(engine, parent.run_id, key="k", operations=ONE, parent_operations=ONE)
        assert answered == {"n": 1}

    assert await read(engine, root.run_id) == {"n": 1}
    assert await change(engine, parent.run_id, key="other", operations=ONE) == {"n": 2}


async def test_refused_request_may_be_sent_again_with_its_key(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", metadata=raw({"n": {}}))

    with pytest.raises(UnprocessableRequest):
        await change(engine, run, key="k", operations=[SetKey("$.n[0]", raw(1))])

    assert await change(engine, run, key="k", operations=ONE) == {"n": 1}


async def test_other_environments_see_no_run(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t")
    other = msgspec.structs.replace(engine.environment, id=engine.environment.id + 1)
    run_id = ids.parse(ids.RUN, run)
    wanted = run_metadata.plan(MetadataUpdate(operations=ONE, parent_operations=ONE))

    with pytest.raises(NotFound, match=run):
        await engine.run(lambda tx: run_metadata.change(tx, other, run_id, wanted, effects=engine.effects))
    with pytest.raises(NotFound, match=run):
        await engine.run(lambda tx: run_metadata.read(tx, other, run_id))

    assert await read(engine, run) == {}
