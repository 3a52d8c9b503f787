"""One-time tokens: public access tokens that make a run or a batch once.

A token is used up in the transaction that makes what it was for. The same request delivered again is no second use; it
is known by its ``x-trigger-request-idempotency-key``, which official clients send with every request.

Source: wire contract §3.3.

Life of a run, this module's part::

    triggering.trigger_many -> one_time_tokens.spent -> refused, where another request came before
    batch_creating.create -> one_time_tokens.spend_on_batch, bind -> the batch that the token may fill
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine.partitions import KEEP_REQUEST_KEYS
from oncue.engine.requests import NewRun, OneTimeToken
from oncue.engine.rows import Environment
from oncue.protocol.errors import ApiError, UnprocessableRequest
from oncue.store import queries
from oncue.store.pool import Tx

_KNOWN: Final = KEEP_REQUEST_KEYS - datetime.timedelta(hours=1)
"""How long a request is known by its key: less than what it meant is, or it would mean another run."""
_USED: Final = "Cannot {do} with a one-time use token as it has already been used."
"""Source: wire contract §3.3."""


class Used(msgspec.Struct, frozen=True):
    """A token, and the request that has used it."""

    hash: bytes
    request_key: str | None


class Made(msgspec.Struct, frozen=True):
    """The batch that a token has made."""

    batch_id: uuid.UUID


_sql = queries.load("one_time_tokens")
_take = _sql.many("take", Used)
_used = _sql.many("used", Used)
_bind = _sql.none("bind")
_batch_of = _sql.maybe("batch_of", Made)
_forget = _sql.none("forget")


async def spent(tx: Tx, environment: Environment, runs: Sequence[NewRun]) -> list[ApiError | None]:
    """Use up the tokens of requests; return for each, in order, why it is refused, or None where it is not."""
    uses = [(run.one_time, run.request_key) for run in runs if run.one_time is not None]
    if not uses:
        return [None] * len(runs)
    allowed = iter(await _take_all(tx, environment, uses))
    return [None if run.one_time is None or next(allowed) else _refusal(f"trigger {run.task}") for run in runs]


async def spend_on_batch(
    tx: Tx, environment: Environment, token: OneTimeToken | None, request_key: str | None
) -> uuid.UUID | None:
    """Use up the token of a request that makes a batch, if it has one.

    Returns:
        The batch that the token has made already, where the same request is delivered again.

    Raises:
        UnprocessableRequest: Another request has used it.
    """
    if token is None:
        return None
    if not all(await _take_all(tx, environment, [(token, request_key)])):
        raise _refusal("batch trigger")
    return await batch_of(tx, environment, token)


async def bind(tx: Tx, environment: Environment, token: OneTimeToken | None, batch: uuid.UUID) -> None:
    """Remember the batch that a token has made, so that it may fill it."""
    if token is not None:
        await _bind(tx, env_id=environment.id, hash=token.hash, batch_id=batch)


async def batch_of(tx: Tx, environment: Environment, token: OneTimeToken) -> uuid.UUID | None:
    """Return the batch that a token has made; None: it has made none."""
    row = await _batch_of(tx, env_id=environment.id, hash=token.hash)
    return None if row is None else row.batch_id


async def forget(tx: Tx) -> None:
    """Drop what is known of tokens that expired an hour ago or more."""
    await _forget(tx)


async def _take_all(tx: Tx, environment: Environment, uses: Sequence[tuple[OneTimeToken, str | None]]) -> list[bool]:
    """Use tokens up.

    Args:
        tx: The transaction.
        environment: Where the tokens count.
        uses: The token of each request, and by what the request is known when it is delivered again; None: by nothing.

    Returns:
        For each request, in order, whether it may be carried out: it is the first, or the first delivered again.
    """
    first: dict[bytes, int] = {}
    for at, (token, _) in enumerate(uses):
        first.setdefault(token.hash, at)
    taken = await _take(
        tx,
        env_id=environment.id,
        hashes=list(first),
        request_keys=[uses[at][1] for at in first.values()],
        expire_at=[uses[at][0].expires_at for at in first.values()],
    )
    new = {row.hash for row in taken}
    by = {row.hash: row.request_key for row in taken}
    used = [hash_ for hash_ in first if hash_ not in new]
    if used:
        by |= {row.hash: row.request_key for row in await _used(tx, env_id=environment.id, hashes=used, within=_KNOWN)}
    return [
        (token.hash in new and first[token.hash] == at) or (key is not None and by[token.hash] == key)
        for at, (token, key) in enumerate(uses)
    ]


def _refusal(do: str) -> UnprocessableRequest:
    """Return the refusal of a second use; ``do`` says of what."""
    return UnprocessableRequest(_USED.format(do=do))
