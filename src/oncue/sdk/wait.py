"""Wait: for a span of time, a moment, or a token that somebody outside completes.

Inside a run only, and as durable as waiting for a child: the run holds no slot and no place meanwhile, for however
long, and a worker that is lost or stopped costs nothing of it. ``asyncio.sleep`` is for moments that may be lost.

Example::

    await wait.for_(minutes=5)
    token = await wait.create_token(timeout="1d")
    await ask_for_approval(token.url)
    match await wait.for_token(token):
        case Completed(output=answer): ...
        case TimedOut(): ...

Life of a run, this module's part::

    wait.for_ -> requests.wait -> Park -> Execution.wait_for_waitpoint -> the next line
"""

import datetime
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from oncue.protocol import codec, durations, ids
from oncue.protocol.durations import Duration
from oncue.protocol.tokens import CreateTokenRequest, TokenPage, TokenStatus
from oncue.protocol.work import WaitpointSettled, WaitRequest
from oncue.sdk import flows, inside, option_values, requests, tokens, transport, triggering
from oncue.sdk.flows import Flow, Park
from oncue.sdk.tokens import Completed, TimedOut, Token, TokenResult, TokenView

TokenRef: TypeAlias = str | Token | TokenView
"""A token, or its id."""

_MS: Final = datetime.timedelta(milliseconds=1)


def for_(
    duration: Duration | None = None,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    weeks: float = 0,
) -> Coroutine[Any, Any, None]:
    """Wait for some time, by the database's clock.

    Args:
        duration: ``"2h30m"``, seconds or a timedelta; or the keywords, which are added up.
        seconds: And ``minutes``, ``hours``, ``days`` and ``weeks``; at most ten years in all.

    Raises:
        OutsideTaskError: No run is executing here.
        ValueError: It is no length of time.

    Example::

        await wait.for_(minutes=5)
        await wait.for_("2h30m")
    """
    span = _span(duration, seconds, minutes, hours, days, weeks)
    return transport.start(_moment("wait.for_", blocking=False, span=span), "wait.for_")


def until(when: datetime.datetime | str) -> Coroutine[Any, Any, None]:
    """Wait until a moment; one that has passed is over at once.

    Args:
        when: An aware datetime, or an ISO date (without a zone it is UTC).

    Raises:
        OutsideTaskError: No run is executing here.
        ValueError: It is no moment.

    Example::

        await wait.until(invoice.due_at)
    """
    return transport.start(_moment("wait.until", blocking=False, when=_when(when)), "wait.until")


def create_token(
    *,
    timeout: Duration | datetime.datetime | None = None,
    tags: str | Sequence[str] | None = None,
    idempotency_key: str | Sequence[str] | None = None,
    idempotency_key_ttl: Duration | None = None,
) -> Coroutine[Any, Any, Token]:
    """Make a token, anywhere; hand out its id or its ``url``, and wait for it inside a run.

    Args:
        timeout: When waiting for it ends without a completion: a span from now, or an aware datetime; None: never.
        tags: To find it by, at most 10.
        idempotency_key: Calls that carry one key get one token.
        idempotency_key_ttl: How long the key counts, 30 days unless said.

    Raises:
        ValueError: An argument makes no sense.

    Example::

        token = await wait.create_token(timeout="1d", tags=f"order:{order.id}")
    """
    return transport.start(_create(timeout, tags, idempotency_key, idempotency_key_ttl), "wait.create_token")


def for_token(token: TokenRef) -> Coroutine[Any, Any, TokenResult]:
    """Wait until a token is completed or times out.

    Raises:
        NotFound: There is no such token in this environment.
        OutsideTaskError: No run is executing here.

    Example::

        approval = (await wait.for_token(token)).unwrap()
    """
    return transport.start(_for_token("wait.for_token", _id(token), blocking=False), "wait.for_token")


