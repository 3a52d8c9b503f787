import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue.engine import retries
from oncue.protocol.failures import StringError
from oncue.protocol.retry import Retry, RetryPolicy
from oncue.protocol.work import Failed

MS = datetime.timedelta(milliseconds=1)


def test_waits_grow_by_the_factor_up_to_the_longest() -> None:
    policy = Retry(max_attempts=6, factor=2, min_timeout="1s", max_timeout="10s", randomize=False)

    assert [policy.wait_after(attempt) // MS for attempt in range(1, 6)] == [1_000, 2_000, 4_000, 8_000, 10_000]


@given(st.integers(1, 250), st.integers(0, 2**32))
def test_random_wait_is_at_least_the_wait_and_less_than_twice(attempt: int, seed: int) -> None:
    policy = RetryPolicy(max_timeout_ms=10**9)
    plain = min(10**9, 1_000 * 2.0 ** (attempt - 1))

    wait_ms = policy.wait_after(attempt, rng=random.Random(seed)) // MS

    assert min(10**9, plain) <= wait_ms <= min(10**9, 2 * plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, "max_attempts=0 is out of range; expected 1 to 250"),
        ({"max_attempts": True}, "max_attempts=True is out of range"),
        ({"factor": 0.5}, "factor=0.5 would shorten"),
        ({"min_timeout": "5s", "max_timeout": "1s"}, "max_timeout='1s' is shorter than min_timeout='5s'"),
        ({"min_timeout": "soon"}, "min_timeout='soon' is not a length of time"),
    ],
)
def test_refused_retry_setting_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retry(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "max_attempts", "attempt", "failure", "retried"),
    [
        (None, None, 1, {}, False),
        (None, 2, 1, {}, True),
        (None, 2, 2, {}, False),
        (RetryPolicy(max_attempts=3), None, 2, {}, True),
        (RetryPolicy(max_attempts=3), None, 3, {}, False),
        (RetryPolicy(max_attempts=3), 1, 1, {}, False),
        (RetryPolicy(max_attempts=3), None, 1, {"retryable": False}, False),
        (RetryPolicy(max_attempts=3), None, 1, {"retryable": False, "retry_after_ms": 5}, False),
        (RetryPolicy(max_attempts=3), None, 3, {"retry_after_ms": 5}, False),
    ],
)
def test_attempts_left_and_willing_decide_about_retries(
    policy: RetryPolicy | None, max_attempts: int | None, attempt: int, failure: dict[str, object], *, retried: bool
) -> None:
    failed = Failed("run_x", 1, 0, StringError("no"), **failure)  # type: ignore[arg-type]

    wait = retries.wait_after(failed, attempt, policy=policy, max_attempts=max_attempts)

    assert (wait is not None) == retried


def test_moment_chosen_by_the_task_wins() -> None:
    failed = Failed("run_x", 1, 0, StringError("no"), retry_after_ms=1_234)

    wait = retries.wait_after(failed, 1, policy=RetryPolicy(), max_attempts=None)

    assert wait == 1_234 * MS
