"""Parents that stay parked, as many as there may be."""

from oncue import task


@task
async def child(payload: int) -> int:
    return payload


@task
async def parent(payload: int) -> int:
    return await child.trigger_and_wait(payload, delay="1d").unwrap()


@task
async def quick(payload: int) -> int:
    return payload
