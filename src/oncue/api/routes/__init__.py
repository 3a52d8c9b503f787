"""Routes: what the server answers to, one module for each part of the API, and the table of all of them."""

from typing import Any, Final

from oncue.api.routes import (
    auth,
    batches,
    bulk_actions,
    health,
    idempotency,
    identity,
    inputs,
    logs,
    openapi,
    packets,
    queues,
    realtime,
    results,
    run_changes,
    run_documents,
    runs,
    schedules,
    steps,
    streams,
    tasks,
    traces,
    waitpoints,
    whole_batches,
    work,
)
from oncue.api.routing import Route

_DESCRIBED: Final[tuple[Route[Any], ...]] = (
    *tasks.ROUTES,
    *batches.ROUTES,
    *whole_batches.ROUTES,
    *runs.ROUTES,
    *results.ROUTES,
    *run_changes.ROUTES,
    *bulk_actions.ROUTES,
    *run_documents.ROUTES,
    *packets.ROUTES,
    *queues.ROUTES,
    *idempotency.ROUTES,
    *waitpoints.ROUTES,
    *auth.ROUTES,
    *steps.ROUTES,
    *logs.ROUTES,
    *traces.ROUTES,
    *realtime.ROUTES,
    *inputs.ROUTES,
    *streams.ROUTES,
    *schedules.ROUTES,
    *identity.ROUTES,
    *work.ROUTES,
    *health.ROUTES,
)
TABLE: Final[tuple[Route[Any], ...]] = (*_DESCRIBED, openapi.route(_DESCRIBED))
