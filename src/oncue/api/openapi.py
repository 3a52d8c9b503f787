"""OpenAPI: the table of routes and the Structs of its bodies as an OpenAPI 3.1 document.

Made from what routes and decodes, so it cannot say anything else than the server does.
"""

import functools
import operator
import re
import types
import typing
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, get_args, get_origin

import msgspec

from oncue.api.answers import ErrorBody, RateLimitBody, UnauthorizedBody
from oncue.api.routing import Route

_REFERENCE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_RATE_LIMIT_HEADERS: Final = {
    "x-ratelimit-limit": "how much the limit lets through at once",
    "x-ratelimit-remaining": "how much of it is left",
    "x-ratelimit-reset": "epoch milliseconds when there is enough again, or else all of it",
}
_COMMON_ERRORS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)


def document(routes: Sequence[Route[Any]]) -> dict[str, Any]:
    """Return the OpenAPI document of a table."""
    described: list[Any] = [ErrorBody, UnauthorizedBody, RateLimitBody]
    for route in routes:
        described += [type_ for type_ in (route.body, route.lines, route.answer) if type_ is not None]
    twins = _Twins()
    unique = list(dict.fromkeys(twins.of(type_) for type_ in described))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REFERENCE)
    schema_of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, lambda type_: schema_of[twins.of(type_)]
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "oncue", "version": version("oncue")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "secretKey": {"type": "http", "scheme": "bearer"},
                "publicToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _operation(route: Route[Any], schema_of: Any) -> dict[str, Any]:  # noqa: ANN401 - a function of any type
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handle.__module__.rpartition(".")[2] + "_" + route.handle.__name__,
        "tags": [route.handle.__module__.rpartition(".")[2]],
        "responses": _responses(route, schema_of),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.empty_body is None,
            "content": {_JSON: {"schema": schema_of(route.body)}},
        }
    if route.lines is not None:
        content = {"application/x-ndjson": {"schema": schema_of(route.lines)}}
        operation["requestBody"] = {"required": True, "description": "one item per line", "content": content}
    if route.authenticated:
        operation["security"] = [{"secretKey": []}]
        if route.needs is not None:
            operation["security"].append({"publicToken": [route.needs.said]})
    return operation


def _responses(route: Route[Any], schema_of: Any) -> dict[str, Any]:  # noqa: ANN401 - a function of any type
    answer = {route.media_type: {"schema": schema_of(route.answer)}}
    responses = {
        str(status.value): {"description": status.phrase, "content": answer} for status in sorted(route.statuses)
    }
    unauthorized = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) if route.authenticated else ()
    for status in sorted({*_COMMON_ERRORS, *route.errors, *unauthorized}):
        type_, body = (_PROBLEM, UnauthorizedBody) if status == HTTPStatus.UNAUTHORIZED else (_JSON, ErrorBody)
        responses[str(status.value)] = {"description": status.phrase, "content": {type_: {"schema": schema_of(body)}}}
    if route.is_rate_limited or HTTPStatus.TOO_MANY_REQUESTS in route.errors:
        status = HTTPStatus.TOO_MANY_REQUESTS
        told = {"retry-after": "seconds", **_RATE_LIMIT_HEADERS}
        responses[str(status.value)] = {
            "description": status.phrase,
            "headers": {name: {"description": said, "schema": {"type": "integer"}} for name, said in told.items()},
            "content": {_PROBLEM: {"schema": schema_of(RateLimitBody)}},
        }
    return responses


class _Twins:
    """Structs as msgspec can describe them: it cannot write the default of a raw document."""

    def __init__(self) -> None:
        self._made: dict[type[msgspec.Struct], Any] = {}

    def of(self, type_: Any) -> Any:  # noqa: ANN401 - any annotation
        """Return a type in which raw documents are ``Any``, and optional ones have no default."""
        if type_ is msgspec.Raw:
            return Any
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            return self._struct(type_)
        inner = get_args(type_)
        outer = get_origin(type_)
        if outer in {types.UnionType, typing.Union}:
            return functools.reduce(operator.or_, (self.of(part) for part in inner))
        if isinstance(outer, type):
            return outer[tuple(self.of(part) for part in inner)]  # type: ignore[index]
        return type_

    def _struct(self, struct: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - a type
        if struct not in self._made:
            # What a tree says of its branches is said once: its own schema cannot be named before it is made.
            self._made[struct] = Any
            config = struct.__struct_config__
            twin = msgspec.defstruct(
                struct.__name__,
                [(field.name, self.of(field.type), _default(field)) for field in msgspec.structs.fields(struct)],
                kw_only=True,
                frozen=True,
                tag=config.tag,
                tag_field=config.tag_field,
            )
            twin.__doc__ = struct.__doc__
            self._made[struct] = twin
        return self._made[struct]


def _default(field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401 - msgspec's field()
    if field.required:
        return msgspec.field(name=field.encode_name)
    if field.default is not msgspec.NODEFAULT and not isinstance(field.default, msgspec.Raw | msgspec.Struct):
        return msgspec.field(default=field.default, name=field.encode_name)
    return msgspec.field(default_factory=dict, name=field.encode_name)
