"""Idempotency: how a key that a person writes becomes the one that is sent.

The hash is the lower-case hexadecimal SHA-256 of the key's parts and its scope's, joined with ``-``. A text of exactly
64 characters is taken for a hash and sent as it is.

Source: wire contract §2.9.

Life of a run, this module's part::

    child.trigger(payload, idempotency_key="order-7") -> option_values.read -> idempotency.sent -> TriggerOptions
"""

import hashlib
import reprlib
from collections.abc import Sequence
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from oncue.protocol import names
from oncue.sdk import execution

Scope: TypeAlias = Literal["run", "attempt", "global"]
"""Where a key counts: in the run that calls, in this attempt of it, or everywhere. Outside of a run all are one."""

SCOPES: Final[tuple[str, ...]] = get_args(Scope)
_HASH_LENGTH: Final = 64
_LONGEST: Final = 2_048
"""Characters of a key. Source: wire contract §2.1."""


class IdempotencyKey(str):
    """A hash that knows the key it was made from, so that the key can be shown.

    Attributes:
        key: Its parts, joined with ``-``.
        scope: ``run``, ``attempt`` or ``global``.
    """

    __slots__ = ("key", "scope")

    key: str
    scope: Scope

    def __new__(cls, value: str, *, key: str, scope: Scope) -> Self:
        """Keep the hash with what it was made from."""
        made = super().__new__(cls, value)
        made.key, made.scope = key, scope
        return made


def create(key: str | Sequence[str], scope: Scope = "run") -> IdempotencyKey:
    """Make an idempotency key.

    Args:
        key: A text, or several that together are the key; 1 to 2,048 characters.
        scope: ``run``: another run of the calling task makes another key, a retry the same one. ``attempt``: a retry
            makes another one as well. ``global``: the same key everywhere. Outside of a task all three are the same.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: The key or its scope makes no sense.

    Example::

        await charge.trigger(order, idempotency_key=idempotency_keys.create(["charge", order.id], scope="global"))
    """
    running = execution.current.get()
    if running is None:
        return derive(key, scope)
    return derive(key, scope, run_id=running.context.run.id, attempt=running.context.attempt.number)


def derive(key: object, scope: Scope, *, run_id: str | None = None, attempt: int | None = None) -> IdempotencyKey:
    """Make the key that a run and attempt would make; without them, the one that is made outside of a run."""
    if scope not in SCOPES:
        raise ValueError(f"scope={scope!r} is not accepted; expected one of {', '.join(SCOPES)}")
    named = "-".join(parts(key))
    suffix: tuple[Any, ...] = {"run": (run_id,), "attempt": (run_id, attempt), "global": ()}[scope]
    text = "-".join([named, *(str(part) for part in suffix if part is not None)])
    return IdempotencyKey(hashlib.sha256(text.encode()).hexdigest(), key=named, scope=scope)


def sent(key: object) -> str:
    """Return the key as it is sent: a hash as it is, anything else hashed in the scope of the run that calls.

    Raises:
        ValueError: It is no key.
    """
    (first, *others) = parts(key)
    if isinstance(key, str) and not others and len(first) == _HASH_LENGTH:
        return key
    return create(parts(key))


def parts(key: object) -> list[str]:
    """Return the texts that a key is made of.

    Raises:
        ValueError: It is none.
    """
    found = [key] if isinstance(key, str) else list(key) if isinstance(key, Sequence) else []
    is_text = bool(found) and all(isinstance(part, str) and names.is_storable(part) for part in found)
    if not is_text or not 0 < len("-".join(found)) <= _LONGEST:
        raise ValueError(
            f"idempotency_key={reprlib.repr(key)} is not accepted; expected a string or a sequence of strings, "
            f"1 to {_LONGEST:,} characters, no NUL"
        )
    return found
