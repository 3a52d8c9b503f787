"""Moments: waiting for something to happen, for so long at most."""

import asyncio
from contextlib import suppress


async def passed(event: asyncio.Event, seconds: float) -> None:
    """Return when an event is set, or when the time is up.

    ``asyncio.wait_for`` does the same, but before Python 3.12 it takes a cancellation that comes in the moment of the
    event for the event: whoever was to stop goes on, and whoever waits for that waits for ever.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
