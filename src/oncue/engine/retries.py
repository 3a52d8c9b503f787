"""Retries: whether a failed attempt is followed by another, and when.

Pure rules over what the worker said and what the task declared; ``attempts`` carries them out.

Source: wire contract §8.2.
"""

import datetime

from oncue.protocol import limits
from oncue.protocol.retry import NO_RETRY_ATTEMPTS, RetryPolicy
from oncue.protocol.work import Failed, OutOfMemory


def attempts_allowed(policy: RetryPolicy | None, max_attempts: int | None) -> int:
    """Return how many attempts a run has in all: its own option first, then its task's, else one."""
    if max_attempts is not None:
        return min(max_attempts, limits.MAX_ATTEMPTS)
    return policy.max_attempts if policy is not None else NO_RETRY_ATTEMPTS


def machine_after(failure: Failed | OutOfMemory, *, policy: RetryPolicy | None, machine: str | None) -> str | None:
    """Return the machine of the next attempt where it is another one than now, else None.

    Args:
        failure: What the worker reported.
        policy: The task's declaration.
        machine: What the run has now.
    """
    if not isinstance(failure, OutOfMemory) or policy is None or policy.out_of_memory_machine == machine:
        return None
    return policy.out_of_memory_machine


def wait_after(
    failure: Failed | OutOfMemory, attempt: int, *, policy: RetryPolicy | None, max_attempts: int | None
) -> datetime.timedelta | None:
    """Return how long to wait before the next attempt, or None where the run has failed for good.

    Args:
        failure: What the worker reported.
        attempt: Number of the attempt that failed, from 1.
        policy: The task's declaration; None: it says nothing of retries.
        max_attempts: The run's own option; a run that has one is retried even where its task declares nothing.
    """
    if attempt >= attempts_allowed(policy, max_attempts):
        return None
    if isinstance(failure, OutOfMemory):
        return (policy or RetryPolicy()).wait_after(attempt)
    if not failure.retryable:
        return None
    if failure.retry_after_ms is not None:
        return datetime.timedelta(milliseconds=failure.retry_after_ms)
    return (policy or RetryPolicy()).wait_after(attempt)
