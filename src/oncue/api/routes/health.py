"""Health: whether the process is up, and whether it can work."""

from http import HTTPStatus

import msgspec

from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.protocol.errors import Unavailable
from oncue.store import migrate
from oncue.store.pool import transaction


class Health(msgspec.Struct, frozen=True):
    """How the server is."""

    status: str


async def health(_call: Call, _: None) -> Answer:
    """Say that the process answers."""
    return Answer(Health("ok"))


async def ready(call: Call, _: None) -> Answer:
    """Say whether the database answers and has every migration.

    Raises:
        Unavailable: It does not.
    """
    async with transaction(call.services.control) as tx:
        missing = await migrate.pending(tx)
    if missing:
        raise Unavailable(f"the database lacks {', '.join(missing)}; run oncue migrate, or restart a server")
    if call.services.polls.closed:
        raise Unavailable("the server is stopping")
    return Answer(Health("ready"))


ROUTES = (
    Route(
        method="GET",
        path="/health",
        handle=health,
        summary="Whether the process is up",
        answer=Health,
        authenticated=False,
    ),
    Route(
        method="GET",
        path="/ready",
        handle=ready,
        summary="Whether the server can work: its database answers and is up to date",
        answer=Health,
        errors=(HTTPStatus.SERVICE_UNAVAILABLE,),
        authenticated=False,
    ),
)
