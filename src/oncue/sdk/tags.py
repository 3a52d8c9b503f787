"""Tags: add tags to the run that the calling code belongs to.

Example::

    await tags.add("paid")
    await tags.add(["customer:7", "eu"])
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from oncue.protocol import limits, names
from oncue.protocol.errors import OutsideTaskError
from oncue.sdk import execution, flows, requests, transport


def add(tags: str | Sequence[str]) -> Coroutine[Any, Any, None]:
    """Add tags to this run; those it has already, and blank ones, are passed over.

    Raises:
        OutsideTaskError: No run is executing here.
        ValueError: A tag is no text, or too long.
        UnprocessableRequest: The run would have too many; none is added.

    Example::

        await tags.add(f"customer:{payload.customer}")
    """
    return transport.start(flows.exchange(_call("tags.add", tags)), "tags.add")


class BlockingTags:
    """``tags.sync``: the same, blocking the thread."""

    def add(self, tags: str | Sequence[str]) -> None:
        """Add tags to this run: ``tags.sync.add("paid")``."""
        transport.run(flows.exchange(_call("tags.sync.add", tags)))


def _call(function: str, tags: object) -> requests.Call[None]:
    running = execution.current.get()
    if running is None:
        raise OutsideTaskError(
            f"{function}() adds to the tags of the run that calls it, and no run is executing here; from outside, give "
            "tags= when you trigger"
        )
    return requests.add_tags(running.context.run.id, _read(tags))


def _read(tags: object) -> list[str]:
    given = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, Sequence) else None
    if given is None or not all(_is_tag(tag) for tag in given):
        raise ValueError(
            f"tags={tags!r} is not accepted; expected a text or several, each of at most {limits.MAX_TAG_LENGTH} "
            "characters, no NUL"
        )
    return given


def _is_tag(tag: object) -> bool:
    return isinstance(tag, str) and len(tag) <= limits.MAX_TAG_LENGTH and names.is_storable(tag)


sync: Final = BlockingTags()
