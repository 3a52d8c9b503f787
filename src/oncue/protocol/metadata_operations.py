r"""Metadata operations: what each does to a document, and which make no sense.

Pure, and on the floor that both towers share: the server applies operations to what is stored, the SDK to the copy
that ``metadata.get`` reads. ``check`` refuses what is wrong whatever the document is; ``apply`` refuses what the
document does not allow, and then leaves it as it was.

A key names a place at the top of the document. One that starts with ``$.`` is a path: names after dots, indexes after
dots or in brackets, and names that hold dots in quotes (``$.files['a.b']``) or with a backslash (``$.a\.b``). What a
path leads through is made where it is missing. An array grows by one at its end, never by a gap.

Source: wire contract §5.
"""

import math
import re
from typing import Any, Final, TypeAlias

import msgspec

from oncue.protocol import limits
from oncue.protocol.metadata import (
    AppendValue,
    DeleteKey,
    IncrementNumber,
    Operation,
    RemoveValue,
    ReplaceDocument,
    SetKey,
)

Document: TypeAlias = dict[str, Any]
"""Metadata as Python has JSON."""

Path: TypeAlias = tuple[str | int, ...]
"""Names and indexes, at least one; a name of digits also serves as an index, where there is an array."""

_DANGEROUS: Final = frozenset({"__proto__", "constructor", "prototype"})
"""What JavaScript takes for something else than data."""

