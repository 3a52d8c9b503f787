"""Bodies: bytes that arrive, read within a limit and decoded into a Struct.

What cannot be read is refused with the field's name, what was found and what is accepted. NUL characters are refused
here for every body: PostgreSQL cannot hold them. Payloads pass through unread.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from starlette.types import Receive

from oncue.api.calls import Call
from oncue.protocol import codec
from oncue.protocol.errors import ApiError, BadRequest, ConnectionFailed, PayloadTooLarge

T = TypeVar("T")

_EXPECTED: Final = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<found>[^`]+)`(?P<rest>.*)")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_PLACE: Final = re.compile(r"(?P<what>.*?) - at `(?:key in )?\$(?P<path>[^`]*)`", re.DOTALL)
_SHOWN_CHARS: Final = 200
_KEPT_BYTES: Final = 8 * 1024
"""Of a line that is too long."""


async def read(call: Call, limit_bytes: int) -> bytes:
    """Read a whole body.

    Raises:
        PayloadTooLarge: It is longer than the limit; nothing of it is kept.
        BadRequest: ``Content-Length`` is not a number.
        ConnectionFailed: The client went away.
    """
    declared = call.header(b"content-length")
    if declared is not None:
        _check_declared(declared, limit_bytes)
    message = await call.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(len(body), limit_bytes)
        return body
    parts = bytearray(_part(message))
    while message.get("more_body", False):
        if len(parts) > limit_bytes:
            break
        message = await call.receive()
        parts += _part(message)
    if len(parts) > limit_bytes:
        raise _too_large(len(parts), limit_bytes)
    return bytes(parts)


class Line(NamedTuple):
    """A line of a body."""

    number: int
    """From 1."""
    text: bytes
    is_cut: bool = False
    """It was longer than a line may be; this is how it begins."""


async def lines(receive: Receive, limit_bytes: int) -> AsyncIterator[Line]:
    """Yield the lines of a body as they arrive; blank ones are left out.

    Args:
        limit_bytes: The longest line. Of a longer one only the beginning is kept, and no more is held at once.

    Raises:
        ConnectionFailed: The client went away.
    """
    rest = bytearray()
    searched, number, more, is_cut = 0, 0, True, False
    while more:
        message = await receive()
        rest += _part(message)
        more = message.get("more_body", False)
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            number += 1
            line = _line(number, rest[start:end], limit_bytes, is_cut=is_cut)
            start, is_cut = end + 1, False
            if line.text.strip():
                yield line
        del rest[:start]
        if len(rest) > limit_bytes:
            is_cut = True
            del rest[_KEPT_BYTES:]
        searched = len(rest)
    if rest.strip():
        yield _line(number + 1, rest, limit_bytes, is_cut=is_cut)


def decode(decoder: msgspec.json.Decoder[T], body: bytes, *, what: str = "the body") -> T:
    """Decode JSON into the decoder's type.

    Raises:
        BadRequest: It is not JSON, or does not fit. Names the field.
    """
    if not body:
        raise BadRequest(f"{what} is empty; expected JSON")
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(explain(str(error))) from None
    except RecursionError:
        raise BadRequest(f"{what} is nested too deeply; expected fewer than about 1,000 levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(codec.not_json(body, what, error)) from None
    if b"\\u0000" in body:
        _refuse_nul(value, "")
    return value


def explain(message: str) -> str:
    """Turn msgspec's words into ours: the field first, then what is wrong with it.

    Example::

        Expected `int`, got `str` - at `$.options.maxAttempts`   ->   options.maxAttempts: expected int, got str
    """
    place = _PLACE.fullmatch(message)
    what, path = (place["what"], place["path"].lstrip(".")) if place else (message, "")
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        field = f"{path}.{missing['field']}" if path else missing["field"]
        return f"{field} is missing"
    expected = _EXPECTED.fullmatch(what)
    if expected is not None:
        accepted = " or ".join(kind for kind in expected["expected"].split(" | ") if kind != "null") or "null"
        what = f"expected {accepted}, got {expected['found']}{expected['rest']}"
    else:
        what = what[:1].lower() + what[1:]
    return f"{path or 'the body'}: {what[:_SHOWN_CHARS]}"


def _part(message: Any) -> bytes:  # noqa: ANN401 - ASGI messages are untyped
    if message["type"] == "http.disconnect":
        raise ConnectionFailed("the client went away before its request was complete")
    part: bytes = message.get("body", b"")
    return part


def _check_declared(declared: str, limit_bytes: int) -> None:
    if not (declared.isascii() and declared.isdigit()):
        raise BadRequest("Content-Length is not a number; send the body's length in bytes")
    if int(declared) > limit_bytes:
        raise _too_large(int(declared), limit_bytes)


def _line(number: int, text: bytearray, limit_bytes: int, *, is_cut: bool) -> Line:
    if is_cut or len(text) > limit_bytes:
        return Line(number, bytes(text[:_KEPT_BYTES]), is_cut=True)
    return Line(number, bytes(text))


def _too_large(size: int, limit_bytes: int) -> ApiError:
    return PayloadTooLarge(f"the body is {size:,} bytes or more; the limit is {limit_bytes:,}")


def _refuse_nul(value: object, path: str) -> None:
    """Refuse a NUL character in any text but raw documents."""
    match value:
        case str() if "\0" in value:
            raise BadRequest(f"{path.lstrip('.') or 'the body'} holds a NUL character, which cannot be stored")
        case msgspec.Struct():
            for field in msgspec.structs.fields(value):
                _refuse_nul(getattr(value, field.name), f"{path}.{field.encode_name}")
        case list():
            for index, item in enumerate(value):
                _refuse_nul(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                _refuse_nul(key, path)
                _refuse_nul(item, f"{path}.{key}")
