"""Patience: wait for what another process does, which has no event to wait for."""

import asyncio
from collections.abc import Awaitable, Callable

_EVERY_S = 0.01


async def until(is_so: Callable[[], Awaitable[bool]], *, within_s: float = 120, every_s: float = _EVERY_S) -> None:
    """Wait until something is so.

    Args:
        is_so: Looks; asked again and again.
        within_s: How long at most.
        every_s: Pause between two looks.

    Raises:
        TimeoutError: It took too long.
    """
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 - see above
            await asyncio.sleep(every_s)
