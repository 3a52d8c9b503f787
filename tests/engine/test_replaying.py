"""A run is asked to do once more what another one was."""

import datetime
from typing import Any

import msgspec
import pytest

from oncue.engine import replaying, run_metadata
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BadRequest, NotFound
from oncue.protocol.metadata import MetadataUpdate, SetKey
from oncue.protocol.runs import ReplayRequest, ReplayResponse
from oncue.protocol.triggers import DebounceOption, IdempotencyKeyOptions
from tests.engine.conftest import Engine, declared

EVERYTHING: dict[str, Any] = {
    "queue": "emails",
    "concurrency_key": "ann",
    "tags": ["a", 'b"\\'],
    "metadata": msgspec.Raw(b'{"step":1}'),
    "machine": "large-1x",
    "region": "eu-central-1",
    "test": True,
    "delay": "1h",
    "ttl": "2h",
    "idempotency_key": "k",
    "idempotency_key_options": IdempotencyKeyOptions("k", "global"),
    "max_attempts": 7,
    "max_duration": 60.0,
    "priority": 9,
    "lock_to_version": "20300101.1",
}


async def replay_many(engine: Engine, *wishes: replaying.Replay) -> list[ReplayResponse | ApiError]:
    return await engine.run(lambda tx: replaying.replay(tx, engine.environment, wishes, effects=engine.effects))


async def replay(engine: Engine, run: str, *, request_key: str | None = None, **changes: Any) -> ReplayResponse:
    wish = replaying.plan(ids.parse(ids.RUN, run), ReplayRequest(**changes), request_key=request_key)
    (made,) = await replay_many(engine, wish)
    if isinstance(made, ApiError):
        raise made
    return made


async def stored(engine: Engine, run: str, *columns: str) -> list[Any]:
    row = await engine.run(
        lambda tx: tx.fetchrow(f"select {', '.join(columns)} from oncue.runs where id = $1", ids.parse(ids.RUN, run))
    )
    assert row is not None
    return list(row.values())


async def test_what_a_run_was_about_comes_along(engine: Engine) -> None:
    run = await engine.trigger("t", {"a": 1}, **EVERYTHING)

    made = await replay(engine, run)

    old, new = await engine.retrieve(run), await engine.retrieve(made.id)
    assert (made.task_identifier, made.is_cached, made.id == run) == ("t", False, False)
    for field in ("payload", "metadata", "tags", "queue", "concurrency_key", "machine", "region", "is_test"):
        assert getattr(new, field) == getattr(old, field), field
    assert (new.replayed_from, old.replayed_from) == (run, None)


async def test_how_a_run_was_to_be_run_does_not_come_along(engine: Engine) -> None:
    worker = await engine.announce("t")
    run = await engine.trigger("t", **EVERYTHING)

    made = await replay(engine, run)

    new = await engine.retrieve(made.id)
    assert (new.status, new.delayed_until, new.ttl, new.idempotency_key) == ("QUEUED", None, "10m", None)
    assert (new.priority, new.version) == (0, None)
    assert await stored(engine, made.id, "max_attempts", "max_duration", "parent_id", "depth") == [None, None, None, 0]
    assert [assignment.run_id for assignment in await engine.claim(worker)] == [made.id]


async def test_a_replay_stands_outside_of_the_family(engine: Engine) -> None:
    worker = await engine.announce("parent", "child")
    parent = await engine.trigger("parent")
    (assignment,) = await engine.claim(worker)
    child = await engine.wait_for(assignment, worker, "child")

    made = await replay(engine, child)

    new = await engine.retrieve(made.id)
    assert (new.depth, new.related_runs.parent, new.trigger_function) == (0, None, "trigger")
    await engine.cancel(parent)
    assert await engine.status(child) == "CANCELED"
    assert await engine.status(made.id) == "QUEUED"


async def test_metadata_is_that_of_the_trigger_not_of_the_run(engine: Engine) -> None:
    run = await engine.trigger("t", metadata=msgspec.Raw(b'{"step":1}'))
    change = run_metadata.plan(MetadataUpdate(operations=[SetKey("step", msgspec.Raw(b"9"))]))
    await engine.run(
        lambda tx: run_metadata.change(tx, engine.environment, ids.parse(ids.RUN, run), change, effects=engine.effects)
    )

    made = await replay(engine, run)

    assert bytes((await engine.retrieve(run)).metadata) == b'{"step":9}'
    assert bytes((await engine.retrieve(made.id)).metadata) == b'{"step":1}'


@pytest.mark.parametrize("ended", ["delayed", "queued", "executing", "completed", "failed", "cancelled", "parked"])
async def test_any_run_can_be_replayed_and_stays_as_it_is(engine: Engine, ended: str) -> None:
    worker = None if ended == "parked" else await engine.announce(declared("t"))
    run = await engine.trigger("t", delay="1h" if ended == "delayed" else None, max_attempts=1)
    if worker is not None and ended in {"executing", "completed", "failed"}:
        (assignment,) = await engine.claim(worker)
        if ended == "completed":
            await engine.succeed(worker, assignment)
        elif ended == "failed":
            await engine.fail(worker, assignment)
    elif ended == "cancelled":
        await engine.cancel(run)
    before = await engine.retrieve(run)

    made = await replay(engine, run)

    assert await engine.status(made.id) == ("PENDING_VERSION" if ended == "parked" else "QUEUED")
    assert await engine.retrieve(run) == before
    assert await engine.violations() == 0


