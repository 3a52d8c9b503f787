"""Tokens: waitpoints that somebody outside completes, a person's approval or another system's answer.

A token is made, its id or callback address is handed out, and a run waits for it. Whoever completes it first counts;
later completions change nothing and are no error. One that times out cannot be completed any more.

Source: wire contract §5.

Life of a run, this module's part::

    api/routes/tokens -> tokens.create, tokens.complete -> waitpoints.settle -> the run that waits goes on
"""

import datetime
import hashlib
import hmac
import uuid
from typing import NamedTuple

import msgspec

from oncue.engine import environments, option_rules, request_keys, requests, triggering, waitpoints
from oncue.engine.events import Effects
from oncue.engine.request_keys import Meant
from oncue.engine.rows import Environment
from oncue.engine.waitpoints import Token
from oncue.protocol import codec, ids, limits
from oncue.protocol.errors import NotFound, Unauthorized
from oncue.protocol.tokens import CreateTokenRequest, TokenStatus, TokenView
from oncue.store import queries
from oncue.store.pool import Tx


class TokenId(msgspec.Struct, frozen=True):
    """Which token."""

    id: uuid.UUID


class TokenRow(msgspec.Struct, frozen=True):
    """A token."""

    id: uuid.UUID
    created_at: datetime.datetime
    settled_at: datetime.datetime | None
    due_at: datetime.datetime | None
    timed_out: bool
    output: str | None
    output_type: str | None
    tags: list[str]
    idempotency_key: str | None
    key_expires_at: datetime.datetime | None


class CallbackSecret(msgspec.Struct, frozen=True):
    """What signs callback addresses."""

    callback_secret: bytes


class CalledBack(msgspec.Struct, frozen=True):
    """Where a token belongs that is called back."""

    env_id: int
    callback_secret: bytes


class Created(NamedTuple):
    """A token, new or the one that an idempotency key stands for."""

    id: uuid.UUID
    is_cached: bool
    signature: str
    """Of its callback address."""


class Filters(NamedTuple):
    """Which tokens are listed; None: all."""

    statuses: list[TokenStatus] | None = None
    tags: list[str] | None = None
    keys: list[str] | None = None
    created_from: datetime.datetime | None = None
    created_to: datetime.datetime | None = None
    period: datetime.timedelta | None = None
    """No older than this."""


class Signed(NamedTuple):
    """A token that is shown, and what its callback address is signed with."""

    view: TokenView
    signature: str


class Page(NamedTuple):
    """Some tokens, newest first, and whether there are others beside them."""

    tokens: list[Signed]
    has_older: bool
    has_newer: bool


_sql = queries.load("tokens")
_free_key = _sql.none("free_key")
_find_by_key = _sql.maybe("find_by_key", TokenId)
_complete = _sql.none("complete")
_show = _sql.maybe("show", TokenRow)
_list_tokens = _sql.many("list_tokens", TokenRow)
_list_tokens_above = _sql.many("list_tokens_above", TokenRow)
_callback_secret = _sql.one("callback_secret", CallbackSecret)
_find_called_back = _sql.maybe("find_called_back", CalledBack)


async def create(
    tx: Tx, environment: Environment, request: CreateTokenRequest, *, request_key: str | None = None, effects: Effects
) -> Created:
    """Make a token; where its idempotency key stands for one already, that one.

    Args:
        request: What is asked for.
        request_key: The caller's ``x-trigger-request-idempotency-key``.
        effects: Gets what others must hear of.

    Raises:
        BadRequest: A field makes no sense; names it.
        LeaseLost: The run that calls is no longer executed by the worker that asks.
        UnprocessableRequest: A time or the tags make no sense.
    """
    delay, until = option_rules.read_delay(request.timeout, "timeout")
    tags = _tags(request.tags)
    lifetime = _key_lifetime(request)
    call = requests.parse_parent(
        request.parent_run_id,
        request.parent_epoch,
        request.parent_worker_id,
        waits=False,
        call_key=request.call_key,
    )
    caller = None
    if call is not None:
        caller = await triggering.lock_caller(tx, environment, call)
        if (made := await waitpoints.recorded(tx, environment, call, caller)) is not None:
            return await _created(tx, environment, made, is_cached=False)
    wanted = ids.parse(ids.WAITPOINT, ids.new_waitpoint_id())
    sent = None if request_key is None else f"token:{request_key}"
    if sent is not None:
        meant = (await request_keys.first_meant(tx, environment, {sent: wanted}))[sent]
        if meant.target_id != wanted:
            return await _created(tx, environment, meant.target_id, is_cached=meant.is_cached)
    if request.idempotency_key is not None:
        await _free_key(tx, env_id=environment.id, key=request.idempotency_key)
    token = Token(tags=tags, idempotency_key=request.idempotency_key, key_lifetime=lifetime)
    if await waitpoints.insert(tx, environment, wanted, call, caller, delay=delay, until=until, token=token):
        effects.due_sooner |= delay is not None or until is not None
        return await _created(tx, environment, wanted, is_cached=False)
    found = await _find_by_key(tx, env_id=environment.id, key=request.idempotency_key)
    assert found is not None
    if sent is not None:
        await request_keys.point(tx, environment, [Meant(sent, found.id, is_cached=True)])
    return await _created(tx, environment, found.id, is_cached=True)


