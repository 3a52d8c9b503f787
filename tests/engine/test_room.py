"""Runs that are held to machines go to workers that have room for them."""

import datetime
import uuid

import pytest

from oncue.engine import room, workers
from oncue.engine.room import HeldMachine, Share, WaitingMachine
from oncue.protocol.failures import InternalError
from oncue.protocol.machines import SIZES, Size
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.triggers import DebounceOption
from oncue.protocol.work import OutOfMemory
from tests.engine.conftest import LEASE, Engine, declared

GB = 1024**3
FOUR = Size(4, 8 * GB)
NO_TIME = datetime.timedelta()
LONG = room.PATIENCE + datetime.timedelta(seconds=1)


async def settled(
    engine: Engine, size: Size | None, *, region: str | None = None, version: str | None = None
) -> uuid.UUID:
    small = declared("small", machine="small-2x", isolated=True)
    return await engine.announce(small, declared("plain"), size=size, region=region, version=version)


async def claimed(engine: Engine, worker: uuid.UUID, places: int = 100) -> list[str]:
    return [run.run_id for run in await engine.claim(worker, places)]


async def test_worker_is_given_as_much_as_it_has_room_for(production: Engine) -> None:
    worker = await settled(production, FOUR)
    runs = [await production.trigger("small") for _ in range(6)]

    first = await production.claim(worker)
    assert [run.run_id for run in first] == runs[:4]
    assert {run.machine for run in first} == {"small-2x"}
    assert await claimed(production, worker) == []

    await production.succeed(worker, first[0], first[1])
    assert await claimed(production, worker) == runs[4:]


async def test_run_that_waits_takes_no_room(production: Engine) -> None:
    worker = await settled(production, Size(1, 2 * GB))
    await production.trigger("small")
    (parent,) = await production.claim(worker)
    child = await production.wait_for(parent, worker, "small")

    assert await claimed(production, worker) == [child]


async def test_machine_of_a_run_decides_not_that_of_its_task(production: Engine) -> None:
    small, large = await settled(production, Size(1, 2 * GB)), await settled(production, FOUR)
    big = await production.trigger("plain", machine="large-1x")
    free = await production.trigger("plain", machine="small-1x")

    assert await claimed(production, small) == [free]
    assert await claimed(production, large) == [big]


async def test_worker_without_a_size_is_given_none_that_are_held(production: Engine) -> None:
    worker = await settled(production, None)
    await production.trigger("small")
    plain = await production.trigger("plain")

    assert await claimed(production, worker) == [plain]


async def test_development_asks_for_no_room(engine: Engine) -> None:
    worker = await settled(engine, Size(0.5, GB))
    runs = [await engine.trigger("small"), await engine.trigger("plain", machine="large-2x")]

    assert sorted(await claimed(engine, worker)) == sorted(runs)


async def test_held_runs_and_others_are_asked_for_in_turn(production: Engine) -> None:
    worker = await settled(production, Size(64, 64 * GB))
    held = [await production.trigger("small") for _ in range(3)]
    plain = [await production.trigger("plain") for _ in range(3)]

    assert [run.run_id for run in await production.claim(worker, 2, held_first=True)] == held[:2]
    assert [run.run_id for run in await production.claim(worker, 2, held_first=False)] == plain[:2]
    # Where there is too little of the first, the other has its turn.
    assert [run.run_id for run in await production.claim(worker, 2, held_first=True)] == held[2:]
    assert [run.run_id for run in await production.claim(worker, 2, held_first=True)] == plain[2:]


async def test_region_version_and_machine_hold_at_once(production: Engine) -> None:
    there = await settled(production, FOUR, region="eu", version="20300131.2")
    elsewhere = await settled(production, FOUR, region="us", version="20300131.1")
    run = await production.trigger("small", region="eu")

    assert await claimed(production, elsewhere) == []
    (held,) = await production.claim(there)
    assert held.run_id == run
    await production.hand_back(there, held)
    other = await settled(production, FOUR, region="eu", version="20300131.3")
    assert await claimed(production, other) == []
    assert await claimed(production, there) == [run]


