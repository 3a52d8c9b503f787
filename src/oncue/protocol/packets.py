"""Packets: documents too large to travel with a call, which are stored beside it and named in their place.

Whoever has such a document asks the server for an address, stores it there, and sends its path with the type
``application/store``; whoever wants it asks for another address by that path. Our own clients name a document by its
content, so that the same one is the same wherever it is stored again.

Source: wire contract §2.10.
"""

import datetime
import hashlib
import re
from typing import Final, Literal, TypeAlias

import msgspec

from oncue.protocol import codec
from oncue.protocol.errors import BadRequest, PayloadTooLarge

Kind: TypeAlias = Literal["payload", "output"]

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COPY: Final = re.compile(r"copies/[0-9]{4}-[0-9]{2}-[0-9]{2}/(?P<name>.+)")
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
    digest = hashlib.sha256(type_.encode() + b"\0")
    digest.update(document)
    return f"{digest.hexdigest()}/document.{_SUFFIXES.get(type_, 'json')}"


def are_same(document: str | None, type_: str, other: str | None, other_type: str) -> bool:
    """Whether two stored documents are equal; those in the object store by their names, on whatever days they came."""
    if type_ != other_type or type_ != codec.STORE or document is None or other is None:
        return (document, type_) == (other, other_type)
    return _original(document) == _original(other)


def reference(path: str) -> msgspec.Raw:
    """Return the document that stands for one in the object store: its path, as JSON text."""
    return msgspec.Raw(msgspec.json.encode(path))


def path_of(reference_: bytes | str | msgspec.Raw) -> str:
    """Return the path in a reference that was made by ``reference``, or checked by ``path_in``."""
    return msgspec.json.decode(reference_, type=str)


def path_in(reference_: bytes | msgspec.Raw, field: str) -> str:
    """Return the path in what a caller sends as a reference.

    Args:
        reference_: JSON text.
        field: Its name, for the message.

    Raises:
        BadRequest: It is no text.
    """
    try:
        return path_of(reference_)
    except msgspec.MsgspecError:
        raise BadRequest(f"{field}: expected the path of a stored packet, as its type is {codec.STORE}") from None


def _original(document: str) -> str:
    """Return the name that whoever stored a document first gave it: what follows day and unique part."""
    _, _, name_ = path_of(document).partition("/")
    copied = _COPY.fullmatch(name_)
    return (copied["name"] if copied else name_).partition("/")[2]


def copied_name(day: datetime.date, name_: str) -> str:
    """Return the name of a copy under a later day: of another than all that are stored there by that name."""
    return name_ if _COPY.fullmatch(name_) else f"copies/{day}/{name_}"


def too_large(what: str, size: int, limit_bytes: int) -> PayloadTooLarge:
    """Return the refusal of a document that is larger than it may be."""
    advice = "; keep it in a store of your own and pass its address" if what == "payload" else ""
    return PayloadTooLarge(f"{what} is {size:,} bytes; the limit is {limit_bytes:,}{advice}")


def checked_name(text: str) -> str:
    """Return the name under which a document is to be stored.

    Raises:
        BadRequest: It is no path of plain names.
    """
    segments = text.split("/")
    if len(text) > _MAX_PATH_LENGTH or not all(_SEGMENT.fullmatch(each) and each.strip(".") for each in segments):
        raise BadRequest(
            f"Invalid packet storage path {text[:80]!r}; expected names of letters, digits, '-', '_' and '.' with "
            f"slashes between them, each of at most 200 characters, {_MAX_PATH_LENGTH} in all"
        )
    return text


def read_day(text: str) -> datetime.date | None:
    """Return the day that begins a path; None where that is none."""
    try:
        return datetime.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def checked_path(text: str) -> tuple[datetime.date, str]:
    """Return the day and the name in the path of a document that was stored.

    Raises:
        BadRequest: It is no such path.
    """
    first, _, rest = text.partition("/")
    day = read_day(first)
    if day is None:
        raise BadRequest(
            f"Invalid packet storage path {text[:80]!r}; expected the storagePath that came with the address"
        )
    return day, checked_name(rest)
