"""Steps: what they send, and when the function is not called."""

from dataclasses import dataclass
from typing import Any

import pytest

from oncue import OutsideTaskError, PayloadValidationError, step

from .conftest import FakeApi, FakeRun, Reply

KEPT = Reply(200, {"kept": True})


@dataclass
class Receipt:
    number: int


async def test_first_execution_only_keeps_the_result(api: FakeApi, inside: FakeRun) -> None:
    inside.epoch = inside.context.attempt.number
    api.prepare("POST /api/v1/work/steps", KEPT)

    assert await step("charge", lambda: Receipt(7), returns=Receipt) == Receipt(7)

    (seen,) = api.seen
    assert seen.path == "/api/v1/work/steps"
    assert (seen.json["output"], seen.json["step"]["callKey"]) == ({"number": 7}, "step:charge#1")


async def test_execution_that_began_again_takes_what_was_kept(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /api/v1/work/steps/recall", Reply(200, {"found": True, "output": {"number": 7}}))
    called: list[int] = []

    assert await step("charge", lambda: called.append(1), returns=Receipt) == Receipt(7)
    assert called == []


async def test_execution_that_began_again_does_what_was_not_kept(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /api/v1/work/steps/recall", Reply(200, {}))
    api.prepare("POST /api/v1/work/steps", KEPT)

    async def charge() -> tuple[int, ...]:
        return (1, 2)

    assert await step("charge", charge) == [1, 2]


async def test_what_the_function_raises_is_raised_and_not_kept(api: FakeApi, inside: FakeRun) -> None:
    inside.epoch = inside.context.attempt.number

    def charge() -> None:
        raise KeyError("card")

    with pytest.raises(KeyError, match="card"):
        await step("charge", charge)
    assert api.seen == []


@pytest.mark.parametrize(("value", "returns"), [(object(), Any), ({"number": "x"}, Receipt)])
async def test_result_that_does_not_fit_is_refused(api: FakeApi, inside: FakeRun, value: Any, returns: Any) -> None:
    inside.epoch = inside.context.attempt.number
    api.prepare("POST /api/v1/work/steps", KEPT)

    with pytest.raises(PayloadValidationError, match="step:charge#1"):
        await step("charge", lambda: value, returns=returns)


def test_step_outside_a_run_says_what_to_do(api: FakeApi) -> None:
    with pytest.raises(OutsideTaskError, match="call the function itself"):
        step.sync("charge", lambda: 1)


async def test_name_that_is_none_is_refused(api: FakeApi, inside: FakeRun) -> None:
    with pytest.raises(ValueError, match="step name '' is not accepted"):
        await step("", lambda: 1)
