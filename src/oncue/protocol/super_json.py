"""SuperJSON: what JavaScript callers send of values that JSON cannot say, read into Python's.

A document is the plain value in ``json`` and, in ``meta.values``, which places of it stand for what: a tree of paths to
type names. Nothing here fails for what the tree says: a place that is not there, or a value that has no counterpart in
Python, stays as plain JSON has it, as JavaScript's own reader leaves it.

Source: wire contract §1.8, and the format of superjson 2.
"""

import datetime
from collections.abc import Callable
from typing import Any, Final

import msgspec


class _Meta(msgspec.Struct, frozen=True):
    values: Any = None


class _Wrapper(msgspec.Struct, frozen=True):
    json: msgspec.Raw
    meta: _Meta | None = None


def plain(document: bytes | msgspec.Raw) -> msgspec.Raw:
    """Return the plain value of a document, as JSON.

    Raises:
        msgspec.DecodeError: It is not JSON, or no object with ``json``.
    """
    return _unwrap(document).json


def read(document: bytes | msgspec.Raw) -> Any:  # noqa: ANN401 - any value
    """Return the value of a document: dates, big integers, maps, sets, undefined and special numbers as Python's.

    Raises:
        msgspec.DecodeError: As for ``plain``.
    """
    wrapper = _unwrap(document)
    value = _decode(wrapper.json)
    return _annotated(value, wrapper.meta.values) if wrapper.meta and wrapper.meta.values else value


def _annotated(value: Any, tree: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    """Apply a tree: ``["Date"]`` at a leaf, ``["set", {...}]`` or ``{"a.b": ["Date"]}`` above."""
    match tree:
        case [kind, below]:
            return _converted(_annotated(value, below), kind)
        case [kind]:
            return _converted(value, kind)
        case dict():
            for path, below in tree.items():
                value = _with(value, path, below)
    return value


def _with(value: Any, path: str, below: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    # The name of a leaf is written as it is: a dot or a backslash in it is its own.
    if isinstance(value, dict) and path in value:
        value[path] = _annotated(value[path], below)
        return value
    return _at(value, _segments(path), below)


def _at(value: Any, segments: list[str], below: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    if not segments:
        return _annotated(value, below)
    match value:
        case list() if segments[0].isdecimal() and int(segments[0]) < len(value):
            at = int(segments[0])
            value[at] = _at(value[at], segments[1:], below)
        case dict():
            # Dots within the name of a leaf are not told from those between names: the shortest name that is there.
            for end in range(1, len(segments) + 1):
                name = ".".join(segments[:end])
                if name in value:
                    value[name] = _at(value[name], segments[end:], below)
                    break
    return value


def _segments(path: str) -> list[str]:
    r"""Split at dots; ``\.`` is a dot inside a name, ``\\`` a backslash."""
    segments, current, characters = [], "", iter(path)
    for character in characters:
        if character == "\\":
            current += next(characters, "")
        elif character == ".":
            segments.append(current)
            current = ""
        else:
            current += character
    return [*segments, current]


def _converted(value: Any, kind: Any) -> Any:  # noqa: ANN401 - any JSON value
    convert = _CONVERSIONS.get(kind) if isinstance(kind, str) else None
    if convert is None:
        return value
    try:
        return convert(value)
    except (TypeError, ValueError, KeyError, OverflowError):
        # A year beyond 9999, a set of objects, a map whose keys are objects: Python has no such value.
        return value


def _hashable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "Date": datetime.datetime.fromisoformat,
    "bigint": int,
    "set": lambda items: {_hashable(item) for item in items},
    "map": lambda pairs: {_hashable(key): item for key, item in pairs},
    "undefined": lambda _: None,
    "number": lambda name: {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf"), "-0": -0.0}[
        name
    ],
}
_decode: Final = msgspec.json.Decoder().decode
_unwrap: Final = msgspec.json.Decoder(_Wrapper).decode
