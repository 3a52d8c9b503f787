"""Claims: a worker asks for runs, and is held until there is one, a notice, or its time is up.

A claim that is held watches its connection: a worker that is gone must be given nothing. What was claimed in the very
moment it left is handed back, and so is what comes to a claim after its worker has asked anew without an answer to it.

Life of a run, this module's part::

    api/routes/work -> claims.claim -> claiming.claim, notices.take -> ClaimResponse
"""

import asyncio
import random
import uuid
from typing import Final

from oncue.api.calls import Call
from oncue.api.polls import Poll
from oncue.engine import attempts, claiming, notices, recovery
from oncue.engine.events import Effects
from oncue.protocol import ids, limits
from oncue.protocol.errors import BadRequest, ConnectionFailed
from oncue.protocol.work import Assignment, ClaimRequest, ClaimResponse, HandedBack, Notice
from oncue.store.pool import Tx

_ROOM_S: Final = 1.0
"""How often it is looked whether a worker has room for a run that is held to a machine."""


async def claim(call: Call, request: ClaimRequest) -> ClaimResponse:
    """Answer a claim as soon as there is something, at the latest when its time is up.

    Raises:
        BadRequest: The number of places is out of range.
        LeaseLost: The worker is not known.
        ConnectionFailed: It went away.
    """
    if not 0 <= request.places <= limits.MAX_PLACES:
        raise BadRequest(f"places: found {request.places}; expected 0 to {limits.MAX_PLACES:,}")
    services, loop = call.services, asyncio.get_running_loop()
    worker = ids.parse(ids.WORKER, request.worker_id)
    wait = min(request.wait_ms / 1000, services.settings.claim_wait.total_seconds())
    deadline = loop.time() + wait
    acknowledged = request.acknowledged
    if request.holding is not None:
        services.polls.abandon(worker)
        await _reclaim(call, worker, request.holding)
    leaving: asyncio.Task[None] | None = None
    with services.polls.hold(
        call.environment.id, worker, places=request.places, kind=services.kinds.of(worker)
    ) as poll:
        try:
            while True:
                answer, leaves_some = await _look(call, poll, worker, request.places, acknowledged)
                acknowledged = []
                if poll.is_abandoned:
                    await _hand_back(call, worker, answer.assignments)
                    raise ConnectionFailed("the worker no longer waits for this answer")
                if answer.assignments or answer.notices or loop.time() >= deadline:
                    return answer
                if leaving is None:
                    leaving = asyncio.create_task(call.disconnected())
                    leaving.add_done_callback(lambda _: poll.abandon())
                left = deadline - loop.time()
                # What room the worker has is known here; where it was made known to another server, time will tell.
                if not await poll.wait(min(left, _ROOM_S) if leaves_some else left) and not (
                    leaves_some and loop.time() < deadline and poll.may_look
                ):
                    return ClaimResponse()
        finally:
            if leaving is not None:
                leaving.cancel()


async def _reclaim(call: Call, worker: uuid.UUID, holding: list[str]) -> None:
    """The worker never got an answer that may have held runs: take back what it does not know of."""
    known = [ids.parse(ids.RUN, run) for run in holding]
    await call.services.write(
        lambda tx, effects: recovery.reclaim(tx, call.environment, worker, holding=known, effects=effects),
        pool=call.services.control,
    )


async def _look(
    call: Call, poll: Poll, worker: uuid.UUID, places: int, acknowledged: list[int]
) -> tuple[ClaimResponse, bool]:
    """Ask the database until it is clear what there is; and whether room for something may be there in a moment."""
    news: list[Notice] = []
    look = claiming.Look([], turn=0)
    # In turn, so that neither those that are held to machines nor the others take all of the places.
    held_first = random.random() < 0.5  # noqa: S311, PLR2004 - a coin

    async def work(tx: Tx, effects: Effects) -> tuple[list[Notice], claiming.Look]:
        taken = await notices.take(tx, call.environment, worker, acknowledged=acknowledged)
        if not places:
            return taken, claiming.Look([])
        return taken, await claiming.claim(
            tx,
            call.environment,
            worker,
            places=places,
            turn=look.turn or 0,
            is_again=look.is_again,
            held_first=held_first,
            effects=effects,
        )

    poll.start_look()
    while True:
        news, look = await call.services.write(work, pool=call.services.control)
        if news or look.turn is None:
            break
    poll.wants_room = look.leaves_some
    poll.end_look(len(look.runs))
    return ClaimResponse(look.runs, news), look.leaves_some


async def _hand_back(call: Call, worker: uuid.UUID, assignments: list[Assignment]) -> None:
    outcomes = [HandedBack(run.run_id, run.epoch) for run in assignments]
    if outcomes:
        await call.services.write(
            lambda tx, effects: attempts.report(tx, call.environment, worker, outcomes, effects=effects),
            pool=call.services.control,
        )
