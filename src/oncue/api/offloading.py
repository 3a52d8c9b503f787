"""Offloading: documents that are too large for a row go to the object store, and what names them goes on.

Before any transaction, so that none waits for the store. What a client has stored by itself is looked up here: it must
be there, and no larger than if it had been sent.

Life of a run, this module's part::

    api/routes/tasks, batches, run_changes -> offloading.payload -> requests.plan
    api/routes/work -> offloading.output -> engine/attempts
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from oncue.api.services import Services
from oncue.engine import replaying
from oncue.engine.replaying import Replay
from oncue.engine.rows import Environment
from oncue.protocol import codec, packets
from oncue.protocol.errors import ApiError, BadRequest
from oncue.protocol.triggers import BatchItem, TriggerRequest
from oncue.protocol.work import Outcome, Succeeded
from oncue.store.errors import ObjectsUnavailable

Asked = TypeVar("Asked", TriggerRequest, BatchItem)

_AT_ONCE: Final = 10


async def payload(services: Services, environment: Environment, asked: Asked) -> Asked:
    """Return a request whose payload is small enough for a row.

    One that breaks a rule is left for ``requests.plan`` to refuse.

    Raises:
        BadRequest: The client has stored nothing at the path that it gives.
        PayloadTooLarge: It is larger than a payload may be, or what was stored is.
        ObjectsUnavailable: The store does not answer.
    """
    if not _concerns(services, asked):
        return asked
    settings = services.settings
    if asked.options.payload_type is None and len(asked.payload) > settings.max_payload_bytes:
        # Before it is read: what is refused should cost little.
        raise packets.too_large("payload", len(asked.payload), settings.max_payload_bytes)
    try:
        document, type_ = await asyncio.to_thread(codec.document, asked.payload, asked.options.payload_type)
    except BadRequest:
        return asked
    if document is None:
        return asked
    if type_ == codec.STORE:
        given = packets.path_in(document, "payload")
        path = await services.packets.adopt(environment, given, "payload", settings.max_payload_bytes)
    elif settings.offload_bytes < len(document) <= settings.max_payload_bytes:
        path = await services.packets.keep(environment, document, type_)
    else:
        return asked
    options = msgspec.structs.replace(asked.options, payload_type=codec.STORE)
    return msgspec.structs.replace(asked, payload=packets.reference(path), options=options)


async def payloads(
    services: Services, environment: Environment, items: Sequence[BatchItem]
) -> tuple[Sequence[BatchItem], dict[int, ApiError]]:
    """Return the items of a batch with small payloads, and why some have none, by index: they fail alone.

    Raises:
        ObjectsUnavailable: The store does not answer.
    """
    heavy = [place for place, item in enumerate(items) if _concerns(services, item)]
    if not heavy:
        return items, {}
    turns = asyncio.Semaphore(_AT_ONCE)
    light = list(items)
    refused: dict[int, ApiError] = {}

    async def lighten(place: int) -> None:
        async with turns:
            try:
                light[place] = await payload(services, environment, items[place])
            except ApiError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    # The store is away: the same item may fare better when it is sent again.
                    raise
                refused[items[place].index] = error

    try:
        async with asyncio.TaskGroup() as group:
            for place in heavy:
                group.create_task(lighten(place))
    except* ApiError as failures:
        raise failures.exceptions[0] from None
    return light, refused


async def replay(services: Services, environment: Environment, wish: Replay) -> Replay:
    """Return a wish to replay a run whose payload, the old one or one that is said anew, lasts as long as the new run.

    Raises:
        ApiError: As for ``payload``.
        NotFound: There is no such run.
    """
    changes = wish.changes
    if not changes.payload:
        document, type_ = await services.read(lambda tx: replaying.original_payload(tx, environment, wish.run_id))
        if document is None or type_ != codec.STORE:
            return wish
        options = msgspec.structs.replace(changes.options, payload_type=codec.STORE)
        changes = TriggerRequest(msgspec.Raw(document.encode()), options)
    return msgspec.structs.replace(wish, changes=await payload(services, environment, changes))


async def outputs(
    services: Services, environment: Environment, outcomes: Sequence[Outcome]
) -> tuple[list[Outcome], list[str]]:
    """Return outcomes whose outputs are small enough for a row, and the runs of those that have to be sent again.

    While the store is away the others are not held up: a failure may be what somebody waits for.

    Raises:
        BadRequest: A worker has stored nothing at the path that it gives.
        PayloadTooLarge: An output is larger than one may be.
    """
    light: list[Outcome] = []
    again: list[str] = []
    for outcome in outcomes:
        try:
            light.append(await _output(services, environment, outcome))
        except ObjectsUnavailable:
            again.append(outcome.run_id)
    return light, again


async def _output(services: Services, environment: Environment, outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Succeeded):
        return outcome
    limit = services.settings.max_output_bytes
    if outcome.output_type == codec.STORE:
        path = await services.packets.adopt(environment, packets.path_in(outcome.output, "output"), "output", limit)
    elif len(outcome.output) > limit:
        raise packets.too_large("output", len(outcome.output), limit)
    elif len(outcome.output) > services.settings.offload_bytes:
        path = await services.packets.keep(environment, bytes(outcome.output), outcome.output_type)
    else:
        return outcome
    return msgspec.structs.replace(outcome, output=packets.reference(path), output_type=codec.STORE)


def _concerns(services: Services, asked: TriggerRequest | BatchItem) -> bool:
    return asked.options.payload_type == codec.STORE or len(asked.payload) > services.settings.offload_bytes
