"""Errors: every class that a user of oncue can meet, in one tree.

::

    OncueError
    ├── ApiError                    the server refused, or could not be reached
    │   ├── BadRequest        400   ├── PayloadTooLarge      413
    │   ├── Unauthorized      401   ├── UnprocessableRequest 422
    │   ├── PermissionDenied  403   ├── RateLimited          429
    │   ├── NotFound          404   ├── ServerError          5xx
    │   ├── Conflict          409   └── ConnectionFailed     no answer at all
    │   └── LeaseLost         409   a worker wrote about a run that is no longer its own
    ├── PayloadValidationError      the payload does not fit the task's annotation
    ├── OutsideTaskError            what belongs to a run (``*_and_wait``, ``metadata``) where there is none
    ├── SubtaskUnwrapError          a child failed and its result was unwrapped
    ├── BatchTriggerError           a batch could not be created or filled
    ├── AbortRun                    raised by a task: fail, without a retry
    ├── RetryAfter                  raised by a task: fail, and retry at a chosen moment
    └── SettingsError               a setting is missing or makes no sense
    BaseException
    └── RunStopped                  user code must not swallow these
        ├── RunCancelled            somebody cancelled the run
        └── RunLost                 the lease ran out; another execution is the one that counts

Each class carries a stable ``code`` and, where it crosses HTTP, a ``status``. The server answers
``{"error": message, "code": code}``; ``from_response`` gives the SDK the same class back.
"""

import datetime
from typing import ClassVar, Literal, TypeAlias


class OncueError(Exception):
    """Root of everything oncue raises on purpose."""

    code: ClassVar[str] = "oncue_error"


