"""App: the server as an ASGI application.

Starlette composes it: the table of API routes, the addresses of objects, and whatever else is mounted beside them.
Opening and closing what the handlers need is its lifespan.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from oncue.api import answers, object_routes, services
from oncue.api.routes import TABLE
from oncue.api.routing import Api
from oncue.api.settings import ServerSettings
from oncue.protocol.errors import NotFound


def create_app(settings: ServerSettings, *, mounts: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application; while its lifespan runs, ``app.state.services`` is what its handlers share.

    Args:
        settings: How it works.
        mounts: Other routes to serve, looked at after the API's.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with services.running(settings) as running:
            app.state.services = running
            yield

    return Starlette(
        routes=[Api(TABLE), *object_routes.ROUTES, *mounts],
        lifespan=lifespan,
        exception_handlers={HTTPStatus.NOT_FOUND: _not_found},
    )


async def _not_found(request: Request, _: Exception) -> Response:
    answer = answers.refusal(
        HTTPStatus.NOT_FOUND, f"no route {request.method} {request.url.path}; see /openapi.json", NotFound.code
    )
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answers.encode(answer.body), answer.status, headers, media_type="application/json")
