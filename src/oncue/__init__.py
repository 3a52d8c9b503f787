"""Durable background tasks for Python on PostgreSQL.

The names below are what users call. They are loaded when they are first used, so that ``import oncue`` costs nothing.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oncue.protocol.bulk_actions import BulkAction as BulkAction
    from oncue.protocol.errors import AbortRun as AbortRun
    from oncue.protocol.errors import ApiError as ApiError
    from oncue.protocol.errors import BadRequest as BadRequest
    from oncue.protocol.errors import BatchTriggerError as BatchTriggerError
    from oncue.protocol.errors import CallDiffers as CallDiffers
    from oncue.protocol.errors import Conflict as Conflict
    from oncue.protocol.errors import ConnectionFailed as ConnectionFailed
    from oncue.protocol.errors import LeaseLost as LeaseLost
    from oncue.protocol.errors import NotFound as NotFound
    from oncue.protocol.errors import OncueError as OncueError
    from oncue.protocol.errors import OutsideTaskError as OutsideTaskError
    from oncue.protocol.errors import PayloadTooLarge as PayloadTooLarge
    from oncue.protocol.errors import PayloadValidationError as PayloadValidationError
    from oncue.protocol.errors import PermissionDenied as PermissionDenied
    from oncue.protocol.errors import RateLimited as RateLimited
    from oncue.protocol.errors import RetryAfter as RetryAfter
    from oncue.protocol.errors import RunCancelled as RunCancelled
    from oncue.protocol.errors import RunLost as RunLost
    from oncue.protocol.errors import RunStopped as RunStopped
    from oncue.protocol.errors import ServerError as ServerError
    from oncue.protocol.errors import SettingsError as SettingsError
    from oncue.protocol.errors import SubtaskUnwrapError as SubtaskUnwrapError
    from oncue.protocol.errors import Unauthorized as Unauthorized
    from oncue.protocol.errors import Unavailable as Unavailable
    from oncue.protocol.errors import UnprocessableRequest as UnprocessableRequest
    from oncue.protocol.errors import WaitTimedOut as WaitTimedOut
    from oncue.protocol.failures import ShownError as ShownError
    from oncue.protocol.queues import QueueView as QueueView
    from oncue.protocol.retry import Retry as Retry
    from oncue.sdk import auth as auth
    from oncue.sdk import batch as batch
    from oncue.sdk import hooks as hooks
    from oncue.sdk import idempotency_keys as idempotency_keys
    from oncue.sdk import logger as logger
    from oncue.sdk import metadata as metadata
    from oncue.sdk import queues as queues
    from oncue.sdk import runs as runs
    from oncue.sdk import streams as streams
    from oncue.sdk import tags as tags
    from oncue.sdk import tasks as tasks
    from oncue.sdk import wait as wait
    from oncue.sdk.context import Context as Context
    from oncue.sdk.definition import task as task
    from oncue.sdk.handles import BatchHandle as BatchHandle
    from oncue.sdk.handles import RunHandle as RunHandle
    from oncue.sdk.hooks import RunEvent as RunEvent
    from oncue.sdk.inside import current as current
    from oncue.sdk.items import Item as Item
    from oncue.sdk.items import item as item
    from oncue.sdk.options import Debounce as Debounce
    from oncue.sdk.options import TriggerOptions as TriggerOptions
    from oncue.sdk.queue import Queue as Queue
    from oncue.sdk.queue import queue as queue
    from oncue.sdk.results import BatchResult as BatchResult
    from oncue.sdk.results import Failed as Failed
    from oncue.sdk.results import Ok as Ok
    from oncue.sdk.results import Result as Result
    from oncue.sdk.run import FollowedRun as FollowedRun
    from oncue.sdk.run import Run as Run
    from oncue.sdk.settings import configure as configure
    from oncue.sdk.step import step as step
    from oncue.sdk.task import Task as Task
    from oncue.sdk.tokens import Completed as Completed
    from oncue.sdk.tokens import TimedOut as TimedOut
    from oncue.sdk.tokens import Token as Token

    __version__: str

_ERRORS: Final = "oncue.protocol.errors"

_HOMES: Final = {
    "AbortRun": _ERRORS,
    "ApiError": _ERRORS,
    "BadRequest": _ERRORS,
    "BatchHandle": "oncue.sdk.handles",
    "BatchResult": "oncue.sdk.results",
    "BatchTriggerError": _ERRORS,
    "BulkAction": "oncue.protocol.bulk_actions",
    "CallDiffers": _ERRORS,
    "Conflict": _ERRORS,
    "ConnectionFailed": _ERRORS,
    "Completed": "oncue.sdk.tokens",
    "Context": "oncue.sdk.context",
    "Debounce": "oncue.sdk.options",
    "Failed": "oncue.sdk.results",
    "FollowedRun": "oncue.sdk.run",
    "Item": "oncue.sdk.items",
    "LeaseLost": _ERRORS,
    "NotFound": _ERRORS,
    "Ok": "oncue.sdk.results",
    "OncueError": _ERRORS,
    "OutsideTaskError": _ERRORS,
    "PayloadTooLarge": _ERRORS,
    "PayloadValidationError": _ERRORS,
    "PermissionDenied": _ERRORS,
    "Queue": "oncue.sdk.queue",
    "QueueView": "oncue.protocol.queues",
    "RateLimited": _ERRORS,
    "Result": "oncue.sdk.results",
    "Retry": "oncue.protocol.retry",
    "RetryAfter": _ERRORS,
    "Run": "oncue.sdk.run",
    "RunCancelled": _ERRORS,
    "RunEvent": "oncue.sdk.hooks",
    "RunHandle": "oncue.sdk.handles",
    "RunLost": _ERRORS,
    "RunStopped": _ERRORS,
    "ServerError": _ERRORS,
    "SettingsError": _ERRORS,
    "ShownError": "oncue.protocol.failures",
    "SubtaskUnwrapError": _ERRORS,
    "Task": "oncue.sdk.task",
    "TimedOut": "oncue.sdk.tokens",
    "Token": "oncue.sdk.tokens",
    "TriggerOptions": "oncue.sdk.options",
    "Unauthorized": _ERRORS,
    "Unavailable": _ERRORS,
    "UnprocessableRequest": _ERRORS,
    "WaitTimedOut": _ERRORS,
    "auth": "oncue.sdk.auth",
    "batch": "oncue.sdk.batch",
    "configure": "oncue.sdk.settings",
    "current": "oncue.sdk.inside",
    "hooks": "oncue.sdk.hooks",
    "idempotency_keys": "oncue.sdk.idempotency_keys",
    "item": "oncue.sdk.items",
    "logger": "oncue.sdk.logger",
    "metadata": "oncue.sdk.metadata",
    "queue": "oncue.sdk.queue",
    "queues": "oncue.sdk.queues",
    "runs": "oncue.sdk.runs",
    "step": "oncue.sdk.step",
    "streams": "oncue.sdk.streams",
    "tags": "oncue.sdk.tags",
    "task": "oncue.sdk.definition",
    "tasks": "oncue.sdk.tasks",
    "wait": "oncue.sdk.wait",
}
"""Where each name is."""

_MODULES: Final = frozenset(
    {
        "auth",
        "batch",
        "hooks",
        "idempotency_keys",
        "logger",
        "metadata",
        "queues",
        "runs",
        "streams",
        "tags",
        "tasks",
        "wait",
    }
)
"""Names that stand for a module with its functions."""

__all__ = [
    "AbortRun",
    "ApiError",
    "BadRequest",
    "BatchHandle",
    "BatchResult",
    "BatchTriggerError",
    "BulkAction",
    "CallDiffers",
    "Completed",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "Debounce",
    "Failed",
    "FollowedRun",
    "Item",
    "LeaseLost",
    "NotFound",
    "Ok",
    "OncueError",
    "OutsideTaskError",
    "PayloadTooLarge",
    "PayloadValidationError",
    "PermissionDenied",
    "Queue",
    "QueueView",
    "RateLimited",
    "Result",
    "Retry",
    "RetryAfter",
    "Run",
    "RunCancelled",
    "RunEvent",
    "RunHandle",
    "RunLost",
    "RunStopped",
    "ServerError",
    "SettingsError",
    "ShownError",
    "SubtaskUnwrapError",
    "Task",
    "TimedOut",
    "Token",
    "TriggerOptions",
    "Unauthorized",
    "Unavailable",
    "UnprocessableRequest",
    "WaitTimedOut",
    "__version__",
    "auth",
    "batch",
    "configure",
    "current",
    "hooks",
    "idempotency_keys",
    "item",
    "logger",
    "metadata",
    "queue",
    "queues",
    "runs",
    "step",
    "streams",
    "tags",
    "task",
    "tasks",
    "wait",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("oncue")
    elif name in _HOMES:
        from importlib import import_module

        module = import_module(_HOMES[name])
        value = module if name in _MODULES else getattr(module, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
