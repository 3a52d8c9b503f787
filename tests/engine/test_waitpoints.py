"""Runs wait for moments and for tokens, and hold nothing meanwhile."""

import asyncio
import datetime
import uuid
from typing import Any

import pytest

from oncue.engine import tokens, waitpoints
from oncue.engine.tokens import Filters
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, BadRequest, LeaseLost, NotFound, UnprocessableRequest
from oncue.protocol.tokens import CreateTokenRequest
from oncue.protocol.work import Assignment, WaitpointSettled, WaitRequest
from tests.engine.conftest import Engine, declared

MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)


async def begun(engine: Engine) -> tuple[uuid.UUID, Assignment]:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    await engine.trigger("t")
    (run,) = await engine.claim(worker)
    return worker, run


async def wait(engine: Engine, worker: uuid.UUID, run: Assignment, **what: Any) -> uuid.UUID:
    asked = WaitRequest(
        parent_run_id=run.run_id, parent_epoch=run.epoch, parent_worker_id=ids.show(ids.WORKER, worker), **what
    )
    return await engine.run(lambda tx: waitpoints.wait(tx, engine.environment, asked, effects=engine.effects))


async def make(engine: Engine, request_key: str | None = None, **fields: Any) -> tokens.Created:
    asked = CreateTokenRequest(**fields)
    return await engine.run(
        lambda tx: tokens.create(tx, engine.environment, asked, request_key=request_key, effects=engine.effects)
    )


async def complete(engine: Engine, token: uuid.UUID, output: bytes = b"7") -> None:
    await engine.run(
        lambda tx: tokens.complete(tx, engine.environment, token, output, "application/json", effects=engine.effects)
    )


async def settle_due(engine: Engine) -> int:
    return await engine.run(lambda tx: waitpoints.settle_due(tx, engine.effects))


async def told(engine: Engine, worker: uuid.UUID) -> list[tuple[str, bool, bytes, bool]]:
    """Take the notices: of which waitpoint, whether it timed out, its output, whether the run goes on."""
    heard = await engine.notices(worker)
    await engine.notices(worker, [notice.notice_id for notice in heard])
    return [
        (notice.waitpoint_id, notice.timed_out, bytes(notice.output), notice.resumes)
        for notice in heard
        if isinstance(notice, WaitpointSettled)
    ]


async def test_run_goes_on_when_its_moment_has_come(engine: Engine) -> None:
    worker, run = await begun(engine)
    await engine.trigger("t")

    moment = await wait(engine, worker, run, delay_ms=60_000)
    assert await engine.status(run.run_id) == "WAITING"
    (other,) = await engine.claim(worker)
    await engine.succeed(worker, other)
    assert await settle_due(engine) == 0
    await engine.advance(MINUTE)
    assert await settle_due(engine) == 1

    assert await told(engine, worker) == [(ids.show(ids.WAITPOINT, moment), False, b"", True)]
    assert await engine.status(run.run_id) == "EXECUTING"
    assert await engine.succeed(worker, run) == []


async def test_moment_that_has_passed_is_over_at_once(engine: Engine) -> None:
    worker, run = await begun(engine)

    moment = await wait(engine, worker, run, until=datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC))
    await settle_due(engine)

    assert await told(engine, worker) == [(ids.show(ids.WAITPOINT, moment), False, b"", True)]


async def test_sweeping_leaves_waits_for_moments_and_tokens_alone(engine: Engine) -> None:
    worker = await engine.announce("t")
    for _ in range(2):
        await engine.trigger("t")
    napping, asking = await engine.claim(worker)
    await wait(engine, worker, napping, delay_ms=60_000)
    await wait(engine, worker, asking, token=ids.show(ids.WAITPOINT, (await make(engine)).id))

    assert await engine.violations() == 0
    assert [await engine.status(run.run_id) for run in (napping, asking)] == ["WAITING", "WAITING"]


async def test_wait_sent_again_is_waited_for_once(engine: Engine) -> None:
    worker, run = await begun(engine)
    moment = ids.new_waitpoint_id()

    first = await wait(engine, worker, run, id=moment, delay_ms=1_000)
    again = await wait(engine, worker, run, id=moment, delay_ms=1_000)
    await engine.advance(MINUTE)
    await settle_due(engine)

    assert ids.show(ids.WAITPOINT, first) == ids.show(ids.WAITPOINT, again) == moment
    assert [resumes for *_, resumes in await told(engine, worker)] == [True]


