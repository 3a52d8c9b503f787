"""A delayed run is held until another moment."""

import asyncio
import datetime

import pytest

from oncue.engine import rescheduling, upkeep
from oncue.engine.events import Effects
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.runs import RunView
from oncue.protocol.triggers import DebounceOption
from oncue.store.pool import transaction
from tests.engine.conftest import Engine, until_blocked

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def noon(engine: Engine) -> Engine:
    engine.moment = NOON
    return engine


async def reschedule(engine: Engine, run: str, delay: str) -> RunView:
    when = rescheduling.plan(delay)
    return await engine.run(
        lambda tx: rescheduling.reschedule(
            tx, engine.environment, ids.parse(ids.RUN, run), when, effects=engine.effects
        )
    )


@pytest.mark.parametrize(
    ("delay", "due"),
    [
        ("88s", NOON + datetime.timedelta(seconds=88)),
        ("2h30m", NOON + 2.5 * HOUR),
        ("2030-01-01T13:00:00", NOON + HOUR),
        ("2030-01-01T13:00:00Z", NOON + HOUR),
        ("2030-01-01T15:30:00+02:00", NOON + 1.5 * HOUR),
        ("2030-01-02", NOON + 12 * HOUR),
    ],
)
async def test_every_form_of_a_delay_counts_from_now(noon: Engine, delay: str, due: datetime.datetime) -> None:
    await noon.announce("t")
    run = await noon.trigger("t", delay="5h")

    shown = await reschedule(noon, run, delay)

    assert (shown.id, shown.status, shown.delayed_until) == (run, "DELAYED", due)
    noon.moment = due - datetime.timedelta(milliseconds=1)
    await noon.release_due()
    assert await noon.status(run) == "DELAYED"
    noon.moment = due
    await noon.release_due()
    assert await noon.status(run) == "QUEUED"


async def test_an_earlier_moment_wakes_who_waits_for_the_next_due(noon: Engine) -> None:
    run = await noon.trigger("t", delay="5h")
    noon.effects.due_sooner = False

    await reschedule(noon, run, "1m")

    assert noon.effects.due_sooner


async def test_place_in_line_follows_the_new_moment_and_the_priority(noon: Engine) -> None:
    await noon.announce("t")
    moved = await noon.trigger("t", delay="1h")
    ahead = await noon.trigger("t", delay="4h", priority=120)
    between = await noon.trigger("t", delay="2h")
    await reschedule(noon, moved, "3h")
    await reschedule(noon, ahead, "2h1m")

    await noon.advance(4 * HOUR)
    await noon.release_due()

    worker = await noon.announce("t")
    assert [assignment.run_id for assignment in await noon.claim(worker)] == [ahead, between, moved]


async def test_a_debounced_run_is_moved_and_pushed_on_from_there(noon: Engine) -> None:
    call = {"debounce": DebounceOption(key="k", delay="5s")}
    run = await noon.trigger("t", **call)

    shown = await reschedule(noon, run, "1h")
    assert shown.delayed_until == NOON + HOUR
    # A call never pulls a run nearer.
    assert await noon.trigger("t", **call) == run
    assert (await noon.retrieve(run)).delayed_until == NOON + HOUR
    await reschedule(noon, run, "2s")
    assert await noon.trigger("t", **call) == run
    assert (await noon.retrieve(run)).delayed_until == NOON + datetime.timedelta(seconds=5)


@pytest.mark.parametrize(
    ("delay", "found"),
    [
        ("soon", "Invalid delay: found 'soon'; expected a duration such as"),
        ("", "Invalid delay: found ''; expected"),
        ("1h 30m", "Invalid delay: found '1h 30m'"),
        ("-1h", "Invalid delay: found '-1h'"),
        ("0001-01-01T00:00:00+23:00", "Invalid delay: found '0001-01-01T00:00:00\\+23:00'"),
        ("0s", "Invalid delay: found no time at all; expected a moment that has not passed"),
        ("2030-01-01T12:00:00Z", "Invalid delay: found 2030-01-01T12:00:00\\+00:00; expected a moment that"),
        ("2029-01-01", "Invalid delay: found 2029-01-01T00:00:00\\+00:00; expected a moment that"),
    ],
)
async def test_no_delay_or_a_past_one_changes_nothing(noon: Engine, delay: str, found: str) -> None:
    run = await noon.trigger("t", delay="1h")

    with pytest.raises(BadRequest, match=found):
        await reschedule(noon, run, delay)

    assert (await noon.retrieve(run)).delayed_until == NOON + HOUR


async def test_only_a_run_held_for_its_delay_is_moved(noon: Engine) -> None:
    parked = await noon.trigger("unknown")
    worker = await noon.announce("t")
    begun = await noon.trigger("t", delay="1s")
    await noon.advance(datetime.timedelta(seconds=1))
    await noon.release_due()
    await noon.claim(worker)
    waiting = await noon.trigger("t")
    cancelled = await noon.trigger("t", delay="1h")
    await noon.cancel(cancelled)

    for run, status in (
        (parked, "PENDING_VERSION"),
        (begun, "EXECUTING"),
        (waiting, "QUEUED"),
        (cancelled, "CANCELED"),
    ):
        with pytest.raises(BadRequest, match=f"^Cannot reschedule a run that is not delayed: {run} is {status}$"):
            await reschedule(noon, run, "1h")
        assert await noon.status(run) == status


async def test_a_run_between_two_attempts_is_not_moved(noon: Engine) -> None:
    worker = await noon.announce("t")
    run = await noon.trigger("t", max_attempts=3)
    (assignment,) = await noon.claim(worker)
    await noon.fail(worker, assignment, retry_after_ms=3_600_000)
    held = "select status::text from oncue.live"
    assert await noon.run(lambda tx: tx.fetchval(held)) == "RETRYING_AFTER_FAILURE"

    with pytest.raises(BadRequest, match="not delayed"):
        await reschedule(noon, run, "2h")

    due = "select due_at from oncue.live"
    assert await noon.run(lambda tx: tx.fetchval(due)) == NOON + HOUR


async def test_a_run_elsewhere_is_not_found(noon: Engine, production: Engine) -> None:
    run = await noon.trigger("t", delay="1h")

    for engine, wanted in ((noon, ids.new_run_id()), (production, run)):
        with pytest.raises(NotFound):
            await reschedule(engine, wanted, "2h")

    assert (await noon.retrieve(run)).delayed_until == NOON + HOUR


async def test_a_run_that_is_being_released_is_not_moved(noon: Engine) -> None:
    await noon.announce("t")
    run = await noon.trigger("t", delay="1m")
    await noon.advance(HOUR)

    async with transaction(noon.pool) as releasing:
        await releasing.execute("select set_config('oncue.now', $1, true)", str(noon.moment))
        await upkeep.release_group(releasing, Effects())
        asking = asyncio.ensure_future(reschedule(noon, run, "3h"))
        await until_blocked(noon)

    with pytest.raises(BadRequest, match="is QUEUED"):
        await asking
