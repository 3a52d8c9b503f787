"""Identity: whose key a caller has."""

import msgspec

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route


class CallersEnvironment(msgspec.Struct, frozen=True):
    """Where the key acts."""

    id: str
    name: str
    type: str


class Identity(msgspec.Struct, frozen=True):
    """Who calls."""

    environment: CallersEnvironment


async def show(call: Call, _: None) -> Answer:
    """Say in which environment the caller's key acts."""
    environment = call.environment
    return Answer(Identity(CallersEnvironment(str(environment.id), environment.slug, environment.kind)))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/whoami",
        handle=show,
        summary="Say in which environment the caller's key acts",
        answer=Identity,
    ),
)
