"""Declarations: what a worker says of itself and its tasks, checked before any of it is stored.

The official SDK checks as much where the code says it; others may send anything.

Life of a run, this module's part::

    workers.announce -> declarations.check -> tasks, queues
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from oncue.engine import option_rules
from oncue.protocol import limits, names
from oncue.protocol.errors import ApiError, BadRequest, UnprocessableRequest
from oncue.protocol.retry import RetryPolicy
from oncue.protocol.work import Announcement, TaskDeclaration

_INT4: Final = 2_147_483_647
_LARGEST: Final = 2**50
_LONGEST_MS: Final = _INT4 * 1_000
_LONGEST_TEXT: Final = 1_000
_LONGEST_FINGERPRINT: Final = 200


def check(announcement: Announcement) -> None:
    """Return if everything can be stored and reckoned with.

    Raises:
        BadRequest: Something cannot; says what was found and what is accepted.
        UnprocessableRequest: A machine does not exist.
    """
    _check_number("places", announcement.places, 1, limits.MAX_PLACES)
    for field, size in (("cpus", announcement.cpus), ("memoryBytes", announcement.memory_bytes)):
        if size is not None:
            _check_number(field, size, 0, _LARGEST)
    _check_number("pid", announcement.pid, 0, _INT4)
    for field, text in (("hostname", announcement.hostname), ("sdkVersion", announcement.sdk_version)):
        _check_text(field, text)
    if announcement.region is not None and not names.is_region(announcement.region):
        raise BadRequest(f"region: {announcement.region[:60]!r} is not a region's name; expected {names.REGION_FORM}")
    if announcement.version is not None and not names.is_version(announcement.version):
        raise BadRequest(f"version: {announcement.version[:60]!r} is not a version; expected {names.VERSION_FORM}")
    if announcement.fingerprint is not None and not 1 <= len(announcement.fingerprint) <= _LONGEST_FINGERPRINT:
        raise BadRequest(
            f"fingerprint: found {len(announcement.fingerprint):,} characters; expected 1 to {_LONGEST_FINGERPRINT}"
        )
    _check_text("fingerprint", announcement.fingerprint or "")
    for queue in announcement.queues or ():
        option_rules.check_queue("queues", queue)
    for task in announcement.tasks:
        try:
            _check_task(task)
        except ApiError as error:
            raise type(error)(f"task {task.id[:60]!r}: {error.message.removeprefix('options.')}") from None


def declared_limits(tasks: Sequence[TaskDeclaration]) -> dict[str, int | None]:
    """Return what the code says of the concurrency limits of queues, by name; None: no limit.

    Raises:
        UnprocessableRequest: A limit makes no sense, or tasks do not agree on it.
    """
    said: dict[str, int | None] = {}
    for task in tasks:
        limit = task.concurrency_limit
        if limit is msgspec.UNSET:
            continue
        queue = task.queue or f"task/{task.id}"
        if limit is not None and not 0 <= limit <= limits.MAX_CONCURRENCY_LIMIT:
            raise UnprocessableRequest(
                f"task {task.id!r}: concurrencyLimit is {limit}; expected 0 to {limits.MAX_CONCURRENCY_LIMIT:,} or null"
            )
        if said.setdefault(queue, limit) != limit:
            raise UnprocessableRequest(
                f"queue {queue!r} is declared with concurrency_limit={said[queue]} and, by task {task.id!r}, with "
                f"{limit}; declare it once and share it"
            )
    return said


def _check_task(task: TaskDeclaration) -> None:
    option_rules.read_task(task.id)
    if task.queue is not None:
        option_rules.check_queue("queue", task.queue)
    option_rules.read_machine(task.machine)
    for field, length in (("ttlMs", task.ttl_ms), ("maxDurationMs", task.max_duration_ms)):
        if length is not None:
            _check_number(field, length, 0, _LONGEST_MS)
    if task.file is not None:
        _check_text("file", task.file)
    if task.retry is not None:
        _check_retry(task.retry)


def _check_retry(retry: RetryPolicy) -> None:
    _check_number("retry.maxAttempts", retry.max_attempts, 1, limits.MAX_ATTEMPTS)
    _check_number("retry.minTimeoutMs", retry.min_timeout_ms, 0, _LONGEST_MS)
    _check_number("retry.maxTimeoutMs", retry.max_timeout_ms, 0, _LONGEST_MS)
    _check_number("retry.factor", retry.factor, 0, _INT4)
    option_rules.read_machine(retry.out_of_memory_machine)


def _check_number(field: str, found: float, least: int, most: int) -> None:
    if not least <= found <= most:
        raise BadRequest(f"{field}: found {found}; expected {least:,} to {most:,}")


def _check_text(field: str, text: str) -> None:
    if len(text) > _LONGEST_TEXT or not names.is_storable(text):
        raise BadRequest(
            f"{field}: found {text[:60]!r}; expected at most {_LONGEST_TEXT:,} characters, none of them NUL"
        )
