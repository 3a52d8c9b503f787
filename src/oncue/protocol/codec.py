"""Codec: payloads and outputs as JSON documents, and back.

A document is JSON text with a type beside it: ``application/json``, or ``application/super+json`` from JavaScript
callers, which wraps the value in ``json`` and lists in ``meta`` what JSON cannot say. Text is kept as a JSON string,
and a document in the object store as the JSON string of its path there, of type ``application/store``. Whether a value
fits a task's annotation is decided in ``sdk/schema.py``.

Source: wire contract §1.8.
"""

import decimal
import math
import re
from typing import Any, Final

import msgspec

from oncue.protocol import super_json
from oncue.protocol.errors import BadRequest

JSON: Final = "application/json"
SUPER_JSON: Final = "application/super+json"
TEXT: Final = "text/plain"
STORE: Final = "application/store"

NOTHING: Final = msgspec.Raw()
"""An absent document, false in a condition: Structs leave a field that is this very object out of their JSON."""

_decode: Final = msgspec.json.Decoder().decode

_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def encode(value: object) -> bytes:
    """Write a Python value as JSON.

    Datetimes, dates, UUIDs, Decimals, Enums, bytes (base64), dataclasses, attrs classes, msgspec Structs, TypedDicts
    and pydantic models are understood.

    Raises:
        TypeError: Something in it has no JSON form; names its type.
        ValueError: It cannot be stored: a lone surrogate in a text, or a float that is NaN or infinite.
    """
    text = _encoder.encode(value)
    # JSON has no NaN and no infinity. The encoder would write null for them, so look only where there is one.
    if b"null" in text and _has_unwritable_float(value):
        raise ValueError("a float is NaN or infinite, which JSON cannot say; expected a finite number, or None")
    return text


def _has_unwritable_float(value: object) -> bool:
    plain_value = msgspec.to_builtins(value, enc_hook=_fallback, builtin_types=(float,))
    left: list[object] = [plain_value]
    while left:
        match left.pop():
            case float(number) if not math.isfinite(number):
                return True
            case dict(items):
                left.extend(items.values())
            case list(items) | tuple(items):
                left.extend(items)
            case _:
                pass
    return False


def checked(document: bytes | msgspec.Raw, field: str) -> None:
    """Refuse a document that could not be read back.

    Args:
        document: JSON text.
        field: Its name, for the message.

    Raises:
        BadRequest: Not JSON, too deeply nested, or a lone surrogate in a string.
    """
    _read(document, field)


def _read(document: bytes | msgspec.Raw, field: str) -> object:
    try:
        return _decode(document)
    except RecursionError:
        message = f"{field} is nested too deeply; expected fewer than about 1,000 levels"
        raise BadRequest(message) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(not_json(bytes(document), field, error)) from None


def not_json(text: bytes, field: str, error: Exception) -> str:
    """Say why a text is no JSON that could be read."""
    if _LONE_SURROGATE.search(text):
        return f"{field} holds half of a surrogate pair, such as \\ud800, which is no character; send whole ones"
    return f"{field} is not valid JSON: {error}"


def document(value: msgspec.Raw, type_: str | None) -> tuple[bytes | None, str]:
    """Return the document that a wire payload stands for, and its type.

    Official clients send the document as a string and say its type; without a type the payload is the value itself.

    Raises:
        BadRequest: The payload does not match its type, or is not JSON.
    """
    if not value and type_ == STORE:
        raise BadRequest(f"payload is missing; expected the path of a stored packet, as payloadType is {STORE}")
    if not value:
        return None, JSON
    if type_ is None:
        checked(value, "payload")
        return bytes(value), JSON
    content: object = None
    if type_ in (JSON, SUPER_JSON, TEXT, STORE):
        content = _read(value, "payload")
    if type_ in (JSON, SUPER_JSON) and not isinstance(content, str):
        return _wrapped(bytes(value), type_)
    if type_ == STORE and not (isinstance(content, str) and content):
        raise BadRequest(f"payload: expected the path of a stored packet, as payloadType is {STORE}")
    match type_, content:
        case (("application/json" | "application/super+json"), str(text)):
            inner = text.encode()
            checked(inner, "payload")
            return _wrapped(inner, type_)
        case "text/plain", str():
            return bytes(value), JSON
        case "application/store", str(path) if path:
            return bytes(value), STORE
        case _:
            message = (
                f"payloadType {type_!r} is not accepted here; expected {JSON}, {SUPER_JSON} or {TEXT} with a string, "
                f"or {STORE} with the path of a stored packet"
            )
            raise BadRequest(message)


def _wrapped(document: bytes, type_: str) -> tuple[bytes, str]:
    if type_ == SUPER_JSON:
        try:
            super_json.plain(document)
        except msgspec.DecodeError as error:
            raise BadRequest(f"payload is not {SUPER_JSON}, an object with json and perhaps meta: {error}") from None
    return document, type_


def plain(document: bytes | msgspec.Raw, type_: str) -> msgspec.Raw:
    """Return a document as ordinary JSON: what ``runs.retrieve`` shows."""
    if type_ != SUPER_JSON:
        return msgspec.Raw(document)
    return super_json.plain(document)


def restore(document: bytes | msgspec.Raw, type_: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a document into Python values; Dates, BigInts, Maps, Sets and undefined of JavaScript become Python's.

    Raises:
        BadRequest: It is not valid JSON.
    """
    try:
        return super_json.read(document) if type_ == SUPER_JSON else _decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"the document is not valid JSON: {error}"
        raise BadRequest(message) from None


def _fallback(value: Any) -> Any:  # noqa: ANN401 - msgspec's enc_hook takes anything
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, decimal.Decimal | complex):
        return str(value)
    message = f"a value of type {type(value).__qualname__} has no JSON form; expected dict, list, tuple, set, str, "
    message += "numbers, Decimal, datetime, date, time, timedelta, UUID, Enum, bytes, a dataclass, a msgspec Struct or "
    message += "a pydantic model"
    raise TypeError(message)


_encoder: Final = msgspec.json.Encoder(enc_hook=_fallback)
