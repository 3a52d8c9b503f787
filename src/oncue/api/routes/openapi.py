"""OpenAPI: the document at ``/openapi.json``, made once from the table it describes."""

from collections.abc import Sequence
from typing import Any

from oncue.api import openapi
from oncue.api.answers import encode
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route


def route(others: Sequence[Route[Any]]) -> Route[None]:
    """Return the route that describes others and itself."""
    made: list[bytes] = []

    async def describe(_call: Call, _: None) -> Answer:
        if not made:
            made.append(encode(openapi.document((*others, own))))
        return Answer(made[0])

    own: Route[None] = Route(
        method="GET",
        path="/openapi.json",
        handle=describe,
        summary="This document",
        answer=dict[str, Any],
        authenticated=False,
    )
    return own