async def test_moment_stays_when_the_run_starts_again(engine: Engine) -> None:
    worker, run = await begun(engine)
    first = await wait(engine, worker, run, delay_ms=10_000, call_key="moment:*#1")
    await engine.advance(5 * SECOND)
    await engine.hand_back(worker, run)
    (again,) = await engine.claim(worker)

    second = await wait(engine, worker, again, delay_ms=10_000, call_key="moment:*#1")
    await engine.advance(5 * SECOND)
    await settle_due(engine)

    assert second == first
    assert [resumes for *_, resumes in await told(engine, worker)] == [True]


async def test_passed_moment_is_over_at_once_when_the_run_starts_again(engine: Engine) -> None:
    worker, run = await begun(engine)
    await wait(engine, worker, run, delay_ms=1_000, call_key="moment:*#1")
    await engine.advance(5 * SECOND)
    await settle_due(engine)
    await told(engine, worker)
    await engine.hand_back(worker, run)
    (again,) = await engine.claim(worker)

    await wait(engine, worker, again, delay_ms=1_000, call_key="moment:*#1")

    assert await engine.status(run.run_id) == "EXECUTING"
    assert [resumes for *_, resumes in await told(engine, worker)] == [True]


async def test_completed_token_brings_its_output(engine: Engine) -> None:
    worker, run = await begun(engine)
    token = await make(engine)
    await wait(engine, worker, run, token=ids.show(ids.WAITPOINT, token.id))

    await complete(engine, token.id, b'{"ok":1}')
    await complete(engine, token.id, b'"too late"')

    assert await told(engine, worker) == [(ids.show(ids.WAITPOINT, token.id), False, b'{"ok":1}', True)]
    view, _ = await engine.run(lambda tx: tokens.retrieve(tx, engine.environment, token.id))
    assert (view.status, view.output) == ("COMPLETED", '{"ok":1}')


async def test_token_that_is_completed_already_is_not_waited_for(engine: Engine) -> None:
    worker, run = await begun(engine)
    token = await make(engine)
    await complete(engine, token.id)

    await wait(engine, worker, run, token=ids.show(ids.WAITPOINT, token.id))

    assert await told(engine, worker) == [(ids.show(ids.WAITPOINT, token.id), False, b"7", True)]


async def test_token_times_out_and_stays_so(engine: Engine) -> None:
    worker, run = await begun(engine)
    token = await make(engine, timeout="1m")
    await wait(engine, worker, run, token=ids.show(ids.WAITPOINT, token.id))

    await engine.advance(MINUTE)
    await settle_due(engine)
    await complete(engine, token.id)

    assert await told(engine, worker) == [(ids.show(ids.WAITPOINT, token.id), True, b"", True)]
    view, _ = await engine.run(lambda tx: tokens.retrieve(tx, engine.environment, token.id))
    assert view.status == "TIMED_OUT"


async def test_several_runs_wait_for_one_token(engine: Engine) -> None:
    worker = await engine.announce("t")
    for _ in range(3):
        await engine.trigger("t")
    running = await engine.claim(worker)
    token = await make(engine)
    for run in running:
        await wait(engine, worker, run, token=ids.show(ids.WAITPOINT, token.id))

    await complete(engine, token.id)

    assert len(await told(engine, worker)) == 3
    assert await engine.succeed(worker, *running) == []


async def test_completions_and_waits_at_once_lose_no_run(engine: Engine) -> None:
    worker = await engine.announce("t")
    for _ in range(40):
        await engine.trigger("t")
    running = await engine.claim(worker)
    made = [await make(engine) for _ in running]

    await asyncio.gather(
        *(
            wait(engine, worker, run, token=ids.show(ids.WAITPOINT, token.id))
            for run, token in zip(running, made, strict=True)
        ),
        *(complete(engine, token.id) for token in made),
    )

    assert len(await told(engine, worker)) == len(running)
    assert await engine.succeed(worker, *running) == []


async def test_idempotency_key_stands_for_its_token_until_its_time_is_over(engine: Engine) -> None:
    first = await make(engine, idempotency_key="k", idempotency_key_ttl="1m")
    second = await make(engine, idempotency_key="k")
    await engine.advance(MINUTE)
    third = await make(engine, idempotency_key="k")

    assert (second.id, second.is_cached, second.signature) == (first.id, True, first.signature)
    assert (third.id != first.id, third.is_cached) == (True, False)


