"""Whole batches: a batch whose items come with the request that makes it, as older clients send them.

What the two phases of a batch do is done in one transaction: all its runs are made, or none is.

Source: wire contract §2.5.

Life of a run, this module's part::

    api/routes/whole_batches -> whole_batches.make -> batch_creating.create, batches.fill, batches.seal
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from oncue.engine import batch_creating, batch_reading, batches
from oncue.engine.events import Effects
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.errors import ApiError, UnprocessableRequest
from oncue.protocol.triggers import BatchItem, BatchView, CreateBatchRequest
from oncue.store.pool import Tx


class Made(NamedTuple):
    """A batch, and whether an idempotency key stands for it."""

    view: BatchView
    is_cached: bool


async def make(
    tx: Tx,
    environment: Environment,
    request: CreateBatchRequest,
    items: Sequence[BatchItem],
    *,
    refusals: Mapping[int, ApiError],
    max_payload_bytes: int,
    request_key: str | None,
    effects: Effects,
) -> Made:
    """Make a batch with all its runs, and return it; delivered again, the one that was made first.

    Args:
        tx: The transaction.
        environment: The caller's.
        request: The batch, with as many items as there are.
        items: In their order.
        refusals: By index, why items cannot be made into runs; more may be found here.
        max_payload_bytes: The largest payload.
        request_key: The caller's ``x-trigger-request-idempotency-key``.
        effects: Gets what others must hear of.

    Raises:
        BadRequest: There are no items, or too many.
        LeaseLost: The parent is no longer executed by the worker that asks.
        UnprocessableRequest: Its idempotency key has another batch, of another size or other tasks; or the request was
            delivered before with another number of items.
    """
    created = await batch_creating.create(tx, environment, request, request_key=request_key, effects=effects)
    batch = ids.parse(ids.BATCH, created.response.id)
    if not created.response.is_cached:
        filled = await batches.fill(
            tx, environment, batch, items, refusals=refusals, max_payload_bytes=max_payload_bytes, effects=effects
        )
        await batches.seal(
            tx,
            environment,
            batch,
            accepted=filled.accepted,
            deduplicated=filled.deduplicated,
            effects=effects,
        )
    view = await batch_reading.retrieve(tx, environment, batch)
    if view.run_count != len(items):
        raise UnprocessableRequest(
            f"a batch of {view.run_count} items has already been created by the same request, and this one has "
            f"{len(items)}; name another request in x-trigger-request-idempotency-key"
        )
    return Made(view, created.response.is_cached)
