"""Tasks that log, and fail the first time."""

from oncue import Context, Retry, logger, task

_TWICE = Retry(max_attempts=2, min_timeout=0, max_timeout=0)


def _work(payload: int, ctx: Context) -> None:
    logger.info("begun", payload=payload)
    if ctx.attempt.number == 1:
        logger.error("not the first time")
        raise ValueError("not the first time")
    logger.warning("done")


@task(retry=_TWICE)
async def logs(payload: int, ctx: Context) -> None:
    _work(payload, ctx)


@task(retry=_TWICE)
def logs_plain(payload: int, ctx: Context) -> None:
    _work(payload, ctx)
