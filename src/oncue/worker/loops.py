"""Loops: the event loop that tasks run on."""

import asyncio


def new() -> asyncio.AbstractEventLoop:
    """Make one: uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
