"""Callee: what a call has to know of the task it calls, where that is at hand.

``Task`` is one. It leads to everything that calls, so whatever calls cannot import it in turn, and knows it by this.

Life of a run, this module's part::

    my_task.trigger -> Target(id, callee) -> callee.encode_payload -> request ... result -> callee.read_output
"""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import msgspec

    from oncue.sdk.queue import Queue


@runtime_checkable
class Callee(Protocol):
    """A task, as its callers know it."""

    id: str
    queue: "Queue | None"

    def encode_payload(self, payload: object) -> "msgspec.Raw":
        """Write a payload as JSON, checked against the task's annotation.

        Raises:
            PayloadValidationError: It does not fit, or has no JSON form.
        """

    def read_output(self, document: bytes, type_: str) -> Any:  # noqa: ANN401 - what the task's annotation says
        """Read an output as the task annotates it.

        Raises:
            PayloadValidationError: It does not fit.
        """
