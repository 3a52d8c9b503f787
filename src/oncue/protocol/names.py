"""Names: which texts may name something, for the caller and for the server alike."""

import re
from typing import Final

from oncue.protocol import limits

_QUEUE: Final = re.compile(r"[A-Za-z0-9_/.:-]+")

QUEUE_FORM: Final = f"1 to {limits.MAX_QUEUE_NAME_LENGTH} letters, digits, or any of _ / . : -"
"""What is accepted as the name of a queue, for messages."""


def is_queue(text: object) -> bool:
    """Whether it can name a queue. Source: wire contract §2.1."""
    return isinstance(text, str) and len(text) <= limits.MAX_QUEUE_NAME_LENGTH and _QUEUE.fullmatch(text) is not None
