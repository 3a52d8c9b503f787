"""Packets: documents too large to travel with a call, which are stored beside it and named in their place.

Whoever has such a document asks the server for an address, stores it there, and sends its path with the type
``application/store``; whoever wants it asks for another address by that path. Our own clients name a document by its
content, so that the same one is the same wherever it is stored again.

Source: wire contract §2.10.
"""

import hashlib
import re
from typing import Final, Literal, TypeAlias

import msgspec

from oncue.protocol import codec
from oncue.protocol.errors import BadRequest

Kind: TypeAlias = Literal["payload", "output"]

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.-]+")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_PATH_LENGTH: Final = 512
_SUFFIXES: Final = {codec.TEXT: "txt"}


class PresignedUpload(msgspec.Struct, frozen=True, rename="camel"):
    """Where to store a document, and what to name it by afterwards."""

    presigned_url: str
    """For one ``PUT`` of the document, with its type as ``Content-Type``; counts for a limited time."""
    storage_path: str


class PresignedDownload(msgspec.Struct, frozen=True, rename="camel"):
    """Where to fetch a document; its type is the answer's ``Content-Type``."""

    presigned_url: str


def name(document: bytes, type_: str) -> str:
    """Return what a document is called by whoever stores it: the same for the same content and type."""
    digest = hashlib.sha256(type_.encode() + b"\0" + document).hexdigest()
    return f"{digest}/document.{_SUFFIXES.get(type_, 'json')}"


def are_same(document: str | None, type_: str, other: str | None, other_type: str) -> bool:
    """Whether two stored documents are equal; those in the object store by their names, on whatever days they came."""
    if type_ != other_type or type_ != codec.STORE or document is None or other is None:
        return (document, type_) == (other, other_type)
    name_, other_name = (msgspec.json.decode(each, type=str).partition("/")[2] for each in (document, other))
    return name_ == other_name


def checked_name(text: str) -> str:
    """Return the name under which a document is to be stored.

    Raises:
        BadRequest: It is no path of plain names.
    """
    segments = text.split("/")
    if len(text) > _MAX_PATH_LENGTH or not all(_SEGMENT.fullmatch(each) and each.strip(".") for each in segments):
        raise BadRequest(
            f"Invalid packet storage path {text[:80]!r}; expected names of letters, digits, '-', '_' and '.' with "
            f"slashes between them, at most {_MAX_PATH_LENGTH} characters in all"
        )
    return text


def checked_path(text: str) -> tuple[str, str]:
    """Return the day and the name in the path of a document that was stored.

    Raises:
        BadRequest: It is no such path.
    """
    day, _, rest = text.partition("/")
    if _DAY.fullmatch(day) is None:
        raise BadRequest(
            f"Invalid packet storage path {text[:80]!r}; expected the storagePath that came with the address"
        )
    return day, checked_name(rest)