_STEP: Final = re.compile(
    r"""
      \.(?P<name>(?:\\.|[^.\[\]\\])+)
    | \[(?P<index>\d{1,9})\]
    | \[(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\])+)(?P=quote)\]
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_INDEX_DIGITS: Final = 9
_SHOWN_CHARS: Final = 60
_TOO_LARGE: Final = "value: the number is too large for JSON; expected less than about 1.8e308"
_decode: Final = msgspec.json.Decoder().decode


class _Missing:
    """Nothing is there, not even null."""


_MISSING: Final = _Missing()


def check(operation: Operation) -> None:
    """Refuse an operation that makes no sense for any document.

    Raises:
        ValueError: Says what was found and what is accepted, beginning with the field.
    """
    match operation:
        case ReplaceDocument(value=value):
            if not isinstance(_read(value), dict):
                raise ValueError(  # noqa: TRY004 - a document has no Python type
                    f"value: found {_shown(bytes(value).decode())}; expected a JSON object"
                )
        case SetKey(key=key, value=value) | AppendValue(key=key, value=value) | RemoveValue(key=key, value=value):
            parse_key(key)
            _read(value)
        case IncrementNumber(key=key, value=amount):
            parse_key(key)
            _finite(amount)
        case DeleteKey(key=key):
            parse_key(key)


def parse_key(key: str) -> Path:
    """Return the place that a key names.

    Raises:
        ValueError: It is no path that names one place, or holds a name that JavaScript clients must not be given.
    """
    path = _steps(key) if key.startswith("$.") else (key,)
    for step in path:
        if step in _DANGEROUS:
            raise ValueError(f"key: {_shown(key)} holds {step}, which is not accepted as a name; take another")
        if isinstance(step, str) and "\0" in step:
            raise ValueError(f"key: {_shown(key)} holds a NUL character, which cannot be stored")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"key: {_shown(key)} holds a lone surrogate, which is not text") from None
    return path


def apply(document: Document, operation: Operation) -> None:
    """Carry out an operation that ``check`` has passed.

    Args:
        document: Changed in place, and not at all if the operation is refused. Nothing in it is shared with the
            operation, so an operation may be applied again.

    Raises:
        ValueError: A path leads through something that is neither object nor array, or beyond the end of an array;
            or a number becomes too large.
    """
    match operation:
        case ReplaceDocument(value=value):
            replacement = _decode(value)
            document.clear()
            document.update(replacement)
        case SetKey(key=key, value=value):
            _put(document, parse_key(key), _decode(value), key)
        case DeleteKey(key=key):
            _delete(document, parse_key(key))
        case AppendValue(key=key, value=value):
            _append(document, parse_key(key), _decode(value), key)
        case RemoveValue(key=key, value=value):
            found = _find(document, parse_key(key))
            if isinstance(found, list):
                unwanted = _decode(value)
                found[:] = [element for element in found if not equal(element, unwanted)]
        case IncrementNumber(key=key, value=amount):
            path = parse_key(key)
            found = _find(document, path)
            is_number = isinstance(found, int | float) and not isinstance(found, bool)
            _put(document, path, add(found, amount) if is_number else amount, key)


def find(document: Document, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what is in the place that a key names; part of the document, not a copy.

    Raises:
        KeyError: Nothing is there, not even null.
        ValueError: The key names no place.
    """
    found = _find(document, parse_key(key))
    if found is _MISSING:
        raise KeyError(key)
    return found


def equal(one: object, other: object) -> bool:
    """Return whether two JSON values are the same: 1 is 1.0 and not true, the order of an object's keys is nothing."""
    # With a list of its own instead of recursion: JSON may be nested deeper than Python's stack.
    pairs = [(one, other)]
    while pairs:
        match pairs.pop():
            case dict(left), dict(right):
                if left.keys() != right.keys():
                    return False
                pairs.extend((value, right[key]) for key, value in left.items())
            case list(left), list(right):
                if len(left) != len(right):
                    return False
                pairs.extend(zip(left, right, strict=True))
            case left, right if isinstance(left, bool) or isinstance(right, bool):
                if left is not right:
                    return False
            case left, right:
                if left != right:
                    return False
    return True


def add(one: float, other: float) -> float:
    """Return a sum; of ints it is an int.

    Raises:
        ValueError: It is too large for JSON.
    """
    try:
        return _finite(one + other)
    except OverflowError:  # an int that no float can hold, and a float
        raise ValueError(_TOO_LARGE) from None


def _steps(key: str) -> Path:
    path: list[str | int] = []
    at = 1
    while at < len(key):
        step = _STEP.match(key, at)
        if step is None or step["name"] == "*":
            raise ValueError(
                f"key: {_shown(key)} does not name one place, from {_shown(key[at:])} on; expected names and indexes, "
                "for instance $.user.name, $.logs[0] or $.files['a.b']"
            )
        at = step.end()
        path.append(int(step["index"]) if step["index"] else _ESCAPED.sub(r"\1", step["name"] or step["quoted"]))
    if len(path) > limits.MAX_METADATA_PATH_STEPS:
        raise ValueError(
            f"key: {_shown(key)} has {len(path):,} steps; expected at most {limits.MAX_METADATA_PATH_STEPS}"
        )
    return tuple(path)


def _find(document: Document, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Return what is in a place, ``_MISSING`` where nothing is."""
    found: Any = document
    for step in path:
        found = _child(found, step)
    return found


def _child(container: Any, step: str | int) -> Any:  # noqa: ANN401 - any JSON value
    index = _index(step)
    if isinstance(container, dict) and isinstance(step, str):
        return container.get(step, _MISSING)
    if isinstance(container, list) and index is not None and index < len(container):
        return container[index]
    return _MISSING


def _put(document: Document, path: Path, value: Any, key: str) -> None:  # noqa: ANN401 - any JSON value
    """Put a value in a place; nothing is changed before it is certain that all can be."""
    container: Any = document
    for at, step in enumerate(path[:-1], start=1):
        _check_step(container, step, key)
        below = _child(container, step)
        if below is _MISSING:
            _assign(container, step, _wrapped(path[at:], value, key))
            return
        container = below
    _check_step(container, path[-1], key)
    _assign(container, path[-1], value)


def _assign(container: Any, step: str | int, value: Any) -> None:  # noqa: ANN401 - any JSON value
    index = _index(step)
    if isinstance(container, dict):
        container[step] = value
    elif index is not None:
        container[index : index + 1] = [value]


def _check_step(container: Any, step: str | int, key: str) -> None:  # noqa: ANN401 - any JSON value
    """Refuse a step that cannot be taken from what is there."""
    index = _index(step)
    match container:
        case dict() if isinstance(step, int):
            raise ValueError(f"key: {_shown(key)} has [{step}] where there is an object; expected a name")
        case list() if index is None:
            raise ValueError(f"key: {_shown(key)} has {_shown(str(step))} where there is an array; expected an index")
        case list() if index is not None and index > len(container):
            raise ValueError(
                f"key: {_shown(key)} has index {index} in an array of {len(container)}; expected at most "
                f"{len(container)}, which appends"
            )
        case dict() | list():
            pass
        case _:
            kind = "null" if container is None else type(container).__name__
            raise ValueError(f"key: {_shown(key)} leads through a value of type {kind}; expected an object or an array")


def _wrapped(rest: Path, value: Any, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value inside of everything that the rest of a path leads through."""
    for step in reversed(rest):
        if isinstance(step, int) and step > 0:
            raise ValueError(f"key: {_shown(key)} has index {step} where there is no array yet; expected 0")
        value = [value] if isinstance(step, int) else {step: value}
    return value


def _append(document: Document, path: Path, value: Any, key: str) -> None:  # noqa: ANN401 - any JSON value
    found = _find(document, path)
    if isinstance(found, list):
        found.append(value)
    else:
        _put(document, path, [value] if found is _MISSING else [found, value], key)


def _delete(document: Document, path: Path) -> None:
    container = _find(document, path[:-1])
    step, index = path[-1], _index(path[-1])
    if isinstance(container, dict):
        container.pop(step, None)
    elif isinstance(container, list) and index is not None and index < len(container):
        del container[index]


def _index(step: str | int) -> int | None:
    if isinstance(step, int):
        return step
    return int(step) if step.isascii() and step.isdigit() and len(step) <= _INDEX_DIGITS else None


def _finite(number: float) -> float:
    """Refuse a number that no reader of JSON could hold."""
    try:
        if math.isfinite(float(number)):
            return number
    except OverflowError:
        pass
    raise ValueError(_TOO_LARGE)


def _read(document: msgspec.Raw) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return _decode(document)
    except RecursionError:
        raise ValueError("value: it is nested too deeply; expected fewer than about 1,000 levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"value: it is not valid JSON: {error}") from None


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARS])