class ApiError(OncueError):
    """The server refused a request.

    Attributes:
        status: HTTP status, 0 where there was no answer.
        message: What the server said.
        reset_at: When a rate limit ends, if that was the reason.
    """

    code: ClassVar[str] = "api_error"
    default_status: ClassVar[int] = 500

    def __init__(self, message: str, *, status: int | None = None, reset_at: datetime.datetime | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.reset_at = reset_at


class BadRequest(ApiError):
    """The request could not be read; the message names the field."""

    code: ClassVar[str] = "bad_request"
    default_status: ClassVar[int] = 400


class Unauthorized(ApiError):
    """No key, or one that the server does not know."""

    code: ClassVar[str] = "unauthorized"
    default_status: ClassVar[int] = 401


class PermissionDenied(ApiError):
    """The key is valid but may not do this."""

    code: ClassVar[str] = "permission_denied"
    default_status: ClassVar[int] = 403


class NotFound(ApiError):
    """There is no such thing in the caller's environment."""

    code: ClassVar[str] = "not_found"
    default_status: ClassVar[int] = 404


class Conflict(ApiError):
    """The thing exists already, or is in a state that does not allow this."""

    code: ClassVar[str] = "conflict"
    default_status: ClassVar[int] = 409


class LeaseLost(Conflict):
    """A worker wrote about a run whose lease it no longer holds; it must stop that run."""

    code: ClassVar[str] = "lease_lost"


class CallerCancelled(LeaseLost):
    """A run called that was cancelled before; its code must stop, as ``RunCancelled`` tells it."""

    code: ClassVar[str] = "run_cancelled"


class PayloadTooLarge(ApiError):
    """The body or payload exceeds the published limit."""

    code: ClassVar[str] = "payload_too_large"
    default_status: ClassVar[int] = 413


class UnprocessableRequest(ApiError):
    """The request was read but breaks a rule; the message says which."""

    code: ClassVar[str] = "unprocessable"
    default_status: ClassVar[int] = 422


class RateLimited(ApiError):
    """Too many requests; ``reset_at`` says when to come back."""

    code: ClassVar[str] = "rate_limited"
    default_status: ClassVar[int] = 429


class ServerError(ApiError):
    """The server failed; the request may be sent again."""

    code: ClassVar[str] = "server_error"
    default_status: ClassVar[int] = 500


class Unavailable(ServerError):
    """The server cannot do it now (its database is away); nothing was stored, so send it again."""

    code: ClassVar[str] = "unavailable"
    default_status: ClassVar[int] = 503


class ConnectionFailed(ApiError):
    """No answer: the server is down, or the address is wrong."""

    code: ClassVar[str] = "connection_failed"
    default_status: ClassVar[int] = 0


class PayloadValidationError(OncueError):
    """A payload does not fit the annotation of the task's first parameter; the message names the field."""

    code: ClassVar[str] = "payload_validation"


class OutsideTaskError(OncueError):
    """A function that belongs to a run was called where none is executing: one that waits, metadata, tags."""

    code: ClassVar[str] = "outside_task"


class SettingsError(OncueError):
    """A setting is missing or makes no sense; the message names it and shows one that works."""

    code: ClassVar[str] = "settings"


class SubtaskUnwrapError(OncueError):
    """A child run failed and the caller asked for its output.

    Attributes:
        run_id: The child's id.
        task_id: The child's task.
        cause: The child's error, as ``Failed.error`` has it.
    """

    code: ClassVar[str] = "subtask_unwrap"

    def __init__(self, run_id: str, task_id: str, cause: object) -> None:
        super().__init__(f"run {run_id} of task {task_id!r} failed: {cause}")
        self.run_id = run_id
        self.task_id = task_id
        self.cause = cause


BatchPhase: TypeAlias = Literal["create", "stream", "offload"]


class BatchTriggerError(OncueError):
    """A batch could not be created or filled.

    Attributes:
        phase: ``create`` before the batch existed, ``stream`` while items were sent, ``offload`` while large
            payloads were uploaded.
        batch_id: The batch, if it had been created.
        item_count: How many items the call had.
        is_rate_limited: Whether a rate limit was the reason.
        retry_after_ms: Milliseconds until the limit resets, if the server said so.
        cause: The error underneath.
    """

    code: ClassVar[str] = "batch_trigger"

    def __init__(
        self,
        message: str,
        *,
        phase: BatchPhase,
        item_count: int,
        batch_id: str | None = None,
        retry_after_ms: int | None = None,
        cause: Exception | None = None,
    ) -> None:
        super().__init__(message)
        self.phase = phase
        self.item_count = item_count
        self.batch_id = batch_id
        self.is_rate_limited = isinstance(cause, RateLimited)
        self.retry_after_ms = retry_after_ms
        self.cause = cause


class WaitTimedOut(OncueError):
    """A token timed out before anybody completed it, and its output was asked for."""

    code: ClassVar[str] = "wait_timed_out"

    def __init__(self, token_id: str) -> None:
        """Name the token."""
        self.token_id = token_id
        super().__init__(f"token {token_id} timed out before it was completed; match on the result to go on without it")


class CallDiffers(OncueError):
    """A run that was started again made a call with another payload than before, and its task is ``strict``."""

    code: ClassVar[str] = "call_differs"


class AbortRun(OncueError):
    """Raised by a task to fail its run at once: no further attempt is made."""

    code: ClassVar[str] = "abort_run"


class RetryAfter(OncueError):
    """Raised by a task to fail this attempt and choose when the next one starts.

    Args:
        delay: A duration such as ``"30s"``, seconds, or a timedelta, measured from when the server hears of it.
        message: What to record as the attempt's error.

    It does not add attempts: with none left the run fails.
    """

    code: ClassVar[str] = "retry_after"

    def __init__(self, delay: str | float | datetime.timedelta, message: str = "retry requested by the task") -> None:
        super().__init__(message)
        self.delay = delay


class RunStopped(BaseException):
    """The run must not go on; not an ``Exception``, so that ``except Exception`` does not swallow it."""


class RunCancelled(RunStopped):
    """Somebody cancelled the run."""


class RunLost(RunStopped):
    """The lease of this execution ran out: another one counts, and this one's writes are refused."""


_BY_CODE = {
    cls.code: cls
    for cls in (
        BadRequest, Unauthorized, PermissionDenied, NotFound, Conflict, LeaseLost, CallerCancelled, PayloadTooLarge,
        UnprocessableRequest, RateLimited, ServerError, Unavailable,
    )
}  # fmt: skip
_BY_STATUS = {
    cls.default_status: cls
    for cls in (
        BadRequest, Unauthorized, PermissionDenied, NotFound, Conflict, PayloadTooLarge, UnprocessableRequest,
        RateLimited, ServerError, Unavailable,
    )
}  # fmt: skip


def from_response(
    status: int, code: str | None, message: str, *, reset_at: datetime.datetime | None = None
) -> ApiError:
    """Return the error that the server raised, as its class.

    Args:
        status: HTTP status, 400 or above.
        code: The body's ``code``, if there was one.
        message: The body's ``error``.
        reset_at: From ``x-ratelimit-reset``, if there was one.
    """
    fallback = ServerError if status >= 500 else ApiError  # noqa: PLR2004 - the class of statuses, as HTTP has it
    if (status, code) == (PermissionDenied.default_status, Unauthorized.code):
        # How the contract says it: its code is that of a wrong key.
        code = PermissionDenied.code
    cls = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or fallback
    return cls(message, status=status, reset_at=reset_at)