async def test_run_out_of_memory_moves_to_the_line_of_its_new_machine(production: Engine) -> None:
    policy = RetryPolicy(max_attempts=3, min_timeout_ms=0, max_timeout_ms=0, out_of_memory_machine="large-1x")
    task = declared("t", machine="micro", isolated=True, retry=policy)
    small = await production.announce(task, size=Size(1, 2 * GB))
    run = await production.trigger("t")
    (held,) = await production.claim(small)
    await production.report(small, OutOfMemory(run, held.epoch, 5, InternalError("TASK_PROCESS_OOM_KILLED")))
    await production.release_due()

    assert await claimed(production, small) == []
    large = await production.announce(task, size=FOUR)
    (again,) = await production.claim(large)
    assert (again.run_id, again.machine, again.attempt) == (run, "large-1x", 2)
    await production.report(large, OutOfMemory(run, again.epoch, 5, InternalError("TASK_PROCESS_OOM_KILLED")))
    ended = await production.retrieve(run)
    assert (ended.status, ended.machine) == ("CRASHED", "large-1x")


async def test_trailing_call_moves_a_held_run_to_its_machine(production: Engine) -> None:
    small = await settled(production, Size(1, 2 * GB))
    run = await production.trigger("plain", debounce=DebounceOption("k", "1s"))
    await production.trigger("plain", debounce=DebounceOption("k", "1s", mode="trailing"), machine="large-1x")
    await production.advance(LEASE / 10)
    await production.release_due()

    assert await claimed(production, small) == []
    assert await claimed(production, await settled(production, FOUR)) == [run]


def test_machines_have_their_turn_while_there_is_room() -> None:
    waiting = [WaitingMachine("medium-2x", [1], NO_TIME), WaitingMachine("small-2x", [2], NO_TIME)]

    assert room.divided(waiting, FOUR, [], places=1).each == [Share([1], 1)]
    assert room.divided(waiting, FOUR, [HeldMachine("small-2x", 3)], places=9).each == [Share([2], 1)]
    assert room.divided(waiting, FOUR, [HeldMachine("small-2x", 4)], places=9) == ([], True)


def test_large_machine_is_passed_over_for_a_while_only() -> None:
    held = [HeldMachine("small-2x", 1)]
    waiting = [WaitingMachine("large-1x", [1], NO_TIME), WaitingMachine("small-2x", [2], NO_TIME)]
    assert room.divided(waiting, FOUR, held, places=9).each == [Share([2], 3)]

    waiting = [WaitingMachine("large-1x", [1], LONG), WaitingMachine("small-2x", [2], NO_TIME)]
    assert room.divided(waiting, FOUR, held, places=9) == ([], True)
    assert room.divided(waiting, FOUR, [], places=9).each == [Share([1], 1)]


def test_machine_that_will_never_fit_holds_nobody_up() -> None:
    waiting = [WaitingMachine("large-2x", [1], LONG), WaitingMachine("small-2x", [2], LONG)]

    assert room.divided(waiting, FOUR, [], places=9).each == [Share([2], 4)]
    assert room.divided(waiting[:1], FOUR, [], places=9) == ([], False)


async def test_large_machine_does_not_starve_behind_small_ones(production: Engine) -> None:
    worker = await production.announce(
        declared("small", machine="small-2x", isolated=True), declared("large", machine="large-1x", isolated=True),
        size=FOUR,
    )  # fmt: skip
    for _ in range(40):
        await production.trigger("small")
    held = await production.claim(worker)
    large = await production.trigger("large")
    for _ in range(8):
        # One ends, another takes its room, and so the large one never finds all of it.
        await production.succeed(worker, held.pop(0))
        held += await production.claim(worker)
    assert large not in {run.run_id for run in held}

    await production.advance(LONG)
    for run in held:
        assert await production.claim(worker) == []
        await production.succeed(worker, run)
    assert await claimed(production, worker) == [large]


@pytest.mark.parametrize(("size", "is_told"), [(Size(2, 4 * GB), True), (FOUR, False)])
async def test_worker_is_told_what_no_worker_is_large_enough_for(
    production: Engine,
    size: Size,
    is_told: bool,
) -> None:
    small = await settled(production, Size(1, GB))
    await settled(production, size)
    await production.trigger("plain", machine="large-1x")

    told = await production.run(lambda tx: workers.beat(tx, production.environment, small, lease=LEASE))

    assert told is not None
    assert [(each.task, each.machine, each.largest) for each in told] == (
        [("plain", "large-1x", "2 CPUs and 4 GB")] if is_told else []
    )


def test_every_machine_has_a_size() -> None:
    assert list(SIZES) == sorted(SIZES, key=lambda machine: (SIZES[machine].memory_bytes, SIZES[machine].cpus))
