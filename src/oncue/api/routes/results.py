"""Results: clients read how runs have ended, one run's or those of a batch.

Source: wire contract §2.6.
"""

import uuid
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus

import msgspec

from oncue.api import addresses, answers, named_runs
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import batch_reading, reading
from oncue.protocol import codec, ids, limits, packets
from oncue.protocol.codec import NOTHING
from oncue.protocol.errors import NotFound
from oncue.protocol.failures import RunError
from oncue.protocol.work import ChildFailed, ChildResult


class RunResult(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How a run ended (wire contract §2.6)."""

    ok: bool
    id: str
    task_identifier: str
    output: str | None = None
    """The document's text."""
    output_type: str | None = None
    """``application/store``: the output is its path in the object store."""
    output_presigned_url: str | None = None
    """Where the output can be fetched, if it is kept there."""
    error: RunError | None = None


class BatchResult(msgspec.Struct, frozen=True, rename="camel"):
    """How the runs of a batch have ended."""

    id: str
    items: list[RunResult]
    """In item order, those that have; of a stream among the first thousand."""


@named_runs.by_any_name
async def of_run(call: Call, _: None) -> Answer:
    """Show how a run ended."""
    run = call.id_of(ids.RUN, "run")
    ended = await call.services.read(lambda tx: reading.read_result(tx, call.environment, run))
    if ended is None:
        raise NotFound(f"run {call.parameters['run']} has not ended yet; poll it, or ask again later")
    return Answer(await _shown(call, ended))


async def of_batch(call: Call, _: None) -> Answer:
    """Show how the runs of a batch ended, as far as they have."""
    batch = call.id_of(ids.BATCH, "batch")
    await call.services.read(lambda tx: batch_reading.check(tx, call.environment, batch))
    return Answer(_pieces(call, batch))


async def _pieces(call: Call, batch: uuid.UUID) -> AsyncIterator[bytes]:
    """Write the answer page by page: the outputs of all runs together may be larger than any memory."""
    yield b'{"id":"%s","items":[' % ids.show(ids.BATCH, batch).encode()
    after, comma = 0, b""
    while after < limits.MAX_BATCH_ITEMS:
        page = await call.services.read(
            partial(
                batch_reading.read_ended,
                environment=call.environment,
                batch=batch,
                after=after,
                limit=limits.MAX_BATCH_ITEMS - after,
            )
        )
        for ended in page.results:
            yield comma + answers.encode(await _shown(call, ended))
            comma = b","
        if page.seen == 0:
            break
        after += page.seen
    yield b"]}"


async def _shown(call: Call, ended: ChildResult) -> RunResult:
    if isinstance(ended, ChildFailed):
        return RunResult(ok=False, id=ended.id, task_identifier=ended.task, error=ended.error)
    text = bytes(ended.output).decode() if ended.output is not NOTHING else None
    address = None
    if text is not None and ended.output_type == codec.STORE:
        text = packets.path_of(text)
        address = await addresses.of_document(call, text)
    return RunResult(
        ok=True,
        id=ended.id,
        task_identifier=ended.task,
        output=text,
        output_type=ended.output_type,
        output_presigned_url=address,
    )


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/runs/{run}/result",
        handle=of_run,
        summary="Retrieve how a run ended",
        answer=RunResult,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/api/v1/batches/{batch}/results",
        handle=of_batch,
        summary="Retrieve how the runs of a batch ended",
        answer=BatchResult,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