def complete_token(token: TokenRef, data: object = None) -> Coroutine[Any, Any, None]:
    """Complete a token; one that is completed or timed out stays as it is.

    Args:
        token: It, or its id.
        data: Anything with a JSON form; whoever waits gets it as ``output``.

    Raises:
        NotFound: There is no such token in this environment.

    Example::

        await wait.complete_token(token_id, {"approved": True})
    """
    return transport.start(flows.exchange(_complete(token, data)), "wait.complete_token")


def retrieve_token(token: TokenRef) -> Coroutine[Any, Any, TokenView]:
    """Ask how a token stands.

    Raises:
        NotFound: There is no such token in this environment.
    """
    return transport.start(_retrieve(token), "wait.retrieve_token")


async def list_tokens(
    *, status: TokenStatus | Sequence[TokenStatus] | None = None, tags: str | Sequence[str] | None = None
) -> AsyncIterator[TokenView]:
    """List tokens, newest first, page after page as they are asked for.

    Args:
        status: ``WAITING``, ``COMPLETED`` or ``TIMED_OUT``, or several of them.
        tags: One or several; tokens that have any of them.

    Example::

        async for token in wait.list_tokens(status="WAITING"):
            print(token.id, token.timeout_at)
    """
    after: str | None = None
    while True:
        page = await transport.start(flows.exchange(_page(status, tags, after)), "wait.list_tokens")
        for token in page.data:
            yield tokens.shown(token)
        after = page.pagination.next
        if after is None:
            return


class BlockingWait:
    """``wait.sync``: the same functions, blocking the thread."""

    def for_(
        self,
        duration: Duration | None = None,
        *,
        seconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        weeks: float = 0,
    ) -> None:
        """Wait for some time, inside a plain function's task: ``wait.sync.for_(minutes=5)``."""
        span = _span(duration, seconds, minutes, hours, days, weeks)
        transport.run(_moment("wait.sync.for_", blocking=True, span=span))

    def until(self, when: datetime.datetime | str) -> None:
        """Wait until a moment: ``wait.sync.until(invoice.due_at)``."""
        transport.run(_moment("wait.sync.until", blocking=True, when=_when(when)))

    def create_token(
        self,
        *,
        timeout: Duration | datetime.datetime | None = None,
        tags: str | Sequence[str] | None = None,
        idempotency_key: str | Sequence[str] | None = None,
        idempotency_key_ttl: Duration | None = None,
    ) -> Token:
        """Make a token: ``token = wait.sync.create_token(timeout="1d")``."""
        return transport.run(_create(timeout, tags, idempotency_key, idempotency_key_ttl))

    def for_token(self, token: TokenRef) -> TokenResult:
        """Wait until a token is completed or times out: ``wait.sync.for_token(token).unwrap()``."""
        return transport.run(_for_token("wait.sync.for_token", _id(token), blocking=True))

    def complete_token(self, token: TokenRef, data: object = None) -> None:
        """Complete a token: ``wait.sync.complete_token(token_id, {"approved": True})``."""
        transport.run(flows.exchange(_complete(token, data)))

    def retrieve_token(self, token: TokenRef) -> TokenView:
        """Ask how a token stands: ``wait.sync.retrieve_token(token).status``."""
        return transport.run(_retrieve(token))

    def list_tokens(
        self, *, status: TokenStatus | Sequence[TokenStatus] | None = None, tags: str | Sequence[str] | None = None
    ) -> Iterator[TokenView]:
        """List tokens, newest first: ``for token in wait.sync.list_tokens(status="WAITING")``."""
        after: str | None = None
        while True:
            page = transport.run(flows.exchange(_page(status, tags, after)))
            yield from map(tokens.shown, page.data)
            after = page.pagination.next
            if after is None:
                return