async def test_token_made_again_by_a_run_that_starts_again_is_the_same(engine: Engine) -> None:
    worker, run = await begun(engine)
    how = {
        "parent_run_id": run.run_id,
        "parent_worker_id": ids.show(ids.WORKER, worker),
        "call_key": "create-token:*#1",
    }
    first = await make(engine, parent_epoch=run.epoch, **how)
    await engine.hand_back(worker, run)
    (again,) = await engine.claim(worker)

    assert (await make(engine, parent_epoch=again.epoch, **how)).id == first.id


async def test_request_sent_again_makes_one_token(engine: Engine) -> None:
    first = await make(engine, "a")

    assert await make(engine, "a") == first
    assert await make(engine, "b") != first


async def test_request_sent_again_says_what_the_key_stood_for(engine: Engine) -> None:
    made = await make(engine, idempotency_key="k")

    cached = await make(engine, "a", idempotency_key="k")

    assert (cached.id, cached.is_cached) == (made.id, True)
    assert await make(engine, "a", idempotency_key="k") == cached


async def test_tokens_are_listed_by_status_and_tag(engine: Engine) -> None:
    first = await make(engine, tags="a")
    second = await make(engine, tags=["a", "b"])
    await complete(engine, first.id)

    async def listed(size: int = 10, after: uuid.UUID | None = None, **filters: Any) -> tuple[list[str], bool]:
        page = await engine.run(
            lambda tx: tokens.list_tokens(tx, engine.environment, filters=Filters(**filters), after=after, size=size)
        )
        return [token.view.id for token in page.tokens], page.has_older

    one, two = (ids.show(ids.WAITPOINT, token.id) for token in (first, second))
    assert await listed() == ([two, one], False)
    assert await listed(size=1) == ([two], True)
    assert await listed(size=1, after=second.id) == ([one], False)
    assert await listed(statuses=["COMPLETED"]) == ([one], False)
    assert await listed(tags=["b"]) == ([two], False)


async def test_other_environment_sees_nothing_of_a_token(engine: Engine, production: Engine) -> None:
    token = await make(engine)

    with pytest.raises(NotFound, match="no token waitpoint_"):
        await complete(production, token.id)
    with pytest.raises(NotFound, match="no token waitpoint_"):
        await production.run(lambda tx: tokens.retrieve(tx, production.environment, token.id))


async def test_callback_address_names_its_environment(engine: Engine) -> None:
    token, other = await make(engine), await make(engine)

    found = await engine.run(lambda tx: tokens.called_back(tx, token.id, token.signature))

    assert found.id == engine.environment.id
    with pytest.raises(ApiError, match="belongs to no token"):
        await engine.run(lambda tx: tokens.called_back(tx, token.id, other.signature))


async def test_lost_execution_cannot_wait(engine: Engine) -> None:
    worker, run = await begun(engine)
    await engine.hand_back(worker, run)
    await engine.claim(worker)

    with pytest.raises(LeaseLost):
        await wait(engine, worker, run, delay_ms=1)


@pytest.mark.parametrize(
    ("what", "told_"),
    [
        ({}, "exactly one"),
        ({"delay_ms": 1, "token": "waitpoint_06f4x0m7c2d8k5t9p3q6r1s8v2"}, "exactly one"),
        ({"delay_ms": -1}, "delayMs: found -1"),
        ({"token": "nonsense"}, "not a waitpoint id"),
    ],
)
async def test_wait_for_nonsense_is_refused(engine: Engine, what: dict[str, Any], told_: str) -> None:
    worker, run = await begun(engine)

    with pytest.raises(BadRequest, match=told_):
        await wait(engine, worker, run, **what)


@pytest.mark.parametrize(
    ("fields", "told_"),
    [
        ({"timeout": "soon"}, "timeout: 'soon' is neither a duration nor a date"),
        ({"tags": [f"t{n}" for n in range(11)]}, "at most 10"),
        ({"idempotency_key": "k", "idempotency_key_ttl": "never"}, "idempotencyKeyTTL"),
    ],
)
async def test_token_of_nonsense_is_refused(engine: Engine, fields: dict[str, Any], told_: str) -> None:
    with pytest.raises(UnprocessableRequest, match=told_):
        await make(engine, **fields)


async def test_passed_moments_of_ended_runs_are_dropped(engine: Engine) -> None:
    worker, run = await begun(engine)
    await wait(engine, worker, run, delay_ms=1)
    await engine.advance(MINUTE)
    await settle_due(engine)

    kept = await engine.run(waitpoints.forget_moments)
    await engine.succeed(worker, run)
    dropped = await engine.run(waitpoints.forget_moments)

    assert (kept, dropped) == (0, 1)
