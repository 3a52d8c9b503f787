"""Schema: whether a document fits an annotation, and the value it then stands for.

The caller checks a payload by reading back the very JSON it is about to send, so that caller and worker cannot
disagree. Nothing is coerced: ``"1"`` is no int, ``1.5`` is no int, and a missing field is not invented. Pydantic models
validate themselves; they are told by their methods, and pydantic is never imported here.

Life of a run, this module's part::

    my_task.trigger -> task.encode_payload -> schema.read -> request
    worker/executor -> task.arguments -> schema.read -> user code
"""

import re
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from oncue.protocol import codec
from oncue.protocol.errors import BadRequest, PayloadValidationError

Document: TypeAlias = bytes | msgspec.Raw
Subject: TypeAlias = Literal["payload", "output"]


class Shape(Protocol):
    """What an annotation asks of a document."""

    def read(self, document: Document) -> Any:  # noqa: ANN401 - the annotation's own type
        """Read JSON text; raise ValueError with a path and a reason where it does not fit."""

    def convert(self, value: object) -> Any:  # noqa: ANN401 - the annotation's own type
        """Read a value that was already decoded; raise ValueError likewise."""

    def json_schema(self) -> msgspec.Raw:
        """Return the JSON Schema, or ``codec.NOTHING`` where there is none."""


def shape_of(annotation: object) -> Shape:
    """Return what an annotation asks for.

    Args:
        annotation: A resolved type: a dataclass, TypedDict, msgspec Struct, pydantic model or plain type.

    Raises:
        TypeError: JSON cannot be read into this type; names it.
    """
    if annotation is Any or annotation is object:
        return _Anything()
    if isinstance(annotation, type) and _from_pydantic(annotation) is not None:
        return _PydanticShape(annotation)
    return _MsgspecShape(annotation)


def read(document: Document, type_: str, shape: Shape, *, subject: Subject, task: str) -> Any:  # noqa: ANN401 - see Shape
    """Read a document into the value that an annotation promises.

    Args:
        document: JSON text.
        type_: ``application/json`` or ``application/super+json``.
        shape: From ``shape_of``.
        subject: What the document is, for the message.
        task: Whose it is, for the message.

    Raises:
        PayloadValidationError: It does not fit; names the field, what was found and what is accepted.
    """
    try:
        if type_ == codec.SUPER_JSON:
            return shape.convert(codec.restore(document, type_))
        return shape.read(document)
    except (ValueError, BadRequest, RecursionError) as error:
        reason = explained(error, subject)
        raise PayloadValidationError(f"the {subject} does not fit task {task!r}: {reason}") from error


def explained(error: Exception, subject: Subject) -> str:
    """Say where a document does not fit and why: ``payload.age is str; expected int``."""
    text, _, path = str(error).partition(" - at `")
    place = subject + path.removesuffix("`").removeprefix("$")
    wrong_type = _WRONG_TYPE.fullmatch(text)
    if wrong_type:
        return f"{place} is {wrong_type['found']}; expected {wrong_type['expected']}"
    if text.startswith(_PLACED):
        return "; ".join(f"{place}{line}" for line in text.removeprefix(_PLACED).splitlines())
    return f"{place}: {text[:1].lower()}{text[1:]}"


_WRONG_TYPE: Final = re.compile(r"Expected `(?P<expected>.+)`, got `(?P<found>.+)`")
_PLACED: Final = "\0"
"""Before a reason that brings its own paths, one on each line."""


class _Anything:
    """No annotation: any JSON value."""

    def read(self, document: Document) -> Any:  # noqa: ANN401 - any JSON value
        return codec.restore(document, codec.JSON)

    def convert(self, value: object) -> object:
        return value

    def json_schema(self) -> msgspec.Raw:
        return codec.NOTHING


class _MsgspecShape:
    """Everything that msgspec knows, pydantic models inside it included."""

    def __init__(self, annotation: Any) -> None:  # noqa: ANN401 - any type form
        self._annotation = annotation
        try:
            self._decoder = msgspec.json.Decoder(annotation, dec_hook=_inner)
        except TypeError as error:
            raise TypeError(f"JSON cannot be read into {annotation!r}: {error}") from None

    def read(self, document: Document) -> Any:  # noqa: ANN401 - the annotation's own type
        return self._decoder.decode(document)

    def convert(self, value: object) -> Any:  # noqa: ANN401 - the annotation's own type
        return msgspec.convert(value, self._annotation, strict=True, str_keys=True, dec_hook=_inner)

    def json_schema(self) -> msgspec.Raw:
        try:
            schema = msgspec.json.schema(self._annotation, schema_hook=_inner_schema)
        except (TypeError, NotImplementedError):
            return codec.NOTHING
        return msgspec.Raw(codec.encode(schema))


class _PydanticShape:
    """A pydantic model or dataclass, validated by itself."""

    def __init__(self, annotation: type) -> None:
        self._annotation = annotation

    def read(self, document: Document) -> Any:  # noqa: ANN401 - the model
        return _validated(self._annotation, bytes(document))

    def convert(self, value: object) -> Any:  # noqa: ANN401 - the model
        return _validated(self._annotation, codec.encode(value))

    def json_schema(self) -> msgspec.Raw:
        try:
            return msgspec.Raw(codec.encode(_inner_schema(self._annotation)))
        except NotImplementedError:
            return codec.NOTHING


def _from_pydantic(annotation: type) -> Callable[[bytes], Any] | None:
    read_json: Callable[[bytes], Any] | None = getattr(annotation, "model_validate_json", None)
    if read_json is not None:
        return read_json
    validator = getattr(annotation, "__pydantic_validator__", None)
    return None if validator is None else validator.validate_json


def _validated(annotation: type, document: bytes) -> Any:  # noqa: ANN401 - the model
    validate = _from_pydantic(annotation)
    assert validate is not None
    try:
        return validate(document)
    except ValueError as error:
        problems = getattr(error, "errors", None)
        if problems is None:
            raise
        raise ValueError(_PLACED + "\n".join(_problem(each) for each in problems())) from error


def _problem(problem: Any) -> str:  # noqa: ANN401 - pydantic's own dict
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    reason = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem.get("type") == "missing":
        return f"{path}: {reason}"
    return f"{path} is {type(problem.get('input')).__name__}; {reason}"


def _inner(annotation: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's dec_hook takes anything
    """Let a pydantic model that stands inside another type validate itself."""
    if _from_pydantic(annotation) is None:
        if isinstance(value, annotation):
            return value
        raise ValueError(f"Expected `{annotation.__qualname__}`, got `{type(value).__name__}`")
    return _validated(annotation, codec.encode(value))


def _inner_schema(annotation: type) -> dict[str, Any]:
    schema: Callable[[], dict[str, Any]] | None = getattr(annotation, "model_json_schema", None)
    if schema is None:
        raise NotImplementedError
    return schema()