async def test_superjson_payload_keeps_its_types(engine: Engine) -> None:
    text = '{"json":{"at":"2030-01-01T00:00:00.000Z"},"meta":{"values":{"at":["Date"]}}}'
    run = await engine.trigger("t", text, payload_type="application/super+json")

    made = await replay(engine, run)

    assert await stored(engine, made.id, "payload", "payload_type") == [text, "application/super+json"]


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"payload": msgspec.Raw(b"2")}, "payload", b"2"),
        ({"payload": msgspec.Raw(b'{"json":2}'), "payload_type": "application/json"}, "payload", b'{"json":2}'),
        ({"payload": msgspec.Raw(b'"{\\"json\\":2}"'), "payload_type": "application/super+json"}, "payload", b"2"),
        ({"payload": msgspec.Raw(b"null")}, "payload", b"null"),
        ({"metadata": msgspec.Raw(b'{"x":2}')}, "metadata", b'{"x":2}'),
        ({"tags": []}, "tags", []),
        ({"tags": "z"}, "tags", ["z"]),
        ({"queue": "other"}, "queue", "other"),
        ({"concurrency_key": 5}, "concurrency_key", "5"),
        ({"machine": "micro"}, "machine", "micro"),
        ({"region": "us"}, "region", "us"),
        ({"version": "20310101.2"}, "version", "20310101.2"),
        ({"ttl": 60}, "ttl", "1m"),
        ({"delay": "2h"}, "status", "DELAYED"),
        ({"priority": 3}, "priority", 3),
        ({"idempotency_key": "new"}, "idempotency_key", "new"),
    ],
)
async def test_what_is_said_anew_wins(engine: Engine, changes: dict[str, Any], field: str, expected: Any) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", {"a": 1}, **EVERYTHING)

    made = await replay(engine, run, **changes)

    found = getattr(await engine.retrieve(made.id), field)
    assert (bytes(found) if isinstance(found, msgspec.Raw) else found) == expected


async def test_attempts_and_duration_can_be_said_anew(engine: Engine) -> None:
    run = await engine.trigger("t", **EVERYTHING)

    made = await replay(engine, run, max_attempts=2, max_duration=90.0)

    assert await stored(engine, made.id, "max_attempts", "max_duration") == [2, datetime.timedelta(seconds=90)]


async def test_a_replay_obeys_its_idempotency_key(engine: Engine) -> None:
    run = await engine.trigger("t")

    first = await replay(engine, run, idempotency_key="once")
    second = await replay(engine, run, idempotency_key="once")

    assert (second.id, first.is_cached, second.is_cached) == (first.id, False, True)


async def test_a_replay_sent_again_makes_no_second_run(engine: Engine) -> None:
    run = await engine.trigger("t")

    first = await replay(engine, run, request_key="r1")
    again = await replay(engine, run, request_key="r1")
    other = await replay(engine, run, request_key="r2")

    assert again.id == first.id
    assert other.id != first.id


async def test_a_debounced_run_is_replayed_without_its_key(engine: Engine) -> None:
    await engine.announce("t")
    run = await engine.trigger("t", debounce=DebounceOption(key="k", delay="5s"))

    made = await replay(engine, run)

    assert made.id != run
    assert await engine.status(made.id) == "QUEUED"
    assert await engine.trigger("t", debounce=DebounceOption(key="k", delay="5s")) == run


async def test_wishes_of_a_group_are_answered_in_order(engine: Engine) -> None:
    first, second = await engine.trigger("a"), await engine.trigger("b")
    unknown = ids.new_run_id()

    made = await replay_many(
        engine,
        *(replaying.plan(ids.parse(ids.RUN, run), ReplayRequest()) for run in (first, unknown, second, first)),
    )

    assert [each.task_identifier if isinstance(each, ReplayResponse) else type(each) for each in made] == [
        "a", NotFound, "b", "a",
    ]  # fmt: skip
    assert len({each.id for each in made if isinstance(each, ReplayResponse)}) == 3


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"payload_type": "text/plain", "payload": msgspec.Raw(b'"x"')}, "payloadType: found 'text/plain'; expected"),
        ({"payload_type": "application/json"}, "payloadType is given without a payload"),
        ({"payload_type": "application/super+json", "payload": msgspec.Raw(b"2")}, "payload: expected a string"),
        ({"machine": "huge"}, "^machine: found 'huge'; expected one of micro"),
        ({"delay": "soon"}, "^delay: 'soon' is neither"),
        ({"version": "latest"}, "^version: 'latest' is not a version"),
        ({"max_attempts": 0}, "^maxAttempts: found 0; expected 1 to 250"),
        ({"tags": [f"t{n}" for n in range(11)]}, "^tags: found 11 tags; at most 10"),
    ],
)
async def test_nonsense_is_refused_by_name(engine: Engine, changes: dict[str, Any], found: str) -> None:
    run = await engine.trigger("t")

    with pytest.raises(BadRequest, match=found):
        await replay(engine, run, **changes)

    assert await engine.run(lambda tx: tx.fetchval("select count(*) from oncue.runs")) == 1


async def test_a_run_elsewhere_is_not_found(engine: Engine, production: Engine) -> None:
    run = await engine.trigger("t")

    with pytest.raises(NotFound, match="in this environment"):
        await replay(production, run)
