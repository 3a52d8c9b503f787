"""Idempotency keys: make one that counts where you want it to, and forget one.

Example::

    key = idempotency_keys.create("welcome", scope="global")
    await send.trigger(user, idempotency_key=key)
    await idempotency_keys.reset(send, key)
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from oncue.protocol.errors import NotFound
from oncue.sdk import execution, flows, idempotency, requests, transport, triggering
from oncue.sdk.flows import Flow
from oncue.sdk.idempotency import IdempotencyKey, Scope, create
from oncue.sdk.task import Task

__all__ = ["IdempotencyKey", "Scope", "create", "reset", "sync"]


def reset(
    task: str | Task[Any, Any],
    key: str | Sequence[str],
    *,
    scope: Scope = "run",
    parent_run_id: str | None = None,
    attempt_number: int | None = None,
) -> Coroutine[Any, Any, str]:
    """Forget a key of a task, so that the next call with it makes a new run.

    Args:
        task: A task or its id.
        key: What ``create`` returned, or the key itself, which is then hashed as ``create`` would.
        scope: Of a key that is not a hash yet.
        parent_run_id: The run that used a key of scope ``run`` or ``attempt``; inside a task its own run unless said.
        attempt_number: The attempt that used a key of scope ``attempt``, from 1; inside a task its own unless said.

    Returns:
        The hash that was forgotten.

    Raises:
        NotFound: No run of the task has the key.
        ValueError: The scope needs a run or an attempt, and none is known.

    Example::

        await idempotency_keys.reset(send, "welcome", scope="global")
    """
    return transport.start(_reset(task, _hashes(key, scope, parent_run_id, attempt_number)), "idempotency_keys.reset")


class BlockingIdempotencyKeys:
    """``idempotency_keys.sync``: the same, blocking the thread."""

    def reset(
        self,
        task: str | Task[Any, Any],
        key: str | Sequence[str],
        *,
        scope: Scope = "run",
        parent_run_id: str | None = None,
        attempt_number: int | None = None,
    ) -> str:
        """Forget a key of a task: ``idempotency_keys.sync.reset(send, "welcome", scope="global")``."""
        return transport.run(_reset(task, _hashes(key, scope, parent_run_id, attempt_number)))


def _reset(task: str | Task[Any, Any], hashes: Sequence[str]) -> Flow[str]:
    """Try each hash; only the last one's absence counts."""
    task_id = task.id if isinstance(task, Task) else triggering.target(task).id
    for candidate in hashes[:-1]:
        try:
            return (yield from flows.exchange(requests.reset_key(task_id, candidate)))
        except NotFound:
            continue
    return (yield from flows.exchange(requests.reset_key(task_id, hashes[-1])))


def _hashes(key: str | Sequence[str], scope: Scope, run_id: str | None, attempt: int | None) -> list[str]:
    """Return the hashes that a key may have been sent as: itself, if it may be one, and the derived one."""
    if isinstance(key, IdempotencyKey):
        return [str(key)]
    running = execution.current.get()
    if running is not None:
        run_id = run_id or running.context.run.id
        attempt = attempt or running.context.attempt.number
    verbatim = isinstance(key, str) and idempotency.sent(key) == key
    if scope != "global" and run_id is None and not verbatim:
        raise ValueError(
            f"scope={scope!r} is that of a run, and no run is executing here; pass parent_run_id=, or scope='global'"
        )
    if scope == "attempt" and attempt is None and not verbatim:
        raise ValueError("scope='attempt' is that of an attempt of a run; pass attempt_number=, from 1")
    derived = idempotency.derive(key, scope, run_id=run_id, attempt=attempt)
    return [str(key), derived] if verbatim else [derived]


sync: Final = BlockingIdempotencyKeys()