def _moment(
    function: str,
    *,
    blocking: bool,
    span: datetime.timedelta | None = None,
    when: datetime.datetime | None = None,
) -> Flow[None]:
    running = inside.parent(function, blocking=blocking)
    request = WaitRequest(
        **inside.lineage("moment", "*"),
        id=ids.new_waitpoint_id(),
        delay_ms=None if span is None else -(-span // _MS),
        until=when,
    )

    def flow() -> Flow[None]:
        answer = yield from flows.exchange(requests.wait(request))
        yield Park(running, partial(running.wait_for_waitpoint, answer.id))

    return flow()


def _for_token(function: str, token: str, *, blocking: bool) -> Flow[TokenResult]:
    running = inside.parent(function, blocking=blocking)
    request = WaitRequest(**inside.lineage("token", token), token=token)

    def flow() -> Flow[TokenResult]:
        answer = yield from flows.exchange(requests.wait(request))
        settled: WaitpointSettled = yield Park(running, partial(running.wait_for_waitpoint, answer.id))
        if settled.timed_out:
            return TimedOut(token)
        return Completed(token, codec.restore(bytes(settled.output) or b"null", settled.output_type))

    return flow()


def _create(timeout: object, tags: object, key: object, key_ttl: object) -> Flow[Token]:
    options = option_values.read({"tags": tags, "idempotency_key": key, "idempotency_key_ttl": key_ttl})
    request = CreateTokenRequest(
        timeout=None if timeout is None else option_values.read_timeout(timeout),
        tags=options.get("tags"),
        idempotency_key=options.get("idempotency_key"),
        idempotency_key_ttl=options.get("idempotency_key_ttl"),
        **inside.lineage("create-token", "*", options.get("idempotency_key")),
    )

    def flow() -> Flow[Token]:
        made, access = yield from flows.exchange(requests.create_token(request))
        return Token(made.id, made.url, made.is_cached, access)

    return flow()


def _complete(token: TokenRef, data: object) -> requests.Call[None]:
    return requests.complete_token(_id(token), msgspec.Raw(triggering.encoded(data, f"token {_id(token)}")))


def _retrieve(token: TokenRef) -> Flow[TokenView]:
    return tokens.shown((yield from flows.exchange(requests.retrieve_token(_id(token)))))


def _page(status: object, tags: object, after: str | None) -> requests.Call[TokenPage]:
    query = [
        (name, value if isinstance(value, str) else ",".join(value))
        for name, value in (("filter[status]", status), ("filter[tags]", tags), ("page[after]", after))
        if isinstance(value, str | list | tuple) and value
    ]
    return requests.get("/api/v1/waitpoints/tokens", TokenPage, [*query, ("page[size]", "100")])


def _span(duration: object, *parts: float) -> datetime.timedelta:
    seconds, minutes, hours, days, weeks = parts
    try:
        added = datetime.timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days, weeks=weeks)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"wait.for_() cannot add up its keywords: {error}; expected numbers") from None
    if duration is None:
        return durations.read(added, "wait.for_")
    if added:
        raise ValueError('wait.for_() takes a duration or keywords, not both; expected "2h30m" or hours=2, minutes=30')
    return durations.read(duration, "wait.for_")


def _when(given: object) -> datetime.datetime:
    found = given
    if isinstance(given, str):
        try:
            found = datetime.datetime.fromisoformat(given)
        except ValueError:
            found = None
        if isinstance(found, datetime.datetime) and found.tzinfo is None:
            found = found.replace(tzinfo=datetime.UTC)
    if not isinstance(found, datetime.datetime) or found.tzinfo is None:
        raise ValueError(
            f"wait.until({given!r}) is no moment; expected an aware datetime, for instance "
            "datetime.now(UTC) + timedelta(hours=1), or an ISO date"
        )
    return found


def _id(token: object) -> str:
    found = getattr(token, "id", token)
    if not isinstance(found, str):
        raise TypeError(f"{token!r} is no token; expected what wait.create_token() returned, or its id")
    return found


sync: Final = BlockingWait()
