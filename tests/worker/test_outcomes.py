"""What a worker says of what a task raised."""

import datetime

from oncue import RateLimited
from oncue.worker import outcomes


def test_rate_limit_that_task_lets_out_names_its_end() -> None:
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)

    failed = outcomes.raised("run_1", 1, 5, RateLimited("slow down", reset_at=ends))

    assert failed.retryable
    assert failed.retry_after_ms is not None
    assert 60_000 < failed.retry_after_ms <= 90_000
