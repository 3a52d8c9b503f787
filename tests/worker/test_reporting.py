"""Outcomes arrive, whatever the network does."""

import asyncio

import pytest

from oncue import task
from oncue.protocol import work
from oncue.protocol.failures import BuiltInError
from oncue.worker import reporter
from tests.worker.conftest import Start
from tests.worker.network import FarEnd, assignment


@task(id="numbered")
async def numbered(payload: int) -> int:
    await asyncio.sleep(0)
    return payload


async def test_outcome_is_sent_again_after_a_broken_connection(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    far_end.refusals["outcomes"] = [(0, "before"), (503, "unavailable"), (0, "before")]
    run = assignment("numbered", b"1")
    async with working(numbered):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Succeeded)
    assert sum(record.getMessage().startswith("outcomes.failed") for record in caplog.records) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429])
async def test_refusal_that_may_pass_loses_no_outcome(far_end: FarEnd, working: Start, status: int) -> None:
    far_end.refusals["outcomes"] = [(status, "")]
    run = assignment("numbered", b"1")
    async with working(numbered):
        await far_end.give(run)

        assert isinstance(await far_end.outcome(run), work.Succeeded)


async def test_outcomes_keep_their_order_across_retries(far_end: FarEnd, working: Start) -> None:
    far_end.refusals["outcomes"] = [(500, "broken"), (500, "broken")]
    runs = [assignment("numbered", str(number).encode()) for number in range(300)]
    async with working(numbered, concurrency=50):
        await far_end.give(*runs)
        await far_end.until(lambda: len(far_end.outcomes) == 300)

    assert [o.run_id for o in far_end.outcomes] == [run.run_id for run in runs]
    assert max(far_end.groups) > 1


async def test_refused_outcome_is_named_and_the_rest_arrive(
    far_end: FarEnd, working: Start, caplog: pytest.LogCaptureFixture
) -> None:
    lost, kept = assignment("numbered", b"1"), assignment("numbered", b"2")
    far_end.lost.add(lost.run_id)
    async with working(numbered):
        await far_end.give(lost, kept)
        await far_end.outcome(kept)
        await far_end.until(lambda: len(far_end.claims) >= 2)

    said = [record.getMessage() for record in caplog.records if "attempt.lost" in record.getMessage()]
    assert len(said) == 1
    assert lost.run_id in said[0]


async def test_output_the_server_will_not_take_becomes_a_failure(far_end: FarEnd, working: Start) -> None:
    far_end.refusals["outcomes"] = [(413, "payload_too_large")]
    run = assignment("numbered", b"1")
    async with working(numbered):
        await far_end.give(run)
        outcome = await far_end.outcome(run)

    assert isinstance(outcome, work.Failed)
    assert isinstance(outcome.error, BuiltInError)
    assert (outcome.error.name, outcome.retryable) == ("PayloadTooLarge", False)


async def test_outcome_that_breaks_the_server_does_not_hold_up_the_rest(
    far_end: FarEnd, working: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "BROKEN_TRIES", 1)
    poison, sound = assignment("numbered", b"1"), assignment("numbered", b"2")
    far_end.breaks_on.add(poison.run_id)
    async with working(numbered):
        await far_end.give(poison, sound)
        last = await far_end.outcome(sound)
        await far_end.until(lambda: len(far_end.given_up.get(poison.run_id, [])) == 4)

    assert isinstance(last, work.Succeeded)
    assert [type(outcome) for outcome in far_end.given_up[poison.run_id]] == [
        work.Succeeded,
        work.Failed,
        work.Failed,
        work.HandedBack,
    ]


async def test_large_outputs_are_spread_over_requests(
    far_end: FarEnd, working: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "GROUP_BYTES", 2_500)

    @task
    async def large() -> str:
        await asyncio.sleep(0)
        return "x" * 998

    runs = [assignment("large") for _ in range(10)]
    async with working(large):
        await far_end.give(*runs)
        await far_end.until(lambda: len(far_end.outcomes) == 10)

    assert max(far_end.groups) == 2


async def test_no_runs_are_claimed_while_outcomes_pile_up(
    far_end: FarEnd, working: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oncue.worker.poller.MAX_BACKLOG", 0)
    far_end.refusals["outcomes"] = [(503, "unavailable")] * 4

    @task
    async def instant() -> None: ...

    first, second = assignment("instant"), assignment("instant")
    async with working(instant):
        await far_end.give(first)
        await far_end.until(lambda: far_end.claims and far_end.claims[-1].places == 0)
        await far_end.give(second)
        await far_end.outcome(second)

    assert [o.run_id for o in far_end.outcomes] == [first.run_id, second.run_id]
    assert 0 in {claim.places for claim in far_end.claims}


async def test_claim_after_a_lost_answer_says_what_is_held(far_end: FarEnd, working: Start) -> None:
    gate = asyncio.Event()

    @task
    async def held() -> None:
        await gate.wait()

    run, after = assignment("held"), assignment("numbered", b"1")
    async with working(held, numbered):
        await far_end.give(run)
        await far_end.until(lambda: len(far_end.claims) >= 2)
        # The claim that is open now is answered; the one after it breaks.
        far_end.refusals["claim"] = [(0, "before")]
        await far_end.give(after)
        await far_end.until(lambda: far_end.claims[-1].holding is not None)
        gate.set()
        await far_end.outcome(run)

    told = next(claim.holding for claim in far_end.claims if claim.holding is not None)
    assert run.run_id in told
    assert all(claim.holding is None for claim in far_end.claims[:2])
