"""Flows: what has to be sent, in which order, with which pauses; without doing any of it.

A flow is a generator that yields steps and is sent what became of them. The two senders in ``transport.py`` carry the
steps out, one on an event loop and one on a thread, so that retries and calls of several requests are written once.

Life of a run, this module's part::

    sdk/triggering -> flow -> exchange -> Send -> transport -> Answer -> exchange -> handle
"""

import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeGuard, TypeVar

from oncue.protocol.errors import CallerCancelled, ConnectionFailed, LeaseLost, RunCancelled, RunLost
from oncue.sdk import answers, requests, retrying, settings
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.connections import CALLS, TRANSFERS, Kind
from oncue.sdk.requests import Call

if TYPE_CHECKING:
    from oncue.protocol.work import ChildResult, WaitpointSettled
    from oncue.sdk.execution import Execution
    from oncue.sdk.sources import Source

T = TypeVar("T")


class Send(NamedTuple):
    """Make one HTTP request; answered with ``Answer`` or ``NoAnswer``."""

    request: requests.HttpRequest
    timeout_s: float
    by: Kind = CALLS
    """Connections of which kind; what may take long must hold up no call."""


class Sleep(NamedTuple):
    """Let time pass; answered with the moment after it, in epoch seconds."""

    seconds: float


class Park(NamedTuple):
    """Wait inside a run, for children, a moment or a token; answered with what the worker delivers."""

    execution: "Execution"
    wait: Callable[[], "Coroutine[Any, Any, ChildResult | Sequence[ChildResult] | WaitpointSettled]"]


class Pull(NamedTuple):
    """Take the next items of a stream; answered with a ``Chunk``."""

    source: "Source"


class Together(NamedTuple):
    """Carry out several flows at once; answered with what each returned, in order, once all have ended.

    Where one raises, those that have not begun never do, and the flow gets its error.
    """

    flows: "Sequence[Flow[Any]]"


Step: TypeAlias = Send | Sleep | Park | Pull | Together
Flow: TypeAlias = Generator[Step, Any, T]

REQUEST_TIMEOUT_S: Final = 60.0
"""A server that says nothing for so long is taken for dead."""

TRANSFER_TIMEOUT_S: Final = 600.0
"""For a document on its way to the object store or from there: 100 MB at 1.4 Mbit/s."""


def exchange(call: Call[T], *, until: float | None = None) -> Flow[T]:
    """Make a call, and make it again where that may help.

    Args:
        call: What to send; the same bytes and request key each time.
        until: Epoch seconds after which no further attempt is made.

    Raises:
        ApiError: The server refused, or could not be reached.
        RunCancelled: The run that calls was cancelled.
        RunLost: The run that calls is executed elsewhere by now.
        SettingsError: There is no key.
    """
    where = settings.current()
    request = requests.http_request(call, where)
    reply = yield from _repeated(request, call.policy, until, REQUEST_TIMEOUT_S)
    if _is_good(reply):
        return requests.parsed(call, reply)
    error = failure(reply, where)
    if isinstance(error, CallerCancelled):
        raise RunCancelled("the run must not go on: it was cancelled") from error
    if isinstance(error, LeaseLost):
        # Only a call from inside a run gets this: its code must stop, and not catch it as one more failure.
        raise RunLost(f"this execution must not go on: {error}") from error
    raise error


def transfer(request: requests.HttpRequest, what: str) -> Flow[Answer]:
    """Store or fetch a document at an address that the server gave, again where that may help.

    Args:
        request: To the object store; without the server's key.
        what: What is being done, for messages.

    Raises:
        ApiError: The store refused, or could not be reached.
    """
    reply = yield from _repeated(request, retrying.TRANSFERS, None, TRANSFER_TIMEOUT_S, by=TRANSFERS)
    if _is_good(reply):
        return reply
    if isinstance(reply, NoAnswer):
        message = f"the object store did not answer while {what} ({reply.error}); try again later"
        raise ConnectionFailed(message) from reply.error
    raise answers.said(reply, f"the object store refused while {what}: ")


def _repeated(
    request: requests.HttpRequest,
    policy: retrying.Policy,
    until: float | None,
    timeout_s: float,
    *,
    by: Kind = CALLS,
) -> Flow[Answer | NoAnswer]:
    """Send a request until it is answered well, or sending it again would not help."""
    attempt = counted = 0
    while True:
        reply: Answer | NoAnswer = yield Send(request, timeout_s, by)
        if _is_good(reply):
            return reply
        attempt += 1
        counted += retrying.counts_as_attempt(reply, policy)
        draw = random.random()  # noqa: S311 - spreads load
        wait = retrying.wait_before_retry(reply, attempt, policy, draw, counted=counted)
        if wait is None or (until is not None and reply.at + wait > until):
            return reply
        yield Sleep(wait)


def _is_good(reply: Answer | NoAnswer) -> TypeGuard[Answer]:
    return isinstance(reply, Answer) and 200 <= reply.status < 300  # noqa: PLR2004 - what HTTP calls success


def failure(reply: Answer | NoAnswer, where: settings.Settings) -> Exception:
    """Return the error of a call that was given up, with what to do about it."""
    if isinstance(reply, NoAnswer):
        error: Exception = ConnectionFailed(
            f"no answer from {where.api_url} ({reply.error}); start a server with `oncue dev`, or set "
            f"{settings.API_URL} to the address of one that runs"
        )
        error.__cause__ = reply.error
        return error
    return answers.refusal(reply, where)


def now() -> Flow[float]:
    """Return the sender's clock, in epoch seconds."""
    at: float = yield Sleep(0)
    return at
