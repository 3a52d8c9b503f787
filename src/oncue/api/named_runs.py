"""Named runs: a path may name a run by the id that an item of a batch was given, though the item made no run.

The client gives every item of a batch an id before the server knows of it. Where the item's idempotency or debounce key
leads to a run that is there, that id is no run's; whoever asks by it means the run that the item stands for.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from oncue.api.calls import Call
from oncue.engine import batch_links
from oncue.protocol import ids
from oncue.protocol.errors import NotFound

Body = TypeVar("Body")
Found = TypeVar("Found")


def by_any_name(handle: Callable[[Call, Body], Awaitable[Found]]) -> Callable[[Call, Body], Awaitable[Found]]:
    """Have a handler of a path with ``{run}``, or a part of it, look for the run of a batch item where there is none.

    Only then: what was not found was not changed either, so the handler can begin anew, and others pay nothing. What is
    begun anew must not have read the body of the request: there is none to be read a second time.
    """

    @functools.wraps(handle)
    async def looking(call: Call, body: Body) -> Found:
        try:
            return await handle(call, body)
        except NotFound:
            item = call.id_of(ids.RUN, "run")
            run = await call.services.read(lambda tx: batch_links.run_of(tx, call.environment, item))
            if run is None:
                raise
            call.parameters["run"] = ids.show(ids.RUN, run)
            return await handle(call, body)

    return looking