async def complete(
    tx: Tx, environment: Environment, token: uuid.UUID, output: bytes, output_type: str, *, effects: Effects
) -> None:
    """Complete a token, and let the runs go on that wait for it. One that is completed or timed out stays as it is.

    Raises:
        NotFound: There is no such token in this environment.
    """
    row = await waitpoints.locked(tx, environment, token)
    if not row.is_token:
        raise NotFound(f"{ids.show(ids.WAITPOINT, token)} is a moment that a run waits for, and no token")
    if row.is_settled:
        return
    await _complete(tx, env_id=environment.id, id=token, output=output.decode(), output_type=output_type)
    await waitpoints.settle(tx, environment, [token], effects=effects)


async def called_back(tx: Tx, token: uuid.UUID, signature: str) -> Environment:
    """Return the environment of a token whose callback address was used.

    Raises:
        Unauthorized: The address is none of a token's.
    """
    row = await _find_called_back(tx, id=token)
    # Text is compared in constant time only where it is ASCII.
    given = signature.encode()
    if row is None or not hmac.compare_digest(_signature(row.callback_secret, token).encode(), given):
        raise Unauthorized("this callback address belongs to no token; use the url that the token was created with")
    known = {environment.id: environment for environment in await environments.list_environments(tx)}
    return known[row.env_id]


async def retrieve(tx: Tx, environment: Environment, token: uuid.UUID) -> Signed:
    """Return a token.

    Raises:
        NotFound: There is no such token in this environment.
    """
    row = await _show(tx, env_id=environment.id, id=token)
    if row is None:
        raise NotFound(f"no token {ids.show(ids.WAITPOINT, token)} in this environment")
    return Signed(_view(row), await _signed(tx, environment, token))


async def list_tokens(
    tx: Tx,
    environment: Environment,
    *,
    filters: Filters,
    after: uuid.UUID | None = None,
    before: uuid.UUID | None = None,
    size: int,
) -> Page:
    """Return a page of tokens, newest first.

    Args:
        after: The last token of the page before; None: from the newest on.
        before: The first token of the page after. Where there is one, ``after`` does not count.
        size: 1 to 100.
    """
    # One more than asked for tells whether there is another page.
    wanted = {"env_id": environment.id, **filters._asdict(), "size": size + 1}
    if before is None:
        rows = await _list_tokens(tx, after=after, **wanted)
    else:
        rows = await _list_tokens_above(tx, before=before, **wanted)
    more, rows = len(rows) > size, rows[:size]
    secret = (await _callback_secret(tx, env_id=environment.id)).callback_secret
    shown = [Signed(_view(row), _signature(secret, row.id)) for row in rows]
    if before is not None:
        return Page(shown[::-1], has_older=bool(rows), has_newer=more)
    return Page(shown, has_older=more, has_newer=bool(rows) and after is not None)


async def _created(tx: Tx, environment: Environment, token: uuid.UUID, *, is_cached: bool) -> Created:
    return Created(token, is_cached, await _signed(tx, environment, token))


async def _signed(tx: Tx, environment: Environment, token: uuid.UUID) -> str:
    return _signature((await _callback_secret(tx, env_id=environment.id)).callback_secret, token)


def _signature(secret: bytes, token: uuid.UUID) -> str:
    return hmac.new(secret, token.bytes, hashlib.sha256).hexdigest()


def _tags(tags: str | list[str] | None) -> list[str]:
    option_rules.read_tags(tags)
    return [] if tags is None else [tags] if isinstance(tags, str) else list(dict.fromkeys(tags))


def _key_lifetime(request: CreateTokenRequest) -> datetime.timedelta | None:
    if request.idempotency_key is None:
        return None
    option_rules.check_key(request.idempotency_key, "idempotencyKey", limits.MAX_IDEMPOTENCY_KEY_LENGTH)
    return option_rules.read_key_lifetime(request.idempotency_key_ttl, "idempotencyKeyTTL")


def _view(row: TokenRow) -> TokenView:
    is_completed = row.settled_at is not None and not row.timed_out
    view = TokenView(
        id=ids.show(ids.WAITPOINT, row.id),
        status="WAITING" if row.settled_at is None else "TIMED_OUT" if row.timed_out else "COMPLETED",
        created_at=row.created_at,
        tags=row.tags,
        completed_at=row.settled_at if is_completed else None,
        timeout_at=row.due_at,
        idempotency_key=row.idempotency_key,
        idempotency_key_expires_at=row.key_expires_at,
        output=row.output,
        output_type=row.output_type,
    )
    if not row.timed_out:
        return view
    error = msgspec.json.encode({"message": f"{view.id} timed out: nobody completed it in time"}).decode()
    return msgspec.structs.replace(view, output=error, output_type=codec.JSON, output_is_error=True)
