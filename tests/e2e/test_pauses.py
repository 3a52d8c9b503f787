"""Runs wait for moments and tokens, end to end."""

import asyncio
import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oncue import OutsideTaskError, RunHandle, runs, tasks, wait
from tests.e2e.conftest import Run
from tests.e2e.programs.gates import lines
from tests.fixtures.stack import LONG_S, Stack, called, eventually

PROGRAM = "tests.e2e.programs.pauses"
SHORT_LEASE: dict[str, Any] = {
    "lease": datetime.timedelta(seconds=1.5),
    "heartbeat": datetime.timedelta(seconds=0.25),
    "claim_wait": datetime.timedelta(seconds=2),
}


@pytest.mark.in_memory
@pytest.mark.parametrize("task_id", ["naps", "naps-plain"])
async def test_naps_in_a_queue_of_one_are_taken_side_by_side(run: Run, task_id: str) -> None:
    took = await asyncio.gather(*(run(task_id, 0.5) for _ in range(20)))

    # One after the other they would take ten seconds.
    assert all(0.5 <= seconds < 5 for seconds in took)


async def test_until_goes_on_after_its_moment(run: Run) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.5)

    assert 0 <= await run("until-then", moment.isoformat()) < 5
    assert await run("until-then", "2001-01-01T00:00:00+00:00") > 0


async def _asked(task_id: str, ledger: Path) -> tuple[RunHandle[Any], str, str]:
    handle = await tasks.trigger(task_id, [str(ledger), None])
    (line,) = await eventually(lambda: lines(ledger), "the token is told")
    token, url = line.split()

    async def waits() -> bool:
        return (await handle.retrieve()).status == "WAITING"

    await eventually(waits, "the run waits")
    return handle, token, url


@pytest.mark.parametrize("task_id", ["asks", "asks-plain"])
async def test_completed_token_gives_its_data(run: Run, tmp_path: Path, task_id: str) -> None:
    handle, token, _ = await _asked(task_id, tmp_path / "ledger")

    await wait.complete_token(token, {"approved": [True, "☃"]})

    assert (await handle.result(LONG_S)).unwrap() == {"approved": [True, "☃"]}
    assert (await wait.retrieve_token(token)).status == "COMPLETED"


@pytest.mark.parametrize(("body", "output"), [(b'{"yes": 1}', {"yes": 1}), (b"plain words", {}), (b"", {})])
async def test_callback_address_needs_no_key(run: Run, tmp_path: Path, body: bytes, output: object) -> None:
    handle, _, url = await _asked("asks", tmp_path / "ledger")

    async with aiohttp.ClientSession() as session:
        async with session.post(url[:-1] + ("0" if url[-1] != "0" else "1"), data=body) as refused:
            assert refused.status == 401
        async with session.post(url, data=body) as answer:
            assert (answer.status, await answer.json()) == (200, {"success": True})

    assert (await handle.result(LONG_S)).unwrap() == output


async def test_token_that_nobody_completes_times_out(run: Run, tmp_path: Path) -> None:
    assert await run("asks", [str(tmp_path / "ledger"), 0.3]) == "timed out"
    ended = await runs.poll(await tasks.trigger("asks-plain", [str(tmp_path / "other"), 0.3]), timeout=LONG_S)
    assert ended.error is not None
    assert (ended.status, ended.error.name) == ("FAILED", "WaitTimedOut")


async def test_cancelled_run_leaves_its_nap(run: Run) -> None:
    handle = await tasks.trigger("naps", 3600)

    async def waits() -> bool:
        return (await handle.retrieve()).status == "WAITING"

    await eventually(waits, "it naps")
    await runs.cancel(handle)
    assert (await runs.poll(handle, interval=0.02, timeout=LONG_S)).status == "CANCELED"


async def test_tokens_are_made_listed_and_completed_outside_of_runs(backend: Stack) -> None:
    token = await wait.create_token(timeout="1h", tags=["outside", "t"], idempotency_key="once")
    again = await wait.create_token(idempotency_key="once")
    found = [each.id async for each in wait.list_tokens(status="WAITING", tags="outside")]
    wait.sync.complete_token(token, 5)

    assert (again.id, again.url, again.is_cached) == (token.id, token.url, True)
    assert found == [token.id]
    assert [each.output for each in wait.sync.list_tokens(tags=["outside"])] == [5]
    with pytest.raises(OutsideTaskError, match="no run is executing here"):
        await wait.for_token(token)
    with pytest.raises(OutsideTaskError, match="no run is executing here"):
        await wait.for_(minutes=5)


@pytest.mark.in_memory
async def test_nap_is_not_taken_twice_when_the_worker_is_lost(own_stack: Stack, tmp_path: Path) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    with called(own_stack.start_server(**SHORT_LEASE)):
        first = own_stack.start_worker(PROGRAM)
        handle = await tasks.trigger("naps-then-stays", [str(ledger), str(gate)])
        await eventually(lambda: len(lines(ledger)) == 1, "it has napped once")
        own_stack.start_worker(PROGRAM)
        first.kill()
        await eventually(lambda: len(lines(ledger)) == 2, "it comes to the same place elsewhere")
        gate.touch()
        ended = await runs.poll(handle, interval=0.05, timeout=LONG_S)

    (one_worker, one_token), (other_worker, other_token) = (line.split() for line in lines(ledger))
    assert (ended.status, ended.output, ended.attempt_count) == ("COMPLETED", 2, 1)
    assert (one_worker != other_worker, one_token) == (True, other_token)
