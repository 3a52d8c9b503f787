"""Work: what workers say and ask.

All of it uses the connections kept for control but outcomes, which are as heavy as triggers.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from oncue import telemetry
from oncue.api import claims, offloading
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import attempts, batch_reading, workers
from oncue.protocol import ids, limits
from oncue.protocol.errors import BadRequest
from oncue.protocol.work import (
    Announcement,
    BatchResults,
    ClaimRequest,
    ClaimResponse,
    Farewell,
    Heartbeat,
    HeartbeatResponse,
    OutcomesRequest,
    OutcomesResponse,
    TooLarge,
    Welcome,
)

_PAGE: Final = 100


class Nothing(msgspec.Struct, frozen=True):
    """It was done, and there is nothing to say about it."""


async def announce(call: Call, announcement: Announcement) -> Answer:
    """Take a worker in."""
    settings, services = call.services.settings, call.services
    version = await services.write(
        lambda tx, effects: workers.announce(tx, call.environment, announcement, lease=settings.lease, effects=effects),
        pool=services.control,
    )
    services.kinds.learn(announcement)
    # Runs of these tasks may be parked, since long ago or only just now.
    services.upkeep.nudge("place_parked")
    services.upkeep.nudge("adopt_versions")
    telemetry.event(
        "worker.announced",
        worker_id=announcement.worker_id,
        environment=call.environment.slug,
        tasks=len(announcement.tasks),
        places=announcement.places,
        version=version,
    )
    return Answer(
        Welcome(
            call.environment.slug,
            lease_ms=_ms(settings.lease.total_seconds()),
            heartbeat_ms=_ms(settings.heartbeat.total_seconds()),
            claim_wait_ms=_ms(settings.claim_wait.total_seconds()),
            version=version,
        )
    )


async def claim(call: Call, request: ClaimRequest) -> Answer:
    """Hand out runs, as soon as there are any."""
    return Answer(await claims.claim(call, request))


async def outcomes(call: Call, request: OutcomesRequest) -> Answer:
    """Record what became of runs."""
    worker = ids.parse(ids.WORKER, request.worker_id)
    told, again = await offloading.outputs(call.services, call.environment, request.outcomes)
    lost = await call.services.write(
        lambda tx, effects: attempts.report(tx, call.environment, worker, told, effects=effects)
    )
    call.services.polls.room_freed(worker)
    return Answer(OutcomesResponse(lost, again))


async def heartbeat(call: Call, request: Heartbeat) -> Answer:
    """Extend a worker's lease."""
    worker = ids.parse(ids.WORKER, request.worker_id)
    lease = call.services.settings.lease
    beaten = await call.services.write(
        lambda tx, _: workers.beat(tx, call.environment, worker, lease=lease), pool=call.services.control
    )
    if beaten is None:
        return Answer(HeartbeatResponse(known=False))
    return Answer(HeartbeatResponse(True, [TooLarge(each.task, each.machine, each.largest) for each in beaten]))


async def leave(call: Call, farewell: Farewell) -> Answer:
    """Let a worker go."""
    worker = ids.parse(ids.WORKER, farewell.worker_id)
    await call.services.write(
        lambda tx, effects: workers.leave(tx, call.environment, worker, effects=effects), pool=call.services.control
    )
    call.services.kinds.forget(worker)
    call.services.upkeep.nudge("adopt_versions")
    telemetry.event("worker.left", worker_id=farewell.worker_id, environment=call.environment.slug)
    return Answer(Nothing())


async def batch_results(call: Call, _: None) -> Answer:
    """Hand over a page of a batch's results."""
    batch = ids.parse(ids.BATCH, call.parameters["batch"])
    query = call.query
    after = _whole(query, "after", default=0, least=0, most=ids.MAX_ITEM_INDEX)
    limit = _whole(query, "limit", default=_PAGE, least=1, most=limits.MAX_BATCH_ITEMS)
    items = await call.services.read(
        lambda tx: batch_reading.read_results(tx, call.environment, batch, after=after, limit=limit)
    )
    return Answer(BatchResults(items))


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _whole(query: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise BadRequest(f"{name}: found {text[:60]!r}; expected {least:,} to {most:,}")
    return int(text)


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/work/announce",
        handle=announce,
        summary="A worker says what it can run",
        rate_limited=False,
        body=Announcement,
        answer=Welcome,
        errors=(HTTPStatus.UNPROCESSABLE_ENTITY,),
    ),
    Route(
        method="POST",
        path="/api/v1/work/claim",
        handle=claim,
        summary="Ask for runs, and wait for them",
        rate_limited=False,
        body=ClaimRequest,
        answer=ClaimResponse,
        errors=(HTTPStatus.CONFLICT,),
    ),
    Route(
        method="POST",
        path="/api/v1/work/outcomes",
        handle=outcomes,
        summary="Report what became of runs",
        rate_limited=False,
        body=OutcomesRequest,
        limit=lambda settings: settings.outcomes_body_bytes,
        answer=OutcomesResponse,
        errors=(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,),
    ),
    Route(
        method="POST",
        path="/api/v1/work/heartbeat",
        handle=heartbeat,
        summary="A worker says that it is alive",
        rate_limited=False,
        body=Heartbeat,
        answer=HeartbeatResponse,
    ),
    Route(
        method="POST",
        path="/api/v1/work/leave",
        handle=leave,
        summary="A worker leaves",
        rate_limited=False,
        body=Farewell,
        answer=Nothing,
    ),
    Route(
        method="GET",
        path="/api/v1/work/batches/{batch}/results",
        handle=batch_results,
        summary="Retrieve results of a batch, in item order",
        rate_limited=False,
        answer=BatchResults,
        errors=(HTTPStatus.NOT_FOUND,),
        query=("after", "limit"),
    ),
)
