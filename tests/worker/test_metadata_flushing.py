"""What a run says of itself reaches the server: soon, in order, once, and before its end does."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from oncue import ApiError, Context, RunLost, UnprocessableRequest, metadata, task
from oncue.protocol import ids, work
from oncue.protocol.failures import BuiltInError, InternalError
from oncue.protocol.metadata import IncrementNumber
from oncue.worker import metadata_flushing
from tests.worker.conftest import Start
from tests.worker.network import LONG_S, FarEnd, assignment


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith(event)]


@task(id="counts")
async def counts(payload: int) -> None:
    for number in range(payload):
        metadata.increment("n")
        metadata.append("log", number)
        await asyncio.sleep(0)


@task(id="counts-plain")
def counts_plain(payload: int) -> None:
    for number in range(payload):
        metadata.increment("n")
        metadata.append("log", number)


@task(id="fails")
async def fails() -> None:
    metadata.set("stage", "before the fall")
    raise ValueError("no")


@task(id="fails-plain")
def fails_plain() -> None:
    metadata.set("stage", "before the fall")
    raise ValueError("no")


@pytest.mark.parametrize("name", ["counts", "counts-plain"])
async def test_changes_are_stored_before_the_outcome(far_end: FarEnd, working: Start, name: str) -> None:
    run = assignment(name, b"100", epoch=7)
    async with working(counts, counts_plain):
        await far_end.give(run)
        assert isinstance(await far_end.outcome(run), work.Succeeded)

    assert far_end.stored[run.run_id] == {"n": 100, "log": list(range(100))}
    assert all(call.outcomes_before == [] for call in far_end.updates)
    assert {call.update.epoch for call in far_end.updates} == {7}


@pytest.mark.parametrize("name", ["fails", "fails-plain"])
async def test_changes_of_a_failed_attempt_are_stored_first(far_end: FarEnd, working: Start, name: str) -> None:
    run = assignment(name)
    async with working(fails, fails_plain):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert [call.outcomes_before for call in far_end.updates] == [[]]
    assert far_end.stored[run.run_id] == {"stage": "before the fall"}


async def test_run_without_changes_sends_nothing(far_end: FarEnd, working: Start) -> None:
    @task
    async def reads(payload: None, ctx: Context) -> list[Any]:
        return [metadata.get("user"), metadata.current(), ctx.run.metadata]

    run = assignment("reads", metadata=msgspec.Raw(b'{"user":"ann"}'))
    async with working(reads):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert msgspec.json.decode(outcome.output) == ["ann", {"user": "ann"}, {"user": "ann"}]
    assert far_end.updates == []


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_changes_are_told_in_the_background(far_end: FarEnd, working: Start, kind: str) -> None:
    leave, leave_plain = asyncio.Event(), threading.Event()

    @task(id="async")
    async def waits() -> None:
        metadata.set("stage", "one")
        await leave.wait()

    @task(id="plain")
    def waits_plain() -> None:
        metadata.set("stage", "one")
        leave_plain.wait(LONG_S)

    run = assignment(kind)
    async with working(waits, waits_plain):
        await far_end.give(run)
        try:
            await far_end.until(lambda: far_end.stored[run.run_id] == {"stage": "one"})
            assert far_end.outcomes == []
        finally:
            leave.set()
            leave_plain.set()
        await far_end.outcome(run)

    assert len(far_end.updates) == 1


async def test_changes_made_while_one_is_told_follow_it(
    far_end: FarEnd, working: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_flushing, "AFTER_S", 0.0)

    @task
    async def chatty(payload: None, ctx: Context) -> Any:
        for number in range(50):
            metadata.append("log", number)
            metadata.increment("n")
            if number % 10 == 0:
                await far_end.until(lambda: far_end.stored[ctx.run.id].get("n", 0) > number)  # noqa: B023
        return [metadata.current(), len(far_end.updates)]

    run = assignment("chatty")
    async with working(chatty):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    seen, told = msgspec.json.decode(outcome.output)
    assert seen == far_end.stored[run.run_id] == {"log": list(range(50)), "n": 50}
    assert told >= 5


async def test_flush_stores_at_once_and_reads_back(far_end: FarEnd, working: Start) -> None:
    @task
    async def flushes(payload: None, ctx: Context) -> list[Any]:
        metadata.set("a", 1)
        await metadata.flush()
        stored = dict(far_end.stored[ctx.run.id])
        await metadata.flush()
        far_end.stored[ctx.run.id]["of_child"] = 2
        before = metadata.get("of_child")
        await metadata.refresh()
        return [stored, before, metadata.get("of_child")]

    @task
    def flushes_plain(payload: None, ctx: Context) -> list[Any]:
        metadata.set("a", 1)
        metadata.sync.flush()
        stored = dict(far_end.stored[ctx.run.id])
        far_end.stored[ctx.run.id]["of_child"] = 2
        before = metadata.get("of_child")
        asyncio.run(metadata.refresh())
        return [stored, before, metadata.get("of_child")]

    runs = [assignment("flushes"), assignment("flushes-plain")]
    async with working(flushes, flushes_plain):
        await far_end.give(*runs)
        outcomes = [await far_end.outcome(run) for run in runs]

    for outcome in outcomes:
        assert isinstance(outcome, work.Succeeded), outcome
        assert msgspec.json.decode(outcome.output) == [{"a": 1}, None, 2]
    assert [len([call for call in far_end.updates if call.run_id == run.run_id]) for run in runs] == [2, 2]


@pytest.mark.parametrize("refusal", [(0, "before"), (0, "after"), (503, "after"), (500, "server_error"), (401, "")])
async def test_changes_are_sent_again_and_count_once(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture, refusal: tuple[int, str]
) -> None:
    far_end.refusals["metadata"] = [refusal, refusal]
    run = assignment("counts", b"10")
    async with working(counts):
        await far_end.give(run)
        await far_end.outcome(run)

    assert far_end.stored[run.run_id] == {"n": 10, "log": list(range(10))}
    assert len({call.key for call in far_end.updates}) == 1
    assert far_end.updates[-1].outcomes_before == []
    assert len(said(caplog, "metadata.failed")) == 1
    assert said(caplog, "metadata.dropped") == []


async def test_refused_change_is_given_up_alone(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    @task
    async def mixed() -> None:
        for number in range(9):
            metadata.set(f"k{number}", number)
            if number == 4:
                metadata.set("unwanted", 1)

    run = assignment("mixed")
    async with working(mixed):
        await far_end.give(run)
        assert isinstance(await far_end.outcome(run), work.Succeeded)

    assert far_end.stored[run.run_id] == {f"k{number}": number for number in range(9)}
    (told,) = said(caplog, "metadata.dropped")
    assert run.run_id in told
    assert "operation=set" in told
    assert "no such key" in told


async def test_awaited_flush_raises_what_was_refused(far_end: FarEnd, working: Start) -> None:
    @task
    async def asks() -> str:
        metadata.set("good", 1)
        metadata.set("unwanted", 1)
        try:
            await metadata.flush()
        except UnprocessableRequest as error:
            await metadata.flush()
            return str(error)
        return "nothing"

    run = assignment("asks")
    async with working(asks):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"no such key"'
    assert far_end.stored[run.run_id] == {"good": 1}


async def test_awaited_flush_gives_up_and_the_change_arrives_later(far_end: FarEnd, working: Start) -> None:
    far_end.refusals["metadata"] = [(503, "unavailable")] * metadata_flushing.TRIES

    @task
    async def asks() -> str:
        metadata.set("a", 1)
        try:
            await metadata.flush()
        except ApiError as error:
            return error.code
        return "nothing"

    run = assignment("asks")
    async with working(asks):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert bytes(outcome.output) == b'"unavailable"'
    assert far_end.stored[run.run_id] == {"a": 1}


async def test_change_that_breaks_the_server_holds_no_outcome_up(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    far_end.refusals["metadata"] = [(500, "server_error")] * metadata_flushing.TRIES
    run = assignment("fails")
    async with working(fails):
        await far_end.give(run)
        assert isinstance(await far_end.outcome(run), work.Failed)

    assert far_end.updates == []
    assert len(said(caplog, "metadata.dropped")) == 1


async def test_execution_that_no_longer_counts_learns_it_from_a_flush(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    @task
    async def zombie() -> None:
        metadata.set("a", 1)
        try:
            await metadata.flush()
        except RunLost as error:
            seen.append(str(error))
            raise

    far_end.refusals["metadata"] = [(409, "lease_lost")]
    run = assignment("zombie")
    async with working(zombie):
        await far_end.give(run)
        await far_end.outcome(run)

    assert seen == ["this execution must not go on: refused with lease_lost"]
    assert far_end.updates == []
    assert len(said(caplog, "metadata.dropped")) == 1


async def test_outcome_held_up_by_metadata_counts_as_held(far_end: FarEnd, working: Start) -> None:
    far_end.refusals["metadata"] = [(503, "unavailable")] * 3
    run = assignment("counts", b"1")
    async with working(counts) as worker:
        await far_end.give(run)
        await far_end.until(lambda: len(far_end.refusals["metadata"]) < 3)
        held = worker._reporter.run_ids()
        worker.stop()
        await far_end.until(lambda: far_end.left)

    assert held == [run.run_id]
    assert far_end.ends_of(run)
    assert far_end.stored[run.run_id] == {"n": 1, "log": [0]}


async def test_cancelled_run_may_say_how_it_cleaned_up(far_end: FarEnd, working: Start) -> None:
    @task
    async def tidy() -> None:
        metadata.set("state", "working")
        await metadata.flush()
        try:
            await asyncio.Event().wait()
        finally:
            metadata.set("state", "cleaned")

    run = assignment("tidy")
    async with working(tidy):
        await far_end.give(run)
        await far_end.until(lambda: far_end.stored[run.run_id])
        await far_end.tell(lambda id_: work.StopRun(id_, run.run_id, run.epoch, "cancelled"))
        await far_end.until(lambda: far_end.stored[run.run_id] == {"state": "cleaned"})

    assert far_end.outcomes == []


async def test_cancelled_plain_function_is_told_at_its_next_change(far_end: FarEnd, working: Start) -> None:
    seen: list[str] = []
    told = threading.Event()

    @task
    def endless() -> None:
        rows = 0
        try:
            while True:
                rows += 1
                metadata.set("rows", rows)
                told.wait(0.005)
        except BaseException as error:
            seen.append(type(error).__name__)
            metadata.set("state", "cleaned")
            raise

    run = assignment("endless")
    async with working(endless):
        await far_end.give(run)
        await far_end.tell(lambda id_: work.StopRun(id_, run.run_id, run.epoch, "cancelled"))
        await far_end.until(lambda: far_end.stored[run.run_id].get("state") == "cleaned")

    assert seen == ["RunCancelled"]
    assert far_end.outcomes == []


async def test_time_out_is_reported_after_what_the_run_said(far_end: FarEnd, working: Start) -> None:
    @task
    async def slow() -> None:
        metadata.set("state", "working")
        await asyncio.Event().wait()

    run = assignment("slow", max_duration_ms=50)
    async with working(slow):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Ended)
    assert isinstance(outcome.error, InternalError)
    assert [call.outcomes_before for call in far_end.updates] == [[]]
    assert far_end.stored[run.run_id] == {"state": "working"}


async def test_runs_at_once_do_not_mix(far_end: FarEnd, working: Start) -> None:
    @task
    async def named(payload: str) -> None:
        metadata.set("who", payload)
        await asyncio.sleep(0)
        metadata.append("log", payload)

    @task
    def named_plain(payload: str) -> None:
        metadata.set("who", payload)
        metadata.append("log", payload)

    runs = {
        name: assignment(kind, msgspec.json.encode(name))
        for number in range(10)
        for kind, name in (("named", f"a{number}"), ("named-plain", f"p{number}"))
    }
    async with working(named, named_plain):
        await far_end.give(*runs.values())
        for run in runs.values():
            await far_end.outcome(run)

    assert {name: far_end.stored[run.run_id] for name, run in runs.items()} == {
        name: {"who": name, "log": [name]} for name in runs
    }


async def test_threads_of_one_run_share_its_metadata(far_end: FarEnd, working: Start) -> None:
    @task
    async def many() -> None:
        def count() -> None:
            for _ in range(500):
                metadata.increment("n")

        await asyncio.gather(*(asyncio.to_thread(count) for _ in range(4)))

    run = assignment("many")
    async with working(many):
        await far_end.give(run)
        await far_end.outcome(run)

    assert far_end.stored[run.run_id] == {"n": 2_000}


async def test_changes_for_parent_and_root_are_addressed(far_end: FarEnd, working: Start) -> None:
    @task
    async def child() -> Any:
        metadata.parent.increment("done")
        metadata.root.increment("done")
        return metadata.current()

    run = assignment("child", parent_id=ids.new_run_id(), root_id=ids.new_run_id())
    alone = assignment("child")
    async with working(child):
        await far_end.give(run, alone)
        outcomes = [await far_end.outcome(each) for each in (run, alone)]

    one = IncrementNumber("done", 1)
    updates = {call.run_id: call.update for call in far_end.updates}
    with_family = updates[run.run_id]
    assert (with_family.operations, with_family.parent_operations, with_family.root_operations) == ([], [one], [one])
    assert updates[alone.run_id].operations == [IncrementNumber("done", 2)]
    shown: Callable[[Any], Any] = lambda outcome: msgspec.json.decode(outcome.output)  # noqa: E731
    assert [shown(outcome) for outcome in outcomes] == [{}, {"done": 2}]
