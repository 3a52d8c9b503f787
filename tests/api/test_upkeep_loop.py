import asyncio
import datetime

import pytest

from oncue.api import upkeep as module
from oncue.api.upkeep import Upkeep
from oncue.engine.events import Effects
from oncue.engine.upkeep import Chore
from oncue.store.pool import Pool

MOMENT = datetime.timedelta(milliseconds=1)


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await condition.wait()


async def test_failing_chore_is_logged_tried_again_and_stops_no_other(
    db: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_BACKOFF_SECONDS", 0.001)
    runs = {"broken": 0, "sound": 0}
    recovered, repeated = asyncio.Event(), asyncio.Event()

    async def broken(_: Pool) -> Effects:
        runs["broken"] += 1
        if runs["broken"] <= 2:
            raise RuntimeError("out of order")
        recovered.set()
        return Effects()

    async def sound(_: Pool) -> Effects:
        runs["sound"] += 1
        if runs["sound"] >= 3:
            repeated.set()
        return Effects()

    upkeep = Upkeep(
        db,
        apply=lambda _: None,
        patience=MOMENT,
        chores=[Chore("broken", MOMENT, broken), Chore("sound", MOMENT, sound)],
    )
    upkeep.start()
    await until(recovered)
    await until(repeated)
    await upkeep.stop()

    failures = [record.fields for record in caplog.records if getattr(record, "event", "") == "upkeep.failed"]  # type: ignore[attr-defined]
    assert [(failure["chore"], failure["message"]) for failure in failures] == [("broken", "out of order")] * 2


@pytest.mark.parametrize("is_patient", [True, False])
async def test_lost_workers_are_looked_for_only_after_their_heartbeats_could_arrive(
    db: Pool, *, is_patient: bool
) -> None:
    looks: list[str] = []
    often = asyncio.Event()

    async def look(_: Pool) -> Effects:
        looks.append("lost")
        if not is_patient:
            often.set()
        return Effects()

    async def other(_: Pool) -> Effects:
        looks.append("other")
        if is_patient and looks.count("other") >= 20:
            often.set()
        return Effects()

    upkeep = Upkeep(
        db,
        apply=lambda _: None,
        patience=datetime.timedelta(hours=1) if is_patient else MOMENT,
        chores=[Chore("lost", MOMENT, look, needs_heartbeats=True), Chore("other", MOMENT, other)],
    )
    upkeep.start()
    await until(often)
    await upkeep.stop()

    assert ("lost" in looks) == (not is_patient)


async def test_effects_of_a_chore_are_told(db: Pool) -> None:
    told = asyncio.Event()

    async def found(_: Pool) -> Effects:
        effects = Effects()
        effects.keys_changed = True
        return effects

    def apply(effects: Effects) -> None:
        if effects.keys_changed:
            told.set()

    upkeep = Upkeep(db, apply=apply, patience=MOMENT, chores=[Chore("found", MOMENT, found)])
    upkeep.start()
    await until(told)
    await upkeep.stop()


async def test_hint_of_a_nearer_run_wakes_the_loop(db: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: asyncio.Queue[None] = asyncio.Queue()

    async def release_due(_: Pool) -> tuple[Effects, datetime.timedelta | None]:
        looked.put_nowait(None)
        return Effects(), None

    monkeypatch.setattr("oncue.engine.upkeep.release_due", release_due)
    upkeep = Upkeep(db, apply=lambda _: None, patience=MOMENT, chores=[])
    upkeep.start()

    async with asyncio.timeout(10):
        for _ in range(3):
            await looked.get()
            upkeep.wake()

    await upkeep.stop()


async def test_nudged_chore_does_not_wait_for_its_turn(db: Pool) -> None:
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def rare(_: Pool) -> Effects:
        turns.put_nowait(None)
        return Effects()

    chore = Chore("rare", datetime.timedelta(hours=1), rare)
    upkeep = Upkeep(db, apply=lambda _: None, patience=MOMENT, chores=[chore])
    upkeep.start()

    async with asyncio.timeout(10):
        await turns.get()
        upkeep.nudge("rare")
        await turns.get()

    await upkeep.stop()


@pytest.mark.parametrize("steps", range(5))
async def test_stop_in_the_moment_of_a_nudge_is_a_stop(db: Pool, steps: int) -> None:
    done = asyncio.Event()

    async def rare(_: Pool) -> Effects:
        done.set()
        return Effects()

    upkeep = Upkeep(
        db, apply=lambda _: None, patience=MOMENT, chores=[Chore("rare", datetime.timedelta(hours=1), rare)]
    )
    upkeep.start()
    await until(done)
    for _ in range(20):
        await asyncio.sleep(0)
    upkeep.wake()
    upkeep._nudges["rare"].set()
    for _ in range(steps):
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await upkeep.stop()
