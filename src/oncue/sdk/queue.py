"""Queue: the line that runs wait in, as code names it.

A name and, if wanted, how many runs of it execute at once. What an operator sets for a queue wins over the code's
limit and is kept by the server.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from oncue.protocol import limits, names

ACCEPTED = "a name, queue(name, concurrency_limit=...) or {'name': ..., 'concurrency_limit': ...}"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as code declares it."""

    name: str
    concurrency_limit: int | None = None
    """Runs that execute at once, 0 or more; None for no limit. With a concurrency key: for each value of the key."""
    declares_limit: bool = True
    """False where a task only names a queue that is declared elsewhere."""


def queue(name: str, *, concurrency_limit: int | None = None) -> Queue:
    """Name a queue, and say how many of its runs execute at once.

    Args:
        name: 1 to 128 letters, digits, or any of ``_ / . : -``. Tasks that name the same queue share it.
        concurrency_limit: 0 or more; 0 holds every run back. None for no limit.

    Raises:
        ValueError: An argument makes no sense.

    Example::

        emails = queue("emails", concurrency_limit=10)
    """
    if not names.is_queue(name):
        raise ValueError(f"queue name {reprlib.repr(name)} is not accepted; expected {names.QUEUE_FORM}")
    match concurrency_limit:
        case None:
            pass
        case bool():
            raise ValueError(f"concurrency_limit={concurrency_limit!r} is not a number; expected 0 or more, or None")
        case int() if 0 <= concurrency_limit <= limits.MAX_CONCURRENCY_LIMIT:
            pass
        case _:
            raise ValueError(
                f"concurrency_limit={reprlib.repr(concurrency_limit)} is not accepted; expected 0 to "
                f"{limits.MAX_CONCURRENCY_LIMIT:,}, or None"
            )
    return Queue(name, concurrency_limit)


def read(value: object) -> Queue:
    """Read what a user gave for the option ``queue``.

    Raises:
        ValueError: It is not a queue; says what was given and what is accepted.
    """
    match value:
        case Queue():
            return value
        case str():
            return replace(queue(value), declares_limit=False)
        case Mapping() if "name" in value and set(value) <= {"name", "concurrency_limit"}:
            named = queue(value["name"], concurrency_limit=value.get("concurrency_limit"))
            return replace(named, declares_limit="concurrency_limit" in value)
        case _:
            raise ValueError(f"queue={value!r} is not a queue; expected {ACCEPTED}")
