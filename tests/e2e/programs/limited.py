"""Tasks that send more than a rate limit allows."""

from oncue import Context, Retry, item, task, tasks
from oncue.sdk import transport


class _Hasty(transport.SystemClock):
    """Waits for nothing, so that every attempt of a call is made within the same refusal."""

    async def pause(self, seconds: float) -> None:  # noqa: ARG002 - the base class's name
        return


@task(retry=Retry(max_attempts=3, min_timeout=60, max_timeout=60))
async def sends_too_much_at_first(size: int, ctx: Context) -> int:
    """Send two batches in the first attempt, of which the limit lets one through, and one in the next."""
    batches = 2 if ctx.attempt.number == 1 else 1
    transport.clock = _Hasty()
    try:
        for _ in range(batches):
            await tasks.batch_trigger("limited-child", [item(number) for number in range(size)])
    finally:
        transport.clock = transport.SystemClock()
    return ctx.attempt.number


@task(retry=Retry(max_attempts=3, min_timeout=60, max_timeout=60))
async def limited_child(number: int) -> int:
    return number
