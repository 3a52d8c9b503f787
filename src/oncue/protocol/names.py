"""Names: which texts may name something, for the caller and for the server alike."""

import re
from typing import Final

from oncue.protocol import limits

_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VERSION: Final = re.compile(r"[0-9]{8}\.[0-9]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_QUEUE: Final = re.compile(r"[A-Za-z0-9_/.:-]+")

QUEUE_FORM: Final = f"1 to {limits.MAX_QUEUE_NAME_LENGTH} letters, digits, or any of _ / . : -"
"""What is accepted as the name of a queue, for messages."""

REGION_FORM: Final = f"1 to {limits.MAX_REGION_LENGTH} letters, digits, or any of _ . -"
VERSION_FORM: Final = 'a day and a number: "20300131.1"'


def is_queue(text: object) -> bool:
    """Whether it can name a queue. Source: wire contract §2.1."""
    return isinstance(text, str) and len(text) <= limits.MAX_QUEUE_NAME_LENGTH and _QUEUE.fullmatch(text) is not None


def is_region(text: object) -> bool:
    """Whether it can name a region."""
    return isinstance(text, str) and len(text) <= limits.MAX_REGION_LENGTH and _REGION.fullmatch(text) is not None


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: neither NUL nor a lone surrogate is in it."""
    return "\0" not in text and _SURROGATE.search(text) is None


def is_version(text: object) -> bool:
    """Whether it is a version of code, ``YYYYMMDD.N``. Source: wire contract §8.14."""
    return isinstance(text, str) and len(text) <= limits.MAX_VERSION_LENGTH and _VERSION.fullmatch(text) is not None
