"""Queues: look at them, pause and resume them, override their limits.

Each function takes a queue by anything that names it: see ``QueueRef``. What code declares is in ``queue.py``.
"""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final

import msgspec

from oncue.protocol import limits
from oncue.protocol.queues import QueueAction, QueuePage, QueueView
from oncue.sdk import answers, flows, queue_refs, requests, transport
from oncue.sdk.queue_refs import QueueRef

PAGE: Final = 100
"""Queues that are asked for at once."""


def retrieve(queue: QueueRef) -> Coroutine[Any, Any, QueueView]:
    """Ask how a queue stands.

    Raises:
        NotFound: There is no such queue in this environment.

    Example::

        emails = await queues.retrieve("emails")
        print(emails.queued, emails.running, emails.paused)
    """
    return transport.start(flows.exchange(_retrieve(queue)), "queues.retrieve")


def list_queues() -> AsyncIterator[QueueView]:
    """List queues by name, page after page as they are asked for.

    Example::

        async for each in queues.list():
            print(each.name, each.queued)
    """

    async def pages() -> AsyncIterator[QueueView]:
        number, last = 1, 1
        while number <= last:
            page = await transport.start(flows.exchange(_page(number)), "queues.list")
            for each in page.data:
                yield each
            number, last = number + 1, page.pagination.total_pages

    return pages()


def pause(queue: QueueRef) -> Coroutine[Any, Any, QueueView]:
    """Let no run of a queue start until it is resumed; runs that execute go on to their end.

    Raises:
        NotFound: There is no such queue in this environment.

    Example::

        await queues.pause("emails")
    """
    return transport.start(flows.exchange(_pause(queue, "pause")), "queues.pause")


def resume(queue: QueueRef) -> Coroutine[Any, Any, QueueView]:
    """Let runs of a paused queue start again.

    Raises:
        NotFound: There is no such queue in this environment.

    Example::

        await queues.resume("emails")
    """
    return transport.start(flows.exchange(_pause(queue, "resume")), "queues.resume")


def override_concurrency_limit(queue: QueueRef, concurrency_limit: int) -> Coroutine[Any, Any, QueueView]:
    """Let another limit win over the code's, until it is reset; a deploy does not change it.

    Args:
        queue: See ``QueueRef``.
        concurrency_limit: Runs that execute at once, 0 to 100,000; with concurrency keys for each of them. 0 holds
            every run back.

    Raises:
        NotFound: There is no such queue in this environment.
        ValueError: The limit makes no sense.

    Example::

        await queues.override_concurrency_limit("emails", 2)
    """
    call = _override(queue, concurrency_limit)
    return transport.start(flows.exchange(call), "queues.override_concurrency_limit")


def reset_concurrency_limit(queue: QueueRef) -> Coroutine[Any, Any, QueueView]:
    """Let the code's limit hold again.

    Raises:
        NotFound: There is no such queue in this environment.

    Example::

        await queues.reset_concurrency_limit("emails")
    """
    return transport.start(flows.exchange(_reset(queue)), "queues.reset_concurrency_limit")


class BlockingQueues:
    """``queues.sync``: the same functions, blocking the thread."""

    def retrieve(self, queue: QueueRef) -> QueueView:
        """Ask how a queue stands: ``queues.sync.retrieve("emails")``."""
        return transport.run(flows.exchange(_retrieve(queue)))

    def list(self) -> Iterator[QueueView]:
        """List queues by name: ``for each in queues.sync.list(): ...``."""
        number, last = 1, 1
        while number <= last:
            page = transport.run(flows.exchange(_page(number)))
            yield from page.data
            number, last = number + 1, page.pagination.total_pages

    def pause(self, queue: QueueRef) -> QueueView:
        """Let no run of a queue start: ``queues.sync.pause("emails")``."""
        return transport.run(flows.exchange(_pause(queue, "pause")))

    def resume(self, queue: QueueRef) -> QueueView:
        """Let runs of a paused queue start again: ``queues.sync.resume("emails")``."""
        return transport.run(flows.exchange(_pause(queue, "resume")))

    def override_concurrency_limit(self, queue: QueueRef, concurrency_limit: int) -> QueueView:
        """Let another limit win over the code's: ``queues.sync.override_concurrency_limit("emails", 2)``."""
        return transport.run(flows.exchange(_override(queue, concurrency_limit)))

    def reset_concurrency_limit(self, queue: QueueRef) -> QueueView:
        """Let the code's limit hold again: ``queues.sync.reset_concurrency_limit("emails")``."""
        return transport.run(flows.exchange(_reset(queue)))


def _page(number: int) -> requests.Call[QueuePage]:
    return requests.get("/api/v1/queues", QueuePage, [("page", str(number)), ("perPage", str(PAGE))])


def _retrieve(queue: QueueRef) -> requests.Call[QueueView]:
    named = queue_refs.read(queue)
    return requests.get(named.path, QueueView, [("type", named.naming)])


def _pause(queue: QueueRef, action: QueueAction) -> requests.Call[QueueView]:
    return _post(queue, "/pause", action=action)


def _override(queue: QueueRef, limit: object) -> requests.Call[QueueView]:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= limits.MAX_OVERRIDE_LIMIT:
        raise ValueError(
            f"concurrency_limit={limit!r} is not accepted; expected a whole number from 0 to "
            f"{limits.MAX_OVERRIDE_LIMIT:,}. To lift an override use reset_concurrency_limit"
        )
    return _post(queue, "/concurrency/override", concurrencyLimit=limit)


def _reset(queue: QueueRef) -> requests.Call[QueueView]:
    return _post(queue, "/concurrency/reset")


def _post(queue: QueueRef, act: str, **body: object) -> requests.Call[QueueView]:
    named = queue_refs.read(queue)
    content = msgspec.json.encode({"type": named.naming, **body})
    return requests.Call("POST", named.path + act, _state, content)


def _state(answer: answers.Answer) -> QueueView:
    return _decode(answer.body)


_decode: Final = msgspec.json.Decoder(QueueView).decode

list = list_queues  # noqa: A001 - the public name, queues.list
sync: Final = BlockingQueues()
