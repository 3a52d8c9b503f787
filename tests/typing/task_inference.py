"""What mypy and pyright must infer of tasks; checked, never run. An ignore that is not needed is an error."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from oncue import BatchHandle, BatchResult, Context, Failed, Ok, Retry, RunHandle, Task, batch, item, queue, task, tasks
from oncue.sdk.task import AsyncTask, SyncTask
from oncue.sdk.waiting import RunWaiting


@dataclass
class Email:
    to: str


@dataclass
class Receipt:
    number: int


@task
async def bare(payload: Email) -> Receipt:
    return Receipt(len(payload.to))


@task(
    id="with-options",
    queue=queue("emails", concurrency_limit=10),
    retry=Retry(max_attempts=4),
    machine="small-2x",
    max_duration="5m",
    ttl=60,
)
async def with_context(payload: Email, ctx: Context) -> Receipt:
    return Receipt(ctx.attempt.number + len(payload.to))


@task(queue={"name": "emails"}, retry={"max_attempts": 2})
def plain(payload: int, ctx: Context) -> str:
    return ctx.run.id * payload


@task
def plain_bare(payload: list[int]) -> int:
    return sum(payload)


@task
async def nothing() -> bool:
    return True


@task()
def plain_nothing() -> float:
    return 1.0


assert_type(bare, AsyncTask[Email, Receipt])
assert_type(with_context, AsyncTask[Email, Receipt])
assert_type(plain, SyncTask[int, str])
assert_type(plain_bare, SyncTask[list[int], int])
assert_type(nothing, AsyncTask[None, bool])
assert_type(plain_nothing, SyncTask[None, float])

as_task: Task[Email, Receipt] = with_context
as_any: Task[Any, Any] = plain


async def triggering() -> None:
    assert_type(await bare.trigger(Email("a")), RunHandle[Receipt])
    assert_type(await with_context.trigger(Email("a"), delay="1h", tags=["x"]), RunHandle[Receipt])
    assert_type(await plain.trigger(3, priority=10), RunHandle[str])
    assert_type(await nothing.trigger(), RunHandle[bool])
    assert_type(await plain_nothing.trigger(ttl="5m"), RunHandle[float])
    assert_type(plain.sync.trigger(3), RunHandle[str])
    assert_type(nothing.sync.trigger(), RunHandle[bool])
    assert_type(await tasks.trigger("anything", {"a": 1}, delay="1h"), RunHandle[Any])
    assert_type(tasks.sync.trigger("anything"), RunHandle[Any])

    handle = await bare.trigger(Email("a"))
    assert_type(await handle.result(timeout="10s"), Ok[Receipt] | Failed)
    assert_type(handle.sync.result(), Ok[Receipt] | Failed)


async def waiting() -> None:
    assert_type(bare.trigger_and_wait(Email("a")), RunWaiting[Receipt])
    assert_type(await bare.trigger_and_wait(Email("a")), Ok[Receipt] | Failed)
    assert_type(await bare.trigger_and_wait(Email("a")).unwrap(), Receipt)
    assert_type(await plain.trigger_and_wait(3).unwrap(), str)
    assert_type(await nothing.trigger_and_wait().unwrap(), bool)
    assert_type(plain.sync.trigger_and_wait(3), Ok[str] | Failed)
    assert_type(plain.sync.trigger_and_wait(3).unwrap(), str)

    result = await bare.trigger_and_wait(Email("a"))
    if isinstance(result, Ok):
        assert_type(result.output, Receipt)
    if result.ok is True:
        assert_type(result.output, Receipt)
    else:
        assert_type(result.error.message, str)
    match result:
        case Ok(output=output):
            assert_type(output, Receipt)
        case Failed(error=error):
            assert_type(error.message, str)


async def batches() -> None:
    several = await plain.batch_trigger([item(1), item(2, delay="1h"), plain.item(3), {"payload": 4}])
    assert_type(several, BatchHandle[Sequence[RunHandle[str]]])
    assert_type(await several.runs[0].result(), Ok[str] | Failed)

    results = await plain.batch_trigger_and_wait(item(number) for number in range(3))
    assert_type(results, BatchResult[tuple[Ok[str] | Failed, ...]])

    await batch.trigger([item("one", {"a": 1}), plain.item(1), {"id": "two", "payload": 3}])

    by_task = await batch.trigger_by_task((bare.item(Email("a")), plain.item(1), nothing.item()))
    assert_type(by_task, BatchHandle[tuple[RunHandle[Receipt], RunHandle[str], RunHandle[bool]]])
    run_1, run_2, run_3 = by_task.runs
    assert_type(run_1, RunHandle[Receipt])
    assert_type(run_2, RunHandle[str])
    assert_type(run_3, RunHandle[bool])

    waited = await batch.trigger_by_task_and_wait((bare.item(Email("a")), plain.item(1)))
    assert_type(waited.runs, tuple[Ok[Receipt] | Failed, Ok[str] | Failed])
    blocking = batch.sync.trigger_by_task_and_wait((bare.item(Email("a")), plain.item(1)))
    assert_type(blocking.runs, tuple[Ok[Receipt] | Failed, Ok[str] | Failed])

    listed = await batch.trigger_by_task([plain.item(1), plain.item(2)])
    assert_type(listed, BatchHandle[Sequence[RunHandle[str]]])


async def inline(ctx: Context) -> None:
    assert_type(await bare(Email("a")), Receipt)
    assert_type(await with_context(Email("a"), ctx), Receipt)
    assert_type(plain(3), str)
    assert_type(plain(3, ctx), str)
    assert_type(await nothing(), bool)
    assert_type(plain_nothing(), float)


async def mistakes() -> None:
    await bare.trigger("a@b.c")  # type: ignore[arg-type]
    await bare.trigger()  # type: ignore[call-arg]
    await nothing.trigger(3)  # type: ignore[call-overload]
    await plain.trigger("three")  # type: ignore[arg-type]
    await bare.trigger_and_wait("a@b.c")  # type: ignore[arg-type]
    await bare.trigger(Email("a"), dealy="1h")  # type: ignore[call-arg]
    await bare.trigger(Email("a"), max_attempts="3")  # type: ignore[arg-type]
    await tasks.trigger("anything", {}, machine="huge")  # type: ignore[arg-type]
    plain.sync.trigger("three")  # type: ignore[arg-type]
    plain.sync.trigger_and_wait("three")  # type: ignore[arg-type]
    await plain.batch_trigger([item("three")])  # type: ignore[arg-type]
    bare.item(3)  # type: ignore[arg-type]
    await bare(3)  # type: ignore[arg-type]


@task  # type: ignore[arg-type]
async def too_many(payload: int, ctx: Context, more: int) -> None: ...


@task(machine="huge")  # type: ignore[call-overload, untyped-decorator]
async def no_machine(payload: int) -> None: ...
